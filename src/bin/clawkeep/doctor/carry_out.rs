//! Carries out repairs. Each checks its finding again first: the problem may be gone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::configuration::renamed_default;
use super::footprint::{is_leftover, is_replaceable};
use super::moved_agent::move_agent_dir;
use super::repair::{Repair, RepairError, Repaired};
use clawkeep::internal::config::{ConfigChange, ConfigEdit, Settings, edit_config_keeping};
use clawkeep::internal::domain::{ProfileId, StoreDoc, UnixMs, file_stamp};
use clawkeep::internal::platform::{
    Access, DirectoryLock, LockDir, LockState, QueueLock, RemoveOutcome, check_trusted,
    close_to_others, remove_if_present,
};

/// How long a repair waits for a store's queue of our own processes.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// The state that a repair checks again before it acts.
pub(crate) struct Premises<'p> {
    /// The store that must have the configuration's profiles.
    pub(crate) main: &'p StoreDoc,
    /// Whether an agent has a profile, or the vault keeps one that was removed.
    pub(crate) knows_profile: &'p dyn Fn(&ProfileId) -> bool,
    /// The current time of the run.
    pub(crate) now: UnixMs,
}

impl Repair {
    /// Makes it, if what was found is still so and nothing speaks against it.
    ///
    /// # Errors
    /// Why it was not made.
    pub(crate) fn carry_out(&self, premises: &Premises<'_>) -> Result<Repaired, RepairError> {
        let done = |is_done: bool| match is_done {
            true => Repaired::done(),
            false => Repaired::NotNeeded,
        };
        Ok(match self {
            Self::Chmod { path, mode } => done(close_to_others(path, *mode)?),
            Self::RemoveStaleLock { store, queue } => done(remove_stale_lock(store, queue)?),
            Self::RemoveLeftover { path, own_dirs } => done(remove_leftover(path, own_dirs)?),
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
                match edit_config_keeping(path, &edit, &file_stamp(premises.now))? {
                    (ConfigChange::Written, kept) => Repaired::Done {
                        difference: renamed_in(&settings, from, to),
                        kept,
                    },
                    (ConfigChange::None, _) => Repaired::NotNeeded,
                }
            }
            Self::MoveAgentDir { from, to } => {
                let difference = move_agent_dir(from, to, &file_stamp(premises.now))?;
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
fn remove_leftover(path: &Path, own_dirs: &[PathBuf]) -> Result<bool, RepairError> {
    check_trusted(path, Access::Read)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    // A process of ours that changes a configuration has this lock while there is a draft.
    let _lock = DirectoryLock::acquire(dir, Instant::now() + QUEUE_TIMEOUT)?;
    let is_left = is_leftover(path, own_dirs) && is_replaceable(path);
    Ok(is_left && remove_if_present(path)? == RemoveOutcome::Removed)
}

/// Acquires the stale lock as any writer of the store would, and releases it.
fn remove_stale_lock(store: &Path, queue: &Path) -> Result<bool, RepairError> {
    let queue = QueueLock::acquire(queue, Instant::now() + QUEUE_TIMEOUT)?;
    if LockDir::state(store)? != LockState::Abandoned {
        return Ok(false);
    }
    drop(LockDir::acquire(store, &queue, Instant::now())?);
    Ok(true)
}
