//! Checks the agents' stores: load notices, unreadable entries, left-over locks, older stores.

use std::collections::HashSet;
use std::path::Path;

use super::credentials::{misnamed, rename};
use super::evidence::{Evidence, ExaminedAgent};
use super::finding::Finding;
use super::finding_id::FindingId;
use super::footprint::is_plain_copy;
use super::repair::Repair;
use crate::advice::fault_remedy;
use crate::advice::shell_path;
use clawkeep::internal::audit::{EventKind, Filter, KindFilter};
use clawkeep::internal::config::Layout;
use clawkeep::internal::domain::{AgentName, Credential, REMOVE_COMMAND, Seq};
use clawkeep::internal::export::StorePlace;
use clawkeep::internal::platform::{LockDir, LockState, exists, removal_command};
use clawkeep::internal::sync::{Notice, Writer};
use clawkeep::internal::vault::Vault;

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let layout = evidence.layout;
    let mut found = Vec::new();
    for examined in evidence.agents {
        found.extend(notice_findings(layout, examined));
        found.extend(merged(layout, examined));
        found.extend(entries(layout, examined));
        found.extend(legacy_auth(layout, examined));
        found.extend(lock(layout, examined));
    }
    found.extend(legacy_oauth(layout));
    found
}

/// Whether what another program wrote into an agent's store was merged after the event `before`.
#[must_use]
pub(crate) fn merged_since(vault: &Vault, agent: &AgentName, before: Option<Seq>) -> bool {
    let filter = Filter::default()
        .agent(agent.as_str().to_owned())
        .kinds(vec![KindFilter::only(EventKind::StoreMerged)])
        .limit(1);
    let newest = vault
        .history(&filter)
        .ok()
        .and_then(|mut events| events.next());
    newest.is_some_and(|event| event.is_ok_and(|event| Some(event.seq) > before))
}

fn notice_findings(layout: &Layout, examined: &ExaminedAgent) -> Vec<Finding> {
    let agent = &examined.agent.name;
    let finding = |notice: &Notice| {
        Some(match notice {
            Notice::SourceDamaged { place, fault } => {
                let message =
                    format!("{place} was not imported: {fault}; what is stored stays as it is");
                Finding::new(FindingId::SourceDamaged, message)
                    .path(place)
                    .advice(fault_remedy(place, fault, "the program it belongs to"))
            }
            Notice::BorrowedUnavailable { profile, from, why } => {
                let message = format!(
                    "{profile} is borrowed from {}, and {} {why}; what is stored stays as it is",
                    from.lender(),
                    from.path
                );
                Finding::new(FindingId::SourceDamaged, message)
                    .path(&from.path)
                    .profile(profile.as_str())
                    .advice(crate::advice::how_to_lend_again(profile, from, why))
            }
            Notice::SetAside {
                path,
                aside,
                fault,
                is_exported,
            } => {
                let message = format!(
                    "{} was damaged ({fault}); {}",
                    layout.shorten_home(path),
                    if *is_exported {
                        "the vault's copy was written in its place"
                    } else {
                        "the vault has a copy of it"
                    }
                );
                Finding::new(FindingId::StoreSetAside, message)
                    .path(aside)
                    .advice(format!(
                        "When you no longer need it: {REMOVE_COMMAND} {}",
                        shell_path(layout, aside)
                    ))
            }
            Notice::OldCopy {
                path,
                undoes,
                writer,
            } => {
                let ids = undoes
                    .removed
                    .iter()
                    .chain(&undoes.added)
                    .chain(&undoes.replaced);
                let mut changed: Vec<String> = ids.cloned().collect();
                let orders = undoes.orders.iter();
                changed.extend(orders.map(|provider| format!("the order of {provider}")));
                let message = format!(
                    "{} was written back by {} as an old copy; kept as a command set it: {}",
                    layout.shorten_home(path),
                    written_by(writer),
                    changed.join(", ")
                );
                Finding::new(FindingId::StoreOldCopy, message)
                    .agent(agent)
                    .path(path)
                    .advice("Restart that program, so that it reads the store again.")
            }
            Notice::OldCopyLeft { path, writer, .. } => {
                let message = format!(
                    "{} is an old copy that {} keeps writing back; the vault keeps what commands \
                     changed since",
                    layout.shorten_home(path),
                    written_by(writer)
                );
                Finding::new(FindingId::StoreLeft, message)
                    .agent(agent)
                    .path(path)
                    .advice(format!(
                        "Restart that program, then: clawkeep export{}",
                        crate::advice::of_agent(agent)
                    ))
            }
            Notice::Imported { profiles, .. } => {
                let profiles = clawkeep::internal::domain::counted(*profiles, "profile");
                Finding::new(
                    FindingId::LegacyImported,
                    format!("imported {profiles} from the older store"),
                )
                .agent(agent)
            }
            _ => return None,
        })
    };
    examined.notices.iter().filter_map(finding).collect()
}

/// The program that may have written a store, as far as it is known.
fn written_by(writer: &Writer) -> String {
    let named = writer.gateways.iter();
    let named: Vec<String> = named
        .map(|(pid, name)| format!("{name} (pid {pid})"))
        .collect();
    match named.is_empty() {
        true => "another program".to_owned(),
        false => format!("another program, probably {}", named.join(" or ")),
    }
}

fn merged(layout: &Layout, examined: &ExaminedAgent) -> Option<Finding> {
    let path = examined.agent.store_file();
    let shown = layout.shorten_home(&path);
    let message = format!("{shown} was changed by another program, and the changes were merged");
    examined.merged.then(|| {
        Finding::new(FindingId::StoreMerged, message)
            .agent(&examined.agent.name)
            .path(path)
            .advice("See what changed: clawkeep history --kind store.merged")
    })
}

fn entries(layout: &Layout, examined: &ExaminedAgent) -> Vec<Finding> {
    let unreadable = examined
        .doc
        .credentials()
        .filter(|(_, credential)| !credential.is_readable());
    let finding = |id: &str, credential: &Credential<'_>| {
        let (message, fix) = match credential.misnamed() {
            Some(found) => (
                format!("{id} {}: it is kept, and not used", misnamed(found)),
                rename(found, &layout.shorten_home(&examined.agent.store_file())),
            ),
            None => (
                format!(
                    "{id} is of no type that is known, or names no provider: it is kept, and not \
                     used"
                ),
                "Fix the entry in the store, or remove it there.".to_owned(),
            ),
        };
        Finding::new(FindingId::StoreEntry, message)
            .agent(&examined.agent.name)
            .profile(id)
            .path(examined.agent.store_file())
            .advice(fix)
    };
    unreadable
        .map(|(id, credential)| finding(id, &credential))
        .collect()
}

/// Older gateways keep their logins there, and later ones what they use: never ours to delete.
fn legacy_auth(layout: &Layout, examined: &ExaminedAgent) -> Option<Finding> {
    let path = examined.agent.dir.join("auth.json");
    let shown = layout.shorten_home(&path);
    let message = format!("{shown} is a plain copy: the gateway keeps there what it is using");
    holds_something(&path).then(|| {
        Finding::new(FindingId::LegacyAuth, message)
            .agent(&examined.agent.name)
            .path(&path)
            .advice(format!(
                "If no gateway runs on this machine any more: {REMOVE_COMMAND} {}",
                shell_path(layout, &path)
            ))
    })
}

fn legacy_oauth(layout: &Layout) -> Option<Finding> {
    let path = layout.oauth_file();
    let message = format!(
        "{} is a plain copy that gateways of before auth-profiles.json read",
        layout.shorten_home(&path)
    );
    holds_something(&path).then(|| {
        Finding::new(FindingId::LegacyOauth, message)
            .path(&path)
            .advice(format!(
                "If no such gateway is used any more: {REMOVE_COMMAND} {}",
                shell_path(layout, &path)
            ))
    })
}

fn holds_something(path: &Path) -> bool {
    exists(path) && is_plain_copy(path, &HashSet::new())
}

/// A lock that was left, or what is no lock and bars everybody. OpenClaw's are its own.
fn lock(layout: &Layout, examined: &ExaminedAgent) -> Option<Finding> {
    let place = StorePlace::of_agent(&examined.agent.dir).ok()?;
    if place.is_openclaws() {
        return None;
    }
    let store = place.real().to_owned();
    let lock = LockDir::path_for(&store);
    let shown = layout.shorten_home(&lock);
    let agent = &examined.agent.name;
    let unusable = |why: String| {
        let message = format!("{shown} keeps every program from locking the store: {why}");
        let (remove, word) = (removal_command(&lock), shell_path(layout, &lock));
        let advice = format!("If no gateway that made it is running: {remove} {word}");
        let finding = Finding::new(FindingId::LockUnusable, message).agent(agent);
        finding.path(&lock).advice(advice)
    };
    match LockDir::state(&store) {
        Ok(LockState::Usable) => None,
        Ok(LockState::Abandoned) => {
            let message = format!("{shown} was left by a program that has gone");
            let queue = examined.queue.clone();
            let finding = Finding::new(FindingId::LockStale, message).agent(agent);
            Some(
                finding
                    .path(&lock)
                    .repair(Repair::RemoveStaleLock { store, queue }),
            )
        }
        Ok(LockState::Unusable(fault)) => Some(unusable(fault.to_string())),
        Err(error) => Some(unusable(error.to_string())),
    }
}
