//! What is at the path of a store's lock: the reference's directory, a later gateway's file, or
//! neither.
//!
//! Later gateways make a regular file with `{"pid": …, "createdAt": …}`. A process id means nothing
//! in another container, and a file without a living process may belong to one there. So such a
//! lock counts as abandoned only when its process is gone, or started after the lock was made, and
//! the file has not been written for `STALE`. Source: openclaw 2026.3.13
//! and 2026.5.28, `file-lock`.

use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use super::stale::is_stale;
use crate::platform::file_error::FileError;
#[cfg(windows)]
use crate::platform::process::windows::{process_exists, started_at};
use crate::platform::trust::access::Access;
use crate::platform::trust::read_own;

/// The largest lock file that is read, in bytes; one has about a hundred.
const LOCK_FILE_MAX: u64 = 4096;
/// How much later than a lock a process must have started to count as another one. The system
/// reports its boot time in whole seconds.
const START_MARGIN: Duration = Duration::from_secs(2);

/// Why what is at a lock's path is no lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockFault {
    /// A link, wherever it leads.
    #[error("it is a symbolic link")]
    Link,
    /// Neither a file nor a directory.
    #[error("it is a FIFO, a socket or a device")]
    Special,
    /// A file that does not name a process and a time.
    #[error("it is a file that does not name the process that holds it")]
    NoHolder,
}

#[derive(Debug)]
pub(super) enum AtLock {
    Nothing,
    /// The lock directory of the reference.
    Directory,
    /// A later gateway's file, with the process that made it.
    File {
        pid: u32,
        is_abandoned: bool,
    },
    Unusable(LockFault),
}

impl AtLock {
    /// Whether it is a file of a process that is gone.
    pub(super) fn is_abandoned_file(&self) -> bool {
        matches!(self, Self::File { is_abandoned, .. } if *is_abandoned)
    }

    /// Examines what is there. Fails when a file there may have been written by somebody else, or
    /// cannot be read.
    pub(super) fn examine(path: &Path) -> Result<Self, FileError> {
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Nothing),
            Err(error) => return Err(FileError::io("examine", path)(error)),
        };
        let kind = meta.file_type();
        if kind.is_dir() {
            return Ok(Self::Directory);
        }
        if kind.is_symlink() {
            return Ok(Self::Unusable(LockFault::Link));
        }
        if !kind.is_file() {
            return Ok(Self::Unusable(LockFault::Special));
        }
        let contents = match read_own(path, Access::Read, LOCK_FILE_MAX) {
            Ok(Some(contents)) => contents,
            Ok(None) => return Ok(Self::Nothing),
            Err(FileError::TooLarge { .. }) => return Ok(Self::Unusable(LockFault::NoHolder)),
            Err(error) => return Err(error),
        };
        Ok(match Holder::parse(&contents.bytes) {
            Some(holder) => Self::File {
                pid: holder.pid,
                is_abandoned: is_stale(path) && holder.is_gone(),
            },
            None => Self::Unusable(LockFault::NoHolder),
        })
    }
}

#[derive(Debug, PartialEq)]
struct Holder {
    pid: u32,
    created_at: SystemTime,
}

impl Holder {
    /// Reads a lock file. The time is in ISO 8601, or in milliseconds since the epoch.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let payload: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        let pid = u32::try_from(payload.get("pid")?.as_u64()?).ok()?;
        let created_at = payload.get("createdAt")?;
        let ms = match created_at.as_str() {
            Some(text) => chrono::DateTime::parse_from_rfc3339(text)
                .ok()?
                .timestamp_millis(),
            None => created_at.as_i64()?,
        };
        let since = Duration::from_millis(u64::try_from(ms).ok()?);
        let created_at = SystemTime::UNIX_EPOCH.checked_add(since)?;
        let is_pid = pid > 0 && i32::try_from(pid).is_ok();
        is_pid.then_some(Self { pid, created_at })
    }

    /// Whether the process that made the lock is not there any more, as far as this can be known
    /// here. What is not known counts as being there.
    fn is_gone(&self) -> bool {
        if !process_exists(self.pid) {
            return true;
        }
        let limit = self.created_at.checked_add(START_MARGIN);
        let started = started_at(self.pid);
        matches!((started, limit), (Some(started), Some(limit)) if started > limit)
    }
}

#[cfg(unix)]
fn process_exists(pid: u32) -> bool {
    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // One of another user's answers with EPERM: it is there.
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// The start time of a process; `None` if the system does not report it.
#[cfg(target_os = "linux")]
fn started_at(pid: u32) -> Option<SystemTime> {
    /// Clock ticks in a second, the same on every architecture. Source: proc_pid_stat(5), USER_HZ.
    const TICKS: u64 = 100;
    /// Fields before `starttime` and behind the name, which may hold blanks: proc_pid_stat(5).
    const BEFORE_START: usize = 19;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().nth(BEFORE_START)?.parse().ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let booted = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let booted = Duration::from_secs(booted.trim().parse().ok()?);
    let since = booted + Duration::from_millis(ticks * 1000 / TICKS);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(not(any(target_os = "linux", windows)))]
fn started_at(_pid: u32) -> Option<SystemTime> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(text: &str) -> Option<Holder> {
        Holder::parse(text.as_bytes())
    }

    #[test]
    fn both_forms_of_the_time_are_read() {
        let iso = r#"{"pid": 42, "createdAt": "2026-11-29T15:56:29.591Z", "starttime": 7}"#;
        let ms = r#"{"pid": 42, "createdAt": 1795967789591}"#;
        assert_eq!(holder(iso).unwrap().pid, 42);
        assert_eq!(holder(iso), holder(ms));
    }

    #[test]
    fn what_names_no_process_and_time_is_no_lock() {
        for text in [
            "",
            "{",
            "[]",
            "42",
            r#"{"pid": 42}"#,
            r#"{"createdAt": "2026-11-29T15:56:29.591Z"}"#,
            r#"{"pid": 0, "createdAt": 1}"#,
            r#"{"pid": -1, "createdAt": 1}"#,
            r#"{"pid": 4294967295, "createdAt": 1}"#,
            r#"{"pid": "42", "createdAt": 1}"#,
            r#"{"pid": 42, "createdAt": "yesterday"}"#,
            r#"{"pid": 42, "createdAt": -5}"#,
        ] {
            assert_eq!(holder(text), None, "{text}");
        }
    }

    #[test]
    fn a_process_that_started_after_the_lock_did_not_make_it() {
        let of = |created_at| Holder {
            pid: std::process::id(),
            created_at,
        };
        assert!(!of(SystemTime::now()).is_gone());
        let hour = Duration::from_secs(3600);
        assert!(!of(SystemTime::now() + hour).is_gone());
        let long_ago = SystemTime::UNIX_EPOCH + hour;
        let is_start_known = cfg!(any(target_os = "linux", windows));
        assert_eq!(of(long_ago).is_gone(), is_start_known);
        let program = if cfg!(windows) { "whoami" } else { "true" };
        let mut child = std::process::Command::new(program).spawn().unwrap();
        child.wait().unwrap();
        let dead = Holder {
            pid: child.id(),
            created_at: SystemTime::now(),
        };
        assert!(dead.is_gone());
    }
}
