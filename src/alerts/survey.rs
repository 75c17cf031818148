//! Surveys the status of every credential, from the stores and the grants in the vault.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::subject::{Subject, Trouble};
use super::surveyed::{SourceTrouble, State, SurveyedCredential};
use crate::config::{AgentRef, NotifySettings};
use crate::domain::{Credential, Fingerprint, Owner, ProfileId, ProviderId, StoreDoc, UnixMs};
use crate::health::{AsOf, CredentialState, Outlook, RefreshedBy};
use crate::oauth::Providers;
use crate::sync::{LoginReport, LoginState, StateReader};
use crate::vault::{UnlockedVault, VaultError};

/// The statuses of all credentials of the surveyed agents.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The status of each credential for which it is known.
    pub statuses: Vec<SurveyedCredential>,
    /// Credentials whose status is unknown: invalid entries, and markers of a refresh under way.
    pub unclear: BTreeSet<Subject>,
    /// The agents that were surveyed, by name.
    pub agents: BTreeSet<String>,
}

/// Surveys the agents' stores, which must be whole. A login that is about to be refreshed is not
/// reported as overdue.
pub fn survey(
    vault: &UnlockedVault,
    Scene {
        agents,
        providers,
        refreshing,
        logins,
        remedy,
        ..
    }: Scene<'_>,
    (settings, now): (&NotifySettings, UnixMs),
) -> Result<Survey, VaultError> {
    let mut found = Survey::default();
    for (agent, doc) in agents {
        let agent_survey = AgentSurvey {
            vault,
            remedy,
            states: StateReader {
                vault: Some(vault),
                agent: &agent.name,
                doc,
                providers,
                logins,
                as_of: AsOf::at(now),
                kept: OnceCell::new(),
            },
        };
        found.agents.insert(agent.name.as_str().to_owned());
        let usable = agent_survey.usable();
        for (id, credential) in doc.credentials() {
            let subject = || Subject::Credential(agent.name.clone(), ProfileId::new(id));
            let Some(login) = agent_survey.login(&credential) else {
                found.unclear.insert(subject());
                continue;
            };
            let stands = agent_survey.states.read(id, &credential)?;
            let mut status = agent_survey.status(id, login, &credential, &stands);
            let usable = usable.get(&status.provider);
            status.has_others = usable.is_some_and(|logins| logins.iter().any(|it| *it != login));
            let state = status.state(settings, now);
            let is_mirrored = Owner::of(id) != Owner::Vault;
            if state.is_none() && is_mirrored && logins.is_none() {
                found.unclear.insert(subject());
                continue;
            }
            let is_ours = matches!(status.outlook, Outlook::Refreshed(RefreshedBy::Clawkeep, _));
            if state == Some(State::Overdue) && is_ours && refreshing.contains(&login) {
                found.unclear.insert(subject());
                continue;
            }
            if let Some(state) = state {
                if state == State::Overdue && is_ours {
                    let failure = agent_survey.states.last_failure(id, &credential)?;
                    status.failed = failure.and_then(|failure| failure.reason);
                }
                status.remedy = agent_survey.remedy(id, state, (&credential, &stands))?;
            }
            found.statuses.push(status);
        }
    }
    Ok(found)
}

/// A problem of a credential, which a person solves.
#[derive(Clone, Copy, Debug)]
pub enum Problem<'p> {
    /// The login that the profile mirrors is not what is stored of it.
    Source(&'p LoginReport),
    /// The login that the profile mirrors expires: a person has to log in again.
    LoginExpires,
    /// The state of the credential itself.
    State(&'p Credential<'p>, &'p CredentialState<'p>),
}

/// Says what a person does about a problem of the profile of that id.
pub type Remedy = fn(&StateReader<'_>, &str, Problem<'_>) -> Result<String, VaultError>;

/// Whether a person has to act. A login that cannot be read may be in the middle of a write.
fn is_problem(report: &LoginReport) -> bool {
    report.needs_attention() && !matches!(report.state, LoginState::NotReadable(_))
}

struct AgentSurvey<'l> {
    vault: &'l UnlockedVault,
    remedy: Remedy,
    states: StateReader<'l>,
}

impl<'l> AgentSurvey<'l> {
    /// Returns what names the login of a credential; `None` if there is none, or a marker.
    fn login(&self, credential: &Credential<'_>) -> Option<Fingerprint> {
        let secret = credential
            .expose_secret()
            .filter(|secret| !secret.trim().is_empty());
        let token = credential.expose_refresh().or(secret);
        let token = token.filter(|_| !credential.is_marker())?;
        Some(self.vault.fingerprint(token))
    }

    /// Returns the usable logins of each provider; two are enough to know that there is another.
    fn usable(&self) -> BTreeMap<ProviderId, Vec<Fingerprint>> {
        let mut usable: BTreeMap<_, Vec<Fingerprint>> = BTreeMap::new();
        for (_, credential) in self.states.doc.credentials() {
            if !CredentialState::of(&credential, self.states.as_of).is_usable() {
                continue;
            }
            let provider = ProviderId::new(credential.provider);
            let logins = usable.entry(provider).or_default();
            if let Some(login) = self.login(&credential)
                && logins.len() < 2
                && !logins.contains(&login)
            {
                logins.push(login);
            }
        }
        usable
    }

    fn status(
        &self,
        id: &str,
        login: Fingerprint,
        credential: &Credential<'_>,
        stands: &CredentialState<'_>,
    ) -> SurveyedCredential {
        let report = self.problem_of_source(id);
        SurveyedCredential {
            agent: self.states.agent.clone(),
            profile: ProfileId::new(id),
            provider: ProviderId::new(credential.provider),
            login,
            outlook: stands.outlook(),
            failed: None,
            source: report.map(|report| SourceTrouble {
                code: report.state.as_str(),
                message: report.message(&report.place, self.states.as_of.now),
            }),
            login_expires: stands.login_expires,
            has_others: false,
            remedy: String::new(),
        }
    }

    /// Returns what became of the login that a profile mirrors, if that is a problem.
    fn problem_of_source(&self, id: &str) -> Option<&'l LoginReport> {
        self.states.report(id).filter(|report| is_problem(report))
    }

    /// Returns the action that fixes the problem.
    fn remedy(
        &self,
        id: &str,
        state: State,
        (credential, stands): (&Credential<'_>, &CredentialState<'_>),
    ) -> Result<String, VaultError> {
        let problem = match (self.problem_of_source(id), state) {
            (Some(report), _) => Problem::Source(report),
            (None, State::LoginExpires(_) | State::LoginExpired) => Problem::LoginExpires,
            (None, _) => Problem::State(credential, stands),
        };
        (self.remedy)(&self.states, id, problem)
    }
}

/// The state of the host that a pass surveys.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'s> {
    /// The agents whose stores were read completely. An agent whose store could not be read is left
    /// out: the state of its credentials is unknown.
    pub agents: &'s [(AgentRef, StoreDoc)],
    /// What became of other programs' logins, of every agent; none where their sources were not
    /// read.
    pub logins: Option<&'s [LoginReport]>,
    /// The providers whose logins are refreshed here; none where the settings cannot be read.
    pub providers: Option<&'s Providers>,
    /// Logins whose refresh is due or under way: they are not reported as overdue yet.
    pub refreshing: &'s [Fingerprint],
    /// What is wrong with the host.
    pub trouble: &'s [Trouble],
    /// Says what a person does about a problem.
    pub remedy: Remedy,
}
