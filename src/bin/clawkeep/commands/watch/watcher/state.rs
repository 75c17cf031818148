//! What a watcher waits for, works with and finds: plain values, which its parts hand to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use clawkeep::config::AgentRef;
use clawkeep::domain::{AgentName, Fingerprint, ProfileId, StoreDoc};
use clawkeep::platform::Stamp;
use clawkeep::sync::{LoginReport, NotRenewed};

use crate::failure::Failure;

/// Whether it has been asked to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending(pub(super) Arc<AtomicBool>);

impl Ending {
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A login to be refreshed.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) agent: AgentRef,
    pub(crate) id: ProfileId,
    pub(crate) grant: Fingerprint,
    /// It is, if less is left of it, in milliseconds.
    pub(crate) ahead_ms: i64,
}

/// What came of one.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It lasts so long now, in milliseconds, with that grant; whether that is this process's doing.
    Lasts(i64, Fingerprint, bool),
    /// It was not refreshed: why, and what a person can do.
    Not(NotRenewed, String),
    Failed(Failure),
}

/// What a pass found.
#[derive(Debug, Default)]
pub(crate) struct PassReport {
    /// Every agent that is known whole, as it is now.
    pub(crate) agents: Vec<(AgentRef, StoreDoc)>,
    /// The files of borrowed logins.
    pub(crate) borrowed: BTreeSet<PathBuf>,
    /// What became of other programs' logins, of every agent.
    pub(crate) logins: Vec<LoginReport>,
    /// Some sources were not read in this pass.
    pub(crate) is_unread: bool,
    /// What went wrong, of which agent.
    pub(crate) failures: Vec<(AgentRef, Failure)>,
    /// Logins to be refreshed.
    pub(crate) due: Vec<Job>,
    /// The agents whose stores another program keeps writing back as an old copy, and what is said
    /// of each.
    pub(crate) old_copies: Vec<(AgentName, String)>,
    /// How long until something is due.
    pub(crate) wait: Option<Duration>,
}

/// By how much the clock may run against the system's steady one before it counts as set.
pub(crate) const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// What was seen before the last pass, by which the next look tells whether something has changed.
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

/// What ends a wait.
#[derive(Debug)]
#[cfg_attr(not(unix), allow(dead_code, reason = "a signal asks for a reload"))]
pub(crate) enum Wake {
    /// Something is in the inbox.
    Touched,
    /// An alert was delivered, or could not be.
    Delivered,
    /// What came of a refresh; nothing once all are done.
    Refreshed(Option<Box<(Job, Outcome)>>),
    /// Read the settings anew.
    Reload,
    End,
}

/// Why and when the next pass is made.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// There is a reason.
    pub(super) is_dirty: bool,
    /// When there will be one.
    pub(super) at: Option<Instant>,
    /// How many passes have failed in turn, in whole or for an agent.
    pub(super) failures: usize,
}

/// How it stands, for who asks the manager.
pub(crate) fn status(report: &PassReport) -> String {
    let count = |count: usize, noun: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {noun}{plural}")
    };
    let credentials = report.agents.iter().map(|(_, doc)| doc.credentials().count());
    let mut status = format!(
        "{}, {}",
        count(report.agents.len(), "agent"),
        count(credentials.sum(), "credential")
    );
    if !report.failures.is_empty() {
        status.push_str(&format!("; {} failing", report.failures.len()));
    }
    status
}
