//! The input of the checks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clawkeep::internal::audit::Head;
use clawkeep::internal::config::{AgentRef, Layout, OwnSettings, Settings};
use clawkeep::internal::discover::Found;
use clawkeep::internal::domain::{AgentName, Borrowed, ProfileId, Section, StoreDoc, UnixMs};
use clawkeep::internal::health::AsOf;
use clawkeep::internal::oauth::Providers;
use clawkeep::internal::sync::{LoginReport, Notice};
use clawkeep::internal::vault::{UnlockedVault, Vault};

/// The vault as far as it could be opened.
#[derive(Debug)]
pub(crate) enum OpenVault {
    /// The vault cannot be opened at all.
    Unusable,
    /// The vault without its key: the record can be read, and nothing can be decrypted.
    Locked(Box<Vault>),
    /// The vault, unlocked with its key.
    Unlocked(Box<UnlockedVault>),
}

impl OpenVault {
    /// Returns the part of the vault that needs no key.
    #[must_use]
    pub(crate) fn locked(&self) -> Option<&Vault> {
        match self {
            Self::Unusable => None,
            Self::Locked(vault) => Some(vault),
            Self::Unlocked(vault) => Some(vault),
        }
    }

    /// Returns the vault if it is unlocked.
    #[must_use]
    pub(crate) fn unlocked(&self) -> Option<&UnlockedVault> {
        match self {
            Self::Unusable | Self::Locked(_) => None,
            Self::Unlocked(vault) => Some(vault),
        }
    }
}

/// An agent as it was found.
#[derive(Debug)]
pub(crate) struct ExaminedAgent {
    /// The agent that was examined.
    pub(crate) agent: AgentRef,
    /// The agent's store document: after a load, or read from its file if there was no load.
    pub(crate) doc: StoreDoc,
    /// Rows of it that do not open.
    pub(crate) unopened: Vec<String>,
    /// The logins of it that were imported as another program's.
    pub(crate) borrowed: BTreeMap<String, Borrowed>,
    /// The notices of the load.
    pub(crate) notices: Vec<Notice>,
    /// What became of other programs' logins.
    pub(crate) logins: Vec<LoginReport>,
    /// The load merged what another program wrote.
    pub(crate) merged: bool,
    /// The queue of our own processes for its store.
    pub(crate) queue: PathBuf,
}

/// The state that the checks examine.
#[derive(Debug)]
pub(crate) struct Evidence<'e> {
    /// The paths of files and directories.
    pub(crate) layout: &'e Layout,
    /// The configuration; `None` if it cannot be read.
    pub(crate) settings: Option<&'e Settings>,
    /// The settings in `clawkeep.toml`; `None` if they cannot be read.
    pub(crate) own: Option<&'e OwnSettings>,
    /// The vault, as far as it opens.
    pub(crate) vault: &'e OpenVault,
    /// The kept head of the record, if there is one.
    pub(crate) kept_head: Option<Head>,
    /// All agents, each of them once.
    pub(crate) agents: &'e [ExaminedAgent],
    /// The agent whose store the reference's own doctor examines.
    pub(crate) main: &'e AgentName,
    /// The providers whose logins can be refreshed here; none where the settings cannot be read.
    pub(crate) providers: Option<&'e Providers>,
    /// The credentials that other programs keep.
    pub(crate) discovered: &'e Found,
    /// The current time of the examination.
    pub(crate) now: UnixMs,
    /// The rules for verdicts on credentials.
    pub(crate) as_of: AsOf,
}

impl Evidence<'_> {
    /// Whether an agent has a profile of that id, or the vault keeps one that was removed.
    #[must_use]
    pub(crate) fn knows_profile(&self, id: &ProfileId) -> bool {
        let has =
            |examined: &ExaminedAgent| examined.doc.get(Section::Profiles, id.as_str()).is_some();
        self.agents.iter().any(has) || self.keeper_of(id).is_some()
    }

    /// The agent of which the vault keeps a version of a profile.
    pub(super) fn keeper_of(&self, id: &ProfileId) -> Option<&AgentName> {
        let vault = self.vault.unlocked()?;
        let is_kept = |examined: &&ExaminedAgent| {
            let versions = vault.versions(&examined.agent.name, id.as_str(), self.now);
            versions.is_ok_and(|versions| !versions.is_empty())
        };
        let keeper = self.agents.iter().find(is_kept)?;
        Some(&keeper.agent.name)
    }

    /// Returns the store that the reference's own doctor examines.
    #[must_use]
    pub(crate) fn main_doc(&self) -> Option<&StoreDoc> {
        let main = self
            .agents
            .iter()
            .find(|examined| examined.agent.name == *self.main);
        main.map(|examined| &examined.doc)
    }
}
