//! Moving a vault to another directory, also to another file system and beside running programs.
//!
//! The copy is complete and on disk before anything else happens. One commit in the old file then
//! makes it no vault any more: that commit is the move. Whatever is killed before it leaves the old
//! vault as it was, and a copy that does not count; whatever is killed after it leaves the new
//! vault, and a file that does not count. Programs that have the old file open fail at their next
//! access.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rusqlite::{Transaction, TransactionBehavior};

use super::copy::copy;
use crate::audit::Head;
use crate::domain::{UnixMs, VaultId};
use crate::platform::{
    FileError, create_private_dir, exists, open_regular, remove_empty_dir, remove_if_present,
    rename_durably, sync_dir, sync_file, temporary_in, write_whole,
};
use crate::vault::error::{Context, VaultError};
use crate::vault::file::connect::{APPLICATION_ID, MOVED_AWAY, application_id, connect, identity};
use crate::vault::file::journal::{Log, make_durable, set_journal};
use crate::vault::file::paths::{
    free_name, lock, make_dir_for, parent, remove_copy, trusted_path, with_suffix,
};
use crate::vault::file::reason::ReadOnlyReason;
use crate::vault::file::vault::{Vault, glance_at};
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::events;
use crate::vault::store::grants::GrantState;

/// Room for the log and its index, in bytes, that there must be beside a vault that was moved. A
/// log is written back at 4 MB at most; everyday commands need some 100 kB. Source: our own choice.
const ROOM: usize = 1 << 20;

/// What comes after the name of a vault that was merged into another one, before the time.
const MERGED: &str = ".merged-";

/// Which of several vault files counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Several {
    /// One process uses the vault.
    One {
        /// That one.
        vault: PathBuf,
        /// What a move left or began to make, and older copies: all of it is in the vault.
        leftovers: Vec<PathBuf>,
        /// What is no vault that can be opened.
        strays: Vec<PathBuf>,
    },
    /// There are different vaults, or copies of which none contains the others.
    Different {
        /// The one that is used: the first of which a head is kept, else the first.
        vault: PathBuf,
        /// The others.
        others: Vec<PathBuf>,
        /// What is no vault that can be opened.
        strays: Vec<PathBuf>,
    },
}

/// What a file in a vault's place is.
#[derive(Debug)]
enum Found {
    Vault(Box<Vault>),
    /// The vault was moved away: its record ends with this event.
    MovedAway(Option<events::Last>),
    Unknown,
}

/// Decides which of several vault files counts, the preferred one first: the one that all others
/// are contained in. A file that was moved away does not count, nor what cannot be opened.
/// `has_head` says whether the record of a vault holds the head that is kept of it. Nothing is
/// changed.
#[must_use]
pub fn which_counts(files: &[PathBuf], has_head: &dyn Fn(&Vault) -> bool) -> Several {
    let found: Vec<(&PathBuf, Found)> = files.iter().map(|path| (path, examine(path))).collect();
    let vaults = || {
        found.iter().filter_map(|(path, found)| match found {
            Found::Vault(vault) => Some((*path, &**vault)),
            _ => None,
        })
    };
    let contains_all = |(_, vault): &(&PathBuf, &Vault)| {
        let mut others = vaults().filter(|(_, other)| !std::ptr::eq(*other, *vault));
        others.all(|(_, other)| is_earlier_copy(other, vault))
    };
    let whole = vaults().find(contains_all);
    let preferred = || vaults().find(|(_, vault)| has_head(vault));
    let Some((path, vault)) = whole.or_else(preferred).or_else(|| vaults().next()) else {
        // Opening the first says what is wrong with it.
        return Several::One {
            vault: files.first().cloned().unwrap_or_default(),
            leftovers: Vec::new(),
            strays: files.iter().skip(1).cloned().collect(),
        };
    };
    let (mut contained, mut others, mut strays) = (Vec::new(), Vec::new(), Vec::new());
    for (other, found) in &found {
        match found {
            _ if *other == path => {}
            Found::Vault(_) if whole.is_some() => contained.push((*other).clone()),
            Found::Vault(_) => others.push((*other).clone()),
            Found::MovedAway(last) if has_event(vault, last.as_ref()) => {
                contained.push((*other).clone());
            }
            Found::MovedAway(_) | Found::Unknown => strays.push((*other).clone()),
        }
    }
    let vault = path.clone();
    match whole {
        Some(_) => Several::One {
            vault,
            leftovers: contained,
            strays,
        },
        None => Several::Different {
            vault,
            others,
            strays,
        },
    }
}

/// Whether the file at `path` is a vault that was moved away.
#[must_use]
pub fn is_moved_away(path: &Path) -> bool {
    matches!(examine(path), Found::MovedAway(_))
}

fn examine(path: &Path) -> Found {
    let Ok(real) = trusted_path(path) else {
        return Found::Unknown;
    };
    let Ok(reading) = glance_at(&real) else {
        return Found::Unknown;
    };
    match application_id(&reading.conn, &real) {
        Ok(MOVED_AWAY) => Found::MovedAway(events::last(&reading.conn).ok().flatten()),
        Ok(APPLICATION_ID) => Vault::as_it_is(reading, real, Some(ReadOnlyReason::Copy))
            .map_or(Found::Unknown, |vault| Found::Vault(Box::new(vault))),
        _ => Found::Unknown,
    }
}

/// Whether the record of `vault` holds an event that another file ends with; no pruned one.
fn has_event(vault: &Vault, last: Option<&events::Last>) -> bool {
    last.is_some_and(|last| {
        events::mac_at(&vault.conn, last.seq).is_ok_and(|mac| mac == Some(last.mac))
    })
}

/// Whether everything in `copy` is in `vault`: the very event that the copy ends with is there.
fn is_earlier_copy(copy: &Vault, vault: &Vault) -> bool {
    let last = events::last(&copy.conn).ok().flatten();
    copy.id() == vault.id() && has_event(vault, last.as_ref())
}

impl UnlockedVault {
    /// Moves the vault to `to`, with the files of its lease directory that hold tokens. Its key
    /// slots, its record and the kept head stay as they are.
    ///
    /// # Errors
    /// [`VaultError::RefreshUnderWay`]; [`VaultError::Occupied`] when another vault, or one that is
    /// not an earlier copy, is there; otherwise what cannot be written. The vault is where it was
    /// then.
    pub fn move_to(self, to: &Path) -> Result<PathBuf, VaultError> {
        self.move_unchanged(to, None)
    }

    /// As [`UnlockedVault::move_to`], if the record still ends with `expected`.
    fn move_unchanged(self, to: &Path, expected: Option<&Head>) -> Result<PathBuf, VaultError> {
        self.require_writable()?;
        let to = make_dir_for(to)?.join(to.file_name().unwrap_or_default());
        let from = self.path.clone();
        let _from_lock = lock(&from)?;
        let to_lock = lock(&to)?;
        let scratch = with_suffix(&to, ".new");
        remove_copy(&scratch); // of a process that was killed
        if exists(&to) && !Vault::glance(&to).is_ok_and(|copy| is_earlier_copy(&copy, &self)) {
            return Err(VaultError::Occupied { path: to });
        }
        // From here on nobody writes: no refresh begins, and none that has begun commits.
        let tx = Transaction::new_unchecked(&self.vault.conn, TransactionBehavior::Immediate)
            .at(&from, "move")?;
        identity(&tx, &from)?; // another process may have moved it
        let started: i64 = tx
            .query_row(
                "SELECT count(*) FROM grants WHERE state = ?1",
                [GrantState::Started.as_str()],
                |row| row.get(0),
            )
            .at(&from, "read")?;
        if started > 0 {
            return Err(VaultError::RefreshUnderWay);
        }
        if expected.is_some() && self.head()?.as_ref() != expected {
            return Err(VaultError::Busy { path: from });
        }
        let copied = copy_whole(&from, &scratch, self.vault.id);
        let placed = copied.and_then(|()| {
            make_room(parent(&to))?;
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
        tx.commit().at(&from, "move")?; // from here on the other one counts
        // After a power cut it may be as it was: then it is an earlier copy of the other one.
        let _ = make_durable(&self.vault.conn, &from, Log::Emptied);
        drop(self);
        drop(to_lock);
        // What is left does not count, and `which_counts` names it.
        if let Ok(moved) = Vault::open(&to) {
            let _ = moved.remove_moved_away(&from);
        }
        Ok(to)
    }
}

impl UnlockedVault {
    /// Renames the vault so that nothing takes it for one in use: `.merged-` and the time come
    /// after its name. It can still be opened by that name. Returns the name.
    ///
    /// # Errors
    /// As [`UnlockedVault::move_to`].
    /// [`VaultError::Busy`] when its record no longer ends with `expected`.
    pub fn set_aside(self, expected: &Head, now: UnixMs) -> Result<PathBuf, VaultError> {
        let name = free_name(&self.path, MERGED, now);
        let to = self.move_unchanged(&name, Some(expected))?;
        remove_if_present(&with_suffix(&to, ".lock"))?;
        drop(connect(&to)); // the last connection removes the log and its index
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
            remove_if_present(&with_suffix(path, suffix))?;
        }
        Ok(())
    }
}

impl Vault {
    /// Removes what a move left at `path`: a file that is no vault any more, and what lies beside
    /// it. Anything else is left alone, also a file with that mark whose record this vault does not
    /// contain.
    pub fn remove_moved_away(&self, path: &Path) -> Result<bool, FileError> {
        match examine(path) {
            Found::MovedAway(last) if has_event(self, last.as_ref()) => {}
            _ => return Ok(false),
        }
        // The file goes first, durably: without its log it would be a vault again.
        remove_if_present(path)?;
        sync_dir(parent(path))?;
        remove_companion_files(path)?;
        Ok(true)
    }
}

/// Removes what lies beside a vault that is gone: its log, its locks. A vault that is there is left
/// alone.
pub fn remove_companion_files(path: &Path) -> Result<(), FileError> {
    if exists(path) {
        return Ok(());
    }
    let dir = lease_dir(path);
    for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
        remove_if_present(&entry.path())?;
    }
    match remove_empty_dir(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(FileError::io("remove", &dir)(error));
        }
        _ => {}
    }
    for suffix in ["-wal", "-shm", "-journal", ".lock"] {
        remove_if_present(&with_suffix(path, suffix))?;
    }
    sync_dir(parent(path))
}

/// The directory of locks and recovery files beside a vault.
fn lease_dir(vault: &Path) -> PathBuf {
    with_suffix(vault, ".lease")
}

/// Copies the vault as it is committed, ready to be used: proved to be whole, and on disk.
fn copy_whole(from: &Path, to: &Path, id: VaultId) -> Result<(), VaultError> {
    let reader = connect(from)?;
    let last = copy(&reader, from, to)?;
    let expected = events::last(&reader).at(from, "read")?;
    drop(reader);
    let conn = connect(to)?;
    set_journal(&conn, to, "write")?;
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

/// Makes sure that the vault can be written at its new place, by making room and freeing it.
fn make_room(dir: &Path) -> Result<(), FileError> {
    let made = || -> std::io::Result<()> {
        let mut room = temporary_in(dir)?;
        room.write_all(&vec![0; ROOM])?;
        sync_file(room.as_file())
    };
    made().map_err(FileError::io("write in", dir))
}

/// Copies the recovery files of a lease directory: what a refresh brought and could not be opened
/// is in them and nowhere else. They are sealed.
fn copy_recovery_files(from: &Path, to: &Path) -> Result<(), VaultError> {
    let entries = std::fs::read_dir(from).into_iter().flatten().flatten();
    let files = entries.filter(|entry| {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        is_file && entry.file_name().to_string_lossy().contains(".rescue")
    });
    for file in files {
        create_private_dir(to)?;
        let path = to.join(file.file_name());
        let mut source = open_regular(&file.path())?;
        let copied = write_whole(&path, |draft| std::io::copy(&mut source, draft).map(|_| ()));
        copied.map_err(FileError::io("write", &path))?;
    }
    if to.is_dir() {
        sync_dir(to)?;
    }
    Ok(())
}
