//! Ids that are typed: of providers, sessions and profiles.

use clawkeep::domain::{ProviderId, StoreDoc};

pub(crate) fn provider(raw: &str) -> Result<ProviderId, String> {
    let provider = ProviderId::new(raw);
    match provider.as_str() {
        "" => Err("a provider id is not empty".to_owned()),
        id if id.contains(char::is_control) => {
            Err("a provider id has no control characters".to_owned())
        }
        _ => Ok(provider),
    }
}

/// Characters of a session's name, at most: one is an id, not a text.
pub(crate) const SESSION_MAX: usize = 256;

pub(crate) fn session(raw: &str) -> Result<String, String> {
    let name = raw.trim();
    if name.is_empty() || name.chars().count() > SESSION_MAX || name.contains(char::is_control) {
        return Err(format!(
            "a session's name has 1 to {SESSION_MAX} characters, none of them for control"
        ));
    }
    Ok(name.to_owned())
}

pub(crate) fn profile(raw: &str) -> Result<String, String> {
    if raw.trim().is_empty() {
        return Err("a profile id is not empty".to_owned());
    }
    Ok(raw.to_owned())
}

/// An id as the store has it: as it was typed, or without the blanks around it.
pub(crate) fn id_in<'t>(doc: &StoreDoc, typed: &'t str) -> &'t str {
    match doc.credential(typed) {
        Some(_) => typed,
        None => typed.trim(),
    }
}
