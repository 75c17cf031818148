//! The watcher: waits for changed files, due work and signals, and makes a pass over everything
//! when there is a reason.

mod files;
mod inbox;
pub(crate) mod lock;
pub(crate) mod log;
mod openclaw;
mod pass;
mod refresh;
pub(crate) mod retry;
mod rounds;
mod service;
pub(crate) mod state;
pub(crate) mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::doctor::Warning;
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{AgentName, Fingerprint, Span};
use clawkeep::internal::platform::{FileLock, Follower, Stamp, Touch};
use clawkeep::internal::sync::watch::{Attempt, Schedule, Settling, is_hopeless};
use clawkeep::internal::vault::UnlockedVault;

use self::inbox::Inbox;
use self::log::{Log, LogFormat, in_a_line};
use self::retry::{RETRIES, no_thread, retry};
use self::service::Service;
use self::state::{Due, Ending, Feed, FileSnapshot, Job, Outcome, PassReport, Wake};
use super::alerting::{Alerting, NotifyArg};
use super::unopened;
use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::shown_id;

/// How often unannounced changes are looked for: network file systems, a set clock, the vault.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// The same while the system reports no file changes.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How often the vault is looked at while OpenClaw waits for its changes: nothing reports them.
const VAULT_INTERVAL: Duration = Duration::from_millis(250);
/// The shortest time between two passes without a request.
const PASS_PAUSE: Duration = Duration::from_millis(100);
pub(crate) struct Watcher<'c> {
    context: &'c mut Context,
    /// Prevents a second watcher; `None` while the lock moves to the vault's new place.
    lock: Option<FileLock>,
    log: Log,
    service: Service,
    schedule: Schedule,
    alerting: Alerting,
    sender: Sender<Wake>,
    ending: Ending,
    inbox: Inbox,
    settling: Settling,
    /// The file notifications; else, since when they are off.
    follower: Option<Follower>,
    unfollowed: Option<Instant>,
    /// The vault and the identity of its file.
    vault: Option<(UnlockedVault, Option<Stamp>)>,
    /// Whether only one pass is made.
    is_single: bool,
    /// Whether a vault was opened before: then it is not created again.
    had_vault: bool,
    /// The agents of the last pass.
    agents: Vec<AgentRef>,
    /// The files of borrowed logins, from the last pass.
    borrowed: BTreeSet<PathBuf>,
    /// Agents whose stores other processes lock, and since when.
    busy: BTreeMap<AgentName, Instant>,
    feed: Feed,
    /// When other programs' logins were looked at, and those that expire soon.
    discovered: Option<Instant>,
    expiring: Vec<Warning>,
    /// The thread that refreshes logins.
    refreshing: Option<JoinHandle<()>>,
    /// The grants being refreshed.
    under_way: Vec<Fingerprint>,
    /// Why the current settings cannot be used.
    is_stale: bool,
    settings_fault: Option<String>,
    pruned: Option<Instant>,
    released: Instant,
}

impl<'c> Watcher<'c> {
    pub(crate) fn new(
        context: &'c mut Context,
        lock: FileLock,
        ahead_ms: i64,
        (notify, format): (&[NotifyArg], LogFormat),
        sender: Sender<Wake>,
    ) -> Result<Self, Failure> {
        context.own()?; // invalid settings are reported at once
        let alerting = trouble::alerting(context, notify, &sender);
        let settings_fault = trouble::notify_fault(context);
        let stream = context.env.get("JOURNAL_STREAM");
        let log = Log::new(stream, context.clock, (format, context.ui.loudness));
        Ok(Self {
            log: log.map_err(|error| no_thread(&error))?,
            context,
            lock: Some(lock),
            service: Service::new(),
            schedule: Schedule::new(ahead_ms),
            alerting,
            sender,
            ending: Ending::default(),
            inbox: Inbox::default(),
            settling: Settling::default(),
            follower: None,
            unfollowed: None,
            vault: None,
            is_single: false,
            had_vault: false,
            agents: Vec::new(),
            borrowed: BTreeSet::new(),
            busy: BTreeMap::new(),
            feed: Feed::default(),
            discovered: None,
            expiring: Vec::new(),
            refreshing: None,
            under_way: Vec::new(),
            is_stale: false,
            settings_fault,
            pruned: None,
            released: Instant::now(),
        })
    }

    /// Makes one pass and its due refreshes. The worst failure ends it.
    pub(crate) fn once(&mut self, wakes: &Receiver<Wake>) -> Result<(), Failure> {
        self.is_single = true;
        let mut report = self.pass()?;
        unopened::forget(self.context);
        while self.refreshing.is_some() {
            match wakes.recv() {
                Ok(Wake::Refreshed(what)) => self.note_refreshed(what),
                Ok(_) => {}
                Err(_) => break,
            }
            if self.refreshing.is_none() {
                // exports the new tokens and records failures
                report = self.pass_without_refreshing()?;
            }
        }
        self.finish_alerts();
        let failures = report.failures.into_iter().map(|(_, failure)| failure);
        let worst = failures.max_by_key(Failure::exit_status);
        // Each failure was already logged.
        match worst {
            Some(failure) => Err(Failure::Check(failure.exit_status())),
            None if self.settings_fault.is_some() => Err(Failure::ReportedDamaged),
            None => Ok(()),
        }
    }

    /// Watches until it is asked to stop. Fails only if it cannot start.
    pub(crate) fn run(
        &mut self,
        wakes: &Receiver<Wake>,
        ends_with_stdin: bool,
    ) -> Result<(), Failure> {
        let is_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
        service::listen(self.sender.clone(), &self.ending, is_terminal)
            .map_err(|error| no_thread(&error))?;
        if ends_with_stdin {
            service::end_with_stdin(self.sender.clone(), &self.ending)
                .map_err(|error| no_thread(&error))?;
        }
        self.arm();
        let mut before = self.before();
        let mut checked = Instant::now();
        let mut due = match self.first_pass(wakes) {
            Ok(Some(due)) => due,
            Ok(None) => return self.end(wakes),
            Err(failure) => return Err(failure),
        };
        due.is_dirty |= self.arm();
        self.log
            .event(&format!("watching: {}", self.service.status()));
        loop {
            self.sort_out(&mut due);
            let hold = self.hold();
            if due.is_dirty && hold.is_none() {
                before = self.before();
                due = self.attempt(due.failures);
                checked = Instant::now();
                due.is_dirty |= self.arm();
                self.settling.read(Instant::now());
            }
            let interval = self.check_interval();
            let longest = match self.feed.is_on() {
                true => interval.min(VAULT_INTERVAL),
                false => interval,
            };
            let wait = match (due.is_dirty, hold, due.at) {
                (true, Some(hold), _) => hold,
                (true, None, _) => PASS_PAUSE,
                (false, _, Some(at)) => at.saturating_duration_since(Instant::now()),
                (false, _, None) => interval,
            };
            match wakes.recv_timeout(wait.min(longest)) {
                Ok(wake) => {
                    let all = std::iter::once(wake).chain(wakes.try_iter());
                    for wake in all {
                        match wake {
                            Wake::End => return self.end(wakes),
                            Wake::Touched => {} // handled immediately
                            Wake::Delivered => due.is_dirty = true,
                            Wake::Told(told) => self.note_told(told),
                            Wake::Refreshed(what) => {
                                due.is_dirty |= what.is_none();
                                self.note_refreshed(what);
                            }
                            Wake::Reload => {
                                self.is_stale = true;
                                self.schedule.forget();
                                self.alerting.urge();
                                due.is_dirty = true;
                            }
                        }
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return self.end(wakes),
                Err(RecvTimeoutError::Timeout) => {
                    self.service.alive();
                    due.is_dirty |= due.at.is_some_and(|at| at <= Instant::now());
                    due.is_dirty |= self.feed.is_on() && self.has_vault_changed(&before);
                    if checked.elapsed() >= interval {
                        checked = Instant::now();
                        due.is_dirty |= self.check_unannounced(&before);
                    }
                }
            }
        }
    }

    /// Waits until the vault is available; `None` if asked to stop before.
    fn first_pass(&mut self, wakes: &Receiver<Wake>) -> Result<Option<Due>, Failure> {
        for pause in RETRIES {
            match self.pass() {
                Err(failure) if failure.is_busy() => {
                    self.log.failing(&in_a_line(&failure));
                    self.service.alive();
                    let end = Instant::now() + pause;
                    while let Ok(wake) =
                        wakes.recv_timeout(end.saturating_duration_since(Instant::now()))
                    {
                        if matches!(wake, Wake::End) {
                            return Ok(None);
                        }
                    }
                    self.is_stale = true; // discards notifications from meanwhile
                }
                Err(failure) => return Err(failure),
                Ok(report) => {
                    unopened::forget(self.context);
                    return Ok(Some(self.after(&report, 0)));
                }
            }
        }
        self.pass().map(|report| Some(self.after(&report, 0)))
    }

    /// Processes the pending file notifications.
    fn sort_out(&mut self, due: &mut Due) {
        let contents = self.inbox.take();
        let now = Instant::now();
        due.is_dirty |= contents.is_unsure || !contents.paths.is_empty();
        self.is_stale |= contents.is_unsure;
        for (path, touch) in contents.paths {
            self.note(&path, touch, now);
        }
    }

    fn note(&mut self, path: &Path, touch: Touch, now: Instant) {
        self.is_stale |= self.is_settings(path);
        self.settling.note(path, touch, now);
    }

    /// How long to wait for files that are being written to settle.
    fn hold(&mut self) -> Option<Duration> {
        let mut settling = std::mem::take(&mut self.settling);
        let hold = settling.wait(Instant::now(), |path| self.content_of(path));
        self.settling = settling;
        hold
    }

    fn check_interval(&self) -> Duration {
        let interval = if self.follower.is_some() {
            CHECK_INTERVAL
        } else {
            POLL_EVERY
        };
        self.service
            .pulse()
            .map_or(interval, |pulse| pulse.min(interval))
    }

    /// Looks for changes without a notification. Returns whether there are any.
    fn check_unannounced(&mut self, before: &FileSnapshot) -> bool {
        let changed = self.changed(before);
        let is_clock_set = before.is_clock_set();
        if is_clock_set {
            self.schedule.forget(); // its pauses belong to another time
        }
        let now = Instant::now();
        for path in &changed {
            self.note(path, Touch::Writing, now);
        }
        !changed.is_empty() || is_clock_set || self.has_vault_changed(before)
    }

    /// When the next pass is due, from the result of this one.
    fn after(&mut self, report: &PassReport, failures: usize) -> Due {
        self.service.ready(state::status(report));
        self.borrowed.clone_from(&report.borrowed);
        let is_busy = report.failures.iter().all(|(_, failure)| failure.is_busy());
        let failures = if report.failures.is_empty() {
            0
        } else {
            failures + 1
        };
        let retry = failures.checked_sub(1).map(|before| retry(before, is_busy));
        let wait = report.wait.into_iter().chain(retry).min();
        Due {
            // Agents that were left out are retried.
            is_dirty: !self.settling.held().is_empty(),
            at: wait.and_then(|wait| Instant::now().checked_add(wait.max(PASS_PAUSE))),
            failures,
        }
    }

    /// Records the outcome of a refresh.
    fn note_refreshed(&mut self, what: Option<Box<(Job, Outcome)>>) {
        let Some(what) = what else {
            if let Some(thread) = self.refreshing.take() {
                let _ = thread.join(); // the thread has finished
            }
            return;
        };
        let (job, outcome) = *what;
        let agent = shown_id(job.agent.name.as_str());
        let key = format!("refresh {agent} {}", job.id);
        let (now, instant) = (self.context.clock.now(), Instant::now());
        match outcome {
            Outcome::Lasts(ms, grant, is_ours) => {
                self.schedule.note(grant, Attempt::ValidFor(ms), instant);
                self.log.forget_retry(&key);
                if is_ours {
                    let id = shown_id(job.id.as_str());
                    let left = Span::from_ms(ms).short();
                    self.log
                        .event(&format!("{agent}: {id} was refreshed; expires in {left}"));
                }
            }
            Outcome::Not(why, next) => {
                let attempt = Attempt::NotRefreshed(&why, now);
                let pause = self.schedule.note(job.grant, attempt, instant);
                let reason =
                    crate::commands::hand_out::refresh_failure::reason(job.id.as_str(), &why);
                let mut text = format!("{agent}: {reason}.");
                if is_hopeless(&why) {
                    text.push_str(&format!(" {next}"));
                } else {
                    let pause = Span::from_f64(pause.as_secs_f64() * 1000.0).short();
                    text.push_str(&format!(" It is tried again in {pause}."));
                }
                self.log.warn_of_retry(&key, &text);
            }
            Outcome::Failed(failure) => {
                self.schedule.note(job.grant, Attempt::Failed, instant);
                let why = in_a_line(&failure);
                self.log
                    .warn_of_retry(&key, &format!("{agent}: {}: {why}", job.id));
            }
        }
    }

    fn end(&mut self, wakes: &Receiver<Wake>) -> Result<(), Failure> {
        self.service.stopping();
        if self.refreshing.is_some() {
            self.log.event(
                "stopping once the running refresh has its answer; a second signal stops at once",
            );
        }
        while self.refreshing.is_some() {
            match wakes.recv() {
                Ok(Wake::Refreshed(what)) => self.note_refreshed(what),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        self.finish_alerts();
        self.log.event("stopped as requested");
        Ok(())
    }

    pub(crate) fn flush(&self) {
        self.log.flush();
    }

    fn is_settings(&self, path: &Path) -> bool {
        let layout = &self.context.layout;
        path == layout.settings_file || path == layout.config_file
    }

    /// Where the other programs keep their logins.
    fn sources(&self) -> impl Iterator<Item = PathBuf> {
        let logins = self.context.layout.logins.iter();
        logins.map(|program| program.login.clone())
    }
}
