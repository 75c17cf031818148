//! How SQLite keeps a vault's changes until they are committed: in a write-ahead log on a local
//! file system, in a rollback journal anywhere else.
//!
//! The log needs an index in memory that all processes share. FUSE and network file systems do not
//! promise such memory, and two kernels never share it. The rollback journal needs ordinary file
//! locks alone.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::connect::{
    APPLICATION_ID, BUSY_TIMEOUT, application_id, connect, keep_log, open_to_write, set_up,
};
use super::paths::{parent, with_suffix};
use crate::platform::{FileError, Storage, exists, remove_if_present, sync_file_data};
use crate::vault::error::{Context, VaultError};

/// How long to wait before the next attempt to have the file alone. A process's number is added, in
/// milliseconds, so that two that start at once do not meet again.
const PAUSE: Duration = Duration::from_millis(5);
/// How long to wait for this kernel's processes that use the log on a local FUSE file system.
const LOG_IN_USE_MAX: Duration = Duration::from_millis(200);

/// Opens a connection to the vault at `path`, which gets the journal that its storage needs. A log
/// is written back first.
///
/// # Errors
/// [`VaultError::LogInUse`] when another process has the log open on storage that cannot hold one.
pub(super) fn connect_with_journal(path: &Path) -> Result<Connection, VaultError> {
    let storage = Storage::of(parent(path));
    if storage == Storage::Local {
        let conn = connect(path)?;
        if uses_log(&conn, path) {
            keep_log(&conn, path)?;
        }
        return Ok(conn);
    }
    connect_without_log(path, &storage)
}

/// Opens a connection to a file that no other process uses. Where a log cannot be used, it has none
/// afterwards. Fails when it cannot be opened.
pub(in crate::vault) fn connect_alone(path: &Path) -> Result<Connection, VaultError> {
    match Storage::of(parent(path)) {
        Storage::Local => connect(path),
        storage => connect_without_log(path, &storage),
    }
}

/// Gives a new vault file the journal that its storage needs. Its connection is the only one.
pub(in crate::vault) fn set_journal(
    conn: &Connection,
    path: &Path,
    action: &'static str,
) -> Result<(), VaultError> {
    let mode = match Storage::of(parent(path)) {
        Storage::Local => "WAL",
        Storage::LocalFuse | Storage::Shared(_) => "DELETE",
    };
    set_mode(conn, mode).at(path, action)
}

/// Sets how changes are kept. What that writes is committed when the statement ends, after its one
/// row: `pragma_update` does not see that fail.
pub(in crate::vault) fn set_mode(conn: &Connection, mode: &str) -> rusqlite::Result<()> {
    let mut set = conn.prepare(&format!("PRAGMA journal_mode = {mode}"))?;
    let mut rows = set.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Whether the vault has a log. One that comes from other storage gets it back, unless another
/// process reads it just now: the next opening does it then. What is wrong with the file shows when
/// it is read.
fn uses_log(conn: &Connection, path: &Path) -> bool {
    let has_log = || journal_mode(conn).is_ok_and(|mode| mode == "wal");
    if has_log() || !application_id(conn, path).is_ok_and(|id| id == APPLICATION_ID) {
        return has_log();
    }
    let _ = conn.busy_timeout(Duration::ZERO);
    let _ = set_mode(conn, "WAL");
    let _ = conn.busy_timeout(BUSY_TIMEOUT);
    has_log()
}

fn connect_without_log(path: &Path, storage: &Storage) -> Result<Connection, VaultError> {
    let is_local = *storage == Storage::LocalFuse;
    let patience = if is_local {
        LOG_IN_USE_MAX
    } else {
        BUSY_TIMEOUT
    };
    let deadline = Instant::now() + patience;
    let conn = loop {
        match merged(path) {
            Err(VaultError::Busy { .. }) if Instant::now() < deadline => {
                let own = u64::from(std::process::id() % 32);
                thread::sleep(PAUSE + Duration::from_millis(own));
            }
            // A process of an earlier version has it open with its log, which this kernel shares.
            Err(VaultError::Busy { .. }) if is_local => break connect(path)?,
            Err(VaultError::Busy { path }) if exists(&with_suffix(&path, "-wal")) => {
                return Err(VaultError::LogInUse { path });
            }
            other => break other?,
        }
    };
    // Without a log, a commit is durable once the journal's removal is. Source: PRAGMA synchronous.
    conn.execute_batch("PRAGMA synchronous = EXTRA")
        .at(path, "open")?;
    Ok(conn)
}

/// Opens a connection; if the vault has a log, it is written back and the file has a rollback
/// journal from then on. No shared memory is used: in exclusive locking mode, SQLite keeps the
/// index of the log in its own, if that mode is set before anything is read. Source: SQLite,
/// Write-Ahead Logging, "Use of WAL Without Shared-Memory".
fn merged(path: &Path) -> Result<Connection, VaultError> {
    let conn = open_to_write(path)?;
    conn.busy_timeout(Duration::ZERO).at(path, "open")?;
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE")
        .at(path, "open")?;
    set_up(&conn, path)?;
    let is_vault = application_id(&conn, path)? == APPLICATION_ID;
    if is_vault && journal_mode(&conn).at(path, "open")? == "wal" {
        set_mode(&conn, "DELETE").at(path, "open")?;
        // An index that a killed process left, or that came with the file. Nobody else has it.
        let _ = remove_if_present(&with_suffix(path, "-shm"));
    }
    // The lock is given back by the next read.
    conn.execute_batch("PRAGMA locking_mode = NORMAL")
        .at(path, "open")?;
    application_id(&conn, path)?;
    // A journal that was just rolled back under that lock was emptied, not removed. Nothing is
    // removed while somebody writes.
    if is_vault && exists(&with_suffix(path, "-journal")) {
        set_mode(&conn, "PERSIST").at(path, "open")?;
        set_mode(&conn, "DELETE").at(path, "open")?;
    }
    conn.busy_timeout(BUSY_TIMEOUT).at(path, "open")?;
    Ok(conn)
}

fn journal_mode(conn: &Connection) -> rusqlite::Result<String> {
    conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))
}

/// How long emptying the log is tried while others read the vault. One read takes milliseconds, but
/// for a verification of a long record.
const EMPTYING_MAX: Duration = Duration::from_secs(5);

/// How long is waited between two tries.
const EMPTYING_PAUSE: Duration = Duration::from_millis(50);

/// What became of the write-ahead log after a change of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogState {
    /// It was written back and emptied: the file holds the keys that it has now, no others.
    Emptied,
    /// Others read the vault for so long that it stays: the file without its log, and what is free
    /// in it, is as it was before.
    Remains,
}

/// How long a change of anything but keys waits for readers to empty the log.
const EMPTYING_AT_ONCE: Duration = Duration::from_millis(200);

/// How long the log may be before a commit empties it, in bytes: its header and 64 pages, each with
/// its own header. The first process that opens the vault reads all of it, and a recorded use adds
/// three pages. Source: SQLite, WAL-mode File Format.
const LOG_BYTES: u64 = 32 + 64 * (24 + 4096);

/// What becomes of the log after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vault) enum Log {
    /// It stays, unless it has become long.
    Kept,
    /// It is written back: the file alone has the newest state, and what was removed is in neither.
    Emptied,
}

/// Makes durable what was committed to the vault at `path`. The log is emptied, which syncs the
/// file, or synced itself. It is emptied only if no others read for long: then it stays, and the
/// next change empties it.
///
/// SQLite's own sync of a commit would also sync the directory, once in each process.
///
/// # Errors
/// When the disk refuses. What was committed is seen, and may be gone after a power cut.
pub(in crate::vault) fn make_durable(
    conn: &Connection,
    path: &Path,
    log: Log,
) -> Result<(), VaultError> {
    LogFile::open(conn, path)?.make_durable(conn, log)
}

/// The log of a vault, opened to be synced; none where there is no log.
///
/// A transaction that is made durable after its commit opens it before: Linux reports a failed
/// write to the descriptors that are open, and to a later one only if none has got it. Source:
/// fsync(2), "errseq" in the kernel's documentation of the VFS.
pub(in crate::vault) struct LogFile(Option<(File, PathBuf)>);

impl LogFile {
    /// Opens the log of the vault at `path`.
    ///
    /// # Errors
    /// When the log is there and cannot be opened.
    pub(in crate::vault) fn open(conn: &Connection, path: &Path) -> Result<Self, VaultError> {
        if conn.path().is_none_or(str::is_empty) {
            return Ok(Self(None)); // a copy in memory
        }
        let name = with_suffix(path, "-wal");
        let mut options = File::options();
        options.read(true).write(cfg!(windows));
        match options.open(&name) {
            Ok(file) => Ok(Self(Some((file, name)))),
            // Without a log, SQLite itself makes the commit durable.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self(None)),
            Err(error) => Err(FileError::io("open", &name)(error).into()),
        }
    }

    /// See [`make_durable`]. If the log cannot be synced, it is written back and emptied, if the
    /// disk allows that: what later commands would add to it could be lost with it.
    ///
    /// # Errors
    /// As [`make_durable`].
    pub(in crate::vault) fn make_durable(
        self,
        conn: &Connection,
        log: Log,
    ) -> Result<(), VaultError> {
        let Some((file, name)) = self.0 else {
            return Ok(());
        };
        let is_long = file.metadata().is_ok_and(|meta| meta.len() > LOG_BYTES);
        if (log == Log::Emptied || is_long) && empty_log_at_once(conn) {
            return Ok(());
        }
        let synced = sync_file_data(&file);
        if synced.is_err() {
            empty_log_at_once(conn);
        }
        Ok(synced.map_err(FileError::io("sync", &name))?)
    }
}

/// The number of an event that is in the vault's file without its log, as all before it are; 0
/// where none is known to be. [`note_log_begins`] keeps it.
pub(super) fn in_file_alone(conn: &Connection) -> rusqlite::Result<i64> {
    let kept: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(kept.max(0))
}

/// Keeps the number of the last event before a transaction, if the transaction's pages begin a log:
/// all that came before is in the file alone then. The transaction has begun, so nobody else
/// writes. The number has 31 bits; after 2^31 events, the log is emptied more often than need be.
pub(in crate::vault) fn note_log_begins(
    conn: &Connection,
    path: &Path,
    last: i64,
) -> rusqlite::Result<()> {
    let is_begun = || match std::fs::metadata(with_suffix(path, "-wal")) {
        Ok(log) => log.len() > 0,
        Err(error) => error.kind() != ErrorKind::NotFound,
    };
    if conn.path().is_none_or(str::is_empty) || is_begun() {
        return Ok(());
    }
    let last = last.min(i64::from(i32::MAX));
    conn.execute_batch(&format!("PRAGMA user_version = {last}"))
}

/// Writes the log back and empties it; waits only for readers that end soon. Whether it is empty.
pub(in crate::vault) fn empty_log_at_once(conn: &Connection) -> bool {
    let _ = conn.busy_timeout(EMPTYING_AT_ONCE);
    let is_emptied = is_log_emptied(conn);
    let _ = conn.busy_timeout(BUSY_TIMEOUT);
    is_emptied
}

fn is_log_emptied(conn: &Connection) -> bool {
    let is_busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get::<_, i64>(0)
    });
    matches!(is_busy, Ok(0))
}

/// Writes the log back into the vault's file and empties it. Until that is done, a copy of the file
/// alone opens with the keys that it had before. Waits for readers for [`EMPTYING_MAX`], and for
/// once the connection's own patience after that.
pub(in crate::vault) fn empty_log(conn: &Connection) -> LogState {
    let deadline = Instant::now() + EMPTYING_MAX;
    loop {
        if is_log_emptied(conn) {
            return LogState::Emptied;
        }
        if Instant::now() >= deadline {
            return LogState::Remains;
        }
        thread::sleep(EMPTYING_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_change_in_an_empty_log_notes_what_the_file_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.db");
        let conn = Connection::open(&path).unwrap();
        set_mode(&conn, "WAL").unwrap();
        let record = |last: i64| {
            conn.execute_batch("BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS t (x)")
                .unwrap();
            note_log_begins(&conn, &path, last).unwrap();
            conn.execute_batch("INSERT INTO t VALUES (1); COMMIT")
                .unwrap();
            in_file_alone(&conn).unwrap()
        };
        assert_eq!(record(3), 3, "the log is empty");
        assert_eq!(record(4), 3, "the event before is in the log");
        assert!(empty_log_at_once(&conn));
        assert_eq!(record(i64::MAX), i64::from(i32::MAX));
        conn.execute_batch("PRAGMA user_version = -1").unwrap();
        assert_eq!(in_file_alone(&conn).unwrap(), 0, "no number of an event");
    }
}
