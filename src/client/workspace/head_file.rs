//! The file that keeps the head of a vault's record.

use std::path::{Path, PathBuf};

use crate::audit::Head;
use crate::client::error::ClientError;
use crate::platform::{Access, FileError, create_private_dir, read_trusted, write_whole};

/// The largest head that is read, in bytes; one is a short line.
const HEAD_MAX: u64 = 4096;

pub(in crate::client) fn read_head(path: PathBuf) -> Result<Option<Head>, ClientError> {
    match read_trusted(&path, Access::Read, HEAD_MAX) {
        Ok(Some(contents)) => Head::parse(&String::from_utf8_lossy(&contents.bytes))
            .map(Some)
            .ok_or(ClientError::BadHead { path }),
        Ok(None) => Ok(None),
        Err(error @ (FileError::Untrusted(_) | FileError::Io { .. })) => Err(error.into()),
        // An unreadable head is not the same as none: verifying without it would prove less.
        Err(_) => Err(ClientError::BadHead { path }),
    }
}

/// Written atomically: half a head would prevent verifying.
pub(in crate::client) fn write_head(path: &Path, head: &Head) -> std::io::Result<()> {
    use std::io::Write as _;
    let dir = path.parent().unwrap_or(Path::new("."));
    create_private_dir(dir).map_err(std::io::Error::other)?;
    write_whole(path, |file| writeln!(file, "{head}"))
}
