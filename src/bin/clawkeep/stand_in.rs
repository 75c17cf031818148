//! Under the name `clawdbot` this program stands in front of the gateway's own: what it does not have goes on to that one.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::error::ErrorKind;
use clawkeep::platform::{CREDENTIALS_VARIABLE, withhold_key_variables};

use crate::failure::Failure;

/// The name of the gateway's program. Source: `spec/cli.md`.
pub(crate) const GATEWAY: &str = "clawdbot";

/// Whether this program was called by the gateway's name: then it is the reference, without a word of its own.
pub(crate) fn is_standing_in() -> bool {
    let name = std::env::args_os().next().unwrap_or_default();
    Path::new(&name).file_stem() == Some(OsStr::new(GATEWAY))
}

/// What became of a command line that this program does not understand.
pub(crate) fn hand_on(failure: Failure) -> Failure {
    let Failure::Usage(error) = &failure else {
        return failure;
    };
    let is_not_ours = matches!(
        error.kind(),
        ErrorKind::InvalidSubcommand
            | ErrorKind::UnknownArgument
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion // whoever asks for the version of `clawdbot` means the gateway's
    );
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    if !is_not_ours || Path::new(&name).file_stem() != Some(OsStr::new(GATEWAY)) {
        return failure;
    }
    match next_on_path() {
        Some(program) => run_instead(&program, words.collect()),
        None if error.kind() == ErrorKind::InvalidSubcommand => Failure::BadArgument(format!(
            "clawkeep, standing in for {GATEWAY}, does not have that command, and there is no other {GATEWAY} on the PATH to hand it to"
        )),
        None => failure,
    }
}

/// The next program of that name on the PATH, behind this one. Only behind: two copies of this program must not hand a command
/// to each other for ever.
fn next_on_path() -> Option<PathBuf> {
    let this = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .ok()?;
    let path = std::env::var_os("PATH")?;
    let names = [
        GATEWAY.to_owned(),
        format!("{GATEWAY}{}", std::env::consts::EXE_SUFFIX),
    ];
    let programs: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .flat_map(|dir| names.clone().map(|name| dir.join(name)))
        .filter(|program| is_executable(program))
        .collect();
    let is_this = |program: &PathBuf| std::fs::canonicalize(program).is_ok_and(|real| real == this);
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

/// Becomes the other program; comes back only if that fails.
#[cfg(unix)]
fn run_instead(program: &Path, words: Vec<OsString>) -> Failure {
    use std::os::unix::process::CommandExt as _;
    not_run(program, &command(program, words).exec())
}

/// Runs the other program and ends as it ended.
#[cfg(not(unix))]
fn run_instead(program: &Path, words: Vec<OsString>) -> Failure {
    match command(program, words).status() {
        Ok(status) => Failure::Check(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
        Err(error) => not_run(program, &error),
    }
}

fn not_run(program: &Path, error: &std::io::Error) -> Failure {
    Failure::Refused {
        what: format!("cannot run {}: {error}", program.display()),
        next: "This program does not have that command; the gateway's own would.".to_owned(),
    }
}
