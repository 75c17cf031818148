//! What can go wrong with a load.

use std::path::PathBuf;

use crate::export::FormatFault;
use crate::platform::{FileError, LockError};
use crate::vault::VaultError;

/// Why an agent could not be loaded or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// Something about the vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Something about the store's file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store's lock was not had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store is damaged and the vault has nothing to mend it from. It was left as it is.
    #[error("the store {} is damaged ({fault}), and the vault has no copy of it", path.display())]
    DamagedStore {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        fault: FormatFault,
    },
    /// Another program writes the store all the time, without its lock.
    #[error("the store {} is written by another program all the time", path.display())]
    Contended {
        /// The store.
        path: PathBuf,
    },
    /// A row of the vault does not open, so the store cannot be written whole. Nothing was changed.
    #[error("{row} in the vault does not open, so nothing was changed")]
    Unopened {
        /// Which row.
        row: String,
    },
}
