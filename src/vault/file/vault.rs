//! Opening a vault file: is it ours, whole, of a schema we know, and in a place only we can write?

use super::read_only::read_transaction;
use std::cell::Cell;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Transaction};
use serde_json::Value;

use super::connect::{BUSY_TIMEOUT, check_application, data_version, identity};
use super::journal::{Log, connect_with_journal, empty_log_at_once, in_file_alone, make_durable};
use super::paths::{lock, parent, trusted_path, with_suffix};
use super::read_only::{ReadConnection, Writers, connect_to_read, reason_for};
use super::reason::ReadOnlyReason;
use super::{image, schema};
use crate::audit::{EventKind, Head};
use crate::crypto::Epoch;
use crate::domain::{Seq, VaultId};
use crate::platform::{
    FileError, Storage, is_present, open_regular, remove_if_present, resolve_link,
};
use crate::vault::error::{BackupError, Context, VaultError};
use crate::vault::log::events;
use crate::vault::sealing::listing;

/// How long a glance waits for a commit to end, where there is no log.
const COMMIT_MAX: Duration = Duration::from_millis(500);
/// The smallest database: one page of the smallest size, in bytes. Source: SQLite's file format.
const PAGE_MIN: u64 = 512;

/// An open vault, still locked: its record can be read, none of its secrets.
#[derive(Debug)]
pub struct Vault {
    pub(in crate::vault) conn: Connection,
    pub(in crate::vault) path: PathBuf,
    pub(in crate::vault) id: VaultId,
    pub(in crate::vault) epoch: Epoch,
    pub(in crate::vault) read_only: Option<ReadOnlyReason>,
    /// The end of the record after the last transaction of this connection, which is durable.
    pub(in crate::vault) durable: Cell<Option<Head>>,
    /// See [`ReadConnection::snapshot`].
    pub(in crate::vault) _snapshot: Option<Box<Connection>>,
}

/// A snapshot of a vault; see [`Vault::snapshot`].
pub(crate) struct Snapshot<'v>(
    #[expect(dead_code, reason = "it ends when it is dropped")] Transaction<'v>,
);

impl Vault {
    /// Opens the vault at `path`. One that an earlier version made is migrated. Where the file
    /// cannot or must not be written, it is opened to be read, and [`Vault::read_only`] says why;
    /// one of an earlier version is then migrated in memory.
    ///
    /// # Errors
    /// [`VaultError::Absent`] when there is none; otherwise what is wrong with it. Nothing is
    /// changed then.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        Self::open_unless(path, |_| None)
    }

    /// As [`Vault::open`], for an answer that the vault is only read for: on a full disk, a vault
    /// whose log is there would else be opened, and fail at what the command would note.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn open_to_read(path: &Path) -> Result<Self, VaultError> {
        Self::open_unless(path, ReadOnlyReason::of_full_disk)
    }

    /// Opens the vault, to be read if `reason` has one for that.
    fn open_unless(
        path: &Path,
        reason: impl FnOnce(&Path) -> Option<ReadOnlyReason>,
    ) -> Result<Self, VaultError> {
        if !is_present(path)? {
            return Err(VaultError::Absent {
                path: path.to_owned(),
            });
        }
        let path = trusted_path(path)?;
        let length = length_of_file(&path)?;
        let read_only = reason_for(&path)?.or_else(|| reason(&path));
        if length < PAGE_MIN {
            let what = format!("it is only {length} bytes long");
            return Err(VaultError::Damaged { path, what });
        }
        if let Some(reason) = read_only {
            let conn = connect_to_read(&path, Writers::of(&path), BUSY_TIMEOUT)?;
            return Self::brought_up(conn, path, reason);
        }
        let log = prepare_log(&path)?;
        let mut conn = match connect_with_journal(&path) {
            Ok(conn) => conn,
            // SQLite makes its log, or the index of one, before it reads.
            Err(error) => {
                let reason = ReadOnlyReason::of_error(&error).ok_or(error)?;
                let conn = connect_to_read(&path, Writers::Possible, BUSY_TIMEOUT)?;
                return Self::brought_up(conn, path, reason);
            }
        };
        if let Some(found) = current_identity(&conn, &path, log)? {
            if found.log == FoundLog::WithChange {
                empty_log_at_once(&conn);
            }
            return Ok(Self::identified(conn, path, None, found.identity));
        }
        let lock = lock(&path)?;
        // Another process may have been quicker. What was planted in an earlier schema is found
        // before it is gone.
        if let Some(found) = schema::version(&conn, &path)? {
            schema::check_version(&conn, &path, found)?;
        }
        schema::migrate(&mut conn, &path)?;
        // What the migration left behind is given back where nobody is in the way; later events use
        // it else.
        let _ = conn.execute_batch("VACUUM");
        make_durable(&conn, &path, Log::Emptied)?;
        drop(lock);
        Self::as_it_is(conn, path, None)
    }

    /// Opens the vault at `path` for a glance at its plain columns, as completions take one while
    /// somebody types: it waits for nobody, and neither upgrades the vault nor writes it.
    ///
    /// # Errors
    /// As [`Vault::open`]; and when somebody is in the way, or it is of an earlier version.
    pub fn glance(path: &Path) -> Result<Self, VaultError> {
        let path = trusted_path(path)?;
        let reading = glance_at(&path)?;
        check_application(&reading.conn, &path)?;
        Self::as_it_is(reading, path, Some(ReadOnlyReason::Copy))
    }

    /// The vault that was opened to be read, brought up to this version in memory if need be.
    fn brought_up(
        reading: ReadConnection,
        path: PathBuf,
        reason: ReadOnlyReason,
    ) -> Result<Self, VaultError> {
        let conn = &reading.conn;
        check_application(conn, &path)?;
        let found = known_version(conn, &path)?;
        let is_listed = || listing::stored(conn, listing::VAULT, listing::ROOT).at(&path, "read");
        if found == schema::VERSION && is_listed()?.is_some() {
            return Self::as_it_is(reading, path, Some(reason));
        }
        drop(reading);
        let mut conn = image::open(&path, BUSY_TIMEOUT)?;
        let found = known_version(&conn, &path)?;
        schema::check_version(&conn, &path, found)?;
        schema::migrate(&mut conn, &path)?;
        Self::as_it_is(conn, path, Some(reason))
    }

    /// The vault that was opened, if it is one of this version.
    pub(in crate::vault) fn as_it_is(
        reading: impl Into<ReadConnection>,
        path: PathBuf,
        read_only: Option<ReadOnlyReason>,
    ) -> Result<Self, VaultError> {
        let reading = reading.into();
        let conn = &reading.conn;
        let read_tx = read_transaction(conn).at(&path, "read")?;
        schema::check(conn, &path)?;
        let identity = identity(conn, &path)?;
        drop(read_tx);
        Ok(Self::identified(reading, path, read_only, identity))
    }

    fn identified(
        reading: impl Into<ReadConnection>,
        path: PathBuf,
        read_only: Option<ReadOnlyReason>,
        (id, epoch): (VaultId, Epoch),
    ) -> Self {
        let ReadConnection { conn, snapshot } = reading.into();
        Self {
            conn,
            path,
            id,
            epoch,
            read_only,
            durable: Cell::new(None),
            _snapshot: snapshot,
        }
    }

    /// Begins a snapshot: until it is dropped, everything is read from one state of the vault, and
    /// the log is locked and read once.
    ///
    /// # Errors
    /// When the file cannot be read, or there is a snapshot already.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>, VaultError> {
        let tx = read_transaction(&self.conn).at(&self.path, "read")?;
        Ok(Snapshot(tx))
    }

    /// Opens a copy to be read, wherever it lies and whichever users may write there: what is in it
    /// is proved by its keys. One of an earlier version is upgraded in memory.
    ///
    /// # Errors
    /// As [`Vault::open`]; and when it has a log beside it.
    pub(in crate::vault) fn open_copy(path: &Path) -> Result<Self, BackupError> {
        let real = resolve_link(path)?;
        let meta = std::fs::metadata(&real).map_err(FileError::io("open", path))?;
        if !meta.is_file() {
            let path = path.to_owned();
            return Err(FileError::NotRegular { path }.into());
        }
        if has_journal(&real) {
            let path = path.to_owned();
            return Err(BackupError::HasLog { path });
        }
        check_header(&mut open_regular(&real)?, &real)?;
        let conn = connect_to_read(&real, Writers::Nobody, BUSY_TIMEOUT)?;
        Ok(Self::brought_up(conn, real, ReadOnlyReason::Copy)?)
    }

    /// Why the vault can only be read; `None` when it can be written.
    #[must_use]
    pub fn read_only(&self) -> Option<&ReadOnlyReason> {
        self.read_only.as_ref()
    }

    /// Refuses a change of a vault that can only be read. Every change asks here before it begins.
    ///
    /// # Errors
    /// [`VaultError::ReadOnly`].
    pub fn require_writable(&self) -> Result<(), VaultError> {
        match &self.read_only {
            None => Ok(()),
            Some(reason) => Err(VaultError::ReadOnly {
                path: self.path.clone(),
                reason: reason.clone(),
            }),
        }
    }

    /// Returns the identity of the vault.
    #[must_use]
    pub fn id(&self) -> VaultId {
        self.id
    }

    /// Returns the path of the vault's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The end of its record; `None` when it has no event, which no vault made by this program is
    /// without.
    pub fn head(&self) -> Result<Option<Head>, VaultError> {
        let last = events::last(&self.conn).at(&self.path, "read")?;
        Ok(last.map(|last| Head {
            vault: self.id,
            seq: Seq(last.seq),
            mac: last.mac,
        }))
    }

    /// The end of its record, once it is durable: a head that is kept must not be ahead of what a
    /// power cut leaves. After a transaction of this connection, it is that transaction's end.
    ///
    /// # Errors
    /// When the record cannot be read, or the disk refuses.
    pub(crate) fn durable_head(&self) -> Result<Option<Head>, VaultError> {
        if let Some(head) = self.durable.get() {
            return Ok(Some(head));
        }
        let head = self.head()?;
        make_durable(&self.conn, &self.path, Log::Kept)?;
        Ok(head)
    }

    /// Whether the event that `head` was taken from is still there, or was pruned. Compares what is
    /// stored, without the audit key: it detects a removed end, not an altered event.
    pub fn has_event_of(&self, head: &Head) -> Result<bool, VaultError> {
        if head.vault != self.id {
            return Ok(false);
        }
        let mac = events::mac_at(&self.conn, head.seq.0).at(&self.path, "read")?;
        if let Some(mac) = mac {
            return Ok(mac == head.mac);
        }
        Ok(match self.checkpoint()? {
            Some(pruned) if pruned.last == head.seq => pruned.mac == head.mac,
            Some(pruned) => pruned.last > head.seq,
            None => false,
        })
    }

    /// Whether `head` is the one that the newest restore abandoned: no command has kept a newer one
    /// since. Read without the audit key, as [`Vault::has_event_of`] is.
    pub(crate) fn has_abandoned(&self, head: &Head) -> Result<bool, VaultError> {
        has_abandoned(&self.conn, self.id, head).at(&self.path, "read")
    }

    /// A number that is another one once this connection has changed a row. Every change has an
    /// event.
    pub(crate) fn changes_so_far(&self) -> u64 {
        self.conn.total_changes()
    }

    /// A number that is another one once another connection has committed. Two that are equal say
    /// nothing of what this connection has committed in between.
    pub fn data_version(&self) -> Result<i64, VaultError> {
        data_version(&self.conn).at(&self.path, "read")
    }

    /// Releases the page cache of SQLite: up to 16 MiB, which a long-running process would
    /// otherwise keep permanently.
    ///
    /// # Errors
    /// When SQLite refuses; this does no harm.
    pub fn release_memory(&self) -> Result<(), VaultError> {
        self.conn
            .execute_batch("PRAGMA shrink_memory")
            .at(&self.path, "read")
    }

    /// What SQLite finds wrong with the file; empty when it is sound.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub fn integrity_faults(&self) -> Result<Vec<String>, VaultError> {
        let mut check = self
            .conn
            .prepare("PRAGMA integrity_check")
            .at(&self.path, "check")?;
        let lines = check
            .query_map([], |row| row.get::<_, String>(0))
            .at(&self.path, "check")?;
        let lines: Vec<String> = lines.collect::<Result<_, _>>().at(&self.path, "check")?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }
}

impl Vault {
    /// A row that refers to one that is not there, in words, if there is one.
    pub(in crate::vault) fn dangling_row(&self) -> Result<Option<String>, VaultError> {
        let read = || -> rusqlite::Result<Option<String>> {
            let mut check = self.conn.prepare("PRAGMA foreign_key_check")?;
            let mut rows = check.query([])?;
            rows.next()?.map(|row| row.get(0)).transpose()
        };
        let table = read().at(&self.path, "check")?;
        Ok(table.map(|table| format!("a row of {table} refers to one that is not there")))
    }
}

/// Whether `head` is the one that the newest restore abandoned.
pub(in crate::vault) fn has_abandoned(
    conn: &Connection,
    vault: VaultId,
    head: &Head,
) -> rusqlite::Result<bool> {
    let detail = events::newest_detail(conn, EventKind::BackupRestored)?;
    let detail = detail.and_then(|detail| serde_json::from_str::<Value>(&detail).ok());
    Ok(head.vault == vault
        && detail.is_some_and(|detail| {
            detail["abandonedVault"].is_null()
                && detail["abandonedSeq"] == head.seq.0
                && detail["abandonedMac"] == data_encoding::HEXLOWER.encode(&head.mac)
        }))
}

/// How long a file is, if it is one: opening a FIFO would wait for a process that writes into it.
/// Of a file that can be written no more is asked than can be told without opening it: closing it
/// ourselves would drop the locks of another connection of this process (POSIX). So all else is
/// SQLite's to say: of its size, too, since a crash between writing the header and the pages it
/// counts leaves those in the WAL.
fn length_of_file(path: &Path) -> Result<u64, VaultError> {
    let meta = std::fs::symlink_metadata(path).map_err(FileError::io("examine", path))?;
    if !meta.is_file() {
        let path = path.to_owned();
        return Err(FileError::NotRegular { path }.into());
    }
    Ok(meta.len())
}

/// Whether a log or a journal lies beside a database: the file alone is not the whole of it.
pub(in crate::vault) fn has_journal(path: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        std::fs::metadata(name).is_ok_and(|journal| journal.len() > 0)
    })
}

/// What SQLite takes as it comes: a file that is shorter than it says, of which it reads what is
/// missing as zeros, and one of a later format, which it does not write. Source: SQLite, Database
/// File Format, the header's bytes 16 to 19, 28 to 31 and 44 to 47.
pub(in crate::vault) fn check_header(file: &mut File, path: &Path) -> Result<(), VaultError> {
    let mut header = [0; 48];
    let read = file.read_exact(&mut header).and_then(|()| file.rewind());
    let length = file
        .metadata()
        .map_err(FileError::io("examine", path))?
        .len();
    let what = match read {
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            return Err(FileError::io("read", path)(error).into());
        }
        Err(_) => format!("it is only {length} bytes long"),
        Ok(()) if !header.starts_with(b"SQLite format 3\0") => return Ok(()), // that, SQLite says
        Ok(()) => {
            let page = match u16::from_be_bytes([header[16], header[17]]) {
                1 => 65_536,
                size => u64::from(size),
            };
            let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
            match page * u64::from(pages) {
                whole if whole > length => format!("it has {length} of {whole} bytes"),
                _ if header[18..20].iter().any(|format| !matches!(format, 1 | 2))
                    || header[44..47] != [0; 3]
                    || header[47] > 4 =>
                {
                    "it is of a format that is not known here".to_owned()
                }
                _ => return Ok(()),
            }
        }
    };
    let path = path.to_owned();
    Err(VaultError::Damaged { path, what })
}

/// Opens what may be a vault to be read, waiting for nobody and writing nothing.
pub(in crate::vault) fn glance_at(path: &Path) -> Result<ReadConnection, VaultError> {
    length_of_file(path)?;
    // Without a log beside it, the file of a log-less vault may be written at any moment, but not
    // for long: a vault that is being written must not pass for none.
    let (writers, patience) = match Storage::of(parent(path)) {
        Storage::Local => (Writers::Nobody, Duration::ZERO),
        Storage::LocalFuse | Storage::Shared(_) => (Writers::Possible, COMMIT_MAX),
    };
    connect_to_read(path, writers, patience)
}

/// The log that lies beside a vault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FoundLog {
    Empty,
    InUse,
    /// It may have anything but uses: the process that wrote that was killed, or others read the
    /// vault when it wanted to empty the log. Uses may have been recorded since.
    WithChange,
}

/// Finds the log, and removes an empty one that nobody may write: SQLite gives it the mode that
/// the vault's file had when it was last read.
fn prepare_log(vault: &Path) -> Result<FoundLog, VaultError> {
    let path = with_suffix(vault, "-wal");
    Ok(match std::fs::symlink_metadata(&path) {
        Ok(log) if log.len() > 0 => FoundLog::InUse,
        Ok(log) if log.permissions().readonly() => {
            remove_if_present(&path)?;
            FoundLog::Empty
        }
        _ => FoundLog::Empty,
    })
}

/// A vault of this version.
struct Current {
    identity: (VaultId, Epoch),
    log: FoundLog,
}

/// The identity of a vault of this version and what is in its log, in one snapshot; `None` where it
/// is of an earlier one.
fn current_identity(
    conn: &Connection,
    path: &Path,
    log: FoundLog,
) -> Result<Option<Current>, VaultError> {
    let _reading = read_transaction(conn).at(path, "read")?;
    check_application(conn, path)?;
    if known_version(conn, path)? < schema::VERSION {
        return Ok(None);
    }
    schema::check(conn, path)?;
    let identity = identity(conn, path)?;
    let has_change = || {
        let in_file = in_file_alone(conn)?;
        events::has_change_after(conn, in_file)
    };
    let log = match log == FoundLog::InUse && has_change().at(path, "read")? {
        true => FoundLog::WithChange,
        false => log,
    };
    Ok(Some(Current { identity, log }))
}

/// The version of a vault's schema, if it is one that this program knows.
fn known_version(conn: &Connection, path: &Path) -> Result<i32, VaultError> {
    let path = path.to_owned();
    match schema::version(conn, &path)? {
        Some(found) if found > schema::VERSION => {
            let known = schema::VERSION;
            Err(VaultError::Newer { path, found, known })
        }
        Some(found) => Ok(found),
        None => Err(VaultError::Foreign { path }),
    }
}
