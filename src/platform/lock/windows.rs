//! Lock files on Windows: opened by one process alone, and only where they are what they seem.

use std::fs::{File, OpenOptions};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Instant;
use std::{io, thread};

use super::error::{LockError, PAUSE_MAX, PAUSE_MIN};
use crate::platform::file::close_new;
use crate::platform::file_error::FileError;
use crate::platform::sharing::is_sharing_error;
use crate::platform::trust::access::Access;
use crate::platform::trust::check_trusted;

/// The file that is a directory's lock.
const NAME: &str = ".clawkeep-lock";
// Source of the flags: Microsoft's documentation, CreateFileW.
const DELETE_ON_CLOSE: u32 = 0x0400_0000;
const OPEN_LINK_ITSELF: u32 = 0x0020_0000;

/// Opens the lock of a directory, which no other process can open meanwhile, waiting until
/// `deadline`. The system removes the file when it is closed, also by the end of the process.
pub(super) fn open_alone(dir: &Path, deadline: Instant) -> Result<File, LockError> {
    check_trusted(dir, Access::CreateIn)?;
    let path = dir.join(NAME);
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(false)
        .share_mode(0)
        .custom_flags(DELETE_ON_CLOSE | OPEN_LINK_ITSELF);
    let mut pause = PAUSE_MIN;
    loop {
        let error = match options.open(&path) {
            Ok(file) => return Ok(file),
            Err(error) => error,
        };
        // One that is being removed is denied.
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
        let is_held = is_sharing_error(&error);
        if !is_held && !is_denied || Instant::now() >= deadline {
            return Err(match is_held {
                true => LockError::Busy { path },
                false => FileError::io("lock", &path)(error).into(),
            });
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Makes the lock file for the user alone unless there is one, and lets `options` open a link in
/// place of what it leads to.
pub(super) fn create_private(options: &mut OpenOptions, path: &Path) -> Result<(), FileError> {
    options.custom_flags(OPEN_LINK_ITSELF);
    let mut new = options.clone();
    match new.create_new(true).open(path) {
        // Another process that finds it meanwhile has the directory's list, and locks it as well.
        Ok(_) => close_new(path, false),
        Err(_) => Ok(()), // what is wrong is found again by opening it
    }
}

/// Refuses a lock file that is a link, has a second name, or is another user's to change: it is
/// about to be written.
pub(super) fn check_lock_file(file: &File, path: &Path) -> Result<(), FileError> {
    let meta = file.metadata().map_err(FileError::io("examine", path))?;
    let path = path.to_owned();
    if meta.is_symlink() {
        return Err(FileError::Symlink { path });
    }
    let found = winapi_util::file::information(file).map_err(FileError::io("examine", &path))?;
    if found.number_of_links() > 1 {
        let why = "it has a second name, so writing it could change another file: remove it";
        let why = io::Error::new(io::ErrorKind::InvalidInput, why);
        return Err(FileError::io("lock", &path)(why));
    }
    check_trusted(&path, Access::Read).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::access_list::windows::this_user;
    use crate::platform::access_list::{AccessList, rights};
    use crate::platform::lock::queue::DirectoryLock;
    use crate::platform::lock::queue::QueueLock;

    #[test]
    fn a_directory_is_locked_by_one_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let first = DirectoryLock::acquire(dir.path(), now).unwrap();
        let second = DirectoryLock::acquire(dir.path(), now);
        assert!(matches!(second, Err(LockError::Busy { .. })), "{second:?}");
        drop(first);
        drop(DirectoryLock::acquire(dir.path(), now).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_new_lock_file_is_for_the_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock");
        drop(QueueLock::acquire(&lock, Instant::now()).unwrap());
        let list = AccessList::of(&lock).unwrap();
        let others = list.others(this_user().unwrap(), rights::READ | rights::WRITE);
        assert!(others.is_empty(), "{others:?}");
        drop(QueueLock::acquire(&lock, Instant::now()).unwrap());
    }

    #[test]
    fn a_lock_file_with_a_second_name_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let (precious, lock) = (dir.path().join("precious"), dir.path().join("lock"));
        std::fs::write(&precious, "kept").unwrap();
        std::fs::hard_link(&precious, &lock).unwrap();
        assert!(QueueLock::acquire(&lock, Instant::now()).is_err());
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "kept");
    }
}
