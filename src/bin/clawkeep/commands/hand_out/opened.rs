//! The vault of a command, opened once: without its key to look up a name, and with it afterwards.

use clawkeep::internal::vault::{UnlockedVault, Vault};

use crate::context::Context;
use crate::failure::Failure;

/// The vault of a command, as far as it was opened.
#[derive(Debug, Default)]
pub(crate) struct OpenedVault {
    locked: Option<Vault>,
    unlocked: Option<UnlockedVault>,
}

impl From<UnlockedVault> for OpenedVault {
    fn from(vault: UnlockedVault) -> Self {
        Self {
            locked: None,
            unlocked: Some(vault),
        }
    }
}

impl OpenedVault {
    /// The vault, opened without its key if it was not opened before. `None` where that fails:
    /// unlocking it reports why.
    pub(crate) fn vault_for_lookup(&mut self, context: &Context) -> Option<&Vault> {
        if let Some(vault) = &self.unlocked {
            return Some(vault);
        }
        if self.locked.is_none() {
            self.locked = context.open_to_unlock().ok();
        }
        self.locked.as_ref()
    }

    /// The vault, opened with its key to hand out credentials, and created if there is none.
    pub(crate) fn unlock(&mut self, context: &Context) -> Result<&mut UnlockedVault, Failure> {
        let vault = match self.unlocked.take() {
            Some(vault) => vault,
            None => context.vault_to_record_in(self.locked.take())?,
        };
        Ok(self.unlocked.insert(vault))
    }
}
