//! What a gateway learnt of a credential, as a change of its store.

use serde_json::json;

use super::error::ClientError;
use super::request::id_in;
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::domain::{
    CooldownRules, Credential, ProfileId, ProviderId, Section, StoreDoc, UnixMs,
    normalize_provider, unavailability,
};
use crate::selection::{FailureReason, after_clearing, after_failure, after_use};
use crate::sync::Edited;

/// What a gateway learnt of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It worked.
    Used,
    /// It failed.
    Failed(FailureReason),
    /// It is to be tried again, whatever was learnt before.
    Cleared,
}

/// Marks a profile in a store, with the events of that.
///
/// # Errors
/// [`ClientError::UnknownProfile`].
pub fn marked(
    doc: &StoreDoc,
    profile: &str,
    mark: Mark,
    rules: &CooldownRules,
    now: UnixMs,
) -> Result<Edited, ClientError> {
    let id = id_in(doc, profile);
    let credential = doc.credential(id).filter(Credential::is_readable);
    let Some(credential) = credential else {
        let profile = id.to_owned();
        return Err(ClientError::UnknownProfile { profile });
    };
    let provider = ProviderId::new(credential.provider);
    let event = |kind| {
        EventDraft::new(kind, Origin::Clawkeep).profile(&ProfileId::new(id), provider.as_str())
    };
    let usage = doc.get(Section::Usage, id);
    let mut after = doc.clone();
    let mut events = Vec::new();
    match mark {
        Mark::Failed(reason) => {
            let failed = after_failure(usage, reason, &provider, rules, now);
            events.push(
                event(EventKind::CredentialFailed)
                    .outcome(Outcome::Failed)
                    .detail("reason", reason.as_str())
                    .detail("failures", failed.failures),
            );
            events.push(
                event(EventKind::CooldownSet)
                    .detail("until", failed.until.0)
                    .detail("reason", reason.as_str()),
            );
            after.set(Section::Usage, id, failed.usage);
        }
        Mark::Used => {
            let was_in_cooldown = unavailability(doc, id, now).is_some();
            after.set(Section::Usage, id, after_use(usage, now));
            after.set(Section::LastGood, &last_good_key(doc, &provider), json!(id));
            events.push(event(EventKind::CredentialUsed));
            if was_in_cooldown {
                events.push(event(EventKind::CooldownCleared).detail("by", "use"));
            }
        }
        Mark::Cleared => {
            if let Some(cleared) = after_clearing(usage) {
                after.set(Section::Usage, id, cleared);
                events.push(event(EventKind::CooldownCleared));
            }
        }
    }
    Ok(Edited::to(after, events))
}

/// The provider's key in `lastGood`: the existing one, however it is spelled.
fn last_good_key(doc: &StoreDoc, provider: &ProviderId) -> String {
    doc.entries(Section::LastGood)
        .map(|(key, _)| key)
        .find(|key| normalize_provider(key) == provider.as_str())
        .unwrap_or(provider.as_str())
        .to_owned()
}
