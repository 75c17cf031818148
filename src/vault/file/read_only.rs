//! Vaults that can only be read: why, and how such a file is opened without writing anything.

use std::io::Read as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction};

use super::connect::{harden, keep_in_memory};
use super::image;
use super::paths::{parent, refused_storage, with_suffix};
use super::reason::ReadOnlyReason;
use crate::platform::{Cause, FileError, mount_of, open_regular};
use crate::vault::error::{Context, VaultError};

impl ReadOnlyReason {
    /// The reason that an error is, if it is want of room.
    pub(in crate::vault) fn of_error(error: &VaultError) -> Option<Self> {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let FileError::Io { path, source, .. } = error.system_error()? else {
            return None;
        };
        if !matches!(source.kind(), StorageFull | QuotaExceeded) {
            return None;
        }
        let cause = Box::new(Cause::of(source, path)?);
        Some(Self::NoRoom { cause })
    }

    /// The reason that a full disk is. SQLite does not come upon it when it opens a vault whose log
    /// is there.
    pub(super) fn of_full_disk(vault: &Path) -> Option<Self> {
        #[cfg(unix)]
        {
            let dir = rustix::fs::statvfs(parent(vault)).ok()?;
            let free = match rustix::process::geteuid().is_root() {
                true => dir.f_bfree,
                false => dir.f_bavail,
            };
            // Some file systems have no limit, and no number of blocks.
            if free == 0 && dir.f_blocks > 0 {
                let cause = Cause::of(&rustix::io::Errno::NOSPC.into(), vault).map(Box::new)?;
                return Some(Self::NoRoom { cause });
            }
        }
        let _ = vault;
        None
    }
}

/// Who may write a file while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    /// Nobody, as far as known: without a log the file alone is read, and no lock is taken.
    Nobody,
    /// Somebody may, through another mount or as another user.
    Possible,
}

impl Writers {
    /// Whether a read-only vault at `path` can still be written by somebody.
    pub(in crate::vault) fn of(path: &Path) -> Self {
        match mount_of(path).is_some_and(|mount| mount.is_immutable) {
            true => Self::Nobody,
            false => Self::Possible,
        }
    }
}

/// Why the vault at `path` cannot be written, if it cannot. Fails when it cannot be read either.
pub(super) fn reason_for(path: &Path) -> Result<Option<ReadOnlyReason>, VaultError> {
    if let Some(storage) = refused_storage(parent(path)) {
        return Ok(Some(ReadOnlyReason::SharedStorage(Box::new(storage))));
    }
    #[cfg(unix)]
    {
        use rustix::fs::{Access, AtFlags, CWD, accessat};
        use rustix::io::Errno;
        let check = |path: &Path, access| {
            // SQLite says no more than that it cannot; the system says why.
            accessat(CWD, path, access, AtFlags::EACCESS)
        };
        check(path, Access::READ_OK).map_err(|errno| FileError::io("open", path)(errno.into()))?;
        // The directory, too: SQLite makes its log there.
        let dir = path.parent().unwrap_or(path);
        for place in [path, dir] {
            match check(place, Access::WRITE_OK) {
                Ok(()) => {}
                Err(Errno::ROFS) => {
                    let mount = mount_of(place).filter(|mount| mount.is_mounted_read_only);
                    let mount = mount.map(|mount| mount.point);
                    return Ok(Some(ReadOnlyReason::Medium { mount }));
                }
                Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                    let path = place.to_owned();
                    let cause = Cause::of(&errno.into(), place).map(Box::new);
                    return Ok(Some(ReadOnlyReason::Permission { path, cause }));
                }
                Err(errno) => return Err(FileError::io("open", place)(errno.into()).into()),
            }
        }
    }
    Ok(None)
}

/// Opens what may be a vault to be read. Nothing is written or made, and what is read is one
/// committed state, whatever log is beside the file and whichever process writes it.
///
/// SQLite reads a log where its index is beside it, also one that a killed process left. Without an
/// index there is nothing that it could lock: then the file alone is read if it has no log and
/// nobody writes it, and else a copy in memory.
pub(super) fn connect_to_read(
    path: &Path,
    writers: Writers,
    patience: Duration,
) -> Result<ReadConnection, VaultError> {
    let image = || image::open(path, patience).map(ReadConnection::from);
    // Another kernel does not see our locks, and its index is not ours to read.
    if refused_storage(parent(path)).is_some() {
        return image();
    }
    let length = |end| std::fs::metadata(with_suffix(path, end)).map(|meta| meta.len());
    let has = |end| length(end).is_ok_and(|length| length > 0);
    let is_alone = !has("-wal") && !has("-journal");
    let connected = match writers {
        Writers::Nobody if is_alone => {
            connect_by(path, "immutable=1", patience).map(ReadConnection::from)
        }
        // SQLite would make a log that is not there, and wait for the writer of one that is none.
        _ if has("-shm") && (length("-wal").is_ok_and(|log| log == 0) || has_log(path)) => {
            connect_beside_writers(path, patience)
        }
        _ => return image(),
    };
    match connected {
        Err(error) if is_for_want_of_writing(&error) => image(),
        connected => connected,
    }
}

/// Whether what lies beside a database under the name of its log begins as one.
fn has_log(path: &Path) -> bool {
    let mut magic = [0; 4];
    let log = open_regular(&with_suffix(path, "-wal"));
    let read = log.is_ok_and(|mut log| log.read_exact(&mut magic).is_ok());
    read && u32::from_be_bytes(magic) & !1 == image::WAL_MAGIC
}

/// Opens a database by the index of its log, which others write. A reader that cannot write it
/// cannot set a read mark in it either, and needs one that another reader has set: after the log
/// began anew there is none. So a second connection keeps a snapshot, and with it its mark. Source:
/// SQLite, wal.c, `walTryBeginRead`.
fn connect_beside_writers(path: &Path, patience: Duration) -> Result<ReadConnection, VaultError> {
    let snapshot = connect_by(path, "readonly_shm=1", patience)?;
    snapshot.execute_batch("BEGIN").at(path, "read")?;
    read_schema(&snapshot, path)?;
    let conn = connect_by(path, "readonly_shm=1", patience)?;
    Ok(ReadConnection {
        conn,
        snapshot: Some(Box::new(snapshot)),
    })
}

/// Begins to read one committed state. It is not written: what ends it does not matter.
///
/// A reader that may not write the log's index gets an error, not a busy database, where it reads
/// the index while a writer changes it: that is tried again. Source: SQLite, wal.c,
/// `walIndexReadHdr`, which then says that the log needs recovery.
pub(in crate::vault) fn read_transaction(conn: &Connection) -> rusqlite::Result<Transaction<'_>> {
    let begun = Instant::now();
    loop {
        let transaction = conn.unchecked_transaction()?;
        if !conn.is_readonly("main")? {
            return Ok(transaction);
        }
        let first = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
        match first {
            Err(error) if is_torn(&error) && begun.elapsed() < TORN_MAX => {
                thread::sleep(TORN_RETRY)
            }
            first => return first.map(|()| transaction),
        }
    }
}

/// How long the index of a log may look torn, longer than a writer takes to change it, and how soon
/// it is looked at again.
const TORN_MAX: Duration = Duration::from_secs(1);
const TORN_RETRY: Duration = Duration::from_millis(1);

fn is_torn(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_READONLY_CANTINIT, SQLITE_READONLY_RECOVERY};
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(
        code,
        Some(SQLITE_READONLY_RECOVERY | SQLITE_READONLY_CANTINIT)
    )
}

/// A connection to a database that can only be read.
pub(in crate::vault) struct ReadConnection {
    pub(in crate::vault) conn: Connection,
    /// What keeps the log from beginning anew while the other is in use.
    pub(in crate::vault) snapshot: Option<Box<Connection>>,
}

impl From<Connection> for ReadConnection {
    fn from(conn: Connection) -> Self {
        let snapshot = None;
        Self { conn, snapshot }
    }
}

/// Whether SQLite could not open a file because it could not write beside it.
fn is_for_want_of_writing(error: &VaultError) -> bool {
    let code = error.sqlite().and_then(rusqlite::Error::sqlite_error_code);
    matches!(
        code,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::SystemIoFailure)
    )
}

fn connect_by(path: &Path, how: &str, patience: Duration) -> Result<Connection, VaultError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_URI;
    // Source of the escapes: SQLite, Uniform Resource Identifiers.
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri.push('?');
    uri.push_str(how);
    let conn = Connection::open_with_flags(uri, flags).at(path, "open")?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .at(path, "open")?;
    conn.busy_timeout(patience).at(path, "open")?;
    harden(&conn, path)?;
    keep_in_memory(&conn, path)?;
    // The first read shows whether the log can be read.
    read_schema(&conn, path)?;
    Ok(conn)
}

fn read_schema(conn: &Connection, path: &Path) -> Result<(), VaultError> {
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .at(path, "read")
}
