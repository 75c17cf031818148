//! Network drives, and what WSL shows of a Linux distribution.

use std::ffi::OsStr;
use std::path::{Component, Path, Prefix};

use super::kinds::{SharedBy, SharedStorage, Storage};
use crate::platform::paths::canonicalize;

/// The servers under whose names Windows shows the files of WSL's distributions. Source: Microsoft,
/// "Working across Windows and Linux file systems".
const WSL_SERVERS: [&str; 2] = ["wsl$", "wsl.localhost"];

/// The storage of a directory, or of the nearest one above it that is there. A drive letter that
/// stands for a share is resolved to that. So is `subst`.
pub(super) fn of(dir: &Path) -> Storage {
    let real = dir.ancestors().find_map(|dir| canonicalize(dir).ok());
    by_prefix(real.as_deref().unwrap_or(dir))
}

/// The storage that a resolved path names.
fn by_prefix(real: &Path) -> Storage {
    let Some(Component::Prefix(prefix)) = real.components().next() else {
        return Storage::Local;
    };
    let (Prefix::UNC(server, share) | Prefix::VerbatimUNC(server, share)) = prefix.kind() else {
        return Storage::Local;
    };
    let is_wsl = |name: &&str| server.eq_ignore_ascii_case(name);
    let (by, kind) = match WSL_SERVERS.iter().any(is_wsl) {
        true => (SharedBy::Wsl, "WSL"),
        false => (SharedBy::Machines, "network drive"),
    };
    let mut point = OsStr::new(r"\\").to_owned();
    point.push(server);
    point.push(r"\");
    point.push(share);
    Storage::Shared(SharedStorage {
        kind: kind.to_owned(),
        point: point.into(),
        by,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_distinguished_from_local_drives() {
        for local in [
            r"C:\Users\ana\.clawdbot",
            r"\\?\C:\Users",
            r"\\?\Volume{1}\x",
        ] {
            assert_eq!(by_prefix(Path::new(local)), Storage::Local, "{local}");
        }
        for (path, point, by) in [
            (r"\\nas\home\ana\x", r"\\nas\home", SharedBy::Machines),
            (r"\\?\UNC\nas\home\ana\x", r"\\nas\home", SharedBy::Machines),
            (r"\\wsl$\Ubuntu\home\ana", r"\\wsl$\Ubuntu", SharedBy::Wsl),
            (
                r"\\?\UNC\WSL.localhost\Ubuntu\home",
                r"\\WSL.localhost\Ubuntu",
                SharedBy::Wsl,
            ),
        ] {
            let found = by_prefix(Path::new(path)).shared().expect(path);
            assert_eq!((&*found.point, found.by), (Path::new(point), by), "{path}");
        }
        let share = by_prefix(Path::new(r"\\nas\home\x")).shared().unwrap();
        assert_eq!(
            share.to_string(),
            r"a file system that other machines may write, too (network drive, \\nas\home)"
        );
    }

    #[test]
    fn a_temporary_directory_is_local_whether_or_not_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(of(dir.path()), Storage::Local);
        assert_eq!(of(&dir.path().join("not").join("there")), Storage::Local);
    }
}
