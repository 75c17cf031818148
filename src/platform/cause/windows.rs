//! What Windows' error numbers say of a file.

use std::io;
use std::path::Path;

use super::Cause;
use crate::platform::sharing::{is_held, is_sharing_error};

/// Too many files are open. Source of the numbers: Microsoft, "System Error Codes (0-499)".
const ERROR_TOO_MANY_OPEN_FILES: i32 = 4;
const ERROR_NOT_READY: i32 = 21;
const ERROR_BAD_NETPATH: i32 = 53;
const ERROR_NETNAME_DELETED: i32 = 64;

/// The cause of an error, as far as it and the place tell.
pub(super) fn classify(error: &io::Error, path: &Path) -> Option<Cause> {
    let at = || path.to_owned();
    let drive = || path.ancestors().last().unwrap_or(path).to_owned();
    Some(match error.raw_os_error() {
        _ if is_sharing_error(error) => Cause::InUse { path: at() },
        Some(ERROR_TOO_MANY_OPEN_FILES) => Cause::OpenFiles {
            limit: None,
            maximum: None,
        },
        Some(ERROR_NOT_READY) => Cause::Device { mount: drive() },
        Some(ERROR_BAD_NETPATH | ERROR_NETNAME_DELETED) => Cause::Stale { mount: drive() },
        _ => match error.kind() {
            io::ErrorKind::NotFound => Cause::NotFound { path: at() },
            io::ErrorKind::PermissionDenied if path.is_dir() => Cause::Directory { path: at() },
            io::ErrorKind::PermissionDenied if is_held(path) => Cause::InUse { path: at() },
            io::ErrorKind::PermissionDenied => Cause::Denied { path: at() },
            io::ErrorKind::StorageFull => Cause::NoSpace {
                mount: drive(),
                free: None,
            },
            io::ErrorKind::QuotaExceeded => Cause::Quota { mount: drive() },
            io::ErrorKind::ReadOnlyFilesystem => Cause::ReadOnly { mount: drive() },
            io::ErrorKind::CrossesDevices => Cause::OtherFileSystem { path: at() },
            io::ErrorKind::AlreadyExists => Cause::Exists { path: at() },
            io::ErrorKind::InvalidFilename => Cause::NameTooLong,
            io::ErrorKind::OutOfMemory => Cause::NoMemory,
            _ => return None,
        },
    })
}
