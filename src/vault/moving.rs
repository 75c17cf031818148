//! Moving a vault to another directory, also to another file system and beside running programs.
//!
//! The copy is complete and on disk before anything else happens. One commit in the old file then makes
//! it no vault any more: that commit is the move. Whatever is killed before it leaves the old vault as it
//! was, and a copy that does not count; whatever is killed after it leaves the new vault, and a file that
//! does not count. Programs that have the old file open fail at their next access.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::backup::{beside, copy, parent, remove_copy};
use super::error::{Context, VaultError};
use super::events;
use super::file::{
    APPLICATION_ID, Vault, application_id, connect, glance_at, identity, lock, trusted_dir,
    trusted_path,
};
use super::restore::free_name;
use super::unlock::UnlockedVault;
use crate::domain::{UnixMs, VaultId};
use crate::platform::{
    FileError, create_private_dir, exists, remove_if_present, rename_durably, sync_dir,
};

/// SQLite's application id of a vault that was moved away: "clkm". Source: our own choice.
const MOVED_AWAY: i32 = i32::from_be_bytes(*b"clkm");

/// What comes after the name of a vault that was merged into another one, before the time.
const MERGED: &str = ".merged-";

/// Which of several vault files counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Several {
    /// One does.
    One {
        /// That one.
        vault: PathBuf,
        /// What a move left or began to make: it can be removed.
        leftovers: Vec<PathBuf>,
    },
    /// They are different vaults, or copies of which neither contains the other.
    Different,
}

/// What a file in a vault's place is.
#[derive(Debug)]
enum Found {
    Vault(Vault),
    MovedAway,
    Unknown,
}

/// Decides which of several vault files counts, the preferred one first. A file that was moved away does
/// not; nor does the copy that an interrupted move made. Nothing is changed.
#[must_use]
pub fn which_counts(files: &[PathBuf]) -> Several {
    let found: Vec<(&PathBuf, Found)> = files.iter().map(|path| (path, examine(path))).collect();
    let is_alive = |found: &Found| !matches!(found, Found::MovedAway);
    let mut alive = found.iter().filter(|(_, found)| is_alive(found));
    let Some((path, first)) = alive.next() else {
        return Several::Different; // said by whoever opens it
    };
    let is_copy = |other: &Found| match (first, other) {
        (Found::Vault(first), Found::Vault(other)) => is_earlier_copy(other, first),
        _ => false,
    };
    if !alive.all(|(_, other)| is_copy(other)) {
        return Several::Different;
    }
    Several::One {
        vault: (*path).clone(),
        leftovers: files.iter().filter(|file| file != path).cloned().collect(),
    }
}

/// Whether the file at `path` is a vault that was moved away.
#[must_use]
pub fn is_moved_away(path: &Path) -> bool {
    matches!(examine(path), Found::MovedAway)
}

fn examine(path: &Path) -> Found {
    let Ok(real) = trusted_path(path) else {
        return Found::Unknown;
    };
    // A log without its index, as a process that was killed leaves it, can only be read by recovering it.
    let Ok(conn) = glance_at(&real).or_else(|_| connect(&real)) else {
        return Found::Unknown;
    };
    match application_id(&conn, &real) {
        Ok(MOVED_AWAY) => Found::MovedAway,
        Ok(APPLICATION_ID) => {
            let vault = Vault::glance(path).or_else(|_| Vault::open(path));
            vault.map_or(Found::Unknown, Found::Vault)
        }
        _ => Found::Unknown,
    }
}

/// Whether everything in `copy` is in `vault`.
fn is_earlier_copy(copy: &Vault, vault: &Vault) -> bool {
    let head = copy.head().ok().flatten();
    copy.id() == vault.id() && head.is_some_and(|head| vault.has_event_of(&head).unwrap_or(false))
}

/// Says that a vault was moved away, where that is why `error` came.
pub(super) fn or_moved_away(conn: &Connection, path: &Path, error: VaultError) -> VaultError {
    match application_id(conn, path) {
        Ok(MOVED_AWAY) => VaultError::MovedAway {
            path: path.to_owned(),
        },
        _ => error,
    }
}

impl UnlockedVault {
    /// Moves the vault to `to`, with the files of its lease directory that hold tokens. No refresh may be
    /// under way. Its key slots, its record and the kept head stay as they are.
    ///
    /// # Errors
    /// [`VaultError::RefreshUnderWay`]; [`VaultError::Occupied`] when another vault, or one that is not
    /// an earlier copy, is there; otherwise what cannot be written. The vault is where it was then.
    pub fn move_to(mut self, to: &Path) -> Result<PathBuf, VaultError> {
        create_private_dir(parent(to))?;
        let to = trusted_dir(to)?.join(to.file_name().unwrap_or_default());
        let from = self.path.clone();
        let _from_lock = lock(&from)?;
        let to_lock = lock(&to)?;
        let scratch = beside(&to, ".new");
        remove_copy(&scratch); // of a process that was killed
        if exists(&to) && !Vault::glance(&to).is_ok_and(|copy| is_earlier_copy(&copy, &self)) {
            return Err(VaultError::Occupied { path: to });
        }
        if !self.started_refreshes()?.is_empty() {
            return Err(VaultError::RefreshUnderWay);
        }
        let conn = &mut self.vault.conn;
        let tx = conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .at(&from, "move")?;
        identity(&tx, &from)?; // another process may have moved it
        let copied = copy_whole(&from, &scratch, self.vault.id);
        let placed = copied.and_then(|()| {
            copy_recovery_files(&lease_dir(&from), &lease_dir(&to))?;
            remove_copy(&to); // an earlier copy, and what is beside it
            rename_durably(&scratch, &to)?;
            Ok(sync_dir(parent(&to))?)
        });
        if placed.is_err() {
            remove_copy(&scratch);
        }
        placed?;
        tx.execute_batch(&format!(
            "PRAGMA application_id = {MOVED_AWAY}; ALTER TABLE identity RENAME TO moved_away;"
        ))
        .at(&from, "move")?;
        tx.commit().at(&from, "move")?;
        drop(self); // from here on the other one counts
        drop(to_lock);
        let _ = remove_moved_away(&from); // what is left does not count, and `which_counts` names it
        Ok(to)
    }
}

impl UnlockedVault {
    /// Renames the vault so that nothing takes it for one in use: `.merged-` and the time come after its
    /// name. It can still be opened by that name. Returns the name.
    ///
    /// # Errors
    /// As [`UnlockedVault::move_to`].
    pub fn set_aside(self, now: UnixMs) -> Result<PathBuf, VaultError> {
        let name = free_name(&self.path, MERGED, now);
        let to = self.move_to(&name)?;
        remove_if_present(&beside(&to, ".lock"))?;
        Ok(to)
    }

    /// Removes the earlier copy of this vault at `path`.
    ///
    /// # Errors
    /// [`VaultError::Occupied`] when what is there is none: it has events that this one has not.
    pub fn remove_earlier_copy(&self, path: &Path) -> Result<(), VaultError> {
        let _lock = lock(path)?;
        if !Vault::glance(path).is_ok_and(|copy| is_earlier_copy(&copy, self)) {
            let path = path.to_owned();
            return Err(VaultError::Occupied { path });
        }
        for suffix in ["-wal", "-shm", "-journal", "", ".lock"] {
            remove_if_present(&beside(path, suffix))?;
        }
        Ok(())
    }
}

/// Removes what a move left at `path`: the file that is no vault any more and what lies beside it. A file
/// that is still a vault is left alone.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_moved_away(path: &Path) -> Result<bool, FileError> {
    if !is_moved_away(path) {
        return Ok(false);
    }
    let dir = lease_dir(path);
    for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
        remove_if_present(&entry.path())?;
    }
    match std::fs::remove_dir(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(FileError::io("remove", &dir)(error));
        }
        _ => {}
    }
    // The file itself last: while it is there, it is known what the rest is.
    for suffix in ["-shm", "-journal", ".lock", "-wal", ""] {
        remove_if_present(&beside(path, suffix))?;
    }
    sync_dir(parent(path))?;
    Ok(true)
}

/// The directory of locks and recovery files beside a vault.
fn lease_dir(vault: &Path) -> PathBuf {
    beside(vault, ".lease")
}

/// Copies the vault as it is committed, ready to be used: proved to be whole, and on disk.
fn copy_whole(from: &Path, to: &Path, id: VaultId) -> Result<(), VaultError> {
    let reader = connect(from)?;
    let last = copy(&reader, from, to)?;
    let expected = events::last(&reader).at(from, "read")?;
    drop(reader);
    let conn = connect(to)?;
    conn.pragma_update(None, "journal_mode", "WAL")
        .at(to, "write")?;
    conn.close().map_err(|(_, error)| error).at(to, "write")?;
    let copied = Vault::glance(to)?;
    let fault = copied.integrity_faults()?.into_iter().next();
    let is_same = last.map(|last| last.mac) == expected.map(|last| last.mac) && copied.id() == id;
    match fault {
        Some(what) => Err(VaultError::Damaged {
            path: to.to_owned(),
            what,
        }),
        None if !is_same => Err(VaultError::Damaged {
            path: to.to_owned(),
            what: "the copy is not what was copied".to_owned(),
        }),
        None => Ok(()),
    }
}

/// Copies the recovery files of a lease directory: what a refresh brought and could not be opened is in
/// them and nowhere else. They are sealed.
fn copy_recovery_files(from: &Path, to: &Path) -> Result<(), VaultError> {
    let entries = std::fs::read_dir(from).into_iter().flatten().flatten();
    let files = entries.filter(|entry| {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        is_file && entry.file_name().to_string_lossy().contains(".rescue")
    });
    for file in files {
        create_private_dir(to)?;
        let path = to.join(file.file_name());
        let copied = || -> std::io::Result<()> {
            let mut draft = tempfile::NamedTempFile::new_in(to)?;
            std::io::copy(&mut std::fs::File::open(file.path())?, &mut draft)?;
            draft.as_file().sync_all()?;
            draft.persist(&path)?;
            Ok(())
        };
        copied().map_err(FileError::io("write", &path))?;
    }
    if to.is_dir() {
        sync_dir(to)?;
    }
    Ok(())
}
