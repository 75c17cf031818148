//! The rule of [`super`] by access-control lists: nobody but this user, the system and its
//! administrators may change a file, put another one in its place, or, where it holds a secret,
//! read it.
//!
//! The file is checked, and each directory above it up to the home directory, those outside it up
//! to the root of the drive. So is each link on the way to it, and the directories above that.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::access::{Access, Admitted};
use super::links::way_of;
use super::reach::is_own;
use super::refusal::{Fault, Reach, Refusal};
use super::{CheckedDir, Trust, circle};
use crate::platform::access_list::windows::this_user;
use crate::platform::access_list::{AccessList, is_other, rights};
use crate::platform::file;
use crate::platform::file_error::FileError;
use crate::platform::paths::resolve_existing;
use crate::platform::read::{self, Contents, read_regular};
use crate::platform::sharing::retry_while_held;

impl Trust {
    /// Checks a path before it has any effect; what is not there passes if its directories do.
    /// Where it is, links resolved.
    ///
    /// # Errors
    /// [`FileError::Untrusted`] for what somebody else can have changed; also when it cannot be
    /// examined.
    pub fn check(&self, path: &Path, access: Access) -> Result<PathBuf, FileError> {
        let asked = std::path::absolute(path).map_err(FileError::io("find", path))?;
        self.resolve(&asked, access)
            .map_err(|error| error.asked_for(&asked, access))
    }

    /// Reads a regular file whole after it has passed the check. `None` when there is none.
    ///
    /// # Errors
    /// As [`Trust::check`]; and when it is not a regular file, larger than `limit` bytes, or cannot
    /// be read.
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
        read::read_no_link(&real, limit)
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
        let real = self.end_of(path)?;
        let is_dir = real.is_dir();
        let forbidden = match access {
            Access::Read if is_dir => rights::REPLACE,
            Access::Read => rights::WRITE,
            Access::Secret => rights::WRITE | rights::READ,
            Access::CreateIn => rights::CREATE_IN,
        };
        // Who may change the root of a drive owns what is on it; others may make files there.
        let is_judged = real.parent().is_some() || access == Access::CreateIn;
        if is_judged {
            self.judge(&real, is_dir, forbidden)?;
        }
        self.judge_dirs_above(&real)?;
        Ok(real)
    }

    /// Returns where a path leads, after checking that nobody else can change a link on the way.
    /// How the home directory is reached is not checked: the user's environment names it.
    fn end_of(&self, path: &Path) -> Result<PathBuf, FileError> {
        let target_of = |at: &Path| {
            let is_known = self.known().dirs.contains_key(at);
            let target = (!is_known).then(|| fs::read_link(at).ok()).flatten()?;
            Some(dunce::simplified(&target).to_owned())
        };
        let way = way_of(path, target_of).ok_or_else(|| circle(path))?;
        for link in &way.links {
            if self.home().is_some_and(|home| home.starts_with(link)) {
                continue;
            }
            let list = AccessList::of_link(link).map_err(FileError::io("examine", link))?;
            self.judge_list(link, false, (&list, rights::WRITE))?;
            self.judge_dirs_above(link)?;
        }
        Ok(resolve_existing(&way.end))
    }

    /// The rule for the directories above a file, directory or link.
    fn judge_dirs_above(&self, path: &Path) -> Result<(), FileError> {
        let home = self.home().map(resolve_existing);
        if home.as_deref() == Some(path) {
            return Ok(());
        }
        for dir in path.ancestors().skip(1) {
            // Who may change the root of a drive owns what is on it.
            if dir.parent().is_none() {
                break;
            }
            if !self.known().dirs.contains_key(dir) && is_there(dir)? {
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
        Ok(())
    }

    /// Returns the refusal of a file or directory that other users may read or change; `None` if
    /// nobody may, or it is unknown.
    #[must_use]
    pub fn open_to_others(&self, path: &Path) -> Option<Refusal> {
        self.refusal_of(path, rights::WRITE | rights::READ)
    }

    /// Returns the refusal of a file or directory that other users may read or list, and not
    /// change; `None` as for [`Trust::open_to_others`]. Others may create files in such a
    /// directory.
    #[must_use]
    pub fn readable_by_others(&self, path: &Path) -> Option<Refusal> {
        self.refusal_of(path, rights::READ_ALONE)
    }

    fn refusal_of(&self, path: &Path, forbidden: u32) -> Option<Refusal> {
        match self.judge(path, path.is_dir(), forbidden) {
            Err(FileError::Untrusted(refusal)) => Some(Arc::unwrap_or_clone(refusal)),
            _ => None,
        }
    }

    /// The rule for one file or directory, of which others must not have the `forbidden` rights.
    /// What is not there passes: other processes remove files at any time.
    fn judge(&self, path: &Path, is_dir: bool, forbidden: u32) -> Result<(), FileError> {
        match retry_while_held(path, || AccessList::of(path)) {
            Ok(list) => self.judge_list(path, is_dir, (&list, forbidden)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(FileError::io("examine", path)(error)),
        }
    }

    /// As [`Trust::judge`], by a list that was read.
    fn judge_list(
        &self,
        path: &Path,
        is_dir: bool,
        (list, forbidden): (&AccessList, u32),
    ) -> Result<(), FileError> {
        let user = this_user().map_err(FileError::io("examine", path))?;
        let refuse = |fault, others: Vec<String>| {
            let accounts = (user.to_owned(), others);
            let refusal = Refusal::of_accounts(path, is_dir, fault, accounts, self.reach_of(path));
            Err(FileError::Untrusted(Arc::new(refusal)))
        };
        if is_other(&list.owner, user) && !self.admits(&list.owner) {
            return refuse(Fault::Owner, vec![list.owner.clone()]);
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

    /// The owner of the place of a refused file. Closing one locks everybody else out, so that is
    /// suggested only for what belongs to this user.
    fn reach_of(&self, path: &Path) -> Reach {
        let is_home = self.home().map(resolve_existing).as_deref() == Some(path);
        match self.may_suggest_changing(path) && (is_own(path) || self.is_in_own_place(path)) {
            true if is_home => Reach::Home,
            true => Reach::Own,
            false => Reach::Elsewhere,
        }
    }

    fn admits(&self, sid: &str) -> bool {
        let mut admitted = self.by_environment.iter().chain(&self.by_settings);
        admitted.any(|who| matches!(who, Admitted::Account(known) if &**known == sid))
    }
}

/// Whether something is at a path, links followed. Fails when the system does not report it.
fn is_there(path: &Path) -> Result<bool, FileError> {
    path.try_exists().map_err(FileError::io("examine", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_this_users_alone_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("own");
        file::create_private_dir(&own).unwrap();
        let file = own.join("f");
        drop(file::create_private_file(&file).unwrap());
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
