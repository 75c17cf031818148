//! The state of a file, compared without reading it.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// Identifies a state of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Device and file number; 0 where the system has none.
    file: (u64, u64),
    /// Bytes.
    len: u64,
    modified: Option<SystemTime>,
    /// When anything of it changed, who may read it too: seconds and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    /// Reads the stamp of the file to which `path` leads; `None` if there is no file.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let (file, changed) = numbers(&metadata);
        Some(Self {
            file,
            changed,
            len: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }

    /// Whether it is the same file, whatever is in it.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.file == other.file
    }
}

/// The device and file number, and when anything of the file changed.
#[cfg(unix)]
fn numbers(metadata: &fs::Metadata) -> ((u64, u64), (i64, i64)) {
    use std::os::unix::fs::MetadataExt as _;
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    ((metadata.dev(), metadata.ino()), changed)
}

#[cfg(not(unix))]
fn numbers(_metadata: &fs::Metadata) -> ((u64, u64), (i64, i64)) {
    ((0, 0), (0, 0))
}
