//! Files of a service manager that are ours, told by a mark from those that are not.

use std::ffi::OsString;
use std::path::Path;

use clawkeep::platform::{
    FileError, create_private_dir, exists, read_regular, remove_if_present, replace_file,
};

use super::MARK;

/// Larger than any of ours, in bytes.
const FILE_MAX: u64 = 64 << 10;

/// What is at the path of a file of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum There {
    Nothing,
    /// Ours, with this text.
    Ours(String),
    /// Another's: without the mark, a link, or no file.
    Anothers,
}

impl There {
    /// The text of ours.
    pub(crate) fn ours(&self) -> Option<&str> {
        match self {
            Self::Ours(text) => Some(text),
            Self::Nothing | Self::Anothers => None,
        }
    }
}

/// Looks at a path.
pub(crate) fn look(path: &Path) -> There {
    if !exists(path) {
        return There::Nothing;
    }
    let is_link = path.is_symlink(); // as a unit is masked, or kept elsewhere
    match read_regular(path, FILE_MAX) {
        Ok(Some(contents)) if !is_link => {
            let text = String::from_utf8_lossy(&contents.bytes).into_owned();
            if text.lines().take(3).any(|line| line.contains(MARK)) {
                There::Ours(text)
            } else {
                There::Anothers
            }
        }
        _ => There::Anothers,
    }
}

/// Writes one, whole.
pub(crate) fn put(path: &Path, text: &str) -> Result<(), FileError> {
    if let Some(dir) = path.parent() {
        create_private_dir(dir)?;
    }
    let mut temporary = OsString::from(path);
    temporary.push(".clawkeep-tmp");
    replace_file(path, Path::new(&temporary), text.as_bytes())
}

/// Removes one.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    remove_if_present(path).map(|_| ())
}
