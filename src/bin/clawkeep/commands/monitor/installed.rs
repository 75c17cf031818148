//! The files that `monitor install` wrote, what starts the watcher, and whether it runs.

use std::path::PathBuf;

use clap::ValueEnum;
use clawkeep::internal::platform::{FileLock, exists, user_sid};

use super::unattended::job::Pace;
use super::unattended::own_file::{FileState, read_own_file};
use super::unattended::task::{self, Scheduler};
use super::unattended::{launchd, systemd};
use crate::context::Context;

/// The service manager that starts the watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceManager {
    /// systemd, as a service of the user
    Systemd,
    /// launchd, as an agent of the user
    Launchd,
    /// A line to be put into a crontab
    Cron,
    /// Windows' Task Scheduler, as a task of the user
    TaskScheduler,
}

impl ServiceManager {
    /// Its name on the command line and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Launchd => "launchd",
            Self::Cron => "cron",
            Self::TaskScheduler => "task-scheduler",
        }
    }
}

/// The scheduler of Windows; `None` on other systems.
pub(crate) fn scheduler() -> Option<Scheduler> {
    user_sid().map(|sid| Scheduler::new(&sid))
}

/// The process that watches the vault. This takes its lock for a moment: a watcher that starts in
/// that moment fails, and what started it starts it again.
pub(crate) fn watcher(context: &Context) -> Option<String> {
    let lock = context.lock_dir().join("watch");
    if !exists(&lock) || !matches!(FileLock::try_take(&lock), Ok(None)) {
        return None;
    }
    let noted = std::fs::read_to_string(lock).unwrap_or_default();
    Some(noted.trim().to_owned())
}

pub(crate) struct InstalledFiles {
    pub(crate) service: (PathBuf, FileState),
    pub(crate) timer: (PathBuf, FileState),
    pub(crate) agent: (PathBuf, FileState),
    pub(crate) task: (PathBuf, FileState),
}

impl InstalledFiles {
    pub(crate) fn find(context: &Context) -> Self {
        let units = context.layout.user_unit_dir();
        let agents = context.layout.launch_agents_dir();
        let at = |path: PathBuf| {
            let there = read_own_file(&path);
            (path, there)
        };
        Self {
            service: at(units.join(systemd::SERVICE)),
            timer: at(units.join(systemd::TIMER)),
            agent: at(agents.join(launchd::file_name())),
            task: at(context.layout.data_dir.join(task::FILE)),
        }
    }

    /// The pace that systemd was asked for, if any.
    pub(crate) fn pace(&self) -> Option<Pace> {
        match (self.service.1.ours(), self.timer.1.ours()) {
            (_, Some(_)) => Some(Pace::Timed),
            (Some(_), None) => Some(Pace::Always),
            (None, None) => None,
        }
    }
}
