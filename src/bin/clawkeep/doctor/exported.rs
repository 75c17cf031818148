//! Stores that lie where the settings say that they should not.

use super::evidence::{Evidence, ExaminedAgent};
use super::finding::Finding;
use super::finding_id::FindingId;
use clawkeep::internal::config::{ExportMode, OwnSettings};
use clawkeep::internal::domain::Section;
use clawkeep::internal::export::StorePlace;
use clawkeep::internal::platform::RuntimeDir;

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = evidence
        .agents
        .iter()
        .filter_map(|examined| on_a_disk(evidence, examined))
        .collect();
    if let Some(own) = evidence.own {
        let plain = evidence.agents.iter();
        found.extend(plain.filter_map(|examined| still_a_file(evidence, own, examined)));
    }
    found
}

/// A store that is a file, although its agent's is to be none.
fn still_a_file(
    evidence: &Evidence<'_>,
    own: &OwnSettings,
    examined: &ExaminedAgent,
) -> Option<Finding> {
    let mode = own.export_of(&examined.agent, &evidence.layout.data_dir);
    let place = StorePlace::of_agent(&examined.agent.dir).ok()?;
    let is_file = std::fs::symlink_metadata(place.site()).is_ok_and(|meta| meta.is_file());
    let holds_any = examined.doc.entries(Section::Profiles).next().is_some();
    if mode == ExportMode::File || !is_file || !holds_any {
        return None;
    }
    let shares = |other: &&ExaminedAgent| {
        let other_place = StorePlace::of_agent(&other.agent.dir);
        own.export_of(&other.agent, &evidence.layout.data_dir) == ExportMode::File
            && other_place.is_ok_and(|other| other.site() == place.site())
    };
    let (why, fix) = match evidence.agents.iter().find(shares) {
        _ if place.is_openclaws() => (
            "the directory belongs to a newer gateway, OpenClaw, and nothing is written there"
                .to_owned(),
            "Once that gateway does not need it: remove the file".to_owned(),
        ),
        Some(other) => {
            let other = &other.agent.name;
            (
                format!("it is the store of agent {other} too, for which it is \"file\""),
                format!("Set the same export for agent {other}, or give it a store of its own."),
            )
        }
        None => (
            "it could not be removed".to_owned(),
            "Import and remove it: clawkeep sync".to_owned(),
        ),
    };
    let message = format!(
        "{} is a plain file, although clawkeep.export is \"{}\" for {}: {why}",
        evidence.layout.shorten_home(place.path()),
        mode.as_str(),
        examined.agent.name
    );
    let finding = Finding::new(FindingId::FootprintStore, message);
    Some(
        finding
            .agent(&examined.agent.name)
            .path(place.path())
            .advice(fix),
    )
}

/// A copy that should be in memory, in a runtime directory that is not.
fn on_a_disk(evidence: &Evidence<'_>, examined: &ExaminedAgent) -> Option<Finding> {
    let place = StorePlace::of_agent(&examined.agent.dir).ok()?;
    let runtime = RuntimeDir::find(Some(place.link()?.ancestors().nth(3)?)).ok()?;
    if runtime.is_in_memory() != Some(false) || !place.real().exists() {
        return None;
    }
    let message = format!(
        "the runtime directory {} is on a disk, and so is the copy of a store in it",
        evidence.layout.shorten_home(runtime.path())
    );
    let finding = Finding::new(FindingId::FootprintRuntime, message);
    Some(finding.path(runtime.path()).advice(
        "Set XDG_RUNTIME_DIR to a directory in memory (tmpfs), or clawkeep.export to \"off\", \
         then: clawkeep sync",
    ))
}
