//! Migrations, and the check that a vault's schema is ours and nothing was planted in it.

use std::path::Path;

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::vault::error::{Context, VaultError, sqlite_in, storage};

refinery::embed_migrations!("migrations");

/// The newest schema this program knows.
pub(in crate::vault) const VERSION: i32 = 4;

/// `sqlite_schema` at [`VERSION`], without refinery's own table, which that crate may change. A
/// test makes a vault and compares.
const SCHEMA: &str = include_str!("schema.txt");

/// SHA-256 over the same at each version from 1 to the one before [`VERSION`], in hexadecimal.
const DIGESTS: [&str; 3] = [
    "6ff71a03bc317c1aeed5cfff595807820920e1f383ed4153ea4b9b45c97187f3",
    "e429e9c07c2c39bde721bc19184475efa400a8614dc6b76e5847c5d5d6cbc7e8",
    "607b666b084bbf7723be6b2aed10d6304f98b1f3932b7e236812060bc586fc7d",
];

/// Brings the schema up to [`VERSION`]. The caller holds the vault's lock file: refinery alone is
/// not safe between processes. Fails when a migration fails; each runs in one transaction with its
/// mark, so a killed one is run again.
pub(in crate::vault) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), VaultError> {
    let run = migrations::runner().set_grouped(true).run(conn);
    run.map(|_| ()).map_err(|error| {
        let path = path.to_owned();
        if is_busy(&error) {
            return VaultError::Busy { path };
        }
        storage(path, "migrate", Box::new(error))
    })
}

/// Whether another process, of a version without the lock file, had the vault for too long.
fn is_busy(error: &(dyn std::error::Error + 'static)) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    let code = sqlite_in(error).and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(DatabaseBusy | DatabaseLocked))
}

/// The schema's version; `None` when no migration has run.
pub(in crate::vault) fn version(conn: &Connection, path: &Path) -> Result<Option<i32>, VaultError> {
    if !conn
        .table_exists(None, "refinery_schema_history")
        .at(path, "read")?
    {
        return Ok(None);
    }
    conn.query_row(
        "SELECT max(version) FROM refinery_schema_history",
        [],
        |row| row.get(0),
    )
    .at(path, "read")
}

/// Checks that every table, index, trigger and view is one that the migrations make, word for word.
///
/// # Errors
/// [`VaultError::Damaged`] when anything differs: a planted trigger could swallow events in
/// silence.
pub(in crate::vault) fn check(conn: &Connection, path: &Path) -> Result<(), VaultError> {
    check_version(conn, path, VERSION)
}

/// [`check`] for a vault of an earlier version.
pub(in crate::vault) fn check_version(
    conn: &Connection,
    path: &Path,
    version: i32,
) -> Result<(), VaultError> {
    let found = definitions(conn, path)?;
    let is_as_migrated = match version {
        // Comparing costs a tenth of a digest, and each command does it.
        VERSION => text_of(&found) == SCHEMA,
        _ => usize::try_from(version - 1)
            .ok()
            .and_then(|at| DIGESTS.get(at))
            .is_some_and(|expected| digest_of(&found) == *expected),
    };
    if is_as_migrated {
        return Ok(());
    }
    Err(VaultError::Damaged {
        path: path.to_owned(),
        what: "its tables, indexes or triggers were changed".to_owned(),
    })
}

/// What defines a table, index, trigger or view: its type, its name, its table's name, its SQL.
type Definition = [String; 4];

/// Every definition of the schema but refinery's own table, sorted.
fn definitions(conn: &Connection, path: &Path) -> Result<Vec<Definition>, VaultError> {
    let mut select = conn
        .prepare(
            "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema \
             WHERE NOT (type = 'table' AND name = 'refinery_schema_history')",
        )
        .at(path, "read")?;
    let rows = select.query_map([], |row| {
        Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
    });
    let definitions: rusqlite::Result<Vec<Definition>> = rows.and_then(Iterator::collect);
    let mut definitions = definitions.at(path, "read")?;
    definitions.sort_unstable();
    Ok(definitions)
}

/// The definitions as [`SCHEMA`] has them: one a line, each text behind its length, so that no
/// other definitions make the same text.
fn text_of(definitions: &[Definition]) -> String {
    let mut text = String::with_capacity(SCHEMA.len());
    for definition in definitions {
        for part in definition {
            text.push_str(&part.len().to_string());
            text.push(':');
            text.push_str(part);
        }
        text.push('\n');
    }
    text
}

fn digest_of(definitions: &[Definition]) -> String {
    let mut hash = Sha256::new();
    for text in definitions.iter().flatten() {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrated() -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, Path::new("memory")).unwrap();
        conn
    }

    #[test]
    fn the_schema_is_that_of_a_fresh_vault() {
        let conn = migrated();
        assert_eq!(version(&conn, Path::new("memory")).unwrap(), Some(VERSION));
        let found = definitions(&conn, Path::new("memory")).unwrap();
        // After a migration: the text goes into schema.txt, and the digest before it to the others.
        assert_eq!(text_of(&found), SCHEMA);
        assert_eq!(DIGESTS.len() + 1, usize::try_from(VERSION).unwrap());
    }

    #[test]
    fn anything_planted_shows() {
        for sql in [
            "CREATE TRIGGER t BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END",
            "CREATE VIEW v AS SELECT 1",
            "CREATE TABLE extra (x)",
            "DROP TRIGGER events_no_delete",
            "DROP INDEX events_series",
        ] {
            let conn = migrated();
            conn.execute_batch(sql).unwrap();
            assert!(
                matches!(
                    check(&conn, Path::new("memory")),
                    Err(VaultError::Damaged { .. })
                ),
                "{sql}"
            );
        }
    }
}
