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
//! marked uncertain. Who finds an uncertain one may send it once more.
//!
//! Source: `spec/oauth.md`, One refresh.

use std::thread;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::engine::{Engine, Loaded, SyncMode};
use super::error::SyncError;
use super::notice::Notice;
use super::store_lock::StoreLock;
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::config::AgentRef;
use crate::domain::{
    AgentName, Credential, CredentialType, Endpoint, Fingerprint, Owner, ProfileId, ProviderId,
    SecretJson, StoreDoc, UnixMs, json_number, normalize_provider,
};
use crate::export::{StorePlace, render};
use crate::oauth::{
    Brought, FailureClass, Lease, Provider, ProviderFault, Providers, Refused, Rescue, Tokens,
    Tries, exchange, grants_with_files,
};
use crate::platform::{FileError, LockError};
use crate::vault::{AgentState, ChangeNote, Grant, GrantState, Tx};

/// A login of which less is left is refreshed before it is handed out, in milliseconds. Source: `spec/oauth.md`, One refresh.
pub const DUE_BELOW_MS: i64 = 60_000;
/// How long to wait for another process's refresh. Source: `spec/oauth.md`, One refresh.
const LEASE_WAIT: Duration = Duration::from_secs(90);
/// How often the lease is tried, and looked whether its holder has committed.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a refresh begins again since another program exchanged the token meanwhile.
const ROUNDS_MAX: usize = 8;
/// How often committing what came is tried, and how long between.
const COMMITS: u32 = 4;
const COMMIT_PAUSE: Duration = Duration::from_millis(250);

/// What a refresh works with.
#[derive(Clone, Copy, Debug)]
pub struct Renewer<'r> {
    /// Where tokens are sent to.
    pub providers: &'r Providers,
    /// Every agent whose store may carry the same login.
    pub agents: &'r [AgentRef],
    /// How long to wait for another process's refresh of it.
    pub patience: Duration,
}

impl<'r> Renewer<'r> {
    /// With the usual patience: 90 s.
    #[must_use]
    pub fn new(providers: &'r Providers, agents: &'r [AgentRef]) -> Self {
        Self {
            providers,
            agents,
            patience: LEASE_WAIT,
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

/// What came of it.
#[derive(Debug)]
pub enum Renewal {
    /// It lasts, or another process has refreshed it meanwhile.
    Lasts,
    /// It was refreshed. The stores that could not be written, and why: the vault has everything.
    Renewed(Vec<FileError>),
    /// It was not.
    Not(NotRenewed),
}

/// Why a login is not refreshed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotRenewed {
    /// There is no such profile.
    Missing,
    /// It has no refresh token.
    NoRefreshToken,
    /// Another program's, who refreshes it itself.
    Borrowed(Owner),
    /// Its provider has no entry: it cannot be refreshed here.
    NoProvider(ProviderId),
    /// Nobody says which client it was given to.
    NoClient(ProviderId),
    /// Its provider's entry makes no sense.
    BadProvider(ProviderFault),
    /// Its tokens would go elsewhere, or come from another client, than it is pinned to.
    EndpointChanged {
        /// What it is pinned to.
        pinned: Endpoint,
        /// What the provider's entry says now.
        now: Endpoint,
    },
    /// Its provider refuses it for good.
    Dead,
    /// Its refresh token was replaced by another one.
    Spent,
    /// Its provider does not want to be asked before.
    Limited(UnixMs),
    /// It was tried now.
    Refused(Refused),
}

impl NotRenewed {
    /// The name in the record, where a credential was passed over for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NoRefreshToken => "no-refresh-token",
            Self::Borrowed(_) => "borrowed",
            Self::NoProvider(_) | Self::NoClient(_) => "no-provider",
            Self::BadProvider(_) => "bad-provider",
            Self::EndpointChanged { .. } => "endpoint-changed",
            Self::Dead => "dead",
            Self::Spent => "spent",
            Self::Limited(_) => "limited",
            Self::Refused(refused) => refused.refusal.class.as_str(),
        }
    }
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
        let mut rounds = 0;
        while rounds < ROUNDS_MAX {
            let loaded = match self.load_whole(agent, mode) {
                // Who refreshes holds the stores' locks meanwhile.
                Err(SyncError::Lock(LockError::Busy { .. })) if Instant::now() < deadline => {
                    continue;
                }
                loaded => loaded?,
            };
            let (grant, _) = match self.due(&loaded.doc, id, when, &mut seen) {
                Ok(due) => due,
                Err(renewal) => return Ok(renewal),
            };
            let Some(lease) = self.wait_for_lease(grant, id, deadline)? else {
                continue; // somebody has committed something: look again
            };
            rounds += 1;
            let renewal = self.renew_leased(renewer, agent, mode, id, (grant, when), &mut seen);
            self.held.release();
            self.give_up(lease, grant);
            if let Some(renewal) = renewal? {
                return Ok(renewal);
            }
        }
        Err(SyncError::Contended {
            path: agent.store_file(),
        })
    }

    fn load_whole(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Loaded, SyncError> {
        let mut loaded = self.load(agent, mode)?;
        if let Some(row) = loaded.unopened.first() {
            return Err(SyncError::Unopened { row: row.clone() });
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
        let lasts = match when {
            When::LessLeftThan(ms) => is_usable && !is_due(&credential, self.clock.now(), ms),
            When::Now => first != access && is_usable && !is_due(&credential, self.clock.now(), 0),
        };
        if lasts {
            return Err(Renewal::Lasts);
        }
        let refresh = credential
            .expose_refresh()
            .filter(|_| !credential.is_marker());
        let Some(refresh) = refresh else {
            return not(NotRenewed::NoRefreshToken);
        };
        if let Some(owner) = self.borrowed(id, &credential) {
            return not(NotRenewed::Borrowed(owner));
        }
        Ok((self.vault.fingerprint(refresh), refresh))
    }

    /// Whose login it is, if another program refreshes it.
    fn borrowed(&self, id: &ProfileId, credential: &Credential<'_>) -> Option<Owner> {
        match Owner::of(id.as_str()) {
            Owner::Vault => self.sources.owner_of(credential),
            owner => Some(owner),
        }
    }

    /// The lease on a grant; nothing once another process has committed something while this one waited.
    fn wait_for_lease(
        &self,
        grant: Fingerprint,
        id: &ProfileId,
        deadline: Instant,
    ) -> Result<Option<Lease>, SyncError> {
        let version = self.vault.data_version()?;
        loop {
            if let Some(lease) = Lease::try_take(&self.lock_dir, grant)? {
                return Ok(Some(lease));
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
    fn give_up(&self, lease: Lease, grant: Fingerprint) {
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
        (grant, when): (Fingerprint, When),
        seen: &mut Option<Fingerprint>,
    ) -> Result<Option<Renewal>, SyncError> {
        self.end_interrupted(grant)?;
        let holders = self.holders(grant)?;
        self.hold_stores(renewer, agent, &holders)?;
        // A gateway may have exchanged it; if so, its token is in one of the stores.
        for other in sharing(renewer.agents, &holders, agent) {
            self.load_whole(other, SyncMode::Off)?;
        }
        let loaded = self.load_whole(agent, mode)?;
        let refresh = match self.due(&loaded.doc, id, when, seen) {
            Ok((now, _)) if now != grant => return Ok(None),
            Ok((_, refresh)) => refresh,
            Err(renewal) => return Ok(Some(renewal)),
        };
        let not = |why| Ok(Some(Renewal::Not(why)));
        let holders = self.holders(grant)?;
        if let Some(holder) = holders
            .iter()
            .find(|holder| Owner::of(holder.profile.as_str()) != Owner::Vault)
        {
            return not(NotRenewed::Borrowed(Owner::of(holder.profile.as_str())));
        }
        let known = self.vault.grant(grant)?;
        match known.state {
            GrantState::Dead => return not(NotRenewed::Dead),
            GrantState::Spent => return not(NotRenewed::Spent),
            GrantState::Free | GrantState::Started | GrantState::Uncertain => {}
        }
        if let Some(until) = known.not_before.filter(|at| *at > self.clock.now()) {
            return not(NotRenewed::Limited(until));
        }
        let route = match self.route(renewer.providers, &agent.name, id, &loaded.doc)? {
            Ok(route) => route,
            Err(why) => return not(why),
        };
        self.sweep(grant)?;
        let rescue = Rescue::prepare(&self.lock_dir, grant)?;
        let Some(begun) = self.begin_refresh(&agent.name, id, grant, &route.endpoint)? else {
            return Ok(None); // changed by another path since it was loaded
        };
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
                drop(rescue);
                let is_elsewhere = refused.refusal.class == FailureClass::Dead
                    && self.is_exchanged_elsewhere(renewer, agent, mode, id, (grant, &holders))?;
                self.record_failure(&agent.name, id, &begun, &refused, is_elsewhere)?;
                if is_elsewhere {
                    return Ok(None);
                }
                if refused.refusal.class == FailureClass::Dead {
                    return not(NotRenewed::Dead);
                }
                not(NotRenewed::Refused(refused))
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
            if !state.unopened.is_empty() {
                continue; // nothing of it is written until that is mended
            }
            for (id, credential) in state.doc.credentials() {
                let refresh = credential.expose_refresh();
                if refresh.is_some_and(|refresh| self.vault.fingerprint(refresh) == grant) {
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
                places.push(StorePlace::of_file(&path));
            }
        }
        places.sort_by(|a, b| a.real().cmp(b.real()));
        places.dedup_by(|a, b| a.real() == b.real());
        for place in &places {
            let mut lock = StoreLock::acquire(&self.lock_dir, place, renewer.patience)?;
            lock.lock_store(place)?;
            self.held.put(place, lock);
        }
        Ok(())
    }

    /// Where the login's tokens go to, if they may.
    fn route(
        &self,
        providers: &Providers,
        agent: &AgentName,
        id: &ProfileId,
        doc: &StoreDoc,
    ) -> Result<Result<Route, NotRenewed>, SyncError> {
        let Some(credential) = doc.credential(id.as_str()) else {
            return Ok(Err(NotRenewed::Missing));
        };
        let pinned = self.vault.agent(agent)?.pins.remove(id.as_str());
        Ok(route(providers, &credential, pinned.as_ref()))
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
        if matches!(known.state, GrantState::Dead | GrantState::Spent) {
            return Ok(None);
        }
        let fence = known.fence + 1;
        tx.set_grant(
            grant,
            Grant {
                state: GrantState::Started,
                fence,
                not_before: None,
            },
        )?;
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

    /// Brings what came into the vault. It is kept in the rescue file until it is there.
    fn keep_tokens(
        &mut self,
        (renewer, agent, holders): (&Renewer<'_>, &AgentRef, &[Holder]),
        mut rescue: Rescue,
        begun: &Begun,
        (brought, tries): (&Brought, u32),
    ) -> Result<(), SyncError> {
        let mut kept = rescue.keep(self.vault, begun.grant, begun.fence, brought);
        // A login that came into a store meanwhile is the newer one. A store that cannot be read now is no reason to lose the tokens.
        for agent in sharing(renewer.agents, holders, agent).chain([agent]) {
            let _ = self.load_whole(agent, SyncMode::Off);
        }
        let mut attempt = 1;
        let error = loop {
            match self.commit_tokens(begun, brought, Some(tries)) {
                Ok(()) => {
                    // One that stays is of a refresh that has ended, and is not taken in.
                    let _ = Rescue::remove(&self.lock_dir, begun.grant);
                    return Ok(());
                }
                Err(error) if attempt == COMMITS => break error,
                Err(_) => thread::sleep(COMMIT_PAUSE),
            }
            attempt += 1;
        };
        if kept.is_err() {
            kept = rescue.keep(self.vault, begun.grant, begun.fence, brought);
        }
        let profile = brought.profile.clone();
        Err(match kept {
            Ok(()) => SyncError::Rescued {
                profile,
                path: rescue.path().to_owned(),
                source: Box::new(error),
            },
            Err(_) => SyncError::TokensLost {
                profile,
                source: Box::new(error),
            },
        })
    }

    /// Commits new tokens for every profile that holds the grant, if this refresh is still the last that was begun. A credential that
    /// a login or import has put in its place meanwhile stays; what came is kept as a version then.
    fn commit_tokens(
        &mut self,
        begun: &Begun,
        brought: &Brought,
        tries: Option<u32>,
    ) -> Result<(), SyncError> {
        let Begun { grant, fence, .. } = *begun;
        let Brought {
            agent,
            profile: id,
            endpoint,
            tokens,
        } = brought;
        // Asked again within the transaction, of those and of the one it was done for.
        let mut holders = self.holders(grant)?;
        holders.sort_by_key(|holder| (&holder.agent, &holder.profile) != (agent, id));
        let mut before: Vec<(AgentName, AgentState)> = Vec::new();
        for agent in holders.iter().map(|holder| &holder.agent).chain([agent]) {
            if before.iter().all(|(known, _)| known != agent) {
                before.push((agent.clone(), self.vault.agent(agent)?));
            }
        }
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        let known = tx.grant(grant)?;
        let is_ours = known.fence == fence && known.state == GrantState::Started;
        let next = tokens
            .refresh
            .as_ref()
            .map(|refresh| tx.fingerprint(refresh.expose_secret()))
            .filter(|next| *next != grant);
        let say = |note: ChangeNote| {
            let note = note
                .detail("grant", grant.to_string())
                .detail("fence", fence)
                .detail("endpoint", endpoint.origin.as_str());
            let note = match next {
                Some(next) => note.detail("next", next.to_string()),
                None => note,
            };
            match tries {
                Some(tries) => note.detail("tries", tries),
                None => note.detail("rescued", true),
            }
        };
        let mut was_said = false;
        for holder in holders.iter().filter(|_| is_ours) {
            let stored = tx.credential(&holder.agent, &holder.profile)?;
            let holds = |entry: &SecretJson| {
                let refresh = Credential::of(entry.expose_secret()).expose_refresh();
                refresh.is_some_and(|refresh| tx.fingerprint(refresh) == grant)
            };
            let Some((entry, _)) = stored.filter(|(entry, _)| holds(entry)) else {
                continue;
            };
            keep_snapshots(&mut tx, &before, &holder.agent)?;
            let renewed = renewed(&entry, tokens);
            let (agent, profile) = (&holder.agent, &holder.profile);
            let note = if was_said {
                ChangeNote::new(EventKind::ProfileUpdated, Origin::Clawkeep)
                    .detail("by", "refresh")
                    .detail("grant", grant.to_string())
            } else {
                say(ChangeNote::new(
                    EventKind::RefreshSucceeded,
                    Origin::Clawkeep,
                ))
            };
            was_said = true;
            match next {
                Some(_) => tx.put_renewed(agent, profile, renewed.expose_secret(), note, grant)?,
                None => tx.put_profile(agent, profile, renewed.expose_secret(), note)?,
            }
            let is_pinned = before
                .iter()
                .any(|(name, state)| name == agent && state.pins.contains_key(profile.as_str()));
            if !is_pinned {
                tx.pin_endpoint(agent, profile, endpoint)?;
            }
        }
        if !was_said {
            let note = say(ChangeNote::new(
                EventKind::RefreshSuperseded,
                Origin::Clawkeep,
            ));
            let stored = tx.credential(agent, id)?;
            let entry = stored.map_or_else(
                || json!({"type": "oauth"}),
                |(entry, _)| entry.expose_secret().clone(),
            );
            let entry = renewed(&SecretJson::new(entry), tokens);
            let mut event = EventDraft::new(note.kind, note.origin).outcome(Outcome::Skipped);
            event.detail = note.detail;
            keep_snapshots(&mut tx, &before, agent)?;
            tx.keep_beside(agent, id, entry.expose_secret(), event)?;
        }
        if let Some(next) = next {
            // A provider that gives a token out again has made it good again.
            let known = tx.grant(next)?;
            if known.state != GrantState::Free {
                let state = GrantState::Free;
                tx.set_grant(next, Grant { state, ..known })?;
            }
        }
        if is_ours {
            let state = if next.is_some() {
                GrantState::Spent
            } else {
                GrantState::Free
            };
            let not_before = None;
            tx.set_grant(
                grant,
                Grant {
                    state,
                    fence,
                    not_before,
                },
            )?;
        }
        Ok(tx.commit()?)
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
            match self.load_whole(agent, mode) {
                Ok(loaded) => not_written.extend(loaded.not_written),
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
            self.load_whole(other, SyncMode::Off)?;
        }
        let loaded = self.load_whole(agent, mode)?;
        let credential = loaded.doc.credential(id.as_str());
        let refresh = credential.and_then(|credential| credential.expose_refresh());
        Ok(refresh.is_some_and(|refresh| self.vault.fingerprint(refresh) != grant))
    }

    /// Records that a refresh brought nothing, and what follows for the grant.
    fn record_failure(
        &mut self,
        agent: &AgentName,
        id: &ProfileId,
        begun: &Begun,
        refused: &Refused,
        is_elsewhere: bool,
    ) -> Result<(), SyncError> {
        let refusal = &refused.refusal;
        let now = self.clock.now();
        let not_before = refusal
            .retry_after
            .filter(|_| refusal.class == FailureClass::Limited)
            .map(|after| {
                now.0
                    .saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX))
            })
            .map(UnixMs);
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        let known = tx.grant(begun.grant)?;
        let stored = tx.credential(agent, id)?;
        let provider = stored
            .as_ref()
            .map(|(entry, _)| Credential::of(entry.expose_secret()));
        let mut event = EventDraft::new(EventKind::RefreshFailed, Origin::Clawkeep)
            .outcome(Outcome::Failed)
            .profile(
                id,
                &provider.map_or_else(String::new, |credential| {
                    normalize_provider(credential.provider)
                }),
            )
            .detail("class", refusal.class.as_str())
            .detail("grant", begun.grant.to_string())
            .detail("fence", begun.fence)
            .detail("tries", refused.tries);
        if let Some(code) = refusal.code {
            event = event.detail("error", code);
        }
        if let Some(status) = refusal.status {
            event = event.detail("status", status);
        }
        if let Some(at) = not_before {
            event = event.detail("until", at.0);
        }
        if is_elsewhere {
            event = event.detail("exchanged", "elsewhere");
        }
        tx.append(Some(agent), event)?;
        if known.fence == begun.fence {
            let state = match (refusal.class, begun.before) {
                (FailureClass::Dead, _) => GrantState::Dead,
                (FailureClass::Uncertain, _) => GrantState::Uncertain,
                // What may have been spent before may be so still.
                (_, GrantState::Uncertain | GrantState::Started) => GrantState::Uncertain,
                _ => GrantState::Free,
            };
            let fence = known.fence;
            tx.set_grant(
                begun.grant,
                Grant {
                    state,
                    fence,
                    not_before,
                },
            )?;
        }
        Ok(tx.commit()?)
    }

    /// Sees to refreshes that were begun and whose process is gone: their leases are free. That this cannot be done now is no reason
    /// not to answer: what they brought stays where it is.
    pub(super) fn see_to_interrupted(&mut self) -> Result<(), SyncError> {
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

    /// Removes what killed refreshes of other grants left: files of which nothing is to be taken in any more.
    fn sweep(&self, own: Fingerprint) -> Result<(), SyncError> {
        for grant in grants_with_files(&self.lock_dir)? {
            if grant == own {
                continue;
            }
            // Who has the lease may have made room for an answer, and not yet begun.
            let Some(lease) = Lease::try_take(&self.lock_dir, grant)? else {
                continue;
            };
            if self.vault.grant(grant)?.state != GrantState::Started {
                Rescue::remove(&self.lock_dir, grant)?;
            }
            self.give_up(lease, grant);
        }
        Ok(())
    }

    /// Under the lease: takes in what a refresh that was cut off has brought, or marks its grant uncertain.
    fn end_interrupted(&mut self, grant: Fingerprint) -> Result<(), SyncError> {
        let known = self.vault.grant(grant)?;
        if known.state != GrantState::Started {
            return Ok(());
        }
        let fence = known.fence;
        let holders = self.holders(grant)?;
        let first = holders.first();
        if let Some(brought) = Rescue::read(&self.lock_dir, self.vault, grant, fence)? {
            let begun = Begun {
                grant,
                fence,
                before: known.state,
            };
            self.commit_tokens(&begun, &brought, None)?;
            let profile = brought.profile;
            self.told.push(Notice::RefreshRescued { profile });
        } else {
            let mut tx = self.vault.begin(self.actor, self.clock)?;
            let known = tx.grant(grant)?;
            if known.state != GrantState::Started || known.fence != fence {
                return Ok(());
            }
            let state = GrantState::Uncertain;
            tx.set_grant(grant, Grant { state, ..known })?;
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
        }
        Ok(Rescue::remove(&self.lock_dir, grant)?)
    }
}

/// Stores that say what the agent has until now get a snapshot of that, before it is changed.
fn keep_snapshots(
    tx: &mut Tx<'_>,
    before: &[(AgentName, AgentState)],
    agent: &AgentName,
) -> Result<(), SyncError> {
    if let Some((_, state)) = before.iter().find(|(known, _)| known == agent)
        && tx.revision(agent)? == state.revision
    {
        tx.keep_snapshots(agent, None, || render(&state.doc))?;
    }
    Ok(())
}

/// Whether less than so many milliseconds are left of a login; one of which it is not known when it ends has none left.
#[must_use]
pub fn is_due(credential: &Credential<'_>, now: UnixMs, less_than_ms: i64) -> bool {
    if credential.kind != CredentialType::OAuth {
        return false;
    }
    let ends = credential.expiry().filter(|ends| ends.ms() > 0.0);
    ends.is_none_or(|ends| {
        let needed = UnixMs(now.0.saturating_add(less_than_ms.max(1)));
        ends.ms() < needed.as_f64()
    })
}

/// Where a login's tokens go to, if they may. `pinned` is what it was given out by.
fn route(
    providers: &Providers,
    credential: &Credential<'_>,
    pinned: Option<&Endpoint>,
) -> Result<Route, NotRenewed> {
    let id = ProviderId::new(credential.provider);
    let provider = providers.get(&id).map_err(NotRenewed::BadProvider)?;
    let provider = provider.ok_or_else(|| NotRenewed::NoProvider(id.clone()))?;
    let now = provider
        .endpoint(credential.client_id())
        .ok_or(NotRenewed::NoClient(id))?;
    match pinned {
        Some(pinned) if *pinned != now => Err(NotRenewed::EndpointChanged {
            pinned: pinned.clone(),
            now,
        }),
        _ => Ok(Route {
            provider,
            endpoint: now,
        }),
    }
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

/// An entry with new tokens in it; everything else of it stays.
fn renewed(entry: &SecretJson, tokens: &Tokens) -> SecretJson {
    let mut entry = entry.expose_secret().clone();
    if let Value::Object(fields) = &mut entry {
        let text = |token: &secrecy::SecretString| Value::from(token.expose_secret());
        fields.insert("access".to_owned(), text(&tokens.access));
        if let Some(refresh) = &tokens.refresh {
            fields.insert("refresh".to_owned(), text(refresh));
        }
        fields.insert("expires".to_owned(), json_number(tokens.expires.ms()));
        if let Some(id_token) = &tokens.id_token
            && fields.contains_key("idToken")
        {
            fields.insert("idToken".to_owned(), text(id_token));
        }
    }
    SecretJson::new(entry)
}
