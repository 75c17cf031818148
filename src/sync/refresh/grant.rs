//! A grant, that is what a refresh token stands for: who holds it, and what a refresh of it needs.

use std::any::Any;
use std::time::Duration;

use crate::audit::{EventDraft, EventKind, Origin};
use crate::config::AgentRef;
use crate::domain::{
    AgentName, Credential, Endpoint, Fingerprint, ProfileId, debug_as, normalize_provider,
};
use crate::oauth::{Lease, Provider, Providers};
use crate::sync::context::LoadContext;
use crate::sync::error::SyncError;
use crate::vault::{Grant, GrantState, UnlockedVault};

/// A login with less lifetime left is refreshed before it is handed out, in milliseconds. Source:
/// `spec/oauth.md`, One refresh.
pub const DUE_BELOW_MS: i64 = 60_000;
/// How long to wait for another process's refresh. Source: `spec/oauth.md`, One refresh.
pub(crate) const LEASE_WAIT: Duration = Duration::from_secs(90);
/// The longest that a provider is left alone because it asked for that, in milliseconds: a day. One
/// that names a year is mistaken.
pub(crate) const LEFT_ALONE_MAX_MS: i64 = 24 * 3_600_000;

/// What a refresh needs beside the vault: providers, the agents that may share a login, and hooks.
#[derive(Clone, Copy)]
pub struct Refresher<'r> {
    /// The endpoints that tokens are sent to.
    pub providers: &'r Providers,
    /// Every agent that may carry the same login in its store.
    pub agents: &'r [AgentRef],
    /// How long to wait for another process's refresh of the login.
    pub patience: Duration,
    /// Holds off what would end the process while a token is on its way: called before one is sent,
    /// dropped once the answer is committed. Without it, a signal may cost the login.
    pub shield: Option<&'r dyn Fn() -> Box<dyn Any>>,
    /// Copies the head of the audit record elsewhere, once it is committed that a token is about to
    /// be sent: an older copy of the vault then cannot pass for the current one.
    pub keep_head: Option<&'r dyn Fn(&UnlockedVault)>,
}

debug_as!(Refresher<'_>, "Refresher({} agents, {:?})", it => it.agents.len(), it.patience);

impl<'r> Refresher<'r> {
    /// Makes one with the usual patience of 90 s.
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

/// Which logins a refresh is due for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Those with less lifetime left than that, in milliseconds.
    LessLeftThan(i64),
    /// All of them, unless another process refreshes one meanwhile.
    Now,
}

/// A profile that holds a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) agent: AgentName,
    pub(crate) profile: ProfileId,
}

pub(crate) struct Begun {
    pub(crate) grant: Fingerprint,
    pub(crate) fence: i64,
    /// The state of the grant before.
    pub(crate) before: GrantState,
}

/// Which refresh a caller wants of a grant.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) grant: Fingerprint,
    pub(crate) when: When,
    /// The fence before the refresh that was waited for, if one was.
    pub(crate) fence_before: Option<i64>,
}

/// Where a refresh token may be sent.
pub(crate) struct Route {
    pub(crate) provider: Provider,
    pub(crate) endpoint: Endpoint,
}

/// Finds the other agents that hold the grant.
pub(crate) fn sharing<'a>(
    agents: &'a [AgentRef],
    holders: &'a [Holder],
    agent: &'a AgentRef,
) -> impl Iterator<Item = &'a AgentRef> {
    agents.iter().filter(move |other| {
        other.name != agent.name && holders.iter().any(|holder| holder.agent == other.name)
    })
}

pub(crate) fn unopened(rows: &[String]) -> SyncError {
    let row = rows.first().cloned().unwrap_or_default();
    SyncError::Unopened { row }
}

/// Finds every profile that holds a grant, of any agent.
pub(crate) fn holders(vault: &UnlockedVault, grant: Fingerprint) -> Result<Vec<Holder>, SyncError> {
    let mut holders = Vec::new();
    let mut agents = vault.agents()?;
    agents.sort();
    for agent in agents {
        let state = vault.agent(&agent)?;
        for (id, credential) in state.doc.credentials() {
            let refresh = credential.expose_refresh();
            if refresh.is_some_and(|refresh| vault.fingerprint(refresh) == grant) {
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

/// Gives a lease up; its file is removed once the grant is of no use any more.
pub(crate) fn give_up(vault: &UnlockedVault, lease: Lease, grant: Fingerprint) {
    let state = vault.grant(grant).map(|grant| grant.state);
    if matches!(state, Ok(GrantState::Spent | GrantState::Dead)) {
        let _ = lease.forget(); // an empty file that stays is of no harm
    }
}

/// Commits that the token is about to be sent. `None` if the profile does not hold it any more.
pub(crate) fn begin_refresh(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentName,
    id: &ProfileId,
    grant: Fingerprint,
    endpoint: &Endpoint,
) -> Result<Option<Begun>, SyncError> {
    let mut tx = vault.begin(context.actor, context.clock)?;
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
    let mut event = refresh_event(EventKind::RefreshStarted, id, &credential, grant, fence)
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

pub(crate) fn refresh_event(
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
