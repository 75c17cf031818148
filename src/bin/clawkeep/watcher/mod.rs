//! Keeping everything in step without being asked: waits for changed files, for what is due, and for signals, and goes through
//! everything once there is a reason.

mod log;
mod pass;
mod service;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime};

use clawkeep::config::{AgentRef, order_agent};
use clawkeep::platform::{FileError, Followed, Follower, Stamp, Touch, Touched, read_regular};
use clawkeep::sync::watch::{Schedule, Settling};
use clawkeep::vault::{UnlockedVault, VaultError};

use self::log::Log;
use self::pass::{Pass, Seen};
use self::service::Service;
use crate::context::Context;
use crate::failure::Failure;
use crate::record::prune;

/// How often it is looked whether something has changed that was not told: on a network file system, by a clock that was set, in the
/// vault.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The same where the system does not tell of changed files.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// By how much the clock may run against the system's steady one before it counts as set.
const CLOCK_SLACK: Duration = Duration::from_secs(2);
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
/// The largest file that is looked at to see whether it is whole, in bytes.
const WHOLE_MAX: u64 = 64 << 20;

/// What ends a wait.
#[derive(Debug)]
pub(crate) enum Wake {
    Touched(Touched),
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
    /// The vault, and which file it is.
    vault: Option<(UnlockedVault, Option<Stamp>)>,
    /// There was one: it is not made anew.
    had_vault: bool,
    /// The agents of the last pass.
    agents: Vec<AgentRef>,
    pruned: Option<Instant>,
    released: Instant,
}

/// What was seen before the last pass, by which the next look tells whether something has changed.
struct Before {
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    version: Option<i64>,
    clock: (SystemTime, Instant),
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
    pub(crate) fn new(context: &'c mut Context, ahead_ms: i64) -> Self {
        Self {
            log: Log::new(context.env.get("JOURNAL_STREAM")),
            context,
            service: Service::new(),
            schedule: Schedule::new(ahead_ms),
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
        let failures = seen.failures.into_iter().map(|(_, failure)| failure);
        let worst = failures.max_by_key(Failure::exit_status);
        match worst {
            // Each was said with its agent.
            Some(failure) => Err(Failure::Check(failure.exit_status())),
            None => Ok(()),
        }
    }

    /// Watches until it is told to end. Only what keeps it from beginning is a failure.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        let (sender, wakes) = mpsc::channel();
        let is_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
        service::listen(sender.clone(), is_terminal).map_err(Failure::Input)?;
        let mut follower = self.follower(&sender);
        self.arm(&mut follower);
        let mut before = self.before();
        let first = self.first_pass(&wakes)?;
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
        let seen = pass.run()?;
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

    fn follower(&self, wakes: &Sender<Wake>) -> Option<Follower> {
        let wakes = wakes.clone();
        let follower = Follower::new(move |touched| {
            // Nobody is left to wake while the process ends.
            let _ = wakes.send(Wake::Touched(touched));
        });
        follower.map_err(|error| self.say_polling(&error)).ok()
    }

    fn say_polling(&self, error: &(dyn std::error::Error + 'static)) {
        let why = crate::failure::chain(Some(error)).join(": ");
        self.log.warn(&format!(
            "{why}. Files are looked at every second instead; on Linux, raise fs.inotify.max_user_watches and max_user_instances"
        ));
    }

    /// Follows what there is now. Whether something may have happened there before it was followed.
    fn arm(&self, follower: &mut Option<Follower>) -> bool {
        let Some(watching) = follower.as_mut() else {
            return false;
        };
        match watching.follow(&self.followed()) {
            Ok(is_new) => is_new,
            Err(error) => {
                self.say_polling(&error);
                *follower = None;
                true
            }
        }
    }

    /// The files that other programs write.
    fn followed(&self) -> Followed {
        let layout = &self.context.layout;
        let mut files = vec![
            layout.claude_code_file.clone(),
            layout.codex_file.clone(),
            layout.settings_file.clone(),
            layout.config_file.clone(),
        ];
        files.extend(self.agents.iter().map(AgentRef::store_file));
        if let Ok(settings) = self.context.settings() {
            // An agent that is configured is there once its directory is.
            let listed = settings
                .agents
                .iter()
                .map(|agent| order_agent(layout, settings, Some(agent.name.as_str())).store_file());
            files.extend(listed);
        }
        files.sort();
        files.dedup();
        let agents = layout.state_dir.join("agents");
        let mut dirs = vec![agents.clone()];
        if let Ok(entries) = std::fs::read_dir(&agents) {
            let entries = entries.filter_map(Result::ok);
            dirs.extend(
                entries
                    .map(|entry| entry.path())
                    .filter(|path| path.is_dir()),
            );
        }
        Followed { files, dirs }
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

    fn is_settings(&self, path: &Path) -> bool {
        let layout = &self.context.layout;
        path == layout.settings_file || path == layout.config_file
    }

    fn reload(&mut self) {
        self.context.forget_settings();
        self.schedule.forget();
    }

    /// Whether what is in a file makes sense. One that is not there may be about to be put in place.
    fn is_whole(&self, path: &Path) -> bool {
        if path.extension().is_none_or(|extension| extension != "json") || self.is_settings(path) {
            return true; // a directory, or nothing that is read without need
        }
        match read_regular(path, WHOLE_MAX) {
            Ok(Some(contents)) => {
                serde_json::from_slice::<serde::de::IgnoredAny>(&contents.bytes).is_ok()
            }
            Ok(None) => path.parent().is_none_or(|dir| !dir.is_dir()),
            Err(FileError::Io { .. } | FileError::TooLarge { .. }) | Err(_) => true, // said by the pass
        }
    }

    /// How long to sleep at most.
    fn look_every(&self, is_told: bool) -> Duration {
        let look = if is_told { LOOK_EVERY } else { POLL_EVERY };
        self.service.pulse().map_or(look, |pulse| pulse.min(look))
    }

    fn before(&self) -> Before {
        let followed = self.followed();
        let paths = followed.files.into_iter().chain(followed.dirs);
        Before {
            stamps: paths
                .map(|path| {
                    let stamp = Stamp::of(&path);
                    (path, stamp)
                })
                .collect(),
            version: self.version(),
            clock: (SystemTime::now(), Instant::now()),
        }
    }

    fn version(&self) -> Option<i64> {
        let (vault, _) = self.vault.as_ref()?;
        vault.data_version().ok()
    }

    /// The files that have changed without a word.
    fn changed(&self, before: &Before) -> Vec<PathBuf> {
        let changed = before.stamps.iter();
        let changed = changed.filter(|(path, stamp)| Stamp::of(path) != **stamp);
        changed.map(|(path, _)| path.clone()).collect()
    }

    /// Whether anything else has changed that is not told: the clock, the vault.
    fn is_otherwise(&self, before: &Before) -> bool {
        let (wall, steady) = before.clock;
        let passed = SystemTime::now().duration_since(wall).unwrap_or_default();
        let is_clock_set = passed.abs_diff(steady.elapsed()) > CLOCK_SLACK;
        let is_replaced = || match &self.vault {
            Some((vault, opened)) => match (Stamp::of(vault.path()), opened) {
                (Some(there), Some(opened)) => !there.is_same_file(opened),
                _ => true,
            },
            None => false, // opened with the next pass
        };
        is_clock_set
            || cfg!(target_os = "macos") // a login in the Keychain, of which nobody tells
            || is_replaced()
            || self.version() != before.version
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.service.stopping();
        self.log.event("ended as asked");
        Ok(())
    }
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
