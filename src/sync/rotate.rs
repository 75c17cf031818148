//! Rotating the data key, once no refresh stands in the way.

use std::thread;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::error::SyncError;
use super::renew::LEASE_WAIT;
use crate::oauth::{Lease, grants_with_files};
use crate::vault::{Prepared, Rotated, RotationScope, VaultError};

/// How often it is looked whether a refresh has ended.
const PAUSE: Duration = Duration::from_millis(50);

impl Engine<'_> {
    /// Replaces the vault's data key. What refreshes have brought that is not in the vault yet is taken in first: it is sealed under the
    /// old key. Refreshes under way are waited for.
    ///
    /// # Errors
    /// As [`crate::vault::UnlockedVault::rotate`]; [`VaultError::RefreshUnderWay`] when one takes too long.
    pub fn rotate(&mut self, renewal: RotationScope<'_>) -> Result<Rotated, SyncError> {
        let deadline = Instant::now() + LEASE_WAIT;
        let mut prepared: Option<Prepared<'_>> = None;
        loop {
            self.settle_refreshes()?;
            // Once: a code that was shown is not followed by another one.
            let mut ready = match prepared.take() {
                Some(ready) => ready,
                None => self.vault.prepare(renewal)?,
            };
            match self
                .vault
                .rotate_prepared(&mut ready, self.actor, self.clock)
            {
                // Begun just now.
                Err(VaultError::RefreshUnderWay) if Instant::now() < deadline => {
                    prepared = Some(ready);
                }
                other => return Ok(other?),
            }
        }
    }

    /// Takes in what refreshes have brought that is not in the vault yet, and waits until none is under way.
    ///
    /// # Errors
    /// [`VaultError::RefreshUnderWay`] when one takes too long.
    pub fn settle_refreshes(&mut self) -> Result<(), SyncError> {
        let deadline = Instant::now() + LEASE_WAIT;
        loop {
            self.see_to_interrupted()?;
            self.take_in_brought()?;
            if self.vault.started_refreshes()?.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(VaultError::RefreshUnderWay.into());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Takes in whatever files hold tokens that the vault has not got.
    fn take_in_brought(&mut self) -> Result<(), SyncError> {
        for grant in grants_with_files(&self.lock_dir)? {
            if let Some(lease) = Lease::try_take(&self.lock_dir, grant)? {
                let ended = self.end_interrupted(grant);
                self.give_up(lease, grant);
                ended?;
            }
        }
        Ok(())
    }
}
