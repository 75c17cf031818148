//! Rotating the data key, once no refresh is under way.

use std::thread;
use std::time::{Duration, Instant};

use super::context::LoadContext;
use super::error::SyncError;
use super::notice::Notice;
use super::refresh::grant::{LEASE_WAIT, give_up};
use super::refresh::interrupted::{end_interrupted, recover_interrupted_refreshes};
use crate::oauth::{Lease, grants_with_files};
use crate::vault::{Prepared, Rotated, RotationScope, UnlockedVault, VaultError};

/// How often to check whether a refresh has ended.
const PAUSE: Duration = Duration::from_millis(50);

/// Replaces the vault's data key. What refreshes have brought that is not in the vault yet is
/// stored first: it is sealed under the old key. Waits for refreshes under way.
///
/// # Errors
/// As [`crate::vault::UnlockedVault::rotate`]; [`VaultError::RefreshUnderWay`] when a refresh takes
/// too long.
pub(super) fn rotate(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    notices: &mut Vec<Notice>,
    scope: RotationScope<'_>,
) -> Result<Rotated, SyncError> {
    let deadline = Instant::now() + LEASE_WAIT;
    let mut prepared: Option<Prepared<'_>> = None;
    loop {
        settle_refreshes(vault, context, notices)?;
        // Prepared once: a recovery code that was shown is not followed by another one.
        let mut ready = match prepared.take() {
            Some(ready) => ready,
            None => vault.prepare(scope)?,
        };
        match vault.rotate_prepared(&mut ready, context.actor, context.clock) {
            // A refresh began just now.
            Err(VaultError::RefreshUnderWay) if Instant::now() < deadline => {
                prepared = Some(ready);
            }
            other => return Ok(other?),
        }
    }
}

/// Stores what refreshes have brought that is not in the vault yet, and waits until none is under
/// way.
///
/// # Errors
/// [`VaultError::RefreshUnderWay`] when a refresh takes too long.
pub(super) fn settle_refreshes(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    notices: &mut Vec<Notice>,
) -> Result<(), SyncError> {
    let deadline = Instant::now() + LEASE_WAIT;
    loop {
        recover_interrupted_refreshes(vault, context, notices)?;
        take_in_brought(vault, context, notices)?;
        if vault.started_refreshes()?.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(VaultError::RefreshUnderWay.into());
        }
        thread::sleep(PAUSE);
    }
}

/// Stores the tokens of every recovery file that the vault does not have.
fn take_in_brought(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    notices: &mut Vec<Notice>,
) -> Result<(), SyncError> {
    for grant in grants_with_files(&context.lock_dir)? {
        if let Some(lease) = Lease::try_take(&context.lock_dir, grant)? {
            let ended = end_interrupted(vault, context, notices, grant);
            give_up(vault, lease, grant);
            ended?;
        }
    }
    Ok(())
}
