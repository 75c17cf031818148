//! The place of the vault: which of several files counts, and what is refused while there are two.

use std::path::PathBuf;

use super::head_file::read_head;
use crate::client::error::ClientError;
use crate::config::{Env, Layout, Overrides, PathError};
use crate::vault::{Several, Vault, which_counts};

/// The paths of this run, and the vaults that were found.
#[derive(Clone, Debug)]
pub struct Places {
    /// The paths of the vault in use.
    pub layout: Layout,
    /// Other vaults in possible places. One login in two vaults would be refreshed twice.
    pub others: Vec<PathBuf>,
    /// Files that a move left in possible places.
    pub leftovers: Vec<PathBuf>,
    /// Files in possible places that are no vault that opens.
    pub strays: Vec<PathBuf>,
    overrides: Overrides,
    working_dir: PathBuf,
}

impl Places {
    /// Resolves the paths of this run. Of several vaults, the one that no move left behind is used.
    ///
    /// # Errors
    /// As [`Layout::resolve`].
    pub fn find(
        env: &Env,
        mut overrides: Overrides,
        working_dir: PathBuf,
    ) -> Result<Self, PathError> {
        overrides.chosen_vault = None;
        let layout = Layout::resolve(env, &overrides, &working_dir)?;
        if layout.vaults.len() < 2 {
            return Ok(Self {
                layout,
                others: Vec::new(),
                leftovers: Vec::new(),
                strays: Vec::new(),
                overrides,
                working_dir,
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
            working_dir,
        })
    }

    /// Resolves the paths again: the vault may have moved.
    ///
    /// # Errors
    /// As [`Layout::resolve`].
    pub(crate) fn find_again(&self, env: &Env) -> Result<Self, PathError> {
        Self::find(env, self.overrides.clone(), self.working_dir.clone())
    }

    /// Refuses what refreshes logins while there are two vaults.
    ///
    /// # Errors
    /// [`ClientError::TwoVaults`].
    pub fn check_single(&self) -> Result<(), ClientError> {
        match self.others.first() {
            None => Ok(()),
            Some(other) => Err(ClientError::TwoVaults {
                vaults: [self.layout.vault_file.clone(), other.clone()],
            }),
        }
    }

    /// Whether the vault lies in a directory of OpenClaw's.
    #[must_use]
    pub fn is_in_openclaws(&self) -> bool {
        crate::platform::openclaw::openclaw_dir_of(&self.layout.vault_file).is_some()
    }
}
