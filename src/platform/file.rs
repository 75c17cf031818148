//! Files: read whole and only if regular, made private, removed and renamed durably. Whether they may be used says `trust`.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::cause::is_mounted_file;
use super::sharing::retry_while_held;
use super::trust::{Access, Refusal, check_trusted};
use crate::domain::shown_path;

/// Something about a file that stops us. Every variant names the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refused an operation.
    #[error("cannot {action} {}", shown_path(path))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, FIFO, socket or device stands where a file should.
    #[error("{} is not a regular file", shown_path(path))]
    NotRegular {
        /// Where.
        path: PathBuf,
    },
    /// The file is larger than anything sensible.
    #[error("{} is larger than {limit} bytes", shown_path(path))]
    TooLarge {
        /// Where.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// A symbolic link stands where only a file is accepted.
    #[error("{} is a symbolic link, which is not followed here", shown_path(path))]
    Symlink {
        /// Where.
        path: PathBuf,
    },
    /// The file is a mount of its own, so nothing can be renamed over it, and what belongs beside it lies on another file system.
    #[error("{} is mounted as a single file", path.display())]
    MountedFile {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else can have changed it, or read the secret in it.
    #[error("{0}")]
    Untrusted(Arc<Refusal>),
    /// There is no directory in memory for what must not lie on a disk.
    #[error("there is no runtime directory: {why}")]
    NoRuntimeDir {
        /// What was looked for, and not found.
        why: String,
    },
}

impl FileError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Says what was to be used, where something above or behind it is at fault.
    pub(super) fn asked_for(self, asked: &Path, access: Access) -> Self {
        match self {
            Self::Untrusted(refusal) => {
                let mut refusal = Arc::unwrap_or_clone(refusal);
                if refusal.path != asked {
                    refusal.asked = Some(asked.to_owned());
                }
                refusal.is_secret = access == Access::Secret;
                Self::Untrusted(Arc::new(refusal))
            }
            other => other,
        }
    }

    /// Whether the file's state (rather than the system's) is what is wrong.
    #[must_use]
    pub fn is_bad_state(&self) -> bool {
        !matches!(
            self,
            Self::Io { .. } | Self::MountedFile { .. } | Self::NoRuntimeDir { .. }
        )
    }
}

/// A file's bytes and when it last changed.
#[derive(Clone)]
pub struct Contents {
    /// All of it; wiped when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The file's modification time.
    pub modified: SystemTime,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Contents({} bytes)", self.bytes.len())
    }
}

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
fn or_is_directory(path: &Path) -> impl Fn(io::Error) -> io::Error {
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

/// Reads an open regular file whole.
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

/// An error of the kind [`io::ErrorKind::NotFound`] that says `what` is missing: its own text is "entity not found".
pub(crate) fn absent(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, what)
}

/// Opens a regular file for reading; links are followed, and nobody waits for the other end of a FIFO.
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

/// Where a path leads, links resolved: absolute, and on Windows written as people write it where
/// that means the same, so without the prefix `\\?\`. What may run on Windows resolves paths by
/// this function alone, so that two texts of one path are equal.
///
/// # Errors
/// When nothing is there, or the system refuses.
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    #[cfg(windows)]
    return dunce::canonicalize(path);
    #[cfg(not(windows))]
    fs::canonicalize(path)
}

/// Whether two paths lead to one file, by whatever names.
#[must_use]
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) {
            return (one.dev(), one.ino()) == (other.dev(), other.ino());
        }
    }
    #[cfg(windows)]
    if let Ok(is_same) = same_file::is_same_file(one, other) {
        return is_same;
    }
    matches!((canonicalize(one), canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether anything is at `path`, a dangling link included.
#[must_use]
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// As [`exists`], where not being allowed to look must not pass for a no.
///
/// # Errors
/// When the system does not tell.
pub fn look_for(path: &Path) -> Result<bool, FileError> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(false),
        Err(error) => Err(FileError::io("examine", path)(error)),
    }
}

/// How many links are followed in a row. Source: Linux's own limit, path_resolution(7).
const LINKS_MAX: usize = 40;

/// Where a path really leads: links at its end followed (the last target need not exist), links in its directories resolved
/// as far as those exist. The same before and after the missing part is created.
///
/// # Errors
/// When links lead in a circle.
pub fn resolve_link(path: &Path) -> Result<PathBuf, FileError> {
    resolve_link_until(path, |_| false).map(|(real, _)| real)
}

/// As [`resolve_link`], but a link whose text `is_end` is not followed: the link itself, the links in its directories resolved,
/// and its text.
///
/// # Errors
/// As [`resolve_link`].
pub fn resolve_link_until(
    path: &Path,
    is_end: impl Fn(&Path) -> bool,
) -> Result<(PathBuf, Option<PathBuf>), FileError> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = fs::read_link(&path) else {
            return Ok((resolve_existing(&path), None));
        };
        let dir = path.parent().unwrap_or(Path::new("."));
        if is_end(&target) {
            let name = path.file_name().unwrap_or_default();
            return Ok((resolve_existing(dir).join(name), Some(target)));
        }
        path = dir.join(target);
    }
    let circle = io::Error::other("too many levels of symbolic links");
    Err(FileError::io("resolve", &path)(circle))
}

/// Resolves the part of a path that exists.
pub(super) fn resolve_existing(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = canonicalize(ancestor) {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            // Joining an empty rest would add a separator.
            return if rest.as_os_str().is_empty() {
                real
            } else {
                real.join(rest)
            };
        }
    }
    path.to_owned()
}

/// Creates a directory (and its parents) that only its owner can enter, durably. One that exists is left as it is. Whether it may
/// be relied on is checked before anything is made, and after.
///
/// # Errors
/// When somebody else could put files there, or the system refuses.
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    check_trusted(path, Access::CreateIn)?;
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|dir| !dir.as_os_str().is_empty() && !dir.is_dir())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    #[cfg_attr(not(unix), allow(unused_mut, reason = "there is no mode to set"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    for dir in missing.into_iter().rev() {
        match builder.create(dir) {
            // Another process was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            made => {
                made.map_err(FileError::io("create", dir))?;
                close_new(dir, true).inspect_err(|_| {
                    let _ = fs::remove_dir(dir); // the error that led here is the one to tell
                })?;
            }
        }
        sync_dir(
            dir.parent()
                .filter(|dir| !dir.as_os_str().is_empty())
                .unwrap_or(Path::new(".")),
        )?;
    }
    check_trusted(path, Access::CreateIn).map(|_| ()) // who was quicker may have been somebody else
}

/// Creates a file that was not there, readable and writable by its owner only. On Windows it has
/// the directory's list for a moment, until its own is set: nothing is written before that.
///
/// # Errors
/// When something is there already, or the system refuses.
pub fn create_private_file(path: &Path) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let open = || options.open(path);
    let file = retry_while_held(path, open).map_err(FileError::io("create", path))?;
    if let Err(error) = close_new(path, false) {
        drop(file);
        let _ = remove_if_present(path); // the error that led here is the one to tell
        return Err(error);
    }
    Ok(file)
}

/// Keeps others out of a file or directory that was just made, where the mode it was made with does
/// not say so.
///
/// # Errors
/// When the system refuses.
pub(super) fn close_new(path: &Path, is_dir: bool) -> Result<(), FileError> {
    #[cfg(windows)]
    super::access_list::make_private(path, is_dir).map_err(FileError::io("restrict", path))?;
    #[cfg(not(windows))]
    let _ = (path, is_dir);
    Ok(())
}

/// Whether [`remove_if_present`] found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// It was there and is gone.
    Removed,
    /// There was nothing.
    Absent,
}

/// Removes a file if it is there.
///
/// # Errors
/// When the system refuses.
pub fn remove_if_present(path: &Path) -> Result<RemoveOutcome, FileError> {
    match retry_while_held(path, || {
        fs::remove_file(path).map_err(or_is_directory(path))
    }) {
        Ok(()) => Ok(RemoveOutcome::Removed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(RemoveOutcome::Absent),
        Err(error) => Err(FileError::io("remove", path)(error)),
    }
}

/// Removes a directory that has nothing in it.
///
/// # Errors
/// When there is none, something is in it, or the system refuses.
pub fn remove_empty_dir(path: &Path) -> io::Result<()> {
    retry_while_held(path, || fs::remove_dir(path))
}

/// Checks that a file can be replaced by renaming another one over it.
///
/// # Errors
/// [`FileError::MountedFile`] when it is a mount of its own.
pub fn check_replaceable(path: &Path) -> Result<(), FileError> {
    if is_mounted_file(path) {
        let path = path.to_owned();
        return Err(FileError::MountedFile { path });
    }
    Ok(())
}

/// Renames and syncs the directory, so that the new name survives a power cut.
///
/// # Errors
/// When the system refuses.
pub fn rename_durably(from: &Path, to: &Path) -> Result<(), FileError> {
    let rename = || fs::rename(from, to).map_err(or_is_directory(to));
    retry_while_held(to, rename).map_err(|error| match check_replaceable(from) {
        Err(mounted) => mounted,
        Ok(()) => FileError::io("replace", to)(error),
    })?;
    sync_dir(to.parent().unwrap_or(Path::new(".")))
}

/// Opens a directory: what is found and changed of its times is of the one that was opened,
/// whatever comes to be at the path.
pub(super) fn open_dir(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(not(windows))]
    options.read(true);
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt as _;
        /// Without it no directory is opened. Source: Microsoft, `CreateFileW`, "Directories".
        const BACKUP_SEMANTICS: u32 = 0x0200_0000;
        /// `FILE_READ_ATTRIBUTES`, `FILE_WRITE_ATTRIBUTES`. Source: Microsoft, "File Access Rights
        /// Constants".
        const ATTRIBUTES: u32 = 0x80 | 0x100;
        options
            .access_mode(ATTRIBUTES)
            .custom_flags(BACKUP_SEMANTICS);
    }
    options.open(path)
}

/// Syncs a directory's entries to disk.
///
/// Windows has no such call: NTFS logs each new name and each rename before it is made, so that a
/// power cut leaves the old entry or the new one, and not half of one. It may leave the old one: a
/// store is then what it was, which the vault knows, and the next sync writes it again.
///
/// # Errors
/// When the system refuses.
pub fn sync_dir(dir: &Path) -> Result<(), FileError> {
    #[cfg(unix)]
    {
        File::open(dir)
            .and_then(|dir| sync_file(&dir))
            .map_err(FileError::io("sync", dir))?;
    }
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// Syncs a file's bytes and attributes to disk.
///
/// # Errors
/// When the system refuses.
pub fn sync_file(file: &File) -> io::Result<()> {
    or_fsync(file, file.sync_all())
}

/// Syncs a file's bytes to disk, and what is needed to find them.
///
/// # Errors
/// When the system refuses.
pub fn sync_file_data(file: &File) -> io::Result<()> {
    or_fsync(file, file.sync_data())
}

/// On macOS std asks for `F_FULLFSYNC`, which empties the disk's cache, too. SMB, WebDAV, FUSE,
/// NTFS and ZFS do not know it and answer ENOTSUP, EINVAL or ENOTTY: there fsync(2) is what can be
/// had. Source: libuv/libuv#2135.
#[cfg(target_os = "macos")]
fn or_fsync(file: &File, synced: io::Result<()>) -> io::Result<()> {
    use rustix::io::Errno;
    let is_unknown = |error: &io::Error| {
        let unknown = [Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOTTY];
        Errno::from_io_error(error).is_some_and(|errno| unknown.contains(&errno))
    };
    match synced {
        Err(error) if is_unknown(&error) => Ok(rustix::fs::fsync(file)?),
        synced => synced,
    }
}

#[cfg(not(target_os = "macos"))]
fn or_fsync(_file: &File, synced: io::Result<()>) -> io::Result<()> {
    synced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_regular(&dir.path().join("none"), 9).unwrap().is_none());
        assert!(matches!(
            read_regular(dir.path(), 9),
            Err(FileError::NotRegular { .. } | FileError::Io { .. })
        ));
        fs::write(dir.path().join("big"), "0123456789").unwrap();
        assert!(matches!(
            read_regular(&dir.path().join("big"), 9),
            Err(FileError::TooLarge { .. })
        ));
    }

    #[cfg(windows)]
    #[test]
    fn one_path_has_one_text_which_people_would_write() {
        let dir = tempfile::tempdir().unwrap();
        let real = canonicalize(dir.path()).unwrap();
        assert!(!shown_path(&real).starts_with(r"\\"), "{}", real.display());
        assert_eq!(canonicalize(&real).unwrap(), real);
        assert_eq!(resolve_link(&real.join("none")).unwrap(), real.join("none"));
        let verbatim = format!(r"\\?\{}", real.display());
        assert_eq!(canonicalize(verbatim).unwrap(), real);
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
        assert!(matches!(
            read_regular(&path, 9),
            Err(FileError::NotRegular { .. })
        ));
    }
}
