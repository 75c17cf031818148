//! What kind of storage a directory lies on, by `statfs`, on macOS and FreeBSD. Tested everywhere.

use std::path::Path;

use super::kinds::{SharedBy, SharedStorage, Storage};

/// File systems that the kernel counts as local although another one may write them: directories of
/// a virtual machine's host (Apple's Virtualization framework, Parallels, VMware, VirtualBox,
/// bhyve) and Xsan's shared disks.
const SHARED: [&str; 7] = [
    "acfs",
    "applevirtiofs",
    "p9fs",
    "prl_fs",
    "vboxvfs",
    "virtiofs",
    "vmhgfs",
];

/// `MNT_LOCAL`: the file system has a disk of this machine, or its memory. Source: `sys/mount.h` of
/// macOS and FreeBSD.
#[cfg(any(target_os = "macos", target_os = "freebsd"))]
const MNT_LOCAL: u32 = 0x1000;

/// What kind of storage a directory lies on, or will lie in where it does not exist yet.
#[cfg(any(target_os = "macos", target_os = "freebsd"))]
pub(super) fn of(dir: &Path) -> Storage {
    let existing = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    let Ok(found) = rustix::fs::statfs(existing) else {
        return storage("unknown", false, dir);
    };
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_possible_truncation,
        reason = "the type differs with the system, and the bit is a low one"
    )]
    let flags = found.f_flags as u32;
    let kind = text(found.f_fstypename.map(|char| char.to_ne_bytes()[0]));
    let point = text(found.f_mntonname.map(|char| char.to_ne_bytes()[0]));
    storage(&kind, flags & MNT_LOCAL != 0, Path::new(&point))
}

/// The text before the first zero byte.
#[cfg(any(target_os = "macos", target_os = "freebsd"))]
fn text<const LENGTH: usize>(bytes: [u8; LENGTH]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a file system of the type `kind` is, mounted at `point`. A FUSE file system may be mounted
/// as a local one, which says nothing of where its program keeps the files: it counts as shared, as
/// a FUSE of an unknown type does on Linux.
fn storage(kind: &str, is_local: bool, point: &Path) -> Storage {
    let name = kind.to_ascii_lowercase();
    if is_local && !name.contains("fuse") && !SHARED.contains(&name.as_str()) {
        return Storage::Local;
    }
    Storage::Shared(SharedStorage {
        kind: kind.to_owned(),
        point: point.to_owned(),
        by: SharedBy::Machines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_local_and_what_others_may_write_is_shared() {
        for (kind, is_local, is_shared) in [
            ("apfs", true, false),
            ("hfs", true, false),
            ("msdos", true, false),
            ("exfat", true, false),
            ("zfs", true, false),
            ("ufs", true, false),
            ("tmpfs", true, false),
            ("smbfs", false, true),
            ("nfs", false, true),
            ("afpfs", false, true),
            ("webdav", false, true),
            ("ftp", false, true),
            ("macfuse", true, true),
            ("osxfuse", false, true),
            ("fusefs.sshfs", true, true),
            ("AppleVirtIOFS", true, true),
            ("acfs", true, true),
            ("unknown", false, true),
        ] {
            let found = storage(kind, is_local, Path::new("/Volumes/x"));
            assert_eq!(found != Storage::Local, is_shared, "{kind}");
        }
    }

    #[test]
    fn a_shared_mount_is_named() {
        let found = storage("smbfs", false, Path::new("/Volumes/x"));
        let said = found.shared().map(|shared| shared.to_string());
        let at = if cfg!(windows) { "" } else { "mounted at " };
        let want =
            format!("a file system that other machines may write, too (smbfs, {at}/Volumes/x)");
        assert_eq!(said, Some(want));
    }
}
