//! Looking for what is wrong, and mending what can be mended safely.
//!
//! A check is a function from what it needs to findings; [`examine`] calls them all. What opening the vault, reading the
//! configuration and loading the agents ran into is the caller's to tell: it has words and remedies for every failure.

mod clock;
mod configuration;
mod credentials;
mod editors;
mod exported;
mod finding;
mod footprint;
mod logins;
mod moved_agent;
mod openclaw;
mod permissions;
mod repair;
mod stores;
mod synced;
mod vanished;
mod vault;
mod words;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

pub(crate) use credentials::is_short_lived;
pub use credentials::{
    how_to_lend_again, how_to_log_in, how_to_renew, how_to_replace, login_again, misnamed,
    of_agent, paste,
};
pub use finding::{Finding, FindingId, Fix, Level};
pub use repair::{Premises, Repair, RepairError, Repaired};
pub use stores::merged_since;
pub use vanished::{Removed, removed_elsewhere};
pub use words::{shell_path, shell_word};

use crate::audit::Head;
use crate::config::{AgentRef, Layout, OwnSettings, Settings};
use crate::domain::{AgentName, Borrowed, ProfileId, Section, StoreDoc, UnixMs};
use crate::oauth::Providers;
use crate::sync::{LoginReport, Notice};
use crate::vault::{UnlockedVault, Vault};

/// The vault as far as it could be opened.
#[derive(Debug)]
pub enum OpenVault {
    /// Not at all.
    Unusable,
    /// Without its key: the record can be read, and nothing opened.
    Locked(Vault),
    /// With its key.
    Unlocked(Box<UnlockedVault>),
}

impl OpenVault {
    /// What can be had without the key.
    #[must_use]
    pub fn locked(&self) -> Option<&Vault> {
        match self {
            Self::Unusable => None,
            Self::Locked(vault) => Some(vault),
            Self::Unlocked(vault) => Some(vault),
        }
    }

    /// What needs the key.
    #[must_use]
    pub fn unlocked(&self) -> Option<&UnlockedVault> {
        match self {
            Self::Unusable | Self::Locked(_) => None,
            Self::Unlocked(vault) => Some(vault),
        }
    }
}

/// An agent as it was found.
#[derive(Debug)]
pub struct ExaminedAgent {
    /// The agent.
    pub agent: AgentRef,
    /// What it has: after a load, or what its file says where there was none.
    pub doc: StoreDoc,
    /// Rows of it that do not open.
    pub unopened: Vec<String>,
    /// The logins of it that were imported as another program's.
    pub borrowed: BTreeMap<String, Borrowed>,
    /// What the load had to tell.
    pub notices: Vec<Notice>,
    /// What became of other programs' logins.
    pub logins: Vec<LoginReport>,
    /// The load merged what another program wrote.
    pub merged: bool,
    /// The queue of our own processes for its store.
    pub queue: PathBuf,
}

/// Everything that is looked at.
#[derive(Debug)]
pub struct Evidence<'e> {
    /// Where things are.
    pub layout: &'e Layout,
    /// The configuration; none where it cannot be read.
    pub settings: Option<&'e Settings>,
    /// This program's own settings; none where they cannot be read.
    pub own: Option<&'e OwnSettings>,
    /// The vault.
    pub vault: &'e OpenVault,
    /// The kept head of the record, if there is one.
    pub kept_head: Option<Head>,
    /// The agents, each once.
    pub agents: &'e [ExaminedAgent],
    /// The agent whose store the reference's own doctor looks at.
    pub main: &'e AgentName,
    /// The providers whose logins can be refreshed here; none where the settings cannot be read.
    pub providers: Option<&'e Providers>,
    /// Now.
    pub now: UnixMs,
}

impl Evidence<'_> {
    /// Whether an agent has a profile of that id, or the vault keeps one that was removed.
    #[must_use]
    pub fn knows_profile(&self, id: &ProfileId) -> bool {
        let has =
            |examined: &ExaminedAgent| examined.doc.get(Section::Profiles, id.as_str()).is_some();
        self.agents.iter().any(has) || self.keeper_of(id).is_some()
    }

    /// The agent of which the vault keeps a version of a profile.
    fn keeper_of(&self, id: &ProfileId) -> Option<&AgentName> {
        let vault = self.vault.unlocked()?;
        let is_kept = |examined: &&ExaminedAgent| {
            let versions = vault.versions(&examined.agent.name, id.as_str(), self.now);
            versions.is_ok_and(|versions| !versions.is_empty())
        };
        let keeper = self.agents.iter().find(is_kept)?;
        Some(&keeper.agent.name)
    }

    /// The store that the reference's own doctor looks at.
    #[must_use]
    pub fn main_doc(&self) -> Option<&StoreDoc> {
        let main = self
            .agents
            .iter()
            .find(|examined| examined.agent.name == *self.main);
        main.map(|examined| &examined.doc)
    }
}

/// Everything that is found, in the order it is told in, each thing once.
#[must_use]
pub fn examine(evidence: &Evidence<'_>) -> Vec<Finding> {
    const CHECKS: [fn(&Evidence<'_>) -> Vec<Finding>; 13] = [
        vault::check,
        permissions::check,
        stores::check,
        logins::check,
        openclaw::check,
        vanished::check,
        moved_agent::check,
        credentials::check,
        configuration::check,
        footprint::check,
        exported::check,
        synced::check,
        clock::check,
    ];
    in_order(CHECKS.iter().flat_map(|check| check(evidence)).collect())
}

/// Findings in the order they are told in. Agents can share a file: what is said of one path is said once.
#[must_use]
pub fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|a, b| (a.id, &a.agent, &a.path).cmp(&(b.id, &b.agent, &b.path)));
    let mut seen = HashSet::new();
    findings.retain(|finding| {
        let is_of_a_path = finding.path.is_some() && finding.profile.is_none();
        let agent = finding.agent.clone().filter(|_| !is_of_a_path);
        let (path, profile) = (finding.path.clone(), finding.profile.clone());
        seen.insert((finding.id, agent, path, profile, finding.message.clone()))
    });
    findings
}
