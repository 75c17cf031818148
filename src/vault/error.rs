//! What can go wrong with a vault.

use std::path::PathBuf;

use crate::audit::ChainFault;
use crate::crypto::{CryptoError, RecoveryFault};
use crate::domain::{KeyId, VaultId};
use crate::platform::{FileError, KeychainError, LockError, SharedStorage};
use crate::vault::file::reason::ReadOnlyReason;

/// Why a vault could not be used. Whatever reads or writes a vault fails with it when that cannot
/// be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// There is none at that path.
    #[error("there is no vault at {}", path.display())]
    Absent {
        /// The path where a vault was expected.
        path: PathBuf,
    },
    /// The file is no vault, or one that something has damaged.
    #[error("the vault {} is damaged: {what}", path.display())]
    Damaged {
        /// The vault.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file is some other database or file.
    #[error("{} is not a clawkeep vault", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program made or changed it.
    #[error("the vault {} has schema {found}, and this program knows up to {known}",
        path.display())]
    Newer {
        /// The vault.
        path: PathBuf,
        /// Its schema's version.
        found: i32,
        /// The newest this program knows.
        known: i32,
    },
    /// It was moved to another place.
    #[error("the vault {} was moved to another place", path.display())]
    MovedAway {
        /// Where it was.
        path: PathBuf,
    },
    /// Where it was to be moved to, another one is.
    #[error("there is another vault at {}", path.display())]
    Occupied {
        /// That one.
        path: PathBuf,
    },
    /// It would lie where another kernel may write it, too.
    #[error("the vault {} would be on {storage}; two systems that write one vault destroy it",
        path.display())]
    SharedStorage {
        /// The vault.
        path: PathBuf,
        /// What it would lie on.
        storage: SharedStorage,
    },
    /// It can only be read, and was to be changed.
    #[error("the vault {} can only be read", path.display())]
    ReadOnly {
        /// The vault.
        path: PathBuf,
        /// Why.
        #[source]
        reason: ReadOnlyReason,
    },
    /// A sealed row does not open. Nothing is said of why.
    #[error("{row} in the vault does not open")]
    Unopened {
        /// Which row.
        row: String,
    },
    /// No key opens a key slot of the vault.
    #[error("cannot get the vault key: {}",
        problems.iter().map(with_causes).collect::<Vec<_>>().join("; "))]
    NoKey {
        /// Of which vault, as hexadecimal digits.
        vault: String,
        /// What each place said.
        problems: Vec<KeyProblem>,
    },
    /// The key of a new vault or slot could not be stored.
    #[error("cannot store the new key: {}", with_causes(.0))]
    KeyNotKept(KeyProblem),
    /// It has as many key slots as a vault may have.
    #[error("the vault has 16 key slots, and that is as many as there may be")]
    SlotsFull,
    /// There is no such slot.
    #[error("the vault has no key slot {slot}")]
    NoSlot {
        /// The number asked for.
        slot: i64,
    },
    /// Without this slot nothing would open the vault.
    #[error("key slot {slot} is the last one that opens the vault")]
    LastSlot {
        /// Its number.
        slot: i64,
    },
    /// What a refresh brings is sealed under the key that was to be replaced.
    #[error("a login is being refreshed")]
    RefreshUnderWay,
    /// The key was rotated by another process while this one worked.
    #[error("the vault's key was rotated while this command ran")]
    Rekeyed,
    /// Another process had the vault until the time ran out.
    #[error("the vault {} is busy", path.display())]
    Busy {
        /// The vault.
        path: PathBuf,
    },
    /// Another process uses its write-ahead log, on storage that cannot hold one.
    #[error("another process has the write-ahead log of the vault {} open, which its storage \
        cannot hold", path.display())]
    LogInUse {
        /// The vault.
        path: PathBuf,
    },
    /// SQLite could not read or write.
    #[error("cannot {action} the vault {}", path.display())]
    Storage {
        /// What was tried.
        action: &'static str,
        /// The vault.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file cannot be read or changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A lock was not had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The system gave no random numbers.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl VaultError {
    /// What SQLite says, if it is what could not read or write.
    pub(super) fn sqlite(&self) -> Option<&rusqlite::Error> {
        match self {
            Self::Storage { source, .. } => {
                let fault: &StorageFault = source.downcast_ref()?;
                sqlite_in(&*fault.said)
            }
            _ => None,
        }
    }

    /// What the system refuses, if it was found out, where SQLite could not read or write.
    #[must_use]
    pub fn system_error(&self) -> Option<&FileError> {
        match self {
            Self::Storage { source, .. } => source.downcast_ref::<StorageFault>()?.met.as_ref(),
            Self::File(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a backup was not made, proved or put back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A vault cannot be used: the backup, or the one that it was to replace.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A file cannot be read or changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The audit record of the backup was altered.
    #[error("the audit record in the backup does not verify: {0}")]
    Chain(ChainFault),
    /// The backup is of another vault.
    #[error("it is a backup of the vault {found}, and this one is {own}")]
    OtherVault {
        /// The vault that the backup is of.
        found: VaultId,
        /// What it was to replace.
        own: VaultId,
    },
    /// It is what it was to replace.
    #[error("{} is the vault itself", path.display())]
    Itself {
        /// The vault.
        path: PathBuf,
    },
    /// The file that it was to replace is no vault, or nothing shows that it is one.
    #[error("{} is not a clawkeep vault", path.display())]
    NoVaultThere {
        /// The file.
        path: PathBuf,
    },
    /// It is no single file.
    #[error("{} has a log beside it: it is a vault that may be in use, or was copied without it",
        path.display())]
    HasLog {
        /// The file.
        path: PathBuf,
    },
}

impl BackupError {
    pub(super) fn said_of(self, file: &std::path::Path) -> Self {
        match self {
            Self::Vault(error) => Self::Vault(error.said_of(file)),
            other => other,
        }
    }
}

impl VaultError {
    /// The same error, said of the file that the one at hand is a copy of.
    pub(super) fn said_of(self, file: &std::path::Path) -> Self {
        let path = file.to_owned();
        match self {
            Self::Damaged { what, .. } => Self::Damaged { path, what },
            Self::Foreign { .. } => Self::Foreign { path },
            other => other,
        }
    }
}

/// The keychain, as [`KeyProblem::WrongKey`] names it among the places of keys.
pub const KEYCHAIN: &str = "the keychain";

/// Why one key slot did not open, or a new key could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// There is no key file at any of its paths.
    #[error("no key file at {}", path.display())]
    NoKeyFile {
        /// The last path that was tried.
        path: PathBuf,
    },
    /// The file there is no key file, or cut short.
    #[error("{} is not a whole key file", path.display())]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
    },
    /// The key there is another vault's.
    #[error("the key in {place} is not this vault's")]
    WrongKey {
        /// Where it was found.
        place: String,
    },
    /// The keychain has no item for this vault.
    #[error("the keychain has no key {key_id} for it")]
    NotInKeychain {
        /// The key that is not there.
        key_id: KeyId,
    },
    /// The keychain cannot be used.
    #[error("the keychain cannot be used: {0}")]
    Keychain(#[from] KeychainError),
    /// The key file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nobody gave a passphrase or a recovery code.
    #[error("no passphrase was given, and there is nobody to ask")]
    NoSecret,
    /// The passphrase opens no key slot.
    #[error("the passphrase opens no key slot")]
    WrongSecret,
    /// The text is not a complete recovery code.
    #[error(transparent)]
    RecoveryCode(RecoveryFault),
    /// A passphrase was named, and no slot has one.
    #[error("no key slot takes a passphrase or a recovery code")]
    NoSuchSlot,
    /// A passphrase slot asks for what no vault of ours asks for.
    #[error("key slot {slot} has key derivation parameters outside the accepted bounds")]
    BadParameters {
        /// Its number.
        slot: i64,
    },
    /// The passphrase opens none of the passphrase slots that were tried, and trying these too
    /// would take minutes.
    #[error("the passphrase opens none of the key slots that were tried; {} not tried, since \
        deriving their keys would take too long: \
        {}", count(.slots), slots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    TooCostly {
        /// Their numbers.
        slots: Vec<i64>,
    },
    /// The memory for the key derivation is unavailable.
    #[error("key slot {slot} takes more memory than there is")]
    NoMemory {
        /// Its number.
        slot: i64,
    },
    /// A key that was to get a slot has one.
    #[error("that key has key slot {slot} already")]
    InUse {
        /// Its number.
        slot: i64,
    },
    /// A new key file would take the place of one that is there.
    #[error("there is a key file at {} already", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// A new recovery code could not be shown, so nobody would have it.
    #[error("the recovery code could not be shown")]
    NotShown,
    /// A key that the service manager or the container provides is its to replace.
    #[error("the key file {} is the service manager's or the container's", path.display())]
    Provided {
        /// The file.
        path: PathBuf,
    },
    /// The slot does not open with its own key: it was altered.
    #[error("key slot {slot} does not open with its key")]
    AlteredSlot {
        /// Its number.
        slot: i64,
    },
    /// A kind of slot that this version cannot open.
    #[error("key slot {slot} is of kind {kind}, which this version cannot open")]
    UnknownKind {
        /// Its number.
        slot: i64,
        /// Its kind.
        kind: String,
    },
}

fn count(slots: &[i64]) -> String {
    match slots.len() {
        1 => "1 was".to_owned(),
        more => format!("{more} were"),
    }
}

/// A problem with its causes, on one line.
fn with_causes(problem: &KeyProblem) -> String {
    let mut said = problem.to_string();
    let mut next = std::error::Error::source(problem);
    while let Some(cause) = next {
        let why = cause.to_string();
        if !said.contains(&why) {
            said = format!("{said}: {why}");
        }
        next = cause.source();
    }
    said
}

/// Turns SQLite's errors into ours.
pub(super) trait Context<T> {
    /// `action` is a verb: "read", "write".
    fn at(self, path: &std::path::Path, action: &'static str) -> Result<T, VaultError>;
}

impl<T> Context<T> for Result<T, rusqlite::Error> {
    fn at(self, path: &std::path::Path, action: &'static str) -> Result<T, VaultError> {
        self.map_err(|error| from_sqlite(path, action, error))
    }
}

fn from_sqlite(path: &std::path::Path, action: &'static str, error: rusqlite::Error) -> VaultError {
    use rusqlite::ErrorCode as Code;
    let path = path.to_owned();
    match error.sqlite_error_code() {
        // The last is what SQLite says once it has tried for long enough to lock the index of the
        // write-ahead log.
        Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::FileLockingProtocolFailed) => {
            VaultError::Busy { path }
        }
        Some(Code::NotADatabase) => VaultError::Foreign { path },
        Some(Code::DatabaseCorrupt | Code::ConstraintViolation | Code::TypeMismatch) => {
            VaultError::Damaged {
                path,
                what: error.to_string(),
            }
        }
        Some(_) => storage(path, action, Box::new(error)),
        // What SQLite itself did not report: a row or column that is not as the schema promises.
        None => VaultError::Damaged {
            path,
            what: error.to_string(),
        },
    }
}

/// SQLite could not read or write: with what the system says when the same is tried.
pub(super) fn storage(
    path: PathBuf,
    action: &'static str,
    said: Box<dyn std::error::Error + Send + Sync>,
) -> VaultError {
    let met = sqlite_in(&*said).and_then(|error| met_by(error, &path));
    VaultError::Storage {
        action,
        path,
        source: Box::new(StorageFault { said, met }),
    }
}

/// What SQLite says, and what the system says when the same is tried.
#[derive(Debug)]
struct StorageFault {
    said: Box<dyn std::error::Error + Send + Sync>,
    met: Option<FileError>,
}

impl std::fmt::Display for StorageFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.said.fmt(f)
    }
}

impl std::error::Error for StorageFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.met {
            Some(met) => Some(met),
            None => self.said.source(),
        }
    }
}

/// SQLite's own error among an error and its causes.
pub(super) fn sqlite_in<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e rusqlite::Error> {
    let own = error.downcast_ref();
    own.or_else(|| error.source().and_then(sqlite_in))
}

/// What the system refuses, according to SQLite's code and the state of the place.
#[cfg(unix)]
fn met_by(error: &rusqlite::Error, path: &std::path::Path) -> Option<FileError> {
    use crate::platform::{Needs, why_database_fails, why_temporary_files_fail};
    use rusqlite::{ErrorCode as Code, ffi};
    use std::io::{Error, ErrorKind};
    let rusqlite::Error::SqliteFailure(code, _) = error else {
        return None;
    };
    let as_met = |action, error: Error| Some(FileError::io(action, path)(error));
    if code.code == Code::OutOfMemory || code.extended_code == ffi::SQLITE_IOERR_NOMEM {
        return as_met("use", ErrorKind::OutOfMemory.into());
    }
    // A file that was cut short, or that could not be read: nothing was to be written.
    let is_read = matches!(
        code.extended_code,
        ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ
    );
    let needs = match code.code {
        _ if is_read => Needs::Files,
        Code::DiskFull | Code::SystemIoFailure => Needs::Room,
        _ => Needs::Files,
    };
    let found = why_database_fails(path, needs);
    if found.is_some() {
        return found;
    }
    match code.extended_code {
        _ if code.code == Code::DiskFull => {
            why_temporary_files_fail().or_else(|| as_met("write", ErrorKind::StorageFull.into()))
        }
        ffi::SQLITE_IOERR_LOCK | ffi::SQLITE_IOERR_SHMLOCK => {
            as_met("lock", rustix::io::Errno::NOLCK.into())
        }
        ffi::SQLITE_IOERR_READ => as_met("read", rustix::io::Errno::IO.into()),
        ffi::SQLITE_IOERR_WRITE
        | ffi::SQLITE_IOERR_FSYNC
        | ffi::SQLITE_IOERR_DIR_FSYNC
        | ffi::SQLITE_IOERR_TRUNCATE => as_met("write", rustix::io::Errno::IO.into()),
        _ => None,
    }
}

/// What the system refuses, according to SQLite's code and the state of the files.
#[cfg(windows)]
fn met_by(error: &rusqlite::Error, path: &std::path::Path) -> Option<FileError> {
    use rusqlite::ErrorCode as Code;
    use std::io::{Error, ErrorKind};
    match error.sqlite_error_code()? {
        Code::DiskFull => {
            let full = Error::from(ErrorKind::StorageFull);
            Some(FileError::io("write", path)(full))
        }
        Code::CannotOpen | Code::SystemIoFailure | Code::PermissionDenied | Code::ReadOnly => {
            crate::platform::why_database_fails(path)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_not_had_is_busy_whatever_sqlite_calls_it() {
        use rusqlite::ffi::{SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT, SQLITE_LOCKED, SQLITE_PROTOCOL};
        for code in [
            SQLITE_BUSY,
            SQLITE_BUSY_SNAPSHOT,
            SQLITE_LOCKED,
            SQLITE_PROTOCOL,
        ] {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let error = from_sqlite(std::path::Path::new("/v"), "read", error);
            assert!(matches!(error, VaultError::Busy { .. }), "{code}: {error}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_read_that_failed_is_no_failing_disk_where_the_place_says_more() {
        use rusqlite::ffi::{SQLITE_IOERR_READ, SQLITE_IOERR_SHORT_READ};
        use rustix::io::Errno;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vault.db");
        std::fs::write(&file, "cut short").unwrap();
        let met = |code, path: &std::path::Path| {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            match from_sqlite(path, "read", error).system_error() {
                Some(FileError::Io { source, .. }) => Errno::from_io_error(source),
                _ => None,
            }
        };
        assert_eq!(met(SQLITE_IOERR_READ, dir.path()), Some(Errno::ISDIR));
        assert_eq!(met(SQLITE_IOERR_READ, &file), Some(Errno::IO));
        assert_eq!(met(SQLITE_IOERR_SHORT_READ, &file), None);
    }
}
