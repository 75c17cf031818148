//! The path by which to run this program unattended for years.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clawkeep::internal::platform::{Access, Fault, FileError, canonicalize, check_trusted};

use crate::failure::Failure;

/// The file that marks a directory whose contents can be regenerated. Source: the Cache Directory
/// Tagging Specification.
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// This program by the name on `PATH` that leads to it, else by its own path: what a package puts
/// on `PATH` survives an upgrade.
pub(crate) fn this_program(path: Option<&OsStr>) -> std::io::Result<PathBuf> {
    let real = std::env::current_exe()?;
    let name = format!("clawkeep{}", std::env::consts::EXE_SUFFIX);
    let dirs = path.map(std::env::split_paths).into_iter().flatten();
    let mut named = dirs
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(&name));
    let is_this = |program: &PathBuf| canonicalize(program).is_ok_and(|found| found == real);
    Ok(named.find(is_this).unwrap_or(real))
}

/// [`this_program`], to be stored where it is run later: refused where another user can replace it.
/// A group that may write to it is a [`doubt`] only: Homebrew's directories are the group's.
pub(crate) fn stored_program(path: Option<&OsStr>) -> Result<PathBuf, Failure> {
    let refused = |what: String, next: &str| Failure::Refused {
        what,
        next: next.to_owned(),
    };
    let program = this_program(path).map_err(|error| {
        let what = format!("where this program lies is not known: {error}");
        refused(what, "Call it by its path.")
    })?;
    match check_trusted(&program, Access::Read) {
        // On Windows, administrators and the installer own programs: see `doubt`.
        Err(FileError::Untrusted(refusal))
            if cfg!(unix) && matches!(refusal.fault, Fault::Owner | Fault::Writable) =>
        {
            Err(refused(
                refusal.to_string(),
                "Install clawkeep in a directory that only you can write to, and run it from there.",
            ))
        }
        _ => Ok(program),
    }
}

/// Why a program may soon disappear or change.
pub(crate) fn doubt(program: &Path) -> Option<String> {
    let real = canonicalize(program);
    let Ok(real) = real else {
        return Some("is not there any more".to_owned());
    };
    let is_build = real
        .ancestors()
        .skip(1)
        .any(|dir| dir.join(CACHE_TAG).is_file());
    if is_build {
        return Some("lies where it was built, and goes when that is cleaned".to_owned());
    }
    let passing = [
        std::env::temp_dir(),
        "/tmp".into(),
        "/var/tmp".into(),
        "/dev/shm".into(),
        "/run".into(),
    ];
    if (passing.iter()).any(|dir| dir.is_absolute() && real.starts_with(dir)) {
        return Some("lies among temporary files".to_owned());
    }
    check_trusted(&real, Access::Read)
        .err()
        .map(|error| format!("is not yours alone to change: {error}"))
}
