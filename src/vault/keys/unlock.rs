//! From locked to unlocked: any slot will do, asked in order of least effort.

use super::find::{from_files, from_keychain, from_secret};
use super::keep::finish_keyfile;
use super::slots;
use super::sources::{KeySources, OpenedBy, SecretSource};
use super::unlocked::UnlockedVault;
use crate::crypto::{DataKey, SlotKey, SlotKind, SlotRecord};
use crate::platform::Resident;
use crate::vault::error::{Context, KeyProblem, VaultError};
use crate::vault::file::connect::identity;
use crate::vault::file::read_only::read_transaction;
use crate::vault::file::vault::Vault;
use crate::vault::sealing::ring::Keys;

/// How many times the slots are read again because another process replaced their keys meanwhile.
const ROUNDS_MAX: usize = 5;

/// A vault that stays locked, and why.
type Locked = (Vault, KeyProblem);

impl Vault {
    /// Unlocks with the first slot whose key is found: key files first, then the keychain, then
    /// what a person is asked for. Where a passphrase or recovery code was named for this command,
    /// with that alone. The rows of a vault of an earlier version are checked against its record
    /// then, and listed.
    ///
    /// # Errors
    /// [`VaultError::NoKey`] with what each place said. No new key is ever made for a vault that
    /// exists. [`VaultError::Damaged`] when a vault of an earlier version was put back or modified.
    pub fn unlock(self, sources: &KeySources<'_>) -> Result<UnlockedVault, VaultError> {
        self.open_with_any(sources)?.upgraded(&sources.upgrade)
    }

    /// As [`Vault::unlock`], where the rows of a vault of an earlier version stay as they are.
    ///
    /// # Errors
    /// [`VaultError::NoKey`] with what each place said.
    pub(in crate::vault) fn open_with_any(
        mut self,
        sources: &KeySources<'_>,
    ) -> Result<UnlockedVault, VaultError> {
        let is_named = sources.secrets.is_some_and(SecretSource::is_named);
        let (mut slots, mut problems) = slots::read_all(&self.conn, &self.path)?;
        for _ in 0..ROUNDS_MAX {
            if is_named {
                break;
            }
            for slot in stored(&slots) {
                match self.stored_key(slot, sources) {
                    Ok(key) => match self.open_with(opened(slot, key))? {
                        Ok(unlocked) => return Ok(unlocked),
                        Err((back, problem)) => {
                            self = back;
                            problems.push(problem);
                        }
                    },
                    Err(problem) => problems.push(problem),
                }
            }
            // Another process may have replaced the slots' keys after they were read and before the
            // key files were.
            let (now, others) = slots::read_all(&self.conn, &self.path)?;
            if now == slots {
                break;
            }
            (slots, problems) = (now, others);
        }
        let asked = self.asked_for(&slots, sources, is_named);
        if let Some(secrets) = sources.secrets {
            secrets.end();
        }
        match asked {
            Ok(Some(opened)) => match self.open_with(opened)? {
                Ok(unlocked) => return Ok(unlocked),
                Err((back, problem)) => {
                    self = back;
                    problems.push(problem);
                }
            },
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
        Err(VaultError::NoKey {
            vault: self.id.to_string(),
            problems,
        })
    }

    /// Unlocks with a slot's key that opened another copy; `None` where that is no key of it.
    pub(in crate::vault) fn unlock_with(self, opened_by: &OpenedBy) -> Option<UnlockedVault> {
        let (slots, _) = slots::read_all(&self.conn, &self.path).ok()?;
        let key = &opened_by.key;
        let slot = slots.iter().find(|slot| slot.accepts(self.id, key))?;
        let by = opened(slot, key.clone());
        self.open_with(by).ok()?.ok()
    }

    /// Opens it with a slot's key, as it is now: since it was opened, another process may have
    /// replaced its data key.
    fn open_with(mut self, by: OpenedBy) -> Result<Result<UnlockedVault, Locked>, VaultError> {
        let snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let (id, epoch) = identity(&self.conn, &self.path)?;
        let (slots, _) = slots::read_all(&self.conn, &self.path)?;
        let slot = slots.iter().find(|slot| slot.slot == by.slot);
        let data = slot.and_then(|slot| slot.unwrap_data_key(id, epoch, &by.key).ok());
        let Some(data) = data.filter(|_| id == self.id) else {
            drop(snapshot);
            return Ok(Err((self, KeyProblem::AlteredSlot { slot: by.slot })));
        };
        let keys = Keys::load(&self.conn, &self.path, (id, epoch), data)?;
        drop(snapshot);
        self.epoch = epoch;
        Ok(Ok(UnlockedVault {
            vault: self,
            keys: Resident::new(keys),
            opened_by: Resident::new(by),
        }))
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
        if found.is_new && self.read_only.is_none() {
            finish_keyfile(&self.path, self.id, slot, &found.place);
        }
        Ok(found.key)
    }

    /// Returns the slot that a passphrase or recovery code opens, if any slot takes one.
    fn asked_for(
        &self,
        slots: &[SlotRecord],
        sources: &KeySources<'_>,
        is_named: bool,
    ) -> Result<Option<OpenedBy>, KeyProblem> {
        let is_asked =
            |slot: &SlotRecord| matches!(slot.kind, SlotKind::Passphrase | SlotKind::Recovery);
        if !slots.iter().any(is_asked) {
            return if is_named {
                Err(KeyProblem::NoSuchSlot)
            } else {
                Ok(None)
            };
        }
        let mut before = None;
        loop {
            let secret = match sources.secrets {
                Some(secrets) => secrets.next(before.as_ref())?,
                None => None,
            };
            let Some(secret) = secret else {
                return Err(before.unwrap_or(KeyProblem::NoSecret));
            };
            // A prompt takes time, and another process may have replaced the slots meanwhile.
            let now = slots::read_all(&self.conn, &self.path);
            let now = now.map_or_else(|_| slots.to_vec(), |(now, _)| now);
            match from_secret(&secret, self.id, &now) {
                Ok((slot, key)) => return Ok(Some(opened(slot, key))),
                Err(problem) => before = Some(problem),
            }
        }
    }

    /// A vault that was just made, with its key.
    pub(in crate::vault) fn with_data_key(
        self,
        data: DataKey,
        opened_by: OpenedBy,
    ) -> Result<UnlockedVault, VaultError> {
        let place = (&self.conn, self.path.as_path());
        let keys = Keys::load_in_form(true, place, (self.id, self.epoch), data)?;
        Ok(UnlockedVault {
            vault: self,
            keys: Resident::new(keys),
            opened_by: Resident::new(opened_by),
        })
    }
}

/// The slots whose keys are kept somewhere, in the order in which they are tried.
fn stored(slots: &[SlotRecord]) -> impl Iterator<Item = &SlotRecord> {
    [SlotKind::Keyfile, SlotKind::Keychain]
        .into_iter()
        .flat_map(|kind| slots.iter().filter(move |slot| slot.kind == kind))
}

fn opened(slot: &SlotRecord, key: SlotKey) -> OpenedBy {
    OpenedBy {
        slot: slot.slot,
        kind: slot.kind,
        key,
    }
}
