//! What the system answers where another program holds a file open, and waiting for that program.

use std::fs::OpenOptions;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{io, thread};

/// How long to wait for another program to close a file, the first pause, and by how much each
/// pause is longer than the one before. Source: Go's `cmd/internal/robustio`: 2 s in all, from 1 ms
/// on, each pause longer by up to itself at random.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE_FIRST: Duration = Duration::from_millis(1);
const PAUSE_GROWTH: (u32, u32) = (3, 2);
/// How long to repeat what is denied although nobody holds the file, as one removed while a virus
/// scanner has it open. Short: an access list does not change meanwhile.
const PATIENCE_DENIED: Duration = Duration::from_millis(100);

// Source of the numbers: Microsoft, "System Error Codes (0-499)" and "(1000-1299)".
const ERROR_ACCESS_DENIED: i32 = 5;
const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_LOCK_VIOLATION: i32 = 33;
const ERROR_USER_MAPPED_FILE: i32 = 1224;

/// The right to remove or rename. Source: Microsoft, "Standard Access Rights".
const DELETE: u32 = 0x0001_0000;
/// Opens directories, too, and links themselves. Source: Microsoft, `CreateFileW`.
pub(in crate::platform) const BACKUP_SEMANTICS_NO_LINK: u32 = 0x0200_0000 | 0x0020_0000;

/// Whether an error says by itself that another program has the file open.
pub(crate) fn is_sharing_error(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION | ERROR_USER_MAPPED_FILE)
    )
}

/// Whether another program has a file open and does not let it be replaced or removed meanwhile.
pub(crate) fn is_held(path: &Path) -> bool {
    opened_to_remove(path).is_err_and(|error| is_sharing_error(&error))
}

/// Asks for the right to remove a file, and removes nothing.
fn opened_to_remove(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options
        .access_mode(DELETE)
        .custom_flags(BACKUP_SEMANTICS_NO_LINK);
    options.open(path).map(|_| ())
}

pub(super) fn retry_while_held<T>(
    path: &Path,
    mut operation: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let started = Instant::now();
    let mut denied_since = None;
    let mut pause = PAUSE_FIRST;
    loop {
        let error = match operation() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        // Replacing an open file is denied; that it is open shows when it is asked for.
        let is_denied = error.raw_os_error() == Some(ERROR_ACCESS_DENIED);
        let is_held = is_sharing_error(&error) || is_denied && is_held(path);
        let until = match (is_held, is_denied) {
            (true, _) => {
                denied_since = None;
                started + PATIENCE
            }
            // It may have been closed since it was denied: it is tried again soon.
            (false, true) => {
                let since = *denied_since.get_or_insert_with(|| {
                    pause = PAUSE_FIRST;
                    Instant::now()
                });
                since + PATIENCE_DENIED
            }
            (false, false) => return Err(error),
        };
        if Instant::now() + pause >= until {
            return Err(match is_held && is_denied {
                true => io::Error::from_raw_os_error(ERROR_SHARING_VIOLATION),
                false => error,
            });
        }
        thread::sleep(pause);
        pause = pause * PAUSE_GROWTH.0 / PAUSE_GROWTH.1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::cause::kinds::Cause;
    use crate::platform::file::create_private_file;
    use crate::platform::file::remove_if_present;
    use crate::platform::file_error::FileError;
    use crate::platform::read::open_regular;
    use crate::platform::read::read_regular;
    use crate::platform::replace::{Replaced, Replacement};
    use std::fs::{self, File};

    /// As most programs open files: others may read and write it, not replace or remove it.
    fn hold(path: &Path, share: u32) -> File {
        let mut options = OpenOptions::new();
        options.read(true).share_mode(share).open(path).unwrap()
    }

    fn replace(dir: &Path) -> Result<Replaced, FileError> {
        let (path, temporary) = (dir.join("store.json"), dir.join("draft"));
        Replacement::begin(&path, &temporary, 3)?.finish(b"new", Some(b"old"), || Ok(true))
    }

    #[test]
    fn a_file_that_is_held_for_a_moment_is_replaced_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.json");
        let for_a_moment = |share| {
            let held = hold(&path, share);
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(300));
                drop(held);
            })
        };
        fs::write(&path, "old").unwrap();
        let other = for_a_moment(3);
        assert_eq!(replace(dir.path()).unwrap(), Replaced::Yes);
        other.join().unwrap();
        let other = for_a_moment(0);
        let read = read_regular(&path, 9).unwrap().unwrap();
        assert_eq!(read.bytes.as_slice(), b"new");
        other.join().unwrap();
        let other = for_a_moment(3);
        remove_if_present(&path).unwrap();
        other.join().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_stays_held_is_named_as_such_after_two_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.json");
        fs::write(&path, "old").unwrap();
        let held = hold(&path, 3);
        let since = Instant::now();
        let Err(FileError::Io { source, .. }) = replace(dir.path()) else {
            panic!("replaced a file that is held");
        };
        assert!(since.elapsed() < PATIENCE * 2);
        let in_use = Cause::InUse { path: path.clone() };
        assert_eq!(Cause::of(&source, &path), Some(in_use));
        drop(held);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert!(!dir.path().join("draft").exists());
    }

    #[test]
    fn our_own_handles_keep_nobody_from_replacing_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.json");
        let written = create_private_file(&path).unwrap();
        let read = open_regular(&path).unwrap();
        // Wine 8 replaces no file that is open, so the right to do so is asked for.
        opened_to_remove(&path).unwrap();
        drop((written, read));
    }

    #[test]
    fn a_directory_is_no_file_and_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let since = Instant::now();
        let read = read_regular(dir.path(), 9);
        assert!(matches!(read, Err(FileError::NotRegular { .. })));
        assert!(since.elapsed() < PATIENCE_DENIED);
    }
}
