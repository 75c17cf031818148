//! `monitor install`: starts `watch` with the login, and keeps it running.

use clawkeep::internal::platform::canonicalize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use clawkeep::internal::domain::{path_text, shown_path};
use clawkeep::internal::platform::user_sid;
use serde_json::{Value, json};

use super::installed::{InstalledFiles, ServiceManager, scheduler, watcher};
use super::unattended::job::{Job, Pace};
use super::unattended::own_file::{FileState, put, read_own_file, remove};
use super::unattended::program::{doubt, stored_program};
use super::unattended::systemctl::{NoSystemd, is_lingering, order, unit_path};
use super::unattended::{cron, launchd, systemd, task};
use crate::commands::watch::ahead;
use crate::context::Context;
use crate::context::global::Global;
use crate::failure::Failure;

/// Where a proxy for requests is named. Source: reqwest's documentation, Proxies.
const PROXIES: [&str; 8] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

const NOTHING_TO_DO: &str = "Nothing to do: it is installed as it would be now.\n";

/// Exit status where there is no service manager, so that nothing was installed.
const NOT_INSTALLED: u8 = 1;
/// How long the watcher of an earlier task may take to exit: launchd's limit.
const ENDED_WITHIN: Duration = Duration::from_secs(120);
/// The interval between two attempts to take its lock.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Start it with your login, and keep it running.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep monitor install                        a service of \
        systemd or launchd, a task of Windows; else a line for crontab, printed\n  clawkeep \
        monitor install --timer                a pass every five minutes instead\n  clawkeep \
        monitor install --dry-run              print what would be written\n  clawkeep monitor \
        install --by cron --dry-run    the line for a crontab\n\nIt runs as this command was \
        called: with its --state-dir, --vault and --passphrase-file, and with the variables that \
        its paths depend on. [notify] in clawkeep.toml sets whom it alerts."
)]
pub(crate) struct Install {
    /// One pass every five minutes, started by a timer, instead of a program that runs all the time
    #[arg(long)]
    timer: bool,
    /// Refresh logins this long before they expire [default: that of `clawkeep watch`]
    #[arg(long, value_name = "SPAN", value_parser = ahead_as_typed)]
    refresh_ahead: Option<String>,
    /// What starts it [default: what is there]; --dry-run also prints for one that is missing
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Option<ServiceManager>,
    /// Print what would be written, and touch nothing
    #[arg(long, visible_alias = "print")]
    dry_run: bool,
    /// Replace files of the same name that something else wrote
    #[arg(long)]
    force: bool,
}

fn ahead_as_typed(raw: &str) -> Result<String, String> {
    ahead(raw).map(|_| raw.trim().to_owned())
}

impl Install {
    pub(crate) fn run(self, context: &Context, global: &Global) -> Result<(), Failure> {
        let mut job = self.job(context, global)?;
        // Invalid options would go unnoticed later.
        if let Some(fault) = &context.own()?.notify_fault {
            return Err(fault.error().into());
        }
        context.settings()?;
        let (by, why) = match self.by {
            Some(by) => (by, None),
            None if cfg!(target_os = "macos") => (ServiceManager::Launchd, None),
            None if cfg!(windows) => (ServiceManager::TaskScheduler, None),
            None => match unit_path() {
                Ok(_) => (ServiceManager::Systemd, None),
                Err(no_systemd) => (ServiceManager::Cron, Some(no_systemd)),
            },
        };
        if let Some(doubt) = doubt(Path::new(&job.program)) {
            context.ui.note(&format!(
                "Warning: {}, which will be run, {doubt}. Put the program in a permanent place, \
                 and install from there.",
                job.program
            ));
        }
        check_is_on_windows(by)?;
        match by {
            ServiceManager::Systemd => self.by_systemd(context, &job),
            ServiceManager::Launchd => self.by_launchd(context, &job),
            ServiceManager::TaskScheduler => self.by_task_scheduler(context, &job),
            ServiceManager::Cron => {
                // A service manager sets these for what it starts; cron does not.
                let runtime_dir = context.layout.runtime_dir.as_deref();
                if let Some(dir) = runtime_dir {
                    job.variables
                        .push(("XDG_RUNTIME_DIR".to_owned(), dir.into()));
                }
                by_cron(context, &job, why.as_ref())?;
                match why {
                    Some(_) if !self.dry_run => Err(Failure::Check(NOT_INSTALLED)),
                    _ => Ok(()),
                }
            }
        }
    }

    /// The job: this program with the current options.
    fn job(&self, context: &Context, global: &Global) -> Result<Job, Failure> {
        let layout = &context.layout;
        let program = stored_program(context.env.raw("PATH"))?;
        let mut job = Job {
            program: text(&program)?,
            global: Vec::new(),
            options: Vec::new(),
            variables: Vec::new(),
            pace: if self.timer {
                Pace::Timed
            } else {
                Pace::Always
            },
        };
        let mut replaced: Vec<&str> = Vec::new();
        if global.state_dir.is_some() {
            job.global
                .extend(["--state-dir".into(), layout.state_dir.clone().into()]);
            replaced.extend(["CLAWDBOT_STATE_DIR", "CLAWDIS_STATE_DIR"]);
        }
        if global.vault.is_some() {
            job.global
                .extend(["--vault".into(), layout.vault_file.clone().into()]);
            replaced.push("CLAWKEEP_VAULT");
        }
        if global.passphrase_fd.is_some()
            || global.passphrase_file.as_deref() == Some(Path::new("-"))
        {
            return Err(Failure::BadArgument(
                "what runs unattended takes its passphrase from a file: --passphrase-file FILE"
                    .to_owned(),
            ));
        }
        if let Some(file) = &global.passphrase_file {
            let file = std::path::absolute(file).map_err(Failure::Input)?;
            job.global.extend(["--passphrase-file".into(), file.into()]);
            replaced.push("CLAWKEEP_PASSPHRASE_FILE");
        }
        if global.no_sync {
            job.global.push("--no-sync".into());
        }
        if let Some(ahead) = &self.refresh_ahead {
            job.options
                .extend(["--refresh-ahead".to_owned(), ahead.clone()]);
        }
        for (name, path) in layout.variables(&context.env) {
            if !replaced.contains(&name) {
                job.variables.push((name.to_owned(), path.into()));
            }
        }
        for name in PROXIES {
            if cfg!(windows) && name.contains(char::is_lowercase) {
                continue; // the same variable once more
            }
            match context.env.trimmed(name) {
                Some(value) if value.contains('@') => context.ui.note(&format!(
                    "Warning: {name} is not handed on: it has a name and a password in it."
                )),
                Some(value) if cfg!(windows) && name != "NO_PROXY" => {
                    job.variables.push((name.to_owned(), origin(value).into()));
                }
                Some(value) => job.variables.push((name.to_owned(), value.into())),
                None if context
                    .env
                    .raw(name)
                    .is_some_and(|value| value.to_str().is_none()) =>
                {
                    (context.ui).note(&format!(
                        "Warning: {name} is not handed on: its value is not UTF-8."
                    ));
                }
                None => {}
            }
        }
        Ok(job)
    }

    fn by_systemd(&self, context: &Context, job: &Job) -> Result<(), Failure> {
        refuse(systemd::objection(job))?;
        let dir = context.layout.user_unit_dir();
        let units = systemd::units(job);
        if self.dry_run {
            let files = units
                .iter()
                .map(|(name, text)| (dir.join(name), text.as_str()));
            return print_files(context, ServiceManager::Systemd, &files.collect::<Vec<_>>());
        }
        check_unit_path(&dir)?;
        for (name, _) in &units {
            self.check_ours(&dir.join(name))?;
        }
        let unit = systemd::enabled_unit(job.pace);
        if let Some(before) = InstalledFiles::find(context)
            .pace()
            .filter(|before| *before != job.pace)
        {
            ordered(&["disable", "--now", systemd::enabled_unit(before)])?;
            if before == Pace::Timed {
                remove(&dir.join(systemd::TIMER))?;
            }
        }
        let mut wrote: Vec<PathBuf> = Vec::new();
        for (name, text) in &units {
            let path = dir.join(name);
            if read_own_file(&path).ours() != Some(text) {
                put(&path, text)?;
                wrote.push(path);
            }
        }
        let start = if wrote.is_empty() { "start" } else { "restart" };
        let lines = wrote
            .iter()
            .map(|path| format!("Wrote {}\n", context.layout.shorten_home(path)));
        let mut text = match wrote.is_empty() {
            true => "Nothing to write: it is installed as it would be now.\n".to_owned(),
            false => lines.collect(),
        };
        ordered(&["daemon-reload"])?; // also if an earlier call only wrote the files
        ordered(&["enable", unit])?;
        ordered(&[start, unit])?;
        text.push_str(&format!(
            "{unit} runs now, and from each login on.\nSee its state with: clawkeep monitor \
             status; journalctl --user -u clawkeep-watch\n"
        ));
        installed(context, ServiceManager::Systemd, &wrote, &text)?;
        if is_lingering(context.actor.uid) == Some(false) {
            context.ui.note(
                "Next: it stops when you log out, as all your services do. To run it \
                from the start of the machine: loginctl enable-linger",
            );
        }
        Ok(())
    }

    fn by_launchd(&self, context: &Context, job: &Job) -> Result<(), Failure> {
        refuse(launchd::objection(job))?;
        let path = context
            .layout
            .launch_agents_dir()
            .join(launchd::file_name());
        let log = launchd::log(&context.layout.home);
        let uid = context.actor.uid;
        let session = launchd::Session::of(uid);
        let plist = launchd::plist(job, &text(&log)?, session);
        if self.dry_run {
            return print_files(context, ServiceManager::Launchd, &[(path, plist.as_str())]);
        }
        self.check_ours(&path)?;
        let is_new = read_own_file(&path).ours() != Some(&plist);
        if !is_new && launchd::state(uid).is_some() {
            return installed(context, ServiceManager::Launchd, &[], NOTHING_TO_DO);
        }
        launchd::unload(uid).map_err(|what| Failure::Refused {
            what,
            next: "See why with: clawkeep monitor status".to_owned(),
        })?;
        put(&path, &plist)?;
        if let Err(what) = launchd::load(uid, session, &text(&path)?) {
            if is_new {
                let _ = remove(&path); // leaves no file that looks like a running agent
            }
            return Err(Failure::Refused {
                what,
                next: format!(
                    "Nothing was installed. To print the agent: clawkeep monitor install --by \
                     launchd --dry-run; its messages: {}",
                    log.display()
                ),
            });
        }
        let text = format!(
            "Wrote {}\nIt runs now, and from each login on.\nSee its state with: clawkeep monitor \
             status; {}\n",
            context.layout.shorten_home(&path),
            context.layout.shorten_home(&log)
        );
        installed(context, ServiceManager::Launchd, &[path], &text)
    }

    fn by_task_scheduler(&self, context: &Context, job: &Job) -> Result<(), Failure> {
        let log = context.layout.data_dir.join(task::LOG);
        text(&log)?;
        refuse(task::objection(job, &log))?;
        let (Some(sid), Some(scheduler)) = (user_sid(), scheduler()) else {
            return Err(Failure::Refused {
                what: "the Task Scheduler is a part of Windows, which this system is not"
                    .to_owned(),
                next: "Have it installed by what is here: clawkeep monitor install".to_owned(),
            });
        };
        let path = context.layout.data_dir.join(task::FILE);
        let xml = task::xml(job, &sid, &log);
        if self.dry_run {
            return print_files(
                context,
                ServiceManager::TaskScheduler,
                &[(path, xml.as_str())],
            );
        }
        self.check_ours(&path)?;
        let before = scheduler.state();
        if read_own_file(&path).ours() == Some(&xml) && matches!(before, Ok(Some(_))) {
            return installed(context, ServiceManager::TaskScheduler, &[], NOTHING_TO_DO);
        }
        let by_hand = |what: String| Failure::Refused {
            what,
            next: format!(
                "{} has the task. Register it by hand: {}",
                path.display(),
                scheduler.create_by_hand(&path)
            ),
        };
        put(&path, task::bytes(&xml))?;
        if !matches!(before, Ok(None)) {
            // A running one has the old arguments. What is not removed here is replaced.
            let _ = scheduler.delete_registered();
            wait_for_watcher(context, Instant::now() + ENDED_WITHIN);
        }
        scheduler.create(&path).map_err(by_hand)?;
        let registered = format!(
            "Wrote {}\nRegistered the task {} with the Task Scheduler",
            path.display(),
            scheduler.task()
        );
        let see = format!("clawkeep monitor status; {}", log.display());
        if let Some(process) = watcher(context) {
            // A second watcher would exit at once.
            let text = format!(
                "{registered}: it runs from each logon on, and within 5 minutes after process \
                 {process}, which watches the vault now, has exited.\nSee its state with: {see}\n"
            );
            return installed(context, ServiceManager::TaskScheduler, &[path], &text);
        }
        scheduler.run().map_err(|what| Failure::Refused {
            what,
            next: format!(
                "The task is registered, and starts within 5 minutes. Start it now: schtasks /Run \
                 /TN {}",
                scheduler.task()
            ),
        })?;
        let text = format!(
            "{registered}: it runs now, and from each logon on.\nSee its state with: {see}\n"
        );
        installed(context, ServiceManager::TaskScheduler, &[path], &text)
    }

    /// Refuses to replace a file that something else wrote, unless `--force` was passed.
    fn check_ours(&self, path: &Path) -> Result<(), Failure> {
        if self.force || read_own_file(path) != FileState::Anothers {
            return Ok(());
        }
        Err(Failure::Refused {
            what: format!(
                "{} is there, and was not written by this command",
                path.display()
            ),
            next: "Move it away, or have it replaced with --force.".to_owned(),
        })
    }
}

/// Waits until no process watches the vault, or until `deadline`.
fn wait_for_watcher(context: &Context, deadline: Instant) {
    while watcher(context).is_some() && Instant::now() < deadline {
        thread::sleep(ASK_EVERY);
    }
}

/// The scheme, host and port of a proxy's address: a task's arguments are no place for a secret
/// that comes after them.
fn origin(address: &str) -> &str {
    let begin = address.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = address.split_at(begin);
    let length = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    &address[..scheme.len() + length]
}

/// Refuses a directory where systemd does not search for units.
fn check_unit_path(dir: &Path) -> Result<(), Failure> {
    let searched = unit_path().map_err(|why| Failure::Refused {
        what: why.to_string(),
        next: "To print the units: clawkeep monitor install --by systemd --dry-run".to_owned(),
    })?;
    let real = canonicalize(dir);
    let is_there = |dir: &Path| dir.to_str().is_some_and(|dir| searched.contains(dir));
    if is_there(dir) || real.is_ok_and(|real| is_there(&real)) {
        return Ok(());
    }
    Err(Failure::Refused {
        what: format!("your systemd does not look for units in {}", dir.display()),
        next:
            "HOME and XDG_CONFIG_HOME are other ones than it was started with. Run this with those."
                .to_owned(),
    })
}

/// Refuses a service manager that Windows does not have: its paths are of no use on another system.
fn check_is_on_windows(by: ServiceManager) -> Result<(), Failure> {
    let what = match by {
        _ if cfg!(not(windows)) => return Ok(()),
        ServiceManager::TaskScheduler => return Ok(()),
        ServiceManager::Systemd => "systemd",
        ServiceManager::Launchd => "launchd",
        ServiceManager::Cron => "cron",
    };
    Err(Failure::Refused {
        what: format!("Windows has no {what}"),
        next: "Use the Task Scheduler: clawkeep monitor install".to_owned(),
    })
}

fn by_cron(context: &Context, job: &Job, why: Option<&NoSystemd>) -> Result<(), Failure> {
    refuse(cron::objection(job))?;
    let job = Job {
        pace: Pace::Timed,
        ..job.clone()
    };
    let why = why.map(|why| format!("{why}, so ")).unwrap_or_default();
    context.ui.note(&format!(
        "Note: {why}nothing was installed. Put this line into your crontab, with: crontab -e"
    ));
    let line = cron::line(&job);
    let answer = json!({"installed": false, "by": ServiceManager::Cron.name(), "line": line});
    context.ui.done(&format!("{line}\n"), &answer)
}

/// Prints the files as they would be written, each under its path.
fn print_files(
    context: &Context,
    by: ServiceManager,
    files: &[(PathBuf, &str)],
) -> Result<(), Failure> {
    let text = files
        .iter()
        .map(|(path, text)| format!("# {}\n{text}", path.display()));
    let listed = files
        .iter()
        .map(|(path, text)| json!({"path": path_text(path), "text": text}));
    let answer = json!({
        "installed": false,
        "by": by.name(),
        "files": listed.collect::<Vec<Value>>(),
    });
    context
        .ui
        .done(&text.collect::<Vec<String>>().join("\n"), &answer)
}

/// Prints what was installed.
fn installed(
    context: &Context,
    by: ServiceManager,
    wrote: &[PathBuf],
    text: &str,
) -> Result<(), Failure> {
    let wrote: Vec<Value> = wrote.iter().map(|path| json!(path_text(path))).collect();
    let answer = json!({"installed": true, "by": by.name(), "wrote": wrote});
    context.ui.done(text, &answer)
}

fn text(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Failure::BadArgument(format!(
            "{} is not UTF-8, so it cannot be written into a service's file",
            shown_path(path)
        ))
    })
}

fn refuse(objection: Option<String>) -> Result<(), Failure> {
    match objection {
        Some(what) => Err(Failure::Refused {
            what,
            next: "Give it another path, or start `clawkeep watch` yourself.".to_owned(),
        }),
        None => Ok(()),
    }
}

fn ordered(words: &[&str]) -> Result<(), Failure> {
    order(words).map_err(not_done)
}

fn not_done(what: String) -> Failure {
    Failure::Refused {
        what,
        next: "See why with: clawkeep monitor status; journalctl --user -n 20 -u clawkeep-watch"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_origin_of_a_proxy_gets_into_a_task() {
        for (address, want) in [
            ("http://proxy:3128/?token=x", "http://proxy:3128"),
            ("http://proxy:3128#x", "http://proxy:3128"),
            ("proxy:3128", "proxy:3128"),
            ("socks5://[::1]:1080", "socks5://[::1]:1080"),
        ] {
            assert_eq!(origin(address), want);
        }
    }
}
