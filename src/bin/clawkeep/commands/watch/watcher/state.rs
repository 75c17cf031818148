//! Plain values that the watcher's parts exchange: wakes, jobs, outcomes and reports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{AgentName, Fingerprint, ProfileId, StoreDoc, counted};
use clawkeep::internal::platform::Stamp;
use clawkeep::internal::sync::{LoginReport, NotRefreshed};

use crate::failure::Failure;

/// Whether the watcher was asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending(pub(super) Arc<AtomicBool>);

impl Ending {
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A login that is to be refreshed.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) agent: AgentRef,
    pub(crate) id: ProfileId,
    pub(crate) grant: Fingerprint,
    /// Refresh it if less than this remains, in milliseconds.
    pub(crate) ahead_ms: i64,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// The login's lifetime left in milliseconds and its grant; whether this process refreshed it.
    Lasts(i64, Fingerprint, bool),
    /// The login was not refreshed: why, and the fix.
    Not(NotRefreshed, String),
    Failed(Failure),
}

#[derive(Debug, Default)]
pub(crate) struct PassReport {
    /// Every agent that was read completely, in its current state.
    pub(crate) agents: Vec<(AgentRef, StoreDoc)>,
    pub(crate) borrowed: BTreeSet<PathBuf>,
    /// The state of other programs' logins, for every agent.
    pub(crate) logins: Vec<LoginReport>,
    /// Whether some sources were not read.
    pub(crate) is_unread: bool,
    pub(crate) failures: Vec<(AgentRef, Failure)>,
    /// The logins that are due for a refresh.
    pub(crate) due: Vec<Job>,
    /// The agents whose stores another program keeps writing back as an old copy, each with its
    /// warning.
    pub(crate) old_copies: Vec<(AgentName, String)>,
    /// How long until something is due.
    pub(crate) wait: Option<Duration>,
}

/// The difference between wall clock and monotonic clock that counts as a clock change.
pub(crate) const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// The state before the last pass, which later checks compare with.
pub(crate) struct FileSnapshot {
    pub(super) stamps: BTreeMap<PathBuf, Option<Stamp>>,
    pub(super) version: Option<i64>,
    pub(super) clock: (SystemTime, Instant),
}

impl FileSnapshot {
    /// Whether the clock was set since, or the machine slept.
    pub(super) fn is_clock_set(&self) -> bool {
        let (wall, steady) = self.clock;
        let passed = SystemTime::now().duration_since(wall).unwrap_or_default();
        passed.abs_diff(steady.elapsed()) > CLOCK_SLACK
    }
}

/// The keys of one agent, by profile.
pub(super) type Keys = BTreeMap<String, Fingerprint>;

/// What OpenClaw was told last.
#[derive(Default)]
pub(super) struct Feed {
    /// The keys of the last pass; `None` before the first.
    pub(super) known: Option<BTreeMap<AgentName, Keys>>,
    /// Whether it is being told.
    pub(super) is_under_way: bool,
    /// Whether keys have changed since that began.
    pub(super) is_due: bool,
}

impl Feed {
    /// Whether a change of the vault has to be noticed at once.
    pub(super) fn is_on(&self) -> bool {
        self.known.is_some()
    }
}

/// The event that ends a wait.
#[derive(Debug)]
#[cfg_attr(not(unix), allow(dead_code, reason = "a signal asks for a reload"))]
pub(crate) enum Wake {
    /// Something is in the inbox.
    Touched,
    /// An alert was delivered, or could not be.
    Delivered,
    /// OpenClaw was told that a key has changed.
    Told(Result<(), Box<Failure>>),
    /// The outcome of a refresh; `None` once all are done.
    Refreshed(Option<Box<(Job, Outcome)>>),
    /// Asks to read the settings again.
    Reload,
    End,
}

#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Whether a pass is due now.
    pub(super) is_dirty: bool,
    /// When the next pass is due.
    pub(super) at: Option<Instant>,
    /// How many passes have failed in a row, as a whole or for an agent.
    pub(super) failures: usize,
}

/// The status line for the service manager.
pub(crate) fn status(report: &PassReport) -> String {
    let credentials = report
        .agents
        .iter()
        .map(|(_, doc)| doc.credentials().count());
    let mut status = format!(
        "{}, {}",
        counted(report.agents.len(), "agent"),
        counted(credentials.sum::<usize>(), "credential")
    );
    if !report.failures.is_empty() {
        status.push_str(&format!("; {} failing", report.failures.len()));
    }
    status
}
