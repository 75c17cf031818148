//! The agents' stores: what loading them told, entries that cannot be read, locks that were left, and older stores.

use std::collections::HashSet;
use std::path::Path;

use super::footprint::is_plain_copy;
use super::words::shell_path;
use super::{Evidence, ExaminedAgent, Finding, FindingId, Repair};
use crate::audit::{EventKind, Filter, KindFilter};
use crate::config::Layout;

use crate::domain::{AgentName, Owner, Seq};
use crate::export::StorePlace;
use crate::platform::{LockDir, exists};
use crate::sync::{Notice, Writer};
use crate::vault::Vault;

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let layout = evidence.layout;
    let mut found = Vec::new();
    for examined in evidence.agents {
        found.extend(told(layout, examined));
        found.extend(merged(layout, examined));
        found.extend(entries(examined));
        found.extend(withheld(layout, examined));
        found.extend(legacy_auth(layout, examined));
        found.extend(stale_lock(layout, examined));
    }
    found.extend(legacy_oauth(layout));
    found
}

/// Whether what another program wrote into an agent's store was merged after the event `before`.
#[must_use]
pub fn merged_since(vault: &Vault, agent: &AgentName, before: Option<Seq>) -> bool {
    let filter = Filter {
        agent: Some(agent.as_str().to_owned()),
        kinds: vec![KindFilter::only(EventKind::StoreMerged)],
        limit: Some(1),
        ..Filter::default()
    };
    let newest = vault
        .history(&filter)
        .ok()
        .and_then(|mut events| events.next());
    newest.is_some_and(|event| event.is_ok_and(|event| Some(event.seq) > before))
}

/// What the load had to tell.
fn told(layout: &Layout, examined: &ExaminedAgent) -> Vec<Finding> {
    let agent = &examined.agent.name;
    let finding = |notice: &Notice| {
        Some(match notice {
            Notice::SourceDamaged { place, fault } => {
                let message =
                    format!("{place} was not taken over: {fault}; what is stored stays as it is");
                at(place, Finding::new(FindingId::SourceDamaged, message))
                    .advice("Log in again with the program it belongs to, then: clawkeep sync")
            }
            Notice::SourceLoggedOut { place, profile } => {
                let message =
                    format!("{place} holds no login any more; {profile} is kept as it was");
                at(place, Finding::new(FindingId::SourceLoggedOut, message))
                    .profile(*profile)
                    .advice(super::credentials::login_again(Owner::of(profile)))
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
                        "Once nothing in it is missed: rm {}",
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
                    "{} is an old copy that {} keeps writing back; the vault keeps what commands changed since",
                    layout.shorten_home(path),
                    written_by(writer)
                );
                Finding::new(FindingId::StoreLeft, message)
                    .agent(agent)
                    .path(path)
                    .advice(format!(
                        "Restart that program, then: clawkeep export{}",
                        super::credentials::of_agent(agent)
                    ))
            }
            Notice::Imported { profiles, .. } => {
                let profiles = super::words::counted(*profiles, "profile");
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

/// Who may have written a store, as far as that is known.
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

/// A source is a file, or an item of the keychain, which has no path.
fn at(place: &str, finding: Finding) -> Finding {
    if Path::new(place).is_absolute() {
        finding.path(place)
    } else {
        finding
    }
}

fn merged(layout: &Layout, examined: &ExaminedAgent) -> Option<Finding> {
    let path = examined.agent.store_file();
    let message = format!(
        "{} was changed by another program, and the changes were merged",
        layout.shorten_home(&path)
    );
    examined.merged.then(|| {
        Finding::new(FindingId::StoreMerged, message)
            .agent(&examined.agent.name)
            .path(path)
            .advice("See what changed: clawkeep history --kind store.merged")
    })
}

fn entries(examined: &ExaminedAgent) -> Vec<Finding> {
    let unreadable = examined
        .doc
        .credentials()
        .filter(|(_, credential)| !credential.is_readable());
    let finding = |id: &str| {
        let message = format!(
            "{id} is of no type that is known, or names no provider: it is kept, and not used"
        );
        Finding::new(FindingId::StoreEntry, message)
            .agent(&examined.agent.name)
            .profile(id)
            .path(examined.agent.store_file())
            .advice("Mend the entry in the store, or take it out there.")
    };
    unreadable.map(|(id, _)| finding(id)).collect()
}

fn withheld(layout: &Layout, examined: &ExaminedAgent) -> Option<Finding> {
    let place = StorePlace::of_agent(&examined.agent.dir).ok()?;
    let message = format!(
        "{} belongs to a newer gateway, which refuses to start beside an auth-profiles.json, so none is written there",
        layout.shorten_home(place.dir())
    );
    place.is_newer_gateways().then(|| {
        Finding::new(FindingId::StoreWithheld, message)
            .agent(&examined.agent.name)
            .path(place.dir())
            .advice("To write one elsewhere: clawkeep export --to FILE --reveal")
    })
}

/// A gateway of before the store keeps its logins there, and later ones what they use at run time: never ours to delete.
fn legacy_auth(layout: &Layout, examined: &ExaminedAgent) -> Option<Finding> {
    let path = examined.agent.dir.join("auth.json");
    let message = format!(
        "{} is a plain copy: the gateway keeps there what it is using",
        layout.shorten_home(&path)
    );
    holds_something(&path).then(|| {
        Finding::new(FindingId::LegacyAuth, message)
            .agent(&examined.agent.name)
            .path(&path)
            .advice(format!(
                "If no gateway runs on this machine any more: rm {}",
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
                "If no such gateway is used any more: rm {}",
                shell_path(layout, &path)
            ))
    })
}

fn holds_something(path: &Path) -> bool {
    exists(path) && is_plain_copy(path, &HashSet::new())
}

fn stale_lock(layout: &Layout, examined: &ExaminedAgent) -> Option<Finding> {
    let place = StorePlace::of_agent(&examined.agent.dir).ok()?;
    let store = place.real().to_owned();
    let lock = LockDir::path_for(&store);
    let message = format!(
        "{} was left by a program that has gone",
        layout.shorten_home(&lock)
    );
    LockDir::is_abandoned(&store).then(|| {
        Finding::new(FindingId::LockStale, message)
            .agent(&examined.agent.name)
            .path(lock)
            .repair(Repair::RemoveStaleLock {
                store,
                queue: examined.queue.clone(),
            })
    })
}
