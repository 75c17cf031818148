//! Replacing the data key: everything sealed is sealed anew, in one transaction.

use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::add_remove::AddedKey;
use super::slot_keys::Prepared;
use crate::audit::{EventDraft, EventKind, Origin};
use crate::crypto::{AuditKey, DataKey, Epoch, SealKey, SlotKey, SlotRecord, WrappedKeys};
use crate::domain::{Seq, UnixMs};
use crate::platform::{Actor, Clock, Resident};
use crate::vault::error::{Context, VaultError};
use crate::vault::file::journal::{LogState, empty_log};
use crate::vault::keys::slots;
use crate::vault::keys::sources::{OpenedBy, RotationScope};
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::events;
use crate::vault::sealing::cells;
use crate::vault::sealing::ring::{AUDIT, FINGERPRINT, Keys, RecordKey, put_record_key};
use crate::vault::tx::Tx;

/// What a rotation does beside, where it ends a restore: cells that do not open stay as they are.
#[derive(Clone, Copy)]
pub(in crate::vault) struct AfterRestore<'v> {
    /// The number that the new data key's is above.
    pub(in crate::vault) epoch: Epoch,
    /// The vault that is replaced, if it opens. Its key slots stay: a key that was removed since
    /// does not come back.
    pub(in crate::vault) replaced: Option<&'v UnlockedVault>,
}

/// The result of a rotation.
#[derive(Debug)]
pub struct Rotated {
    /// How often the data key was replaced by now, counted from 1.
    pub epoch: u32,
    /// How many cells were sealed anew.
    pub cells: u64,
    /// The slots whose own keys were replaced.
    pub new_keys: Vec<AddedKey>,
    /// What became of the log.
    pub log: LogState,
}

impl UnlockedVault {
    /// Makes a new data key and seals everything anew under it, in one transaction: every cell is
    /// opened, sealed, read back and compared. Every slot opens the vault as before, unless its own
    /// key is replaced too.
    ///
    /// # Errors
    /// [`VaultError::RefreshUnderWay`] while what a refresh brings is sealed under the old key;
    /// [`VaultError::Unopened`] when a cell does not open: it would be lost. Nothing is changed
    /// then.
    pub fn rotate(
        &mut self,
        scope: RotationScope<'_>,
        actor: &Actor,
        clock: Clock,
    ) -> Result<Rotated, VaultError> {
        let mut prepared = self.prepare(scope)?;
        self.rotate_prepared(&mut prepared, actor, clock)
    }

    /// Replaces the data key; the slots' own keys with those that were prepared.
    ///
    /// # Errors
    /// As [`UnlockedVault::rotate`]. After [`VaultError::RefreshUnderWay`] what was prepared is
    /// good for another try.
    pub(crate) fn rotate_prepared(
        &mut self,
        prepared: &mut Prepared<'_>,
        actor: &Actor,
        clock: Clock,
    ) -> Result<Rotated, VaultError> {
        let (epoch, cells) = self.replace_data_key(Some(prepared), None, actor, clock)?;
        let new_keys = prepared.take_new_keys();
        for new in &new_keys {
            new.finish(self.id);
        }
        // Copies under the old key are in the log, and in the file, until it is written back.
        let log = empty_log(&self.vault.conn);
        let new_keys = new_keys.into_iter().map(|new| new.into_added(log));
        Ok(Rotated {
            epoch: epoch.0,
            cells,
            new_keys: new_keys.collect(),
            log,
        })
    }

    /// Replaces the data key of a backup that is put back. The caller holds the vault's lock.
    pub(in crate::vault) fn rotate_after(
        &mut self,
        restore: AfterRestore<'_>,
        actor: &Actor,
        clock: Clock,
    ) -> Result<(), VaultError> {
        self.replace_data_key(None, Some(restore), actor, clock)
            .map(|_| ())
    }

    fn replace_data_key(
        &mut self,
        mut prepared: Option<&mut Prepared<'_>>,
        restore: Option<AfterRestore<'_>>,
        actor: &Actor,
        clock: Clock,
    ) -> Result<(Epoch, u64), VaultError> {
        let opened_by = OpenedBy::clone(&self.opened_by);
        let new;
        let mut tx = self.begin(actor, clock)?;
        if tx.has_started_refreshes()? {
            return Err(VaultError::RefreshUnderWay);
        }
        let altered = tx.altered_rows()?;
        if let Some(row) = altered.first().filter(|_| restore.is_none()) {
            let row = row.describe();
            return Err(VaultError::Unopened { row });
        }
        let epoch = tx.next_epoch(restore.map_or(Epoch(0), |restore| restore.epoch))?;
        let data = DataKey::generate()?;
        let cells = tx.reseal(&data, epoch, restore.is_some())?;
        let replaced = restore.and_then(|restore| restore.replaced);
        let slots = replaced.map(|replaced| tx.slots_of(replaced)).transpose()?;
        let opened_by = match (slots.flatten(), replaced) {
            (Some(slots), Some(replaced)) => {
                tx.put_slots(slots, &data, epoch)?;
                OpenedBy::clone(&replaced.opened_by)
            }
            _ => {
                tx.rewrap_slots(&data, epoch, prepared.as_deref())?;
                opened_by
            }
        };
        // A record key that was replaced since is not used again.
        let is_abandoned = match replaced {
            Some(replaced) => replaced.record_keys(AUDIT)? > tx.record_keys(AUDIT)?,
            None => false,
        };
        let is_everything = prepared.as_deref().is_some_and(Prepared::is_everything);
        let chain = match is_everything || is_abandoned {
            false => None,
            true => Some(AuditKey::generate()?),
        };
        tx.reseal_record_keys(&data, epoch, chain)?;
        tx.tx
            .execute("UPDATE identity SET epoch = ?1", [epoch.0])
            .at(tx.path, "write")?;
        new = Keys::load(&tx.tx, tx.path, (tx.vault, epoch), data)?;
        tx.keys = &new;
        let mut event = EventDraft::new(EventKind::KeyRotated, Origin::Clawkeep)
            .detail("epoch", epoch.0)
            .detail("cells", cells);
        match (restore, is_everything) {
            (Some(_), _) => event = event.detail("why", "restored"),
            (None, true) => event = event.detail("why", "compromised"),
            (None, false) => {}
        }
        tx.append(None, event)?;
        tx.list_anew_but(altered);
        // A failing disk may have kept what it said it had not: then the new keys open the vault.
        if let Some(prepared) = &mut prepared {
            prepared.may_count();
        }
        tx.commit()?;
        self.keys = Resident::new(new);
        self.vault.epoch = epoch;
        let opened_by = match prepared.and_then(|prepared| prepared.key_of(opened_by.slot).cloned())
        {
            Some(key) => OpenedBy { key, ..opened_by },
            None => opened_by,
        };
        self.opened_by = Resident::new(opened_by);
        Ok((epoch, cells))
    }
}

/// A key slot of a vault that is replaced, with its own key.
struct TakenSlot {
    slot: SlotRecord,
    key: SlotKey,
    since: UnixMs,
}

impl Tx<'_> {
    /// The number of a new data key: above that of the one in use, and above `after`.
    fn next_epoch(&self, after: Epoch) -> Result<Epoch, VaultError> {
        let last = self.keys.seal.epoch().0.max(after.0);
        let next = last.checked_add(1).map(Epoch);
        next.ok_or_else(|| VaultError::Damaged {
            path: self.path.to_owned(),
            what: "its data key has reached the last possible number".to_owned(),
        })
    }

    fn has_started_refreshes(&self) -> Result<bool, VaultError> {
        self.tx
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM grants WHERE state = 'started')",
                [],
                |row| row.get(0),
            )
            .at(self.path, "read")
    }

    /// Seals every cell anew, then reads all back and compares what they say with what they said.
    fn reseal(
        &self,
        data: &DataKey,
        epoch: Epoch,
        leaves_unopened: bool,
    ) -> Result<u64, VaultError> {
        let seal = data.seal_key(self.vault, epoch);
        let place = (self.path, self.vault);
        let (mut said, mut count) = (Sha256::new(), 0);
        cells::for_each(&self.tx, place, |cell| {
            let plain = match cell.open(&self.keys.seal) {
                Err(VaultError::Unopened { .. }) if leaves_unopened => return Ok(()),
                opened => opened?,
            };
            count += 1;
            add(&mut said, &plain);
            let blob = seal.seal(cell.aad.clone(), &plain)?;
            cell.replace(&self.tx, blob).at(self.path, "write")
        })?;
        self.remake_digests(data, &seal)?;
        let (mut says, mut again) = (Sha256::new(), 0);
        cells::for_each(&self.tx, place, |cell| {
            match cell.open(&seal) {
                Err(VaultError::Unopened { .. }) if leaves_unopened => return Ok(()),
                opened => add(&mut says, &opened?),
            }
            again += 1;
            Ok(())
        })?;
        if count != again || said.finalize() != says.finalize() {
            return Err(VaultError::Damaged {
                path: self.path.to_owned(),
                what: "the cells sealed anew do not read back; nothing was changed".to_owned(),
            });
        }
        Ok(count)
    }

    /// The MAC of an exported file is made with a key that comes from the data key. That of one
    /// whose bytes are kept here is made anew. Any other says no longer that the file is as it was:
    /// it is read at the next load, and found to say the same.
    fn remake_digests(&self, data: &DataKey, seal: &SealKey) -> Result<(), VaultError> {
        let mut snapshots = Vec::new();
        cells::for_each_snapshot(&self.tx, (self.path, self.vault), |path, agent, cell| {
            let digest = data.export_digest(self.vault, &cell.open(seal)?);
            snapshots.push((path.to_owned(), agent, digest));
            Ok(())
        })?;
        let write = |conn: &Connection| -> rusqlite::Result<()> {
            let mut update =
                conn.prepare("UPDATE exports SET digest = ?3 WHERE path = ?1 AND agent = ?2")?;
            for (path, agent, digest) in &snapshots {
                update.execute(rusqlite::params![path, agent, digest])?;
            }
            Ok(())
        };
        write(&self.tx).at(self.path, "write")
    }

    /// Wraps the new data key in every slot, under the slot's own key, the old or the new one.
    fn rewrap_slots(
        &self,
        data: &DataKey,
        epoch: Epoch,
        prepared: Option<&Prepared<'_>>,
    ) -> Result<(), VaultError> {
        let (slots, others) = slots::read_all(&self.tx, self.path)?;
        if let Some(other) = others.into_iter().next() {
            // a slot of a later version's kind would open nothing any more
            return Err(VaultError::KeyNotKept(other));
        }
        for slot in slots {
            let (slot, key) = match prepared.and_then(|prepared| prepared.of(&slot)) {
                Some(new) => (new.record(self.vault), new.kept.key.clone()),
                // Its number was another's when the new keys were made: they would not open it.
                None if prepared.is_some_and(Prepared::is_everything) => {
                    return Err(VaultError::Rekeyed);
                }
                None => {
                    let key = self.own_key_of(&slot)?;
                    (slot, key)
                }
            };
            let wrapped = WrappedKeys::new(self.vault, epoch, slot.name(), data, &key)?;
            let changed = slots::replace(&self.tx, &slot, &wrapped).at(self.path, "write")?;
            debug_assert_eq!(changed, 1, "the slot was just read");
        }
        Ok(())
    }

    /// Returns the key slots of the replaced vault, each with its own key; `None` if the key of one
    /// is unavailable.
    fn slots_of(&self, replaced: &UnlockedVault) -> Result<Option<Vec<TakenSlot>>, VaultError> {
        let (slots, others) = slots::read_all(&replaced.conn, &replaced.path)?;
        if !others.is_empty() {
            return Ok(None);
        }
        let infos = replaced.slots()?;
        let mut taken = Vec::new();
        for slot in slots {
            let blob =
                slots::sealed_slot_key(&replaced.conn, slot.slot).at(&replaced.path, "read")?;
            let Ok(key) = slot.unwrap_slot_key(self.vault, &replaced.keys.seal, &blob) else {
                return Ok(None);
            };
            let info = infos.iter().find(|info| info.slot == slot.slot);
            let since = info.map_or(self.now, |info| info.created_at);
            taken.push(TakenSlot { slot, key, since });
        }
        Ok(Some(taken))
    }

    /// Makes the key slots those, around the new data key.
    fn put_slots(
        &self,
        slots: Vec<TakenSlot>,
        data: &DataKey,
        epoch: Epoch,
    ) -> Result<(), VaultError> {
        self.tx
            .execute("DELETE FROM key_slots", [])
            .at(self.path, "write")?;
        for TakenSlot { slot, key, since } in slots {
            let wrapped = WrappedKeys::new(self.vault, epoch, slot.name(), data, &key)?;
            let slot = SlotRecord {
                wrapped: wrapped.data_key,
                ..slot
            };
            slots::insert(&self.tx, &slot, &wrapped.slot_key, since).at(self.path, "write")?;
        }
        Ok(())
    }

    fn record_keys(&self, purpose: &str) -> Result<i64, VaultError> {
        count_record_keys(&self.tx, purpose).at(self.path, "read")
    }

    fn own_key_of(&self, slot: &SlotRecord) -> Result<SlotKey, VaultError> {
        let blob = slots::sealed_slot_key(&self.tx, slot.slot).at(self.path, "read")?;
        slot.unwrap_slot_key(self.vault, &self.keys.seal, &blob)
            .map_err(|_| VaultError::Unopened {
                row: format!("the key of key slot {}", slot.slot),
            })
    }

    /// Seals the record's keys anew. `chain` replaces its audit key from the next event on.
    fn reseal_record_keys(
        &self,
        data: &DataKey,
        epoch: Epoch,
        chain: Option<AuditKey>,
    ) -> Result<(), VaultError> {
        let seal = data.seal_key(self.vault, epoch);
        for (purpose, next) in [(AUDIT, chain), (FINGERPRINT, None)] {
            let place = (&self.keys.seal, self.vault);
            let mut keys = RecordKey::all(&self.tx, self.path, place, (purpose, true))?;
            if let Some(next) = next {
                let last = events::last(&self.tx).at(self.path, "read")?;
                keys.push(RecordKey {
                    number: keys.last().map_or(0, |key| key.number) + 1,
                    key: Zeroizing::new(next.expose_secret().to_vec()),
                    begins: Some(Seq(last.map_or(0, |last| last.seq) + 1)),
                });
            }
            let newest = keys.last().map_or(0, |key| key.number);
            for key in &keys {
                let sealed = key.seal(&seal, self.vault, (purpose, newest))?;
                put_record_key(&self.tx, (purpose, key.number), &sealed, self.now)
                    .at(self.path, "write")?;
            }
        }
        Ok(())
    }
}

impl UnlockedVault {
    fn record_keys(&self, purpose: &str) -> Result<i64, VaultError> {
        count_record_keys(&self.conn, purpose).at(&self.path, "read")
    }
}

fn count_record_keys(conn: &Connection, purpose: &str) -> rusqlite::Result<i64> {
    let select = "SELECT count(*) FROM record_keys WHERE purpose = ?1";
    conn.query_row(select, [purpose], |row| row.get(0))
}

/// Adds what a cell says, with its length, so that no two runs of cells say the same.
fn add(all: &mut Sha256, plain: &[u8]) {
    all.update((plain.len() as u64).to_be_bytes());
    all.update(plain);
}
