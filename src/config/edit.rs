//! Changes the gateway's configuration with the smallest edit of its text, keeping comments and
//! layout. Only a part that is removed, or moved to the front of an order, takes its comment along.
//!
//! A change is defined once, on values. The text is then edited to match, and used only if it
//! parses to the changed values: a parser that keeps comments and the one that reads the settings
//! may differ.

use std::path::{Path, PathBuf};

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::error::ConfigEditError;
use super::{disk, settings};
use crate::domain::{
    CredentialType, ProfileId, ProviderId, SecretJson, from_outside, normalize_provider,
    without_bom,
};

/// A change to what the configuration says of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigEdit {
    /// Adds a profile: records it in `auth.profiles`, and puts it first in `auth.order` of its
    /// provider if there is such an order.
    Put {
        /// The profile.
        id: ProfileId,
        /// Its provider.
        provider: ProviderId,
        /// What its credential has to be.
        mode: CredentialType,
    },
    /// Records a profile in `auth.profiles`, and leaves every `auth.order` as it is.
    Name {
        /// The profile.
        id: ProfileId,
        /// Its provider.
        provider: ProviderId,
        /// What its credential has to be.
        mode: CredentialType,
    },
    /// Removes a profile from `auth.profiles` and from every `auth.order`.
    Remove {
        /// The profile.
        id: ProfileId,
    },
    /// A profile has another id: in `auth.profiles` and in every `auth.order`.
    Rename {
        /// Its old id.
        from: ProfileId,
        /// Its new id.
        to: ProfileId,
        /// The e-mail address to record with it; as it was, if none.
        email: Option<String>,
    },
}

/// How often a change begins again because another program wrote the file meanwhile.
const ROUNDS_MAX: usize = 10;

/// Whether a configuration was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// The configuration was changed, durably.
    Written,
    /// It says so already, or has nothing to change.
    None,
}

/// Changes the configuration at `path`, making it if there is none. The file is replaced at once,
/// mode 0600 as the reference gives it; a link stays a link.
pub fn edit_config(path: &Path, edit: &ConfigEdit) -> Result<ConfigChange, ConfigEditError> {
    edit_config_in(path, edit, None).map(|(change, _)| change)
}

/// As [`edit_config`], keeping the configuration as it was in a file beside it, mode 0600, whose
/// name ends in `stamp`. Returns that file too, where the configuration was changed.
///
/// # Errors
/// See [`ConfigEditError`]; nothing is changed where the copy cannot be written.
pub fn edit_config_keeping(
    path: &Path,
    edit: &ConfigEdit,
    stamp: &str,
) -> Result<(ConfigChange, Option<PathBuf>), ConfigEditError> {
    edit_config_in(path, edit, Some(stamp))
}

fn edit_config_in(
    path: &Path,
    edit: &ConfigEdit,
    stamp: Option<&str>,
) -> Result<(ConfigChange, Option<PathBuf>), ConfigEditError> {
    let config = disk::OpenConfig::begin(path)?;
    for _ in 0..ROUNDS_MAX {
        let before = config.read()?;
        let text = match &before {
            None => "",
            Some(bytes) => {
                std::str::from_utf8(without_bom(bytes)).map_err(|_| unsure(path, edit))?
            }
        };
        let Some(after) = edited(text, edit, path)? else {
            return Ok((ConfigChange::None, None));
        };
        let expected = before.as_ref().map(|bytes| bytes.as_slice());
        let kept = match (stamp, expected) {
            (Some(stamp), Some(bytes)) => Some(config.keep(stamp, bytes)?),
            _ => None,
        };
        let replaced = config.replace(expected, after.as_bytes());
        if matches!(replaced, Ok(true)) {
            return Ok((ConfigChange::Written, kept));
        }
        if let Some(kept) = kept {
            // of what another program has replaced meanwhile, or of what was not changed
            disk::discard(&kept)?;
        }
        replaced?;
    }
    let path = path.to_owned();
    Err(ConfigEditError::Contended { path })
}

/// The text after a change; `None` where it says so already.
pub(crate) fn edited(
    text: &str,
    edit: &ConfigEdit,
    path: &Path,
) -> Result<Option<Zeroizing<String>>, ConfigEditError> {
    let is_blank = text.trim().is_empty();
    let before = SecretJson::new(if is_blank {
        json!({})
    } else {
        settings::parse_value(text, path)?
    });
    let wanted = edit.apply(before.expose_secret());
    let wanted = SecretJson::new(wanted.ok_or_else(|| unsure(path, edit))?);
    if wanted == before {
        return Ok(None);
    }
    if is_blank {
        let text = format!("{:#}\n", wanted.expose_secret());
        return Ok(Some(Zeroizing::new(text)));
    }
    let after = rewritten(text, before.expose_secret(), wanted.expose_secret());
    let says = |after: &Zeroizing<String>| {
        settings::parse_value(after, path)
            .map(SecretJson::new)
            .is_ok_and(|says| says == wanted)
    };
    after
        .filter(says)
        .map(Some)
        .ok_or_else(|| unsure(path, edit))
}

fn unsure(path: &Path, edit: &ConfigEdit) -> ConfigEditError {
    ConfigEditError::Unsure {
        path: path.to_owned(),
        by_hand: edit.by_hand(),
    }
}

impl ConfigEdit {
    /// The configuration after the change; `None` where `auth` or a part is not what it should be.
    fn apply(&self, before: &Value) -> Option<Value> {
        let mut after = before.clone();
        let root = after.as_object_mut()?;
        match self {
            Self::Put { id, provider, mode } | Self::Name { id, provider, mode } => {
                let auth = object_in(root, "auth")?;
                let entry = object_in(object_in(auth, "profiles")?, id.as_str())?;
                entry.insert("provider".to_owned(), json!(provider.as_str()));
                entry.insert("mode".to_owned(), json!(mode.as_str()));
                let is_put = matches!(self, Self::Put { .. });
                for (key, ids) in orders(auth)? {
                    if is_put && normalize_provider(key) == provider.as_str() {
                        let id = json!(id.as_str());
                        ids.retain(|other| *other != id);
                        ids.insert(0, id);
                    }
                }
            }
            Self::Remove { id } => {
                let Some(auth) = root.get_mut("auth") else {
                    return Some(after);
                };
                let auth = auth.as_object_mut()?;
                if let Some(profiles) = auth.get_mut("profiles") {
                    profiles.as_object_mut()?.shift_remove(id.as_str());
                }
                for (_, ids) in orders(auth)? {
                    ids.retain(|other| other.as_str() != Some(id.as_str()));
                }
            }
            Self::Rename { from, to, email } => {
                let auth = object_in(root, "auth")?;
                let profiles = object_in(auth, "profiles")?;
                if let Some(mut entry) = profiles.shift_remove(from.as_str()) {
                    if let Some(email) = email {
                        entry
                            .as_object_mut()?
                            .insert("email".to_owned(), json!(email));
                    }
                    profiles.insert(to.as_str().to_owned(), entry);
                }
                for (_, ids) in orders(auth)? {
                    rename_in(ids, from.as_str(), to.as_str());
                }
            }
        }
        Some(after)
    }

    /// The change in words for a person who makes it by hand.
    fn by_hand(&self) -> String {
        match self {
            Self::Put { id, provider, mode } => format!(
                "in auth.profiles: \"{0}\": {{ provider: \"{1}\", mode: \"{2}\" }}, \
                 and \"{0}\" first in auth.order of {1}, if it has one",
                from_outside(id.as_str()),
                from_outside(provider.as_str()),
                mode.as_str()
            ),
            Self::Name { id, provider, mode } => format!(
                "in auth.profiles: \"{}\": {{ provider: \"{}\", mode: \"{}\" }}",
                from_outside(id.as_str()),
                from_outside(provider.as_str()),
                mode.as_str()
            ),
            Self::Remove { id } => format!(
                "take \"{}\" out of auth.profiles and auth.order",
                from_outside(id.as_str())
            ),
            Self::Rename { from, to, .. } => format!(
                "in auth.profiles and auth.order: \"{}\" instead of \"{}\"",
                from_outside(to.as_str()),
                from_outside(from.as_str())
            ),
        }
    }
}

/// Returns the object under `key`, created if absent; `None` if another value is there.
fn object_in<'v>(
    fields: &'v mut Map<String, Value>,
    key: &str,
) -> Option<&'v mut Map<String, Value>> {
    fields
        .entry(key)
        .or_insert_with(|| json!({}))
        .as_object_mut()
}

/// The lists of `auth.order`, if there; what is no list is passed over, as by the reference.
fn orders(
    auth: &mut Map<String, Value>,
) -> Option<impl Iterator<Item = (&String, &mut Vec<Value>)>> {
    let lists = match auth.get_mut("order") {
        None => None,
        Some(order) => Some(order.as_object_mut()?),
    };
    Some(
        lists
            .into_iter()
            .flatten()
            .filter_map(|(key, list)| Some((key, list.as_array_mut()?))),
    )
}

/// Renames an id in an order; each id stays in it once.
fn rename_in(ids: &mut Vec<Value>, from: &str, to: &str) {
    if !ids.iter().any(|id| id.as_str() == Some(from)) {
        return;
    }
    let mut renamed: Vec<Value> = Vec::with_capacity(ids.len());
    for id in ids.drain(..) {
        let id = if id.as_str() == Some(from) {
            json!(to)
        } else {
            id
        };
        if !renamed.contains(&id) {
            renamed.push(id);
        }
    }
    *ids = renamed;
}

/// The text with as little of it changed as makes it say `after` instead of `before`.
fn rewritten(text: &str, before: &Value, after: &Value) -> Option<Zeroizing<String>> {
    let root = CstRootNode::parse(text, &ParseOptions::default()).ok()?;
    change_object(
        &root.object_value()?,
        before.as_object()?,
        after.as_object()?,
    )?;
    Some(Zeroizing::new(root.to_string()))
}

fn change_object(
    node: &CstObject,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Option<()> {
    for (key, value) in after {
        match before.get(key) {
            None => drop(node.append(key, input(value))),
            Some(old) if old == value => {}
            Some(old) => {
                let property = node.get(key)?;
                match (property.value()?, old, value) {
                    (CstNode::Container(inner), Value::Object(old), Value::Object(new)) => {
                        change_object(&inner.as_object()?, old, new)?;
                    }
                    (CstNode::Container(inner), Value::Array(_), Value::Array(new)) => {
                        change_array(&inner.as_array()?, new)?;
                    }
                    _ => property.set_value(input(value)),
                }
            }
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        node.get(key)?.remove();
    }
    Some(())
}

/// Takes out what is not wanted and adds what is missing; what stays keeps text and comments.
fn change_array(node: &CstArray, wanted: &[Value]) -> Option<()> {
    let says = |node: &CstNode| node.to_serde_value();
    for element in node.elements() {
        if !wanted.contains(&says(&element)?) {
            element.remove();
        }
    }
    for (at, value) in wanted.iter().enumerate() {
        let elements = node.elements();
        let is_here = elements.get(at).and_then(&says).as_ref() == Some(value);
        if !is_here {
            let later = elements.into_iter().skip(at);
            if let Some(moved) = later
                .filter(|element| says(element).as_ref() == Some(value))
                .last()
            {
                moved.remove();
            }
            node.insert(at, input(value));
        }
    }
    let count = node.elements().len();
    for extra in node.elements().into_iter().skip(wanted.len().min(count)) {
        extra.remove();
    }
    Some(())
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| (key.clone(), input(value)));
            CstInputValue::Object(fields.collect())
        }
    }
}

#[cfg(test)]
mod tests;
