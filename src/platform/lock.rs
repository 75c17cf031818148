//! Two locks for one file that two programs write.
//!
//! [`QueueLock`] is between our own processes: fair enough, freed by the system when a process
//! dies. [`LockDir`] is the reference's (`proper-lockfile`): a directory `<file>.lock` made with
//! `mkdir`, its modification time refreshed every 10 s, stale after 30 s, removed with `rmdir`.
//! Source: `spec/compat.md`. Later gateways make a file there instead ([`holder`]); it is
//! respected, and removed when abandoned.

mod error;
mod holder;
mod queue;
mod refresher;
mod stale;
#[cfg(windows)]
mod windows;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use self::error::{PAUSE_MAX, PAUSE_MIN};
use self::holder::AtLock;
use self::refresher::HeldDir;
use self::stale::{is_stale, modified, remove_dir};
use super::file::remove_if_present;
use super::file_error::FileError;
use super::paths::exists;
use super::replace::rename_without_replacing;
use super::sharing::retry_while_held;

pub use self::error::LockError;
pub use self::holder::LockFault;
pub use self::queue::{DirectoryLock, FileLock, QueueLock};

/// Noted in the queue while a lock directory is made whose identity cannot be known before.
const MAKING: &str = "making";
/// The mode of such a directory. The reference's have the umask's, 0755 as a rule.
#[cfg(unix)]
const MADE_MODE: u32 = 0o700;
/// How long a lock file that names no holder is waited for: it may be about to be written.
const UNWRITTEN: Duration = Duration::from_secs(1);

/// Whether a store's lock is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// Nobody has it, or somebody who will let it go.
    Usable,
    /// It was left by a process that is gone: everybody may take it over.
    Abandoned,
    /// What is there is no lock, and keeps everybody from taking it.
    Unusable(LockFault),
}

/// The reference's lock on a store, held and kept fresh until dropped.
#[derive(Debug)]
pub struct LockDir {
    held: Arc<HeldDir>,
}

impl LockDir {
    /// The lock directory of a file whose links are resolved.
    #[must_use]
    pub fn path_for(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    }

    /// Examines the lock on `file` (links resolved by the caller) without taking it: a directory
    /// that nobody has refreshed for long, or a file whose process is gone, is abandoned.
    ///
    /// # Errors
    /// When what is there cannot be examined, or a file there may have been written by somebody
    /// else.
    pub fn state(file: &Path) -> Result<LockState, FileError> {
        let path = Self::path_for(file);
        Ok(match AtLock::examine(&path)? {
            AtLock::Directory if is_stale(&path) => LockState::Abandoned,
            there if there.is_abandoned_file() => LockState::Abandoned,
            AtLock::Nothing | AtLock::Directory | AtLock::File { .. } => LockState::Usable,
            AtLock::Unusable(fault) => LockState::Unusable(fault),
        })
    }

    /// Takes the lock on `file` (links resolved by the caller), waiting until `deadline`. A
    /// directory that a killed process of ours left in the same `queue` is removed at once, another
    /// program's when it is stale. So is a later gateway's lock file whose process is gone.
    ///
    /// # Errors
    /// [`LockError::Busy`] or [`LockError::Held`] at the deadline; [`LockError::Unusable`] for what
    /// is no lock, without waiting so long; [`LockError::File`] when the directory cannot be made.
    pub fn acquire(file: &Path, queue: &QueueLock, deadline: Instant) -> Result<Self, LockError> {
        let path = Self::path_for(file);
        let abandoned = queue.noted();
        let mut pause = PAUSE_MIN;
        let mut unwritten_since = None;
        loop {
            let there = AtLock::examine(&path)?;
            match there {
                AtLock::Directory => {
                    if is_stale(&path) || is_noted(&path, &abandoned, queue) {
                        // the next to make it has it; a file in its place stays
                        let _ = remove_dir(&path);
                    }
                }
                _ if there.is_abandoned_file() => remove_abandoned_file(&path)?,
                AtLock::Unusable(fault) => {
                    let since = *unwritten_since.get_or_insert_with(Instant::now);
                    if fault != LockFault::NoHolder || since.elapsed() >= UNWRITTEN {
                        return Err(LockError::Unusable { path, fault });
                    }
                }
                AtLock::Nothing | AtLock::File { .. } => unwritten_since = None,
            }
            if matches!(there, AtLock::Nothing) || !exists(&path) {
                match make(&path, queue) {
                    Ok(()) => return Self::keep(&path),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(FileError::io("lock", &path)(error).into()),
                }
            }
            if Instant::now() >= deadline {
                return Err(match there {
                    AtLock::File { pid, .. } => LockError::Held { path, pid },
                    AtLock::Unusable(fault) => LockError::Unusable { path, fault },
                    AtLock::Nothing | AtLock::Directory => LockError::Busy { path },
                });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Whether nobody has taken the lock over as stale, as after this process was stopped for long.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_held()
    }

    fn keep(path: &Path) -> Result<Self, LockError> {
        let kept = HeldDir::of(path).map(Arc::new).and_then(|held| {
            refresher::keep_fresh(&held)?;
            Ok(held)
        });
        let held = kept.map_err(|error| {
            let _ = remove_dir(path); // ours, and nobody would refresh it
            FileError::io("keep fresh", path)(error)
        })?;
        Ok(Self { held })
    }
}

/// Removes a lock file whose process is gone, unless another took its place: it is examined again.
fn remove_abandoned_file(path: &Path) -> Result<(), FileError> {
    if AtLock::examine(path).is_ok_and(|there| there.is_abandoned_file()) {
        remove_if_present(path)?;
    }
    Ok(())
}

/// Creates the lock directory unless it exists. The queue notes it before anybody can see it:
/// otherwise a process killed in between would leave a lock that appears to be another program's.
fn make(path: &Path, queue: &QueueLock) -> io::Result<()> {
    // A name of the queue's own: another vault's processes stand in another one.
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.clawkeep-tmp", queue.name));
    let draft = PathBuf::from(draft);
    let create = || match retry_while_held(&draft, || fs::create_dir(&draft)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A killed process left it; create_dir fails again on anything else.
            let _ = fs::remove_dir(&draft);
            fs::create_dir(&draft)
        }
        created => created,
    };
    create().map_err(|error| match error.kind() {
        // Nobody has the lock for that.
        io::ErrorKind::AlreadyExists => {
            io::Error::other(format!("{} is in the way", draft.display()))
        }
        _ => error,
    })?;
    let noted = identity(&draft).and_then(|noted| queue.note(&noted));
    let made = match noted {
        Ok(()) => rename_without_replacing(&draft, path),
        Err(error) => Some(Err(error)),
    };
    if !matches!(made, Some(Ok(()))) {
        let _ = fs::remove_dir(&draft); // the first error is the one to report
    }
    made.unwrap_or_else(|| make_plainly(path, queue))
}

/// Makes the directory and notes it, before and after. One left by a killed process is known by its
/// mode. Only for what cannot be renamed without replacing.
fn make_plainly(path: &Path, queue: &QueueLock) -> io::Result<()> {
    #[cfg_attr(not(unix), allow(unused_mut, reason = "there are no modes"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, MADE_MODE);
    queue.note(MAKING)?;
    // One that is on its way out still has the name.
    let made = retry_while_held(path, || builder.create(path)).and_then(|()| identity(path));
    queue.note(made.as_deref().unwrap_or_default())?;
    made.map(drop)
}

/// Whether the directory is the one that the last holder noted, who was killed then.
fn is_noted(path: &Path, note: &str, queue: &QueueLock) -> bool {
    match note {
        MAKING => is_of_made_mode(path) && queue.was_noted_at(modified(path)),
        _ => identity(path).is_ok_and(|found| found == note),
    }
}

#[cfg(unix)]
fn is_of_made_mode(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::symlink_metadata(path);
    meta.is_ok_and(|meta| {
        meta.mode() & 0o777 == MADE_MODE && meta.uid() == super::process::effective_uid()
    })
}

/// Without modes, the lock is waited for until it is stale.
#[cfg(not(unix))]
fn is_of_made_mode(_path: &Path) -> bool {
    false
}

/// Identifies a lock directory until it is refreshed.
fn identity(path: &Path) -> io::Result<String> {
    let meta = fs::symlink_metadata(path)?;
    let since = meta.modified()?.duration_since(SystemTime::UNIX_EPOCH);
    let made = since.unwrap_or_default().as_nanos();
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&meta);
    #[cfg(not(unix))]
    let inode = 0;
    Ok(format!("{inode} {made}"))
}

impl Drop for LockDir {
    fn drop(&mut self) {
        self.held.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::file::open_dir;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(60)
    }

    /// A queue of its own for each name, as another program has none.
    fn queue(dir: &tempfile::TempDir, name: &str) -> QueueLock {
        QueueLock::acquire(&dir.path().join(name), soon()).unwrap()
    }

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, other) = (queue(&dir, "ours"), queue(&dir, "other"));
        let file = dir.path().join("store.json");
        let held = LockDir::acquire(&file, &ours, soon()).unwrap();
        assert!(dir.path().join("store.json.lock").is_dir());
        let got = LockDir::acquire(&file, &other, soon());
        assert!(matches!(got, Err(LockError::Busy { .. })));
        drop(held);
        assert!(!dir.path().join("store.json.lock").exists());
        LockDir::acquire(&file, &other, soon()).unwrap();
    }

    #[test]
    fn what_a_killed_process_of_ours_left_is_taken_over_at_once_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let ours = queue(&dir, "ours");
        let file = dir.path().join("store.json");
        let lock = LockDir::path_for(&file);
        let killed = LockDir::acquire(&file, &ours, soon()).unwrap();
        std::mem::forget(killed); // a process that is killed removes nothing
        assert!(lock.is_dir());
        drop(LockDir::acquire(&file, &ours, soon()).unwrap());
        assert!(!lock.exists());
        fs::create_dir(&lock).unwrap();
        let got = LockDir::acquire(&file, &ours, soon());
        assert!(matches!(got, Err(LockError::Busy { .. })));
        assert!(lock.is_dir());
    }

    /// Where a directory cannot be renamed without replacing, it is noted after it was made.
    #[cfg(unix)]
    #[test]
    fn what_was_left_before_it_was_noted_is_known_by_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let ours = queue(&dir, "ours");
        let file = dir.path().join("store.json");
        let lock = dir.path().join("store.json.lock");
        make_plainly(&lock, &ours).unwrap();
        ours.note(MAKING).unwrap(); // killed before the last note
        drop(LockDir::acquire(&file, &ours, soon()).unwrap());
        assert!(!lock.exists());
        // Made by somebody whose directories have the same mode, after this process was killed.
        make_plainly(&lock, &ours).unwrap();
        ours.note(MAKING).unwrap();
        let earlier = SystemTime::now() - Duration::from_secs(2);
        ours.file.set_modified(earlier).unwrap();
        let busy = LockDir::acquire(&file, &ours, soon());
        assert!(matches!(busy, Err(LockError::Busy { .. })));
        fs::remove_dir(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o755)).unwrap();
        ours.note(MAKING).unwrap(); // killed before it made one
        let busy = LockDir::acquire(&file, &ours, soon());
        assert!(matches!(busy, Err(LockError::Busy { .. })));
        let made = make_plainly(&lock, &ours).unwrap_err();
        assert_eq!(made.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(ours.noted(), "");
    }

    #[test]
    fn a_stale_lock_is_taken_over_and_its_late_holder_leaves_the_new_one_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, other) = (queue(&dir, "ours"), queue(&dir, "other"));
        let file = dir.path().join("store.json");
        let late = LockDir::acquire(&file, &other, soon()).unwrap();
        let old = SystemTime::now() - Duration::from_secs(31);
        let lock = open_dir(&LockDir::path_for(&file)).unwrap();
        lock.set_modified(old).unwrap();
        drop(lock); // on Windows a directory that is open stays
        let new = LockDir::acquire(&file, &ours, soon()).unwrap();
        drop(late);
        assert!(dir.path().join("store.json.lock").is_dir());
        drop(new);
        assert!(!dir.path().join("store.json.lock").exists());
    }

    #[test]
    fn a_lock_that_is_held_stays_fresh() {
        let dir = tempfile::tempdir().unwrap();
        let ours = queue(&dir, "ours");
        let file = dir.path().join("store.json");
        let held = LockDir::acquire(&file, &ours, soon()).unwrap();
        let lock = LockDir::path_for(&file);
        let made = modified(&lock).unwrap();
        thread::sleep(Duration::from_millis(20));
        held.held.refresh();
        assert!(modified(&lock).unwrap() > made);
        assert!(held.is_held());
        drop(held);
        assert!(!lock.exists());
    }

    #[test]
    fn the_queue_has_one_at_its_head() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub").join("queue");
        let held = QueueLock::acquire(&path, soon()).unwrap();
        let got = QueueLock::acquire(&path, soon());
        assert!(matches!(got, Err(LockError::Busy { .. })));
        drop(held);
        QueueLock::acquire(&path, soon()).unwrap();
    }
}
