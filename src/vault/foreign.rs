//! A database of another program, read and never written: a copy in memory of what was committed
//! last. Nothing beside it is made, changed, truncated or locked, even beside a writer, and
//! where that fails nothing else is tried in its directory.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB};
use zeroize::Zeroizing;

use super::error::VaultError;
use super::file::image;
use super::file::paths::with_suffix;
use crate::platform::{Access, FileError, check_trusted};

/// How long is waited for a program that writes the database.
const PATIENCE: Duration = Duration::from_millis(500);
/// The largest database, with its log and journal, of which a copy in memory is made.
const COPY_MAX: u64 = 512 << 20;

/// Why a database of another program cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignFault {
    /// There is none.
    #[error("it is not there")]
    Absent,
    /// Its program wrote it all the time.
    #[error("its program is writing it")]
    Busy,
    /// It is no database, or a damaged one.
    #[error("it is not an SQLite database, or damaged")]
    Damaged,
    /// A table or column is not there: another version of the program made it.
    #[error("it has another form, of another version of its program")]
    Form,
    /// It is larger than what is read.
    #[error("it is larger than {} MiB", COPY_MAX >> 20)]
    TooLarge,
    /// Somebody else can have changed it, or it cannot be read.
    #[error("{0}")]
    File(#[from] FileError),
}

impl ForeignFault {
    fn of_copy(error: VaultError) -> Self {
        match error {
            VaultError::File(error) => Self::File(error),
            _ => Self::Busy,
        }
    }

    pub(super) fn of_query(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged,
            _ => Self::Form,
        }
    }

    /// Whether reading again in a moment may give something else.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Busy)
    }
}

/// An open database of another program. All that is read of it is one committed state.
pub struct ForeignDatabase {
    conn: Connection,
}

crate::domain::debug_as!(ForeignDatabase, "ForeignDatabase{}", _it => "");

impl ForeignDatabase {
    /// Opens the state of the database at `path` that was committed last.
    ///
    /// # Errors
    /// When there is none, somebody else can have changed it, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, ForeignFault> {
        let real = check_trusted(path, Access::Read)?;
        let meta = match std::fs::metadata(&real) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ForeignFault::Absent);
            }
            meta => meta.map_err(FileError::io("examine", &real))?,
        };
        if !meta.is_file() {
            return Err(FileError::NotRegular { path: real }.into());
        }
        if meta.len() == 0 {
            return Err(ForeignFault::Damaged);
        }
        let mut length = meta.len();
        for part in image::PARTS.into_iter().filter(|part| !part.is_empty()) {
            length = length.saturating_add(check_part(&with_suffix(&real, part))?);
        }
        if length > COPY_MAX {
            return Err(ForeignFault::TooLarge);
        }
        let image = image::committed(&real, PATIENCE).map_err(ForeignFault::of_copy)?;
        let open = || -> rusqlite::Result<Connection> {
            let mut conn = Connection::open_in_memory()?;
            conn.deserialize_read_exact(MAIN_DB, image.as_slice(), image.len(), true)?;
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
            conn.execute_batch("PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY")?;
            Ok(conn)
        };
        let conn = open().map_err(|error| ForeignFault::of_query(&error))?;
        Ok(Self { conn })
    }

    /// Returns the rows of a query for two columns, a name and a text, and how many rows have
    /// something else in one of them.
    ///
    /// # Errors
    /// When the database has no such table or column, or cannot be read.
    pub fn texts(&self, query: &str) -> Result<Rows, ForeignFault> {
        let read = || -> rusqlite::Result<Rows> {
            let mut select = self.conn.prepare(query)?;
            let mut rows = select.query([])?;
            let mut read = Rows::default();
            while let Some(row) = rows.next()? {
                let (name, text) = (row.get_ref(0)?.as_str(), row.get_ref(1)?.as_str());
                match (name, text) {
                    (Ok(name), Ok(text)) => {
                        let text = Zeroizing::new(text.to_owned());
                        read.texts.push((name.to_owned(), text));
                    }
                    _ => read.without_text += 1,
                }
            }
            Ok(read)
        };
        read().map_err(|error| ForeignFault::of_query(&error))
    }
}

/// The rows of a query.
#[derive(Default)]
pub struct Rows {
    /// The name and the text of each.
    pub texts: Vec<(String, Zeroizing<String>)>,
    /// How many rows have no text: a BLOB, a number, NULL.
    pub without_text: usize,
}

crate::domain::debug_as!(Rows, "Rows({} texts)", it => it.texts.len());

/// The length of a log or journal, in bytes; what it has becomes part of the database, so nobody
/// else may be able to change it either. One that is not there has none.
fn check_part(path: &Path) -> Result<u64, ForeignFault> {
    let real = check_trusted(path, Access::Read)?;
    match std::fs::metadata(&real) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        meta => Ok(meta.map_err(FileError::io("examine", &real))?.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;

    fn names(dir: &Path) -> Vec<(String, u64)> {
        let mut names: Vec<(String, u64)> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let length = entry.metadata().unwrap().len();
                (entry.file_name().to_string_lossy().into_owned(), length)
            })
            .collect();
        names.sort();
        names
    }

    fn texts(path: &Path) -> Result<Vec<(String, Zeroizing<String>)>, ForeignFault> {
        let rows = ForeignDatabase::open(path)?.texts("SELECT k, v FROM t")?;
        Ok(rows.texts)
    }

    #[test]
    fn a_row_without_text_does_not_hide_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("their.sqlite");
        let theirs = Connection::open(&path).unwrap();
        theirs
            .execute_batch(
                "CREATE TABLE t (k, v); INSERT INTO t VALUES ('a', '1'), ('b', x'ff'), \
                 ('c', NULL), (NULL, 'x'), ('d', CAST(x'ff' AS TEXT)), ('e', '2')",
            )
            .unwrap();
        let database = ForeignDatabase::open(&path).unwrap();
        let rows = database.texts("SELECT k, v FROM t").unwrap();
        let names: Vec<&str> = rows.texts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, rows.without_text), (vec!["a", "e"], 4));
    }

    #[cfg(unix)]
    #[test]
    fn a_log_or_journal_that_others_can_change_is_not_played_back() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("their.sqlite");
        let theirs = Connection::open(&path).unwrap();
        theirs
            .execute_batch("CREATE TABLE t (k, v); INSERT INTO t VALUES ('a', '1')")
            .unwrap();
        drop(theirs);
        for part in ["-wal", "-journal"] {
            let beside = with_suffix(&path, part);
            fs::write(&beside, "").unwrap();
            assert_eq!(texts(&path).unwrap().len(), 1, "{part}");
            fs::set_permissions(&beside, fs::Permissions::from_mode(0o666)).unwrap();
            let refused = texts(&path);
            assert!(matches!(refused, Err(ForeignFault::File(_))), "{part}");
            fs::remove_file(&beside).unwrap();
        }
        // The journal counts where the size is limited.
        let journal = fs::File::create(with_suffix(&path, "-journal")).unwrap();
        journal.set_len(COPY_MAX).unwrap();
        assert!(matches!(texts(&path), Err(ForeignFault::TooLarge)));
    }

    #[test]
    fn a_database_is_read_beside_its_writer_and_after_it_and_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("their.sqlite");
        let theirs = Connection::open(&path).unwrap();
        theirs
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE t (k TEXT, v TEXT); \
                 INSERT INTO t VALUES ('a', '1');",
            )
            .unwrap();
        let before = names(dir.path());
        assert_eq!(before.len(), 3, "the log and its index are there");
        assert_eq!(*texts(&path).unwrap()[0].1, "1");
        theirs.execute_batch("UPDATE t SET v = '2'").unwrap();
        assert_eq!(
            *texts(&path).unwrap()[0].1,
            "2",
            "what is in the log counts"
        );
        // A writer that has begun and not committed.
        theirs
            .execute_batch("BEGIN IMMEDIATE; UPDATE t SET v = '3'")
            .unwrap();
        assert_eq!(*texts(&path).unwrap()[0].1, "2");
        theirs.execute_batch("COMMIT").unwrap();
        drop(theirs);
        let after = names(dir.path());
        assert_eq!(after.len(), 1, "its program has closed it");
        assert_eq!(*texts(&path).unwrap()[0].1, "3");
        assert_eq!(names(dir.path()), after);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert!(matches!(texts(&at("none")), Err(ForeignFault::Absent)));
        fs::write(at("empty"), "").unwrap();
        assert!(matches!(texts(&at("empty")), Err(ForeignFault::Damaged)));
        fs::write(at("text"), "no database at all, but long enough".repeat(90)).unwrap();
        assert!(matches!(texts(&at("text")), Err(ForeignFault::Damaged)));
        fs::create_dir(at("dir")).unwrap();
        assert!(matches!(texts(&at("dir")), Err(ForeignFault::File(_))));
        let newer = Connection::open(at("newer")).unwrap();
        newer.execute_batch("CREATE TABLE u (x)").unwrap();
        assert!(matches!(texts(&at("newer")), Err(ForeignFault::Form)));
        let locked = Connection::open(at("locked")).unwrap();
        locked
            .execute_batch("CREATE TABLE t (k, v); BEGIN EXCLUSIVE; INSERT INTO t VALUES (1, 2)")
            .unwrap();
        // A copy in memory needs no lock: it has what was committed.
        assert_eq!(texts(&at("locked")).unwrap().len(), 0);
    }
}
