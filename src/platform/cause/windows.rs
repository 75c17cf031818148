//! What Windows' error numbers say of a file.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use super::kinds::Cause;
use crate::platform::file_error::FileError;
use crate::platform::sharing::{is_held, is_sharing_error};

/// Too many files are open. Source of the numbers: Microsoft, "System Error Codes (0-499)".
const ERROR_TOO_MANY_OPEN_FILES: i32 = 4;
const ERROR_NOT_READY: i32 = 21;
const ERROR_BAD_NETPATH: i32 = 53;
const ERROR_NETNAME_DELETED: i32 = 64;

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

/// Why SQLite cannot use the database at `path`, found out by opening its files: SQLite keeps the
/// error number to itself. One that is not there is left alone.
pub(crate) fn why_database_fails(path: &Path) -> Option<FileError> {
    ["", "-wal", "-shm", "-journal"]
        .into_iter()
        .find_map(|suffix| {
            let mut file = path.as_os_str().to_owned();
            file.push(suffix);
            let opened = OpenOptions::new().read(true).write(true).open(&file);
            let error = opened.err()?;
            let is_absent = error.kind() == io::ErrorKind::NotFound && !suffix.is_empty();
            (!is_absent).then(|| FileError::io("open", Path::new(&file))(error))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_another_program_holds_is_reported_as_held() {
        use std::os::windows::fs::OpenOptionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.db");
        std::fs::write(&path, "x").unwrap();
        assert!(why_database_fails(&path).is_none());
        let held = OpenOptions::new()
            .read(true)
            .share_mode(0)
            .open(&path)
            .unwrap();
        let Some(FileError::Io { source, path, .. }) = why_database_fails(&path) else {
            panic!("a file that is held was opened");
        };
        assert_eq!(classify(&source, &path), Some(Cause::InUse { path }));
        drop(held);
    }
    use crate::platform::file::remove_if_present;
    use crate::platform::replace::replace_file;

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
