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
            io::ErrorKind::IsADirectory => Cause::Directory { path: at() },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{FileError, remove_if_present, replace_file};

    #[test]
    fn a_directory_is_in_the_way_only_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, temporary) = (dir.path().join("d"), dir.path().join("t"));
        std::fs::create_dir(&path).unwrap();
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let at = || path.clone();
        assert_eq!(classify(&denied, &path), Some(Cause::Denied { path: at() }));
        let tried = [
            remove_if_present(&path).map(|_| ()),
            replace_file(&path, &temporary, b"x"),
        ];
        for refused in tried {
            let Err(FileError::Io { source, path, .. }) = refused else {
                panic!("a directory was removed or replaced: {refused:?}");
            };
            let cause = classify(&source, &path);
            assert_eq!(cause, Some(Cause::Directory { path: at() }));
        }
    }
}
