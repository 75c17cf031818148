//! Why the system refuses an operation on a file: the error number, and what the place itself says.
//!
//! [`Cause::of`] is the one place that decides it. The program's words for each cause, and what to do about it, are the
//! binary's (`failure::causes`).

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io;
use std::path::{Path, PathBuf};

#[cfg(windows)]
pub(crate) use self::windows::why_database_fails;

#[cfg(all(unix, not(target_os = "macos")))]
pub(super) use self::unix::check_descriptors;
#[cfg(unix)]
pub(crate) use self::unix::{Needs, why_database_fails, why_temporary_files_fail};

/// Why the system refused an operation on a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The file system has no room.
    NoSpace {
        /// Where it is mounted.
        mount: PathBuf,
        /// How many bytes this user may still write there, where that is known.
        free: Option<u64>,
    },
    /// What is left on the file system is reserved for root.
    ReservedSpace {
        /// Where it is mounted.
        mount: PathBuf,
    },
    /// The file system has room, and no inodes for further files.
    NoInodes {
        /// Where it is mounted.
        mount: PathBuf,
    },
    /// The quota of this user, group or project is used up.
    Quota {
        /// Where the file system is mounted.
        mount: PathBuf,
    },
    /// The file would be larger than is allowed.
    FileSize {
        /// This process's limit, in bytes; `None` where it has none, so that it is the file system's.
        limit: Option<u64>,
    },
    /// This process has as many files open as it may have.
    OpenFiles {
        /// How many.
        limit: Option<u64>,
        /// How far it may raise that itself; `None`: as far as it likes.
        maximum: Option<u64>,
    },
    /// All processes together have as many files open as the system allows.
    OpenFilesOfSystem,
    /// The file system is mounted read-only.
    ReadOnly {
        /// Where.
        mount: PathBuf,
    },
    /// The file is a mount of its own, so nothing can be renamed over it.
    MountedFile {
        /// The file.
        path: PathBuf,
    },
    /// The kernel or another program uses it.
    InUse {
        /// What.
        path: PathBuf,
    },
    /// A file attribute (`chattr`) forbids it.
    Attribute {
        /// The file or directory that has it.
        path: PathBuf,
        /// Which.
        attribute: Attribute,
        /// Whether this process may remove it.
        may_remove: bool,
    },
    /// Permissions, ownership or a security module forbid it.
    Denied {
        /// What was to be used.
        path: PathBuf,
    },
    /// A directory stands where a file should.
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// A socket, a FIFO or a device stands where a file should.
    Special {
        /// What.
        path: PathBuf,
    },
    /// A file stands where a directory should.
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// A name, or the path, is longer than the file system takes.
    NameTooLong,
    /// Symbolic links lead in a circle.
    LinkLoop {
        /// Where that begins.
        path: PathBuf,
    },
    /// The program behind a FUSE mount ended.
    Disconnected {
        /// Where it is mounted.
        mount: PathBuf,
    },
    /// The network mount lost the file.
    Stale {
        /// Where it is mounted.
        mount: PathBuf,
    },
    /// The device or the network below the file system fails.
    Device {
        /// Where it is mounted.
        mount: PathBuf,
    },
    /// The file system gives no locks.
    NoLocks {
        /// Where it is mounted.
        mount: PathBuf,
    },
    /// There is not enough memory.
    NoMemory,
    /// The two names are on different file systems.
    OtherFileSystem {
        /// The name that was to be made.
        path: PathBuf,
    },
    /// Something has that name already.
    Exists {
        /// What.
        path: PathBuf,
    },
    /// There is no such file or directory.
    NotFound {
        /// What was looked for.
        path: PathBuf,
    },
}

/// A file attribute that forbids changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `+i`: nothing may be changed.
    Immutable,
    /// `+a`: only appending is allowed.
    AppendOnly,
}

impl Cause {
    /// Why `error` came of an operation on `path`, found out by looking at that place; `None` where nothing more is known than
    /// what the error says itself.
    #[must_use]
    pub fn of(error: &io::Error, path: &Path) -> Option<Self> {
        #[cfg(unix)]
        return unix::classify(unix::number(error)?, path, &unix::Observed { path });
        #[cfg(windows)]
        return windows::classify(error, path);
    }
}

/// Whether a file is a mount of its own, as `docker -v FILE:FILE` and the `subPath` of Kubernetes make it: nothing can be renamed
/// over it, and what lies beside it is on another file system.
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
