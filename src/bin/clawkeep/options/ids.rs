//! Ids that are typed: of providers, sessions and profiles.

pub(crate) use clawkeep::client::id_in;
use clawkeep::client::{SESSION_MAX, session_name};
use clawkeep::domain::ProviderId;

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
