//! Telling a person what is wrong, for commands that run unattended: the settings and arguments, and the record's head.

use std::io::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clawkeep::alerts::{Alerts, DELIVERY_MAX, Means, Scene};
use clawkeep::config::{AgentRef, NotifySettings, NotifyTarget};
use clawkeep::domain::{Fingerprint, StoreDoc, UnixMs};
use clawkeep::sync::LoginReport;
use clawkeep::vault::UnlockedVault;

pub(crate) use clawkeep::alerts::Trouble;

use crate::context::{Context, session_bus};
use crate::failure::Failure;
use crate::terminal::text::one_line;

/// What programs that tell somebody are given of the environment: where they find others, who and where they are, the session. Nothing
/// else, since secrets are in variables too.
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

/// The same on Windows: what its programs find others, their settings and temporary files by. Source:
/// Microsoft's documentation, Recognized Environment Variables.
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

/// How long what is on its way is waited for at the end: longer than a delivery takes. Service managers wait for a minute and more.
pub(crate) const ALERTS_WAIT: Duration = DELIVERY_MAX.saturating_add(Duration::from_secs(5));

/// Whom to tell: `desktop`, `ntfy:URL`, `webhook:URL` or `command:PROGRAM`.
#[derive(Clone, Debug)]
pub(crate) struct NotifyArg(NotifyTarget);

impl FromStr for NotifyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        NotifyTarget::from_argument(text).map(Self)
    }
}

/// What a pass knows of credentials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'k> {
    /// The agents whose stores are known whole.
    pub(crate) agents: &'k [(AgentRef, StoreDoc)],
    /// What became of other programs' logins; `None` where their sources were not read.
    pub(crate) logins: Option<&'k [LoginReport]>,
    /// Logins that are about to be refreshed.
    pub(crate) refreshing: &'k [Fingerprint],
}

/// Alerts, as a command has them. Where nobody is to be told, everything here does nothing.
#[derive(Debug)]
pub(crate) struct Alerting {
    alerts: Alerts,
    args: Vec<NotifyArg>,
}

impl Alerting {
    /// Reads the settings and adds what the arguments say. `wake` is called from another thread when it is time for a pass.
    pub(crate) fn new(
        context: &Context,
        args: &[NotifyArg],
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        Ok(Self::with(context, settings(context, args)?, args, wake))
    }

    /// As [`Alerting::new`]; where the settings cannot be used nobody is told until a pass finds them mended.
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
                wake: Arc::new(wake),
                bus: session_bus(&context.env),
                env: PASSED_ON.iter().chain(windows).filter_map(value).collect(),
                lock: context.lock_dir().join("alerts"),
                actor: context.actor.clone(),
                clock: context.clock,
            }),
        }
    }

    /// What could not be delivered is tried again in the next pass.
    pub(crate) fn urge(&mut self) {
        self.alerts.urge();
    }

    /// Whether no notification target is set.
    pub(crate) fn is_idle(&self) -> bool {
        self.alerts.is_idle()
    }

    /// The targets that could not be reached last, and why.
    pub(crate) fn unreached(&self) -> impl Iterator<Item = (&str, &str)> {
        self.alerts.unreached()
    }

    /// Whether nobody could be told what was sent last.
    pub(crate) fn has_reached_nobody(&self) -> bool {
        self.alerts.has_reached_nobody()
    }

    /// Records what was delivered, looks at what is wrong, and starts what is due; when it next wants to be called, by the wall clock.
    /// An agent whose store is not known whole is left out: what is missing from it would pass for removed.
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
        // They may have changed meanwhile; ones that cannot be read are the watcher's to tell.
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
        };
        let next = self.alerts.pass(vault, scene)?;
        if vault.head()? != before {
            context.keep_head(vault);
        }
        Ok(next)
    }

    /// As [`Alerting::pass`] where the vault cannot be opened: what is told is remembered until it can be recorded. What was told of
    /// before is not over for that.
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

    /// Waits for what is on its way, until `deadline` at most, and records it.
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
        // Without a vault there is nothing that can fail.
        let _ = self.alerts.finish(None, deadline);
    }

    /// Sends a test to every target and prints what came of each; it fails if one did not arrive.
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

/// What the settings say, and whom the arguments add.
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
