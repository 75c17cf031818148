//! The rule for one file, directory or link: whose it is, and who else may use it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::accounts::Accounts;
use super::mounts::Mounts;
use super::refusal::{Fault, Obstacle, Reach, Refusal};
use super::{ALL, Admitted, Trust, WRITE};
use crate::platform::FileError;
use crate::platform::process::effective_uid;

impl Trust {
    /// The rule for one file, directory or link, of which others must not have the `forbidden` rights.
    pub(super) fn judge(
        &self,
        path: &Path,
        meta: &Metadata,
        forbidden: u32,
    ) -> Result<(), FileError> {
        if !self.admits_owner(path, meta.uid()) {
            return Err(self.refuse(path, meta, (Fault::Owner, "")));
        }
        let open = self.open_bits(path, meta, forbidden);
        if open == 0 {
            return Ok(());
        }
        let fault = match open & WRITE {
            0 => Fault::Readable,
            _ if open & 0o007 == 0 => Fault::GroupWritable,
            _ => Fault::Writable,
        };
        let change = if forbidden == ALL { "go-rwx" } else { "go-w" };
        Err(self.refuse(path, meta, (fault, change)))
    }

    /// Whether an owner's files are used: this user's, root's, and those of whom the user admits.
    pub(in crate::platform) fn admits_owner(&self, path: &Path, owner: u32) -> bool {
        owner == effective_uid()
            || owner == 0
            || self.admits(Admitted::User(owner))
            || (!self.is_strict && self.is_owner_of_own_mount(path, owner))
    }

    fn admits(&self, who: Admitted) -> bool {
        self.by_environment.contains(&who) || self.by_settings.contains(&who)
    }

    /// The `forbidden` rights that somebody else really has.
    pub(in crate::platform) fn open_bits(
        &self,
        path: &Path,
        meta: &Metadata,
        forbidden: u32,
    ) -> u32 {
        let mut open = meta.mode() & forbidden;
        if open & 0o070 != 0 && self.is_group_ours(path, meta) {
            open &= !0o070;
        }
        if open != 0 && self.mounts().is_without_modes(path) {
            open = 0;
        }
        open
    }

    /// Whether a file lies on a mount that was made for secrets.
    pub(super) fn is_for_secrets(&self, path: &Path, meta: &Metadata) -> bool {
        self.mounts().is_for_secrets(path, meta.uid())
    }

    /// Whether nobody else is in a file's group.
    fn is_group_ours(&self, path: &Path, meta: &Metadata) -> bool {
        let (group, owner) = (meta.gid(), meta.uid());
        if self.admits(Admitted::Group(group)) {
            return !has_access_list(path);
        }
        if group == 0 {
            return false;
        }
        let uid = effective_uid();
        let accounts = self.accounts();
        let is_private = accounts.is_private(group, owner) || accounts.is_private(group, uid);
        let is_ours = is_private
            || (accounts.is_nobody_elses(group, uid) && self.mounts().is_for_group(path, group));
        is_ours && !has_access_list(path)
    }

    /// Whether a mount inside this user's home was made for that owner's files, as a container's is: only root, or this user, can
    /// have mounted it there.
    fn is_owner_of_own_mount(&self, path: &Path, owner: u32) -> bool {
        let Some(home) = self.home.as_deref().filter(|home| home.parent().is_some()) else {
            return false;
        };
        let owner_of = |path: &Path| fs::metadata(path).map(|meta| meta.uid()).ok();
        let (Ok(home), Some(mount)) = (fs::canonicalize(home), self.mounts().of(path)) else {
            return false;
        };
        mount != home
            && mount.starts_with(&home)
            && owner_of(&home) == Some(effective_uid())
            && owner_of(&mount) == Some(owner)
    }

    pub(super) fn refuse(
        &self,
        path: &Path,
        meta: &Metadata,
        why: (Fault, &'static str),
    ) -> FileError {
        let obstacle = match why.0 {
            Fault::Owner | Fault::Links(_) => None,
            _ if has_access_list(path) => Some(Obstacle::AccessList),
            _ => self.mounts().obstacle(path),
        };
        let home = self.home.as_deref();
        let is_home =
            home.is_some_and(|home| fs::canonicalize(home).is_ok_and(|home| home == path));
        let place = match is_home {
            true => Reach::Home,
            false if self.may_suggest_changing(path) => Reach::Own,
            false => Reach::Elsewhere,
        };
        FileError::Untrusted(Arc::new(Refusal::new(path, meta, why, (obstacle, place))))
    }

    /// The mounts that this process sees, as of a second ago at most.
    pub(in crate::platform) fn mounts(&self) -> Arc<Mounts> {
        let known = || self.known().mounts.clone();
        known().unwrap_or_else(|| {
            let read = Arc::new(Mounts::read());
            self.known().mounts = Some(Arc::clone(&read));
            read
        })
    }

    fn accounts(&self) -> Arc<Accounts> {
        let known = || self.known().accounts.clone();
        known().unwrap_or_else(|| {
            let read = Arc::new(Accounts::read());
            self.known().accounts = Some(Arc::clone(&read));
            read
        })
    }
}

/// Whether an access list gives single users or groups rights; the mode's group bits are its mask then, not the group's own.
#[cfg(target_os = "linux")]
fn has_access_list(path: &Path) -> bool {
    use rustix::io::Errno;
    let mut list = [0_u8; 8];
    let got = rustix::fs::lgetxattr(path, "system.posix_acl_access", &mut list);
    !matches!(
        got,
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOENT)
    )
}

#[cfg(all(unix, not(target_os = "linux")))]
fn has_access_list(_path: &Path) -> bool {
    false // its entries do not show in the mode there
}
