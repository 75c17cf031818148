//! Going on where another process replaced the data key: the slot's own key opens it too.

use super::slots;
use super::sources::OpenedBy;
use super::unlocked::UnlockedVault;
use crate::crypto::Epoch;
use crate::domain::VaultId;
use crate::platform::Resident;
use crate::vault::error::{Context, VaultError};
use crate::vault::file::connect::identity;
use crate::vault::file::read_only::read_transaction;
use crate::vault::file::vault::Vault;
use crate::vault::sealing::ring::Keys;

/// A process's keys, or those that another one has put in their place.
pub(in crate::vault) enum KeysNow<'v> {
    Own(&'v Keys),
    Newer(Box<Keys>),
}

impl std::ops::Deref for KeysNow<'_> {
    type Target = Keys;

    fn deref(&self) -> &Keys {
        match self {
            Self::Own(keys) => keys,
            Self::Newer(keys) => keys,
        }
    }
}

impl UnlockedVault {
    /// Takes the keys that another process has put in place of these, if it has.
    ///
    /// # Errors
    /// [`VaultError::Rekeyed`] when the slot that this vault was opened with is gone or has another
    /// key.
    pub fn reload_keys(&mut self) -> Result<(), VaultError> {
        let (conn, path) = (&self.vault.conn, self.vault.path.as_path());
        let snapshot = read_transaction(conn).at(path, "read")?;
        let newer = newer_keys(
            (conn, path),
            (self.vault.id, self.vault.epoch),
            &self.opened_by,
        )?;
        drop(snapshot);
        if let Some((keys, epoch)) = newer {
            self.keys = Resident::new(keys);
            self.vault.epoch = epoch;
        }
        Ok(())
    }

    /// The same vault opened once more, for another thread; no key is asked for anew. Nothing where
    /// another one is in its place.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn reopen(&self) -> Result<Option<Self>, VaultError> {
        let vault = Vault::open(&self.vault.path)?;
        Ok(vault.unlock_with(&self.opened_by))
    }

    /// The keys of the vault as the transaction that is under way sees it: under others nothing
    /// would open, which must not pass for damage.
    pub(in crate::vault) fn keys_now(&self) -> Result<KeysNow<'_>, VaultError> {
        let place = (&self.vault.conn, self.vault.path.as_path());
        let newer = newer_keys(place, (self.vault.id, self.vault.epoch), &self.opened_by)?;
        Ok(match newer {
            Some((keys, _)) => KeysNow::Newer(Box::new(keys)),
            None => KeysNow::Own(&self.keys),
        })
    }
}

/// The keys that the vault has, with their epoch, if they are others than those of `known`. To be
/// called in a transaction.
pub(in crate::vault) fn newer_keys(
    (conn, path): (&rusqlite::Connection, &std::path::Path),
    known: (VaultId, Epoch),
    by: &OpenedBy,
) -> Result<Option<(Keys, Epoch)>, VaultError> {
    let (id, epoch) = identity(conn, path)?;
    if (id, epoch) == known {
        return Ok(None);
    }
    if id != known.0 {
        return Err(VaultError::Rekeyed); // another vault was put in its place
    }
    let (slots, _) = slots::read_all(conn, path)?;
    let data = slots
        .iter()
        .find(|slot| slot.slot == by.slot)
        .and_then(|slot| slot.unwrap_data_key(id, epoch, &by.key).ok())
        .ok_or(VaultError::Rekeyed)?;
    let keys = Keys::load(conn, path, (id, epoch), data)?;
    Ok(Some((keys, epoch)))
}
