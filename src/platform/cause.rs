//! Why the system refuses an operation on a file: the error number, and what the place itself says.
//!
//! [`Cause::of`] is the one place that decides it. The program's words for each cause, and what to
//! do about it, are the binary's (`failure::causes`).

pub(super) mod kinds;
#[cfg(unix)]
pub(super) mod unix;
#[cfg(windows)]
pub(super) mod windows;

use std::io;
use std::path::Path;

use self::kinds::Cause;

impl Cause {
    /// Finds the cause of `error` by examining `path`, where the operation failed; `None` if
    /// nothing more is known than the error itself.
    #[must_use]
    pub fn of(error: &io::Error, path: &Path) -> Option<Self> {
        #[cfg(unix)]
        return unix::classify(unix::number(error)?, path, &unix::Observed { path });
        #[cfg(windows)]
        return windows::classify(error, path);
    }
}
