//! Two locks for one file that two programs write.
//!
//! [`QueueLock`] is between our own processes: fair enough, freed by the system when a process dies.
//! [`LockDir`] is the reference's (`proper-lockfile`): a directory `<file>.lock` made with `mkdir`, its
//! modification time refreshed every 10 s, stale after 30 s, removed with `rmdir`. Source: `spec/compat.md`.
//! Later gateways make a file there instead ([`holder`]); it is respected, and removed when abandoned.

mod holder;
mod refresher;
#[cfg(windows)]
mod windows;

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest as _, Sha256};

use self::holder::AtLock;
pub use self::holder::LockFault;
use self::refresher::HeldDir;
#[cfg(unix)]
use super::Trust;
use super::replace::rename_without_replacing;
use super::sharing::retry_while_held;
use super::{
    Access, FileError, canonicalize, check_trusted, create_private_dir, exists, remove_empty_dir,
    remove_if_present,
};
use crate::domain::shown_path;

/// A lock directory not refreshed for so long is a dead process's. Source: `spec/compat.md`, Locking.
const STALE: Duration = Duration::from_secs(30);
/// First and longest pause between tries. Source: `spec/compat.md`, Locking.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// Noted in the queue while a lock directory is made whose identity cannot be known before.
const MAKING: &str = "making";
/// The longest between that note and the directory: nothing is done between them.
const MAKING_MAX: Duration = Duration::from_secs(1);
/// The mode of such a directory. The reference's have the umask's, 0755 as a rule.
#[cfg(unix)]
const MADE_MODE: u32 = 0o700;
/// How long a lock file that names no holder is waited for: it may be about to be written.
const UNWRITTEN: Duration = Duration::from_secs(1);

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else held it until the deadline.
    #[error("{} is held by another process", shown_path(path))]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// A gateway's lock file was there until the deadline.
    #[error("{} is held by process {pid}", shown_path(path))]
    Held {
        /// The lock.
        path: PathBuf,
        /// The process that it names.
        pid: u32,
    },
    /// What is at the lock's path is no lock of any gateway that is known.
    #[error("{} is in the way of the store's lock: {fault}", shown_path(path))]
    Unusable {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        fault: LockFault,
    },
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

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

/// An exclusive lock on a file of ours; released when dropped or when the process ends.
///
/// The file says which lock directory its holder made last. Whoever is next in the queue and finds that very directory
/// knows that its maker was killed, and need not wait until it is stale.
#[derive(Debug)]
pub struct QueueLock {
    file: File,
    /// Eight hexadecimal digits of its path's SHA-256.
    name: String,
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
        let file = loop {
            let file = open_lock_file(path)?;
            wait_for(&file, path, deadline)?;
            // Removed while it was waited for, as a vault was that was moved: that lock holds off nobody.
            if is_at(&file, path) {
                break file;
            }
        };
        let real = canonicalize(path).map_err(FileError::io("lock", path))?;
        let digest = Sha256::digest(real.as_os_str().as_encoded_bytes());
        let name = data_encoding::HEXLOWER.encode(&digest[..4]);
        Ok(Self { file, name })
    }
}

/// An exclusive lock on a file of ours that may be removed by whoever has it; released when dropped or when the process ends.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Takes the lock at `path`, creating the file, unless somebody has it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn try_take(path: &Path) -> Result<Option<Self>, FileError> {
        loop {
            let file = open_lock_file(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(error)) => {
                    return Err(FileError::io("lock", path)(error));
                }
            }
            // Removed between opening and locking: that lock holds off nobody.
            if is_at(&file, path) {
                return Ok(Some(Self { file }));
            }
        }
    }
}

impl FileLock {
    /// Notes in the file who has it: the lock is what counts.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&self, text: &str) -> io::Result<()> {
        write_note(&self.file, text)
    }
}

/// Whether an open file is the one at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(open), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

#[cfg(windows)]
fn is_at(file: &File, path: &Path) -> bool {
    use same_file::Handle;
    let open = file.try_clone().and_then(Handle::from_file);
    matches!((open, Handle::from_path(path)), (Ok(open), Ok(there)) if open == there)
}

/// An exclusive lock between our own processes on what lies in a directory; released when dropped or when the process ends. It
/// leaves no file behind.
#[derive(Debug)]
pub struct DirectoryLock {
    /// The directory; on Windows, which locks none, a file in it that the system removes when it is
    /// closed.
    _held: File,
}

impl DirectoryLock {
    /// Takes the lock, waiting until `deadline`.
    ///
    /// # Errors
    /// [`LockError::Busy`] at the deadline; [`LockError::File`] when the system refuses.
    pub fn acquire(dir: &Path, deadline: Instant) -> Result<Self, LockError> {
        #[cfg(windows)]
        let held = windows::open_alone(dir, deadline)?;
        #[cfg(not(windows))]
        let held = {
            let file = File::open(dir).map_err(FileError::io("lock", dir))?;
            wait_for(&file, dir, deadline)?;
            file
        };
        Ok(Self { _held: held })
    }
}

/// Takes the system's lock on an open file.
fn wait_for(file: &File, path: &Path, deadline: Instant) -> Result<(), LockError> {
    let mut pause = PAUSE_MIN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
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

impl QueueLock {
    /// What the last holder noted; nothing where it noted nothing, or the note cannot be read.
    fn noted(&self) -> String {
        let (mut file, mut note) = (&self.file, String::new());
        match file.rewind().and_then(|()| file.read_to_string(&mut note)) {
            Ok(_) => note,
            Err(_) => String::new(), // the lock directory then waits until it is stale, as another program's does
        }
    }

    /// Whether the last note was made at that time, give or take [`MAKING_MAX`].
    fn was_noted_at(&self, time: io::Result<SystemTime>) -> bool {
        let noted = self.file.metadata().and_then(|meta| meta.modified());
        let (Ok(noted), Ok(time)) = (noted, time) else {
            return false;
        };
        let gap = time.duration_since(noted);
        gap.unwrap_or_else(|error| error.duration()) < MAKING_MAX
    }

    fn note(&self, text: &str) -> io::Result<()> {
        write_note(&self.file, text)
    }
}

/// Writes to the file that is locked, whatever its name leads to by now.
fn write_note(mut file: &File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

/// Opens a lock's file, or makes it. It is about to be written, so nobody else may have made it or given it a second name.
fn open_lock_file(path: &Path) -> Result<File, FileError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    check_trusted(dir.unwrap_or(Path::new(".")), Access::CreateIn)?;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    #[cfg(windows)]
    windows::create_private(&mut options, path)?;
    let file = match retry_while_held(path, || options.open(path)) {
        Err(_) if path.is_symlink() => {
            let path = path.to_owned();
            return Err(FileError::Symlink { path });
        }
        opened => opened.map_err(FileError::io("open", path))?,
    };
    #[cfg(unix)]
    {
        let meta = file.metadata().map_err(FileError::io("examine", path))?;
        Trust::current().check_own(path, &meta)?;
    }
    #[cfg(windows)]
    windows::check_lock_file(&file, path)?;
    Ok(file)
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

    /// Examines the lock on `file` (links resolved by the caller) without taking it: a directory that nobody has refreshed
    /// for long, or a file whose process is gone, is abandoned.
    ///
    /// # Errors
    /// When what is there cannot be examined, or a file there may have been written by somebody else.
    pub fn state(file: &Path) -> Result<LockState, FileError> {
        let path = Self::path_for(file);
        Ok(match AtLock::examine(&path)? {
            AtLock::Directory if is_stale(&path) => LockState::Abandoned,
            AtLock::File {
                is_abandoned: true, ..
            } => LockState::Abandoned,
            AtLock::Nothing | AtLock::Directory | AtLock::File { .. } => LockState::Usable,
            AtLock::Unusable(fault) => LockState::Unusable(fault),
        })
    }

    /// Takes the lock on `file` (links resolved by the caller), waiting until `deadline`. A directory that a killed
    /// process of ours left in the same `queue` is removed at once, another program's when it is stale. So is a later
    /// gateway's lock file whose process is gone.
    ///
    /// # Errors
    /// [`LockError::Busy`] or [`LockError::Held`] at the deadline; [`LockError::Unusable`] for what is no lock, without
    /// waiting so long; [`LockError::File`] when the directory cannot be made.
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
                        let _ = remove_dir(&path); // the next to make it has it; a file in its place stays
                    }
                }
                AtLock::File {
                    is_abandoned: true, ..
                } => remove_abandoned_file(&path)?,
                AtLock::Unusable(fault) => {
                    let since = *unwritten_since.get_or_insert_with(Instant::now);
                    if fault != LockFault::NoHolder || since.elapsed() >= UNWRITTEN {
                        return Err(LockError::Unusable { path, fault });
                    }
                }
                AtLock::Nothing | AtLock::File { .. } => unwritten_since = None,
            }
            if !exists(&path) {
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

/// Removes a lock file whose process is gone, unless another one took its place meanwhile: it is examined once more at the
/// last moment.
fn remove_abandoned_file(path: &Path) -> Result<(), FileError> {
    let is_abandoned = |there| {
        matches!(
            there,
            AtLock::File {
                is_abandoned: true,
                ..
            }
        )
    };
    if AtLock::examine(path).is_ok_and(is_abandoned) {
        remove_if_present(path)?;
    }
    Ok(())
}

/// Makes the lock directory unless there is one. It is noted in the queue before anybody can see it: noted after, a
/// process killed in between would leave a lock that looks like another program's.
fn make(path: &Path, queue: &QueueLock) -> io::Result<()> {
    // A name of the queue's own: another vault's processes stand in another one.
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.clawkeep-tmp", queue.name));
    let draft = PathBuf::from(draft);
    let _ = fs::remove_dir(&draft); // left by a killed process; create_dir tells what else is in the way
    let created = retry_while_held(&draft, || fs::create_dir(&draft));
    created.map_err(|error| match error.kind() {
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
        let _ = fs::remove_dir(&draft); // the first error is the one to tell
    }
    made.unwrap_or_else(|| make_plainly(path, queue))
}

/// Makes the directory and notes it, before and after. Killed in between, this process leaves a directory that is
/// known by its mode. Only for a file system or a path that cannot be renamed without replacing.
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
    meta.is_ok_and(|meta| meta.mode() & 0o777 == MADE_MODE && meta.uid() == super::effective_uid())
}

/// Without modes it then waits until it is stale.
#[cfg(not(unix))]
fn is_of_made_mode(_path: &Path) -> bool {
    false
}

/// What tells one lock directory from any other, until it is refreshed.
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

impl LockDir {
    /// Whether nobody has taken the lock over as stale, as happens to a process that was stopped for long.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_held()
    }
}

impl Drop for LockDir {
    fn drop(&mut self) {
        self.held.give_up();
    }
}

/// Removes a lock directory, which another program may be looking at.
fn remove_dir(path: &Path) -> io::Result<()> {
    remove_empty_dir(path)
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
    use super::super::file::open_dir;
    use super::*;

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
        assert!(matches!(
            LockDir::acquire(&file, &other, soon()),
            Err(LockError::Busy { .. })
        ));
        drop(held);
        assert!(!dir.path().join("store.json.lock").exists());
        LockDir::acquire(&file, &other, soon()).unwrap();
    }

    #[test]
    fn what_a_killed_process_of_ours_left_is_taken_over_at_once_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let ours = queue(&dir, "ours");
        let (file, lock) = (
            dir.path().join("store.json"),
            dir.path().join("store.json.lock"),
        );
        let killed = LockDir::acquire(&file, &ours, soon()).unwrap();
        std::mem::forget(killed); // a process that is killed removes nothing
        assert!(lock.is_dir());
        drop(LockDir::acquire(&file, &ours, soon()).unwrap());
        assert!(!lock.exists());
        fs::create_dir(&lock).unwrap();
        assert!(matches!(
            LockDir::acquire(&file, &ours, soon()),
            Err(LockError::Busy { .. })
        ));
        assert!(lock.is_dir());
    }

    /// Where a directory cannot be renamed without replacing another, it is noted after it was made.
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
        open_dir(&dir.path().join("store.json.lock"))
            .unwrap()
            .set_modified(old)
            .unwrap();
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
        assert!(matches!(
            QueueLock::acquire(&path, soon()),
            Err(LockError::Busy { .. })
        ));
        drop(held);
        QueueLock::acquire(&path, soon()).unwrap();
    }
}
