//! From one document to the next: the rows that differ, each with its event.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::merge::StoreMerge;
use super::old_copy::OldCopy;
use super::step::Step;
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::config::AgentRef;
use crate::domain::{
    Credential, Endpoint, Expiry, Owner, ProfileId, Section, StoreDoc, UnixMs, from_outside,
    normalize_provider, path_text, same_json,
};
use crate::export::StorePlace;
use crate::sync::context::Endpoints;
use crate::sync::error::SyncError;
use crate::sync::merge::{Change, Place};
use crate::vault::Tx;

/// Names listed in one event; the count says how many there were.
const NAMES_MAX: usize = 16;

/// What logins are pinned to when they come.
pub(crate) struct Pinning<'p> {
    /// What those are pinned to that have been there.
    pub(crate) known: &'p BTreeMap<String, Endpoint>,
    /// What others are to be.
    pub(crate) endpoints: Option<Endpoints<'p>>,
}

impl Pinning<'_> {
    /// Another provider's name alone makes it no other login: its token stays where it belongs.
    fn of(&self, id: &str, entry: &Value, before: Option<&Value>) -> Option<Endpoint> {
        let credential = Credential::of(entry);
        credential.expose_refresh()?;
        let provider = |entry| normalize_provider(Credential::of(entry).provider);
        let is_others = before.is_some_and(|before| {
            // Another provider's name alone makes no other login: its token stays where it belongs.
            provider(before) != provider(entry)
                && Credential::of(before).expose_refresh() != credential.expose_refresh()
        });
        if Owner::of(id) != Owner::Vault || (self.known.contains_key(id) && !is_others) {
            return None;
        }
        (self.endpoints?)(&credential)
    }
}

/// Writes the rows in which `after` differs from `before`; they are not the same.
pub(crate) fn apply(
    tx: &mut Tx<'_>,
    agent: &AgentRef,
    (before, after): (&StoreDoc, &StoreDoc),
    step: &Step<'_>,
    pinning: &Pinning<'_>,
) -> Result<(), SyncError> {
    for (id, entry) in after.entries(Section::Profiles) {
        let old = before.get(Section::Profiles, id);
        if !old.is_some_and(|old| same_json(old, entry)) {
            tx.put_profile(
                &agent.name,
                &ProfileId::new(id),
                entry,
                step.note(id, old.is_some(), true),
            )?;
            if let Some(endpoint) = pinning.of(id, entry, old) {
                tx.pin_endpoint(&agent.name, &ProfileId::new(id), &endpoint)?;
            }
        }
    }
    for (id, _) in before.entries(Section::Profiles) {
        if after.get(Section::Profiles, id).is_none() {
            tx.remove_profile(&agent.name, &ProfileId::new(id), step.note(id, true, false))?;
        }
    }
    let mut first = ids(after);
    if !ids(before).all(|id| first.next() == Some(id)) {
        tx.reorder_profiles(&agent.name, ids(after))?;
    }
    Ok(tx.put_sections(&agent.name, before, after)?)
}

fn ids(doc: &StoreDoc) -> impl Iterator<Item = &str> {
    doc.entries(Section::Profiles).map(|(id, _)| id)
}

/// Records another program's changes to the store, or what an older store brought: one event for
/// all of it, one for each credential that gave way, and one for each use that was made.
pub(crate) fn merge_events(
    tx: &mut Tx<'_>,
    agent: &AgentRef,
    place: &StorePlace,
    before: &StoreDoc,
    merge: &StoreMerge,
) -> Result<(), SyncError> {
    for (profile, entry) in &merge.lost {
        tx.keep_lost(&agent.name, profile, entry.expose_secret())?;
    }
    let Some(after) = &merge.doc else {
        return Ok(());
    };
    let path = from_outside(&path_text(place.path()));
    let event = match merge.step {
        Step::Legacy => {
            let ids = after
                .entries(Section::Profiles)
                .map(|(id, _)| from_outside(id));
            EventDraft::new(EventKind::ImportApplied, Origin::LegacyStore)
                .detail("profiles", ids.take(NAMES_MAX).collect::<Vec<_>>())
        }
        Step::Merge { first: false } => {
            EventDraft::new(EventKind::StoreMerged, Origin::StoreFile).detail("path", path)
        }
        _ => EventDraft::new(EventKind::ImportApplied, Origin::StoreFile).detail("path", path),
    };
    let event = if merge.spent.is_empty() {
        event
    } else {
        let ids = merge.spent.iter().map(|id| from_outside(id));
        event.detail("spent", ids.take(NAMES_MAX).collect::<Vec<_>>())
    };
    let event = changed_on("file", event, merge, |change| change.vault.is_some());
    let event = changed_on("vault", event, merge, |change| change.file.is_some());
    tx.append(Some(&agent.name), event)?;
    if matches!(merge.step, Step::Merge { first: false }) {
        for event in observed_use(before, after, Origin::StoreFile) {
            tx.append(Some(&agent.name), event)?;
        }
    }
    Ok(())
}

/// The event of an old copy that another program wrote, with what was not merged of it.
pub(crate) fn old_copy_event(place: &StorePlace, old: &OldCopy, is_written: bool) -> EventDraft {
    let path = from_outside(&path_text(place.path()));
    let event = EventDraft::new(EventKind::StoreMerged, Origin::StoreFile)
        .outcome(Outcome::Skipped)
        .detail("path", path)
        .detail("why", "old copy")
        .detail("round", old.rounds)
        .detail("written", is_written);
    let undoes = &old.undoes;
    let names = [
        ("removed", &undoes.removed),
        ("added", &undoes.added),
        ("replaced", &undoes.replaced),
        ("orders", &undoes.orders),
    ];
    names
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .fold(event, |event, (what, names)| {
            let names = names.iter().map(|name| from_outside(name));
            event.detail(what, names.take(NAMES_MAX).collect::<Vec<_>>())
        })
}

/// Adds what one side changed: the names by section, as many as fit, and how many there were.
fn changed_on(
    side: &str,
    event: EventDraft,
    merge: &StoreMerge,
    has: impl Fn(&Change) -> bool,
) -> EventDraft {
    let mut sections: Map<String, Value> = Map::new();
    let mut count = 0_usize;
    for change in merge.changes.iter().filter(|change| has(change)) {
        let (section, name) = match &change.place {
            Place::Entry { section, key } => (section.key(), key),
            Place::Field { name } => ("fields", name),
        };
        count += 1;
        if count <= NAMES_MAX
            && let Value::Array(names) = sections.entry(section).or_insert_with(|| json!([]))
        {
            names.push(json!(from_outside(name)));
        }
    }
    if count == 0 {
        return event;
    }
    if count > NAMES_MAX {
        sections.insert("more".to_owned(), json!(count - NAMES_MAX));
    }
    event.detail(side, Value::Object(sections))
}

/// The events of what the gateway's statistics say of its credentials: a later `lastUsed` is a use,
/// a later `cooldownUntil` is a failure and a cooldown, and one that is gone was cleared. At most
/// one of each for a profile and load. Source: `spec/compat.md`.
pub(crate) fn observed_use(before: &StoreDoc, after: &StoreDoc, origin: Origin) -> Vec<EventDraft> {
    let mut events = Vec::new();
    for (id, usage) in after.entries(Section::Usage) {
        let known = before.get(Section::Usage, id);
        if known.is_some_and(|known| same_json(known, usage)) {
            continue;
        }
        let provider = after
            .credential(id)
            .map(|credential| normalize_provider(credential.provider))
            .unwrap_or_default();
        let profile = ProfileId::new(id);
        for (kind, details) in observed(known, usage) {
            let outcome = match kind {
                EventKind::CredentialFailed => Outcome::Failed,
                _ => Outcome::Ok,
            };
            let event = EventDraft::new(kind, origin)
                .outcome(outcome)
                .profile(&profile, &provider);
            let event = details
                .into_iter()
                .fold(event, |event, (name, value)| event.detail(name, value));
            events.push(event);
        }
    }
    events
}

/// An event that a change of a usage entry stands for, with its details.
type Observed = (EventKind, Vec<(&'static str, Value)>);

fn observed(before: Option<&Value>, after: &Value) -> Vec<Observed> {
    let time = |usage: Option<&Value>, field: &str| {
        Expiry::from_json(usage.and_then(|usage| usage.get(field))).filter(|at| at.ms() > 0.0)
    };
    let ms = |at: Expiry| json!(UnixMs(at.floor_ms()).0);
    let mut events = Vec::new();
    let used = time(Some(after), "lastUsed");
    if let Some(used) = used.filter(|used| time(before, "lastUsed").is_none_or(|old| old < *used)) {
        events.push((EventKind::CredentialUsed, vec![("lastUsed", ms(used))]));
    }
    let failed = time(Some(after), "lastFailureAt");
    if let Some(failed) =
        failed.filter(|at| time(before, "lastFailureAt").is_none_or(|old| old < *at))
    {
        let mut details = vec![("lastFailureAt", ms(failed))];
        let reasons = more_failures(before, after);
        if !reasons.is_empty() {
            details.push(("reason", json!(reasons.join(", "))));
        }
        if let Some(failures) = after.get("errorCount").filter(|count| count.is_number()) {
            details.push(("failures", failures.clone()));
        }
        events.push((EventKind::CredentialFailed, details));
    }
    let mut was_lifted = false;
    for field in ["cooldownUntil", "disabledUntil"] {
        let (old, new) = (time(before, field), time(Some(after), field));
        match new {
            Some(until) if old.is_none_or(|old| old < until) => {
                let mut details = vec![("until", ms(until))];
                if let Some(failures) = after.get("errorCount").filter(|count| count.is_number()) {
                    details.push(("failures", failures.clone()));
                }
                if let Some(reason) = after.get("disabledReason").and_then(Value::as_str)
                    && field == "disabledUntil"
                {
                    details.push(("reason", json!(from_outside(reason))));
                }
                events.push((EventKind::CooldownSet, details));
            }
            None => was_lifted |= old.is_some(),
            Some(_) => {}
        }
    }
    if was_lifted {
        events.push((EventKind::CooldownCleared, Vec::new()));
    }
    events
}

/// The reasons of which there are more failures than before.
fn more_failures(before: Option<&Value>, after: &Value) -> Vec<String> {
    let count = |usage: Option<&Value>, reason: &str| {
        let counts = usage.and_then(|usage| usage.get("failureCounts"));
        counts
            .and_then(|counts| counts.get(reason)?.as_f64())
            .unwrap_or(0.0)
    };
    let counts = after.get("failureCounts").and_then(Value::as_object);
    let reasons = counts.into_iter().flat_map(Map::keys);
    reasons
        .filter(|reason| count(Some(after), reason) > count(before, reason))
        .take(NAMES_MAX)
        .map(|reason| from_outside(reason))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_statistics_tell() {
        let events = |before: Value, after: Value| -> Vec<String> {
            observed(Some(&before), &after)
                .into_iter()
                .map(|(kind, details)| {
                    let details: Map<String, Value> = details
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect();
                    format!("{} {}", kind.as_str(), Value::Object(details))
                })
                .collect()
        };
        assert_eq!(
            events(
                json!({"lastUsed": 5}),
                json!({"lastUsed": 7.5, "cooldownUntil": 90, "errorCount": 2})
            ),
            [
                r#"credential.used {"lastUsed":7}"#,
                r#"cooldown.set {"until":90,"failures":2}"#
            ]
        );
        assert_eq!(
            events(
                json!({"lastFailureAt": 3, "failureCounts": {"auth": 1}}),
                json!({
                    "lastFailureAt": 8, "errorCount": 3,
                    "failureCounts": {"auth": 1, "rate_limit": 2},
                })
            ),
            [r#"credential.failed {"lastFailureAt":8,"reason":"rate_limit","failures":3}"#]
        );
        assert_eq!(
            events(
                json!({}),
                json!({"disabledUntil": 90, "disabledReason": "billing"})
            ),
            [r#"cooldown.set {"until":90,"reason":"billing"}"#]
        );
        assert_eq!(
            events(
                json!({"cooldownUntil": 90, "disabledUntil": 5}),
                json!({"errorCount": 0})
            ),
            ["cooldown.cleared {}"]
        );
        for (before, after) in [
            (json!({"lastUsed": 7}), json!({"lastUsed": 5, "x": 1})),
            (json!({"cooldownUntil": 90}), json!({"cooldownUntil": 80})),
            (json!({}), json!({"lastUsed": "x", "cooldownUntil": 0})),
            (json!({}), json!(3)),
        ] {
            assert!(
                events(before.clone(), after.clone()).is_empty(),
                "{before} {after}"
            );
        }
    }
}
