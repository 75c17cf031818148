//! Repairs: what this program does itself when told to. Each looks again before it acts, since what was found may be gone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::configuration::suggested_default;
use super::footprint::is_leftover;
use crate::config::{
    ConfigChange, ConfigEdit, ConfigEditError, ConfigError, Settings, edit_config,
};
use crate::domain::{ProfileId, StoreDoc};
use crate::platform::{
    Access, FileError, LockDir, LockError, LockState, QueueLock, RemoveOutcome, check_trusted,
    close_to_others, remove_if_present,
};

/// How long a repair waits for a store's queue of our own processes.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Repair {
    /// Takes others' rights away.
    Chmod {
        /// Of what.
        path: PathBuf,
        /// The permission bits it has afterwards.
        mode: u32,
    },
    /// Removes a lock that was left by a process that is gone.
    RemoveStaleLock {
        /// The locked store, links resolved.
        store: PathBuf,
        /// The queue of our own processes for that store.
        queue: PathBuf,
    },
    /// Removes a temporary file that was left by a process that is gone.
    RemoveLeftover {
        /// The file.
        path: PathBuf,
        /// This program's directory of keys.
        key_dir: PathBuf,
    },
    /// Moves the vault and its settings to another directory. It takes the vault's key, so whoever has
    /// that carries it out; so do the next two.
    MoveVault {
        /// The directory that it leaves.
        from: PathBuf,
        /// The directory that it moves to.
        to: PathBuf,
    },
    /// Imports what another vault has, and sets that vault aside.
    MergeVault {
        /// The vault that is not used.
        from: PathBuf,
        /// The vault that is used.
        into: PathBuf,
    },
    /// Removes what a move left where a vault may lie.
    RemoveLeftVault {
        /// The file.
        path: PathBuf,
        /// The vault that is used.
        vault: PathBuf,
    },
    /// Removes this program's copy of a store from a directory of OpenClaw's. It needs the vault:
    /// `Engine::remove_openclaw_copy` makes it.
    RemoveOpenClawCopy {
        /// The store, links of the user's resolved.
        site: PathBuf,
    },
    /// Calls a profile in the configuration by the id it is stored under.
    RenameConfigProfile {
        /// The configuration.
        path: PathBuf,
        /// The id it has there.
        from: ProfileId,
        /// The id it is stored under.
        to: ProfileId,
        /// The e-mail address of the stored login.
        email: Option<String>,
    },
}

/// What came of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// It was done.
    Done,
    /// There was nothing to do any more.
    NotNeeded,
}

/// Why a repair was not made. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// Something about a file.
    #[error(transparent)]
    File(#[from] FileError),
    /// It takes the vault's key.
    #[error("this repair takes the vault's key")]
    NeedsKey,
    /// Something about a lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration was not changed.
    #[error(transparent)]
    Edit(#[from] ConfigEditError),
}

impl Repair {
    /// The file or directory that it changes.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Chmod { path, .. }
            | Self::RemoveLeftover { path, .. }
            | Self::RemoveLeftVault { path, .. }
            | Self::RenameConfigProfile { path, .. } => path,
            Self::MoveVault { from, .. } | Self::MergeVault { from, .. } => from,
            Self::RemoveStaleLock { store, .. } => store,
            Self::RemoveOpenClawCopy { site } => site,
        }
    }

    /// Makes it, if what was found is still so. `doc` is the store that the configuration's profiles are looked up in.
    ///
    /// # Errors
    /// Why it was not made.
    pub fn carry_out(&self, doc: &StoreDoc) -> Result<Repaired, RepairError> {
        let changed = match self {
            Self::Chmod { path, mode } => close_to_others(path, *mode)?,
            Self::RemoveStaleLock { store, queue } => remove_stale_lock(store, queue)?,
            Self::RemoveLeftover { path, key_dir } => {
                check_trusted(path, Access::Read)?;
                is_leftover(path, key_dir) && remove_if_present(path)? == RemoveOutcome::Removed
            }
            Self::MoveVault { .. } | Self::MergeVault { .. } | Self::RemoveLeftVault { .. } => {
                return Err(RepairError::NeedsKey);
            }
            Self::RemoveOpenClawCopy { .. } => false,
            Self::RenameConfigProfile {
                path,
                from,
                to,
                email,
            } => {
                let settings = Settings::load(path)?;
                let still = suggested_default(&settings, doc).is_some_and(|(id, _)| id == *to);
                let edit = ConfigEdit::Rename {
                    from: from.clone(),
                    to: to.clone(),
                    email: email.clone(),
                };
                still && edit_config(path, &edit)? == ConfigChange::Written
            }
        };
        Ok(if changed {
            Repaired::Done
        } else {
            Repaired::NotNeeded
        })
    }
}

/// Takes the lock over as any writer of the store would, and lets it go.
fn remove_stale_lock(store: &Path, queue: &Path) -> Result<bool, RepairError> {
    let queue = QueueLock::acquire(queue, Instant::now() + QUEUE_TIMEOUT)?;
    if LockDir::state(store)? != LockState::Abandoned {
        return Ok(false);
    }
    drop(LockDir::acquire(store, &queue, Instant::now())?);
    Ok(true)
}
