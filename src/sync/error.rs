//! Why a load fails.

use std::path::PathBuf;

use crate::domain::{AgentName, ProfileId};
use crate::export::FormatFault;
use crate::platform::{FileError, LockError};
use crate::vault::VaultError;

/// Why an agent could not be loaded or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The vault could not be read or written.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Something about the store's file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store's lock could not be acquired.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store is damaged and the vault has nothing to repair it from. It was left as it is.
    #[error("the store {} is damaged ({fault}), and the vault has no copy of it", path.display())]
    DamagedStore {
        /// The path of the damaged store.
        path: PathBuf,
        /// What is wrong with it.
        fault: FormatFault,
    },
    /// Another program writes the store all the time, without its lock.
    #[error("the store {} is written by another program all the time", path.display())]
    Contended {
        /// The path of the store.
        path: PathBuf,
    },
    /// A refresh replaced the refresh token of a credential that was about to be stored: it is of
    /// no use any more. Nothing was changed.
    #[error("the refresh token of {profile} was replaced by a newer one just now")]
    SpentMeanwhile {
        /// The profile that it was for.
        profile: ProfileId,
    },
    /// Another process refreshes that login, for longer than the patience.
    #[error("{profile} is being refreshed by another process, which takes long")]
    RefreshBusy {
        /// The profile of the login.
        profile: ProfileId,
    },
    /// New tokens came, and the vault cannot be written. They are kept beside it, sealed; the next
    /// command stores them.
    #[error(
        "{profile} was refreshed, but its new tokens could not be stored; they are kept in {}",
        path.display()
    )]
    KeptInRecoveryFile {
        /// The profile of the login.
        profile: ProfileId,
        /// The recovery file that has them.
        path: PathBuf,
        /// Why they could not be stored.
        source: Box<SyncError>,
    },
    /// New tokens came, and could be written nowhere.
    #[error("{profile} was refreshed, but its new tokens could be written nowhere and are lost")]
    TokensLost {
        /// The profile of the login.
        profile: ProfileId,
        /// Why they could not be stored.
        source: Box<SyncError>,
    },
    /// The agent is OpenClaw's, which changes its credentials itself.
    #[error("{agent} is an agent of OpenClaw, which changes its credentials itself")]
    OpenClaws {
        /// The agent.
        agent: AgentName,
    },
    /// A row of the vault does not open, so the store cannot be written whole. Nothing was changed.
    #[error("{row} in the vault does not open, so nothing was changed")]
    Unopened {
        /// The row that does not open.
        row: String,
    },
}
