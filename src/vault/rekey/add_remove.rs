//! Adding and removing key slots.

use crate::audit::{EventDraft, EventKind, Origin};
use crate::crypto::{RecoveryCode, SlotKind, SlotRecord, WrappedKeys};
use crate::domain::KeyId;
use crate::platform::{Actor, Clock};
use crate::vault::error::{Context, VaultError};
use crate::vault::file::journal::{LogState, empty_log};
use crate::vault::file::paths::lock;
use crate::vault::keys::keep::{self, Kept, NewKey};
use crate::vault::keys::slots;
use crate::vault::keys::sources::KeySources;
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::sealing::listing::Part;
use crate::vault::store::proof::Scope;
use crate::vault::tx::Tx;

/// A slot that was just added.
#[derive(Debug)]
pub struct AddedKey {
    /// The number of the new slot.
    pub slot: i64,
    /// The kind of the new slot.
    pub kind: SlotKind,
    /// Its key file, where it has one.
    pub keyfile: Option<std::path::PathBuf>,
    /// Its recovery code, which is kept nowhere.
    pub code: Option<RecoveryCode>,
    /// What became of the log.
    pub log: LogState,
}

/// A slot that was just removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedKey {
    /// The number of the removed slot.
    pub slot: i64,
    /// Its kind, where this version knows it.
    pub kind: Option<SlotKind>,
    /// Names its key in its place, where it still is: it opens older copies of the vault.
    pub key_id: KeyId,
    /// What became of the log.
    pub log: LogState,
}

impl UnlockedVault {
    /// Adds a key slot to the vault. Its key is stored first, and removed again if the vault does
    /// not take the slot.
    ///
    /// # Errors
    /// [`VaultError::KeyNotKept`], [`VaultError::SlotsFull`]; or when it cannot be written. Nothing
    /// is changed then.
    pub fn add_key(
        &mut self,
        new: &NewKey,
        sources: &KeySources<'_>,
        actor: &Actor,
        clock: Clock,
    ) -> Result<AddedKey, VaultError> {
        let id = self.id;
        self.require_writable()?;
        let _lock = lock(&self.path)?; // while keys are replaced, no slot is added or removed
        self.check_room()?;
        let kept = keep::keep(new, sources, id)?;
        let added = self.insert_slot(&kept, actor, clock);
        if added.is_err() {
            kept.discard(sources, id);
        }
        Ok(AddedKey {
            slot: added?,
            kind: kept.kind,
            keyfile: kept.keyfile,
            code: kept.code,
            log: empty_log(&self.conn),
        })
    }

    fn check_room(&self) -> Result<(), VaultError> {
        match slots::free_slot(&self.conn).at(&self.path, "read")? {
            Some(_) => Ok(()),
            None => Err(VaultError::SlotsFull),
        }
    }

    fn insert_slot(&mut self, kept: &Kept, actor: &Actor, clock: Clock) -> Result<i64, VaultError> {
        let mut tx = self.begin(actor, clock)?;
        let number = slots::free_slot(&tx.tx)
            .at(tx.path, "read")?
            .ok_or(VaultError::SlotsFull)?;
        let (slots, _) = slots::read_all(&tx.tx, tx.path)?;
        if let Some(taken) = slots.iter().find(|slot| slot.accepts(tx.vault, &kept.key)) {
            return Err(keep::taken(taken.slot));
        }
        let name = (number, kept.kind, kept.kdf.as_deref());
        let wrapped = WrappedKeys::new(
            tx.vault,
            tx.keys.seal.epoch(),
            name,
            &tx.keys.data,
            &kept.key,
        )?;
        let slot = SlotRecord {
            slot: number,
            kind: kept.kind,
            key_id: kept.key_id,
            check: kept.key.check_value(tx.vault),
            kdf: kept.kdf.clone(),
            wrapped: wrapped.data_key,
        };
        tx.will_change(Scope::Vault, Part::KeySlots, &number.to_string())?;
        slots::insert(&tx.tx, &slot, &wrapped.slot_key, tx.now).at(tx.path, "write")?;
        tx.append_key_event(EventKind::KeyAdded, number, kept.kind.as_str(), kept.key_id)?;
        tx.commit()?;
        Ok(number)
    }

    /// Removes a key slot from the vault. Its key stays where it is stored: it opens older copies
    /// of the vault.
    ///
    /// # Errors
    /// [`VaultError::NoSlot`], [`VaultError::LastSlot`]; or when it cannot be written.
    pub fn remove_key(
        &mut self,
        slot: i64,
        actor: &Actor,
        clock: Clock,
    ) -> Result<RemovedKey, VaultError> {
        self.require_writable()?;
        let _lock = lock(&self.path)?;
        let mut tx = self.begin(actor, clock)?;
        let slots = slots(&tx)?;
        let (_, kind, key_id) = slots
            .iter()
            .find(|(number, ..)| *number == slot)
            .ok_or(VaultError::NoSlot { slot })?;
        // A slot of a later version's kind does not count: nobody could open the vault with it.
        let is_other = |(number, kind, _): &&(i64, String, KeyId)| {
            *number != slot && SlotKind::from_name(kind).is_some()
        };
        if !slots.iter().any(|other| is_other(&other)) {
            return Err(VaultError::LastSlot { slot });
        }
        // Also one that was altered: it opens nothing any more.
        tx.will_replace(Scope::Vault, Part::KeySlots, &slot.to_string());
        slots::delete(&tx.tx, slot).at(tx.path, "write")?;
        tx.append_key_event(EventKind::KeyRemoved, slot, kind, *key_id)?;
        tx.commit()?;
        Ok(RemovedKey {
            slot,
            kind: SlotKind::from_name(kind),
            key_id: *key_id,
            log: empty_log(&self.conn),
        })
    }
}

fn slots(tx: &Tx<'_>) -> Result<Vec<(i64, String, KeyId)>, VaultError> {
    let read = || -> rusqlite::Result<Vec<(i64, String, KeyId)>> {
        let mut select = tx.tx.prepare("SELECT slot, kind, key_id FROM key_slots")?;
        let rows =
            select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, KeyId(row.get(2)?))))?;
        rows.collect()
    };
    read().at(tx.path, "read")
}

impl Tx<'_> {
    fn append_key_event(
        &mut self,
        kind: EventKind,
        slot: i64,
        slot_kind: &str,
        key_id: KeyId,
    ) -> Result<(), VaultError> {
        let event = EventDraft::new(kind, Origin::Clawkeep)
            .detail("slot", slot)
            .detail("key", slot_kind)
            .detail("keyId", key_id.to_string());
        self.append(None, event).map(|_| ())
    }
}
