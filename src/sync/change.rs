//! From one document to the next: the rows that differ, each with its event.

use serde_json::{Value, json};

use super::error::SyncError;
use super::sources::Planned;
use crate::audit::{EventDraft, EventKind, Origin};
use crate::config::AgentRef;
use crate::domain::{Expiry, ProfileId, Section, StoreDoc, UnixMs};
use crate::export::StorePlace;
use crate::vault::{ChangeNote, Tx};

/// Longest text from outside in the record, in characters. Source: `spec/vault.md`, The audit record.
const TEXT_MAX: usize = 128;
/// Names listed in one event; the count says how many there were.
const NAMES_MAX: usize = 16;

/// Why a document changes.
pub(super) enum Step<'s> {
    /// Another program changed the store file; `first`: the vault saw it for the first time.
    Merge {
        /// Whether it is an import.
        first: bool,
    },
    /// An older store was imported.
    Legacy,
    /// A command changed it. Its own event says how.
    Edit,
    /// The sources changed it.
    Sync(&'s [Planned]),
}

impl Step<'_> {
    fn note(&self, profile: &str, existed: bool, remains: bool) -> ChangeNote {
        let kind = match (existed, remains) {
            (false, _) => EventKind::ProfileCreated,
            (true, true) => EventKind::ProfileUpdated,
            (true, false) => EventKind::ProfileRemoved,
        };
        match self {
            Self::Merge { first: true } => {
                ChangeNote::new(kind, Origin::StoreFile).detail("by", "import")
            }
            Self::Merge { first: false } => ChangeNote::new(kind, Origin::StoreFile),
            Self::Legacy => ChangeNote::new(kind, Origin::LegacyStore).detail("by", "import"),
            Self::Edit => ChangeNote::new(kind, Origin::Clawkeep),
            Self::Sync(planned) => {
                match planned.iter().find(|planned| planned.profile == profile) {
                    Some(planned) => planned.note(),
                    None => ChangeNote::new(kind, Origin::Clawkeep), // a sync touches no other profile
                }
            }
        }
    }
}

/// Text from outside, cut and without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .take(TEXT_MAX)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Writes the rows in which `after` differs from `before`.
pub(super) fn apply(
    tx: &mut Tx<'_>,
    agent: &AgentRef,
    before: &StoreDoc,
    after: &StoreDoc,
    step: &Step<'_>,
) -> Result<(), SyncError> {
    if before == after {
        return Ok(());
    }
    for (id, entry) in after.entries(Section::Profiles) {
        let old = before.get(Section::Profiles, id);
        if old != Some(entry) {
            tx.put_profile(
                &agent.name,
                &ProfileId::new(id),
                entry,
                step.note(id, old.is_some(), true),
            )?;
        }
    }
    for (id, _) in before.entries(Section::Profiles) {
        if after.get(Section::Profiles, id).is_none() {
            tx.remove_profile(&agent.name, &ProfileId::new(id), step.note(id, true, false))?;
        }
    }
    let ids = |doc: &StoreDoc| {
        doc.entries(Section::Profiles)
            .map(|(id, _)| id.to_owned())
            .collect::<Vec<_>>()
    };
    let (old, new) = (ids(before), ids(after));
    if !new.starts_with(&old) {
        tx.reorder_profiles(&agent.name, new.iter().map(String::as_str))?;
    }
    Ok(tx.put_sections(&agent.name, before, after)?)
}

/// Says what another program's changes to the store were, or what an older store brought: one event for all of it, and
/// one for each use it made.
pub(super) fn merge_events(
    tx: &mut Tx<'_>,
    agent: &AgentRef,
    place: &StorePlace,
    before: &StoreDoc,
    after: &StoreDoc,
    step: &Step<'_>,
) -> Result<(), SyncError> {
    let is_merge = matches!(step, Step::Merge { first: false });
    let mut event = match step {
        Step::Legacy => EventDraft::new(EventKind::ImportApplied, Origin::LegacyStore),
        _ if is_merge => EventDraft::new(EventKind::StoreMerged, Origin::StoreFile),
        _ => EventDraft::new(EventKind::ImportApplied, Origin::StoreFile),
    };
    if !matches!(step, Step::Legacy) {
        event = event.detail("path", shown(&place.path().to_string_lossy()));
    }
    for section in Section::ALL {
        let changed = differing(before, after, section);
        if !changed.is_empty() {
            let names: Vec<Value> = changed
                .iter()
                .take(NAMES_MAX)
                .map(|name| json!(shown(name)))
                .collect();
            event = event.detail(
                section.key(),
                json!({"changed": changed.len(), "names": names}),
            );
        }
    }
    tx.append(Some(&agent.name), event)?;
    if is_merge {
        observed_use(tx, agent, before, after)?;
    }
    Ok(())
}

fn differing<'d>(before: &'d StoreDoc, after: &'d StoreDoc, section: Section) -> Vec<&'d str> {
    let changed = after
        .entries(section)
        .filter(|(key, value)| before.get(section, key) != Some(*value));
    let removed = before
        .entries(section)
        .filter(|(key, _)| after.get(section, key).is_none());
    changed.chain(removed).map(|(key, _)| key).collect()
}

/// A later `lastUsed` is a use by the gateway: at most one a profile and load. Source: `spec/compat.md`.
fn observed_use(
    tx: &mut Tx<'_>,
    agent: &AgentRef,
    before: &StoreDoc,
    after: &StoreDoc,
) -> Result<(), SyncError> {
    let last_used = |doc: &StoreDoc, id: &str| {
        Expiry::from_json(doc.get(Section::Usage, id).and_then(|u| u.get("lastUsed")))
    };
    for (id, _) in after.entries(Section::Usage) {
        let Some(used) = last_used(after, id) else {
            continue;
        };
        if last_used(before, id).is_some_and(|known| known >= used) {
            continue;
        }
        let provider = after
            .credential(id)
            .map(|credential| credential.provider.to_lowercase())
            .unwrap_or_default();
        let event = EventDraft::new(EventKind::CredentialUsed, Origin::StoreFile)
            .profile(&ProfileId::new(id), &provider);
        tx.append(
            Some(&agent.name),
            event.detail("lastUsed", UnixMs(used.floor_ms()).0),
        )?;
    }
    Ok(())
}
