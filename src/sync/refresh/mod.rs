//! Refreshing a login: by one process at a time, and so that no token is lost.
//!
//! 1. If the login is still valid for long enough, there is nothing to do.
//! 2. Take the grant's lease, or wait until its holder has committed, and use what that one got.
//! 3. Take the locks of every store that carries the grant (a gateway refreshes inside them), read
//!    and merge them once more.
//! 4. Make room for the answer (`oauth::RecoveryFile`), and commit that the token is
//!    about to be sent: its fence.
//! 5. Send, outside any transaction.
//! 6. Keep the answer in the recovery file, commit it for every profile that holds the grant,
//!    export, remove the file.
//!
//! A process killed between 4 and 6 leaves an interrupted refresh: begun, with its lease free. What
//! the recovery file has is stored, else the grant is marked uncertain. A process that finds an
//! uncertain grant may send the token once more. If the file is whole and does not open, there was
//! an answer: the token is not sent again, and the file is kept aside.
//!
//! Source: `spec/oauth.md`, One refresh.

pub(super) mod clearance;
pub(super) mod grant;
pub(super) mod interrupted;
pub(super) mod outcome;
pub(super) mod tokens;

use std::thread;
use std::time::{Duration, Instant};

use self::clearance::{Clearance, clearance};
use self::grant::{
    Begun, Holder, Refresher, Request, When, begin_refresh, give_up, holders, sharing, unopened,
};
use self::interrupted::{end_interrupted, sweep};
use self::outcome::{NotRefreshed, RefreshOutcome};
use self::tokens::{commit_tokens, keep_failure, retried};
use super::context::SyncMode;
use super::engine::Engine;
use super::error::SyncError;
use super::loaded::Loaded;
use super::logins::owners::{Owned, Owners};
use super::store_lock::StoreLock;
use crate::config::AgentRef;
use crate::domain::{Credential, Fingerprint, Owner, ProfileId, StoreDoc};
use crate::export::StorePlace;
use crate::health::{Loss, is_due};
use crate::oauth::{Brought, CAN_EXCHANGE, FailureClass, Lease, RecoveryFile, Tries, exchange};
use crate::platform::openclaw::Examined;
use crate::platform::{FileError, LockError};
use crate::vault::GrantState;

/// The pause between two attempts to take the lease, or to find that its holder has committed.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a refresh begins again because another program exchanged the token meanwhile.
const ROUNDS_MAX: usize = 8;

impl Engine<'_> {
    /// Refreshes a login if it is due. Concurrent callers share one request.
    ///
    /// # Errors
    /// When the vault or a store cannot be used, or another process refreshes the login for longer
    /// than the patience. Why a login cannot be refreshed is no error but an outcome.
    pub fn refresh(
        &mut self,
        refresher: &Refresher<'_>,
        agent: &AgentRef,
        mode: SyncMode,
        id: &ProfileId,
        when: When,
    ) -> Result<RefreshOutcome, SyncError> {
        let deadline = Instant::now() + refresher.patience;
        let mut first_access = None;
        let mut waited = None;
        let mut rounds = 0;
        while rounds < ROUNDS_MAX {
            let loaded = match self.load_framed(agent, mode) {
                // A process that refreshes holds the stores' locks meanwhile.
                Err(SyncError::Lock(LockError::Busy { .. } | LockError::Held { .. }))
                    if Instant::now() < deadline =>
                {
                    continue;
                }
                loaded => loaded?,
            };
            if loaded.damage.profiles.contains_key(id.as_str()) {
                return Err(unopened(&loaded.unopened));
            }
            if let Some(from) = loaded.borrowed.get(id.as_str()) {
                return Ok(RefreshOutcome::NotRefreshed(NotRefreshed::Borrowed(
                    from.owner,
                )));
            }
            let (grant, _) = match self.due(&loaded.doc, id, when, &mut first_access) {
                Ok(due) => due,
                Err(outcome) => return Ok(outcome),
            };
            if !CAN_EXCHANGE {
                let why = NotRefreshed::RefreshUnavailable;
                return Ok(RefreshOutcome::NotRefreshed(why));
            }
            let lease = match self.wait_for_lease(grant, id, deadline, &mut waited) {
                Err(SyncError::File(error)) => {
                    let why = NotRefreshed::Obstacle(error.to_string());
                    return Ok(RefreshOutcome::NotRefreshed(why));
                }
                lease => lease?,
            };
            let Some(lease) = lease else {
                continue; // another process has committed something
            };
            rounds += 1;
            let fence_before = waited.filter(|(waited, _)| *waited == grant);
            let fence_before = fence_before.map(|(_, fence)| fence);
            let request = Request {
                grant,
                when,
                fence_before,
            };
            let fence = self.vault.grant(grant)?.fence;
            let outcome =
                self.refresh_leased(refresher, agent, mode, id, request, &mut first_access);
            self.held.release();
            give_up(self.vault, lease, grant);
            let is_sent = self.vault.grant(grant)?.fence != fence;
            let outcome = match outcome {
                Err(
                    error @ (SyncError::File(_)
                    | SyncError::DamagedStore { .. }
                    | SyncError::Unopened { .. }),
                ) if !is_sent => {
                    let why = NotRefreshed::Obstacle(error.to_string());
                    return Ok(RefreshOutcome::NotRefreshed(why));
                }
                outcome => outcome,
            };
            if let Some(outcome) = outcome? {
                return Ok(outcome);
            }
        }
        Err(SyncError::Contended {
            path: agent.store_file(),
        })
    }

    /// Loads an agent into which tokens can be put: one whose frame opens.
    fn load_framed(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Loaded, SyncError> {
        let mut loaded = self.load(agent, mode)?;
        if loaded.damage.frame {
            return Err(unopened(&loaded.unopened));
        }
        // The next load reports these; what the sources say, it finds out by itself.
        let news = loaded.notices.drain(..);
        self.notices
            .extend(news.filter(|notice| !notice.is_about_sources()));
        Ok(loaded)
    }

    /// Returns the grant of a login that is due, and its refresh token; or why it is not, or need
    /// not be, refreshed.
    fn due<'d>(
        &self,
        doc: &'d StoreDoc,
        id: &ProfileId,
        when: When,
        first_access: &mut Option<Fingerprint>,
    ) -> Result<(Fingerprint, &'d str), RefreshOutcome> {
        let not = |why| Err(RefreshOutcome::NotRefreshed(why));
        let Some(credential) = doc.credential(id.as_str()) else {
            return not(NotRefreshed::Missing);
        };
        let access = self
            .vault
            .fingerprint(credential.expose_secret().unwrap_or_default());
        let first = *first_access.get_or_insert(access);
        let is_usable = credential
            .expose_secret()
            .is_some_and(|access| !access.trim().is_empty());
        // A token that another process got while this one waited is as good as one of its own.
        let is_new = first != access && !is_due(&credential, self.context.clock.now(), 0);
        let lasts = is_usable
            && (is_new
                || match when {
                    When::LessLeftThan(ms) => !is_due(&credential, self.context.clock.now(), ms),
                    When::Now => false,
                });
        if lasts {
            return Err(RefreshOutcome::StillValid);
        }
        let refresh = credential
            .expose_refresh()
            .filter(|_| !credential.is_marker());
        let Some(refresh) = refresh else {
            return not(NotRefreshed::NoRefreshToken);
        };
        match self.owner(id, &credential) {
            Owned::Vault => {}
            Owned::OtherProgram(owner) => return not(NotRefreshed::Borrowed(owner)),
            Owned::Unknown(owner) => return not(NotRefreshed::OwnerUnknown(owner)),
        }
        Ok((self.vault.fingerprint(refresh), refresh))
    }

    /// Finds out which program a login belongs to, under any id.
    fn owner(&self, id: &ProfileId, credential: &Credential<'_>) -> Owned {
        match Owner::of(id.as_str()) {
            Owner::Vault => Owners::new(self.context.sources).of(credential),
            owner => Owned::OtherProgram(owner),
        }
    }

    /// Waits for the lease on a grant; `None` once another process has committed meanwhile.
    fn wait_for_lease(
        &self,
        grant: Fingerprint,
        id: &ProfileId,
        deadline: Instant,
        waited: &mut Option<(Fingerprint, i64)>,
    ) -> Result<Option<Lease>, SyncError> {
        let version = self.vault.data_version()?;
        loop {
            if let Some(lease) = Lease::try_take(&self.context.lock_dir, grant)? {
                return Ok(Some(lease));
            }
            if waited.is_none_or(|(known, _)| known != grant) {
                // The holder's own fence, or one before it where it has not begun yet.
                let known = self.vault.grant(grant)?;
                let is_begun = known.state == GrantState::Started;
                *waited = Some((grant, known.fence - i64::from(is_begun)));
            }
            if self.vault.data_version()? != version {
                return Ok(None);
            }
            if Instant::now() >= deadline {
                let profile = id.clone();
                return Err(SyncError::RefreshBusy { profile });
            }
            thread::sleep(PAUSE);
        }
    }

    /// Refreshes under the lease; `None` if the token is another one by now, and everything is to
    /// be surveyed again.
    fn refresh_leased(
        &mut self,
        refresher: &Refresher<'_>,
        agent: &AgentRef,
        mode: SyncMode,
        id: &ProfileId,
        request: Request,
        first_access: &mut Option<Fingerprint>,
    ) -> Result<Option<RefreshOutcome>, SyncError> {
        let Request { grant, when, .. } = request;
        end_interrupted(self.vault, &self.context, &mut self.notices, grant)?;
        // An agent that is not in the vault yet may have the login in its store, too.
        let known = self.vault.agents()?;
        for other in refresher
            .agents
            .iter()
            .filter(|other| !known.contains(&other.name))
        {
            let _ = self.load_framed(other, SyncMode::Off); // its trouble is not this login's
        }
        let known_holders = holders(self.vault, grant)?;
        self.hold_stores(refresher, agent, &known_holders)?;
        // A gateway may have exchanged it; if so, its token is in one of the stores.
        for other in sharing(refresher.agents, &known_holders, agent) {
            self.load_framed(other, SyncMode::Off)?;
        }
        let loaded = self.load_framed(agent, mode)?;
        let refresh = match self.due(&loaded.doc, id, when, first_access) {
            Ok((now, _)) if now != grant => return Ok(None),
            Ok((_, refresh)) => refresh,
            Err(outcome) => return Ok(Some(outcome)),
        };
        let holders = holders(self.vault, grant)?;
        let route = match clearance(
            self.vault,
            &self.context,
            (refresher, agent),
            id,
            request,
            (&loaded.doc, &holders),
        )? {
            Clearance::Granted(route) => *route,
            Clearance::Refused(why) => return Ok(Some(RefreshOutcome::NotRefreshed(why))),
            Clearance::Retry => return Ok(None),
        };
        sweep(self.vault, &self.context, grant);
        let recovery_file = RecoveryFile::prepare(&self.context.lock_dir, grant)?;
        let _shielded = refresher.shield.map(|shield| shield());
        let Some(begun) = begin_refresh(
            self.vault,
            &self.context,
            &agent.name,
            id,
            grant,
            &route.endpoint,
        )?
        else {
            return Ok(None); // changed by another path since it was loaded
        };
        if let Some(keep_head) = refresher.keep_head {
            keep_head(self.vault);
        }
        let tries = match begun.before {
            GrantState::Free => Tries::AsNeeded,
            _ => Tries::One,
        };
        match exchange(
            &route.provider,
            &route.endpoint,
            refresh,
            tries,
            self.context.clock,
        ) {
            Ok((tokens, tries)) => {
                let brought = Brought {
                    agent: agent.name.clone(),
                    profile: id.clone(),
                    endpoint: route.endpoint,
                    tokens,
                };
                self.keep_tokens(
                    (refresher, agent, &holders),
                    recovery_file,
                    &begun,
                    (&brought, tries),
                )?;
                Ok(Some(RefreshOutcome::Refreshed(
                    self.export_all(refresher, agent, mode, &holders),
                )))
            }
            Err(refused) => {
                let not = |why| Ok(Some(RefreshOutcome::NotRefreshed(why)));
                drop(recovery_file);
                // A store that cannot be read now shows nothing; the refusal is recorded anyway.
                let is_elsewhere = refused.refusal.class == FailureClass::Dead
                    && self
                        .is_exchanged_elsewhere(refresher, agent, mode, id, (grant, &holders))
                        .unwrap_or(false);
                let until = keep_failure(
                    self.vault,
                    &self.context,
                    &agent.name,
                    id,
                    &begun,
                    &refused,
                    is_elsewhere,
                )?;
                if is_elsewhere {
                    return Ok(None);
                }
                if refused.refusal.class == FailureClass::Dead {
                    return not(NotRefreshed::Lost(Loss::Dead));
                }
                not(until.map_or(NotRefreshed::Refused(refused), NotRefreshed::Limited))
            }
        }
    }

    /// Takes the locks of every store that carries the grant, in the order of their paths, so that
    /// two processes that want the same ones do not wait for each other.
    fn hold_stores(
        &mut self,
        refresher: &Refresher<'_>,
        agent: &AgentRef,
        holders: &[Holder],
    ) -> Result<(), SyncError> {
        let mut places = vec![StorePlace::of_agent(&agent.dir)?];
        for other in sharing(refresher.agents, holders, agent) {
            places.push(StorePlace::of_agent(&other.dir)?);
        }
        // Those of agents that are known by their store alone.
        for holder in holders {
            for path in self.vault.written_stores(&holder.agent)? {
                places.push(StorePlace::of_file(&path)?);
            }
        }
        places.sort_by(|a, b| a.site().cmp(b.site()));
        places.dedup_by(|a, b| a.site() == b.site());
        for place in &places {
            let mut lock = StoreLock::acquire(&self.context.lock_dir, place, refresher.patience)?;
            lock.lock_store(place, &Examined::default())?;
            self.held.put(place, lock);
        }
        Ok(())
    }

    /// Writes the stores of all agents that hold the new token; returns the errors of those that
    /// could not be written.
    fn export_all(
        &mut self,
        refresher: &Refresher<'_>,
        agent: &AgentRef,
        mode: SyncMode,
        holders: &[Holder],
    ) -> Vec<FileError> {
        let mut not_written = Vec::new();
        let others = sharing(refresher.agents, holders, agent).map(|other| (other, SyncMode::Off));
        for (agent, mode) in [(agent, mode)].into_iter().chain(others) {
            match self.load_framed(agent, mode) {
                Ok(loaded) => not_written.extend(loaded.not_written.or(loaded.not_removed)),
                Err(SyncError::File(error)) => not_written.push(error),
                // The vault has it, and the next load of that agent reports what is wrong there.
                Err(_) => {}
            }
        }
        not_written
    }

    /// Whether another program exchanged the token: its successor is in the source or a store.
    fn is_exchanged_elsewhere(
        &mut self,
        refresher: &Refresher<'_>,
        agent: &AgentRef,
        mode: SyncMode,
        id: &ProfileId,
        (grant, holders): (Fingerprint, &[Holder]),
    ) -> Result<bool, SyncError> {
        for other in sharing(refresher.agents, holders, agent) {
            self.load_framed(other, SyncMode::Off)?;
        }
        let loaded = self.load_framed(agent, mode)?;
        let credential = loaded.doc.credential(id.as_str());
        let refresh = credential.and_then(|credential| credential.expose_refresh());
        Ok(refresh.is_some_and(|refresh| self.vault.fingerprint(refresh) != grant))
    }

    /// Stores new tokens in the vault. They are kept in the recovery file until they are there.
    pub(super) fn keep_tokens(
        &mut self,
        (refresher, agent, holders): (&Refresher<'_>, &AgentRef, &[Holder]),
        mut recovery_file: RecoveryFile,
        begun: &Begun,
        (brought, tries): (&Brought, u32),
    ) -> Result<(), SyncError> {
        let kept = recovery_file.keep(self.vault, begun.grant, begun.fence, brought);
        // A login that came into a store meanwhile is the newer one. A store that cannot be read
        // now is no reason to lose the tokens.
        for agent in sharing(refresher.agents, holders, agent).chain([agent]) {
            let _ = self.load_framed(agent, SyncMode::Off);
        }
        let commit = || commit_tokens(self.vault, &self.context, begun, brought, Some(tries));
        let Err(error) = retried(commit) else {
            // A file that stays is of a completed refresh, and is not read again.
            let _ = RecoveryFile::remove(&self.context.lock_dir, begun.grant);
            return Ok(());
        };
        if kept.is_err() {
            // Whether the file has them is checked below.
            let _ = recovery_file.keep(self.vault, begun.grant, begun.fence, brought);
        }
        let profile = brought.profile.clone();
        let source = Box::new(error);
        if !recovery_file.has_tokens() {
            return Err(SyncError::TokensLost { profile, source });
        }
        // The disk refused a write, so they may not be durable; the next command finds them.
        let path = recovery_file.path().to_owned();
        Err(SyncError::KeptInRecoveryFile {
            profile,
            path,
            source,
        })
    }
}
