//! `monitor run-hidden`: run this program without a window, which the Task Scheduler cannot do.
//!
//! Windows opens a window for a console program that is started without a console. So the task
//! starts this command, which starts the program on a console that nobody sees, leaves its own,
//! whose window closes with that, and waits. The Task Scheduler knows this process: it can end it,
//! and sees the program's exit status. If it is ended, the program's stdin ends, and `watch` ends
//! after a refresh that is under way.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;
use clawkeep::internal::platform::{create_private_dir, leave_console, without_console};

use crate::failure::Failure;
use crate::terminal::signals;

/// The size at which the log starts empty again, in bytes.
const LOG_MAX: u64 = 1 << 20;

/// Run clawkeep without a window.
#[derive(Debug, Args)]
pub(crate) struct RunHidden {
    /// The file to which the program's messages are added
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// A variable of the program's environment
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<OsString>,
    /// What clawkeep is called with
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true
    )]
    words: Vec<OsString>,
}

impl RunHidden {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut command = Command::new(std::env::current_exe().map_err(Failure::Input)?);
        command.args(self.words);
        for pair in &self.set {
            let (name, value) = pair
                .to_str()
                .and_then(|pair| pair.split_once('='))
                .ok_or_else(|| Failure::BadArgument("--set takes NAME=VALUE".to_owned()))?;
            command.env(OsStr::new(name), value);
        }
        if let Some(dir) = self.log.parent() {
            create_private_dir(dir)?;
        }
        let is_long = std::fs::metadata(&self.log).is_ok_and(|meta| meta.len() > LOG_MAX);
        let log: File = OpenOptions::new()
            .create(true)
            .append(!is_long)
            .write(true)
            .truncate(is_long)
            .open(&self.log)
            .map_err(Failure::Input)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        without_console(&mut command);
        let mut child = command.spawn().map_err(Failure::Input)?;
        let _open = child.stdin.take(); // `wait` would close it
        leave_console();
        // From here on nothing may be printed: the console's handle may be another file's.
        let ended = child.wait();
        signals::end(ended.ok().and_then(|status| status.code()).unwrap_or(1))
    }
}
