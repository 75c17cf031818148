//! Which files a remedy may have the reader move or change: pasted as root, the same command
//! elsewhere breaks the machine.

use std::fs;
use std::path::Path;

use super::Trust;
#[cfg(windows)]
use crate::platform::access_list::windows::this_user;
#[cfg(windows)]
use crate::platform::access_list::{AccessList, rights};
use crate::platform::paths::canonicalize;

impl Trust {
    /// Whether a remedy may move or remove what is at `path`: a file or directory of this user's,
    /// in the home directory or beside the vault. Never a device.
    #[must_use]
    pub fn may_suggest_moving(&self, path: &Path) -> bool {
        is_there_and_no_device(path) && is_own(path) && self.is_in_own_place(path)
    }

    /// Whether a remedy may change the mode or owner of what is at `path`: also of the home
    /// directory, the vault's directory, and a gateway's state directory wherever that is.
    #[must_use]
    pub fn may_suggest_changing(&self, path: &Path) -> bool {
        let is = |dir: &Path| {
            let [dir, path] = [dir, path].map(canonicalize);
            dir.is_ok_and(|dir| dir.parent().is_some() && path.is_ok_and(|path| dir == path))
        };
        let vault = self.vault_file.as_deref().filter(|vault| vault.is_file());
        is_there_and_no_device(path)
            && (self.is_in_own_place(path)
                || self.home().is_some_and(is)
                || vault.and_then(Path::parent).is_some_and(is)
                || self.is_in_state_dir(path))
    }

    /// Whether a path is a gateway's state directory, or in one.
    #[must_use]
    pub fn is_in_state_dir(&self, path: &Path) -> bool {
        path.ancestors().any(is_state_dir)
    }

    /// Whether a path lies below the home directory, or below the vault's directory where that is
    /// this user's alone: `/etc` is not, whatever `--vault` names there. Neither directory is in
    /// itself, nor is what the home directory lies in.
    #[must_use]
    pub fn is_in_own_place(&self, path: &Path) -> bool {
        let path = std::path::absolute(path).unwrap_or_default();
        let (Some(Ok(above)), Some(name)) = (path.parent().map(canonicalize), path.file_name())
        else {
            return false; // the root, or a path that ends in `..`
        };
        let real = above.join(name);
        let is_in = |dir: &Path| {
            let dir = canonicalize(dir).unwrap_or_default();
            dir.parent().is_some() && real != dir && real.starts_with(&dir)
        };
        let home = self.home().and_then(|home| canonicalize(home).ok());
        if home.is_some_and(|home| home.starts_with(&real)) {
            return false;
        }
        let vault_dir = self.vault_file.as_deref().and_then(Path::parent);
        self.home().is_some_and(is_in) || vault_dir.is_some_and(|dir| is_private(dir) && is_in(dir))
    }
}

/// Whether a directory is a gateway's state directory, by its content. A shared one is none.
fn is_state_dir(dir: &Path) -> bool {
    #[cfg(unix)]
    let is_shared = {
        use std::os::unix::fs::MetadataExt as _;
        const STICKY: u32 = 0o1000;
        fs::metadata(dir).is_ok_and(|meta| meta.mode() & STICKY != 0)
    };
    #[cfg(not(unix))]
    let is_shared = false;
    !is_shared && dir.parent().is_some() && dir.join("agents").is_dir()
}

fn is_there_and_no_device(path: &Path) -> bool {
    #[cfg(unix)]
    let is_device = |kind: fs::FileType| {
        use std::os::unix::fs::FileTypeExt as _;
        kind.is_char_device() || kind.is_block_device()
    };
    #[cfg(not(unix))]
    let is_device = |_| false;
    fs::symlink_metadata(path).is_ok_and(|meta| !is_device(meta.file_type()))
}

#[cfg(unix)]
fn is_own(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let uid = crate::platform::process::effective_uid();
    fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == uid)
}

#[cfg(unix)]
fn is_private(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    is_own(dir)
        && fs::metadata(dir).is_ok_and(|meta| meta.mode() & crate::platform::trust::ALL == 0)
}

#[cfg(windows)]
pub(super) fn is_own(path: &Path) -> bool {
    let list = AccessList::of_link(path);
    this_user().is_ok_and(|user| list.is_ok_and(|list| list.is_of(user)))
}

#[cfg(windows)]
fn is_private(dir: &Path) -> bool {
    let is_closed = |user| {
        let list = AccessList::of(dir);
        list.is_ok_and(|list| list.others(user, rights::WRITE | rights::READ).is_empty())
    };
    is_own(dir) && this_user().is_ok_and(is_closed)
}
