//! `watch`: keeps logins and stores in sync in the background.

mod alerting;
mod unopened;
mod watcher;

use std::sync::mpsc;

use clap::Args;
use clawkeep::internal::config::TARGETS;
use clawkeep::internal::domain::Span;
use clawkeep::internal::platform::exists;
use clawkeep::internal::vault::VaultError;

use self::alerting::{Alerting, NotifyArg};
use self::watcher::log::LogFormat;
use self::watcher::{Watcher, lock};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::time_arg::span;

/// The longest time that logins are refreshed ahead.
const AHEAD_MAX: Span = Span::days(7);

/// Keep everything in sync in the background.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep watch           until Ctrl-C, or until a service manager \
        stops it\n  clawkeep watch --once    one pass, for cron\n  clawkeep watch --notify \
        ntfy:https://ntfy.example.com/my-server\n\nLogins that Claude Code, Codex or a gateway \
        change are imported and exported within a second. clawkeep refreshes the vault's own \
        logins before they expire, and records what expires. To start it with your login: \
        clawkeep monitor install"
)]
pub(crate) struct Watch {
    /// One pass, for cron
    #[arg(long)]
    once: bool,
    /// Refresh logins this long before they expire, or up to a quarter of that earlier
    #[arg(long, value_name = "SPAN", value_parser = ahead, default_value = "10m")]
    refresh_ahead: Span,
    #[arg(long, value_name = "WHERE", help = notify_help())]
    notify: Vec<NotifyArg>,
    /// The format of the lines that are printed; with json, errors are JSON, too
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Send a test message to every target, print the results, and exit
    #[arg(long, conflicts_with = "once")]
    test_notify: bool,
    /// Exit when stdin closes
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

fn notify_help() -> String {
    format!(
        "Notify this target of problems: {TARGETS}, besides what [notify] in clawkeep.toml says; \
         an address that is a secret belongs there"
    )
}

pub(crate) fn ahead(raw: &str) -> Result<Span, String> {
    let ahead = span(raw)?;
    if ahead > AHEAD_MAX {
        return Err("at most 7d".to_owned());
    }
    Ok(ahead)
}

impl Watch {
    pub(crate) fn run(self, context: &mut Context) -> Result<(), Failure> {
        if self.test_notify {
            return Alerting::new(context, &self.notify, || {})?.test(context);
        }
        let watched = self.watch(context);
        if let Err(failure) = &watched
            && unopened::is_vault_unusable(failure)
        {
            unopened::notify_unopened(context, &self.notify, failure);
        }
        watched
    }

    fn watch(&self, context: &mut Context) -> Result<(), Failure> {
        context.check_owner()?;
        context.places.check_single()?;
        let dir = context.lock_dir();
        if !exists(&context.layout.vault_file) {
            if exists(&dir) {
                // A vault existed before, and nobody is present to see that a new one replaces it.
                let path = context.layout.vault_file.clone();
                return Err(VaultError::Absent { path }.into());
            }
            context.vault()?; // files beside a vault are not created before it
        }
        if let Ok(vault) = context.locked() {
            vault.require_writable()?;
        }
        let lock = match lock::lock(context) {
            Err(Failure::Watched { what }) if self.once => {
                context.ui.note(&format!(
                    "Note: {what}, which syncs, refreshes and exports."
                ));
                return Ok(());
            }
            lock => lock?,
        };
        let (sender, wakes) = mpsc::channel();
        let shown = (&self.notify[..], self.log_format);
        let mut watcher = Watcher::new(context, lock, self.refresh_ahead.ms(), shown, sender)?;
        let done = if self.once {
            watcher.once(&wakes)
        } else {
            watcher.run(&wakes, self.end_with_stdin)
        };
        watcher.flush();
        done
    }
}
