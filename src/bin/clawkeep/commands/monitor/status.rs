//! `monitor status`: whether `watch` is installed, by what, and whether it runs.

use std::path::Path;

use clap::Args;
use clawkeep::internal::domain::shown_path;
use clawkeep::internal::platform::canonicalize;
use serde::Serialize;

use super::installed::{InstalledFiles, scheduler, watcher};
use super::unattended::job::Pace;
use super::unattended::program::this_program;
use super::unattended::systemctl::{is_lingering, properties, unit_path};
use super::unattended::{launchd, systemd, task};
use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::one_line;

/// Show whether it is installed and running.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep monitor status || echo nothing watches   exit 0: it runs; \
        1: it does not\n  clawkeep monitor status --json | jq .lastExit"
)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct MonitorStatus {
    installed: bool,
    /// Whether it runs, its timer is active, or another process watches the vault.
    running: bool,
    /// `systemd`, `launchd` or `task-scheduler`.
    by: Option<&'static str>,
    unit: Option<String>,
    /// What systemd says of the unit that is enabled.
    enabled: Option<String>,
    state: Option<String>,
    main_pid: Option<u32>,
    status_text: Option<String>,
    /// The last exit of the program, if it failed.
    last_exit: Option<String>,
    #[serde(skip)]
    log: String,
    lingering: Option<bool>,
    program: Option<String>,
    program_exists: Option<bool>,
    program_is_this_one: Option<bool>,
    /// The process that watches the vault, whether or not a service manager started it.
    watched_by: Option<String>,
}

impl Status {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let status = MonitorStatus::read(context);
        if self.json {
            context.ui.json(&status)?;
        } else {
            context.ui.answer(&status.to_text())?;
        }
        if status.running {
            Ok(())
        } else {
            Err(Failure::Check(1))
        }
    }
}

/// Whether something watches the vault, or is started to do so.
pub(crate) fn is_running(context: &Context) -> bool {
    watcher(context).is_some() || MonitorStatus::read(context).running
}

impl MonitorStatus {
    fn read(context: &Context) -> Self {
        let found = InstalledFiles::find(context);
        let mut status = Self::default();
        if let Some(pace) = found.pace() {
            status.read_systemd(pace, context.actor.uid);
            let service = found.service.1.ours();
            status.compare_program(service.and_then(systemd::program_of), context);
        } else if let Some(agent) = found.agent.1.ours() {
            status.read_launchd(context);
            status.compare_program(launchd::program_of(agent).as_deref(), context);
        } else if let Some(task) = found.task.1.ours() {
            status.read_task(context);
            status.compare_program(task::program_of(task).as_deref(), context);
        }
        status.watched_by = watcher(context);
        status.running |= status.watched_by.is_some();
        status
    }

    fn read_systemd(&mut self, pace: Pace, uid: u32) {
        let unit = systemd::enabled_unit(pace);
        (self.installed, self.by, self.unit) = (true, Some("systemd"), Some(unit.to_owned()));
        if let Err(why) = unit_path() {
            self.state = Some(why.to_string());
            return;
        }
        let of_unit = properties(unit, &["ActiveState", "SubState", "UnitFileState"]);
        let text = |name: &str| of_unit.get(name).filter(|value| !value.is_empty()).cloned();
        let active = text("ActiveState").unwrap_or_default();
        self.running = active == "active" || active == "reloading";
        self.enabled = text("UnitFileState");
        self.state = Some(format!(
            "{active} ({})",
            text("SubState").unwrap_or_default()
        ));
        let of_service = properties(
            systemd::SERVICE,
            &["MainPID", "StatusText", "Result", "ExecMainStatus"],
        );
        let text = |name: &str| of_service.get(name).filter(|value| !value.is_empty());
        self.main_pid = text("MainPID")
            .and_then(|pid| pid.parse().ok())
            .filter(|pid| *pid != 0);
        self.status_text = text("StatusText").cloned();
        let ended = text("ExecMainStatus").filter(|status| *status != "0");
        let result = text("Result").filter(|result| *result != "success");
        self.last_exit = match (result, ended) {
            (None, None) => None,
            (result, ended) => Some(format!(
                "{} (status {})",
                result.map_or("ended", String::as_str),
                ended.map_or("0", String::as_str)
            )),
        };
        self.lingering = is_lingering(uid);
    }

    fn read_launchd(&mut self, context: &Context) {
        (self.installed, self.by, self.unit) =
            (true, Some("launchd"), Some(launchd::LABEL.to_owned()));
        self.log = shown_path(&launchd::log(&context.layout.home)).into_owned();
        let state = launchd::state(context.actor.uid);
        self.running = state.is_some();
        self.state = Some(if self.running { "loaded" } else { "not loaded" }.to_owned());
        if let Some(state) = state {
            (self.main_pid, self.last_exit) =
                (state.pid, state.last_exit.filter(|exit| exit != "0"));
        }
    }

    fn read_task(&mut self, context: &Context) {
        let scheduler = scheduler();
        let name = scheduler.as_ref().map(|scheduler| scheduler.task());
        let name = name.unwrap_or("clawkeep.watch").to_owned();
        (self.installed, self.by, self.unit) = (true, Some("task-scheduler"), Some(name));
        self.log = shown_path(&context.layout.data_dir.join(task::LOG)).into_owned();
        match scheduler.map_or(Ok(None), |scheduler| scheduler.state()) {
            Ok(Some(state)) => {
                self.running = true;
                (self.state, self.last_exit) = (Some(state.status), state.last_exit);
            }
            Ok(None) => {
                self.state =
                    Some("not registered: run `clawkeep monitor install` once more".to_owned());
            }
            Err(why) => self.state = Some(format!("not known: {why}")),
        }
    }

    fn compare_program(&mut self, program: Option<&str>, context: &Context) {
        let Some(program) = program else { return };
        let real = canonicalize(Path::new(program)).ok();
        let this = this_program(context.env.raw("PATH")).ok();
        self.program = Some(program.to_owned());
        self.program_exists = Some(real.is_some());
        self.program_is_this_one =
            Some(real.is_some() && real == this.and_then(|this| canonicalize(this).ok()));
    }

    fn to_text(&self) -> String {
        let mut lines = Vec::new();
        match &self.unit {
            None => lines.push(
                "Not installed. To start it with your login: clawkeep monitor install".to_owned(),
            ),
            Some(unit) => {
                let mut parts = vec![format!(
                    "{unit}: {}",
                    self.state.as_deref().unwrap_or("not known")
                )];
                parts.extend(self.main_pid.map(|pid| format!("process {pid}")));
                parts.extend(self.enabled.clone());
                lines.push(parts.join(", "));
            }
        }
        lines.extend(
            self.status_text
                .as_ref()
                .map(|text| format!("  says: {text}")),
        );
        lines.extend(self.last_exit.as_ref().map(|exit| {
            let log = match self.log.as_str() {
                "" => "journalctl --user -n 20 -u clawkeep-watch",
                log => log,
            };
            format!("  last run: {exit}; see: {log}")
        }));
        if let Some(program) = &self.program {
            let how = match (self.program_exists, self.program_is_this_one) {
                (Some(false), _) => {
                    ", which is not there: run `clawkeep monitor install` once more"
                }
                (_, Some(false)) => ", which is not the program that you called now",
                _ => "",
            };
            lines.push(format!("  runs: {program}{how}"));
        }
        if self.lingering == Some(false) {
            lines.push(
                "  stops when you log out; to run it from the start of the machine: \
                loginctl enable-linger"
                    .to_owned(),
            );
        }
        lines.push(match &self.watched_by {
            Some(process) => format!("The vault is watched by process {process}."),
            None => "Nothing watches the vault at this moment.".to_owned(),
        });
        lines
            .iter()
            .map(|line| format!("{}\n", one_line(line)))
            .collect()
    }
}
