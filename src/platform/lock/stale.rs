//! The age of a lock directory, and removing it.

use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use crate::platform::file::remove_empty_dir;

/// A lock directory not refreshed for so long is a dead process's. Source: `spec/compat.md`.
const STALE: Duration = Duration::from_secs(30);

/// Removes a lock directory, which another program may be reading.
pub(super) fn remove_dir(path: &Path) -> io::Result<()> {
    remove_empty_dir(path)
}

pub(super) fn modified(path: &Path) -> io::Result<SystemTime> {
    fs::symlink_metadata(path)?.modified()
}

/// Stale by its own time; one from the future (a clock that jumped) is not.
pub(super) fn is_stale(path: &Path) -> bool {
    modified(path).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE))
}
