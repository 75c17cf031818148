//! A JSON value that holds secrets: it does not print and is wiped when dropped.

use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::debug_as::debug_as;

/// A JSON value with secrets. `Debug` shows nothing of it; dropping it overwrites its strings.
#[derive(Clone, PartialEq)]
pub struct SecretJson(Value);

impl SecretJson {
    /// Takes a value into keeping.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self(value)
    }

    /// Exposes the secret value itself. Each call is a place where a secret is in the open:
    /// sealing, comparing, masking, exporting.
    #[must_use]
    pub fn expose_secret(&self) -> &Value {
        &self.0
    }
}

debug_as!(SecretJson, "SecretJson(…)");

impl Drop for SecretJson {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Overwrites every string in a JSON object.
pub(crate) fn wipe_map(fields: &mut Map<String, Value>) {
    fields.values_mut().for_each(wipe);
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => wipe_map(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn debug_shows_nothing() {
        let secret = SecretJson::new(json!({"token": "sk-ant-oat01-x"}));
        assert_eq!(format!("{secret:?}"), "SecretJson(…)");
    }

    #[test]
    fn wiping_empties_every_string() {
        let mut value = json!({"a": "x", "b": ["y", {"c": "z"}], "n": 1});
        wipe(&mut value);
        assert_eq!(value, json!({"a": "", "b": ["", {"c": ""}], "n": 1}));
    }
}
