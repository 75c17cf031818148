//! The order in which a provider's profiles are tried, as a change of the store.

use serde_json::{Value, json};

use super::error::ClientError;
use crate::audit::{EventDraft, EventKind, Origin};
use crate::domain::{ProfileId, ProviderId, Section, StoreDoc, from_outside, normalize_provider};
use crate::sync::Edited;

/// Ids of an order that are recorded.
const RECORDED_MAX: usize = 64;

/// The store's keys that mean `provider`: at most one after a change of ours, but other programs
/// may write others.
fn keys_for<'d>(doc: &'d StoreDoc, provider: &ProviderId) -> Vec<&'d str> {
    doc.entries(Section::Order)
        .map(|(key, _)| key)
        .filter(|key| normalize_provider(key) == provider.as_str())
        .collect()
}

/// Sets a provider's order in a store, with the event of that.
///
/// # Errors
/// [`ClientError::UnknownProfile`] and [`ClientError::OtherProvider`].
pub fn order_set(
    doc: &StoreDoc,
    provider: &ProviderId,
    ids: &[&str],
) -> Result<Edited, ClientError> {
    for id in ids {
        let profile = || (*id).to_owned();
        let Some(credential) = doc
            .credential(id)
            .filter(|credential| credential.is_readable())
        else {
            return Err(ClientError::UnknownProfile { profile: profile() });
        };
        if !credential.is_for(provider.as_str()) {
            return Err(ClientError::OtherProvider {
                profile: profile(),
                found: ProviderId::new(credential.provider),
            });
        }
    }
    let keys = keys_for(doc, provider);
    let value = json!(ids);
    if keys == [provider.as_str()] && doc.get(Section::Order, provider.as_str()) == Some(&value) {
        return Ok(Edited::nothing());
    }
    let mut after = doc.clone();
    keys.iter()
        .filter(|key| **key != provider.as_str())
        .for_each(|key| after.remove(Section::Order, key));
    after.set(Section::Order, provider.as_str(), value.clone());
    let event = order_change(doc, provider.as_str(), &value);
    Ok(Edited::to(after, vec![event]))
}

/// Removes a provider's order from a store, with the event of that.
#[must_use]
pub fn order_cleared(doc: &StoreDoc, provider: &ProviderId) -> Edited {
    let keys = keys_for(doc, provider);
    if keys.is_empty() {
        return Edited::nothing();
    }
    let mut after = doc.clone();
    keys.iter()
        .for_each(|key| after.remove(Section::Order, key));
    let event = event(EventKind::OrderCleared, doc, provider);
    Edited::to(after, vec![event])
}

/// Returns the event of a provider's order that becomes `list`; an empty one is none.
#[must_use]
pub fn order_change(before: &StoreDoc, provider: &str, list: &Value) -> EventDraft {
    let provider = ProviderId::new(provider);
    match list.as_array() {
        Some(ids) if !ids.is_empty() => {
            let ids = ids.iter().filter_map(Value::as_str);
            event(EventKind::OrderSet, before, &provider).detail("order", recorded(ids))
        }
        _ => event(EventKind::OrderCleared, before, &provider),
    }
}

/// Ids as they go into the record: what another program put into an order is text from outside.
fn recorded<'i>(ids: impl Iterator<Item = &'i str>) -> Vec<String> {
    ids.take(RECORDED_MAX).map(from_outside).collect()
}

fn event(kind: EventKind, before: &StoreDoc, provider: &ProviderId) -> EventDraft {
    let mut event = EventDraft::new(kind, Origin::Clawkeep);
    event.provider = Some(provider.as_str().to_owned());
    match before.order_for(provider.as_str()) {
        Some(ids) => event.detail("before", recorded(ids.iter().map(ProfileId::as_str))),
        None => event.detail("before", Value::Null),
    }
}
