//! Replacing the data key: everything sealed is sealed anew, in one transaction.

use std::collections::BTreeMap;

use rusqlite::Connection;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::cells;
use super::error::{Context, VaultError};
use super::key_changes::AddedKey;
use super::keys::{AUDIT, FINGERPRINT, Keys, RecordKey, put_record_key};
use super::renew_keys::{Prepared, Renewed};
use super::unlock::{KeySources, OpenedBy};
use super::{Tx, UnlockedVault, events, key_slots};
use crate::audit::{EventDraft, EventKind, Origin};
use crate::crypto::{
    AuditKey, DataKey, Epoch, RecoveryCode, SealKey, SlotKey, SlotRecord, WrappedKeys,
};
use crate::domain::Seq;
use crate::platform::{Actor, Clock};

/// What is replaced.
#[derive(Clone, Copy)]
pub enum Renewal<'a> {
    /// The data key.
    DataKey,
    /// Whatever may have become known: the data key, every slot's own key, and the key that the record is chained with.
    Everything {
        /// Where the slots' new keys are kept.
        sources: &'a KeySources<'a>,
        /// The new passphrase of each slot that has one, by its number.
        passphrases: &'a BTreeMap<i64, SecretString>,
        /// Shows a slot's new recovery code. It is called before anything is changed: what is shown afterwards may be shown never.
        show: &'a dyn Fn(i64, &RecoveryCode) -> std::io::Result<()>,
    },
}

impl std::fmt::Debug for Renewal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DataKey => "DataKey",
            Self::Everything { .. } => "Everything",
        })
    }
}

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// How often the data key was replaced by now, counted from 1.
    pub epoch: u32,
    /// How many cells were sealed anew.
    pub cells: u64,
    /// The slots whose own keys were replaced.
    pub renewed: Vec<AddedKey>,
}

impl UnlockedVault {
    /// Makes a new data key and seals everything anew under it, in one transaction: every cell is opened, sealed, read back and
    /// compared. Every slot opens the vault as before, unless its own key is replaced too.
    ///
    /// # Errors
    /// [`VaultError::RefreshUnderWay`] while what a refresh brings is sealed under the old key; [`VaultError::Unopened`] when a cell
    /// does not open: it would be lost. Nothing is changed then.
    pub fn rotate(
        &mut self,
        renewal: Renewal<'_>,
        actor: &Actor,
        clock: Clock,
    ) -> Result<Rotated, VaultError> {
        let mut prepared = self.prepare(renewal)?;
        self.rotate_prepared(&mut prepared, actor, clock)
    }

    /// Replaces the data key; the slots' own keys with those that were prepared.
    ///
    /// # Errors
    /// As [`UnlockedVault::rotate`]. After [`VaultError::RefreshUnderWay`] what was prepared is good for another try.
    pub(crate) fn rotate_prepared(
        &mut self,
        prepared: &mut Prepared<'_>,
        actor: &Actor,
        clock: Clock,
    ) -> Result<Rotated, VaultError> {
        let (epoch, cells) = self.replace_data_key(prepared, actor, clock)?;
        let renewed = prepared.take_renewed();
        for new in &renewed {
            new.finish(self.id);
        }
        // Copies under the old key are in the log until it is written back. Others may be reading it: then a later one does it.
        let _ = self
            .vault
            .conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        Ok(Rotated {
            epoch: epoch.0,
            cells,
            renewed: renewed.into_iter().map(Renewed::into_added).collect(),
        })
    }

    fn replace_data_key(
        &mut self,
        prepared: &mut Prepared<'_>,
        actor: &Actor,
        clock: Clock,
    ) -> Result<(Epoch, u64), VaultError> {
        let opened_by = self.opened_by.clone();
        let new;
        let mut tx = self.begin(actor, clock)?;
        if tx.has_started_refreshes()? {
            return Err(VaultError::RefreshUnderWay);
        }
        let epoch = tx.next_epoch()?;
        let data = DataKey::generate()?;
        let cells = tx.reseal(&data, epoch)?;
        tx.rewrap_slots(&data, epoch, prepared)?;
        let chain = match prepared.is_everything() {
            false => None,
            true => Some(AuditKey::generate()?),
        };
        tx.reseal_record_keys(&data, epoch, chain)?;
        tx.tx
            .execute("UPDATE vault SET epoch = ?1", [epoch.0])
            .at(tx.path, "write")?;
        new = Keys::load(&tx.tx, tx.path, (tx.vault, epoch), data)?;
        tx.keys = &new;
        let mut event = EventDraft::new(EventKind::KeyRotated, Origin::Clawkeep)
            .detail("epoch", epoch.0)
            .detail("cells", cells);
        if prepared.is_everything() {
            event = event.detail("why", "compromised");
        }
        tx.append(None, event)?;
        // A disk that fails may have what it said it had not, and then the new keys are what opens the vault.
        prepared.may_count();
        tx.commit()?;
        self.keys = new;
        self.vault.epoch = epoch;
        if let Some(key) = prepared.key_of(opened_by.slot) {
            self.opened_by = OpenedBy {
                key: key.clone(),
                ..opened_by
            };
        }
        Ok((epoch, cells))
    }
}

impl Tx<'_> {
    fn next_epoch(&self) -> Result<Epoch, VaultError> {
        let next = self.keys.seal.epoch().0.checked_add(1).map(Epoch);
        next.ok_or_else(|| VaultError::Damaged {
            path: self.path.to_owned(),
            what: "its data key has the last number there is".to_owned(),
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
    fn reseal(&self, data: &DataKey, epoch: Epoch) -> Result<u64, VaultError> {
        let seal = data.seal_key(self.vault, epoch);
        let place = (self.path, self.vault);
        let mut said = Sha256::new();
        let count = cells::for_each(&self.tx, place, |cell| {
            let plain = cell.open(&self.keys.seal)?;
            add(&mut said, &plain);
            let blob = seal.seal(cell.aad.clone(), &plain)?;
            cell.replace(&self.tx, blob).at(self.path, "write")
        })?;
        self.renew_digests(data, &seal)?;
        let mut says = Sha256::new();
        let again = cells::for_each(&self.tx, place, |cell| {
            add(&mut says, &cell.open(&seal)?);
            Ok(())
        })?;
        if count != again || said.finalize() != says.finalize() {
            return Err(VaultError::Damaged {
                path: self.path.to_owned(),
                what: "what was sealed anew does not read back; nothing was changed".to_owned(),
            });
        }
        Ok(count)
    }

    /// The MAC of an exported file is made with a key that comes from the data key. That of one whose bytes are kept here is made anew.
    /// Any other says no longer that the file is as it was: it is read at the next load, and found to say the same.
    fn renew_digests(&self, data: &DataKey, seal: &SealKey) -> Result<(), VaultError> {
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

    /// Wraps the new data key in every slot, under the slot's own key: the one that it has, or its new one.
    fn rewrap_slots(
        &self,
        data: &DataKey,
        epoch: Epoch,
        prepared: &Prepared<'_>,
    ) -> Result<(), VaultError> {
        let (slots, others) = key_slots::read_all(&self.tx, self.path)?;
        if let Some(other) = others.into_iter().next() {
            return Err(VaultError::KeyNotKept(other)); // a slot of a later version's kind would open nothing any more
        }
        for slot in slots {
            let (slot, key) = match prepared.of(&slot) {
                Some(new) => (new.record(self.vault), new.kept.key.clone()),
                // Its number was another's when the new keys were made: that one's would not open it.
                None if prepared.is_everything() => return Err(VaultError::Rekeyed),
                None => {
                    let key = self.own_key_of(&slot)?;
                    (slot, key)
                }
            };
            let wrapped = WrappedKeys::new(self.vault, epoch, slot.name(), data, &key)?;
            let changed = key_slots::replace(&self.tx, &slot, &wrapped).at(self.path, "write")?;
            debug_assert_eq!(changed, 1, "the slot was just read");
        }
        Ok(())
    }

    fn own_key_of(&self, slot: &SlotRecord) -> Result<SlotKey, VaultError> {
        let blob = key_slots::sealed_slot_key(&self.tx, slot.slot).at(self.path, "read")?;
        slot.unwrap_slot_key(self.vault, &self.keys.seal, &blob)
            .map_err(|_| VaultError::Unopened {
                row: format!("the key of key slot {}", slot.slot),
            })
    }

    /// Seals the record's keys anew. `chain` takes the place of its audit key, from the next event on.
    fn reseal_record_keys(
        &self,
        data: &DataKey,
        epoch: Epoch,
        chain: Option<AuditKey>,
    ) -> Result<(), VaultError> {
        let seal = data.seal_key(self.vault, epoch);
        for (purpose, next) in [(AUDIT, chain), (FINGERPRINT, None)] {
            let place = (&self.keys.seal, self.vault);
            let mut keys = RecordKey::all(&self.tx, self.path, place, purpose)?;
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

/// Adds what a cell says to what all say, with its length, so that no two runs of cells say the same.
fn add(all: &mut Sha256, plain: &[u8]) {
    all.update((plain.len() as u64).to_be_bytes());
    all.update(plain);
}
