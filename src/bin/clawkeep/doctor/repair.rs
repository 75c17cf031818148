//! Repairs that clawkeep carries out when asked to.

use std::path::{Path, PathBuf};

use clawkeep::internal::config::{ConfigEditError, ConfigError};
use clawkeep::internal::domain::ProfileId;
use clawkeep::internal::platform::{FileError, LockError};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub(crate) enum Repair {
    /// Removes the permissions of other users.
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
        /// The directories in which only this program makes files.
        own_dirs: Vec<PathBuf>,
    },
    /// Moves the vault and its settings to another directory. It takes the vault's key, so the
    /// command that has it carries it out; the same holds for the next two.
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
    /// Moves the directory of the only agent that gateways once had to where agents are now.
    MoveAgentDir {
        /// Where it is.
        from: PathBuf,
        /// The agent's directory now.
        to: PathBuf,
    },
}

/// What came of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Repaired {
    /// The repair was carried out.
    Done {
        /// What is different now, a line each; nothing where the repair says it all. Quotes no
        /// secret.
        difference: Vec<String>,
        /// What was there before, where that is kept in a file.
        kept: Option<PathBuf>,
    },
    /// There was nothing to do any more, or it would be wrong by now.
    NotNeeded,
}

impl Repaired {
    /// It was done, and what it is called says what is different.
    #[must_use]
    pub(crate) fn done() -> Self {
        Self::Done {
            difference: Vec::new(),
            kept: None,
        }
    }
}

/// Why a repair was not made. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RepairError {
    /// A file cannot be read or changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// It takes the vault's key.
    #[error("this repair needs the vault key")]
    NeedsKey,
    /// A lock cannot be taken.
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
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Chmod { path, .. }
            | Self::RemoveLeftover { path, .. }
            | Self::RemoveLeftVault { path, .. }
            | Self::RenameConfigProfile { path, .. } => path,
            Self::MoveVault { from, .. } | Self::MergeVault { from, .. } => from,
            Self::RemoveStaleLock { store, .. } => store,
            Self::RemoveOpenClawCopy { site } => site,
            Self::MoveAgentDir { from, .. } => from,
        }
    }

    /// The name in the record.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Chmod { .. } => "chmod",
            Self::RemoveStaleLock { .. } => "remove-stale-lock",
            Self::RemoveLeftover { .. } => "remove-leftover",
            Self::RenameConfigProfile { .. } => "rename-config-profile",
            Self::MoveAgentDir { .. } => "move-agent-directory",
            Self::MoveVault { .. } => "move-vault",
            Self::MergeVault { .. } => "merge-vault",
            Self::RemoveLeftVault { .. } => "remove-left-vault",
            Self::RemoveOpenClawCopy { .. } => "remove-openclaw-copy",
        }
    }
}
