//! The rule for one file, directory or link: whose it is, and who else may use it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::access::Admitted;
use super::accounts::Accounts;
use super::mounts::Mounts;
use super::refusal::{Fault, Obstacle, Reach, Refusal};
use super::{ALL, Trust, WRITE};
use crate::platform::file_error::FileError;
use crate::platform::process::effective_uid;

impl Trust {
    /// The rule for one file, directory or link: others must not have the `forbidden` rights.
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
            || self.admits(&Admitted::User(owner))
            || (!self.is_strict && self.is_owner_of_own_mount(path, owner))
    }

    fn admits(&self, who: &Admitted) -> bool {
        self.by_environment.contains(who) || self.by_settings.contains(who)
    }

    /// The `forbidden` rights that somebody else really has.
    pub(in crate::platform) fn open_bits(
        &self,
        path: &Path,
        meta: &Metadata,
        forbidden: u32,
    ) -> u32 {
        let mut open = meta.mode() & forbidden;
        if open & 0o070 != 0 && (self.is_group_ours(path, meta) || is_access_list_ours(path)) {
            open &= !0o070;
        }
        if open != 0 && self.mounts().is_without_modes(path) {
            open = 0;
        }
        open
    }

    /// Whether a file lies on a mount that was made for secrets.
    pub(super) fn is_for_secrets(&self, path: &Path, meta: &Metadata) -> bool {
        let home = self.home.as_deref();
        let home = home.and_then(|home| fs::canonicalize(home).ok());
        self.mounts()
            .is_for_secrets(path, meta.uid(), home.as_deref())
    }

    /// Whether nobody else is in a file's group.
    fn is_group_ours(&self, path: &Path, meta: &Metadata) -> bool {
        let (group, owner) = (meta.gid(), meta.uid());
        if self.admits(&Admitted::Group(group)) {
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

    /// Whether a mount inside this user's home was made for that owner's files, as a container's
    /// is: only root, or this user, can have mounted it there.
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

/// Whether an access list gives single users or groups rights; the mode's group bits are its mask
/// then, not the group's own.
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

/// Whether an access list gives rights to this user and the owner alone, as systemd writes it for a
/// service's credentials: then the mode's group bits are its mask, by which nobody else is let in.
#[cfg(target_os = "linux")]
fn is_access_list_ours(path: &Path) -> bool {
    let mut list = [0_u8; 256]; // longer than any with two users
    let got = rustix::fs::lgetxattr(path, "system.posix_acl_access", &mut list);
    let list = got.ok().and_then(|length| list.get(..length));
    list.is_some_and(|list| names_nobody_but(effective_uid(), list))
}

/// Reads an access list as the kernel hands it out: a version, then a kind, rights and an id for
/// each entry. Source: Linux's `include/uapi/linux/posix_acl_xattr.h`.
#[cfg(target_os = "linux")]
fn names_nobody_but(uid: u32, list: &[u8]) -> bool {
    const VERSION: [u8; 4] = [2, 0, 0, 0];
    const OWNER: u16 = 0x01;
    const USER: u16 = 0x02;
    const MASK: u16 = 0x10;
    let Some(entries) = list.strip_prefix(&VERSION) else {
        return false;
    };
    let (entries, rest) = entries.as_chunks::<8>();
    rest.is_empty()
        && entries.iter().all(|&[k0, k1, r0, r1, i0, i1, i2, i3]| {
            let (kind, rights) = (u16::from_le_bytes([k0, k1]), u16::from_le_bytes([r0, r1]));
            match kind {
                OWNER | MASK => true,
                USER if u32::from_le_bytes([i0, i1, i2, i3]) == uid => true,
                _ => rights == 0, // other users, the group, other groups, everybody
            }
        })
}

#[cfg(all(unix, not(target_os = "linux")))]
fn is_access_list_ours(_path: &Path) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_access_list_is_ours_that_gives_rights_to_nobody_else() {
        let list = |entries: &[(u8, u8, u8)]| {
            let mut list = vec![2, 0, 0, 0];
            for (kind, rights, id) in entries {
                list.extend([*kind, 0, *rights, 0, *id, 0, 0, 0]);
            }
            list
        };
        // As systemd writes it: owner, user 7, group, mask, everybody.
        let ours = [
            (1, 4, 255),
            (2, 4, 7),
            (4, 0, 255),
            (16, 4, 255),
            (32, 0, 255),
        ];
        assert!(names_nobody_but(7, &list(&ours)));
        assert!(!names_nobody_but(8, &list(&ours)), "another user");
        for open in [(2, 4, 8), (4, 4, 255), (8, 4, 9), (32, 4, 255)] {
            let more = [&ours[..], &[open]].concat();
            assert!(!names_nobody_but(7, &list(&more)), "{open:?}");
        }
        assert!(!names_nobody_but(7, &list(&ours)[..9]), "cut short");
        assert!(!names_nobody_but(7, &[]));
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn has_access_list(_path: &Path) -> bool {
    false // its entries do not show in the mode there
}
