//! The causes that are distinguished.

use std::path::PathBuf;

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
        /// This process's limit, in bytes; `None` where it is the file system's.
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
        /// The path that was not found.
        path: PathBuf,
    },
}

/// A file attribute that forbids changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// The attribute `+i`: nothing may be changed.
    Immutable,
    /// The attribute `+a`: only appending is allowed.
    AppendOnly,
}
