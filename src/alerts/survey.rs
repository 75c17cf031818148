//! Surveys the status of every credential, from the stores and the grants in the vault.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::credential_status::{
    CredentialStatus, GrantStatus, Loss, Refresher, SourceTrouble, State,
};
use super::subject::{Subject, Trouble};
use super::text::named;
use crate::audit::{EventKind, Filter, KindFilter};
use crate::config::{AgentRef, NotifySettings};
use crate::doctor::{how_to_log_in, how_to_refresh, is_short_lived, of_agent, shell_word};
use crate::domain::{
    AgentName, Borrowed, Credential, CredentialType, Endpoint, Fingerprint, Owner, ProfileId,
    ProviderId, StoreDoc, UnixMs,
};
use crate::health::{Status, assess};
use crate::oauth::{Providers, is_answer_unopened};
use crate::sync::{LoginReport, LoginState};
use crate::vault::{GrantState, UnlockedVault, VaultError};

/// How many failed refreshes of a profile are searched for the last one of a login.
const FAILURES_MAX: usize = 100;

/// The statuses of all credentials of the surveyed agents.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The status of each credential for which it is known.
    pub statuses: Vec<CredentialStatus>,
    /// Credentials whose status is unknown: invalid entries, and markers of a refresh under way.
    pub unclear: BTreeSet<Subject>,
    /// The agents that were surveyed, by name.
    pub agents: BTreeSet<String>,
}

/// Surveys the agents' stores, which must be whole. A login that is about to be refreshed is not
/// reported as overdue.
///
/// # Errors
/// When the vault cannot be read.
pub fn survey(
    vault: &UnlockedVault,
    Scene {
        agents,
        providers,
        refreshing,
        logins,
        ..
    }: Scene<'_>,
    (settings, now): (&NotifySettings, UnixMs),
) -> Result<Survey, VaultError> {
    let mut found = Survey::default();
    for (agent, doc) in agents {
        let agent_survey = AgentSurvey {
            vault,
            agent: &agent.name,
            doc,
            providers,
            now,
            borrowed: OnceCell::new(),
        };
        found.agents.insert(agent.name.as_str().to_owned());
        let usable = agent_survey.usable();
        let mut pins = None;
        for (id, credential) in doc.credentials() {
            let subject = || Subject::Credential(agent.name.clone(), ProfileId::new(id));
            let Some(mut status) = agent_survey.credential_status(id, &credential, &mut pins)?
            else {
                found.unclear.insert(subject());
                continue;
            };
            let usable = usable.get(&status.provider);
            status.has_others =
                usable.is_some_and(|logins| logins.iter().any(|login| *login != status.login));
            let is_mirrored = Owner::of(id) != Owner::Vault;
            let own = |report: &&LoginReport| {
                report.agent == agent.name && report.profile == id && !report.is_elsewhere
            };
            if let Some(report) = logins.and_then(|logins| logins.iter().find(own)) {
                status.login_expires = report.login_expires;
                status.source = trouble_of(report, now);
            }
            let state = status.state(settings, now);
            if state.is_none() && is_mirrored && logins.is_none() {
                found.unclear.insert(subject());
                continue;
            }
            let is_here = status.refresher == Refresher::Here;
            if state == Some(State::Overdue) && is_here && refreshing.contains(&status.login) {
                found.unclear.insert(subject());
                continue;
            }
            if state.is_some() {
                if let GrantStatus::Refreshable(Some(class)) = &status.grant_status {
                    status.grant_status = GrantStatus::Refreshable(Some(agent_survey.why(
                        id,
                        status.login,
                        class,
                    )?));
                }
                status.remedy = agent_survey.remedy(id, &status, state);
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

fn is_usable(credential: &Credential<'_>, now: UnixMs) -> bool {
    let has_secret = credential
        .expose_secret()
        .is_some_and(|secret| !secret.trim().is_empty());
    let stands = assess(credential, now).status;
    let is_whole = credential.reference().is_none() && credential.secret_fault().is_none();
    has_secret && is_whole && matches!(stands, Status::Ok | Status::Expiring | Status::Static)
}

struct AgentSurvey<'l> {
    vault: &'l UnlockedVault,
    agent: &'l AgentName,
    doc: &'l StoreDoc,
    providers: Option<&'l Providers>,
    now: UnixMs,
    /// The logins that were imported as another program's, read when first asked for.
    borrowed: OnceCell<BTreeMap<String, Borrowed>>,
}

impl AgentSurvey<'_> {
    fn borrowed(&self, id: &str) -> Result<Option<&Borrowed>, VaultError> {
        let known = match self.borrowed.get() {
            Some(known) => known,
            None => {
                let known = self.vault.agent(self.agent)?.borrowed;
                self.borrowed.get_or_init(|| known)
            }
        };
        Ok(known.get(id))
    }

    /// Returns the usable logins of each provider; two are enough to know that there is another.
    fn usable(&self) -> BTreeMap<ProviderId, Vec<Fingerprint>> {
        let mut usable: BTreeMap<_, Vec<Fingerprint>> = BTreeMap::new();
        for (_, credential) in self.doc.credentials() {
            let token = credential.expose_refresh().or(credential.expose_secret());
            let Some(token) = token.filter(|_| is_usable(&credential, self.now)) else {
                continue;
            };
            let provider = ProviderId::new(credential.provider);
            let logins = usable.entry(provider).or_default();
            let login = self.vault.fingerprint(token);
            if logins.len() < 2 && !logins.contains(&login) {
                logins.push(login);
            }
        }
        usable
    }

    fn credential_status(
        &self,
        id: &str,
        credential: &Credential<'_>,
        pins: &mut Option<BTreeMap<String, Endpoint>>,
    ) -> Result<Option<CredentialStatus>, VaultError> {
        let refresh = credential.expose_refresh();
        let secret = credential
            .expose_secret()
            .filter(|secret| !secret.trim().is_empty());
        let Some(token) = refresh.or(secret).filter(|_| !credential.is_marker()) else {
            return Ok(None);
        };
        let login = self.vault.fingerprint(token);
        let provider = ProviderId::new(credential.provider);
        let expires = assess(credential, self.now).expires_at;
        let expires = expires
            .filter(|ends| ends.ms() > 0.0)
            .map(|ends| UnixMs(ends.floor_ms()));
        let mut refresher = Refresher::Nobody;
        let mut grant_status = GrantStatus::Refreshable(None);
        match Owner::of(id) {
            Owner::Vault if refresh.is_some() => {
                let grant = self.vault.grant(login)?;
                refresher = self.refresher(&provider, credential, grant.state);
                grant_status = match grant.state {
                    GrantState::Dead if is_answer_unopened(&grant) => {
                        GrantStatus::Lost(Loss::Unopened)
                    }
                    GrantState::Dead => GrantStatus::Lost(Loss::Dead),
                    GrantState::Spent => GrantStatus::Lost(Loss::Spent),
                    GrantState::Uncertain => GrantStatus::Lost(Loss::Uncertain),
                    _ if refresher == Refresher::Here
                        && self.is_moved(id, &provider, credential, pins)? =>
                    {
                        GrantStatus::Lost(Loss::Moved)
                    }
                    _ => GrantStatus::Refreshable(grant.failed),
                };
            }
            Owner::Vault => {
                if expires.is_some()
                    && let Some(from) = self.borrowed(id)?
                {
                    refresher = Refresher::Elsewhere(from.owner);
                }
            }
            owner => {
                let ends = expires.filter(|_| credential.kind != CredentialType::ApiKey);
                let is_refreshed = match ends {
                    Some(ends) => {
                        refresh.is_some() || is_short_lived(self.vault, self.agent, id, ends)?
                    }
                    None => false,
                };
                if is_refreshed {
                    refresher = Refresher::Elsewhere(owner);
                }
            }
        }
        Ok(Some(CredentialStatus {
            agent: self.agent.clone(),
            profile: ProfileId::new(id),
            provider,
            login,
            expires,
            refresher,
            grant_status,
            source: None,
            login_expires: None,
            has_others: false,
            remedy: String::new(),
        }))
    }

    /// Which program refreshes a login of ours that has a refresh token.
    fn refresher(
        &self,
        provider: &ProviderId,
        credential: &Credential<'_>,
        grant: GrantState,
    ) -> Refresher {
        let known = self
            .providers
            .and_then(|providers| providers.get(provider).ok()?);
        let is_ours = grant != GrantState::Borrowed
            && known.is_some_and(|known| known.endpoint(credential.client_id()).is_some());
        if is_ours {
            Refresher::Here
        } else {
            Refresher::Elsewhere(Owner::Vault)
        }
    }

    /// Whether the settings name another endpoint for its tokens than the one they belong to.
    fn is_moved(
        &self,
        id: &str,
        provider: &ProviderId,
        credential: &Credential<'_>,
        pins: &mut Option<BTreeMap<String, Endpoint>>,
    ) -> Result<bool, VaultError> {
        let known = self
            .providers
            .and_then(|providers| providers.get(provider).ok()?);
        let now = known.and_then(|known| known.endpoint(credential.client_id()));
        if pins.is_none() {
            *pins = Some(self.vault.agent(self.agent)?.pins.into_iter().collect());
        }
        let pinned = pins.as_ref().and_then(|pins| pins.get(id));
        Ok(pinned.zip(now).is_some_and(|(pinned, now)| *pinned != now))
    }

    /// Returns why the last refresh failed, for a person: the record knows more than its class.
    fn why(&self, id: &str, login: Fingerprint, class: &str) -> Result<String, VaultError> {
        let filter = Filter {
            profile: Some(id.to_owned()),
            kinds: vec![KindFilter::only(EventKind::RefreshFailed)],
            ..Filter::default()
        };
        let login = login.to_string();
        for event in self.vault.history(&filter)?.take(FAILURES_MAX) {
            let detail = event?.detail;
            let detail: Option<Value> = detail.and_then(|text| serde_json::from_str(&text).ok());
            let Some(detail) = detail.filter(|detail| detail["grant"] == login.as_str()) else {
                continue;
            };
            if let Some(status) = detail["status"].as_u64() {
                let error = detail["error"].as_str().map(|error| format!(", {error}"));
                return Ok(format!("HTTP {status}{}", error.unwrap_or_default()));
            }
            break;
        }
        Ok(match class {
            "transient" => "its provider cannot be reached".to_owned(),
            "limited" => "its provider limits the rate of requests".to_owned(),
            "uncertain" => "no answer".to_owned(),
            other => other.to_owned(),
        })
    }

    fn remedy(&self, id: &str, status: &CredentialStatus, state: Option<State>) -> String {
        let mut what = self.what_to_do(id, status, state);
        // No `--agent` selects an agent that is known by its directory alone.
        if self.agent.is_path() && what.contains("clawkeep ") {
            let dir = named(self.agent.as_str());
            what.push_str(&format!(" (with CLAWDBOT_AGENT_DIR set to {dir})"));
        }
        what
    }

    fn what_to_do(&self, id: &str, status: &CredentialStatus, state: Option<State>) -> String {
        let word = || format!("{}{}", shell_word(id), of_agent(self.agent));
        if let Some(source) = &status.source {
            return source.remedy.clone();
        }
        if matches!(state, Some(State::LoginExpires(_) | State::LoginExpired)) {
            return format!("Log in again: {}", Owner::of(id).log_in());
        }
        match &status.grant_status {
            GrantStatus::Lost(Loss::Moved) => {
                let word = word();
                format!("If the change is intended: clawkeep models auth trust {word}")
            }
            GrantStatus::Lost(Loss::Uncertain) => {
                format!("Try to refresh it: clawkeep refresh {}", word())
            }
            GrantStatus::Lost(_) => how_to_log_in(self.agent, self.doc, id, self.providers),
            GrantStatus::Refreshable(_) => match (status.refresher, self.borrowed(id)) {
                (Refresher::Elsewhere(owner), _) if owner.mirror().is_some() => {
                    owner.how_to_refresh()
                }
                (_, Ok(Some(from))) => from.how_to_refresh(),
                _ => how_to_refresh(self.agent, self.doc, id, self.providers).unwrap_or_default(),
            },
        }
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
}
