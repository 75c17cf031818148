//! Where paths lead: links, directories that do not exist yet, two names of one file.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::file_error::FileError;
use crate::domain::REMOVE_COMMAND;

/// Where a path leads, links resolved: absolute, and on Windows written as people write it where
/// that means the same, so without the prefix `\\?\`. What may run on Windows resolves paths by
/// this function alone, so that two texts of one path are equal.
///
/// # Errors
/// When nothing is there, or the system refuses.
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    #[cfg(windows)]
    return dunce::canonicalize(path);
    #[cfg(target_os = "linux")]
    return canonicalize_by_kernel(path.as_ref());
    #[cfg(not(any(windows, target_os = "linux")))]
    fs::canonicalize(path)
}

/// Asks the kernel where a path leads, in three calls; the C library makes one for each directory.
#[cfg(target_os = "linux")]
fn canonicalize_by_kernel(path: &Path) -> io::Result<PathBuf> {
    use std::ffi::OsString;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::ffi::OsStringExt as _;

    use rustix::fs::{Mode, OFlags, open, readlink};

    let opened = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let found = readlink(format!("/proc/self/fd/{}", opened.as_raw_fd()), Vec::new());
    let found = found.map(|found| found.into_bytes()).unwrap_or_default();
    // No `/proc`, or the file was removed meanwhile: a name may also end like this.
    if !found.starts_with(b"/") || found.ends_with(b" (deleted)") {
        return fs::canonicalize(path);
    }
    Ok(OsString::from_vec(found).into())
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

/// Returns the command that removes what is at `path`, and a link there rather than what it leads
/// to: on Windows, `del` empties the directory that a link leads to.
#[must_use]
pub fn removal_command(path: &Path) -> &'static str {
    let is_directory = fs::symlink_metadata(path).is_ok_and(|meta| {
        #[cfg(windows)]
        if std::os::windows::fs::FileTypeExt::is_symlink_dir(&meta.file_type()) {
            return true;
        }
        meta.is_dir()
    });
    if is_directory {
        "rmdir"
    } else {
        REMOVE_COMMAND
    }
}

/// Whether something exists at `path`, as [`exists`], but with an error where this user may not
/// check.
///
/// # Errors
/// When the system does not answer.
pub fn is_present(path: &Path) -> Result<bool, FileError> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(false),
        Err(error) => Err(FileError::io("examine", path)(error)),
    }
}

/// How many links are followed in a row. Source: Linux's own limit, path_resolution(7).
pub(super) const LINKS_MAX: usize = 40;

/// Resolves a path: links at its end are followed (the last target need not exist), links in its
/// directories are resolved as far as those exist. The result is the same before and after the
/// missing part is created.
///
/// # Errors
/// When links lead in a circle.
pub fn resolve_link(path: &Path) -> Result<PathBuf, FileError> {
    resolve_link_until(path, |_| false).map(|(real, _)| real)
}

/// As [`resolve_link`], but a link whose text `is_end` is not followed: the link itself, the links
/// in its directories resolved, and its text.
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
#[must_use]
pub fn resolve_existing(path: &Path) -> PathBuf {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_removed_as_one_and_what_is_not_there_as_a_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(removal_command(dir.path()), "rmdir");
        let link = dir.path().join("link");
        assert_eq!(removal_command(&link), REMOVE_COMMAND);
        #[cfg(unix)]
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert_eq!(removal_command(&link), REMOVE_COMMAND);
    }

    #[cfg(windows)]
    #[test]
    fn one_path_has_one_text_which_people_would_write() {
        let dir = tempfile::tempdir().unwrap();
        let real = canonicalize(dir.path()).unwrap();
        let shown = crate::domain::shown_path(&real);
        assert!(!shown.starts_with(r"\\"), "{}", real.display());
        assert_eq!(canonicalize(&real).unwrap(), real);
        assert_eq!(resolve_link(&real.join("none")).unwrap(), real.join("none"));
        let verbatim = format!(r"\\?\{}", real.display());
        assert_eq!(canonicalize(verbatim).unwrap(), real);
    }
}
