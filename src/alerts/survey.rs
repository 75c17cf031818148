//! Surveys the status of every credential, from the stores and the grants in the vault.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::subject::{Subject, Trouble};
use super::surveyed::{SourceTrouble, State, SurveyedCredential};
use super::text::named;
use crate::config::{AgentRef, NotifySettings};
use crate::doctor::{Advised, Commands, remedy};
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
        commands,
        ..
    }: Scene<'_>,
    (settings, now): (&NotifySettings, UnixMs),
) -> Result<Survey, VaultError> {
    let mut found = Survey::default();
    for (agent, doc) in agents {
        let agent_survey = AgentSurvey {
            vault,
            commands,
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
                status.remedy = agent_survey.remedy(&status, state, (&credential, &stands))?;
            }
            found.statuses.push(status);
        }
    }
    Ok(found)
}

/// Returns the problem of the login that a profile mirrors. A login that cannot be read may be in
/// the middle of a write.
fn trouble_of(report: &LoginReport, now: UnixMs) -> Option<SourceTrouble> {
    let is_lasting = !matches!(report.state, LoginState::NotReadable(_));
    (report.needs_attention() && is_lasting).then(|| SourceTrouble {
        code: report.state.as_str(),
        message: report.message(&report.place, now),
        remedy: report.remedy(),
    })
}

struct AgentSurvey<'l> {
    vault: &'l UnlockedVault,
    commands: Commands,
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
        let report = self.states.report(id);
        SurveyedCredential {
            agent: self.states.agent.clone(),
            profile: ProfileId::new(id),
            provider: ProviderId::new(credential.provider),
            login,
            outlook: stands.outlook(),
            failed: None,
            source: report.and_then(|report| trouble_of(report, self.states.as_of.now)),
            login_expires: stands.login_expires,
            has_others: false,
            remedy: String::new(),
        }
    }

    /// Returns the action that fixes the problem.
    fn remedy(
        &self,
        status: &SurveyedCredential,
        state: State,
        (credential, stands): (&Credential<'_>, &CredentialState<'_>),
    ) -> Result<String, VaultError> {
        let (agent, id) = (self.states.agent, status.profile.as_str());
        let mut what = match (&status.source, state) {
            (Some(source), _) => source.remedy.clone(),
            (None, State::LoginExpires(_) | State::LoginExpired) => {
                format!("Log in again: {}", Owner::of(id).log_in())
            }
            (None, _) => {
                let advised = Advised {
                    commands: self.commands,
                    agent,
                    id,
                    credential,
                    borrowed: self.states.borrowed(id)?,
                    providers: self.states.providers,
                };
                remedy(stands, advised)
            }
        };
        // No `--agent` selects an agent that is known by its directory alone.
        if agent.is_path() && what.contains("clawkeep ") {
            let dir = named(agent.as_str());
            what.push_str(&format!(" (with CLAWDBOT_AGENT_DIR set to {dir})"));
        }
        Ok(what)
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
    /// The commands that remedies name.
    pub commands: Commands,
}
