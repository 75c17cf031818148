//! `monitor uninstall`: stop what `monitor install` started, and remove what it wrote.

use std::path::Path;

use clap::Args;
use clawkeep::internal::domain::path_text;
use serde_json::{Value, json};

use super::installed::{InstalledFiles, scheduler};
use super::unattended::own_file::{FileState, remove};
use super::unattended::systemctl::{order, unit_path};
use super::unattended::{launchd, systemd};
use crate::context::Context;
use crate::failure::Failure;

/// Stop it, and remove what was installed.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  clawkeep monitor uninstall\n\nOnly files that `clawkeep monitor \
        install` wrote are removed. The vault stays as it is."
)]
pub(crate) struct Uninstall {}

impl Uninstall {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let found = InstalledFiles::find(context);
        let mut removed: Vec<&Path> = Vec::new();
        if let Some(pace) = found.pace() {
            // The timer first: it would start the service once more.
            let units = [
                (systemd::TIMER, &found.timer),
                (systemd::SERVICE, &found.service),
            ];
            let ours: Vec<_> = units
                .into_iter()
                .filter(|(_, (_, there))| there.ours().is_some())
                .collect();
            let answers = unit_path();
            if answers.is_ok() {
                for (unit, _) in &ours {
                    order(&["disable", "--now", unit]).map_err(not_stopped)?;
                }
            }
            for (_, (path, _)) in &ours {
                remove(path)?;
                removed.push(path);
            }
            let unit = systemd::enabled_unit(pace);
            match answers {
                Ok(_) => {
                    order(&["daemon-reload"]).map_err(not_stopped)?;
                    // Of a failed unit it is kept that it failed. That there is none is no failure.
                    let _ = order(&["reset-failed", systemd::SERVICE]);
                }
                Err(why) => {
                    disable_by_hand(&context.layout.user_unit_dir())?;
                    context.ui.warn(&format!(
                        "Warning: {why}. If {unit} runs, it does until you log out."
                    ));
                }
            }
        }
        if found.agent.1.ours().is_some() {
            launchd::unload(context.actor.uid).map_err(not_stopped)?;
            remove(&found.agent.0)?;
            removed.push(&found.agent.0);
        }
        if found.task.1.ours().is_some() {
            if let Some(scheduler) = scheduler() {
                scheduler.delete().map_err(not_stopped)?;
            }
            remove(&found.task.0)?;
            removed.push(&found.task.0);
        }
        for (path, there) in [&found.service, &found.timer, &found.agent, &found.task] {
            if *there == FileState::Anothers {
                let path = path.display();
                context.ui.note(&format!(
                    "Note: {path} was not written by `clawkeep monitor install`, and stays."
                ));
            }
        }
        let lines = removed
            .iter()
            .map(|path| format!("Removed {}\n", context.layout.shorten_home(path)));
        let text = match removed.is_empty() {
            true => "Nothing to remove: it is not installed.\n".to_owned(),
            false => lines.collect(),
        };
        let paths: Vec<Value> = removed.iter().map(|path| json!(path_text(path))).collect();
        context.ui.done(&text, &json!({"removed": paths}))
    }
}

/// Takes out the links by which the units are started with a login.
fn disable_by_hand(units: &Path) -> Result<(), Failure> {
    for link in [
        units.join("default.target.wants").join(systemd::SERVICE),
        units.join("timers.target.wants").join(systemd::TIMER),
    ] {
        if link.is_symlink() {
            remove(&link)?;
        }
    }
    Ok(())
}

fn not_stopped(what: String) -> Failure {
    Failure::Refused {
        what,
        next: "Run the command again; what is not removed yet is removed then.".to_owned(),
    }
}
