//! Keeping everything in step without being asked: waits for changed files, for what is due, and for signals, and goes through
//! everything once there is a reason.

mod log;
mod look;
mod pass;
mod service;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use clawkeep::config::AgentRef;
use clawkeep::domain::AgentName;
use clawkeep::platform::{Stamp, Touch, Touched};
use clawkeep::sync::watch::{Schedule, Settling};
use clawkeep::vault::{UnlockedVault, VaultError};

use self::log::Log;
use self::pass::{Pass, Seen};
use self::service::Service;
use crate::alerting::{Alerting, Trouble};
use crate::context::Context;
use crate::failure::Failure;
use crate::record::prune;

/// How often it is looked whether something has changed that was not told: on a network file system, by a clock that was set, in the
/// vault.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The same where the system does not tell of changed files.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How often memory is given back that only quickens passes.
const RELEASE_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether old events are to be removed.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// The shortest time between two passes that nobody asked for.
const PASS_PAUSE: Duration = Duration::from_millis(100);
/// Pauses after a pass that failed as a whole, in turn; then always the last.
const RETRIES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
];
/// How often the vault must have failed in turn before somebody is told: it is gone for a moment while it is replaced.
const FAILURES_TO_ALERT: usize = 3;
/// For how long a store must have been held by others before somebody is told.
const BUSY_TO_ALERT: Duration = Duration::from_secs(5 * 60);
/// How long alerts that are on their way are waited for at the end. Service managers wait for a minute and more.
const ALERTS_WAIT: Duration = Duration::from_secs(35);
/// What ends a wait.
#[derive(Debug)]
pub(crate) enum Wake {
    Touched(Touched),
    /// An alert was delivered, or could not be.
    Delivered,
    /// Read the settings anew.
    Reload,
    End,
}

/// Watches one vault.
pub(crate) struct Watcher<'c> {
    context: &'c mut Context,
    log: Log,
    service: Service,
    schedule: Schedule,
    /// Agents whose stores others hold on to, and since when.
    busy: BTreeMap<AgentName, Instant>,
    alerting: Alerting,
    /// The vault, and which file it is.
    vault: Option<(UnlockedVault, Option<Stamp>)>,
    /// There was one: it is not made anew.
    had_vault: bool,
    /// The agents of the last pass.
    agents: Vec<AgentRef>,
    pruned: Option<Instant>,
    released: Instant,
}

/// Why and when the next pass is made.
struct Due {
    /// There is a reason.
    is_dirty: bool,
    /// When there will be one.
    at: Option<Instant>,
    failures: usize,
}

impl<'c> Watcher<'c> {
    pub(crate) fn new(context: &'c mut Context, ahead_ms: i64, alerting: Alerting) -> Self {
        Self {
            log: Log::new(context.env.get("JOURNAL_STREAM")),
            context,
            service: Service::new(),
            schedule: Schedule::new(ahead_ms),
            busy: BTreeMap::new(),
            alerting,
            vault: None,
            had_vault: false,
            agents: Vec::new(),
            pruned: None,
            released: Instant::now(),
        }
    }

    /// One pass. The worst of what went wrong ends it.
    pub(crate) fn once(&mut self) -> Result<(), Failure> {
        let seen = self.pass()?;
        self.finish_alerts();
        let failures = seen.failures.into_iter().map(|(_, failure)| failure);
        let worst = failures.max_by_key(Failure::exit_status);
        match worst {
            // Each was said with its agent.
            Some(failure) => Err(Failure::Check(failure.exit_status())),
            None => Ok(()),
        }
    }

    /// Watches until it is told to end. Only what keeps it from beginning is a failure.
    pub(crate) fn run(
        &mut self,
        sender: &Sender<Wake>,
        wakes: &Receiver<Wake>,
    ) -> Result<(), Failure> {
        let is_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
        service::listen(sender.clone(), is_terminal).map_err(Failure::Input)?;
        let mut follower = self.follower(sender);
        self.arm(&mut follower);
        let mut before = self.before();
        let first = self.first_pass(wakes)?;
        let Some(first) = first else {
            return Ok(());
        };
        self.service.ready(status(&first));
        let mut due = Due {
            is_dirty: self.arm(&mut follower),
            at: first.wait.map(|wait| Instant::now() + wait),
            failures: 0,
        };
        let mut settling = Settling::default();
        loop {
            let hold = settling.wait(Instant::now(), |path| self.is_whole(path));
            if due.is_dirty && hold.is_none() {
                before = self.before();
                due = self.attempt(due.failures);
                due.is_dirty |= self.arm(&mut follower);
            }
            let look = self.look_every(follower.is_some());
            let until_due = due
                .at
                .map_or(look, |at| at.saturating_duration_since(Instant::now()));
            let until_due = if due.is_dirty { PASS_PAUSE } else { until_due };
            let wait = until_due.min(look).min(hold.unwrap_or(look));
            match wakes.recv_timeout(wait) {
                Ok(wake) => {
                    let rest = wakes.try_iter();
                    for wake in std::iter::once(wake).chain(rest) {
                        match wake {
                            Wake::End => return self.end(),
                            Wake::Delivered => due.is_dirty = true,
                            Wake::Reload => {
                                self.reload();
                                due.is_dirty = true;
                            }
                            Wake::Touched(touched) => {
                                due.is_dirty = true;
                                self.note(&touched, &mut settling);
                            }
                        }
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return self.end(),
                Err(RecvTimeoutError::Timeout) => {
                    self.service.alive();
                    due.is_dirty |= due.at.is_some_and(|at| at <= Instant::now());
                    if wait == look {
                        let changed = self.changed(&before);
                        due.is_dirty |= !changed.is_empty() || self.is_otherwise(&before);
                        for path in changed {
                            let touched = Touched::Path(path, Touch::Writing);
                            self.note(&touched, &mut settling);
                        }
                    }
                }
            }
        }
    }

    /// Until the vault is to be had. Nothing where it is told to end before.
    fn first_pass(&mut self, wakes: &Receiver<Wake>) -> Result<Option<Seen>, Failure> {
        for pause in RETRIES {
            match self.pass() {
                Err(failure) if failure.is_busy() => {
                    self.log.fail(&failure);
                    self.service.alive();
                    let end = Instant::now() + pause;
                    while let Ok(wake) =
                        wakes.recv_timeout(end.saturating_duration_since(Instant::now()))
                    {
                        if matches!(wake, Wake::End) {
                            return Ok(None);
                        }
                    }
                }
                other => return other.map(Some),
            }
        }
        self.pass().map(Some)
    }

    /// A pass, and when the next one is due.
    fn attempt(&mut self, failures: usize) -> Due {
        let (wait, failures) = match self.pass() {
            Ok(seen) => {
                self.service.ready(status(&seen));
                (seen.wait, 0)
            }
            Err(failure) => {
                let text = log::in_a_line(&failure);
                let over = Some("in step again".to_owned());
                self.log.standing("pass", &text, over);
                self.vault = None; // opened anew: it may be another one
                let trouble = Trouble {
                    key: "vault".to_owned(),
                    title: "The vault cannot be used".to_owned(),
                    body: text,
                };
                // While it is replaced it is gone for a moment.
                if failures + 1 >= FAILURES_TO_ALERT {
                    self.alerting.pass_without_vault(self.context, &[trouble]);
                }
                let pause = RETRIES[failures.min(RETRIES.len() - 1)];
                (Some(pause), failures + 1)
            }
        };
        Due {
            is_dirty: false,
            at: wait.map(|wait| Instant::now() + wait.max(PASS_PAUSE)),
            failures,
        }
    }

    fn pass(&mut self) -> Result<Seen, Failure> {
        self.open()?;
        let Some((vault, _)) = self.vault.as_mut() else {
            return Err(VaultError::Absent {
                path: self.context.layout.vault_file.clone(),
            }
            .into());
        };
        let service = &self.service;
        let pass = Pass {
            context: self.context,
            vault,
            schedule: &mut self.schedule,
            log: &mut self.log,
            alive: &|| service.alive(),
        };
        let mut seen = pass.run()?;
        self.busy
            .retain(|name, _| seen.failures.iter().any(|(agent, _)| agent.name == *name));
        let lasts = |agent: &AgentRef, failure: &Failure| {
            let since = self.busy.entry(agent.name.clone());
            let since = since.or_insert_with(Instant::now);
            !failure.is_busy() || since.elapsed() >= BUSY_TO_ALERT
        };
        let trouble = lasting(&seen.failures, lasts);
        let alerts = self
            .alerting
            .pass(self.context, vault, &seen.agents, &trouble);
        match alerts {
            Ok(next) => {
                let now = self.context.clock.now();
                let wait = next.map(|next| next.0.saturating_sub(now.0));
                let wait = wait.map(|wait| Duration::from_millis(u64::try_from(wait).unwrap_or(0)));
                seen.wait = seen.wait.into_iter().chain(wait).min();
            }
            Err(failure) => {
                let over = Some("alerts: in step again".to_owned());
                let text = format!("alerts: {}", log::in_a_line(&failure));
                self.log.standing("alerts", &text, over);
            }
        }
        if self.pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            self.pruned = Some(Instant::now());
            if let Err(failure) = prune::when_due(self.context, vault) {
                self.log.fail(&failure);
            }
        }
        if self.released.elapsed() >= RELEASE_EVERY {
            self.released = Instant::now();
            let _ = vault.release_memory(); // it is kept then, and bounded
        }
        self.agents = seen.agents.iter().map(|(agent, _)| agent.clone()).collect();
        let failed = seen.failures.iter().map(|(agent, _)| agent);
        for agent in failed {
            if !self.agents.contains(agent) {
                self.agents.push(agent.clone());
            }
        }
        self.log.end_of_pass();
        Ok(seen)
    }

    /// Opens the vault, unless it is open and still the one that is there.
    fn open(&mut self) -> Result<(), Failure> {
        let path = &self.context.layout.vault_file;
        let there = Stamp::of(path);
        if let Some((_, Some(opened))) = &self.vault
            && there.is_some_and(|there| there.is_same_file(opened))
        {
            return Ok(());
        }
        self.vault = None;
        let vault = if self.had_vault {
            // Gone for a moment while it is replaced: one that is made then would be empty.
            self.context.unlocked()?
        } else {
            self.context.vault()?
        };
        self.had_vault = true;
        let opened = Stamp::of(vault.path());
        self.vault = Some((vault, opened));
        Ok(())
    }

    fn note(&mut self, touched: &Touched, settling: &mut Settling) {
        match touched {
            Touched::Path(path, touch) => {
                if self.is_settings(path) {
                    self.reload();
                }
                settling.note(path, *touch, Instant::now());
            }
            Touched::Unsure => self.reload(),
        }
    }

    fn reload(&mut self) {
        self.context.forget_settings();
        self.schedule.forget();
    }

    /// How long to sleep at most.
    fn look_every(&self, is_told: bool) -> Duration {
        let look = if is_told { LOOK_EVERY } else { POLL_EVERY };
        self.service.pulse().map_or(look, |pulse| pulse.min(look))
    }

    /// Waits for alerts that are on their way.
    fn finish_alerts(&mut self) {
        let Some((vault, _)) = self.vault.as_mut() else {
            return;
        };
        let finished = self.alerting.finish(self.context, vault, ALERTS_WAIT);
        if let Err(failure) = finished {
            self.log.fail(&failure);
        }
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.service.stopping();
        self.finish_alerts();
        self.log.event("ended as asked");
        Ok(())
    }
}

/// What went wrong with agents, for a person who is not here; what is over by itself in a moment left out.
fn lasting(
    failures: &[(AgentRef, Failure)],
    mut lasts: impl FnMut(&AgentRef, &Failure) -> bool,
) -> Vec<Trouble> {
    let lasting = failures
        .iter()
        .filter(|(agent, failure)| lasts(agent, failure));
    let trouble = |(agent, failure): &(AgentRef, Failure)| Trouble {
        key: format!("agent:{}", agent.name),
        title: format!("Agent {} is not in step", agent.name),
        body: log::in_a_line(failure),
    };
    lasting.map(trouble).collect()
}

/// How it stands, for who asks the manager.
fn status(seen: &Seen) -> String {
    let count = |count: usize, noun: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {noun}{plural}")
    };
    let credentials = seen.agents.iter().map(|(_, doc)| doc.credentials().count());
    let mut status = format!(
        "{}, {}",
        count(seen.agents.len(), "agent"),
        count(credentials.sum(), "credential")
    );
    if !seen.failures.is_empty() {
        status.push_str(&format!("; {} in trouble", seen.failures.len()));
    }
    status
}
