//! One pass: every agent is synced, merged and exported, and what is due is refreshed.

use std::time::{Duration, Instant};

use clawkeep::config::AgentRef;
use clawkeep::domain::{AgentName, Credential, Fingerprint, ProfileId, StoreDoc, UnixMs};
use clawkeep::health::remaining_short;
use clawkeep::sync::watch::{Attempt, Schedule, next_transition};
use clawkeep::sync::{Engine, Loaded, NotRenewed, Renewal, Renewer, SyncError, When};
use clawkeep::vault::UnlockedVault;

use super::log::{Log, in_a_line};
use crate::changes::Changes;
use crate::context::Context;
use crate::failure::Failure;
use crate::notices;
use crate::renewal;
use crate::ui::shown_id;

/// How long another process's refresh of the same login is waited for: it does what this one would do.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a pass found.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Every agent that could be read, as it is now.
    pub(crate) agents: Vec<(AgentRef, StoreDoc)>,
    /// What went wrong, of which agent.
    pub(crate) failures: Vec<(AgentRef, Failure)>,
    /// How long until something is due.
    pub(crate) wait: Option<Duration>,
}

/// A login that is refreshed here.
struct Login<'d> {
    agent: &'d AgentRef,
    id: &'d str,
    credential: Credential<'d>,
    grant: Fingerprint,
    token: Fingerprint,
}

/// What a pass works with.
pub(crate) struct Pass<'p> {
    pub(crate) context: &'p Context,
    pub(crate) vault: &'p mut UnlockedVault,
    pub(crate) schedule: &'p mut Schedule,
    pub(crate) log: &'p mut Log,
    /// Called between steps that may take a while.
    pub(crate) alive: &'p dyn Fn(),
}

impl Pass<'_> {
    /// Goes through every agent. One agent's trouble is not the others'; what is wrong with the vault is everybody's, and ends the pass.
    pub(crate) fn run(mut self) -> Result<Seen, Failure> {
        let agents = self.context.every_agent(self.vault)?;
        let mut seen = self.load_all(&agents)?;
        if self.refresh(&agents, &seen.agents)? {
            let again = self.load_all(&agents)?;
            seen.agents = again.agents;
            seen.failures = again.failures;
        }
        seen.wait = self.wait(&seen.agents);
        for (agent, failure) in &seen.failures {
            let key = format!("agent {}", agent.name);
            let text = format!("{}: {}", shown_name(&agent.name), in_a_line(failure));
            let over = format!("{}: in step again", shown_name(&agent.name));
            self.log.standing(&key, &text, Some(over));
        }
        Ok(seen)
    }

    fn load_all(&mut self, agents: &[AgentRef]) -> Result<Seen, Failure> {
        let mut seen = Seen::default();
        for agent in agents {
            (self.alive)();
            match self.load(agent) {
                Ok((doc, None)) => seen.agents.push((agent.clone(), doc)),
                Ok((doc, Some(failure))) => {
                    seen.agents.push((agent.clone(), doc));
                    seen.failures.push((agent.clone(), failure));
                }
                Err(failure) if is_of_the_vault(&failure) => return Err(failure),
                Err(failure) => seen.failures.push((agent.clone(), failure)),
            }
        }
        Ok(seen)
    }

    fn load(&mut self, agent: &AgentRef) -> Result<(StoreDoc, Option<Failure>), Failure> {
        let context = self.context;
        let mode = context.mode_for(self.vault, agent)?;
        let load = |engine: &mut Engine<'_>| -> Result<Loaded, SyncError> {
            let loaded = engine.load(agent, mode)?;
            // Of a store that was only touched there is nothing else to say, and nothing hangs on it.
            let _ = engine.note_touched(agent);
            Ok(loaded)
        };
        let loaded = context.with_engine(self.vault, load)?;
        for words in loaded.notices.iter().filter_map(notices::words) {
            // What several agents find is said once.
            self.log.standing(&words, &words, None);
        }
        let changes = Changes::of(&loaded);
        if let Some(words) = changes.words() {
            let ends = changes.changed.iter().filter_map(|id| {
                let expiry = loaded.doc.credential(id)?.expiry()?;
                Some(expiry.ms() - context.clock.now().as_f64())
            });
            let ends = ends
                .min_by(f64::total_cmp)
                .map_or_else(String::new, |left| {
                    format!("; ends in {}", remaining_short(left))
                });
            let name = shown_name(&agent.name);
            self.log.event(&format!("{name}: {words}{ends}"));
        }
        let doc = loaded.doc.clone();
        Ok((doc, context.verdict(loaded).err()))
    }

    fn logins<'d>(&self, agents: &'d [(AgentRef, StoreDoc)]) -> Vec<Login<'d>> {
        let mut logins = Vec::new();
        for (agent, doc) in agents {
            for (id, credential) in doc.credentials() {
                let Some(refresh) = credential.expose_refresh() else {
                    continue;
                };
                if !renewal::is_refreshed_here(self.context, id, &credential) {
                    continue;
                }
                let token = credential.expose_secret().unwrap_or_default();
                logins.push(Login {
                    agent,
                    id,
                    grant: self.vault.fingerprint(refresh),
                    token: self.vault.fingerprint(token),
                    credential,
                });
            }
        }
        logins
    }

    fn now(&self) -> (UnixMs, Instant) {
        (self.context.clock.now(), Instant::now())
    }

    /// Refreshes what is due. Whether anything was tried.
    fn refresh(
        &mut self,
        agents: &[AgentRef],
        docs: &[(AgentRef, StoreDoc)],
    ) -> Result<bool, Failure> {
        let logins = self.logins(docs);
        let grants: Vec<Fingerprint> = logins.iter().map(|login| login.grant).collect();
        self.schedule.keep_only(&grants);
        let now = self.now();
        let mut tried: Vec<Fingerprint> = Vec::new();
        for login in &logins {
            let prints = (login.grant, login.token);
            // A login that stands in several places is refreshed once.
            if tried.contains(&login.grant) || !self.schedule.is_due(&login.credential, prints, now)
            {
                continue;
            }
            tried.push(login.grant);
            (self.alive)();
            self.refresh_one(agents, login)?;
        }
        Ok(!tried.is_empty())
    }

    fn refresh_one(&mut self, agents: &[AgentRef], login: &Login<'_>) -> Result<(), Failure> {
        let context = self.context;
        let id = ProfileId::new(login.id);
        let when = When::LessLeftThan(self.schedule.ahead(login.token));
        let renewed = context.providers().and_then(|providers| {
            let mut renewer = Renewer::new(providers, agents);
            renewer.patience = PATIENCE;
            let mode = context.mode_for(self.vault, login.agent)?;
            let renew = |engine: &mut Engine<'_>| {
                let renewal = engine.renew(&renewer, login.agent, mode, &id, when)?;
                let loaded = engine.load(login.agent, mode)?;
                Ok::<_, SyncError>((renewal, loaded.doc))
            };
            Ok(context.with_engine(self.vault, renew)?)
        });
        let what = format!("{}: {}", shown_name(&login.agent.name), shown_id(login.id));
        match renewed {
            Ok((Renewal::Not(why), doc)) => self.note_refusal(login, &doc, &why),
            Ok((renewal, doc)) => {
                let lasts = self.note_renewal(login, &doc);
                if matches!(renewal, Renewal::Renewed(_)) {
                    let ends = lasts.map_or_else(String::new, |left| {
                        format!("; ends in {}", remaining_short(left))
                    });
                    self.log.event(&format!("{what} was refreshed{ends}"));
                }
            }
            Err(failure) if is_of_the_vault(&failure) => return Err(failure),
            Err(failure) => {
                let pause = self
                    .schedule
                    .note(login.grant, Attempt::Failed, Instant::now());
                let why = in_a_line(&failure);
                let again = in_words(pause);
                self.log.warn(&format!(
                    "{what} was not refreshed: {why} It is tried again in {again}."
                ));
            }
        }
        Ok(())
    }

    fn note_refusal(&mut self, login: &Login<'_>, doc: &StoreDoc, why: &NotRenewed) {
        let (now, instant) = self.now();
        let attempt = Attempt::Not(why, now);
        let pause = in_words(self.schedule.note(login.grant, attempt, instant));
        let name = &login.agent.name;
        let next = renewal::what_next(self.context, (name, doc), login.id, why);
        let why = renewal::why_not(login.id, why);
        self.log.warn(&format!(
            "{}: {why}. It is tried again in {pause}. {next}",
            shown_name(name)
        ));
    }

    /// How long a login that was refreshed lasts, in milliseconds.
    fn note_renewal(&mut self, login: &Login<'_>, doc: &StoreDoc) -> Option<f64> {
        let credential = doc.credential(login.id)?;
        let now = self.context.clock.now();
        let expiry = credential.expiry()?;
        let left = expiry.floor_ms().saturating_sub(now.0);
        let grant = self.vault.fingerprint(credential.expose_refresh()?);
        self.schedule
            .note(grant, Attempt::Lasts(left), Instant::now());
        Some(expiry.ms() - now.as_f64())
    }

    /// How long until something is due.
    fn wait(&self, docs: &[(AgentRef, StoreDoc)]) -> Option<Duration> {
        let now = self.now();
        let logins = self.logins(docs);
        let due = logins.iter().filter_map(|login| {
            let prints = (login.grant, login.token);
            self.schedule.due_in(&login.credential, prints, now)
        });
        let ends = docs
            .iter()
            .filter_map(|(_, doc)| next_transition(doc, now.0));
        due.chain(ends).min()
    }
}

/// An agent's name as it stands at the beginning of a line.
fn shown_name(name: &AgentName) -> String {
    shown_id(name.as_str())
}

fn in_words(pause: Duration) -> String {
    remaining_short(pause.as_secs_f64() * 1000.0)
}

/// Whether it is the vault that cannot be used, whichever agent is looked at.
fn is_of_the_vault(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Vault(_) | Failure::Sync(SyncError::Vault(_))
    )
}
