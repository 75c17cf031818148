//! From locked to unlocked: any slot will do, asked in order of least effort.

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

use super::error::{Context, KeyProblem, VaultError};
use super::file::{Vault, identity};
use super::find_key::{from_files, from_keychain, from_secret};
use super::key_slots;
use super::keys::Keys;
use super::renew_keys::finish_keyfile;
use crate::crypto::{DataKey, SlotKey, SlotKind, SlotRecord};
use crate::domain::VaultId;
use crate::platform::{Keychain, Resident};

/// Where passphrases and recovery codes come from.
pub trait SecretSource {
    /// Whether it was named for this very command: then it alone is tried.
    fn is_named(&self) -> bool;

    /// The next one to try; `None` when there is none. `before` says why the last did not do.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn next(&self, before: Option<&KeyProblem>) -> Result<Option<SecretString>, KeyProblem>;
}

/// Where slot keys may be found.
pub struct KeySources<'a> {
    /// A key file named by the user: if it is there, no other is looked at.
    pub named_keyfile: Option<PathBuf>,
    /// The service manager's credential, whose directory is the manager's to protect.
    pub credential_keyfile: Option<PathBuf>,
    /// Where this program keeps key files: one a vault, named by its id.
    pub keyfile_dir: PathBuf,
    /// The operating system's keychain.
    pub keychain: &'a dyn Keychain,
    /// Who may give a passphrase or a recovery code.
    pub secrets: Option<&'a dyn SecretSource>,
}

impl fmt::Debug for KeySources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySources({})", self.keyfile_dir.display())
    }
}

impl KeySources<'_> {
    /// The path of a vault's own key file.
    #[must_use]
    pub fn own_keyfile(&self, vault: VaultId) -> PathBuf {
        self.keyfile_dir.join(format!("{vault}.key"))
    }

    /// The places to look at and the permission bits each must not have. A service manager's credential may show the
    /// group bits of an access list, which only it sets.
    pub(super) fn keyfiles(&self, vault: VaultId) -> Vec<(PathBuf, u32)> {
        let named = self.named_keyfile.iter().map(|path| (path.clone(), 0o077));
        let credential = self
            .credential_keyfile
            .iter()
            .map(|path| (path.clone(), 0o022));
        named
            .chain(credential)
            .chain([(self.own_keyfile(vault), 0o077)])
            .collect()
    }
}

/// The slot that a vault was opened with.
#[derive(Clone, Debug)]
pub(super) struct OpenedBy {
    pub(super) slot: i64,
    pub(super) kind: SlotKind,
    pub(super) key: SlotKey,
}

/// A vault with its keys: what is sealed can be opened, and written.
#[derive(Debug)]
pub struct UnlockedVault {
    pub(super) vault: Vault,
    pub(super) keys: Resident<Keys>,
    pub(super) opened_by: Resident<OpenedBy>,
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

    /// Takes the keys that another process has put in place of these, if it has: the slot's own key opens the new ones too.
    ///
    /// # Errors
    /// [`VaultError::Rekeyed`] when that slot is gone or has another key.
    pub fn reload_keys(&mut self) -> Result<(), VaultError> {
        let path = self.vault.path.clone();
        if identity(&self.vault.conn, &path)? == (self.vault.id, self.vault.epoch) {
            return Ok(());
        }
        let snapshot = self.vault.conn.unchecked_transaction().at(&path, "read")?;
        let (id, epoch) = identity(&self.vault.conn, &path)?;
        if id != self.vault.id {
            return Err(VaultError::Rekeyed); // another vault was put in its place
        }
        let (slots, _) = key_slots::read_all(&self.vault.conn, &path)?;
        let own = |slot: &&SlotRecord| slot.slot == self.opened_by.slot;
        let data = slots
            .iter()
            .find(own)
            .and_then(|slot| slot.unwrap_data_key(id, epoch, &self.opened_by.key).ok())
            .ok_or(VaultError::Rekeyed)?;
        let keys = Keys::load(&self.vault.conn, &path, (id, epoch), data)?;
        drop(snapshot);
        self.keys = Resident::new(keys);
        self.vault.epoch = epoch;
        Ok(())
    }
}

impl Vault {
    /// Unlocks with the first slot whose key is found: key files first, then the keychain, then what a person is asked for. Where a
    /// passphrase or recovery code was named for this command, with that alone.
    ///
    /// # Errors
    /// [`VaultError::NoKey`] with what each place said. No new key is ever made for a vault that exists.
    pub fn unlock(self, sources: &KeySources<'_>) -> Result<UnlockedVault, VaultError> {
        let (slots, mut problems) = key_slots::read_all(&self.conn, &self.path)?;
        let named = sources.secrets.filter(|secrets| secrets.is_named());
        if named.is_none() {
            for kind in [SlotKind::Keyfile, SlotKind::Keychain] {
                for slot in slots.iter().filter(|slot| slot.kind == kind) {
                    match self.stored_key(slot, sources) {
                        Ok(key) => match self.open_slot(slot, &key) {
                            Ok(data) => return self.with_data_key(data, opened(slot, key)),
                            Err(problem) => problems.push(problem),
                        },
                        Err(problem) => problems.push(problem),
                    }
                }
            }
        }
        match self.asked_for(&slots, sources, named.is_some()) {
            Ok(Some((slot, key))) => match self.open_slot(slot, &key) {
                Ok(data) => return self.with_data_key(data, opened(slot, key)),
                Err(problem) => problems.push(problem),
            },
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
        Err(VaultError::NoKey {
            vault: self.id.to_string(),
            problems,
        })
    }

    /// Unlocks with a slot's key that another copy of it was opened with; `None` where that is none of its own.
    pub(super) fn unlock_with(self, opened_by: &OpenedBy) -> Option<UnlockedVault> {
        let (slots, _) = key_slots::read_all(&self.conn, &self.path).ok()?;
        let key = &opened_by.key;
        let slot = slots.iter().find(|slot| slot.accepts(self.id, key))?;
        let data = self.open_slot(slot, key).ok()?;
        self.with_data_key(data, opened(slot, key.clone())).ok()
    }

    fn open_slot(&self, slot: &SlotRecord, key: &SlotKey) -> Result<DataKey, KeyProblem> {
        slot.unwrap_data_key(self.id, self.epoch, key)
            .map_err(|_| KeyProblem::AlteredSlot { slot: slot.slot })
    }

    /// The key of a slot that nobody has to be asked for.
    fn stored_key(
        &self,
        slot: &SlotRecord,
        sources: &KeySources<'_>,
    ) -> Result<SlotKey, KeyProblem> {
        if slot.kind == SlotKind::Keychain {
            return from_keychain(sources.keychain, self.id, slot);
        }
        let found = from_files(sources, self.id, slot)?;
        if found.is_renewed {
            finish_keyfile(&self.path, self.id, slot, &found.place);
        }
        Ok(found.key)
    }

    /// The slot that what is given opens, if there is one that can be opened so.
    fn asked_for<'s>(
        &self,
        slots: &'s [SlotRecord],
        sources: &KeySources<'_>,
        is_named: bool,
    ) -> Result<Option<(&'s SlotRecord, SlotKey)>, KeyProblem> {
        let is_asked =
            |slot: &&SlotRecord| matches!(slot.kind, SlotKind::Passphrase | SlotKind::Recovery);
        if !slots.iter().any(|slot| is_asked(&slot)) {
            return if is_named {
                Err(KeyProblem::NoSuchSlot)
            } else {
                Ok(None)
            };
        }
        let mut before = None;
        loop {
            let given = match sources.secrets {
                Some(secrets) => secrets.next(before.as_ref())?,
                None => None,
            };
            let Some(secret) = given else {
                return Err(before.unwrap_or(KeyProblem::NoSecret));
            };
            match from_secret(&secret, self.id, slots) {
                Ok(found) => return Ok(Some(found)),
                Err(problem) => before = Some(problem),
            }
        }
    }

    pub(super) fn with_data_key(
        self,
        data: DataKey,
        opened_by: OpenedBy,
    ) -> Result<UnlockedVault, VaultError> {
        let keys = Keys::load(&self.conn, &self.path, (self.id, self.epoch), data)?;
        Ok(UnlockedVault {
            vault: self,
            keys: Resident::new(keys),
            opened_by: Resident::new(opened_by),
        })
    }
}

fn opened(slot: &SlotRecord, key: SlotKey) -> OpenedBy {
    OpenedBy {
        slot: slot.slot,
        kind: slot.kind,
        key,
    }
}
