//! The kinds of storage that are distinguished.

use std::fmt;
use std::path::PathBuf;

use crate::domain::escaped;

/// What kind of storage a directory lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// A file system of this kernel alone.
    Local,
    /// A FUSE file system of this kernel alone: shared memory may not work there.
    LocalFuse,
    /// Storage that another kernel may write, too.
    Shared(SharedStorage),
}

/// A mount that several kernels may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedStorage {
    /// The type of the file system, such as `nfs4` or `fuse.sshfs`.
    pub kind: String,
    /// The directory where it is mounted.
    pub point: PathBuf,
    /// The other systems or programs that may write there.
    pub by: SharedBy,
}

/// The other systems or programs that may write on a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedBy {
    /// Other machines, or a host and its virtual machines.
    Machines,
    /// Windows, of which WSL shows a drive.
    Windows,
    /// A Linux distribution, of which WSL shows the files to Windows.
    Wsl,
    /// The host of Docker Desktop, of which it shows a directory.
    DockerDesktop,
}

impl fmt::Display for SharedStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.by {
            SharedBy::Machines => "a file system that other machines may write, too",
            SharedBy::Windows => "a Windows drive, a file system that Windows writes, too",
            SharedBy::Wsl => "files of a Linux distribution, which Linux writes, too",
            SharedBy::DockerDesktop => {
                "a directory that Docker Desktop shares, a file system that its host writes, too"
            }
        };
        let point = self.point.to_string_lossy();

        let at = match cfg!(windows) {
            true => format!("({}, {point})", self.kind),
            false => format!("({}, mounted at {point})", self.kind),
        };
        write!(f, "{what} {}", escaped(&at))
    }
}
