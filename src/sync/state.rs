//! Reads how an agent's credentials stand: by their grants, their owners and the settings.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::logins::report::LoginReport;
use crate::audit::{EventKind, Filter, KindFilter, LastFailure, refresh_failure_reason};
use crate::domain::{
    AgentName, Borrowed, Credential, CredentialType, Endpoint, Owner, ProviderId, Span, StoreDoc,
    UnixMs, unavailability,
};
use crate::health::{AsOf, CredentialState, Loss, Outlook, RefreshedBy, Status};
use crate::oauth::{Providers, is_answer_unopened};
use crate::vault::{Grant, GrantState, StoredCredential, UnlockedVault, Vault, VaultError};

/// An access token that lasts no longer than this when it comes in is refreshed by its owner.
/// Claude Code's last eight hours, its long-lived ones a year.
const SHORT_LIVED: Span = Span::days(2);

/// How many failed refreshes of a profile are searched for the last one of a login.
const FAILURES_MAX: usize = 100;

/// Reads the states of one agent's credentials.
#[derive(Debug)]
pub struct StateReader<'r> {
    /// The vault; without it, nothing is known of grants and borrowed logins.
    pub vault: Option<&'r UnlockedVault>,
    /// The agent whose credentials are read.
    pub agent: &'r AgentName,
    /// The agent's store document.
    pub doc: &'r StoreDoc,
    /// The providers whose logins are refreshed here; `None` where the settings cannot be read.
    pub providers: Option<&'r Providers>,
    /// What became of other programs' logins; `None` where their sources were not read.
    pub logins: Option<&'r [LoginReport]>,
    /// The time of the verdicts, and their rules.
    pub as_of: AsOf,
    /// What the vault keeps of the agent's logins; empty until it is first asked for.
    pub kept: OnceCell<Kept>,
}

/// What the vault keeps of an agent's logins beside the store.
#[derive(Debug, Default)]
pub struct Kept {
    /// The endpoints that issued the logins, by profile.
    pins: BTreeMap<String, Endpoint>,
    /// The logins that were imported as another program's, by profile.
    borrowed: BTreeMap<String, Borrowed>,
}

impl<'r> StateReader<'r> {
    /// Returns how a credential of the document stands.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub fn read(
        &self,
        id: &str,
        credential: &Credential<'r>,
    ) -> Result<CredentialState<'r>, VaultError> {
        let mut state = CredentialState::of(credential, self.as_of);
        state.unavailability = unavailability(self.doc, id, self.as_of.now);
        let report = self.report(id);
        state.login_expires = report.and_then(|report| report.login_expires);
        match (Owner::of(id), credential.expose_refresh()) {
            // Another program refreshes it just now.
            _ if credential.is_marker() => state.refreshed_by = Some(RefreshedBy::Gateway),
            (Owner::Vault, Some(refresh)) => {
                let grant = self.grant(refresh)?;
                state.loss = loss_of(&grant);
                state.refreshed_by = Some(match grant.state {
                    GrantState::Borrowed => RefreshedBy::Gateway,
                    _ => (self.providers)
                        .map_or(RefreshedBy::Gateway, |all| refreshed_by(all, credential)),
                });
                if state.loss.is_none()
                    && state.refreshed_by == Some(RefreshedBy::Clawkeep)
                    && self.changed_endpoint(id, credential)?.is_some()
                {
                    state.loss = Some(Loss::Moved);
                }
            }
            (Owner::Vault, None) => {
                if let Outlook::Ends(_) = state.outlook()
                    && let Some(from) = self.borrowed(id)?
                {
                    state.refreshed_by = Some(RefreshedBy::Program(from.owner));
                }
            }
            (owner, refresh) => {
                let by = match report {
                    // A gateway put it there: clawkeep keeps no refresh token of Claude Code.
                    None if self.logins.is_some() && refresh.is_some() => {
                        Some(RefreshedBy::Gateway)
                    }
                    None if self.as_of.is_reference => None,
                    Some(report) if !report.may_be_current() => None,
                    _ => Some(RefreshedBy::Program(owner)),
                };
                if let Outlook::Ends(ends) = state.outlook()
                    && by.is_some()
                    && (refresh.is_some() || self.is_refreshed_by_owner(id, report, ends)?)
                {
                    state.refreshed_by = by;
                }
            }
        }
        Ok(state)
    }

    /// What became of the login that a profile mirrors.
    #[must_use]
    pub fn report(&self, id: &str) -> Option<&'r LoginReport> {
        let is_its = |report: &&LoginReport| {
            report.agent == *self.agent && report.profile == id && !report.is_elsewhere
        };
        self.logins?.iter().find(is_its)
    }

    /// Returns the owner of a login that was imported as borrowed.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub fn borrowed(&self, id: &str) -> Result<Option<&Borrowed>, VaultError> {
        Ok(self.kept()?.borrowed.get(id))
    }

    /// Returns the state of the grant behind a refresh token; free if nothing is known.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub fn grant(&self, refresh: &str) -> Result<Grant, VaultError> {
        self.vault.map_or(Ok(Grant::default()), |vault| {
            vault.grant(vault.fingerprint(refresh))
        })
    }

    /// Returns when and why the last refresh of a login failed; `None` if it did not fail.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub fn last_failure(
        &self,
        id: &str,
        credential: &Credential<'_>,
    ) -> Result<Option<LastFailure>, VaultError> {
        let (Some(vault), Some(refresh)) = (self.vault, credential.expose_refresh()) else {
            return Ok(None);
        };
        if self.grant(refresh)?.failed.is_none() {
            return Ok(None);
        }
        // Another agent may have the same login, and its refresh is this one's.
        let filter = Filter {
            profile: Some(id.to_owned()),
            kinds: vec![KindFilter::only(EventKind::RefreshFailed)],
            ..Filter::default()
        };
        let grant = vault.fingerprint(refresh).to_string();
        for event in vault.history(&filter)?.take(FAILURES_MAX) {
            let event = event?;
            let detail = event.detail.as_deref().unwrap_or_default();
            let detail: Value = serde_json::from_str(detail).unwrap_or_default();
            if detail["grant"] == grant.as_str() {
                return Ok(Some(LastFailure {
                    at: event.at,
                    reason: refresh_failure_reason(&event),
                }));
            }
        }
        Ok(None)
    }

    /// Returns the endpoint that a login's tokens belong to and the one that the settings name, if
    /// they differ.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub fn changed_endpoint(
        &self,
        id: &str,
        credential: &Credential<'_>,
    ) -> Result<Option<(&Endpoint, Endpoint)>, VaultError> {
        let Some(Ok(Some(now))) = self.providers.map(|all| endpoint(all, credential)) else {
            return Ok(None);
        };
        let pinned = self.kept()?.pins.get(id).filter(|pinned| **pinned != now);
        Ok(pinned.map(|pinned| (pinned, now)))
    }

    fn kept(&self) -> Result<&Kept, VaultError> {
        if let Some(kept) = self.kept.get() {
            return Ok(kept);
        }
        let kept = match self.vault {
            Some(vault) => {
                let state = vault.agent(self.agent)?;
                Kept {
                    pins: state.pins.into_iter().collect(),
                    borrowed: state.borrowed,
                }
            }
            None => Kept::default(),
        };
        Ok(self.kept.get_or_init(|| kept))
    }

    /// Whether the program that owns a mirrored login without a refresh token refreshes it.
    fn is_refreshed_by_owner(
        &self,
        id: &str,
        report: Option<&LoginReport>,
        ends: UnixMs,
    ) -> Result<bool, VaultError> {
        let is_for_longer =
            |report: &LoginReport| report.is_refreshable_for(Span::default(), self.as_of.now);
        if report.is_some_and(is_for_longer) {
            return Ok(true);
        }
        match self.vault {
            Some(vault) => is_short_lived(vault, self.agent, id, ends),
            None => Ok(false),
        }
    }
}

/// Returns how a stored credential stands by what can be read without the vault's key: a login
/// counts as refreshed by the program that owns it, unless it is a long-lived one of Claude Code.
///
/// # Errors
/// When the vault cannot be read.
pub fn state_without_key(
    vault: &Vault,
    held: &StoredCredential,
    as_of: AsOf,
) -> Result<CredentialState<'static>, VaultError> {
    let mut state = CredentialState::of_plain(held.kind, &held.provider, held.expires, as_of);
    let may_be_refreshed = held.owner != Owner::Vault || held.kind == CredentialType::OAuth;
    if may_be_refreshed
        && state.status() == Status::Expiring
        && let Outlook::Ends(ends) = state.outlook()
    {
        let agent = AgentName::from_stored(held.agent.clone());
        state.refreshed_by = match held.owner {
            Owner::Vault => Some(RefreshedBy::Clawkeep),
            Owner::ClaudeCode if !is_short_lived(vault, &agent, &held.profile, ends)? => None,
            owner => Some(RefreshedBy::Program(owner)),
        };
    }
    Ok(state)
}

/// Why a grant cannot be refreshed any more, or perhaps cannot.
#[must_use]
pub fn loss_of(grant: &Grant) -> Option<Loss> {
    match grant.state {
        GrantState::Dead if is_answer_unopened(grant) => Some(Loss::Unopened),
        GrantState::Dead => Some(Loss::Dead),
        GrantState::Spent => Some(Loss::Spent),
        GrantState::Uncertain => Some(Loss::Uncertain),
        GrantState::Free | GrantState::Started | GrantState::Borrowed => None,
    }
}

/// Whether clawkeep refreshes a login: it is the vault's own, and its provider is known, or cannot
/// be known while the settings cannot be read.
#[must_use]
pub fn is_refreshed_here(
    providers: Option<&Providers>,
    id: &str,
    credential: &Credential<'_>,
) -> bool {
    Owner::of(id) == Owner::Vault
        && credential.expose_refresh().is_some()
        && !credential.is_marker()
        && providers.is_none_or(|all| refreshed_by(all, credential) == RefreshedBy::Clawkeep)
}

/// The program that refreshes a login of the vault's own. An invalid entry of its provider does not
/// make it the gateway's: refreshing it here reports the entry.
fn refreshed_by(providers: &Providers, credential: &Credential<'_>) -> RefreshedBy {
    match endpoint(providers, credential) {
        Ok(None) => RefreshedBy::Gateway,
        Ok(Some(_)) | Err(()) => RefreshedBy::Clawkeep,
    }
}

/// Where the settings send a login's tokens; an error if they are invalid.
fn endpoint(providers: &Providers, credential: &Credential<'_>) -> Result<Option<Endpoint>, ()> {
    let provider = providers.get(&ProviderId::new(credential.provider));
    let provider = provider.map_err(|_| ())?;
    Ok(provider.and_then(|provider| provider.endpoint(credential.client_id())))
}

/// Whether another program's token with that expiry came in as one of a few hours.
fn is_short_lived(
    vault: &Vault,
    agent: &AgentName,
    id: &str,
    expires: UnixMs,
) -> Result<bool, VaultError> {
    const CHANGES: [EventKind; 5] = [
        EventKind::SyncApplied,
        EventKind::ProfileCreated,
        EventKind::ProfileUpdated,
        EventKind::ProfileRestored,
        EventKind::ImportApplied,
    ];
    let filter = Filter {
        agent: Some(agent.as_str().to_owned()),
        profile: Some(id.to_owned()),
        kinds: CHANGES.map(KindFilter::only).to_vec(),
        ..Filter::default()
    };
    for event in vault.history(&filter)? {
        let event = event?;
        // Other changes of the entry say nothing of when its token came in.
        if event.token_before != event.token_after {
            return Ok(expires - event.at <= SHORT_LIVED);
        }
    }
    Ok(false)
}
