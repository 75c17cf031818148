//! Files of a service manager that clawkeep wrote, recognised by a mark.

use std::ffi::OsString;
use std::path::Path;

use clawkeep::internal::platform::{
    FileError, create_private_dir, exists, read_regular, remove_if_present, replace_file,
};

use super::job::MARK;

/// Larger than any of ours, in bytes.
const FILE_MAX: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileState {
    Nothing,
    /// Ours, with this text.
    Ours(String),
    /// Not ours: without the mark, a link, or no regular file.
    Anothers,
}

impl FileState {
    pub(crate) fn ours(&self) -> Option<&str> {
        match self {
            Self::Ours(text) => Some(text),
            Self::Nothing | Self::Anothers => None,
        }
    }
}

/// Reads the file at a path and checks its mark.
pub(crate) fn read_own_file(path: &Path) -> FileState {
    if !exists(path) {
        return FileState::Nothing;
    }
    let is_link = path.is_symlink(); // as a unit is masked, or kept elsewhere
    match read_regular(path, FILE_MAX) {
        Ok(Some(contents)) if !is_link => {
            let text = decoded(&contents.bytes);
            if text.lines().take(3).any(|line| line.contains(MARK)) {
                FileState::Ours(text)
            } else {
                FileState::Anothers
            }
        }
        _ => FileState::Anothers,
    }
}

/// The text of a file: UTF-8, or UTF-16 with a byte-order mark, as a task of Windows is.
fn decoded(bytes: &[u8]) -> String {
    let Some(units) = bytes.strip_prefix(&[0xff, 0xfe]) else {
        return String::from_utf8_lossy(bytes).into_owned();
    };
    let (units, _) = units.as_chunks();
    let units: Vec<u16> = units.iter().copied().map(u16::from_le_bytes).collect();
    String::from_utf16_lossy(&units)
}

/// Writes one of our files atomically.
pub(crate) fn put(path: &Path, text: impl AsRef<[u8]>) -> Result<(), FileError> {
    if let Some(dir) = path.parent() {
        create_private_dir(dir)?;
    }
    let mut temporary = OsString::from(path);
    temporary.push(".clawkeep-tmp");
    replace_file(path, Path::new(&temporary), text.as_ref())
}

pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    remove_if_present(path).map(|_| ())
}
