//! Refreshing a login: by one process at a time, whoever holds it, and so that no token is lost on the way.
//!
//! 1. Look: while it lasts, there is nothing to do.
//! 2. Take the grant's lease, or wait until its holder has committed, and use what that one got.
//! 3. Take the locks of every store that carries the grant (a gateway redeems inside them), read and merge them once more.
//! 4. Make room for what may come (`oauth::Rescue`), and commit that the token is about to be sent: its fence.
//! 5. Send, outside any transaction.
//! 6. Keep what came in the rescue file, commit it for every profile that holds the grant, export, remove the file.
//!
//! Killed between 4 and 6, a refresh is found begun, with its lease free: what the rescue file has is taken in, else the grant is
//! marked uncertain. Who finds an uncertain one may send it once more. Where the file is whole and does not open, there was an answer: the
//! token is not sent any more, and the file is kept aside.
//!
//! Source: `spec/oauth.md`, One refresh.

mod clearance;
mod interrupted;
mod outcome;
mod tokens;

use std::any::Any;
use std::thread;
use std::time::{Duration, Instant};

use self::clearance::Clearance;
pub use self::outcome::{NotRenewed, Renewal};
use crate::audit::{EventDraft, EventKind, Origin};
use crate::config::AgentRef;
use crate::domain::{
    AgentName, Credential, CredentialType, Endpoint, Fingerprint, Owner, ProfileId, StoreDoc,
    UnixMs, normalize_provider,
};
use crate::export::StorePlace;
use crate::oauth::{Brought, FailureClass, Lease, Provider, Providers, Rescue, Tries, exchange};
use crate::platform::openclaw::Examined;
use crate::platform::{FileError, LockError};
use crate::sync::engine::{Engine, Loaded, SyncMode};
use crate::sync::error::SyncError;
use crate::sync::store_lock::StoreLock;
use crate::vault::{Grant, GrantState, UnlockedVault};

/// A login of which less is left is refreshed before it is handed out, in milliseconds. Source: `spec/oauth.md`, One refresh.
pub const DUE_BELOW_MS: i64 = 60_000;
/// How long to wait for another process's refresh. Source: `spec/oauth.md`, One refresh.
pub(crate) const LEASE_WAIT: Duration = Duration::from_secs(90);
/// How often the lease is tried, and looked whether its holder has committed.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a refresh begins again since another program exchanged the token meanwhile.
const ROUNDS_MAX: usize = 8;
/// The longest that a provider is left alone since it asked for that, in milliseconds: a day. One that names a year is mistaken.
const LEFT_ALONE_MAX_MS: i64 = 24 * 3_600_000;

/// What a refresh works with.
#[derive(Clone, Copy)]
pub struct Renewer<'r> {
    /// Where tokens are sent to.
    pub providers: &'r Providers,
    /// Every agent whose store may carry the same login.
    pub agents: &'r [AgentRef],
    /// How long to wait for another process's refresh of it.
    pub patience: Duration,
    /// Keeps what would end the process from doing so while a token is on its way: called before one is sent; what it returns is
    /// dropped once what came is committed. Without it, a signal may cost the login.
    pub shield: Option<&'r dyn Fn() -> Box<dyn Any>>,
    /// Keeps the head of the record elsewhere: called once it is committed that a token is about to
    /// be sent, so that the vault of before does not pass for the one of now should this process be
    /// killed.
    pub keep_head: Option<&'r dyn Fn(&UnlockedVault)>,
}

impl std::fmt::Debug for Renewer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Renewer({} agents, {:?})",
            self.agents.len(),
            self.patience
        )
    }
}

impl<'r> Renewer<'r> {
    /// With the usual patience: 90 s.
    #[must_use]
    pub fn new(providers: &'r Providers, agents: &'r [AgentRef]) -> Self {
        Self {
            providers,
            agents,
            patience: LEASE_WAIT,
            shield: None,
            keep_head: None,
        }
    }
}

/// Which logins are refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Those of which less is left than that, in milliseconds.
    LessLeftThan(i64),
    /// Any, unless another process does it meanwhile.
    Now,
}

/// A profile that holds a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    agent: AgentName,
    profile: ProfileId,
}

/// A refresh that was begun.
struct Begun {
    grant: Fingerprint,
    fence: i64,
    /// How the grant stood before.
    before: GrantState,
}

/// What is asked for of a grant.
#[derive(Clone, Copy)]
struct Asked {
    grant: Fingerprint,
    when: When,
    /// The fence before the refresh that was waited for, if one was.
    since: Option<i64>,
}

/// Whose a login is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    /// The vault's.
    Ours,
    /// Another program's.
    Anothers(Owner),
    /// It may be that program's, whose own login cannot be read.
    Unknown(Owner),
}

/// What may be sent where.
struct Route {
    provider: Provider,
    endpoint: Endpoint,
}

impl Engine<'_> {
    /// Refreshes a login if it is time, once, whoever else wants to.
    ///
    /// # Errors
    /// When the vault or a store cannot be used, or another process is at it for longer than there is patience. Why a login
    /// cannot be refreshed is no error but an answer.
    pub fn renew(
        &mut self,
        renewer: &Renewer<'_>,
        agent: &AgentRef,
        mode: SyncMode,
        id: &ProfileId,
        when: When,
    ) -> Result<Renewal, SyncError> {
        let deadline = Instant::now() + renewer.patience;
        let mut seen = None;
        let mut waited = None;
        let mut rounds = 0;
        while rounds < ROUNDS_MAX {
            let loaded = match self.load_framed(agent, mode) {
                // Who refreshes holds the stores' locks meanwhile.
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
                return Ok(Renewal::Not(NotRenewed::Borrowed(from.owner)));
            }
            let (grant, _) = match self.due(&loaded.doc, id, when, &mut seen) {
                Ok(due) => due,
                Err(renewal) => return Ok(renewal),
            };
            let lease = match self.wait_for_lease(grant, id, deadline, &mut waited) {
                Err(SyncError::File(error)) => {
                    let why = NotRenewed::Obstacle(error.to_string());
                    return Ok(Renewal::Not(why));
                }
                lease => lease?,
            };
            let Some(lease) = lease else {
                continue; // somebody has committed something: look again
            };
            rounds += 1;
            let since = waited.filter(|(waited, _)| *waited == grant);
            let since = since.map(|(_, fence)| fence);
            let asked = Asked { grant, when, since };
            let fence = self.vault.grant(grant)?.fence;
            let renewal = self.renew_leased(renewer, agent, mode, id, asked, &mut seen);
            self.held.release();
            self.give_up(lease, grant);
            let is_sent = self.vault.grant(grant)?.fence != fence;
            let renewal = match renewal {
                Err(
                    error @ (SyncError::File(_)
                    | SyncError::DamagedStore { .. }
                    | SyncError::Unopened { .. }),
                ) if !is_sent => {
                    let why = NotRenewed::Obstacle(error.to_string());
                    return Ok(Renewal::Not(why));
                }
                renewal => renewal,
            };
            if let Some(renewal) = renewal? {
                return Ok(renewal);
            }
        }
        Err(SyncError::Contended {
            path: agent.store_file(),
        })
    }

    /// Loads an agent into which tokens can be put: one whose frame is as clawkeep left it.
    fn load_framed(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Loaded, SyncError> {
        let mut loaded = self.load(agent, mode)?;
        if loaded.damage.frame {
            return Err(unopened(&loaded.unopened));
        }
        // Told by the next load; what the sources say, that one finds out anew.
        let news = loaded.notices.drain(..);
        self.told
            .extend(news.filter(|notice| !notice.is_about_sources()));
        Ok(loaded)
    }

    /// The grant of a login that is to be refreshed, and its refresh token; or why it is not, or need not be.
    fn due<'d>(
        &self,
        doc: &'d StoreDoc,
        id: &ProfileId,
        when: When,
        seen: &mut Option<Fingerprint>,
    ) -> Result<(Fingerprint, &'d str), Renewal> {
        let not = |why| Err(Renewal::Not(why));
        let Some(credential) = doc.credential(id.as_str()) else {
            return not(NotRenewed::Missing);
        };
        let access = self
            .vault
            .fingerprint(credential.expose_secret().unwrap_or_default());
        let first = *seen.get_or_insert(access);
        let is_usable = credential
            .expose_secret()
            .is_some_and(|access| !access.trim().is_empty());
        // One that another process got while this one waited is as good as one that this one gets.
        let is_new = first != access && !is_due(&credential, self.clock.now(), 0);
        let lasts = is_usable
            && (is_new
                || match when {
                    When::LessLeftThan(ms) => !is_due(&credential, self.clock.now(), ms),
                    When::Now => false,
                });
        if lasts {
            return Err(Renewal::Lasts);
        }
        let refresh = credential
            .expose_refresh()
            .filter(|_| !credential.is_marker());
        let Some(refresh) = refresh else {
            return not(NotRenewed::NoRefreshToken);
        };
        match self.owner(id, &credential) {
            Owned::Ours => {}
            Owned::Anothers(owner) => return not(NotRenewed::Borrowed(owner)),
            Owned::Unknown(owner) => return not(NotRenewed::OwnerUnknown(owner)),
        }
        Ok((self.vault.fingerprint(refresh), refresh))
    }

    /// Whose login it is, under whatever id.
    fn owner(&self, id: &ProfileId, credential: &Credential<'_>) -> Owned {
        match Owner::of(id.as_str()) {
            Owner::Vault => self.sources.owners().of(credential),
            owner => Owned::Anothers(owner),
        }
    }

    /// The lease on a grant; nothing once another process has committed something while this one waited.
    fn wait_for_lease(
        &self,
        grant: Fingerprint,
        id: &ProfileId,
        deadline: Instant,
        waited: &mut Option<(Fingerprint, i64)>,
    ) -> Result<Option<Lease>, SyncError> {
        let version = self.vault.data_version()?;
        loop {
            if let Some(lease) = Lease::try_take(&self.lock_dir, grant)? {
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

    /// Gives a lease up; its file goes with it once the grant is of no use any more.
    pub(crate) fn give_up(&self, lease: Lease, grant: Fingerprint) {
        let state = self.vault.grant(grant).map(|grant| grant.state);
        if matches!(state, Ok(GrantState::Spent | GrantState::Dead)) {
            let _ = lease.forget(); // an empty file that stays is of no harm
        }
    }

    /// Refreshes under the lease. Nothing: the token is another one by now, and all is to be looked at again.
    fn renew_leased(
        &mut self,
        renewer: &Renewer<'_>,
        agent: &AgentRef,
        mode: SyncMode,
        id: &ProfileId,
        asked: Asked,
        seen: &mut Option<Fingerprint>,
    ) -> Result<Option<Renewal>, SyncError> {
        let Asked { grant, when, .. } = asked;
        self.end_interrupted(grant)?;
        // An agent that the vault has not seen yet may have it in its store too.
        let known = self.vault.agents()?;
        for other in renewer
            .agents
            .iter()
            .filter(|other| !known.contains(&other.name))
        {
            let _ = self.load_framed(other, SyncMode::Off); // its trouble is not this login's
        }
        let holders = self.holders(grant)?;
        self.hold_stores(renewer, agent, &holders)?;
        // A gateway may have exchanged it; if so, its token is in one of the stores.
        for other in sharing(renewer.agents, &holders, agent) {
            self.load_framed(other, SyncMode::Off)?;
        }
        let loaded = self.load_framed(agent, mode)?;
        let refresh = match self.due(&loaded.doc, id, when, seen) {
            Ok((now, _)) if now != grant => return Ok(None),
            Ok((_, refresh)) => refresh,
            Err(renewal) => return Ok(Some(renewal)),
        };
        let holders = self.holders(grant)?;
        let route = match self.clearance((renewer, agent), id, asked, (&loaded.doc, &holders))? {
            Clearance::Given(route) => *route,
            Clearance::Refused(why) => return Ok(Some(Renewal::Not(why))),
            Clearance::LookAgain => return Ok(None),
        };
        self.sweep(grant);
        let rescue = Rescue::prepare(&self.lock_dir, grant)?;
        let _shielded = renewer.shield.map(|shield| shield());
        let Some(begun) = self.begin_refresh(&agent.name, id, grant, &route.endpoint)? else {
            return Ok(None); // changed by another path since it was loaded
        };
        if let Some(keep_head) = renewer.keep_head {
            keep_head(self.vault);
        }
        let tries = match begun.before {
            GrantState::Free => Tries::AsNeeded,
            _ => Tries::One,
        };
        match exchange(&route.provider, &route.endpoint, refresh, tries, self.clock) {
            Ok((tokens, tries)) => {
                let brought = Brought {
                    agent: agent.name.clone(),
                    profile: id.clone(),
                    endpoint: route.endpoint,
                    tokens,
                };
                self.keep_tokens(
                    (renewer, agent, &holders),
                    rescue,
                    &begun,
                    (&brought, tries),
                )?;
                Ok(Some(Renewal::Renewed(
                    self.export_all(renewer, agent, mode, &holders),
                )))
            }
            Err(refused) => {
                let not = |why| Ok(Some(Renewal::Not(why)));
                drop(rescue);
                // A store that cannot be read now has nothing to tell; the refusal is recorded all the same.
                let is_elsewhere = refused.refusal.class == FailureClass::Dead
                    && self
                        .is_exchanged_elsewhere(renewer, agent, mode, id, (grant, &holders))
                        .unwrap_or(false);
                let until = self.keep_failure(&agent.name, id, &begun, &refused, is_elsewhere)?;
                if is_elsewhere {
                    return Ok(None);
                }
                if refused.refusal.class == FailureClass::Dead {
                    return not(NotRenewed::Dead);
                }
                not(until.map_or(NotRenewed::Refused(refused), NotRenewed::Limited))
            }
        }
    }

    /// Every profile that holds a grant, of whichever agent.
    fn holders(&self, grant: Fingerprint) -> Result<Vec<Holder>, SyncError> {
        let mut holders = Vec::new();
        let mut agents = self.vault.agents()?;
        agents.sort();
        for agent in agents {
            let state = self.vault.agent(&agent)?;
            for (id, credential) in state.doc.credentials() {
                let refresh = credential.expose_refresh();
                if refresh.is_some_and(|refresh| self.vault.fingerprint(refresh) == grant) {
                    if state.damage.frame {
                        return Err(unopened(&state.unopened)); // it could not have what comes
                    }
                    holders.push(Holder {
                        agent: agent.clone(),
                        profile: ProfileId::new(id),
                    });
                }
            }
        }
        Ok(holders)
    }

    /// Takes the locks of every store that carries the grant, in the order of their paths: two who want the same ones do not
    /// wait for each other.
    fn hold_stores(
        &mut self,
        renewer: &Renewer<'_>,
        agent: &AgentRef,
        holders: &[Holder],
    ) -> Result<(), SyncError> {
        let mut places = vec![StorePlace::of_agent(&agent.dir)?];
        for other in sharing(renewer.agents, holders, agent) {
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
            let mut lock = StoreLock::acquire(&self.lock_dir, place, renewer.patience)?;
            lock.lock_store(place, &Examined::default())?;
            self.held.put(place, lock);
        }
        Ok(())
    }

    /// Commits that the grant's token is about to be sent. Nothing if the profile does not hold it any more.
    fn begin_refresh(
        &mut self,
        agent: &AgentName,
        id: &ProfileId,
        grant: Fingerprint,
        endpoint: &Endpoint,
    ) -> Result<Option<Begun>, SyncError> {
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        let Some((entry, _)) = tx.credential(agent, id)? else {
            return Ok(None);
        };
        let credential = Credential::of(entry.expose_secret());
        let refresh = credential.expose_refresh();
        if refresh.is_none_or(|refresh| tx.fingerprint(refresh) != grant) {
            return Ok(None);
        }
        let known = tx.grant(grant)?;
        if matches!(
            known.state,
            GrantState::Dead | GrantState::Spent | GrantState::Borrowed
        ) {
            return Ok(None);
        }
        let fence = known.fence.saturating_add(1);
        let started = Grant {
            state: GrantState::Started,
            fence,
            ..Grant::default()
        };
        tx.set_grant(grant, &started)?;
        let mut event = event(EventKind::RefreshStarted, id, &credential, grant, fence)
            .detail("endpoint", endpoint.origin.as_str());
        if known.state != GrantState::Free {
            event = event.detail("was", known.state.as_str());
        }
        let access = credential
            .expose_secret()
            .map(|access| tx.fingerprint(access));
        event.token = (None, access);
        event.expires = (None, credential.expiry());
        tx.append(Some(agent), event)?;
        tx.commit()?;
        Ok(Some(Begun {
            grant,
            fence,
            before: known.state,
        }))
    }

    /// Writes the stores of everybody who holds the new token; those that could not be written.
    fn export_all(
        &mut self,
        renewer: &Renewer<'_>,
        agent: &AgentRef,
        mode: SyncMode,
        holders: &[Holder],
    ) -> Vec<FileError> {
        let mut not_written = Vec::new();
        let others = sharing(renewer.agents, holders, agent).map(|other| (other, SyncMode::Off));
        for (agent, mode) in [(agent, mode)].into_iter().chain(others) {
            match self.load_framed(agent, mode) {
                Ok(loaded) => not_written.extend(loaded.not_written.or(loaded.not_removed)),
                Err(SyncError::File(error)) => not_written.push(error),
                Err(_) => {} // the vault has it, and the next load of that agent says what is wrong there
            }
        }
        not_written
    }

    /// Whether another program has exchanged the token: then it is in the source or in a store.
    fn is_exchanged_elsewhere(
        &mut self,
        renewer: &Renewer<'_>,
        agent: &AgentRef,
        mode: SyncMode,
        id: &ProfileId,
        (grant, holders): (Fingerprint, &[Holder]),
    ) -> Result<bool, SyncError> {
        for other in sharing(renewer.agents, holders, agent) {
            self.load_framed(other, SyncMode::Off)?;
        }
        let loaded = self.load_framed(agent, mode)?;
        let credential = loaded.doc.credential(id.as_str());
        let refresh = credential.and_then(|credential| credential.expose_refresh());
        Ok(refresh.is_some_and(|refresh| self.vault.fingerprint(refresh) != grant))
    }
}

/// Whether less than so many milliseconds are left of a login; one of which it is not known when it ends has none left.
#[must_use]
pub fn is_due(credential: &Credential<'_>, now: UnixMs, less_than_ms: i64) -> bool {
    if credential.kind != CredentialType::OAuth || credential.never_expires() {
        return false;
    }
    let ends = credential.expiry().filter(|ends| ends.ms() > 0.0);
    ends.is_none_or(|ends| {
        let needed = UnixMs(now.0.saturating_add(less_than_ms.max(1)));
        ends.ms() < needed.as_f64()
    })
}

/// The other agents that hold the grant.
fn sharing<'a>(
    agents: &'a [AgentRef],
    holders: &'a [Holder],
    agent: &'a AgentRef,
) -> impl Iterator<Item = &'a AgentRef> {
    agents.iter().filter(move |other| {
        other.name != agent.name && holders.iter().any(|holder| holder.agent == other.name)
    })
}

fn unopened(rows: &[String]) -> SyncError {
    let row = rows.first().cloned().unwrap_or_default();
    SyncError::Unopened { row }
}

fn event(
    kind: EventKind,
    id: &ProfileId,
    credential: &Credential<'_>,
    grant: Fingerprint,
    fence: i64,
) -> EventDraft {
    EventDraft::new(kind, Origin::Clawkeep)
        .profile(id, &normalize_provider(credential.provider))
        .detail("grant", grant.to_string())
        .detail("fence", fence)
}
