//! Reading files: whole, and only if regular. Whether they may be used says `trust`.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek as _};
use std::path::Path;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::file_error::{FileError, absent};
use super::sharing::retry_while_held;

use crate::domain::debug_as;

/// A file's bytes and when it last changed.
#[derive(Clone)]
pub struct Contents {
    /// All bytes of the file; wiped when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The modification time of the file.
    pub modified: SystemTime,
}

debug_as!(Contents, "Contents({} bytes)", it => it.bytes.len());

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Follow,
    Refuse,
}

/// Opens for reading, never waiting for the other end of a FIFO; `None` when nothing is there.
fn open_if_there(path: &Path, links: Links) -> Result<Option<File>, FileError> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        // Without NONBLOCK, opening a FIFO waits for a writer that may never come.
        let flags = match links {
            Links::Follow => OFlags::NONBLOCK,
            Links::Refuse => OFlags::NONBLOCK | OFlags::NOFOLLOW,
        };
        options.custom_flags(flags.bits().cast_signed());
    }
    #[cfg(windows)]
    if links == Links::Refuse && path.is_symlink() {
        let path = path.to_owned();
        return Err(FileError::Symlink { path });
    }
    let open = || options.open(path).map_err(or_is_directory(path));
    match retry_while_held(path, open) {
        Ok(file) => Ok(Some(file)),
        Err(error) if cfg!(windows) && error.kind() == io::ErrorKind::IsADirectory => {
            let path = path.to_owned();
            Err(FileError::NotRegular { path })
        }
        // A file where a directory of the path should be: nothing can be there.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(_) if links == Links::Refuse && path.is_symlink() => Err(FileError::Symlink {
            path: path.to_owned(),
        }),
        Err(error) => Err(FileError::io("read", path)(error)),
    }
}

/// Says that a directory is at `path` where that is why it was refused as a file. Windows opens,
/// replaces and removes no directory as a file, and says that it is denied.
pub(super) fn or_is_directory(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| {
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
        match cfg!(windows) && is_denied && path.is_dir() {
            true => io::ErrorKind::IsADirectory.into(),
            false => error,
        }
    }
}

/// Opens a file for reading that is no link; `None` when nothing is there.
pub(super) fn open_no_link(path: &Path) -> Result<Option<File>, FileError> {
    open_if_there(path, Links::Refuse)
}

pub(super) fn read_whole(
    mut file: File,
    meta: &Metadata,
    path: &Path,
    limit: u64,
) -> Result<Contents, FileError> {
    if !meta.is_file() {
        return Err(FileError::NotRegular {
            path: path.to_owned(),
        });
    }
    let too_large = || FileError::TooLarge {
        path: path.to_owned(),
        limit,
    };
    if meta.len() > limit {
        return Err(too_large());
    }
    let capacity = usize::try_from(meta.len()).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    let read = || {
        if !bytes.is_empty() {
            bytes.clear();
            file.rewind()?;
        }
        Read::by_ref(&mut file)
            .take(limit + 1)
            .read_to_end(&mut bytes)
    };
    retry_while_held(path, read).map_err(FileError::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(Contents { bytes, modified })
}

/// Reads a regular file whole; `None` when there is none. Follows links; never blocks on a FIFO.
///
/// # Errors
/// When it is not a regular file, larger than `limit` bytes, or cannot be read.
pub fn read_regular(path: &Path, limit: u64) -> Result<Option<Contents>, FileError> {
    read_opened(open_if_there(path, Links::Follow)?, path, limit)
}

/// As [`read_regular`], of a file that is no link.
pub(super) fn read_no_link(path: &Path, limit: u64) -> Result<Option<Contents>, FileError> {
    read_opened(open_no_link(path)?, path, limit)
}

fn read_opened(file: Option<File>, path: &Path, limit: u64) -> Result<Option<Contents>, FileError> {
    let Some(file) = file else { return Ok(None) };
    let meta = file.metadata().map_err(FileError::io("examine", path))?;
    read_whole(file, &meta, path, limit).map(Some)
}

/// Opens a regular file for reading; links are followed, and nobody waits for the other end of a
/// FIFO.
///
/// # Errors
/// When nothing is there, it is not a regular file, or the system refuses.
pub fn open_regular(path: &Path) -> Result<File, FileError> {
    let nothing = || FileError::io("open", path)(absent("the file does not exist"));
    let file = open_if_there(path, Links::Follow)?.ok_or_else(nothing)?;
    let meta = file.metadata().map_err(FileError::io("examine", path))?;
    if meta.is_file() {
        return Ok(file);
    }
    Err(FileError::NotRegular {
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_regular(&dir.path().join("none"), 9).unwrap().is_none());
        assert!(matches!(
            read_regular(dir.path(), 9),
            Err(FileError::NotRegular { .. } | FileError::Io { .. })
        ));
        fs::write(dir.path().join("big"), "0123456789").unwrap();
        let found = read_regular(&dir.path().join("big"), 9);
        assert!(matches!(found, Err(FileError::TooLarge { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_fifo_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        let found = read_regular(&path, 9);
        assert!(matches!(found, Err(FileError::NotRegular { .. })));
    }
}
