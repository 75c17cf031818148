//! Profiles that another program took out of a store and that can be put back.

use std::collections::BTreeMap;

use super::evidence::{Evidence, ExaminedAgent};
use super::finding::Finding;
use super::finding_id::FindingId;
use crate::advice::of_agent;
use crate::advice::shell_word;
use clawkeep::internal::audit::{EventKind, Filter, KindFilter, Origin};
use clawkeep::internal::domain::{AgentName, Credential, ProviderId, Section, StoreDoc, UnixMs};
use clawkeep::internal::vault::UnlockedVault;

/// How many removals of an agent are gone through, the newest first.
const REMOVALS_MAX: u64 = 200;

/// A profile that another program took out of a store, of which the vault keeps the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    /// The id of the vanished profile.
    pub(crate) id: String,
    /// The provider of the vanished profile.
    pub(crate) provider: ProviderId,
    /// When it was found to be gone.
    pub(crate) at: UnixMs,
    /// Whether several went at once, or the store was left without any.
    pub(crate) is_wholesale: bool,
}

impl Removed {
    /// The command that puts it back.
    #[must_use]
    pub(crate) fn restore_command(&self, agent: &AgentName) -> String {
        let profile = shell_word(&self.id);
        let agent_option = of_agent(agent);
        format!("clawkeep models auth restore {profile}{agent_option}")
    }
}

/// Returns the profiles that other programs removed from an agent's store, that `doc` does not have
/// and that can be restored, the newest removal first. Empty if the vault does not know.
#[must_use]
pub(crate) fn removed_elsewhere(
    vault: &UnlockedVault,
    agent: &AgentName,
    doc: &StoreDoc,
    now: UnixMs,
) -> Vec<Removed> {
    let filter = Filter::default()
        .agent(agent.as_str().to_owned())
        .kinds(vec![KindFilter::only(EventKind::ProfileRemoved)])
        .limit(REMOVALS_MAX);
    let Ok(events) = vault.history(&filter) else {
        return Vec::new();
    };
    let mut together: BTreeMap<i64, usize> = BTreeMap::new();
    let mut found: Vec<Removed> = Vec::new();
    let mut present = Vec::new();
    for event in events.flatten() {
        let Some(id) = event.profile.as_deref() else {
            continue;
        };
        let is_elsewhere = event.origin.as_ref() == Origin::StoreFile.as_str();
        if is_elsewhere {
            *together.entry(event.at.0).or_default() += 1;
        }
        if present.iter().any(|known| known == id) {
            continue; // its newest removal counts
        }
        present.push(id.to_owned());
        if is_elsewhere && doc.get(Section::Profiles, id).is_none() {
            found.push(Removed {
                id: id.to_owned(),
                provider: ProviderId::new(event.provider.as_deref().unwrap_or_default()),
                at: event.at,
                is_wholesale: false,
            });
        }
    }
    let is_kept = |removed: &Removed| {
        let versions = vault.versions(agent, &removed.id, now).unwrap_or_default();
        versions.iter().any(|version| {
            let entry = version.entry.as_ref();
            entry.is_some_and(|entry| {
                let is_spent = vault.is_spent(&Credential::of(entry.expose_secret()));
                !is_spent.unwrap_or(true)
            })
        })
    };
    found.retain(is_kept);
    let is_empty = doc.entries(Section::Profiles).next().is_none();
    let newest = found.first().map(|removed| removed.at);
    for removed in &mut found {
        let several = together.get(&removed.at.0).is_some_and(|count| *count > 1);
        removed.is_wholesale = several || (is_empty && Some(removed.at) == newest);
    }
    found
}

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let Some(vault) = evidence.vault.unlocked() else {
        return Vec::new();
    };
    let of = |examined: &ExaminedAgent| {
        let agent = &examined.agent.name;
        let removed = match examined.unopened.is_empty() {
            true => removed_elsewhere(vault, agent, &examined.doc, evidence.now),
            false => Vec::new(),
        };
        let wholesale = removed.into_iter().filter(|removed| removed.is_wholesale);
        let finding = |removed: Removed| {
            let message = format!(
                "another program wrote the store without {}; the vault keeps it for 30 days",
                removed.id
            );
            Finding::new(FindingId::StoreVanished, message)
                .agent(agent)
                .profile(&removed.id)
                .advice(format!("Put it back: {}", removed.restore_command(agent)))
        };
        wholesale.map(finding).collect::<Vec<_>>()
    };
    evidence.agents.iter().flat_map(of).collect()
}
