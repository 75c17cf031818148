//! Why the system refuses an operation on a file: the error number, and what the place itself says.
//!
//! [`Cause::of`] is the one place that decides it. The program's words for each cause, and what to do about it, are the
//! binary's (`failure::causes`).

pub(super) mod kinds;
#[cfg(unix)]
pub(super) mod unix;
#[cfg(windows)]
pub(super) mod windows;

use std::io;
use std::path::Path;

use self::kinds::Cause;

impl Cause {
    /// Why `error` came of an operation on `path`, found out by looking at that place; `None` where nothing more is known than
    /// what the error says itself.
    #[must_use]
    pub fn of(error: &io::Error, path: &Path) -> Option<Self> {
        #[cfg(unix)]
        return unix::classify(unix::number(error)?, path, &unix::Observed { path });
        #[cfg(windows)]
        return windows::classify(error, path);
    }
}
