//! Refreshes that were begun and whose process is gone.

use super::Begun;
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::domain::{Credential, Fingerprint, normalize_provider};
use crate::oauth::{Lease, Rescue, grants_with_files};
use crate::sync::engine::Engine;
use crate::sync::error::SyncError;
use crate::sync::notice::Notice;
use crate::vault::{Grant, GrantState};

impl Engine<'_> {
    /// Sees to refreshes that were begun and whose process is gone: their leases are free. That this cannot be done now is no reason
    /// not to answer: what they brought stays where it is.
    pub(in crate::sync) fn see_to_interrupted(&mut self) -> Result<(), SyncError> {
        for (grant, _) in self.vault.started_refreshes()? {
            let ended = Lease::try_take(&self.lock_dir, grant)
                .map_err(SyncError::from)
                .and_then(|lease| {
                    let Some(lease) = lease else { return Ok(()) };
                    let ended = self.end_interrupted(grant);
                    self.give_up(lease, grant);
                    ended
                });
            if let Err(error) = ended {
                let error = error.to_string();
                self.told.push(Notice::RefreshUnfinished { error });
            }
        }
        Ok(())
    }

    /// Removes what killed refreshes of other grants left: files of which nothing is to be taken in any more. What cannot be removed is
    /// of no harm.
    pub(super) fn sweep(&self, own: Fingerprint) {
        for grant in grants_with_files(&self.lock_dir).unwrap_or_default() {
            if grant == own {
                continue;
            }
            // Who has the lease may have made room for an answer, and not yet begun.
            let Ok(Some(lease)) = Lease::try_take(&self.lock_dir, grant) else {
                continue;
            };
            let left = Rescue::read(&self.lock_dir, self.vault, grant);
            if let (Ok(known), Ok(left)) = (self.vault.grant(grant), left)
                && known.state != GrantState::Started
                && left.is_none_or(|(fence, _)| fence <= known.fence)
            {
                let _ = Rescue::remove(&self.lock_dir, grant);
            }
            self.give_up(lease, grant);
        }
    }

    /// Under the lease: takes in what a refresh that was cut off has brought, or marks its grant uncertain. What a refresh has brought of
    /// which the vault does not know at all, since an older copy of it was put back, is taken in too.
    pub(in crate::sync) fn end_interrupted(&mut self, grant: Fingerprint) -> Result<(), SyncError> {
        // Under a key that was replaced meanwhile the file would not open, and would be taken for one that has nothing. From here on
        // no refresh of the grant begins, and while one has begun no key is replaced.
        self.vault.reload_keys()?;
        let known = self.vault.grant(grant)?;
        let is_begun = known.state == GrantState::Started;
        let left = Rescue::read(&self.lock_dir, self.vault, grant)?;
        let left =
            left.filter(|(fence, _)| (is_begun && *fence == known.fence) || *fence > known.fence);
        if let Some((fence, brought)) = left {
            let begun = Begun {
                grant,
                fence,
                before: known.state,
            };
            self.commit_tokens(&begun, &brought, None)?;
            let profile = brought.profile;
            self.told.push(Notice::RefreshRescued { profile });
        } else if is_begun {
            self.mark_uncertain(grant, known.fence)?;
        } else {
            return Ok(());
        }
        Ok(Rescue::remove(&self.lock_dir, grant)?)
    }

    fn mark_uncertain(&mut self, grant: Fingerprint, fence: i64) -> Result<(), SyncError> {
        let holders = self.holders(grant)?;
        let first = holders.first();
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        let known = tx.grant(grant)?;
        if known.state != GrantState::Started || known.fence != fence {
            return Ok(());
        }
        let state = GrantState::Uncertain;
        tx.set_grant(grant, &Grant { state, ..known })?;
        let mut event = EventDraft::new(EventKind::RefreshInterrupted, Origin::Clawkeep)
            .outcome(Outcome::Failed)
            .detail("grant", grant.to_string())
            .detail("fence", fence);
        if let Some(holder) = first {
            let provider = tx.credential(&holder.agent, &holder.profile)?;
            let provider = provider.map_or_else(String::new, |(entry, _)| {
                normalize_provider(Credential::of(entry.expose_secret()).provider)
            });
            event = event.profile(&holder.profile, &provider);
        }
        tx.append(first.map(|holder| &holder.agent), event)?;
        tx.commit()?;
        let profile = first.map(|holder| holder.profile.clone());
        let told = profile.map(|profile| Notice::RefreshInterrupted { profile });
        self.told.extend(told);
        Ok(())
    }
}
