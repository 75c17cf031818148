//! Repairs: what this program does itself when told to. Each looks again before it acts, since what was found may be gone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::configuration::renamed_default;
use super::footprint::{is_leftover, is_replaceable};
use super::moved_agent::move_agent_dir;
use crate::config::{
    ConfigChange, ConfigEdit, ConfigEditError, ConfigError, Settings, edit_config_keeping,
};
use crate::domain::{ProfileId, StoreDoc, UnixMs};
use crate::platform::{
    Access, DirectoryLock, FileError, LockDir, LockError, LockState, QueueLock, RemoveOutcome,
    check_trusted, close_to_others, remove_if_present,
};
use crate::sync::utc_stamp;

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
pub enum Repaired {
    /// It was done.
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
    pub fn done() -> Self {
        Self::Done {
            difference: Vec::new(),
            kept: None,
        }
    }
}

/// What a repair looks at again before it acts.
pub struct Premises<'p> {
    /// The store that the configuration's profiles are looked up in.
    pub main: &'p StoreDoc,
    /// Whether an agent has a profile, or the vault keeps one that was removed.
    pub knows_profile: &'p dyn Fn(&ProfileId) -> bool,
    /// Now.
    pub now: UnixMs,
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
            Self::MoveAgentDir { from, .. } => from,
        }
    }

    /// The name in the record.
    #[must_use]
    pub fn name(&self) -> &'static str {
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

    /// Makes it, if what was found is still so and nothing speaks against it.
    ///
    /// # Errors
    /// Why it was not made.
    pub fn carry_out(&self, premises: &Premises<'_>) -> Result<Repaired, RepairError> {
        let done = |is_done: bool| match is_done {
            true => Repaired::done(),
            false => Repaired::NotNeeded,
        };
        Ok(match self {
            Self::Chmod { path, mode } => done(close_to_others(path, *mode)?),
            Self::RemoveStaleLock { store, queue } => done(remove_stale_lock(store, queue)?),
            Self::RemoveLeftover { path, key_dir } => done(remove_leftover(path, key_dir)?),
            Self::MoveVault { .. } | Self::MergeVault { .. } | Self::RemoveLeftVault { .. } => {
                return Err(RepairError::NeedsKey);
            }
            Self::RemoveOpenClawCopy { .. } => return Err(RepairError::NeedsKey),
            Self::RenameConfigProfile {
                path,
                from,
                to,
                email,
            } => {
                let settings = Settings::load(path)?;
                let still =
                    renamed_default(&settings, premises.main).is_some_and(|(id, _)| id == *to);
                if !still || (premises.knows_profile)(from) {
                    return Ok(Repaired::NotNeeded);
                }
                let edit = ConfigEdit::Rename {
                    from: from.clone(),
                    to: to.clone(),
                    email: email.clone(),
                };
                match edit_config_keeping(path, &edit, &utc_stamp(premises.now))? {
                    (ConfigChange::Written, kept) => Repaired::Done {
                        difference: renamed_in(&settings, from, to),
                        kept,
                    },
                    (ConfigChange::None, _) => Repaired::NotNeeded,
                }
            }
            Self::MoveAgentDir { from, to } => {
                let difference = move_agent_dir(from, to, &utc_stamp(premises.now))?;
                if difference.is_empty() {
                    return Ok(Repaired::NotNeeded);
                }
                Repaired::Done {
                    difference,
                    kept: None,
                }
            }
        })
    }
}

/// Where the configuration named a profile that is called otherwise now.
fn renamed_in(settings: &Settings, from: &ProfileId, to: &ProfileId) -> Vec<String> {
    let in_profiles = settings.profile(from.as_str()).is_some();
    let profiles = in_profiles.then(|| "auth.profiles".to_owned());
    let orders = settings
        .orders
        .iter()
        .filter(|order| order.ids.contains(from));
    let orders = orders.map(|order| format!("auth.order.{}", order.provider));
    let places = profiles.into_iter().chain(orders);
    places
        .map(|place| format!("{place}: {from} is {to} now"))
        .collect()
}

/// Removes a leftover, unless somebody is about to use it.
fn remove_leftover(path: &Path, key_dir: &Path) -> Result<bool, RepairError> {
    check_trusted(path, Access::Read)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    // A process of ours that changes a configuration has this lock while there is a draft.
    let _lock = DirectoryLock::acquire(dir, Instant::now() + QUEUE_TIMEOUT)?;
    let is_left = is_leftover(path, key_dir) && is_replaceable(path);
    Ok(is_left && remove_if_present(path)? == RemoveOutcome::Removed)
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
