//! The key slots' table, and keeping a slot's key where its kind says.

use std::path::Path;

use rusqlite::{Connection, params};
use zeroize::Zeroizing;

use super::error::{Context, KEYCHAIN, KeyProblem, VaultError};
use super::file::Vault;
use crate::crypto::{SlotKey, SlotKind, SlotRecord, WrappedKeys, keyfile_text, parse_keyfile};
use crate::domain::{KeyId, UnixMs, VaultId};
use crate::platform::{
    FileError, Keychain, KeychainError, check_trusted, create_private_dir, read_trusted,
    remove_if_present, sync_dir,
};

/// A key file is three short lines.
const KEYFILE_LIMIT: u64 = 4096;

/// The slots that this version can open, and the kinds of the others.
pub(super) type Slots = (Vec<SlotRecord>, Vec<KeyProblem>);

pub(super) fn read_all(conn: &Connection, path: &Path) -> Result<Slots, VaultError> {
    let mut select = conn
        .prepare("SELECT slot, kind, key_id, check_value, wrapped FROM key_slots ORDER BY slot")
        .at(path, "read")?;
    let mut rows = select.query([]).at(path, "read")?;
    let (mut slots, mut others) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next().at(path, "read")? {
        let (slot, kind): (i64, String) =
            (row.get(0).at(path, "read")?, row.get(1).at(path, "read")?);
        match SlotKind::from_name(&kind) {
            Some(kind) => slots.push(SlotRecord {
                slot,
                kind,
                key_id: KeyId(row.get(2).at(path, "read")?),
                check: row.get(3).at(path, "read")?,
                wrapped: row.get(4).at(path, "read")?,
            }),
            None => others.push(KeyProblem::UnknownKind { slot, kind }),
        }
    }
    Ok((slots, others))
}

impl Vault {
    /// The kinds of its key slots, in the order of the slots; needs no key. Kinds of later versions are among them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn slot_kinds(&self) -> Result<Vec<String>, VaultError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut select = self
                .conn
                .prepare("SELECT kind FROM key_slots ORDER BY slot")?;
            select.query_map([], |row| row.get(0))?.collect()
        };
        read().at(&self.path, "read")
    }
}

pub(super) fn insert(
    conn: &Connection,
    slot: &SlotRecord,
    wrapped: &WrappedKeys,
    now: UnixMs,
) -> rusqlite::Result<usize> {
    conn.execute(
        "INSERT INTO key_slots (slot, kind, key_id, check_value, created_at, wrapped, slot_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![slot.slot, slot.kind.as_str(), slot.key_id.0, slot.check, now.0, wrapped.data_key, wrapped.slot_key],
    )
}

/// A slot's account in the keychain. Source: `spec/vault.md`, Keys.
pub(super) fn account(vault: VaultId, key: KeyId) -> String {
    format!("{vault}/{key}")
}

/// Reads the slot's key from the keychain. An item that is not 32 bytes is not its key.
pub(super) fn from_keychain(
    keychain: &dyn Keychain,
    vault: VaultId,
    slot: &SlotRecord,
) -> Result<SlotKey, KeyProblem> {
    let found = keychain.get(&account(vault, slot.key_id))?;
    let bytes: Zeroizing<Vec<u8>> = found.ok_or(KeyProblem::NotInKeychain {
        key_id: slot.key_id,
    })?;
    let wrong = || KeyProblem::WrongKey {
        place: KEYCHAIN.to_owned(),
    };
    SlotKey::from_bytes(&bytes)
        .filter(|key| slot.accepts(vault, key))
        .ok_or_else(wrong)
}

/// Stores a new slot's key in the keychain, which reads it back before it says yes.
pub(super) fn into_keychain(
    keychain: &dyn Keychain,
    vault: VaultId,
    key_id: KeyId,
    key: &SlotKey,
) -> Result<(), KeychainError> {
    keychain.set(&account(vault, key_id), key.expose_secret())
}

/// Reads the key file at `path`; `None` when there is none. `forbidden` as in [`check_trusted`].
pub(super) fn from_file(path: &Path, forbidden: u32) -> Result<Option<SlotKey>, KeyProblem> {
    if let Some(dir) = path
        .parent()
        .and_then(|dir| std::fs::canonicalize(dir).ok())
    {
        check_trusted(&dir, 0o022)?;
    }
    let Some(contents) = read_trusted(path, forbidden, KEYFILE_LIMIT)? else {
        return Ok(None);
    };
    let not_one = || KeyProblem::NotAKeyFile {
        path: path.to_owned(),
    };
    parse_keyfile(&contents.bytes).map(Some).ok_or_else(not_one)
}

/// Writes a key file that was not there, whole and durably: half a key file, left by a killed process, would stand in
/// the way of every later try.
pub(super) fn into_file(path: &Path, vault: VaultId, key: &SlotKey) -> Result<(), FileError> {
    use std::io::Write as _;
    let dir = path.parent().unwrap_or(Path::new("."));
    create_private_dir(dir)?;
    let mut file =
        tempfile::NamedTempFile::new_in(dir).map_err(FileError::io("create a file in", dir))?; // mode 0600
    file.write_all(keyfile_text(vault, key).as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(FileError::io("write", path))?;
    file.persist_noclobber(path)
        .map_err(|error| FileError::io("create", path)(error.error))?;
    sync_dir(dir).inspect_err(|_| {
        // It may not last, so nothing is sealed under it. The error that led here is the one to tell.
        let _ = remove_if_present(path);
    })
}
