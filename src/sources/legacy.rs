//! The stores before the store: `auth.json` of an agent and the shared `oauth.json`.
//!
//! Both map a provider to one credential; what they become is `<provider>:default`. Source:
//! `spec/compat.md`, Paths.

use serde_json::{Map, Value};

use super::{SourceFault, wanted};
use crate::domain::{Credential, SecretJson};

/// A credential found in a legacy file: the profile id it becomes, and its entry.
pub type LegacyEntry = (String, SecretJson);

/// Understands an agent's `auth.json`: entries of one of the three types, their provider the key
/// where it is not given.
///
/// # Errors
/// When it is no JSON. Valid JSON of another shape holds nothing.
pub fn parse_auth(bytes: &[u8]) -> Result<Vec<LegacyEntry>, SourceFault> {
    let entries = object(bytes)?.into_iter().filter_map(|(provider, entry)| {
        let Value::Object(fields) = entry else {
            return None;
        };
        let kind = fields.get("type")?.clone();
        let own = fields.get("provider").and_then(Value::as_str);
        let named = own
            .map(str::trim)
            .filter(|own| !own.is_empty())
            .unwrap_or(&provider);
        entry_of(&provider, kind, named.to_owned(), fields)
    });
    Ok(entries.collect())
}

/// Understands `oauth.json`: OAuth logins without type or provider.
pub fn parse_oauth(bytes: &[u8]) -> Result<Vec<LegacyEntry>, SourceFault> {
    let entries = object(bytes)?.into_iter().filter_map(|(provider, entry)| {
        let Value::Object(fields) = entry else {
            return None;
        };
        entry_of(&provider, Value::from("oauth"), provider.clone(), fields)
    });
    Ok(entries.collect())
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, SourceFault> {
    match wanted::deserialize(bytes)? {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

/// The entry with type and provider first, as the reference writes it, and all else as it was.
fn entry_of(
    key: &str,
    kind: Value,
    provider: String,
    fields: Map<String, Value>,
) -> Option<LegacyEntry> {
    let entry = typed(kind, provider, fields);
    let is_readable = Credential::of(&entry).is_readable();
    is_readable.then(|| (format!("{key}:default"), SecretJson::new(entry)))
}

/// The entry with type and provider first, as the reference writes it, and every other field as it
/// was.
pub(super) fn typed(kind: Value, provider: String, fields: Map<String, Value>) -> Value {
    let known = [
        ("type".to_owned(), kind),
        ("provider".to_owned(), Value::from(provider)),
    ];
    let others = fields
        .into_iter()
        .filter(|(name, _)| name != "type" && name != "provider");
    Value::Object(known.into_iter().chain(others).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(entries: &[LegacyEntry]) -> Vec<String> {
        entries
            .iter()
            .map(|(id, entry)| format!("{id} {}", entry.expose_secret()))
            .collect()
    }

    #[test]
    fn entries_become_default_profiles() {
        let auth =
            br#"{"groq": {"token": "t", "type": "token", "x": 1}, "junk": {"type": "cookie"},
            "n": 3,
            "openai": {"type": "api_key", "provider": "openai", "key": "k"}}"#;
        assert_eq!(
            shown(&parse_auth(auth).unwrap()),
            [
                r#"groq:default {"type":"token","provider":"groq","token":"t","x":1}"#,
                r#"openai:default {"type":"api_key","provider":"openai","key":"k"}"#
            ]
        );
        let oauth = br#"{"google-gemini-cli": {"access": "a", "refresh": "r", "expires": 5,
            "projectId": "p"}, "x": null}"#;
        assert_eq!(
            shown(&parse_oauth(oauth).unwrap()),
            [concat!(
                r#"google-gemini-cli:default {"type":"oauth","provider":"google-gemini-cli","#,
                r#""access":"a","refresh":"r","expires":5,"projectId":"p"}"#
            )]
        );
    }

    #[test]
    fn damage_is_named_without_being_quoted() {
        assert!(parse_auth(b"[]").unwrap().is_empty());
        let fault = parse_auth(b"{\"a\": sk-secret").unwrap_err();
        assert!(!format!("{fault} {fault:?}").contains("sk-"));
    }
}
