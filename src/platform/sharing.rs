//! Files that another program has open. On Windows such a file can be neither replaced nor removed,
//! and often not even be read, until that program closes it. Elsewhere nobody is kept out.

#[cfg(windows)]
mod windows;

#[cfg(windows)]
pub(super) use windows::BACKUP_SEMANTICS_NO_LINK;
#[cfg(windows)]
pub(crate) use windows::{is_held, is_sharing_error};

use std::io;
use std::path::Path;

/// Performs an operation on `path`, and repeats it for up to two seconds where another program
/// holds the file open.
///
/// # Errors
/// What the operation answers. Where the file is still held, that is what the error says.
pub(super) fn retry_while_held<T>(
    path: &Path,
    operation: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    #[cfg(windows)]
    return windows::retry_while_held(path, operation);
    #[cfg(not(windows))]
    {
        let _ = path;
        let mut operation = operation;
        operation()
    }
}
