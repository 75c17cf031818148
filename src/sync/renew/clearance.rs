//! Whether a refresh token may be sent, and where to.

use super::{Asked, Holder, LEFT_ALONE_MAX_MS, NotRenewed, Renewer, Route, When, sharing};
use crate::audit::{EventKind, Origin};
use crate::config::AgentRef;
use crate::domain::{
    Credential, Endpoint, Fingerprint, Owner, ProfileId, ProviderId, SecretJson, Section, StoreDoc,
    normalize_provider,
};
use crate::export::{StorePlace, StoreReading, render};
use crate::oauth::{FailureClass, Providers, is_answer_unopened};
use crate::platform::FileError;
use crate::platform::openclaw::live_json_stores;
use crate::sync::engine::Engine;
use crate::sync::error::SyncError;
use crate::sync::shared::with_tokens_of;
use crate::sync::sources::once_written;
use crate::vault::{ChangeNote, GrantState};

/// What comes of asking.
pub(super) enum Clearance {
    /// It may, there.
    Given(Box<Route>),
    /// It may not.
    Refused(NotRenewed),
    /// What took the token's place was just put in: there may be nothing to send.
    LookAgain,
}

impl Engine<'_> {
    /// Whether the grant's token may be sent. The caller has its lease, and has merged what the stores say.
    pub(super) fn clearance(
        &mut self,
        (renewer, agent): (&Renewer<'_>, &AgentRef),
        id: &ProfileId,
        Asked { grant, when, since }: Asked,
        (doc, holders): (&StoreDoc, &[Holder]),
    ) -> Result<Clearance, SyncError> {
        let refused = |why| Ok(Clearance::Refused(why));
        if let Some(holder) = holders
            .iter()
            .find(|holder| Owner::of(holder.profile.as_str()) != Owner::Vault)
        {
            return refused(NotRenewed::Borrowed(Owner::of(holder.profile.as_str())));
        }
        if self.has_newer_gateway(renewer, agent, holders)? {
            return refused(NotRenewed::NewerGateway);
        }
        match self.is_in_openclaws_store(grant) {
            Ok(false) => {}
            Ok(true) => return refused(NotRenewed::NewerGateway),
            Err(why) => return refused(NotRenewed::GatewayUnknown(why)),
        }
        let known = self.vault.grant(grant)?;
        match known.state {
            GrantState::Dead if is_answer_unopened(&known) => {
                return refused(NotRenewed::AnswerUnopened);
            }
            GrantState::Dead => return refused(NotRenewed::Dead),
            GrantState::Spent if self.follow(holders, grant)? => return Ok(Clearance::LookAgain),
            GrantState::Spent => return refused(NotRenewed::Spent),
            GrantState::Borrowed => {
                let credential = doc.credential(id.as_str());
                let provider = credential
                    .as_ref()
                    .map(|credential| normalize_provider(credential.provider));
                // Imported as another program's under another id.
                let imported = self.vault.agent(&agent.name)?.borrowed;
                let imported = imported.iter().find(|(id, _)| {
                    let other = doc.credential(id);
                    other.map(|other| normalize_provider(other.provider)) == provider
                });
                let owner = match (imported, credential) {
                    (Some((_, from)), _) => from.owner,
                    (None, Some(credential)) => borrowed_of(&credential),
                    (None, None) => Owner::OtherProgram,
                };
                return refused(NotRenewed::Borrowed(owner));
            }
            GrantState::Free | GrantState::Started | GrantState::Uncertain => {}
        }
        // Who held the lease has tried in our place.
        let failed = known.failed.as_deref().and_then(FailureClass::from_name);
        if let Some(class) = failed.filter(|_| since.is_some_and(|since| known.fence > since)) {
            return refused(NotRenewed::FailedJustNow(class));
        }
        let now = self.clock.now();
        // One that is further ahead than any that is set was set while the clock was wrong.
        let until = known
            .not_before
            .filter(|at| (now.0..=now.0.saturating_add(LEFT_ALONE_MAX_MS)).contains(&at.0));
        if let Some(until) = until.filter(|_| when != When::Now) {
            return refused(NotRenewed::Limited(until));
        }
        Ok(match self.route(renewer.providers, id, doc, holders)? {
            Ok(route) => Clearance::Given(Box::new(route)),
            Err(why) => Clearance::Refused(why),
        })
    }

    /// Where the login's tokens go to, if they may: every profile that holds the grant must have come from there.
    fn route(
        &self,
        providers: &Providers,
        id: &ProfileId,
        doc: &StoreDoc,
        holders: &[Holder],
    ) -> Result<Result<Route, NotRenewed>, SyncError> {
        let Some(credential) = doc.credential(id.as_str()) else {
            return Ok(Err(NotRenewed::Missing));
        };
        let mut pinned = Vec::new();
        for holder in holders {
            let mut state = self.vault.agent(&holder.agent)?;
            pinned.extend(state.pins.remove(holder.profile.as_str()));
        }
        Ok(route(providers, &credential, &pinned))
    }

    /// Whether an OpenClaw of the JSON era has the login in its live store, which stays its own
    /// wherever the vault's copy came from. The error is a clause: why that cannot be known.
    fn is_in_openclaws_store(&self, grant: Fingerprint) -> Result<bool, String> {
        for path in live_json_stores().map_err(|error| with_cause(&error))? {
            let is_unfinished = |reading: &Result<StoreReading, FileError>| {
                matches!(reading, Ok(StoreReading::Damaged { .. }))
            };
            let reading = once_written(&path, is_unfinished, || {
                StorePlace::of_file(&path).and_then(|place| place.read())
            });
            let doc = match reading {
                Ok(StoreReading::Parsed { doc, .. }) => doc,
                Ok(StoreReading::Missing) => continue,
                Ok(StoreReading::Damaged { fault, .. }) => {
                    return Err(format!(
                        "its store {} cannot be read: {fault}",
                        path.display()
                    ));
                }
                Ok(StoreReading::Known { .. }) => {
                    return Err(format!("its store {} was not read", path.display()));
                }
                Err(error) => return Err(with_cause(&error)),
            };
            let has_it = doc.credentials().any(|(_, credential)| {
                let refresh = credential.expose_refresh();
                refresh.is_some_and(|refresh| self.vault.fingerprint(refresh) == grant)
            });
            if has_it {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a newer gateway has the login in a store of its own, which would be left with a
    /// spent token.
    fn has_newer_gateway(
        &self,
        renewer: &Renewer<'_>,
        agent: &AgentRef,
        holders: &[Holder],
    ) -> Result<bool, SyncError> {
        for agent in sharing(renewer.agents, holders, agent).chain([agent]) {
            if StorePlace::of_agent(&agent.dir)?.is_openclaws() {
                return Ok(true);
            }
        }
        let is_known = |holder: &&Holder| {
            let mut agents = renewer.agents.iter().chain([agent]);
            agents.any(|agent| agent.name == holder.agent)
        };
        // Those of agents that are known by their store alone.
        for holder in holders.iter().filter(|holder| !is_known(holder)) {
            for path in self.vault.written_stores(&holder.agent)? {
                if StorePlace::of_file(&path)?.is_openclaws() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Gives the holders of a spent grant what took its place, if somebody has that.
    fn follow(&mut self, holders: &[Holder], grant: Fingerprint) -> Result<bool, SyncError> {
        let mut found = false;
        for holder in holders {
            let state = self.vault.agent(&holder.agent)?;
            let entry = state.doc.get(Section::Profiles, holder.profile.as_str());
            let Some(entry) = entry.cloned().map(SecretJson::new) else {
                continue;
            };
            let Some(other) = self.holder_of_successor(grant, &entry)? else {
                continue;
            };
            let note = ChangeNote::new(EventKind::ProfileUpdated, Origin::Clawkeep)
                .detail("by", "shared")
                .detail("grant", grant.to_string());
            let mut tx = self.vault.begin(self.actor, self.clock)?;
            if tx.revision(&holder.agent)? != state.revision {
                continue; // changed just now: looked at again
            }
            tx.keep_snapshots(&holder.agent, None, || render(&state.doc))?;
            let entry = with_tokens_of(&entry, &other);
            let (agent, profile) = (&holder.agent, &holder.profile);
            tx.put_refreshed(agent, profile, entry.expose_secret(), note, grant)?;
            tx.commit()?;
            found = true;
        }
        Ok(found)
    }
}

/// What a file could not be used for, with what the system said.
fn with_cause(error: &FileError) -> String {
    match std::error::Error::source(error) {
        Some(why) => format!("{error}: {why}"),
        None => error.to_string(),
    }
}

/// Where a login's tokens go to, if they may. `pinned` is what it was given out by.
fn route(
    providers: &Providers,
    credential: &Credential<'_>,
    pinned: &[Endpoint],
) -> Result<Route, NotRenewed> {
    let id = ProviderId::new(credential.provider);
    let provider = providers.get(&id).map_err(NotRenewed::BadProvider)?;
    let provider = provider.ok_or_else(|| NotRenewed::NoProvider(id.clone()))?;
    let now = provider
        .endpoint(credential.client_id())
        .ok_or(NotRenewed::NoClient(id))?;
    match pinned.iter().find(|pinned| **pinned != now) {
        Some(pinned) => Err(NotRenewed::EndpointChanged {
            pinned: pinned.clone(),
            now,
        }),
        None => Ok(Route {
            provider,
            endpoint: now,
        }),
    }
}

/// The program whose login of that provider is borrowed.
fn borrowed_of(credential: &Credential<'_>) -> Owner {
    match normalize_provider(credential.provider).as_str() {
        "anthropic" => Owner::ClaudeCode,
        "openai-codex" => Owner::CodexCli,
        _ => Owner::OtherProgram,
    }
}
