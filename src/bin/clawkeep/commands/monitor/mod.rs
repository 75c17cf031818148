//! `monitor`: have `clawkeep watch` run unattended.

#[cfg(windows)]
pub(crate) mod hidden;
pub(crate) mod install;
pub(crate) mod status;
mod unattended;
pub(crate) mod uninstall;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use clawkeep::platform::{FileLock, exists, user_sid};

use self::install::Install;
use self::status::Status;
use self::unattended::own_file::{There, look};
use self::unattended::task::{self, Scheduler};
use self::unattended::{Pace, launchd, systemd};
use self::uninstall::Uninstall;
use crate::context::Context;
use crate::context::global::Global;
use crate::failure::Failure;

/// Have `clawkeep watch` run unattended.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  clawkeep monitor install\n  clawkeep monitor uninstall")]
pub(crate) enum Monitor {
    /// Have it started with your login, and kept running
    Install(Install),
    /// Whether it is installed, and runs
    Status(Status),
    /// Stop it, and remove what was installed
    Uninstall(Uninstall),
    #[cfg(windows)]
    #[command(hide = true)]
    RunHidden(self::hidden::RunHidden),
}

impl Monitor {
    pub(crate) fn run(self, context: &Context, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Install(command) => command.run(context, global),
            Self::Status(command) => command.run(context),
            Self::Uninstall(command) => command.run(context),
            #[cfg(windows)]
            Self::RunHidden(command) => command.run(),
        }
    }
}

/// What starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// systemd, as a service of the user
    Systemd,
    /// launchd, as an agent of the user
    Launchd,
    /// A line to be put into a crontab
    Cron,
    /// Windows' Task Scheduler, as a task of the user
    TaskScheduler,
}

/// Windows' Task Scheduler; `None` on other systems.
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

/// What is at the places of our files.
pub(crate) struct Found {
    pub(crate) service: (PathBuf, There),
    pub(crate) timer: (PathBuf, There),
    pub(crate) agent: (PathBuf, There),
    pub(crate) task: (PathBuf, There),
}

impl Found {
    pub(crate) fn look(context: &Context) -> Self {
        let units = context.layout.user_unit_dir();
        let agents = context.layout.launch_agents_dir();
        let at = |path: PathBuf| {
            let there = look(&path);
            (path, there)
        };
        Self {
            service: at(units.join(systemd::SERVICE)),
            timer: at(units.join(systemd::TIMER)),
            agent: at(agents.join(launchd::file_name())),
            task: at(context.layout.data_dir.join(task::FILE)),
        }
    }

    /// How systemd was told to run it, if it was.
    pub(crate) fn pace(&self) -> Option<Pace> {
        match (self.service.1.ours(), self.timer.1.ours()) {
            (_, Some(_)) => Some(Pace::Timed),
            (Some(_), None) => Some(Pace::Always),
            (None, None) => None,
        }
    }
}
