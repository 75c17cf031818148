//! The path by which to run this program unattended for years.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clawkeep::internal::platform::{Access, canonicalize, check_trusted};

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
