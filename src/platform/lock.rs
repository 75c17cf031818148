//! Two locks for one file that two programs write.
//!
//! [`QueueLock`] is between our own processes: fair enough, freed by the system when a process dies.
//! [`LockDir`] is the reference's (`proper-lockfile`): a directory `<file>.lock` made with `mkdir`, its
//! modification time refreshed every 10 s, stale after 30 s, removed with `rmdir`. Source: `spec/compat.md`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use super::{FileError, create_private_dir};

/// A lock directory not refreshed for so long is a dead process's. Source: `spec/compat.md`, Locking.
const STALE: Duration = Duration::from_secs(30);
/// How often a held lock directory is refreshed. Source: `spec/compat.md`, Locking.
const REFRESH: Duration = Duration::from_secs(10);
/// First and longest pause between tries. Source: `spec/compat.md`, Locking.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else held it until the deadline.
    #[error("{} is held by another process", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// An exclusive lock on a file of ours; released when dropped or when the process ends.
#[derive(Debug)]
pub struct QueueLock {
    _file: File,
}

impl QueueLock {
    /// Takes the lock at `path`, creating the file, waiting until `deadline`.
    ///
    /// # Errors
    /// [`LockError::Busy`] at the deadline; [`LockError::File`] when the system refuses.
    pub fn acquire(path: &Path, deadline: Instant) -> Result<Self, LockError> {
        if let Some(dir) = path.parent() {
            create_private_dir(dir)?;
        }
        let file = open_lock_file(path)?;
        let mut pause = PAUSE_MIN;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(LockError::Busy {
                        path: path.to_owned(),
                    });
                }
                Err(fs::TryLockError::Error(error)) => {
                    return Err(FileError::io("lock", path)(error).into());
                }
            }
        }
    }
}

fn open_lock_file(path: &Path) -> Result<File, FileError> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options.open(path).map_err(FileError::io("open", path))
}

/// The reference's lock on a store, held and kept fresh until dropped.
#[derive(Debug)]
pub struct LockDir {
    path: PathBuf,
    /// Closing it ends the thread that keeps the lock fresh.
    stop: Option<mpsc::Sender<()>>,
    refresher: Option<JoinHandle<SystemTime>>,
}

impl LockDir {
    /// The lock directory of a file whose links are resolved.
    #[must_use]
    pub fn path_for(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    }

    /// Takes the lock on `file` (links resolved by the caller), waiting until `deadline`.
    ///
    /// # Errors
    /// [`LockError::Busy`] at the deadline; [`LockError::File`] when the directory cannot be made.
    pub fn acquire(file: &Path, deadline: Instant) -> Result<Self, LockError> {
        let path = Self::path_for(file);
        let mut pause = PAUSE_MIN;
        loop {
            match fs::create_dir(&path) {
                Ok(()) => return Self::keep(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(FileError::io("lock", &path)(error).into()),
            }
            if is_stale(&path) {
                let _ = fs::remove_dir(&path); // whoever makes it next has it; a file in its place stays
            }
            if Instant::now() >= deadline {
                return Err(LockError::Busy { path });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn keep(path: PathBuf) -> Result<Self, LockError> {
        let made = modified(&path).map_err(FileError::io("examine", &path))?;
        let (stop, stopped) = mpsc::channel();
        let dir = path.clone();
        let refresher = thread::Builder::new()
            .name("lock-refresh".to_owned())
            .spawn(move || refresh_until_stopped(&dir, &stopped, made))
            .map_err(FileError::io("keep fresh", &path))?;
        Ok(Self {
            path,
            stop: Some(stop),
            refresher: Some(refresher),
        })
    }
}

/// Touches the directory every 10 s and returns the time it last had from us.
fn refresh_until_stopped(dir: &Path, stopped: &mpsc::Receiver<()>, made: SystemTime) -> SystemTime {
    let mut ours = made;
    while stopped.recv_timeout(REFRESH) == Err(mpsc::RecvTimeoutError::Timeout) {
        if modified(dir).ok() != Some(ours) {
            break; // taken over while we slept: no longer ours to refresh
        }
        let now = SystemTime::now();
        let touched = File::open(dir).and_then(|file| file.set_modified(now));
        if touched.is_ok() {
            ours = modified(dir).unwrap_or(ours); // as the file system rounds it
        }
    }
    ours
}

impl Drop for LockDir {
    fn drop(&mut self) {
        self.stop.take();
        let ours = self.refresher.take().and_then(|thread| thread.join().ok());
        // A lock that another process took over as stale is that process's to remove.
        if ours.is_some() && modified(&self.path).ok() == ours {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    fs::symlink_metadata(path)?.modified()
}

/// Stale by its own time; one from the future (a clock that jumped) is not.
fn is_stale(path: &Path) -> bool {
    modified(path).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(60)
    }

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("store.json");
        let held = LockDir::acquire(&file, soon()).unwrap();
        assert!(dir.path().join("store.json.lock").is_dir());
        assert!(matches!(
            LockDir::acquire(&file, soon()),
            Err(LockError::Busy { .. })
        ));
        drop(held);
        assert!(!dir.path().join("store.json.lock").exists());
        LockDir::acquire(&file, soon()).unwrap();
    }

    #[test]
    fn a_stale_lock_is_taken_over_and_its_late_holder_leaves_the_new_one_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("store.json");
        let late = LockDir::acquire(&file, soon()).unwrap();
        let old = SystemTime::now() - Duration::from_secs(31);
        File::open(dir.path().join("store.json.lock"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        let new = LockDir::acquire(&file, soon()).unwrap();
        drop(late);
        assert!(dir.path().join("store.json.lock").is_dir());
        drop(new);
        assert!(!dir.path().join("store.json.lock").exists());
    }

    #[test]
    fn the_queue_has_one_at_its_head() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub").join("queue");
        let held = QueueLock::acquire(&path, soon()).unwrap();
        assert!(matches!(
            QueueLock::acquire(&path, soon()),
            Err(LockError::Busy { .. })
        ));
        drop(held);
        QueueLock::acquire(&path, soon()).unwrap();
    }
}
