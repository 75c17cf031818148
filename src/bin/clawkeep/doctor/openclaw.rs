//! OpenClaw beside this program: where it is, and what of ours lies in its directories.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::evidence::Evidence;
use super::finding::Finding;
use super::finding_id::FindingId;
use super::repair::Repair;
use crate::advice::shell_path;
use clawkeep::internal::config::Layout;
use clawkeep::internal::discover::{Discovered, InVault, VaultSecrets};
use clawkeep::internal::domain::{Owner, is_hidden};
use clawkeep::internal::export::StorePlace;
use clawkeep::internal::platform::canonicalize;
use clawkeep::internal::platform::openclaw::{OpenClawDir, json_stores, present_dirs};
use clawkeep::internal::sync::{OpenClawCopy, examine_copy};

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let places = evidence.agents.iter();
    let places: Vec<StorePlace> = places
        .filter_map(|examined| StorePlace::of_agent(&examined.agent.dir).ok())
        .collect();
    let mut found: Vec<Finding> = places
        .iter()
        .filter_map(|place| place.openclaw_dir())
        .map(|openclaw| withheld(evidence.layout, &openclaw))
        .collect();
    found.extend(copies(evidence, &places));
    found.extend(elsewhere(evidence, &places));
    found
}

/// The agents' stores are in a directory of OpenClaw's.
fn withheld(layout: &Layout, openclaw: &OpenClawDir) -> Finding {
    let what = match openclaw.evidence.is_database() {
        true => "",
        false => ", and reads that file without writing or removing it or refreshing its logins",
    };
    let message = format!(
        "{} belongs to a newer gateway, OpenClaw, {}, so clawkeep writes none there{what}",
        layout.shorten_home(&openclaw.root),
        openclaw.why_not_written()
    );
    Finding::new(FindingId::StoreWithheld, message)
        .path(&openclaw.root)
        .advice("To write one elsewhere: clawkeep export --to FILE --reveal")
}

/// Stores that make an OpenClaw with SQLite fail, whichever program wrote them.
fn copies(evidence: &Evidence<'_>, places: &[StorePlace]) -> Vec<Finding> {
    let known = evidence
        .vault
        .locked()
        .and_then(|vault| vault.known_stores().ok());
    let known = known.unwrap_or_default().into_iter().map(|(path, _)| path);
    let of_agents = places.iter().map(|place| place.path().to_owned());
    let in_openclaws = present_dirs().into_iter().flat_map(|dir| json_stores(&dir));
    let mut checked = BTreeSet::new();
    let mut is_new = |place: &StorePlace| checked.insert(place.site().to_owned());
    of_agents
        .chain(known)
        .chain(in_openclaws)
        .filter_map(|path| StorePlace::of_file(&path).ok())
        .filter(|place| place.is_there() && is_new(place))
        .filter_map(|place| copy(evidence, &place))
        .collect()
}

fn copy(evidence: &Evidence<'_>, place: &StorePlace) -> Option<Finding> {
    place
        .openclaw_dir()
        .filter(|dir| dir.evidence.is_database())?;
    let (layout, site) = (evidence.layout, place.site());
    let examined = evidence
        .vault
        .unlocked()
        .map(|vault| examine_copy(vault, site));
    let (what, advice) = match examined {
        Some(Ok(OpenClawCopy::Missing)) => return None,
        Some(Ok(OpenClawCopy::Export { .. })) => (
            "it is clawkeep's copy, and the vault holds every entry".to_owned(),
            None,
        ),
        Some(Ok(OpenClawCopy::NotHeld { profiles })) => {
            let what = match profiles.is_empty() {
                true => "rows of the vault do not open".to_owned(),
                false => format!("the vault does not hold {}", shown(&profiles)),
            };
            let file = shell_path(layout, site);
            (
                what,
                Some(format!(
                    "To take its entries into the vault: clawkeep import {file}"
                )),
            )
        }
        Some(Ok(OpenClawCopy::NotOurs)) => (
            "it is not as clawkeep wrote it".to_owned(),
            Some("OpenClaw imports and archives it with: openclaw doctor --fix".to_owned()),
        ),
        Some(Err(error)) => (
            format!("it cannot be compared with the vault: {error}"),
            Some("OpenClaw imports and archives it with: openclaw doctor --fix".to_owned()),
        ),
        None => (
            "whether the vault holds its entries is not known while the vault is closed".to_owned(),
            Some("Open the vault first: clawkeep doctor".to_owned()),
        ),
    };
    let message = format!(
        "{} makes OpenClaw fail, which keeps its credentials in SQLite: {what}",
        layout.shorten_home(site)
    );
    let finding = Finding::new(FindingId::StoreBesideOpenclaw, message).path(site);
    Some(match advice {
        Some(advice) => finding.advice(advice),
        None => finding.repair(Repair::RemoveOpenClawCopy {
            site: site.to_owned(),
        }),
    })
}

fn shown(ids: &[String]) -> String {
    const SHOWN_MAX: usize = 5;
    let plain = |id: &String| id.replace(is_hidden, "\u{fffd}");
    let mut shown: Vec<String> = ids.iter().take(SHOWN_MAX).map(plain).collect();
    if ids.len() > SHOWN_MAX {
        shown.push(format!("and {} more", ids.len() - SHOWN_MAX));
    }
    shown.join(", ")
}

/// OpenClaw has a directory of its own, which no agent here uses.
fn elsewhere(evidence: &Evidence<'_>, places: &[StorePlace]) -> Vec<Finding> {
    let layout = evidence.layout;
    let is_in_use = |dir: &Path| {
        let real = canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        places.iter().any(|place| place.site().starts_with(&real))
    };
    let secrets = evidence.vault.unlocked();
    let secrets = secrets.and_then(|vault| VaultSecrets::of(vault).ok());
    // An earlier token of a login that was imported is no reason to import the file again.
    let is_lacking = |store: &Path| {
        let Some(secrets) = &secrets else { return true };
        let real = canonicalize(store).ok();
        let is_of_store = |found: &&Discovered| canonicalize(&found.path).ok() == real;
        let mut all = evidence.discovered.credentials.iter().filter(is_of_store);
        all.any(|found| secrets.find(found) == Some(InVault::No))
    };
    let describe = |dir: PathBuf| {
        let stores = json_stores(&dir);
        let database = clawkeep::internal::platform::openclaw::is_openclaw_dir(&dir)
            .is_some_and(|evidence| evidence.is_database());
        let what = match database {
            true => "reads them (clawkeep status) and writes nothing there",
            false => "neither reads nor writes that directory by itself",
        };
        let message = format!(
            "OpenClaw keeps its own credentials in {}: clawkeep {what}",
            layout.shorten_home(&dir)
        );
        let finding = Finding::new(FindingId::StoreOpenclaw, message).path(&dir);
        if database || stores.is_empty() {
            let connected = layout.connected_dir().join(Owner::OpenClaw.as_str());
            return match connected.is_file() {
                true => finding,
                false => {
                    finding.advice("To hand OpenClaw keys of this vault: clawkeep connect openclaw")
                }
            };
        }
        match stores.iter().find(|store| is_lacking(store)) {
            Some(store) => finding.advice(format!(
                "To use them here, too: clawkeep import {}",
                shell_path(layout, store)
            )),
            None => finding,
        }
    };
    let dirs = present_dirs().into_iter();
    dirs.filter(|dir| !is_in_use(dir)).map(describe).collect()
}
