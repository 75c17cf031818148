//! Ids that are typed: of providers, sessions and profiles.

pub(crate) use clawkeep::internal::client::id_in;
use clawkeep::internal::client::{SESSION_MAX, session_name};
use clawkeep::internal::domain::{ProviderId, recognise_secret};

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

/// As [`provider`], of a name that was typed where everybody can read it: a secret typed there by
/// mistake is refused, and is not repeated.
pub(crate) fn typed_provider(raw: &str) -> Result<ProviderId, String> {
    const NAME_MAX: usize = 64;
    /// From this length on, a name with many digits is taken for a secret.
    const SECRET_MIN: usize = 20;
    const DIGITS_MAX: usize = 3;
    let name = raw.trim();
    let digits = name.chars().filter(char::is_ascii_digit).count();
    let is_like_secret = name.len() >= SECRET_MIN && digits > DIGITS_MAX;
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if begins_like_secret(name) || is_like_secret {
        return Err("That looks like a secret. Give the provider's name.".to_owned());
    }
    if name.len() > NAME_MAX || !name.chars().all(is_letter) {
        return Err(format!(
            "A provider's name has letters, digits, \".\", \"_\" and \"-\", at most {NAME_MAX}."
        ));
    }
    provider(name)
}

/// Whether a text begins as secrets do.
pub(crate) fn begins_like_secret(text: &str) -> bool {
    const BEGINNINGS: [&str; 3] = ["sk-", "xoxb-", "xoxp-"];
    let mut beginnings = BEGINNINGS.iter();
    recognise_secret(text).is_some() || beginnings.any(|begins| text.starts_with(begins))
}

pub(crate) fn session(raw: &str) -> Result<String, String> {
    let name = session_name(raw).map(str::to_owned);
    name.ok_or_else(|| {
        format!("a session's name has 1 to {SESSION_MAX} characters, none of them for control")
    })
}

pub(crate) fn profile(raw: &str) -> Result<String, String> {
    if raw.trim().is_empty() {
        return Err("a profile id is not empty".to_owned());
    }
    Ok(raw.to_owned())
}
