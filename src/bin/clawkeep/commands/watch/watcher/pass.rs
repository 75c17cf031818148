//! One pass: syncs, merges and exports every agent, and finds what is due.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{
    AgentName, Credential, Fingerprint, ProfileId, Span, StoreDoc, UnixMs,
};
use clawkeep::internal::sync::watch::{Schedule, next_transition};
use clawkeep::internal::sync::{Loaded, Notice, SyncError, SyncMode, is_refreshed_here};
use clawkeep::internal::vault::UnlockedVault;

use super::log::{Log, in_a_line};
use super::state::{Job, PassReport};
use crate::commands::sync::changes::Changes;
use crate::context::Context;
use crate::context::load_each::{AgentToLoad, LoadOptions, words_for_copies};
use crate::failure::Failure;
use crate::terminal::notices;
use crate::terminal::text::shown_id;

/// How long to wait for another program's lock on a store before the agent is retried later.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// How many agents are named in one line.
const NAMED_MAX: usize = 5;

/// A login that is refreshed here.
struct Login<'d> {
    agent: &'d AgentRef,
    id: &'d str,
    credential: Credential<'d>,
    grant: Fingerprint,
    token: Fingerprint,
}

pub(crate) struct Pass<'p> {
    pub(crate) context: &'p Context,
    pub(crate) vault: &'p mut UnlockedVault,
    pub(crate) schedule: &'p mut Schedule,
    pub(crate) log: &'p mut Log,
    /// Files that are being written: their agents are left out, and their logins are not imported.
    pub(crate) held: &'p HashSet<PathBuf>,
    /// Whether refreshes are running: then no login is due.
    pub(crate) is_refreshing: bool,
    /// Called repeatedly between agents; returns whether to continue.
    pub(crate) goes_on: &'p dyn Fn() -> bool,
}

impl Pass<'_> {
    /// Syncs every agent. One agent's failure does not stop the others; the vault's ends the pass.
    pub(crate) fn run(mut self, agents: &[AgentRef]) -> Result<PassReport, Failure> {
        let mut report = self.load_all(agents)?;
        let logins = self.logins(&report.agents);
        let grants: Vec<Fingerprint> = logins.iter().map(|login| login.grant).collect();
        if report.agents.len() == agents.len() {
            self.schedule.keep_only(&grants);
        }
        report.due = self.due(&logins);
        report.wait = self.wait(&report.agents, &logins);
        for (agent, failure) in &report.failures {
            if self.is_refreshing && failure.is_busy() {
                continue; // most likely by this process's own refresh
            }
            let name = shown_id(agent.name.as_str());
            let text = format!("{name}: {}", in_a_line(failure));
            let over = format!("{name}: in sync again");
            self.log
                .fail_while(&format!("agent {name}"), &text, Some(over));
        }
        Ok(report)
    }

    fn load_all(&mut self, agents: &[AgentRef]) -> Result<PassReport, Failure> {
        let mut report = PassReport::default();
        let mut changed: BTreeMap<String, Vec<AgentName>> = BTreeMap::new();
        let mut ended = None;
        let free = agents
            .iter()
            .filter(|agent| !self.held.contains(&agent.store_file()));
        let wanted: Vec<AgentToLoad<'_>> = free.map(|agent| (agent, self.mode(agent))).collect();
        report.is_unread = wanted
            .iter()
            .any(|(_, mode)| matches!(mode, Ok(SyncMode::Off)));
        let options = LoadOptions {
            patience: Some(LOCK_PATIENCE),
            goes_on: self.goes_on,
        };
        let (context, log) = (self.context, &mut *self.log);
        let copies = context.load_each(self.vault, wanted, &options, &mut |agent, loaded| {
            match loaded {
                Ok(loaded) => {
                    if let Some(words) = add_loaded(context, log, agent, loaded, &mut report) {
                        changed.entry(words).or_default().push(agent.name.clone());
                    }
                }
                Err(failure) if is_of_the_vault(&failure) => {
                    ended = Some(failure);
                    return ControlFlow::Break(());
                }
                // Its directory was removed meanwhile: it is no agent any more.
                Err(_) if !agent.dir.is_dir() && agent.name != AgentName::default() => {}
                Err(failure) => report.failures.push((agent.clone(), failure)),
            }
            ControlFlow::Continue(())
        });
        if let Some(words) = words_for_copies(copies) {
            self.log.event(&words);
        }
        for (words, names) in changed {
            self.log.event(&format!("{}: {words}", joined(&names)));
        }
        ended.map_or(Ok(report), Err)
    }

    /// Whether to read the sources for an agent.
    fn mode(&self, agent: &AgentRef) -> Result<SyncMode, Failure> {
        let mut logins = self.context.layout.logins.iter();
        if logins.any(|files| self.held.contains(&files.login)) {
            return Ok(SyncMode::Off);
        }
        self.context.mode_for(self.vault, agent)
    }

    fn logins<'d>(&self, agents: &'d [(AgentRef, StoreDoc)]) -> Vec<Login<'d>> {
        let mut logins = Vec::new();
        for (agent, doc) in agents {
            for (id, credential) in doc.credentials() {
                let Some(refresh) = credential.expose_refresh() else {
                    continue;
                };
                if !is_refreshed_here(self.context.providers().ok(), id, &credential) {
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

    /// The logins to refresh; one that several agents have counts once.
    fn due(&self, logins: &[Login<'_>]) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        if self.is_refreshing {
            return jobs;
        }
        let now = self.now();
        for login in logins {
            let prints = (login.grant, login.token);
            let is_known = jobs.iter().any(|job| job.grant == login.grant);
            if !is_known && self.schedule.is_due(&login.credential, prints, now) {
                jobs.push(Job {
                    agent: login.agent.clone(),
                    id: ProfileId::new(login.id),
                    grant: login.grant,
                    ahead_ms: self.schedule.ahead(login.token),
                });
            }
        }
        jobs
    }

    /// How long until something is due. While logins are being refreshed, their outcome is awaited.
    fn wait(&self, docs: &[(AgentRef, StoreDoc)], logins: &[Login<'_>]) -> Option<Duration> {
        let now = self.now();
        let due = logins.iter().filter_map(|login| {
            let prints = (login.grant, login.token);
            let wait = self.schedule.due_in(&login.credential, prints, now);
            wait.filter(|wait| !wait.is_zero()) // else its refresh is running
        });
        let ends = docs
            .iter()
            .filter_map(|(_, doc)| next_transition(doc, now.0));
        due.chain(ends).min()
    }
}

/// Adds a loaded agent to the report, and describes what changed.
fn add_loaded(
    context: &Context,
    log: &mut Log,
    agent: &AgentRef,
    loaded: Loaded,
    report: &mut PassReport,
) -> Option<String> {
    report.logins.extend(loaded.logins.iter().cloned());
    for notice in &loaded.notices {
        let Some(words) = notices::words_for(&context.layout, notice) else {
            continue;
        };
        if matches!(notice, Notice::OldCopyLeft { .. }) {
            report.old_copies.push((agent.name.clone(), words.clone()));
        }
        // What several agents report is logged once.
        match notices::condition_of(notice) {
            Some((key, over)) => log.warn_once_while(&key, &words, Some(over)),
            None => log.warn_while(&words, &words, None),
        }
    }
    let files = loaded
        .borrowed
        .values()
        .map(|from| from.path.clone().into());
    report.borrowed.extend(files);
    let words = words_for_changes(context, &loaded);
    let doc = loaded.doc.clone();
    match context.verdict(loaded) {
        Err(failure @ Failure::Unopened { .. }) => report.failures.push((agent.clone(), failure)),
        other => {
            report.agents.push((agent.clone(), doc));
            report
                .failures
                .extend(other.err().map(|failure| (agent.clone(), failure)));
        }
    }
    words
}

fn words_for_changes(context: &Context, loaded: &Loaded) -> Option<String> {
    let changes = Changes::of(loaded);
    let words = changes.words()?;
    let ends = changes.changed.iter().filter_map(|id| {
        let expiry = loaded.doc.credential(id)?.expiry()?;
        Some(Span::from_f64(expiry.left_at(context.clock.now())))
    });
    let ends = ends
        .min()
        .map_or_else(String::new, |left| format!("; {}", left.expiry()));
    Some(format!("{words}{ends}"))
}

/// The agents' names, the first few of them.
fn joined(names: &[AgentName]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(NAMED_MAX)
        .map(|name| shown_id(name.as_str()))
        .collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    let shown = shown.join(", ");
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}

/// Whether the failure is the vault's, whichever agent is loaded.
fn is_of_the_vault(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Vault(_) | Failure::Sync(SyncError::Vault(_))
    )
}
