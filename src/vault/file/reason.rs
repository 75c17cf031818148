//! Why a vault can only be read.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::domain::from_outside;
use crate::platform::{Cause, SharedStorage};

/// Why a vault can only be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadOnlyReason {
    /// Its file system is mounted read-only, or is a read-only snapshot.
    Medium {
        /// Where it is mounted, if the mount is what makes it read-only.
        mount: Option<PathBuf>,
    },
    /// This user has no permission to write the file or its directory, or it was made immutable.
    Permission {
        /// The file or directory.
        path: PathBuf,
        /// What forbids it, where more is known than the mode.
        cause: Option<Box<Cause>>,
    },
    /// Nothing can be written for want of room.
    NoRoom {
        /// What is used up.
        cause: Box<Cause>,
    },
    /// Another kernel may write the file, too, and the user has not said that none does.
    SharedStorage(Box<SharedStorage>),
    /// It was opened as a copy: to be verified, or to read its plain columns.
    Copy,
}

impl fmt::Display for ReadOnlyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &Path| from_outside(&path.to_string_lossy());
        match self {
            Self::Medium { mount: Some(mount) } => {
                let mount = shown(mount);
                write!(f, "the file system mounted at {mount} is read-only (EROFS)")
            }
            Self::Medium { mount: None } => {
                f.write_str("its file system or snapshot is read-only (EROFS)")
            }
            Self::Permission { path, .. } => {
                let path = shown(path);
                write!(f, "this user has no permission to write {path}")
            }
            Self::NoRoom { cause } => match **cause {
                Cause::NoInodes { .. } => {
                    f.write_str("its file system has no inodes left (ENOSPC)")
                }
                Cause::Quota { .. } => {
                    f.write_str("the quota of its file system is used up (EDQUOT)")
                }
                _ => f.write_str("No space left on device (ENOSPC)"),
            },
            Self::SharedStorage(storage) => {
                write!(
                    f,
                    "it is on {storage}; two systems that write one vault destroy it"
                )
            }
            Self::Copy => f.write_str("it was opened as a copy"),
        }
    }
}

impl std::error::Error for ReadOnlyReason {}
