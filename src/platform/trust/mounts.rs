//! What the mounts say of owners and modes: file systems that have none of their own, volumes that
//! a group was given.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux lists mounts like this")
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::refusal::Obstacle;
use crate::platform::kernel_file::read_kernel_file;

/// File systems whose modes come from the mount, so that `chmod` has no effect. Source: Linux's
/// fs/fat, fs/exfat, fs/ntfs3, fs/smb; ntfs-3g(8), which `fuseblk` stands for.
const WITHOUT_MODES: [&str; 9] = [
    "vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "cifs", "smb3", "hfs",
];

/// File systems of which a read-only one cannot be written by anybody: local ones, not those that
/// another host may write.
const LOCAL: [&str; 13] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "iso9660", "udf", "squashfs", "erofs", "vfat",
    "exfat", "tmpfs",
];

/// File systems that nothing can be written to.
const NEVER_WRITTEN: [&str; 3] = ["iso9660", "squashfs", "erofs"];

/// The mount that a file lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOf {
    /// The directory where it is mounted.
    pub point: PathBuf,
    /// Whether nobody can write it: a read-only file system of this machine, not only a view.
    pub is_immutable: bool,
    /// Whether it is read-only, and could be mounted so that it can be written. A snapshot may be
    /// read-only on a mount that is not.
    pub is_mounted_read_only: bool,
}

/// Finds the mount that `path`, links resolved, lies on, if the system lists it.
#[must_use]
pub fn mount_of(path: &Path) -> Option<MountOf> {
    Mounts::read().mount_of(path).map(|mount| MountOf {
        point: mount.point.clone(),
        is_immutable: mount.is_disk_read_only && LOCAL.contains(&mount.kind.as_str()),
        is_mounted_read_only: mount.is_read_only && !NEVER_WRITTEN.contains(&mount.kind.as_str()),
    })
}

/// File systems in memory, on which Kubernetes and Docker put secrets.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];
/// Where a file system in memory is mounted for everything. Source: file-hierarchy(7).
const FOR_EVERYTHING: [&str; 18] = [
    "/",
    "/dev",
    "/dev/shm",
    "/etc",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/run/lock",
    "/run/shm",
    "/run/user",
    "/srv",
    "/tmp",
    "/var/lock",
    "/var/run",
    "/var/tmp",
];

#[derive(Debug, Default)]
pub(in crate::platform) struct Mounts(Vec<Mount>);

/// One mount, as the kernel lists it.
#[derive(Debug)]
pub(in crate::platform) struct Mount {
    /// The kernel's number of the mount, by which a path's mount is found.
    id: u64,
    /// The major number of its device; 0 where the file system has no block device.
    pub(in crate::platform) major: u32,
    /// The file system's device number, as text: `MAJOR:MINOR`.
    device: String,
    /// The directory of the file system that is mounted: `/` for the whole of it.
    root: PathBuf,
    pub(in crate::platform) point: PathBuf,
    /// The type of the file system, such as `ext4` or `fuse.sshfs`.
    pub(in crate::platform) kind: String,
    /// What is mounted: a device, a server's directory, a program's name.
    pub(in crate::platform) source: PathBuf,
    /// The directory that an overlay writes to.
    pub(in crate::platform) upper_dir: Option<PathBuf>,
    /// Whether it is WSL's view of a Windows disk.
    pub(in crate::platform) is_drvfs: bool,
    is_read_only: bool,
    /// Whether the file system itself is, not only this view of it.
    is_disk_read_only: bool,
    /// WSL's view of a Windows disk, without modes of its own.
    is_windows_disk: bool,
}

impl Mounts {
    /// Reads the mounts; none if the system does not list them.
    pub(super) fn read() -> Self {
        // Not a regular file of a known length, and always the kernel's.
        let text = read_kernel_file(Path::new("/proc/self/mountinfo")).unwrap_or_default();
        Self::parse(&text)
    }

    pub(in crate::platform) fn parse(text: &[u8]) -> Self {
        let lines = text.split(|byte| *byte == b'\n');
        Self(lines.filter_map(Mount::parse).collect())
    }

    /// The mount that a path, links resolved, lies on: the innermost, and of those the last.
    pub(in crate::platform) fn mount_of(&self, path: &Path) -> Option<&Mount> {
        let above = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        above.max_by_key(|mount| mount.point.as_os_str().len())
    }

    /// The mount that a directory lies on as the kernel sees it, which also tells a mount that lies
    /// under another one. `None` where the kernel does not list it, as in a chroot.
    #[cfg(target_os = "linux")]
    pub(in crate::platform) fn mount_at(&self, dir: &Path) -> Option<&Mount> {
        use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
        match statx(CWD, dir, AtFlags::empty(), StatxFlags::MNT_ID) {
            Ok(found) if found.stx_mask & StatxFlags::MNT_ID.bits() != 0 => {
                self.0.iter().find(|mount| mount.id == found.stx_mnt_id)
            }
            _ => self.mount_of(dir), // before Linux 5.8
        }
    }

    /// Where the file system that a path lies on is mounted.
    pub(super) fn of(&self, path: &Path) -> Option<PathBuf> {
        self.mount_of(path).map(|mount| mount.point.clone())
    }

    /// Whether a file lies on a mount that was made for secrets, where only a user who may mount
    /// can have put it: it is a mount itself (Docker, Podman), or root's on a file system in memory
    /// that is for nothing else (Kubernetes). That one's own root directory is root's and mounted
    /// whole, outside the `home` directory or below it.
    pub(super) fn is_for_secrets(&self, path: &Path, owner: u32, home: Option<&Path>) -> bool {
        let Some(mount) = self.mount_of(path) else {
            return false;
        };
        let is_above_home = home.is_some_and(|home| home.starts_with(&mount.point));
        // The same file system may be mounted for everything elsewhere.
        let is_general = self
            .0
            .iter()
            .any(|other| other.device == mount.device && is_for_everything(&other.point));
        let is_for_secrets = owner == 0
            && IN_MEMORY.contains(&mount.kind.as_str())
            && mount.root == Path::new("/")
            && !is_general
            && !is_above_home;
        mount.point == path || (is_for_secrets && is_roots(&mount.point))
    }

    /// Whether modes mean nothing there, and Windows decides who may do what.
    pub(super) fn is_without_modes(&self, path: &Path) -> bool {
        self.mount_of(path)
            .is_some_and(|mount| mount.is_windows_disk)
    }

    /// Whether a path lies on a volume that root gave to that group, which this process is in:
    /// Kubernetes makes a volume's root the `fsGroup`'s, writable and set-group-id.
    #[cfg(unix)]
    pub(super) fn is_for_group(&self, path: &Path, gid: u32) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let is_member = || {
            let groups = rustix::process::getgroups().unwrap_or_default();
            let effective = rustix::process::getegid();
            groups
                .iter()
                .chain([&effective])
                .any(|group| group.as_raw() == gid)
        };
        let Some(mount) = self
            .mount_of(path)
            .filter(|mount| mount.point.parent().is_some())
        else {
            return false;
        };
        std::fs::symlink_metadata(&mount.point).is_ok_and(|meta| {
            meta.uid() == 0 && meta.gid() == gid && meta.mode() & 0o2020 == 0o2020
        }) && is_member()
    }

    /// Why `chmod` would not help there.
    pub(super) fn obstacle(&self, path: &Path) -> Option<Obstacle> {
        let mount = self.mount_of(path)?;
        let point = mount.point.clone();
        if WITHOUT_MODES.contains(&mount.kind.as_str()) {
            let kind = mount.kind.clone();
            return Some(Obstacle::NoModes { point, kind });
        }
        mount.is_read_only.then_some(Obstacle::ReadOnly { point })
    }
}

/// Whether a file system in memory is mounted there for everything.
fn is_for_everything(point: &Path) -> bool {
    FOR_EVERYTHING.iter().any(|dir| point == Path::new(dir))
        || point.parent() == Some(Path::new("/run/user"))
}

/// Whether what is there is root's.
#[cfg(unix)]
fn is_roots(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == 0)
}

#[cfg(not(unix))]
fn is_roots(_path: &Path) -> bool {
    false
}

impl Mount {
    /// A line of mountinfo: `36 35 98:0 /root /point rw,noatime shared:1 - type source options`.
    /// Source: proc_pid_mountinfo(5).
    fn parse(line: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let rest = fields.iter().position(|field| *field == b"-")?;
        let text = |at: usize| Some(String::from_utf8_lossy(fields.get(at)?).into_owned());
        let kind = text(rest + 1)?;
        let (options, of_disk) = (text(5)?, text(rest + 3).unwrap_or_default());
        let has = |options: &str, wanted: &str| options.split([',', ';']).any(|one| one == wanted);
        // WSL 1 has a type of its own; WSL 2 serves the disk by 9p, or virtiofs by such a name.
        let is_drvfs = kind == "drvfs"
            || (kind == "9p" && has(&of_disk, "aname=drvfs"))
            || (kind == "virtiofs" && text(rest + 2)?.starts_with("drvfs"));
        let upper_dir = of_disk
            .split(',')
            .find_map(|one| one.strip_prefix("upperdir="));
        Some(Self {
            id: text(0)?.parse().ok()?,
            major: text(2)?.split_once(':')?.0.parse().ok()?,
            device: text(2)?,
            root: unescaped(fields.get(3)?),
            source: unescaped(fields.get(rest + 2)?),
            upper_dir: upper_dir.map(|dir| unescaped(dir.as_bytes())),
            is_drvfs,
            point: unescaped(fields.get(4)?),
            is_read_only: has(&options, "ro") || has(&of_disk, "ro"),
            is_disk_read_only: has(&of_disk, "ro"),
            is_windows_disk: is_drvfs && !has(&of_disk, "metadata") && !has(&options, "metadata"),
            kind,
        })
    }
}

/// A path as mountinfo writes it: blanks, tabs, newlines and backslashes as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    #[cfg(unix)]
    let path: OsString = std::os::unix::ffi::OsStringExt::from_vec(bytes);
    #[cfg(not(unix))]
    let path: OsString = String::from_utf8_lossy(&bytes).into_owned().into();
    path.into()
}

/// Finds the mount point of the file system that a path lies on, if the system lists it.
pub(in crate::platform) fn mount_point_of(path: &Path) -> Option<PathBuf> {
    Mounts::read().of(path)
}

/// Whether a file is a mount of its own, as `docker -v FILE:FILE` and the `subPath` of Kubernetes
/// make it: nothing can be renamed over it, and what lies beside it is on another file system.
#[must_use]
pub fn is_mounted_file(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, FileType, StatxAttributes, StatxFlags, statx};
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        statx(CWD, path, flags, StatxFlags::TYPE).is_ok_and(|found| {
            FileType::from_raw_mode(u32::from(found.stx_mode)) == FileType::RegularFile
                && found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = r"22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
30 22 0:50 / /mnt/c rw - 9p C:\134 rw,aname=drvfs;path=C:\;uid=1000;symlinkroot=/mnt/
31 22 0:51 / /mnt/d rw - 9p D:\134 rw,aname=drvfs;path=D:\;uid=1000;metadata;symlinkroot=/mnt/
32 22 0:52 / /mnt/e rw - drvfs E: rw
33 22 0:53 / /mnt/host rw - 9p hostshare rw,access=client,trans=virtio
34 22 8:17 / /media/my\040stick rw,nosuid - vfat /dev/sdb1 rw,fmask=0000
35 22 8:18 / /evidence ro,relatime - ext4 /dev/sdc1 ro
36 22 8:19 /a /data rw - ext4 /dev/sdd1 rw
37 22 8:20 / /data rw - exfat /dev/sde1 rw
damaged line
";

    #[test]
    fn windows_disks_have_no_modes_unless_they_keep_them() {
        let mounts = Mounts::parse(MOUNTINFO.as_bytes());
        let without = |path: &str| mounts.is_without_modes(Path::new(path));
        assert!(without("/mnt/c/Users/ana/.clawdbot/vault.db"));
        assert!(without("/mnt/e/x"));
        assert!(!without("/mnt/d/x"), "chmod works there");
        assert!(!without("/mnt/host/x"), "another host's own modes");
        assert!(!without("/mnt/cx") && !without("/home/ana"));
    }

    #[cfg(unix)] // it reads the mounts of this machine
    #[test]
    fn a_mount_for_secrets_is_a_single_file_or_roots_in_memory() {
        // The root directory of a mount must be there, and root's: `/proc` and `/sys` are.
        let text = "1 0 0:1 / / rw - overlay none rw
2 1 0:2 / /run/secrets/one ro - ext4 /dev/sda1 rw
3 1 0:3 / /proc ro - tmpfs tmpfs rw
4 1 0:4 / /tmp rw - tmpfs tmpfs rw
5 1 0:5 / /run/user/1000 rw - tmpfs tmpfs rw
6 1 0:6 / /data rw - ext4 /dev/sdb1 rw
7 1 0:7 /some /sys rw - tmpfs tmpfs rw
8 1 0:8 / /root rw - tmpfs tmpfs rw
9 1 0:4 / /usr rw - tmpfs tmpfs rw
";
        let mounts = Mounts::parse(text.as_bytes());
        let is = |path: &str, owner| mounts.is_for_secrets(Path::new(path), owner, None);
        assert!(is("/run/secrets/one", 0) && is("/run/secrets/one", 1000));
        assert!(is("/proc/..2026/key", 0));
        assert!(!is("/proc/..2026/key", 1000), "not root's");
        for general in [
            "/tmp/key",
            "/run/user/1000/key",
            "/data/key",
            "/etc/key",
            "/run/secrets/two",
            "/sys/key",
            "/root/key",
            "/usr/key",
        ] {
            assert!(!is(general, 0), "{general}");
        }
        let with_home =
            |home| mounts.is_for_secrets(Path::new("/proc/key"), 0, Some(Path::new(home)));
        assert!(with_home("/home/ana") && !with_home("/proc") && !with_home("/proc/ana"));
    }

    #[test]
    fn where_chmod_does_not_help_that_is_known() {
        let mounts = Mounts::parse(MOUNTINFO.as_bytes());
        let obstacle = |path: &str| mounts.obstacle(Path::new(path));
        let no_modes = |point: &str, kind: &str| {
            Some(Obstacle::NoModes {
                point: point.into(),
                kind: kind.to_owned(),
            })
        };
        let got = obstacle("/media/my stick/f");
        assert_eq!(got, no_modes("/media/my stick", "vfat"));
        let got = obstacle("/data/f");
        assert_eq!(got, no_modes("/data", "exfat"), "the later of two");
        let point = PathBuf::from("/evidence");
        assert_eq!(obstacle("/evidence/f"), Some(Obstacle::ReadOnly { point }));
        assert_eq!(obstacle("/home/f"), None);
        assert_eq!(mounts.of(Path::new("/data/f")), Some("/data".into()));
    }
}
