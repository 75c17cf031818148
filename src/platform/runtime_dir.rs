//! A user's runtime directory, `$XDG_RUNTIME_DIR`: in memory, and gone at logout.
//! Source: XDG Base Directory Specification, 0.8.

use std::path::{Path, PathBuf};

use super::file::create_private_dir;
use super::file_error::FileError;
use super::paths::canonicalize;
use super::process::effective_uid;
use super::trust::check_trusted;
use crate::platform::trust::access::Access;

/// Where Linux with systemd or elogind puts users' runtime directories, named by user id.
const OF_USERS: &str = "/run/user";

/// A runtime directory that is this user's, and that nobody else may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeDir {
    /// Links resolved.
    path: PathBuf,
}

impl RuntimeDir {
    /// The directory that the environment names; where it names none, the one in which Linux keeps
    /// it for this user. A service that was not started by a login has no variable.
    ///
    /// # Errors
    /// When there is none, or others could put something there.
    pub fn find(named: Option<&Path>) -> Result<Self, FileError> {
        if cfg!(not(unix)) {
            let why = "this system has none".to_owned();
            return Err(FileError::NoRuntimeDir { why });
        }
        Self::find_in(named, Path::new(OF_USERS))
    }

    fn find_in(named: Option<&Path>, of_users: &Path) -> Result<Self, FileError> {
        let usual = || of_users.join(effective_uid().to_string());
        let dir = named.map_or_else(usual, Path::to_owned);
        let path = match canonicalize(&dir) {
            Ok(path) if path.is_dir() => path,
            _ => {
                let shown = dir.display();
                let why = match named {
                    Some(_) => {
                        format!("XDG_RUNTIME_DIR names {shown}, and there is no such directory")
                    }
                    None => {
                        format!("XDG_RUNTIME_DIR is not set, and there is no directory {shown}")
                    }
                };
                return Err(FileError::NoRuntimeDir { why });
            }
        };
        // by the name that leads there: its links count, too
        check_trusted(&dir, Access::CreateIn)?;
        Ok(Self { path })
    }

    /// Where it is, links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a directory in it may be relied on: it is not there, or is a directory of this
    /// user's that nobody else may write.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self, dir: &Path) -> Result<(), FileError> {
        let Ok(meta) = std::fs::symlink_metadata(dir) else {
            return Ok(());
        };
        if meta.is_symlink() {
            let path = dir.to_owned();
            return Err(FileError::Symlink { path });
        }
        check_trusted(dir, Access::CreateIn)?;
        if !meta.is_dir() {
            let path = dir.to_owned();
            return Err(FileError::NotRegular { path });
        }
        Ok(())
    }

    /// Makes a directory in it that only this user can enter, and those above it.
    ///
    /// # Errors
    /// When the system refuses, or one that is there may not be relied on.
    pub fn make(&self, dir: &Path) -> Result<(), FileError> {
        let inside: Vec<&Path> = dir
            .ancestors()
            .take_while(|above| **above != *self.path && above.starts_with(&self.path))
            .collect();
        for dir in inside.into_iter().rev() {
            self.check(dir)?;
            create_private_dir(dir)?;
            self.check(dir)?;
        }
        Ok(())
    }

    /// Whether it is in memory; `None` if the system does not report it.
    #[must_use]
    pub fn is_in_memory(&self) -> Option<bool> {
        #[cfg(target_os = "linux")]
        {
            // tmpfs and ramfs. Source: Linux's include/uapi/linux/magic.h.
            const MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];
            let found = rustix::fs::statfs(&self.path).ok()?;
            let kind = u32::try_from(found.f_type).ok()?;
            Some(MEMORY.contains(&kind))
        }
        #[cfg(not(target_os = "linux"))]
        None
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn the_named_one_counts_and_else_the_users_own() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join(effective_uid().to_string());
        let none = RuntimeDir::find_in(None, dir.path()).unwrap_err();
        assert!(matches!(&none, FileError::NoRuntimeDir { why } if why.contains("is not set")));
        fs::create_dir(&own).unwrap();
        let real = own.canonicalize().unwrap();
        let found = RuntimeDir::find_in(None, dir.path()).unwrap();
        assert_eq!(found.path(), real);
        // What was named and is not there is an error, not a reason to take another.
        let gone = dir.path().join("gone");
        assert!(RuntimeDir::find_in(Some(&gone), dir.path()).is_err());
        let link = dir.path().join("link");
        symlink(&own, &link).unwrap();
        let found = RuntimeDir::find_in(Some(&link), dir.path()).unwrap();
        assert_eq!(found.path(), real);
    }

    #[test]
    fn what_others_could_have_made_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let base = RuntimeDir::find_in(Some(dir.path()), dir.path()).unwrap();
        let ours = base.path().join("clawkeep");
        symlink(dir.path(), &ours).unwrap();
        let error = base.make(&ours.join("a")).unwrap_err();
        assert!(matches!(error, FileError::Symlink { .. }), "{error}");
        fs::remove_file(&ours).unwrap();
        fs::write(&ours, "").unwrap();
        assert!(base.make(&ours.join("a")).is_err());
        fs::remove_file(&ours).unwrap();
        base.make(&ours.join("a")).unwrap();
        let mode = fs::metadata(ours.join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        // What is known of directories holds for a moment: others than those above.
        let open = base.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o722)).unwrap();
        let error = base.make(&open.join("b")).unwrap_err();
        assert!(matches!(error, FileError::Untrusted(_)), "{error}");
        assert!(RuntimeDir::find_in(Some(&open), dir.path()).is_err());
    }
}
