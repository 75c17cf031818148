//! The key slots' table.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::find::{from_files, new_key_file};
use super::sources::KeySources;
use crate::audit::EventKind;
use crate::crypto::{DataKey, Epoch, SlotKind, SlotRecord, WrappedKeys, constant_time_eq};
use crate::domain::{KeyId, UnixMs, VaultId};
use crate::vault::error::{Context, KeyProblem, VaultError};
use crate::vault::file::vault::Vault;
use crate::vault::log::events::WHEN_NEWEST_OF_KIND;

/// How many slots a vault may have. Source: `spec/vault.md`, Keys.
const SLOTS_MAX: i64 = 16;

/// The slots that this version can open, and the kinds of the others.
type Slots = (Vec<SlotRecord>, Vec<KeyProblem>);

/// A key slot, as far as it is known without a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its number, from 1 to 16.
    pub slot: i64,
    /// The name of its kind, which may be of a later version.
    pub kind: String,
    /// Names its key in its place.
    pub key_id: KeyId,
    /// The time at which it was added.
    pub created_at: UnixMs,
    /// How its key comes from a passphrase: memory, passes, lanes and salt as a PHC string.
    pub kdf: Option<String>,
}

const COLUMNS: &str = "slot, kind, key_id, check_value, wrapped, kdf";

pub(in crate::vault) fn read_all(conn: &Connection, path: &Path) -> Result<Slots, VaultError> {
    let mut select = conn
        .prepare(&format!("SELECT {COLUMNS} FROM key_slots ORDER BY slot"))
        .at(path, "read")?;
    let mut rows = select.query([]).at(path, "read")?;
    let (mut slots, mut others) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next().at(path, "read")? {
        match read(row).at(path, "read")? {
            Ok(slot) => slots.push(slot),
            Err((slot, kind)) => others.push(KeyProblem::UnknownKind { slot, kind }),
        }
    }
    Ok((slots, others))
}

/// A row of [`COLUMNS`]; its number and kind where that is of a later version.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<SlotRecord, (i64, String)>> {
    let (slot, kind): (i64, String) = (row.get(0)?, row.get(1)?);
    let Some(kind) = SlotKind::from_name(&kind) else {
        return Ok(Err((slot, kind)));
    };
    Ok(Ok(SlotRecord {
        slot,
        kind,
        key_id: KeyId(row.get(2)?),
        check: row.get(3)?,
        wrapped: row.get(4)?,
        kdf: row.get(5)?,
    }))
}

impl Vault {
    /// Its key slots, in the order of their numbers; needs no key.
    pub fn slots(&self) -> Result<Vec<SlotInfo>, VaultError> {
        let read = || -> rusqlite::Result<Vec<SlotInfo>> {
            let mut select = self.conn.prepare(
                "SELECT slot, kind, key_id, created_at, kdf FROM key_slots ORDER BY slot",
            )?;
            let rows = select.query_map([], |row| {
                Ok(SlotInfo {
                    slot: row.get(0)?,
                    kind: row.get(1)?,
                    key_id: KeyId(row.get(2)?),
                    created_at: UnixMs(row.get(3)?),
                    kdf: row.get(4)?,
                })
            })?;
            rows.collect()
        };
        read().at(&self.path, "read")
    }

    /// When the newest event of a kind was recorded; `None` when there is none. Needs no key.
    pub fn newest_of_kind(&self, kind: EventKind) -> Result<Option<UnixMs>, VaultError> {
        let newest = self
            .conn
            .query_row(WHEN_NEWEST_OF_KIND, [kind.as_str()], |row| row.get(0))
            .optional();
        Ok(newest.at(&self.path, "read")?.map(UnixMs))
    }

    /// The path of a slot's key file; `None` if there is none that opens the slot.
    #[must_use]
    pub fn find_keyfile(&self, slot: i64, sources: &KeySources<'_>) -> Option<PathBuf> {
        let (slots, _) = read_all(&self.conn, &self.path).ok()?;
        let slot = slots.into_iter().find(|known| known.slot == slot)?;
        let found = from_files(sources, self.id, &slot).ok()?;
        Some(if found.is_new {
            new_key_file(&found.place)
        } else {
            found.place
        })
    }

    /// How often its data key was replaced, counted from 1; needs no key.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch.0
    }
}

/// The lowest number that no slot has.
pub(in crate::vault) fn free_slot(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut select = conn.prepare("SELECT slot FROM key_slots")?;
    let taken = select.query_map([], |row| row.get(0))?;
    let taken: Vec<i64> = taken.collect::<rusqlite::Result<_>>()?;
    Ok((1..=SLOTS_MAX).find(|slot| !taken.contains(slot)))
}

pub(in crate::vault) fn insert(
    conn: &Connection,
    slot: &SlotRecord,
    slot_key: &[u8],
    now: UnixMs,
) -> rusqlite::Result<usize> {
    conn.execute(
        "INSERT INTO key_slots (slot, kind, key_id, check_value, kdf, created_at, wrapped, \
         slot_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            slot.slot,
            slot.kind.as_str(),
            slot.key_id.0,
            slot.check,
            slot.kdf,
            now.0,
            slot.wrapped,
            slot_key
        ],
    )
}

/// What a slot's own key was sealed as.
pub(in crate::vault) fn sealed_slot_key(conn: &Connection, slot: i64) -> rusqlite::Result<Vec<u8>> {
    conn.query_row(
        "SELECT slot_key FROM key_slots WHERE slot = ?1",
        [slot],
        |row| row.get(0),
    )
}

/// The slots that would not open the vault: each one's own key is sealed under the data key, so
/// nobody has to be asked.
pub(in crate::vault) fn unproved(
    (conn, path): (&Connection, &Path),
    (vault, epoch): (VaultId, Epoch),
    data: &DataKey,
) -> Result<Vec<i64>, VaultError> {
    let seal = data.seal_key(vault, epoch);
    let (slots, _) = read_all(conn, path)?;
    let mut unproved = Vec::new();
    for slot in slots {
        let blob = sealed_slot_key(conn, slot.slot).at(path, "read")?;
        let key = slot.unwrap_slot_key(vault, &seal, &blob).ok();
        let opens = key.is_some_and(|key| {
            slot.accepts(vault, &key)
                && slot
                    .unwrap_data_key(vault, epoch, &key)
                    .is_ok_and(|opened| {
                        constant_time_eq(opened.expose_secret(), data.expose_secret())
                    })
        });
        if !opens {
            unproved.push(slot.slot);
        }
    }
    Ok(unproved)
}

/// Puts a slot in the place of the one of its number.
pub(in crate::vault) fn replace(
    conn: &Connection,
    slot: &SlotRecord,
    wrapped: &WrappedKeys,
) -> rusqlite::Result<usize> {
    conn.execute(
        "UPDATE key_slots SET key_id = ?2, check_value = ?3, kdf = ?4, wrapped = ?5, slot_key = \
         ?6 WHERE slot = ?1",
        params![
            slot.slot,
            slot.key_id.0,
            slot.check,
            slot.kdf,
            wrapped.data_key,
            wrapped.slot_key
        ],
    )
}

pub(in crate::vault) fn delete(conn: &Connection, slot: i64) -> rusqlite::Result<usize> {
    conn.execute("DELETE FROM key_slots WHERE slot = ?1", [slot])
}
