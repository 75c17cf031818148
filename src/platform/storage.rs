//! What kind of storage a directory lies on: whether another kernel may write the same files.
//!
//! SQLite's locks and shared memory coordinate the processes of one kernel. Two kernels that write
//! one database file, each with its own view of the locks, corrupt it. The number of the file
//! system does not tell (virtiofs has FUSE's), so the type is read from the kernel's list of
//! mounts.

#[cfg(any(target_os = "macos", target_os = "freebsd", test))]
mod bsd;
pub(super) mod kinds;
#[cfg(windows)]
mod windows;

use std::path::Path;
#[cfg(target_os = "linux")]
use std::path::PathBuf;

#[cfg(target_os = "linux")]
use self::kinds::SharedBy;
use self::kinds::{SharedStorage, Storage};
#[cfg(target_os = "linux")]
use super::trust::Trust;
#[cfg(target_os = "linux")]
use super::trust::mounts::{Mount, Mounts};

/// FUSE file systems of which no other kernel has a view, by type. Each is either the only user of
/// a block device, or keeps its files in a directory of this machine (which is examined, too, where
/// the mount names it).
///
/// - `fuse-overlayfs`: the root of rootless Podman and Docker. Source: containers/fuse-overlayfs,
///   README.
/// - `gocryptfs`, `encfs`: encrypted views of a directory. Source: gocryptfs(1), encfs(1).
/// - `mergerfs`: a union of local disks. Source: mergerfs(1).
/// - `fuseblk`, which has a block device of its own: ntfs-3g, exfat-fuse. Source: Linux's
///   fs/fuse/inode.c, which opens the device exclusively.
/// - `fuse2fs`: ext4 without the kernel's driver, on a device or an image. Source: e2fsprogs,
///   fuse2fs(1).
///
/// Not in it, although they may be local: bindfs (its type is the bare `fuse`, which many have),
/// CryFS (made to be mounted on several machines in turn), lxcfs (holds no files of users), and
/// Unraid's shfs.
#[cfg(target_os = "linux")]
const LOCAL_FUSE: [&str; 6] = [
    "fuseblk",
    "fuse.encfs",
    "fuse.fuse-overlayfs",
    "fuse.fuse2fs",
    "fuse.gocryptfs",
    "fuse.mergerfs",
];

/// File systems without a block device that are this kernel's alone.
#[cfg(target_os = "linux")]
const LOCAL_WITHOUT_DEVICE: [&str; 16] = [
    "aufs",
    "bcachefs",
    "btrfs",
    "devtmpfs",
    "ecryptfs",
    "hugetlbfs",
    "lxfs",
    "overlay",
    "ramfs",
    "rootfs",
    "shiftfs",
    "tmpfs",
    "ubifs",
    "unionfs",
    "wslfs",
    "zfs",
];

/// File systems with a block device that several machines may have mounted at once: cluster file
/// systems on shared disks.
#[cfg(target_os = "linux")]
const SHARED_DEVICE: [&str; 10] = [
    "acfs", "cvfs", "gfs", "gfs2", "gpfs", "ocfs2", "prl_fs", "scoutfs", "snfs", "wekafs",
];

/// How many file systems may lie on top of each other: an encrypted view of a union, and so on.
#[cfg(target_os = "linux")]
const LAYERS_MAX: usize = 4;

/// How long the list of a union's branches may be, in bytes. Source: Linux, `XATTR_SIZE_MAX`.
#[cfg(target_os = "linux")]
const BRANCHES_MAX: usize = 64 << 10;

impl Storage {
    /// What kind of storage a directory lies on, links resolved.
    #[must_use]
    #[cfg(target_os = "linux")]
    pub fn of(dir: &Path) -> Self {
        let mounts = Trust::current().mounts();
        match mounts.mount_at(dir) {
            Some(mount) => mounts.storage_of(mount, LAYERS_MAX),
            None => by_number(dir),
        }
    }

    /// What kind of storage a directory lies on.
    #[must_use]
    #[cfg(any(target_os = "macos", target_os = "freebsd"))]
    pub fn of(dir: &Path) -> Self {
        bsd::of(dir)
    }

    /// What kind of storage a directory lies on, links and drive letters resolved.
    #[must_use]
    #[cfg(windows)]
    pub fn of(dir: &Path) -> Self {
        windows::of(dir)
    }

    /// What kind of storage a directory lies on; other systems' mounts are not examined.
    #[must_use]
    #[cfg(not(any(
        target_os = "linux",
        target_os = "macos",
        target_os = "freebsd",
        windows
    )))]
    pub fn of(_dir: &Path) -> Self {
        Self::Local
    }

    /// The mount, where several kernels may share it.
    #[must_use]
    pub fn shared(self) -> Option<SharedStorage> {
        match self {
            Self::Shared(storage) => Some(storage),
            Self::Local | Self::LocalFuse => None,
        }
    }
}

#[cfg(target_os = "linux")]
impl Mounts {
    /// What kind of storage a mount is. `layers` bounds how many lie below it.
    fn storage_of(&self, mount: &Mount, layers: usize) -> Storage {
        let own = kind_of(mount);
        if layers == 0 {
            return own;
        }
        // What lies on another file system is as shared as that. In a container it is invisible.
        let below = below(mount).into_iter().filter(|path| path.is_absolute());
        let below = below.filter_map(|path| path.canonicalize().ok());
        below.fold(own, |own, path| match self.mount_of(&path) {
            Some(lower) if lower.point != mount.point => {
                match (&own, self.storage_of(lower, layers - 1)) {
                    (Storage::Local, below) | (Storage::LocalFuse, below @ Storage::Shared(_)) => {
                        below
                    }
                    _ => own,
                }
            }
            _ => own,
        })
    }
}

/// The directories, images or devices that a mount names as what it lies on.
#[cfg(target_os = "linux")]
fn below(mount: &Mount) -> Vec<PathBuf> {
    match mount.kind.as_str() {
        "overlay" => mount.upper_dir.iter().cloned().collect(),
        "fuse.mergerfs" => branches_of(mount),
        "ecryptfs" => vec![mount.source.clone()],
        kind if LOCAL_FUSE.contains(&kind) => vec![mount.source.clone()],
        _ => Vec::new(),
    }
}

/// The branches of a union of mergerfs, which names only the ends of their paths as its source.
/// Source: mergerfs(1), "runtime config": `/a=RW:/b=RO`.
#[cfg(target_os = "linux")]
fn branches_of(mount: &Mount) -> Vec<PathBuf> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let control = mount.point.join(".mergerfs");
    let mut value = vec![0; BRANCHES_MAX];
    let length = rustix::fs::getxattr(&control, "user.mergerfs.branches", &mut value[..]);
    let listed = match length {
        Ok(length) => &value[..length],
        Err(_) => mount.source.as_os_str().as_bytes(),
    };
    let branches = listed.split(|byte| *byte == b':').map(|branch| {
        let mode = branch.iter().rposition(|byte| *byte == b'=');
        Path::new(OsStr::from_bytes(&branch[..mode.unwrap_or(branch.len())])).to_owned()
    });
    branches.collect()
}

/// The kind of storage of a mount, according to its type.
///
/// A type that is not known counts as local only if it has a block device: what comes from another
/// machine, or from the host of a virtual one, has none.
#[cfg(target_os = "linux")]
fn kind_of(mount: &Mount) -> Storage {
    let kind = mount.kind.as_str();
    let is_fuse = kind == "fuse" || kind.starts_with("fuse.");
    if LOCAL_FUSE.contains(&kind) || kind.starts_with("fuseblk.") {
        return Storage::LocalFuse;
    }
    let has_device = mount.major != 0 && !is_fuse && !SHARED_DEVICE.contains(&kind);
    if has_device || LOCAL_WITHOUT_DEVICE.contains(&kind) {
        return Storage::Local;
    }
    let source = mount.source.to_string_lossy();
    // Docker Desktop's shared directories. Source: mountinfo in its containers: `fakeowner` on
    // `/run/host_mark/Users`, `fuse.grpcfuse` on `grpcfuse`, `fuse.osxfs` on `osxfs`; on Windows 9p
    // with `aname=drvfs`, as WSL has it.
    let is_docker_desktop = ["fakeowner", "grpcfuse", "osxfs"].contains(&kind)
        || ["fuse.grpcfuse", "fuse.osxfs"].contains(&kind)
        || source.starts_with("/run/host_mark/")
        || source.starts_with("/run/host_virtiofs/");
    let by = match (is_docker_desktop, mount.is_drvfs) {
        (true, _) => SharedBy::DockerDesktop,
        (false, true) => SharedBy::Windows,
        (false, false) => SharedBy::Machines,
    };
    Storage::Shared(SharedStorage {
        kind: kind.to_owned(),
        point: mount.point.clone(),
        by,
    })
}

/// The kind of storage according to the number of the file system, where the kernel lists no
/// mounts. FUSE's number says nothing about the program behind it. An unknown number may be shared.
/// Source of the numbers: Linux's include/uapi/linux/magic.h, statfs(2), and stat.c of GNU
/// coreutils.
#[cfg(target_os = "linux")]
fn by_number(dir: &Path) -> Storage {
    const SHARED: [(u32, &str); 24] = [
        (0x6969, "nfs"),
        (0x517b, "smb"),
        (0xff53_4d42, "cifs"),
        (0xfe53_4d42, "smb3"),
        (0x5346_414f, "afs"),
        (0x6b41_4653, "afs"),
        (0x00c3_6400, "ceph"),
        (0x7375_7245, "coda"),
        (0x6573_5546, "fuse"),
        (0x0102_1997, "9p"),
        (0x0bd0_0bd0, "lustre"),
        (0x4750_4653, "gpfs"),
        (0x1983_0326, "beegfs"),
        (0x0116_1970, "gfs2"),
        (0x7461_636f, "ocfs2"),
        (0xaad7_aaea, "panfs"),
        (0x786f_4256, "vboxsf"),
        (0xbacb_acbc, "vmhgfs"),
        (0x7c7c_6673, "prl_fs"),
        (0x2003_0528, "pvfs2"),
        (0x6163_6673, "acfs"),
        (0xbeef_dead, "snfs"),
        (0x0131_11a8, "ibrix"),
        (0x564c, "ncpfs"),
    ];
    let known = |number: u32| SHARED.iter().find(|(known, _)| *known == number);
    let kind = match rustix::fs::statfs(dir) {
        Ok(fs) => known(magic(fs.f_type)).map(|(_, kind)| *kind),
        Err(_) => Some("unknown"),
    };
    kind.map_or(Storage::Local, |kind| {
        Storage::Shared(SharedStorage {
            kind: kind.to_owned(),
            point: dir.to_owned(),
            by: SharedBy::Machines,
        })
    })
}

/// The bits of a file system's number, which is negative where it is a 32-bit one with a sign.
#[cfg(target_os = "linux")]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unnecessary_cast,
    reason = "the type differs with the processor, and the 32 bits count"
)]
fn magic(number: rustix::fs::FsWord) -> u32 {
    number as u32
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The storage of the mount in a line of mountinfo, given without its number and parent.
    fn storage(line: &str) -> Storage {
        let mounts = Mounts::parse(format!("30 22 {line}\n").as_bytes());
        let mount = mounts.mount_of(Path::new("/m/vault.db"));
        mounts.storage_of(mount.expect(line), LAYERS_MAX)
    }

    #[test]
    fn file_systems_of_this_kernel_are_local() {
        for line in [
            "8:2 / / rw - ext4 /dev/sda2 rw",
            "0:25 /@home /m rw - btrfs /dev/nvme0n1p2 rw,subvol=/@home",
            "0:31 / /m rw - zfs tank/home rw,xattr,posixacl",
            "0:32 / /m rw - tmpfs tmpfs rw",
            "7:0 / /m rw - xfs /dev/loop0 rw",
            "8:17 / /m rw - exfat /dev/sdb1 rw",
            "254:0 / /m rw - some-new-fs /dev/vda rw",
            // Docker's root: the layers are on the host.
            "0:60 / / rw - overlay overlay rw,lowerdir=/no/l,upperdir=/no/u,workdir=/no/w",
            "0:33 / / rw - wslfs rootfs rw",
        ] {
            assert_eq!(storage(line), Storage::Local, "{line}");
        }
    }

    #[test]
    fn fuse_file_systems_of_this_kernel_are_known() {
        for line in [
            "0:60 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw,user_id=0",
            "0:61 / /m rw - fuse.gocryptfs /no/such/dir rw",
            "0:62 / /m rw - fuse.encfs encfs rw",
            "0:63 / /m rw - fuse.mergerfs disk1:disk2 rw",
            "8:17 / /m rw - fuseblk /dev/sdb1 rw,blksize=4096",
            "0:64 / /m rw - fuse.fuse2fs /srv/image rw",
        ] {
            assert_eq!(storage(line), Storage::LocalFuse, "{line}");
        }
    }

    #[test]
    fn what_other_kernels_may_write_is_named_with_its_type() {
        let shared = "nfs nfs4 cifs smb3 ceph afs auristorfs coda 9p virtiofs lustre panfs vboxsf \
            vmhgfs pvfs2 orangefs beegfs_nodev beegfs glusterfs moosefs ncpfs fuse fuse.sshfs \
            fuse.bindfs fuse.s3fs fuse.rclone fuse.gcsfuse fuse.vmhgfs-fuse fuse.glusterfs \
            fuse.mfs fuse.cryfs fuse.shfs some-new-network-fs";
        for kind in shared.split_ascii_whitespace() {
            let found = storage(&format!("0:70 / /m rw - {kind} server:/home rw"));
            let shared = found.shared().expect(kind);
            assert_eq!(
                (shared.kind.as_str(), shared.by),
                (kind, SharedBy::Machines)
            );
            assert_eq!(shared.point, Path::new("/m"));
        }
        for kind in ["gfs2", "ocfs2", "gpfs", "prl_fs", "acfs"] {
            let found = storage(&format!("253:3 / /m rw - {kind} /dev/mapper/san rw"));
            assert!(matches!(found, Storage::Shared(_)), "{kind}");
        }
    }

    #[test]
    fn wsl_and_docker_desktop_are_named() {
        let windows = [
            r"0:50 / /m rw - 9p C:\134 rw,aname=drvfs;path=C:\;uid=1000,trans=fd",
            "0:51 / /m rw - drvfs C: rw",
            "0:52 / /m rw - virtiofs drvfsC4 rw",
        ];
        let docker_desktop = [
            "0:53 /ana /m rw - fakeowner /run/host_mark/Users rw,fakeowner",
            "0:54 /ana /m rw - fuse.grpcfuse grpcfuse rw,user_id=0",
            "0:55 /Users/ana /m rw - fuse.osxfs osxfs rw",
            "0:56 /ana /m rw - virtiofs /run/host_virtiofs/Users rw",
        ];
        let windows = windows.map(|line| (SharedBy::Windows, line)).into_iter();
        for (by, line) in windows.chain(docker_desktop.map(|line| (SharedBy::DockerDesktop, line)))
        {
            let shared = storage(line).shared().expect(line);
            assert_eq!(shared.by, by, "{line}");
        }
        let drive = storage("0:51 / /m rw - drvfs C: rw").shared().unwrap();
        assert_eq!(
            drive.to_string(),
            "a Windows drive, a file system that Windows writes, too (drvfs, mounted at /m)"
        );
    }

    #[test]
    fn a_layer_is_as_shared_as_what_it_lies_on() {
        let dir = tempfile::tempdir().unwrap();
        let lower = dir.path().join("with blank");
        std::fs::create_dir(&lower).unwrap();
        let escaped = lower.display().to_string().replace(' ', r"\040");
        let on = |kind: &str, layer: &str| {
            let text = format!(
                "30 22 8:2 / / rw - ext4 /dev/sda rw\n\
                 31 30 0:50 / {escaped} rw - {kind} x rw\n\
                 32 30 {layer}\n"
            );
            let mounts = Mounts::parse(text.as_bytes());
            let mount = mounts.mount_of(Path::new("/m/vault.db")).unwrap();
            mounts.storage_of(mount, LAYERS_MAX)
        };
        let gocryptfs = format!("0:61 / /m rw - fuse.gocryptfs {escaped} rw");
        let overlay =
            format!("0:62 / /m rw - overlay o rw,lowerdir=/l,upperdir={escaped},workdir=/w");
        let ecryptfs = format!("0:63 / /m rw - ecryptfs {escaped} rw");
        let mergerfs = format!("0:64 / /m rw - fuse.mergerfs /no:{escaped} rw");
        let image = lower.join("image");
        std::fs::write(&image, "").unwrap();
        let fuse2fs = format!("0:65 / /m rw - fuse.fuse2fs {escaped}/image rw");
        assert_eq!(on("tmpfs", &gocryptfs), Storage::LocalFuse);
        assert_eq!(on("tmpfs", &mergerfs), Storage::LocalFuse);
        assert_eq!(on("tmpfs", &fuse2fs), Storage::LocalFuse);
        assert_eq!(on("tmpfs", &overlay), Storage::Local);
        assert_eq!(on("fuse.mergerfs", &overlay), Storage::LocalFuse);
        for layer in [&gocryptfs, &overlay, &ecryptfs, &mergerfs, &fuse2fs] {
            let shared = on("nfs4", layer).shared().expect(layer);
            assert_eq!(
                (shared.kind.as_str(), shared.point),
                ("nfs4", lower.clone())
            );
        }
    }

    #[test]
    fn the_newest_of_two_mounts_at_one_point_counts() {
        let text = "30 22 0:40 / /m rw - nfs4 server:/ rw\n31 30 8:2 / /m rw - ext4 /dev/sda rw\n";
        let mounts = Mounts::parse(text.as_bytes());
        let mount = mounts.mount_of(Path::new("/m/vault.db")).unwrap();
        assert_eq!(mounts.storage_of(mount, LAYERS_MAX), Storage::Local);
    }

    /// SMB's number as a 32-bit one with a sign.
    #[allow(
        clippy::cast_possible_wrap,
        clippy::cast_lossless,
        reason = "see `magic`"
    )]
    const NEGATIVE: rustix::fs::FsWord = 0xff53_4d42_u32.cast_signed() as rustix::fs::FsWord;

    #[test]
    fn without_a_list_of_mounts_the_number_decides() {
        assert_eq!(by_number(&std::env::temp_dir()), Storage::Local);
        assert!(Mounts::default().mount_at(&std::env::temp_dir()).is_none());
        // If not even that is available, nothing shows that it is local.
        let unknown_mount = by_number(Path::new("/nonexistent/dir"));
        assert!(
            matches!(unknown_mount, Storage::Shared(_)),
            "{unknown_mount:?}"
        );
        assert_eq!(magic(NEGATIVE), 0xff53_4d42);
    }
}
