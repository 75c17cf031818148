//! Locks between our own processes, which the system frees when one dies.

use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest as _, Sha256};

use super::error::{LockError, PAUSE_MAX, PAUSE_MIN};
#[cfg(windows)]
use super::windows;
use crate::platform::file::create_private_dir;
use crate::platform::file_error::FileError;
use crate::platform::paths::canonicalize;
use crate::platform::sharing::retry_while_held;
#[cfg(unix)]
use crate::platform::trust::Trust;
use crate::platform::trust::access::Access;
use crate::platform::trust::check_trusted;

/// The longest note that is read, in bytes: two numbers of 64 bits are shorter.
const NOTE_MAX: usize = 64;
/// The longest between that note and the directory: nothing is done between them.
const MAKING_MAX: Duration = Duration::from_secs(1);

/// An exclusive lock on a file of ours; released when dropped or when the process ends.
///
/// The file says which lock directory its holder made last. If the next process in the queue finds
/// that very directory, its maker was killed, and the process need not wait until it is stale.
#[derive(Debug)]
pub struct QueueLock {
    pub(super) file: File,
    /// Eight hexadecimal digits of its path's SHA-256.
    pub(super) name: String,
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
            // Removed while it was waited for, as a vault was that was moved: that lock holds off
            // nobody.
            if is_at(&file, path) {
                break file;
            }
        };
        let real = real_path_of(path)?;
        let digest = Sha256::digest(real.as_os_str().as_encoded_bytes());
        let name = data_encoding::HEXLOWER.encode(&digest[..4]);
        Ok(Self { file, name })
    }

    /// What the last holder noted; nothing where it noted nothing, or the note cannot be read.
    pub(super) fn noted(&self) -> String {
        let mut note = [0; NOTE_MAX];
        // What cannot be read is no note: this process then waits until the lock directory is
        // stale, as for another program's.
        let length = read_start(&self.file, &mut note).unwrap_or(0);
        String::from_utf8_lossy(&note[..length]).into_owned()
    }

    /// Whether the last note was made at that time, give or take [`MAKING_MAX`].
    pub(super) fn was_noted_at(&self, time: io::Result<SystemTime>) -> bool {
        let noted = self.file.metadata().and_then(|meta| meta.modified());
        let (Ok(noted), Ok(time)) = (noted, time) else {
            return false;
        };
        let gap = time.duration_since(noted);
        gap.unwrap_or_else(|error| error.duration()) < MAKING_MAX
    }

    pub(super) fn note(&self, text: &str) -> io::Result<()> {
        write_note(&self.file, text)
    }
}

/// An exclusive lock on a file of ours that its holder may remove; released when dropped.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Takes the lock at `path`, creating the file, unless somebody has it.
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

    /// Notes in the file who has it: the lock is what counts.
    pub fn note(&self, text: &str) -> io::Result<()> {
        write_note(&self.file, text)
    }
}

/// An exclusive lock between our own processes on what lies in a directory; released when dropped
/// or when the process ends. It leaves no file behind.
#[derive(Debug)]
pub struct DirectoryLock {
    /// The directory; on Windows, which locks none, a file in it that is removed on close.
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

/// Writes to the file that is locked, whatever its name leads to by now.
fn write_note(mut file: &File, text: &str) -> io::Result<()> {
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    // Most notes have the same length. A file that is emptied first gets new blocks on the disk.
    let length = text.len() as u64;
    match file.metadata()?.len() == length {
        true => Ok(()),
        false => file.set_len(length),
    }
}

/// Reads the start of a file, and returns how many bytes it read.
#[cfg(unix)]
fn read_start(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, 0)
}

#[cfg(windows)]
fn read_start(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, 0)
}

/// Resolves the links above a lock's file, which is no link itself.
fn real_path_of(path: &Path) -> Result<PathBuf, FileError> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return canonicalize(path).map_err(FileError::io("lock", path));
    };
    // The directory passed this check when the file was opened.
    Ok(check_trusted(dir, Access::CreateIn)?.join(name))
}

/// Opens a lock's file, or creates it. It is about to be written, so nobody else may have created
/// it or added a second name.
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
