//! The place of the vault: which of several files counts, and what is refused while there are two.

use std::path::{Path, PathBuf};

use clawkeep::config::{Env, Layout, Overrides};
use clawkeep::vault::{Several, Vault, which_counts};

use super::head_file::read_head;
use crate::failure::Failure;
use crate::terminal::ui::Ui;

/// The paths of this run, and the vaults that were found.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The paths of the vault in use.
    pub(crate) layout: Layout,
    /// Other vaults in possible places. One login in two vaults would be refreshed twice.
    pub(crate) others: Vec<PathBuf>,
    /// Files that a move left in possible places.
    pub(crate) leftovers: Vec<PathBuf>,
    /// Files in possible places that are no vault that opens.
    pub(crate) strays: Vec<PathBuf>,
    overrides: Overrides,
}

impl Places {
    /// Resolves the paths of this run. Of several vaults, the one that no move left behind is used.
    pub(crate) fn find(env: &Env, mut overrides: Overrides) -> Result<Self, Failure> {
        overrides.chosen_vault = None;
        let working_dir = std::env::current_dir().unwrap_or_else(|_| "/".into());
        let layout = Layout::resolve(env, &overrides, &working_dir)?;
        if layout.vaults.len() < 2 {
            return Ok(Self {
                layout,
                others: Vec::new(),
                leftovers: Vec::new(),
                strays: Vec::new(),
                overrides,
            });
        }
        let has_head = |vault: &Vault| {
            let head = read_head(layout.head_file(vault.id())).ok().flatten();
            head.is_some_and(|head| vault.has_event_of(&head).unwrap_or(false))
        };
        let decide = || which_counts(&layout.vaults, &has_head);
        // A move that finishes between two checks makes one vault look like two.
        let several = match decide() {
            Several::Different { .. } => decide(),
            several => several,
        };
        let (vault, others, leftovers, strays) = match several {
            Several::One {
                vault,
                leftovers,
                strays,
            } => (vault, Vec::new(), leftovers, strays),
            Several::Different {
                vault,
                others,
                strays,
            } => (vault, others, Vec::new(), strays),
        };
        overrides.chosen_vault = Some(vault);
        Ok(Self {
            layout: Layout::resolve(env, &overrides, &working_dir)?,
            others,
            leftovers,
            strays,
            overrides,
        })
    }

    /// Resolves the paths again: the vault may have moved.
    pub(crate) fn find_again(&self, env: &Env) -> Result<Self, Failure> {
        Self::find(env, self.overrides.clone())
    }

    /// Refuses what refreshes logins while there are two vaults.
    pub(crate) fn check_single(&self) -> Result<(), Failure> {
        match self.others.first() {
            None => Ok(()),
            Some(other) => Err(Failure::TwoVaults {
                vaults: [self.layout.vault_file.clone(), other.clone()],
            }),
        }
    }

    /// Warns of a vault that is not used.
    pub(crate) fn warn_of_others(&self, ui: Ui) {
        for other in &self.others {
            let shown = |path: &Path| self.layout.shorten_home(path);
            ui.warn(&format!(
                "Warning: there are two vaults. {} is used, {} is not. Merge them: clawkeep \
                 doctor --repair",
                shown(&self.layout.vault_file),
                shown(other)
            ));
        }
    }

    /// Whether the vault lies in a directory of OpenClaw's.
    pub(crate) fn is_in_openclaws(&self) -> bool {
        clawkeep::platform::openclaw::openclaw_dir_of(&self.layout.vault_file).is_some()
    }
}
