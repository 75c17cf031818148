//! The permissions of a file, and how to remove those of other users.

use std::path::Path;

use super::file_error::FileError;

/// The permission bits of everybody but the owner.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

/// The owner and mode of a file or directory. Links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Its permission bits, the sticky bit included.
    pub mode: u32,
    /// The user id of the file's owner.
    pub owner: u32,
    /// Whether its owner is this process's effective user, or one who counts as that.
    pub is_ours: bool,
    /// The permission bits by which somebody else has a right on it.
    pub others: u32,
    /// Whether it is a directory.
    pub is_dir: bool,
}

impl Permissions {
    /// Reads the permissions of `path`; `None` if nothing exists there, if they cannot be read, and
    /// where files have no mode.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let meta = std::fs::metadata(path).ok()?;
            let real = path.canonicalize().ok()?;
            let trust = super::trust::Trust::current();
            let is_roots = meta.uid() == 0 && super::process::effective_uid() != 0;
            Some(Self {
                mode: meta.mode() & 0o1777,
                owner: meta.uid(),
                is_ours: !is_roots && trust.admits_owner(&real, meta.uid()),
                others: trust.open_bits(&real, &meta, OTHERS),
                is_dir: meta.is_dir(),
            })
        }
        #[cfg(not(unix))]
        {
            let _ = path; // access lists decide there
            None
        }
    }

    /// Whether others may change it.
    #[must_use]
    pub fn is_writable_by_others(self) -> bool {
        self.others & 0o022 != 0
    }

    /// Whether others may read it (list it, or pass through it, where it is a directory).
    #[must_use]
    pub fn is_readable_by_others(self) -> bool {
        self.others & 0o055 != 0
    }

    /// Whether it is a directory shared by all users, as `/tmp` is.
    #[must_use]
    pub fn is_shared_dir(self) -> bool {
        self.is_dir && self.mode & 0o1000 != 0
    }

    /// The bits without the right of anybody else to change it.
    #[must_use]
    pub fn unwritable(self) -> u32 {
        self.mode & 0o755
    }

    /// The bits without anybody else's.
    #[must_use]
    pub fn closed(self) -> u32 {
        self.mode & 0o700
    }
}

/// Removes the rights of other users on `path` that `mode` does not grant; returns whether there
/// were any. The file must be ours, and no link.
///
/// # Errors
/// When it is not ours, or the system refuses.
#[cfg(unix)]
pub fn close_to_others(path: &Path, mode: u32) -> Result<bool, FileError> {
    use rustix::fs::{Mode, OFlags, open};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    // Opened first, so that what is examined is what is changed.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty())
        .map_err(|errno| FileError::io("open", path)(errno.into()))?;
    let file = std::fs::File::from(file);
    let meta = file.metadata().map_err(FileError::io("examine", path))?;
    let uid = super::process::effective_uid();
    if meta.uid() != uid {
        let why = std::io::ErrorKind::PermissionDenied;
        return Err(FileError::io("change the permissions of", path)(why.into()));
    }
    let taken = OTHERS & !mode;
    if meta.mode() & taken == 0 {
        return Ok(false);
    }
    let mode = std::fs::Permissions::from_mode(meta.mode() & 0o7777 & !taken);
    file.set_permissions(mode)
        .map_err(FileError::io("change the permissions of", path))?;
    Ok(true)
}

/// Does nothing: Windows has access-control lists in place of these bits, and `doctor` shows the
/// command that closes one.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn close_to_others(_path: &Path, _mode: u32) -> Result<bool, FileError> {
    Ok(false)
}

/// Lets every user read an open file of ours, and nobody but its owner write it.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
pub fn open_to_readers(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

/// Does nothing: on Windows the directory's access-control list says who reads a file in it.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn open_to_readers(_file: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn others_lose_their_rights_once_and_links_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("f"), dir.path().join("l"));
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o464)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(close_to_others(&link, 0o400).is_err());
        let before = Permissions::of(&link).unwrap();
        assert!(before.is_readable_by_others() && before.is_writable_by_others());
        assert!(close_to_others(&file, 0o444).unwrap(), "the right to write");
        assert_eq!(Permissions::of(&file).unwrap().mode, 0o444);
        assert!(close_to_others(&file, 0o400).unwrap());
        assert!(!close_to_others(&file, 0o400).unwrap());
        let after = Permissions::of(&file).unwrap();
        assert_eq!((after.mode, before.closed()), (0o400, 0o400));
        assert!(after.is_ours && !after.is_dir);
        assert_eq!(Permissions::of(&dir.path().join("none")), None);
    }
}
