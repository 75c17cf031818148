//! Connections to a vault's file: what each of them must have set, and which vault it is.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::crypto::Epoch;
use crate::domain::VaultId;
use crate::vault::error::{Context, VaultError};

/// SQLite's application id of a vault: "clkp". Source: our own choice, checked at every opening.
pub(in crate::vault) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"clkp");

/// How long SQLite waits for another process. Source: `spec/vault.md`.
pub(in crate::vault) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(in crate::vault) fn data_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}

/// Whether the database is a vault at all.
pub(in crate::vault) fn check_application(
    conn: &Connection,
    path: &Path,
) -> Result<(), VaultError> {
    if application_id(conn, path)? == APPLICATION_ID {
        return Ok(());
    }
    let path = path.to_owned();
    Err(or_moved_away(
        conn,
        &path.clone(),
        VaultError::Foreign { path },
    ))
}

pub(in crate::vault) fn application_id(conn: &Connection, path: &Path) -> Result<i32, VaultError> {
    conn.query_row("PRAGMA application_id", [], |row| row.get(0))
        .at(path, "read")
}

/// Opens a connection and sets what every connection must have. The cache (16 MiB at most) holds a
/// store of thousands of profiles with its snapshot: pages that do not fit are written into the
/// WAL, and read again, before there is a commit.
pub(in crate::vault) fn connect(path: &Path) -> Result<Connection, VaultError> {
    let conn = open_to_write(path)?;
    conn.busy_timeout(BUSY_TIMEOUT).at(path, "open")?;
    set_up(&conn, path)?;
    Ok(conn)
}

/// Keeps the log when the last connection closes, and until a transaction empties it.
pub(super) fn keep_log(conn: &Connection, path: &Path) -> Result<(), VaultError> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .at(path, "open")?;
    conn.execute_batch("PRAGMA wal_autocheckpoint = 0;")
        .at(path, "open")
}

/// Who makes a transaction durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vault) enum Durability {
    /// SQLite, as a part of the commit: if the disk refuses, nothing is changed.
    InCommit,
    /// [`make_durable`](super::journal::make_durable), after the commit: others see it before.
    AfterCommit,
}

/// Sets who makes the next transaction durable, where the log is [kept](keep_log).
pub(in crate::vault) fn set_durability(
    conn: &Connection,
    durability: Durability,
) -> rusqlite::Result<()> {
    if !conn.db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)? {
        return Ok(());
    }
    conn.execute_batch(match durability {
        Durability::InCommit => "PRAGMA synchronous = FULL",
        Durability::AfterCommit => "PRAGMA synchronous = NORMAL",
    })
}

/// Opens a connection that has read nothing yet: how to lock is decided before that.
pub(super) fn open_to_write(path: &Path) -> Result<Connection, VaultError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Connection::open_with_flags(path, flags).at(path, "open")
}

/// Sets what every connection that writes must have. This reads the schema.
///
/// On macOS fsync(2) leaves what it writes in the disk's cache, which a power cut empties, so
/// SQLite is to use `F_FULLFSYNC`, as std does. Source: SQLite, PRAGMA fullfsync.
pub(super) fn set_up(conn: &Connection, path: &Path) -> Result<(), VaultError> {
    harden(conn, path)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)
        .at(path, "open")?;
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;")
        .at(path, "open")?;
    if cfg!(target_os = "macos") {
        conn.execute_batch("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;")
            .at(path, "open")?;
    }
    Ok(())
}

pub(in crate::vault) fn identity(
    conn: &Connection,
    path: &Path,
) -> Result<(VaultId, Epoch), VaultError> {
    conn.prepare_cached("SELECT vault_id, epoch FROM identity WHERE only = 1")
        .and_then(|mut select| {
            select.query_row([], |row| Ok((VaultId(row.get(0)?), Epoch(row.get(1)?))))
        })
        .at(path, "read")
        .map_err(|error| or_moved_away(conn, path, error))
}

/// How many prepared statements a connection keeps: more than a load of an agent uses.
const STATEMENTS: usize = 128;

/// Keeps what SQLite sorts in memory: there may be no place for a temporary file.
pub(super) fn keep_in_memory(conn: &Connection, path: &Path) -> Result<(), VaultError> {
    conn.pragma_update(None, "temp_store", "MEMORY")
        .at(path, "open")
}

/// Sets what every connection must have. This reads the schema: how the file is locked, and how
/// long that is waited for, is set before.
pub(super) fn harden(conn: &Connection, path: &Path) -> Result<(), VaultError> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)
        .at(path, "open")?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)
        .at(path, "open")?;
    // One plan a statement, whatever is bound. Without it a statement with a range is prepared anew
    // each time it is run: a fifth of the time of a query of the record.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .at(path, "open")?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.execute_batch("PRAGMA cell_size_check = ON; PRAGMA cache_size = -16384;")
        .at(path, "open")
}

/// SQLite's application id of a vault that was moved away: "clkm". Source: our own choice.
pub(in crate::vault) const MOVED_AWAY: i32 = i32::from_be_bytes(*b"clkm");

/// Says that a vault was moved away, where that is why `error` came.
fn or_moved_away(conn: &Connection, path: &Path, error: VaultError) -> VaultError {
    match application_id(conn, path) {
        Ok(MOVED_AWAY) => VaultError::MovedAway {
            path: path.to_owned(),
        },
        _ => error,
    }
}
