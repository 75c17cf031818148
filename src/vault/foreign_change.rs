//! A change of another program's database, made only where a person asked for it: one text takes
//! the place of another, in one transaction, and what was replaced is wiped from the file.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::foreign::ForeignFault;
use crate::platform::{Access, check_trusted};

/// How long is waited for the program that writes the database.
const PATIENCE: Duration = Duration::from_secs(10);

/// Replaces a text in the database at `path`. `update` takes the text that was read, the new one
/// and the time in milliseconds as its parameters 1 to 3.
///
/// # Errors
/// [`ForeignFault::Busy`] if its program has changed the text since, or keeps writing; else why it
/// cannot be written. Nothing is changed then.
pub fn replace_foreign_text(
    path: &Path,
    update: &str,
    (before, after): (&str, &str),
    now: i64,
) -> Result<(), ForeignFault> {
    let mut conn = open(path)?;
    let change = |conn: &mut Connection| -> rusqlite::Result<usize> {
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let changed = tx.execute(update, params![before, after, now])?;
        match changed {
            1 => tx.commit()?,
            _ => tx.rollback()?,
        }
        Ok(changed)
    };
    match change(&mut conn).map_err(|error| of_write(&error))? {
        1 => Ok(()),
        _ => Err(ForeignFault::Busy),
    }
}

/// Rewrites the database at `path`, so that nothing that was deleted or replaced is left in it or
/// in its log. Its program may be running.
///
/// # Errors
/// When the program does not let it, or the disk is full; the database is as it was.
pub fn compact_foreign(path: &Path) -> Result<(), ForeignFault> {
    let conn = open(path)?;
    let compact = || -> rusqlite::Result<bool> {
        conn.execute_batch("VACUUM")?;
        let is_busy: i64 =
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(is_busy == 0)
    };
    match compact().map_err(|error| of_write(&error))? {
        true => Ok(()),
        false => Err(ForeignFault::Busy),
    }
}

fn open(path: &Path) -> Result<Connection, ForeignFault> {
    let real = check_trusted(path, Access::Read)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags(&real, flags)?;
        conn.busy_timeout(PATIENCE)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        conn.execute_batch("PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY")?;
        Ok(conn)
    };
    open().map_err(|error| of_write(&error))
}

fn of_write(error: &rusqlite::Error) -> ForeignFault {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ForeignFault::Busy,
        _ => ForeignFault::of_query(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: &str = "UPDATE t SET v = ?2, at = ?3 WHERE k = 'a' AND v = ?1";

    fn database() -> (tempfile::TempDir, std::path::PathBuf, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("their.sqlite");
        let theirs = Connection::open(&path).unwrap();
        theirs
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE t (k, v, at); \
                 INSERT INTO t VALUES ('a', 'sk-first', 1), ('b', 'x', 1);",
            )
            .unwrap();
        (dir, path, theirs)
    }

    #[test]
    fn a_text_is_replaced_beside_its_program_and_no_trace_is_left() {
        let (dir, path, theirs) = database();
        replace_foreign_text(&path, UPDATE, ("sk-first", "none"), 2).unwrap();
        compact_foreign(&path).unwrap();
        let of = |query: &str| -> String { theirs.query_row(query, [], |row| row.get(0)).unwrap() };
        assert_eq!(of("SELECT v || at FROM t WHERE k = 'a'"), "none2");
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(8).any(|part| part == b"sk-first"));
        }
    }

    #[test]
    fn what_its_program_changed_meanwhile_stays() {
        let (_dir, path, theirs) = database();
        let refused = replace_foreign_text(&path, UPDATE, ("sk-other", "none"), 2);
        assert!(matches!(refused, Err(ForeignFault::Busy)));
        let missing = replace_foreign_text(&path, "UPDATE u SET v = ?2", ("a", "b"), 2);
        assert!(matches!(missing, Err(ForeignFault::Form)));
        let value: String = theirs
            .query_row("SELECT v FROM t WHERE k = 'a'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(value, "sk-first");
    }
}
