//! A store of this program's that lies in a directory of OpenClaw's, and its removal.
//!
//! OpenClaw with SQLite fails beside an `auth-profiles.json`. Such a file is removed only where it
//! is proved to be nothing but a copy of what the vault has: its bytes are those of the export's
//! digest, this program was the last to write it, and the vault holds every entry. An OpenClaw
//! without SQLite may use the file as its live store: it is never removed there.

use std::path::{Path, PathBuf};

use crate::audit::{Event, EventDraft, EventKind, Filter, KindFilter, Origin, Outcome};
use crate::domain::{AgentName, Section, from_outside, path_text};
use crate::export::{StorePlace, StoreReading};
use crate::platform::{Replaced, resolve_link};
use crate::sync::context::LoadContext;
use crate::sync::error::SyncError;
use crate::sync::store_lock::{LOCK_TIMEOUT, StoreLock};
use crate::vault::{UnlockedVault, Vault};

/// What an `auth-profiles.json` in a directory of OpenClaw's is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenClawCopy {
    /// There is no file at that path.
    Missing,
    /// A copy of what the vault has of an agent, as this program wrote it.
    Export {
        /// The agent that it was exported for.
        agent: AgentName,
    },
    /// Written by another program, or not proved to be as this program wrote it.
    NotOurs,
    /// As this program wrote it, and the vault does not, or perhaps not, hold these profiles.
    NotHeld {
        /// Their ids; none where rows of the vault do not open.
        profiles: Vec<String>,
    },
}

/// Finds out what the store at `site` is, and reads it. Changes nothing.
///
/// # Errors
/// When the store or the vault cannot be read.
pub fn examine_copy(vault: &UnlockedVault, site: &Path) -> Result<OpenClawCopy, SyncError> {
    let place = StorePlace::of_file(site)?;
    let reading = place.read()?;
    examine(vault, &place, &reading)
}

fn examine(
    vault: &UnlockedVault,
    place: &StorePlace,
    reading: &StoreReading,
) -> Result<OpenClawCopy, SyncError> {
    if !place.is_there() {
        return Ok(OpenClawCopy::Missing);
    }
    let known = vault.known_stores()?;
    let mut result = OpenClawCopy::NotOurs;
    for agent in vault.agents()? {
        let mut written_as: Option<PathBuf> = None;
        for (path, _) in &known {
            let Ok(Some(record)) = vault.export_record(path, &agent)? else {
                continue;
            };
            let is_as_known = match reading.bytes() {
                Some(bytes) => vault.is_as_exported(&record, bytes),
                // A link of this program's, whose copy in memory went with the session.
                None => place.link().is_some() && path == place.site(),
            };
            if is_as_known && was_last_written_by_us(vault, &agent, place, path)? {
                written_as = Some(path.clone());
            }
        }
        if written_as.is_none() {
            continue;
        }
        let state = vault.agent(&agent)?;
        if !state.unopened.is_empty() {
            result = OpenClawCopy::NotHeld {
                profiles: Vec::new(),
            };
            continue;
        }
        let StoreReading::Parsed { doc, .. } = reading else {
            return Ok(OpenClawCopy::Export { agent });
        };
        let is_missing = |id: &&str| state.doc.get(Section::Profiles, id).is_none();
        let ids = doc.entries(Section::Profiles).map(|(id, _)| id);
        let profiles: Vec<String> = ids.filter(is_missing).map(str::to_owned).collect();
        if profiles.is_empty() {
            return Ok(OpenClawCopy::Export { agent });
        }
        result = OpenClawCopy::NotHeld { profiles };
    }
    Ok(result)
}

/// Whether the newest event about the content of an agent's store is a write of this program's.
/// `known` is the path under which the vault knows the store: before OpenClaw's upgrade, another
/// one.
fn was_last_written_by_us(
    vault: &Vault,
    agent: &AgentName,
    place: &StorePlace,
    known: &Path,
) -> Result<bool, SyncError> {
    let kinds = [
        EventKind::ExportWritten,
        EventKind::StoreMerged,
        EventKind::ImportApplied,
    ];
    let filter = Filter {
        agent: Some(agent.as_str().to_owned()),
        kinds: kinds.map(KindFilter::only).to_vec(),
        ..Filter::default()
    };
    let is_of_store = |path: &str| {
        let path = Path::new(path);
        let leads_there = || resolve_link(path).is_ok_and(|real| real == place.site());
        path == known || path == place.path() || path == place.site() || leads_there()
    };
    for event in vault.history(&filter)? {
        let event = event?;
        let (path, reason) = (detail(&event, "path"), detail(&event, "reason"));
        if !path.is_some_and(|path| is_of_store(&path)) {
            continue; // of another store, or that none was written
        }
        if *event.kind != *EventKind::ExportWritten.as_str() {
            return Ok(false);
        }
        match reason.as_deref() {
            Some("reveal") => {}
            Some("removed") => return Ok(false),
            _ => return Ok(*event.outcome == *Outcome::Ok.as_str()),
        }
    }
    Ok(false)
}

fn detail(event: &Event, name: &str) -> Option<String> {
    let detail: serde_json::Value = serde_json::from_str(event.detail.as_deref()?).ok()?;
    Some(detail.get(name)?.as_str()?.to_owned())
}

/// Removes the store at `site`, if an OpenClaw with SQLite fails beside it and it is proved to be a
/// copy of what the vault has. Whether it was removed. Fails when the store, its queue or the vault
/// cannot be used.
pub(super) fn remove(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    site: &Path,
) -> Result<bool, SyncError> {
    vault.reload_keys()?;
    let place = StorePlace::of_file(site)?;
    let _queue = StoreLock::acquire(&context.lock_dir, &place, LOCK_TIMEOUT)?;
    let is_stopped = |place: &StorePlace| {
        let openclaw = place.openclaw_dir();
        openclaw.is_some_and(|openclaw| openclaw.evidence.is_database())
    };
    let reading = place.read()?;
    let found = examine(vault, &place, &reading)?;
    let OpenClawCopy::Export { agent } = found else {
        return Ok(false);
    };
    if !is_stopped(&place) || !place.is_as_found() {
        return Ok(false);
    }
    if place.withdraw(reading.bytes())? == Replaced::No {
        return Ok(false);
    }
    if let Some(copy) = place.link() {
        place.remove_copy(copy, reading.bytes())?;
    }
    let path = from_outside(&path_text(place.path()));
    let event = EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep)
        .detail("path", path)
        .detail("reason", "removed");
    let mut tx = vault.begin(context.actor, context.clock)?;
    tx.touch(&agent)?;
    tx.append(Some(&agent), event)?;
    tx.forget_export(place.site(), &agent)?;
    tx.commit()?;
    Ok(true)
}
