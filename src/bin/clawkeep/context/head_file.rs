//! The file that keeps the head of a vault's record.

use std::path::{Path, PathBuf};

use clawkeep::audit::Head;
use clawkeep::config::Layout;
use clawkeep::domain::VaultId;
use clawkeep::platform::{
    Access, FileError, create_private_dir, persist, read_trusted, sync_file, temporary_in,
};

use crate::failure::Failure;

/// The largest head that is read, in bytes; one is a short line.
pub(crate) const HEAD_MAX: u64 = 4096;

pub(crate) fn read_head(path: PathBuf) -> Result<Option<Head>, Failure> {
    match read_trusted(&path, Access::Read, HEAD_MAX) {
        Ok(Some(contents)) => Head::parse(&String::from_utf8_lossy(&contents.bytes))
            .map(Some)
            .ok_or(Failure::BadHead { path }),
        Ok(None) => Ok(None),
        Err(error @ (FileError::Untrusted(_) | FileError::Io { .. })) => Err(error.into()),
        // An unreadable head is not the same as none: verifying without it would prove less.
        Err(_) => Err(Failure::BadHead { path }),
    }
}

/// Reads the kept head of a vault.
pub(crate) struct Heads(pub(super) Box<dyn Fn(VaultId) -> Option<Head> + Send>);

impl std::fmt::Debug for Heads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heads")
    }
}

pub(crate) fn heads(layout: &Layout) -> Heads {
    let layout = layout.clone();
    Heads(Box::new(move |vault| {
        read_head(layout.head_file(vault)).ok().flatten()
    }))
}

/// Written atomically: half a head would prevent verifying.
pub(crate) fn write_head(path: &Path, head: &Head) -> std::io::Result<()> {
    use std::io::Write as _;
    let dir = path.parent().unwrap_or(Path::new("."));
    create_private_dir(dir).map_err(std::io::Error::other)?;
    let mut file = temporary_in(dir)?;
    writeln!(file, "{head}")?;
    sync_file(file.as_file())?;
    persist(file, path)
}
