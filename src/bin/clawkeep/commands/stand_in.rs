//! Under the name `clawdbot` this program runs before the gateway's own: it passes on the commands
//! that it does not have.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::error::ErrorKind;
use clawkeep::internal::domain::LIST_COMMAND;
use clawkeep::internal::platform::{
    CREDENTIALS_VARIABLE, FileMask, canonicalize, program_names, withhold_key_variables,
};

use crate::failure::Failure;
use crate::terminal::program_name::{GATEWAY, is_called_as_gateway};
use crate::terminal::signals;

/// The options of the gateway's own `doctor` that this program's does not have. Source: clawdbot
/// 2026.1.24-3, `doctor --help`.
pub(crate) const DOCTOR_OPTIONS: [&str; 4] = [
    "deep",
    "force",
    "generate-gateway-token",
    "no-workspace-suggestions",
];

/// How a command line that this program does not understand is handled.
pub(crate) fn hand_on(failure: Failure) -> Failure {
    let Failure::Usage(error) = &failure else {
        return failure;
    };
    let is_not_ours = matches!(
        error.kind(),
        ErrorKind::InvalidSubcommand
            | ErrorKind::UnknownArgument
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion // `clawdbot --version` asks for the gateway's version
    );
    if !is_not_ours || !is_called_as_gateway() {
        return failure;
    }
    match next_on_path(GATEWAY) {
        Some(program) => run_instead(&program, std::env::args_os().skip(1).collect()),
        None if error.kind() == ErrorKind::InvalidSubcommand => Failure::BadArgument(format!(
            "clawkeep, called as {GATEWAY}, does not have that command, and no other {GATEWAY} on \
             the PATH could run it"
        )),
        None => failure,
    }
}

/// The next program of that name on the PATH after this one. Only after: two copies of this program
/// must not pass a command back and forth.
pub(crate) fn next_on_path(name: &str) -> Option<PathBuf> {
    let this = std::env::current_exe().and_then(canonicalize).ok()?;
    let path = std::env::var_os("PATH")?;
    let names = program_names(OsStr::new(name), std::env::var_os("PATHEXT").as_deref());
    let programs: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
        .filter(|program| is_executable(program))
        .collect();
    let is_this = |program: &PathBuf| canonicalize(program).is_ok_and(|real| real == this);
    let behind = programs.iter().position(is_this).map_or(0, |at| at + 1);
    let mut others = programs.into_iter().skip(behind);
    others.find(|program| !is_this(program))
}

#[cfg(unix)]
fn is_executable(program: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(program)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(program: &Path) -> bool {
    program.is_file()
}

fn command(program: &Path, words: Vec<OsString>) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    let dir = std::env::var_os(CREDENTIALS_VARIABLE).map(PathBuf::from);
    withhold_key_variables(&mut command, dir.as_deref());
    command
}

/// Runs a command of the gateway's own program, if there is one after this one on the PATH, and
/// waits for it. Returns its path and exit status: 1 if a signal ended it.
pub(crate) fn run_behind(
    words: Vec<OsString>,
    announce: impl FnOnce(&Path) -> Result<(), Failure>,
    mask: FileMask,
) -> Result<Option<u8>, Failure> {
    let Some(program) = next_on_path(GATEWAY) else {
        return Ok(None);
    };
    announce(&program)?;
    let mut command = command(&program, words);
    match mask.put_back_for(|| signals::wait_for_program(&mut command)) {
        Ok(status) => Ok(Some(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1))),
        Err(error) => Err(not_run(&program, &error)),
    }
}

/// Runs the other program in place of this process; returns only if that fails.
fn run_instead(program: &Path, words: Vec<OsString>) -> Failure {
    not_run(program, &signals::become_program(command(program, words)))
}

fn not_run(program: &Path, error: &std::io::Error) -> Failure {
    Failure::Refused {
        what: format!("cannot run {}: {error}", program.display()),
        next: format!(
            "Make that file a program of yours that runs, or remove it: {LIST_COMMAND} {}",
            program.display()
        ),
    }
}
