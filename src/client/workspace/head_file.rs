//! The file that keeps the head of a vault's record.

use std::path::{Path, PathBuf};

use crate::audit::Head;
use crate::client::error::ClientError;
use crate::platform::{Access, FileError, create_private_dir, persist, read_trusted, temporary_in};

/// The largest head that is read, in bytes; one is a short line.
const HEAD_MAX: u64 = 4096;

pub(in crate::client) fn read_head(path: PathBuf) -> Result<Option<Head>, ClientError> {
    match read_trusted(&path, Access::Read, HEAD_MAX) {
        // What a power cut leaves of a head that was just written. The one before it, which a power
        // cut may leave too, is an older head.
        Ok(Some(contents)) if is_blank(&contents.bytes) => Ok(None),
        Ok(Some(contents)) => Head::parse(&String::from_utf8_lossy(&contents.bytes))
            .map(Some)
            .ok_or(ClientError::BadHead { path }),
        Ok(None) => Ok(None),
        Err(error @ (FileError::Untrusted(_) | FileError::Io { .. })) => Err(error.into()),
        // An unreadable head is not the same as none: verifying without it would prove less.
        Err(_) => Err(ClientError::BadHead { path }),
    }
}

/// Whether the file is there, and has in it what a power cut leaves of a head.
pub(in crate::client) fn is_blank_head(path: &Path) -> bool {
    let read = read_trusted(path, Access::Read, HEAD_MAX);
    read.ok()
        .flatten()
        .is_some_and(|contents| is_blank(&contents.bytes))
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Written atomically: half a head would prevent verifying. It is not made durable: the event that
/// it is of is, and an older head proves as much after a power cut as it did before.
pub(in crate::client) fn write_head(path: &Path, head: &Head) -> std::io::Result<()> {
    use std::io::Write as _;
    let dir = path.parent().unwrap_or(Path::new("."));
    create_private_dir(dir).map_err(std::io::Error::other)?;
    let mut file = temporary_in(dir)?;
    file.write_all(format!("{head}\n").as_bytes())?;
    persist(file, path)
}
