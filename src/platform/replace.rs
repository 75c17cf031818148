//! Replaces a file whole or not at all, beside another program that may write it without a lock.

use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::{NamedTempFile, PersistError, TempDir};

use super::file::{
    check_replaceable, close_new, create_private_file, remove_if_present, rename_durably, sync_dir,
    sync_file,
};
use super::file_error::FileError;
use super::paths::exists;
use super::read::read_no_link;
use super::sharing::retry_while_held;

/// A file about to replace another: made beside it, with room for its bytes, before anything
/// depends on it. Dropped without [`Replacement::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Replacement {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    room: usize,
    /// What lies under the temporary name is this draft, and nobody else's.
    is_draft: bool,
}

/// Whether a replacement took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The file has the new content.
    Yes,
    /// The file had changed. What was in it is still there, or under the temporary name.
    No,
}

/// What was found at a path that is about to become something else.
#[derive(Clone, Copy)]
pub enum Found<'f> {
    /// There was no file to replace.
    Nothing,
    /// A file with these bytes.
    File(&'f [u8]),
    /// A symbolic link with this text.
    Link(&'f Path),
}

impl std::fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::File(bytes) => write!(f, "File({} bytes)", bytes.len()),
            Self::Link(text) => write!(f, "Link({})", text.display()),
        }
    }
}

/// How two names were given each other's file.
#[cfg_attr(
    not(any(target_os = "linux", target_os = "macos")),
    allow(dead_code, reason = "other systems exchange no names")
)]
enum Exchange {
    Done,
    /// The system or the file system cannot do that.
    Unsupported,
    /// One of them is gone.
    Gone,
}

impl Replacement {
    /// Begins to replace `path` with `room` bytes, mode 0600, under the name `temporary` in the
    /// same directory. The caller holds the lock that makes that name its own, and has dealt with
    /// what was there.
    ///
    /// # Errors
    /// When the system refuses, for want of room too, something has the temporary name, or the file
    /// is a mount of its own.
    pub fn begin(path: &Path, temporary: &Path, room: usize) -> Result<Self, FileError> {
        check_replaceable(path)?;
        let file = create_private_file(temporary)?;
        let mut new = Self {
            file,
            temporary: temporary.to_owned(),
            path: path.to_owned(),
            room,
            is_draft: true,
        };
        let reserve = new.file.write_all(&vec![b' '; room]);
        reserve.map_err(FileError::io("write", temporary))?;
        Ok(new)
    }

    /// Writes the bytes, durably, and puts them in place of `expected`, the bytes that the file has
    /// (`None`: there is no file), if `is_wanted` still agrees: it is called last.
    ///
    /// The file and the draft are exchanged, so that the actual content of the file can be examined
    /// afterwards. If it is not `expected`, another program wrote in the meantime, and the file
    /// stays under the temporary name, for the caller to merge. It is not put back: that program
    /// may have read the new file by then, and would overwrite what it has not read. Where files
    /// cannot be exchanged, the last check is before the rename.
    ///
    /// # Errors
    /// When the system refuses. The file then has its old or its new content, and is whole.
    pub fn finish(
        self,
        bytes: &[u8],
        expected: Option<&[u8]>,
        is_wanted: impl FnOnce() -> Result<bool, FileError>,
    ) -> Result<Replaced, FileError> {
        self.finish_over(
            bytes,
            expected.map_or(Found::Nothing, Found::File),
            is_wanted,
        )
    }

    /// As [`Replacement::finish`], in place of whatever was found there.
    pub(crate) fn finish_over(
        mut self,
        bytes: &[u8],
        found: Found<'_>,
        is_wanted: impl FnOnce() -> Result<bool, FileError>,
    ) -> Result<Replaced, FileError> {
        self.write(bytes)?;
        if !is_wanted()? {
            return Ok(Replaced::No);
        }
        let (replaced, under_temporary) = put(&self.temporary, &self.path, found);
        self.is_draft = under_temporary == UnderTemporary::Draft;
        replaced
    }

    /// Writes the bytes, durably, and renames them into place if `is_wanted` still says so: it is
    /// asked last. What another program writes after that is lost, so this is for files that are
    /// not written all the time.
    ///
    /// # Errors
    /// When the system refuses; the file is then what it was.
    pub(crate) fn finish_by_rename(
        mut self,
        bytes: &[u8],
        is_wanted: impl FnOnce() -> Result<bool, FileError>,
    ) -> Result<Replaced, FileError> {
        self.write(bytes)?;
        if !is_wanted()? {
            return Ok(Replaced::No);
        }
        rename_durably(&self.temporary, &self.path)?;
        self.is_draft = false;
        Ok(Replaced::Yes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        debug_assert!(
            bytes.len() <= self.room,
            "more bytes than room was made for"
        );
        let mut write = || {
            self.file.rewind()?;
            self.file.write_all(bytes)?;
            if bytes.len() < self.room {
                self.file.set_len(bytes.len() as u64)?;
            }
            sync_file(&self.file)
        };
        write().map_err(FileError::io("write", &self.temporary))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if self.is_draft {
            let _ = discard(&self.temporary); // the error that led here is the one to report
        }
    }
}

/// What lies under the temporary name after an attempt to put a draft in place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UnderTemporary {
    Draft,
    /// Nothing, or what another program made.
    NoDraft,
}

/// Puts what lies under `temporary`, a file or a link, in place of what was found at `path`.
fn put(
    temporary: &Path,
    path: &Path,
    found: Found<'_>,
) -> (Result<Replaced, FileError>, UnderTemporary) {
    use UnderTemporary::{Draft, NoDraft};
    let refused = FileError::io("replace", path);
    if let Found::Nothing = found {
        return match rename_to_free_name(temporary, path) {
            Ok(()) => (sync_dir(dir_of(path)).map(|()| Replaced::Yes), NoDraft),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (Ok(Replaced::No), Draft),
            Err(error) => (Err(refused(error)), Draft),
        };
    }
    match exchange(temporary, path) {
        Err(error) => (Err(refused(error)), Draft),
        Ok(Exchange::Gone) => (Ok(Replaced::No), Draft),
        Ok(Exchange::Unsupported) => match rename_durably(temporary, path) {
            Ok(()) => (Ok(Replaced::Yes), NoDraft),
            Err(error) => (Err(error), Draft),
        },
        Ok(Exchange::Done) => (discard_if_found(temporary, path, found), NoDraft),
    }
}

/// Removes what was at `path` a moment ago from `temporary`, if it is what was found there.
fn discard_if_found(
    temporary: &Path,
    path: &Path,
    found: Found<'_>,
) -> Result<Replaced, FileError> {
    if !still_has(temporary, found) {
        return Ok(Replaced::No);
    }
    // A writer that had found the file and not emptied it yet gets the time of an fsync to do so.
    thread::yield_now();
    sync_dir(dir_of(path))?;
    if !still_has(temporary, found) {
        return Ok(Replaced::No);
    }
    discard(temporary)?;
    Ok(Replaced::Yes)
}

/// Puts a symbolic link to `target` in place of what was found at `path`, if `is_wanted` still says
/// so: it is asked last. The same rules hold as for [`Replacement::finish`].
///
/// # Errors
/// When the system refuses, or has no such links. What was at `path` is then still there.
pub fn put_link(
    path: &Path,
    temporary: &Path,
    target: &Path,
    found: Found<'_>,
    is_wanted: impl FnOnce() -> Result<bool, FileError>,
) -> Result<Replaced, FileError> {
    make_link(target, temporary).map_err(FileError::io("create", temporary))?;
    let (replaced, under_temporary) = match is_wanted() {
        Ok(true) => put(temporary, path, found),
        Ok(false) => (Ok(Replaced::No), UnderTemporary::Draft),
        Err(error) => (Err(error), UnderTemporary::Draft),
    };
    if under_temporary == UnderTemporary::Draft {
        let _ = discard(temporary); // the error that led here is the one to report
    }
    replaced
}

#[cfg(unix)]
fn make_link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(not(unix))]
fn make_link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Removes the file `found` at `path`, durably: it is moved to `temporary` first, so that its
/// actual content can be examined. If it is another file, it stays under that name, for the caller
/// to merge.
///
/// # Errors
/// When the system refuses, or something has the temporary name.
pub fn withdraw(path: &Path, temporary: &Path, found: Found<'_>) -> Result<Replaced, FileError> {
    match rename_to_free_name(path, temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Replaced::No),
        Err(error) => Err(FileError::io("remove", path)(error)),
        Ok(()) => discard_if_found(temporary, path, found),
    }
}

/// Whether what was found at a path is there: a link is not followed.
#[must_use]
pub fn still_has(path: &Path, found: Found<'_>) -> bool {
    match found {
        Found::Nothing => !exists(path),
        Found::File(bytes) => {
            let read = read_no_link(path, bytes.len() as u64);
            matches!(read, Ok(Some(now)) if now.bytes.as_slice() == bytes)
        }
        Found::Link(text) => fs::read_link(path).is_ok_and(|now| now == text),
    }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Removes durably: what came back after a power cut would be taken for another program's writing.
fn discard(path: &Path) -> Result<(), FileError> {
    remove_if_present(path)?;
    sync_dir(dir_of(path))
}

/// Gives each of two files the other's name, in one step.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(a: &Path, b: &Path) -> io::Result<Exchange> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(Exchange::Done),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(Exchange::Unsupported),
        Err(Errno::NOENT) => Ok(Exchange::Gone),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_: &Path, _: &Path) -> io::Result<Exchange> {
    Ok(Exchange::Unsupported)
}

/// Longer paths need the prefix `\\?\`. Source: Microsoft, "Maximum Path Length Limitation".
#[cfg(windows)]
const LONGEST_PLAIN: usize = 248;

/// Renames a file or a directory to a name that nothing has, and fails with `AlreadyExists` where
/// something has it. `None` where the system cannot do both at once: nothing is renamed then.
pub(super) fn rename_without_replacing(from: &Path, to: &Path) -> Option<io::Result<()>> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            renamed => return Some(renamed.map_err(io::Error::from)),
        }
    }
    // Never replaces. It knows no paths that Windows' own prefix makes longer.
    #[cfg(windows)]
    if let (Some(from_text), Some(to_text)) = (from.to_str(), to.to_str())
        && from_text.len().max(to_text.len()) < LONGEST_PLAIN
    {
        let number = |error: winsafe::co::ERROR| error.raw().cast_signed();
        let moved = || {
            let moved = winsafe::MoveFile(from_text, to_text);
            moved.map_err(|error| io::Error::from_raw_os_error(number(error)))
        };
        return Some(retry_while_held(from, moved));
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
    let _ = (from, to);
    None
}

/// Renames a file to a name that nothing has; fails with `AlreadyExists` where something has it.
pub fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(renamed) = rename_without_replacing(from, to) {
        return renamed;
    }
    if exists(to) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    retry_while_held(from, || fs::rename(from, to))
}

/// Replaces `path` with `bytes` at once, whatever it was; the temporary name is the caller's own,
/// and what a killed process left there is removed.
///
/// # Errors
/// When the system refuses; `path` is then what it was and the temporary file is gone.
pub fn replace_file(path: &Path, temporary: &Path, bytes: &[u8]) -> Result<(), FileError> {
    remove_if_present(temporary)?;
    let new = Replacement::begin(path, temporary, bytes.len())?;
    new.finish_by_rename(bytes, || Ok(true)).map(|_| ())
}

/// Makes a temporary file in a directory, readable and writable by its owner only.
pub fn temporary_in(dir: &Path) -> io::Result<NamedTempFile> {
    let file = NamedTempFile::new_in(dir)?; // mode 0600
    close_new(file.path(), false).map_err(io::Error::other)?;
    Ok(file)
}

/// Makes a temporary directory in a directory, for its owner only. It is removed with what is in it
/// when the returned value is dropped.
pub fn temporary_dir_in(dir: &Path) -> io::Result<TempDir> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has modes"))]
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let made = builder.tempdir_in(dir)?;
    close_new(made.path(), true).map_err(io::Error::other)?;
    Ok(made)
}

/// Writes a file for its owner only, in place of whatever has its name: whole or not at all. The
/// directory is not synced.
///
/// # Errors
/// When the system refuses, or `write` fails; nothing is changed then.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> io::Result<()>,
) -> io::Result<()> {
    let mut draft = temporary_in(path.parent().unwrap_or(Path::new(".")))?;
    write(&mut draft)?;
    sync_file(draft.as_file())?;
    persist(draft, path)
}

/// Gives a temporary file its name, in place of whatever has it.
///
/// # Errors
/// When the system refuses; the temporary file is then gone.
pub fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    give_name(file, path, |file| file.persist(path))
}

/// Gives a temporary file a name that nothing has; fails with `AlreadyExists` where something has
/// it.
pub fn persist_noclobber(file: NamedTempFile, path: &Path) -> io::Result<()> {
    give_name(file, path, |file| file.persist_noclobber(path))
}

fn give_name(
    file: NamedTempFile,
    path: &Path,
    give: impl Fn(NamedTempFile) -> Result<File, PersistError>,
) -> io::Result<()> {
    let mut unnamed = Some(file);
    retry_while_held(path, || {
        let Some(file) = unnamed.take() else {
            return Ok(());
        };
        give(file).map(|_| ()).map_err(|refused| {
            unnamed = Some(refused.file);
            refused.error
        })
    })
}

#[cfg(test)]
mod tests;
