//! Why a lock was not had, and how long one waits between tries.

use std::path::PathBuf;
use std::time::Duration;

use super::holder::LockFault;
use crate::domain::shown_path;
use crate::platform::file_error::FileError;

/// First and longest pause between tries. Source: `spec/compat.md`, Locking.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(5);
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else held it until the deadline.
    #[error("{} is held by another process", shown_path(path))]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// A gateway's lock file was there until the deadline.
    #[error("{} is held by process {pid}", shown_path(path))]
    Held {
        /// The lock.
        path: PathBuf,
        /// The process that it names.
        pid: u32,
    },
    /// What is at the lock's path is no lock of any gateway that is known.
    #[error("{} is in the way of the store's lock: {fault}", shown_path(path))]
    Unusable {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        fault: LockFault,
    },
    /// The system refused a file operation.
    #[error(transparent)]
    File(#[from] FileError),
}
