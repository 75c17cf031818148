//! A vault with its keys.

use super::sources::OpenedBy;
use crate::crypto::SlotKind;
use crate::platform::Resident;
use crate::vault::file::vault::Vault;
use crate::vault::sealing::ring::Keys;

/// A vault with its keys: what is sealed can be opened, and written.
#[derive(Debug)]
pub struct UnlockedVault {
    pub(in crate::vault) vault: Vault,
    pub(in crate::vault) keys: Resident<Keys>,
    pub(in crate::vault) opened_by: Resident<OpenedBy>,
}

impl std::ops::Deref for UnlockedVault {
    type Target = Vault;

    fn deref(&self) -> &Vault {
        &self.vault
    }
}

impl UnlockedVault {
    /// The number and kind of the slot that it was opened with.
    #[must_use]
    pub fn opened_with(&self) -> (i64, SlotKind) {
        (self.opened_by.slot, self.opened_by.kind)
    }
}
