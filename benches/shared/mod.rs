//! Whole processes, timed: what the benchmarks have in common.

use std::path::Path;
use std::process::{Command, Stdio};

/// The program, in a home and with nothing else in its environment; its answer goes nowhere.
pub(crate) fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clawkeep"));
    command
        .args(args)
        .env_clear()
        .env("HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Runs a command, which must succeed.
pub(crate) fn run(mut command: Command) {
    let status = command.status().expect("the binary that cargo just built");
    assert!(status.success(), "{command:?} ended with {status}");
}

/// The floor: starts and ends a process that does nothing.
pub(crate) fn run_nothing() {
    Command::new("/bin/true")
        .env_clear()
        .status()
        .expect("/bin/true is everywhere");
}
