//! Changing files: made private, removed and renamed durably.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use super::file_error::FileError;
use super::read::or_is_directory;
use super::sharing::retry_while_held;
use super::trust::check_trusted;
use crate::platform::trust::access::Access;
use crate::platform::trust::mounts::is_mounted_file;

/// Creates a directory (and its parents) that only its owner can enter, durably. One that exists is
/// left as it is. Whether it may be relied on is checked before anything is made, and after.
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
                    let _ = fs::remove_dir(dir); // the error that led here is the one to report
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
        let _ = remove_if_present(path); // the error that led here is the one to report
        return Err(error);
    }
    Ok(file)
}

/// Keeps others out of a file or directory that was just made, where the mode it was made with does
/// not say so.
pub(super) fn close_new(path: &Path, is_dir: bool) -> Result<(), FileError> {
    #[cfg(windows)]
    super::access_list::windows::make_private(path, is_dir)
        .map_err(FileError::io("restrict", path))?;
    #[cfg(not(windows))]
    let _ = (path, is_dir);
    Ok(())
}

/// The result of removing a file by [`remove_if_present`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// It was there and is gone.
    Removed,
    /// There was nothing to remove.
    Absent,
}

/// Removes a file if it is there.
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
pub fn rename_durably(from: &Path, to: &Path) -> Result<(), FileError> {
    let rename = || fs::rename(from, to).map_err(or_is_directory(to));
    retry_while_held(to, rename).map_err(|error| match check_replaceable(from) {
        Err(mounted) => mounted,
        Ok(()) => FileError::io("replace", to)(error),
    })?;
    sync_dir(to.parent().unwrap_or(Path::new(".")))
}

/// Opens a directory: its times are those of what was opened, whatever comes to be there.
pub(super) fn open_dir(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(not(windows))]
    options.read(true);
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt as _;
        /// Without it no directory is opened. Source: Microsoft, `CreateFileW`, "Directories".
        const BACKUP_SEMANTICS: u32 = 0x0200_0000;
        /// `FILE_READ_ATTRIBUTES`, `FILE_WRITE_ATTRIBUTES`. Source: "File Access Rights Constants".
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
pub fn sync_file(file: &File) -> io::Result<()> {
    or_fsync(file, file.sync_all())
}

/// Syncs a file's bytes to disk, and what is needed to find them.
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
