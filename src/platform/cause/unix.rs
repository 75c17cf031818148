//! Error numbers, and what the system says of a place.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, accessat, statvfs};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::kinds::{Attribute, Cause};
use crate::platform::file_error::FileError;
use crate::platform::paths::resolve_existing;
use crate::platform::threads::check_descriptors;
use crate::platform::trust::mounts::{is_mounted_file, mount_point_of};

/// How many links are followed.
const LINKS_MAX: usize = 8;
/// Less room than this is none, in bytes: what a small write of SQLite takes with its log.
const ROOM_MIN: u64 = 64 << 10;

/// What can be found out about the place of an operation.
pub(super) trait Situation {
    /// Where its file system is mounted.
    fn mount(&self) -> PathBuf;
    /// How full that is.
    fn space(&self) -> Option<Space>;
    /// This process's limit on the size of a file, in bytes.
    fn file_size_limit(&self) -> Option<u64>;
    /// This process's limit on open files, and how far it may be raised.
    fn open_files_limit(&self) -> (Option<u64>, Option<u64>);
    /// Whether the file is a mount of its own.
    fn is_mounted_file(&self) -> bool;
    /// Which of the file and its directory has an attribute that forbids changes, and whether this
    /// process may remove it.
    fn attribute(&self) -> Option<(PathBuf, Attribute, bool)>;
    /// Whether it is a socket, a FIFO or a device.
    fn is_special(&self) -> bool;
    /// The part of the path that is a file where a directory should be.
    fn file_in_the_way(&self) -> Option<PathBuf>;
}

/// How full a file system is. Bytes and numbers of files.
#[derive(Clone, Copy)]
pub(super) struct Space {
    /// Free for root.
    pub(super) free: u64,
    /// Free for this user.
    pub(super) available: u64,
    /// Free inodes; `None` where the file system makes them as it needs them.
    pub(super) inodes: Option<u64>,
}

/// The error number, also of an error that a library made of it.
pub(super) fn number(error: &io::Error) -> Option<Errno> {
    use io::ErrorKind;
    if let Some(errno) = Errno::from_io_error(error) {
        return Some(errno);
    }
    Some(match error.kind() {
        ErrorKind::NotFound => Errno::NOENT,
        ErrorKind::AlreadyExists => Errno::EXIST,
        ErrorKind::PermissionDenied => Errno::ACCESS,
        ErrorKind::StorageFull => Errno::NOSPC,
        ErrorKind::QuotaExceeded => Errno::DQUOT,
        ErrorKind::FileTooLarge => Errno::FBIG,
        ErrorKind::ResourceBusy => Errno::BUSY,
        ErrorKind::IsADirectory => Errno::ISDIR,
        ErrorKind::NotADirectory => Errno::NOTDIR,
        ErrorKind::ReadOnlyFilesystem => Errno::ROFS,
        ErrorKind::StaleNetworkFileHandle => Errno::STALE,
        ErrorKind::CrossesDevices => Errno::XDEV,
        ErrorKind::OutOfMemory => Errno::NOMEM,
        _ => return None,
    })
}

/// The cause of an error number at a place.
pub(super) fn classify(errno: Errno, path: &Path, place: &impl Situation) -> Option<Cause> {
    let path = path.to_owned();
    Some(match errno {
        Errno::NOSPC => {
            let mount = place.mount();
            match place.space() {
                Some(space) if space.inodes == Some(0) => Cause::NoInodes { mount },
                Some(space) if space.available < ROOM_MIN && space.free >= ROOM_MIN => {
                    Cause::ReservedSpace { mount }
                }
                space => Cause::NoSpace {
                    mount,
                    free: space.map(|space| space.available),
                },
            }
        }
        Errno::DQUOT => Cause::Quota {
            mount: place.mount(),
        },
        Errno::FBIG => Cause::FileSize {
            limit: place.file_size_limit(),
        },
        Errno::MFILE => {
            let (limit, maximum) = place.open_files_limit();
            Cause::OpenFiles { limit, maximum }
        }
        Errno::NFILE => Cause::OpenFilesOfSystem,
        Errno::ROFS => Cause::ReadOnly {
            mount: place.mount(),
        },
        Errno::BUSY if place.is_mounted_file() => Cause::MountedFile { path },
        Errno::BUSY | Errno::TXTBSY => Cause::InUse { path },
        Errno::PERM | Errno::ACCESS => match place.attribute() {
            Some((path, attribute, may_remove)) => Cause::Attribute {
                path,
                attribute,
                may_remove,
            },
            None => Cause::Denied { path },
        },
        Errno::ISDIR => Cause::Directory { path },
        Errno::NOTDIR => Cause::NotADirectory {
            path: place.file_in_the_way().unwrap_or(path),
        },
        Errno::NAMETOOLONG => Cause::NameTooLong,
        Errno::LOOP => Cause::LinkLoop { path },
        Errno::STALE => Cause::Stale {
            mount: place.mount(),
        },
        // A FUSE program that has ended; what it had not answered was aborted.
        Errno::NOTCONN | Errno::CONNABORTED => Cause::Disconnected {
            mount: place.mount(),
        },
        Errno::NXIO if place.is_special() => Cause::Special { path },
        Errno::IO | Errno::NXIO | Errno::NODEV => Cause::Device {
            mount: place.mount(),
        },
        Errno::NOLCK => Cause::NoLocks {
            mount: place.mount(),
        },
        Errno::NOMEM => Cause::NoMemory,
        Errno::XDEV => Cause::OtherFileSystem { path },
        Errno::EXIST | Errno::NOTEMPTY => Cause::Exists { path },
        Errno::NOENT => Cause::NotFound { path },
        _ => return None,
    })
}

/// A place as the system shows it, examined on demand.
pub(super) struct Observed<'p> {
    pub(super) path: &'p Path,
}

impl Observed<'_> {
    /// The path, links resolved as far as they can be read: of a dead mount nothing is known.
    fn resolved(&self) -> PathBuf {
        let mut real = resolve_existing(self.path);
        for _ in 0..LINKS_MAX {
            let link = real.ancestors().find_map(|above| {
                let target = std::fs::read_link(above).ok()?;
                let rest = real.strip_prefix(above).ok()?;
                Some(above.parent()?.join(target).join(rest))
            });
            let Some(target) = link else { break };
            real = resolve_existing(&target);
        }
        real
    }

    fn existing(&self) -> PathBuf {
        let real = resolve_existing(self.path);
        let existing = real.ancestors().find(|path| path.exists());
        existing.map_or_else(|| PathBuf::from("/"), Path::to_owned)
    }
}

impl Situation for Observed<'_> {
    fn mount(&self) -> PathBuf {
        mount_point_of(&self.resolved()).unwrap_or_else(|| self.existing())
    }

    fn space(&self) -> Option<Space> {
        let found = statvfs(self.existing()).ok()?;
        Some(Space {
            free: found.f_bfree.saturating_mul(found.f_frsize),
            available: found.f_bavail.saturating_mul(found.f_frsize),
            inodes: (found.f_files > 0).then_some(found.f_favail),
        })
    }

    fn file_size_limit(&self) -> Option<u64> {
        getrlimit(Resource::Fsize).current
    }

    fn open_files_limit(&self) -> (Option<u64>, Option<u64>) {
        let limit = getrlimit(Resource::Nofile);
        (limit.current, limit.maximum)
    }

    fn is_mounted_file(&self) -> bool {
        is_mounted_file(self.path)
    }

    fn attribute(&self) -> Option<(PathBuf, Attribute, bool)> {
        let candidates = [Some(self.path), self.path.parent()];
        candidates.into_iter().flatten().find_map(|path| {
            let attribute = attribute_of(path)?;
            Some((path.to_owned(), attribute, may_remove_attributes()))
        })
    }

    fn is_special(&self) -> bool {
        std::fs::metadata(self.path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
    }

    fn file_in_the_way(&self) -> Option<PathBuf> {
        let mut above = self.path.ancestors();
        above.find(|path| path.is_file()).map(Path::to_owned)
    }
}

#[cfg(target_os = "linux")]
fn attribute_of(path: &Path) -> Option<Attribute> {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let found = statx(CWD, path, flags, StatxFlags::TYPE).ok()?;
    if found.stx_attributes.contains(StatxAttributes::IMMUTABLE) {
        return Some(Attribute::Immutable);
    }
    let is_append_only = found.stx_attributes.contains(StatxAttributes::APPEND);
    is_append_only.then_some(Attribute::AppendOnly)
}

#[cfg(not(target_os = "linux"))]
fn attribute_of(_path: &Path) -> Option<Attribute> {
    None
}

/// Whether this process has `CAP_LINUX_IMMUTABLE` where it counts, in the first user namespace.
#[cfg(target_os = "linux")]
fn may_remove_attributes() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    let has = capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::LINUX_IMMUTABLE));
    // The first namespace maps every user to itself. Source: user_namespaces(7).
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    has && map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(not(target_os = "linux"))]
fn may_remove_attributes() -> bool {
    rustix::process::geteuid().is_root()
}

/// What an operation of SQLite needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The files beside the database.
    Files,
    /// Those, and room for what is written.
    Room,
}

/// How many files SQLite opens for one database: the file, its log, the log's index, its directory.
const DATABASE_FILES: usize = 4;
/// How much room is tried for, in bytes: more than an event takes.
const ROOM: u64 = 4 << 20;

/// Why SQLite cannot use the database at `path`, found by trying: it keeps the number to itself.
pub(crate) fn why_database_fails(path: &Path, needs: Needs) -> Option<FileError> {
    if let Err(error) = check_descriptors(DATABASE_FILES) {
        return Some(FileError::io("open", path)(error));
    }
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    for file in ["", "-wal", "-shm", "-journal"].map(beside) {
        let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
        match accessat(CWD, &file, access, AtFlags::EACCESS) {
            Ok(()) if file.is_dir() => {
                return Some(FileError::io("open", &file)(Errno::ISDIR.into()));
            }
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Some(FileError::io("open", &file)(errno.into())),
        }
    }
    for file in ["", "-wal", "-shm"].map(beside) {
        if attribute_of(&file).is_some() {
            // also where appending is allowed
            return Some(FileError::io("open", &file)(Errno::PERM.into()));
        }
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    if let Err(error) = try_room(dir, needs) {
        return Some(FileError::io("write in", dir)(error));
    }
    (needs == Needs::Room && is_near_size_limit(path, &beside("-wal")))
        .then(|| FileError::io("write", path)(Errno::FBIG.into()))
}

/// Why SQLite cannot write its temporary files, where it has a directory of the system's for them.
/// Source: SQLite, Temporary Files Used By SQLite; `TMPDIR` is not read in this layer.
pub(crate) fn why_temporary_files_fail() -> Option<FileError> {
    let dirs = ["/var/tmp", "/usr/tmp", "/tmp"].map(Path::new);
    let dir = dirs.into_iter().find(|dir| dir.is_dir())?;
    let error = try_room(dir, Needs::Room).err()?;
    Some(FileError::io("write in", dir)(error))
}

/// Makes a file without a name in `dir`, with room where that is needed. Where the file system
/// makes none, says how full it is.
#[cfg(target_os = "linux")]
pub(super) fn try_room(dir: &Path, needs: Needs) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, OFlags, fallocate};
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o600);
    options.custom_flags(OFlags::TMPFILE.bits().cast_signed());
    let mut file = match options.open(dir) {
        Err(error) if is_unsupported(&error) => return full(dir),
        opened => opened?,
    };
    if needs == Needs::Files {
        return Ok(());
    }
    match fallocate(&file, FallocateFlags::empty(), 0, ROOM) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::FBIG) => file.write_all(&[0; 4096]),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn try_room(dir: &Path, _needs: Needs) -> io::Result<()> {
    full(dir)
}

#[cfg(target_os = "linux")]
fn is_unsupported(error: &io::Error) -> bool {
    // EISDIR: the kernel knows no such files. Source: open(2), O_TMPFILE.
    let errno = Errno::from_io_error(error);
    matches!(
        errno,
        Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL)
    )
}

fn full(dir: &Path) -> io::Result<()> {
    match (Observed { path: dir }).space() {
        Some(space) if space.inodes == Some(0) || space.available < ROOM_MIN => {
            Err(Errno::NOSPC.into())
        }
        _ => Ok(()),
    }
}

/// Whether one of the two files is about as large as this process may make one.
fn is_near_size_limit(database: &Path, log: &Path) -> bool {
    let Some(limit) = getrlimit(Resource::Fsize).current else {
        return false;
    };
    [database, log].iter().any(|path| {
        let length = std::fs::metadata(path).map_or(0, |meta| meta.len());
        length.saturating_add(ROOM) > limit
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    struct Place {
        space: Option<Space>,
        is_mount: bool,
        is_special: bool,
        attribute: Option<Attribute>,
    }

    const ROOMY: Space = Space {
        free: 1 << 30,
        available: 1 << 30,
        inodes: Some(9),
    };

    impl Situation for Place {
        fn mount(&self) -> PathBuf {
            "/m".into()
        }
        fn space(&self) -> Option<Space> {
            self.space
        }
        fn file_size_limit(&self) -> Option<u64> {
            Some(4096)
        }
        fn open_files_limit(&self) -> (Option<u64>, Option<u64>) {
            (Some(8), Some(16))
        }
        fn is_mounted_file(&self) -> bool {
            self.is_mount
        }
        fn attribute(&self) -> Option<(PathBuf, Attribute, bool)> {
            let attribute = self.attribute?;
            Some(("/m/d".into(), attribute, true))
        }
        fn is_special(&self) -> bool {
            self.is_special
        }
        fn file_in_the_way(&self) -> Option<PathBuf> {
            Some("/m/file".into())
        }
    }

    #[test]
    fn the_cause_follows_the_number_and_the_place() {
        let usual = || Place {
            space: Some(ROOMY),
            is_mount: false,
            is_special: false,
            attribute: None,
        };
        let special = || Place {
            is_special: true,
            ..usual()
        };
        let with_space = |space| Place { space, ..usual() };
        let mounted = || Place {
            is_mount: true,
            ..usual()
        };
        let immutable = || Place {
            attribute: Some(Attribute::Immutable),
            ..usual()
        };
        let path = || PathBuf::from("/m/d/f");
        let mount = || PathBuf::from("/m");
        let none = Space {
            available: 0,
            ..ROOMY
        };
        let no_room = Space { free: 0, ..none };
        let no_inodes = Space {
            inodes: Some(0),
            ..ROOMY
        };
        let no_space = |free| Cause::NoSpace {
            mount: mount(),
            free,
        };
        let open_files = Cause::OpenFiles {
            limit: Some(8),
            maximum: Some(16),
        };
        let attribute = Cause::Attribute {
            path: "/m/d".into(),
            attribute: Attribute::Immutable,
            may_remove: true,
        };
        let way = PathBuf::from("/m/file");
        let cases = [
            (Errno::NOSPC, no_space(Some(1 << 30))),
            (Errno::DQUOT, Cause::Quota { mount: mount() }),
            (Errno::FBIG, Cause::FileSize { limit: Some(4096) }),
            (Errno::MFILE, open_files),
            (Errno::NFILE, Cause::OpenFilesOfSystem),
            (Errno::ROFS, Cause::ReadOnly { mount: mount() }),
            (Errno::BUSY, Cause::InUse { path: path() }),
            (Errno::TXTBSY, Cause::InUse { path: path() }),
            (Errno::ACCESS, Cause::Denied { path: path() }),
            (Errno::PERM, Cause::Denied { path: path() }),
            (Errno::ISDIR, Cause::Directory { path: path() }),
            (Errno::NOTDIR, Cause::NotADirectory { path: way }),
            (Errno::NAMETOOLONG, Cause::NameTooLong),
            (Errno::LOOP, Cause::LinkLoop { path: path() }),
            (Errno::STALE, Cause::Stale { mount: mount() }),
            (Errno::NOTCONN, Cause::Disconnected { mount: mount() }),
            (Errno::IO, Cause::Device { mount: mount() }),
            (Errno::NXIO, Cause::Device { mount: mount() }),
            (Errno::NOLCK, Cause::NoLocks { mount: mount() }),
            (Errno::NOMEM, Cause::NoMemory),
            (Errno::XDEV, Cause::OtherFileSystem { path: path() }),
            (Errno::EXIST, Cause::Exists { path: path() }),
            (Errno::NOENT, Cause::NotFound { path: path() }),
        ];
        let usually = cases.map(|(errno, cause)| (errno, usual(), cause));
        let reserved = Cause::ReservedSpace { mount: mount() };
        let inodes = Cause::NoInodes { mount: mount() };
        let elsewhere = [
            (Errno::NOSPC, with_space(None), no_space(None)),
            (Errno::NOSPC, with_space(Some(none)), reserved),
            (Errno::NOSPC, with_space(Some(no_room)), no_space(Some(0))),
            (Errno::NOSPC, with_space(Some(no_inodes)), inodes),
            (Errno::BUSY, mounted(), Cause::MountedFile { path: path() }),
            (Errno::PERM, immutable(), attribute),
            (Errno::NXIO, special(), Cause::Special { path: path() }),
        ];
        for (errno, place, cause) in usually.into_iter().chain(elsewhere) {
            assert_eq!(classify(errno, &path(), &place), Some(cause), "{errno:?}");
        }
        assert_eq!(classify(Errno::AGAIN, &path(), &usual()), None);
    }

    #[test]
    fn a_link_into_a_mount_that_is_dead_leads_there() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        std::fs::create_dir(home.join("mounts")).unwrap();
        std::os::unix::fs::symlink("mounts/dead/state", home.join("state")).unwrap();
        let path = home.join("state/vault.db");
        let resolved = Observed { path: &path }.resolved();
        assert_eq!(resolved, home.join("mounts/dead/state/vault.db"));
        let circle = home.join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        assert!(Observed { path: &circle }.resolved().starts_with(&home));
    }

    #[test]
    fn a_socket_is_no_failing_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = File::open(&path).unwrap_err();
        assert_eq!(Cause::of(&error, &path), Some(Cause::Special { path }));
    }
}
