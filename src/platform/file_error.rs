//! Something about a file that stops us, with the path.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::trust::access::Access;
use super::trust::refusal::Refusal;
use crate::domain::shown_path;

/// Something about a file that stops us: the system refuses, also for want of room, or the file
/// must not be used. Every variant names the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refused an operation.
    #[error("cannot {action} {}", shown_path(path))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, FIFO, socket or device stands where a file should.
    #[error("{} is not a regular file", shown_path(path))]
    NotRegular {
        /// Where.
        path: PathBuf,
    },
    /// The file is larger than anything sensible.
    #[error("{} is larger than {limit} bytes", shown_path(path))]
    TooLarge {
        /// Where.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// A symbolic link stands where only a file is accepted.
    #[error("{} is a symbolic link, which is not followed here", shown_path(path))]
    Symlink {
        /// Where.
        path: PathBuf,
    },
    /// The file is a mount of its own: nothing replaces it, and what lies beside it is elsewhere.
    #[error("{} is mounted as a single file", path.display())]
    MountedFile {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else can have changed it, or read the secret in it.
    #[error("{0}")]
    Untrusted(Arc<Refusal>),
    /// There is no directory in memory for what must not lie on a disk.
    #[error("there is no runtime directory: {why}")]
    NoRuntimeDir {
        /// The directory that was not found, and why.
        why: String,
    },
}

/// An error of the kind [`io::ErrorKind::NotFound`] that says `what` is missing. The kind's own
/// text is "entity not found".
pub(crate) fn absent(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, what)
}

impl FileError {
    /// Returns what makes an error of `action` on a path.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Says what was to be used, where something above or behind it is at fault.
    pub(super) fn asked_for(self, asked: &Path, access: Access) -> Self {
        match self {
            Self::Untrusted(refusal) => {
                let mut refusal = Arc::unwrap_or_clone(refusal);
                if refusal.path != asked {
                    refusal.asked = Some(asked.to_owned());
                }
                refusal.is_secret = access == Access::Secret;
                Self::Untrusted(Arc::new(refusal))
            }
            other => other,
        }
    }

    /// Whether the file's state (rather than the system's) is what is wrong.
    #[must_use]
    pub fn is_bad_state(&self) -> bool {
        !matches!(
            self,
            Self::Io { .. } | Self::MountedFile { .. } | Self::NoRuntimeDir { .. }
        )
    }
}
