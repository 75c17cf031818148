//! Alerts of commands that run unattended: the settings and arguments, and the record's head.

use std::io::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::advice::{Commands, remedy_of_problem};
use clawkeep::internal::alerts::{Alerts, DELIVERY_MAX, Means, Scene};
use clawkeep::internal::config::{AgentRef, NotifySettings, NotifyTarget, session_bus};
use clawkeep::internal::domain::{Fingerprint, StoreDoc, UnixMs};
use clawkeep::internal::sync::LoginReport;
use clawkeep::internal::vault::UnlockedVault;

pub(crate) use clawkeep::internal::alerts::Trouble;

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::one_line;

/// The environment variables that notification programs get: the PATH, the user, the locale and the
/// session. No others, since variables may hold secrets.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "SYSTEMROOT",
];

/// The same on Windows: what its programs find others, their settings and temporary files by.
/// Source: Microsoft's documentation, Recognized Environment Variables.
const PASSED_ON_BY_WINDOWS: &[&str] = &[
    "ALLUSERSPROFILE",
    "APPDATA",
    "COMPUTERNAME",
    "COMSPEC",
    "HOMEDRIVE",
    "HOMEPATH",
    "LOCALAPPDATA",
    "PATHEXT",
    "PROGRAMDATA",
    "PROGRAMFILES",
    "SYSTEMDRIVE",
    "TEMP",
    "TMP",
    "USERDOMAIN",
    "USERNAME",
    "USERPROFILE",
    "WINDIR",
];

/// How long running deliveries are waited for at exit: longer than a delivery takes. Service
/// managers wait for a minute and more.
pub(crate) const ALERTS_WAIT: Duration = DELIVERY_MAX.saturating_add(Duration::from_secs(5));

/// A notification target, as in [`TARGETS`](clawkeep::internal::config::TARGETS).
#[derive(Clone, Debug)]
pub(crate) struct NotifyArg(NotifyTarget);

impl FromStr for NotifyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        NotifyTarget::from_argument(text).map(Self)
    }
}

/// The credentials that a pass has read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'k> {
    /// The agents whose stores were read completely.
    pub(crate) agents: &'k [(AgentRef, StoreDoc)],
    /// The state of other programs' logins; `None` where their sources were not read.
    pub(crate) logins: Option<&'k [LoginReport]>,
    /// Logins that will be refreshed next.
    pub(crate) refreshing: &'k [Fingerprint],
}

/// The alerts of a command. Without targets, every method does nothing.
#[derive(Debug)]
pub(crate) struct Alerting {
    alerts: Alerts,
    args: Vec<NotifyArg>,
}

impl Alerting {
    /// Reads the settings and adds the targets of the arguments. `wake` is called from another
    /// thread when a pass is due.
    pub(crate) fn new(
        context: &Context,
        args: &[NotifyArg],
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        Ok(Self::with(context, settings(context, args)?, args, wake))
    }

    /// Like [`Alerting::new`], but with invalid settings no target is used until a pass finds them
    /// fixed.
    pub(crate) fn unless_mistyped(
        context: &Context,
        args: &[NotifyArg],
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let settings = settings(context, args).unwrap_or_default();
        Self::with(context, settings, args, wake)
    }

    fn with(
        context: &Context,
        settings: NotifySettings,
        args: &[NotifyArg],
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let windows: &[&str] = if cfg!(windows) {
            PASSED_ON_BY_WINDOWS
        } else {
            &[]
        };
        let value = |name: &&str| {
            let value = context.env.raw(name)?;
            Some(((*name).into(), value.to_owned()))
        };
        Self {
            args: args.to_vec(),
            alerts: Alerts::new(Means {
                settings,
                remedies_command: "clawkeep doctor",
                wake: Arc::new(wake),
                bus: session_bus(&context.env),
                env: PASSED_ON.iter().chain(windows).filter_map(value).collect(),
                lock: context.lock_dir().join("alerts"),
                actor: context.actor.clone(),
                clock: context.clock,
            }),
        }
    }

    /// Schedules failed deliveries again for the next pass.
    pub(crate) fn urge(&mut self) {
        self.alerts.urge();
    }

    /// Whether no notification target is set.
    pub(crate) fn is_idle(&self) -> bool {
        self.alerts.is_idle()
    }

    /// The targets whose last delivery failed, and why.
    pub(crate) fn unreached(&self) -> impl Iterator<Item = (&str, &str)> {
        self.alerts.unreached()
    }

    /// Whether the last delivery failed for every target.
    pub(crate) fn has_reached_nobody(&self) -> bool {
        self.alerts.has_reached_nobody()
    }

    /// Records deliveries, finds problems, and starts due deliveries. Returns when it must be
    /// called next, by the wall clock. An agent whose store was not read completely is left out:
    /// what is missing from it would pass for removed.
    pub(crate) fn pass(
        &mut self,
        context: &Context,
        vault: &mut UnlockedVault,
        Known {
            agents,
            logins,
            refreshing,
        }: Known<'_>,
        trouble: &[Trouble],
    ) -> Result<Option<UnixMs>, Failure> {
        // The settings may have changed; the watcher reports those that cannot be read.
        if let Ok(settings) = settings(context, &self.args) {
            self.alerts.set(settings);
        }
        let before = vault.head()?;
        let scene = Scene {
            agents,
            logins,
            providers: context.providers().ok(),
            refreshing,
            trouble,
            remedy: |states, id, problem| remedy_of_problem(states, id, problem, Commands::Tree),
        };
        let next = self.alerts.pass(vault, scene)?;
        if vault.head()? != before {
            context.keep_head(vault);
        }
        Ok(next)
    }

    /// Like [`Alerting::pass`] when the vault cannot be opened: deliveries are remembered until
    /// they can be recorded, and earlier subjects stay open.
    pub(crate) fn pass_without_vault(
        &mut self,
        context: &Context,
        trouble: &[Trouble],
    ) -> Option<UnixMs> {
        if let Ok(settings) = settings(context, &self.args) {
            self.alerts.set(settings);
        }
        self.alerts.pass_without_vault(trouble)
    }

    /// Waits for running deliveries until `deadline` at most, and records them.
    pub(crate) fn finish(
        &mut self,
        context: &Context,
        vault: &mut UnlockedVault,
        deadline: Duration,
    ) -> Result<(), Failure> {
        let before = vault.head()?;
        self.alerts.finish(Some(vault), deadline)?;
        if vault.head()? != before {
            context.keep_head(vault);
        }
        Ok(())
    }

    /// As [`Alerting::finish`] where the vault cannot be opened: nothing is recorded.
    pub(crate) fn finish_without_vault(&mut self, deadline: Duration) {
        // Without a vault nothing can fail.
        let _ = self.alerts.finish(None, deadline);
    }

    /// Sends a test to every target and prints the results; fails if one did not arrive.
    pub(crate) fn test(&self, context: &Context) -> Result<(), Failure> {
        if self.is_idle() {
            return Err(Failure::Refused {
                what: "no notification target is set".to_owned(),
                next: format!(
                    "Set a target in [notify] of {}, or with --notify.",
                    context.layout.shorten_home(&context.layout.settings_file)
                ),
            });
        }
        let mut out = std::io::stdout().lock();
        let mut all_arrived = true;
        for (name, result) in self.alerts.test() {
            let outcome = match result {
                Ok(()) => "sent".to_owned(),
                Err(failed) => {
                    all_arrived = false;
                    format!("failed: {}", one_line(&failed.why))
                }
            };
            writeln!(out, "{}: {outcome}", one_line(&name)).map_err(Failure::Output)?;
        }
        if all_arrived {
            Ok(())
        } else {
            Err(Failure::Check(1))
        }
    }
}

/// The targets of the settings and of the arguments.
fn settings(context: &Context, args: &[NotifyArg]) -> Result<NotifySettings, Failure> {
    let own = context.own()?;
    if let Some(fault) = &own.notify_fault {
        return Err(fault.error().into());
    }
    let mut settings = own.notify.clone();
    for NotifyArg(target) in args {
        if settings.targets.contains(target) {
            continue;
        }
        let mut target = target.clone();
        let known = |name: &str| settings.targets.iter().any(|target| target.name == name);
        let name = target.name.clone();
        let mut number = 2;
        while known(&target.name) {
            target.name = format!("{name}#{number}");
            number += 1;
        }
        settings.targets.push(target);
    }
    Ok(settings)
}
