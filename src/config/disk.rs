//! The one place in this layer that touches the disk: reading the configuration, listing agent directories.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::ConfigError;
use crate::platform::read_regular;

/// Largest configuration read, in bytes: 16 MiB. One that people and the gateway write has some thousands;
/// a limit keeps a wrong path (a log, a device) from filling memory.
const CONFIG_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The configuration's text, `None` when there is no file. It may hold API keys, so it is wiped when dropped.
/// Bytes that are no UTF-8 are replaced, as the reference does.
pub(super) fn config_text(path: &Path) -> Result<Option<Zeroizing<String>>, ConfigError> {
    let contents = read_regular(path, CONFIG_MAX_BYTES)?;
    Ok(contents.map(|contents| {
        let text = String::from_utf8_lossy(&contents.bytes).into_owned();
        Zeroizing::new(text)
    }))
}

/// The directories `<state>/agents/<id>/agent` that exist, unsorted.
pub(super) fn agent_dirs(state_dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let path = state_dir.join("agents");
    let list = || -> io::Result<Vec<PathBuf>> {
        let dirs = fs::read_dir(&path)?.map(|entry| Ok(entry?.path().join("agent")));
        dirs.filter(|dir| dir.as_ref().map_or(true, |dir| dir.is_dir()))
            .collect()
    };
    match list() {
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        listed => listed.map_err(|source| ConfigError::AgentDirs { path, source }),
    }
}

/// What a directory is to the disk, whatever it is called: symbolic links followed where it exists.
pub(super) fn identity(dir: &Path) -> PathBuf {
    fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf())
}

/// Whether `dir` is a directory.
pub(super) fn is_dir(dir: &Path) -> bool {
    dir.is_dir()
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
