//! The rule of [`super`] by access-control lists: nobody but this user, the system and its administrators may change a file, put
//! another one in its place, or, where it holds a secret, read it.
//!
//! The file is checked, and each directory above it up to the home directory, those outside it up to the root of the drive.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::refusal::{Fault, Refusal};
use super::{Access, Admitted, CheckedDir, Trust};
use crate::platform::access_list::{AccessList, is_other, rights, this_user};
use crate::platform::file::{self, Contents, FileError, resolve_existing};
use crate::platform::read_regular;

impl Trust {
    /// Checks a path before it has any effect; what is not there passes if its directories do. Where it is, links resolved.
    ///
    /// # Errors
    /// [`FileError::Untrusted`] for what somebody else can have changed; also when it cannot be examined.
    pub fn check(&self, path: &Path, access: Access) -> Result<PathBuf, FileError> {
        let asked = std::path::absolute(path).map_err(FileError::io("find", path))?;
        self.resolve(&asked, access)
            .map_err(|error| error.asked_for(&asked, access))
    }

    /// Reads a regular file whole after it has passed the check. `None` when there is none.
    ///
    /// # Errors
    /// As [`Trust::check`]; and when it is not a regular file, larger than `limit` bytes, or cannot be read.
    pub fn read(
        &self,
        path: &Path,
        access: Access,
        limit: u64,
    ) -> Result<Option<Contents>, FileError> {
        let real = self.check(path, access)?;
        read_regular(&real, limit)
    }

    /// As [`Trust::read`], of a file that this program made, and never as a link: one is refused.
    pub(super) fn read_own(
        &self,
        path: &Path,
        access: Access,
        limit: u64,
    ) -> Result<Option<Contents>, FileError> {
        if path.is_symlink() {
            let path = path.to_owned();
            return Err(FileError::Symlink { path });
        }
        let real = self.check(path, access)?;
        file::read_no_link(&real, limit)
    }

    pub(super) fn read_secret(
        &self,
        path: &Path,
        access: Access,
        limit: u64,
    ) -> Result<Option<Contents>, FileError> {
        self.read_own(path, access, limit)
    }

    #[allow(clippy::unused_self, reason = "as on other systems")]
    pub(super) fn is_mounted_secret(&self, _path: &Path) -> bool {
        false
    }

    fn resolve(&self, path: &Path, access: Access) -> Result<PathBuf, FileError> {
        let real = resolve_existing(path);
        let home = self.home().map(resolve_existing);
        let is_dir = real.is_dir();
        let forbidden = match access {
            Access::Read if is_dir => rights::REPLACE,
            Access::Read => rights::WRITE,
            Access::Secret => rights::WRITE | rights::READ,
            Access::CreateIn => rights::CREATE_IN,
        };
        if real.parent().is_some() && real.exists() {
            self.judge(&real, is_dir, forbidden)?;
        }
        if home.as_deref() == Some(&real) {
            return Ok(real);
        }
        for dir in real.ancestors().skip(1) {
            // Whoever may change the root of a drive owns what is on it.
            if dir.parent().is_none() {
                break;
            }
            if dir.exists() && !self.known().dirs.contains_key(dir) {
                self.judge(dir, true, rights::REPLACE)?;
                let checked = CheckedDir {
                    real: dir.to_owned(),
                    is_shared: false,
                };
                self.known().dirs.insert(dir.to_owned(), checked);
            }
            if home.as_deref() == Some(dir) {
                break;
            }
        }
        Ok(real)
    }

    /// Who else may read or change a file or directory; nothing where nobody may, and where that cannot be told.
    #[must_use]
    pub fn open_to_others(&self, path: &Path) -> Option<Refusal> {
        let forbidden = rights::WRITE | rights::READ;
        match self.judge(path, path.is_dir(), forbidden) {
            Err(FileError::Untrusted(refusal)) => Some(Arc::unwrap_or_clone(refusal)),
            _ => None,
        }
    }

    /// The rule for one file or directory, of which others must not have the `forbidden` rights.
    fn judge(&self, path: &Path, is_dir: bool, forbidden: u32) -> Result<(), FileError> {
        let user = this_user().map_err(FileError::io("examine", path))?;
        let list = AccessList::of(path).map_err(FileError::io("examine", path))?;
        let refuse = |fault, others: Vec<String>| {
            let refusal = Refusal::of_accounts(path, is_dir, fault, (user.to_owned(), others));
            Err(FileError::Untrusted(Arc::new(refusal)))
        };
        if is_other(&list.owner, user) && !self.admits(&list.owner) {
            return refuse(Fault::Owner, vec![list.owner]);
        }
        for (fault, rights) in [
            (Fault::Writable, forbidden & !rights::READ_ALONE),
            (Fault::Readable, forbidden & rights::READ_ALONE),
        ] {
            let mut others = list.others(user, rights);
            others.retain(|sid| !self.admits(sid));
            if !others.is_empty() {
                return refuse(fault, others);
            }
        }
        Ok(())
    }

    /// Whether the user admits an account.
    fn admits(&self, sid: &str) -> bool {
        let mut admitted = self.by_environment.iter().chain(&self.by_settings);
        admitted.any(|who| matches!(who, Admitted::Account(known) if &**known == sid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_of_this_users_alone_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("own");
        crate::platform::create_private_dir(&own).unwrap();
        let file = own.join("f");
        drop(crate::platform::create_private_file(&file).unwrap());
        fs::write(&file, "x").unwrap();
        let trust = Trust {
            home: Some(dir.path().to_owned()),
            ..Trust::default()
        };
        let read = trust.read(&file, Access::Secret, 9).unwrap().unwrap();
        assert_eq!(read.bytes.as_slice(), b"x");
        trust.check(&own, Access::CreateIn).unwrap();
        let none = trust.read(&own.join("none"), Access::Secret, 9);
        assert!(none.unwrap().is_none());
    }

    #[test]
    fn an_account_is_admitted_by_its_identifier() {
        let everyone = Admitted::parse(" sid:S-1-1-0 ").unwrap();
        assert_eq!(Admitted::parse("sid:Everyone"), None);
        let trust = Trust {
            by_environment: vec![everyone],
            ..Trust::default()
        };
        assert!(trust.admits("S-1-1-0") && !trust.admits("S-1-5-11"));
    }
}
