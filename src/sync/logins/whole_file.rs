//! Reading other programs' files, which those may be writing at that moment.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::platform::{Access, Cause, FileError, read_trusted};
use crate::sources::{FileContent, FileReading};

/// The largest credential file read, in bytes. Claude Code keeps its MCP servers' logins in the
/// same file.
const SOURCE_LIMIT: u64 = 16 << 20;
/// A file that was changed within that time may be half of what it was and half of what it will be,
/// and make sense all the same.
const MOMENT: Duration = Duration::from_millis(20);
/// One that was changed within that time and makes no sense may still be being written.
const FRESH: Duration = Duration::from_secs(1);
/// For how long a file that makes no sense is read again, and the pause in between.
const WRITING: Duration = Duration::from_millis(100);
const READ_AGAIN: Duration = Duration::from_millis(4);

/// Reads a file, repeatedly for a while if another program may be writing it: it was changed in
/// this very moment, or just now and makes no sense. Of a file that is rewritten all the time, the
/// last reading that made sense counts.
pub(crate) fn read_once_written<R>(
    path: &Path,
    is_unfinished: impl Fn(&R) -> bool,
    read: impl Fn() -> R,
) -> R {
    let end = Instant::now() + WRITING;
    let mut whole = None;
    loop {
        let reading = read();
        let is_unfinished = is_unfinished(&reading);
        let may_change = is_younger(path, MOMENT) || (is_younger(path, FRESH) && is_unfinished);
        if !may_change {
            return reading;
        }
        if Instant::now() >= end {
            return match whole {
                Some(whole) if is_unfinished => whole,
                _ => reading,
            };
        }
        if !is_unfinished {
            whole = Some(reading);
        }
        thread::sleep(READ_AGAIN);
    }
}

/// Whether a file was changed within that time.
pub(crate) fn is_younger(path: &Path, than: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age < than)
}

/// Whether a file cannot be read while another program holds it open, as happens on Windows.
fn is_in_use(error: &std::io::Error, path: &Path) -> bool {
    cfg!(windows) && matches!(Cause::of(error, path), Some(Cause::InUse { .. }))
}

/// Reads a source's file if it can be trusted. What is in a file that another user can have changed
/// is not this user's login.
pub(crate) fn read_source(path: &Path) -> FileReading {
    match read_trusted(path, Access::Read, SOURCE_LIMIT) {
        Err(FileError::Untrusted(refusal)) => FileReading::Untrusted(refusal),
        Ok(None) => FileReading::Absent,
        Ok(Some(contents)) => FileReading::Content(FileContent {
            bytes: contents.bytes,
            modified: contents.modified,
        }),
        Err(FileError::Io { source, path, .. }) if is_in_use(&source, &path) => {
            FileReading::Unreadable(std::io::ErrorKind::ResourceBusy)
        }
        Err(FileError::Io { source, .. }) => FileReading::Unreadable(source.kind()),
        Err(FileError::TooLarge { .. }) => {
            FileReading::Unreadable(std::io::ErrorKind::FileTooLarge)
        }
        Err(_) if path.is_dir() => FileReading::Unreadable(std::io::ErrorKind::IsADirectory),
        Err(_) => FileReading::Unreadable(std::io::ErrorKind::InvalidInput),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::read_once_written;

    #[test]
    fn of_a_file_that_is_rewritten_all_the_time_the_last_whole_reading_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("login");
        let count = Cell::new(0);
        let read_until = |last_whole: u32| {
            count.set(0);
            read_once_written(&path, Result::is_err, || {
                fs::write(&path, "").unwrap();
                count.set(count.get() + 1);
                (count.get() <= last_whole)
                    .then(|| count.get())
                    .ok_or(count.get())
            })
        };
        assert_eq!(read_until(2), Ok(2));
        assert!(count.get() > 2, "it was read again");
        assert_eq!(read_until(0), Err(count.get()));
    }
}
