//! The one place in this layer that touches the disk: the configuration, agent directories.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::error::{ConfigEditError, ConfigError};
use crate::platform::{
    Access, Cause, DirectoryLock, FileError, Replaced, Replacement, canonicalize, check_trusted,
    create_private_dir, create_private_file, exists, read_regular, read_trusted, remove_if_present,
    resolve_link, sync_dir, sync_file,
};

/// Largest configuration read, in bytes: 16 MiB. One that people and the gateway write has some
/// thousands; a limit keeps a wrong path (a log, a device) from filling memory.
const CONFIG_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The configuration's text, `None` when there is no file. It may hold API keys, so it is wiped
/// when dropped. Bytes that are no UTF-8 are replaced, as the reference does.
pub(super) fn config_text(path: &Path) -> Result<Option<Zeroizing<String>>, ConfigError> {
    let bytes = config_bytes(path)?;
    Ok(bytes.map(|bytes| Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())))
}

/// The configuration's bytes, `None` when there is no file.
pub(super) fn config_bytes(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, ConfigError> {
    let contents = read_trusted(path, Access::Read, CONFIG_MAX_BYTES)?;
    Ok(contents.map(|contents| contents.bytes))
}

/// What the name of a configuration being written ends in. It is a draft and nothing else: it is
/// never exchanged, as a store's is.
pub const DRAFT: &str = ".clawkeep-draft";

/// How long to wait for another process of ours that changes the configuration.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// The configuration about to be changed: nobody else of ours changes it meanwhile.
pub(super) struct OpenConfig {
    real: PathBuf,
    _lock: DirectoryLock,
}

impl OpenConfig {
    /// Opens it for changing; its directory is made if there is none. A link is followed.
    pub(super) fn begin(path: &Path) -> Result<Self, ConfigEditError> {
        check_trusted(path, Access::Read)?; // another user's would become ours
        let real = resolve_link(path)?;
        let dir = real.parent().unwrap_or(Path::new("."));
        create_private_dir(dir)?;
        let lock = DirectoryLock::acquire(dir, Instant::now() + LOCK_TIMEOUT)?;
        Ok(Self { real, _lock: lock })
    }

    pub(super) fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, ConfigError> {
        config_bytes(&self.real)
    }

    /// Keeps these bytes beside it, durably, in a private file whose name ends in `stamp`.
    pub(super) fn keep(&self, stamp: &str, bytes: &[u8]) -> Result<PathBuf, FileError> {
        let name = |number: usize| {
            let mut name = self.real.as_os_str().to_owned();
            name.push(KEPT);
            name.push(stamp);
            if number > 1 {
                name.push(format!("-{number}"));
            }
            PathBuf::from(name)
        };
        let free = (1..).map(name).find(|path| !exists(path));
        let path = free.unwrap_or_else(|| name(0));
        let written = create_private_file(&path).and_then(|mut file| {
            let written = file.write_all(bytes).and_then(|()| sync_file(&file));
            written.map_err(FileError::io("write", &path))?;
            sync_dir(path.parent().unwrap_or(Path::new(".")))
        });
        match written {
            Ok(()) => Ok(path),
            Err(error) => {
                remove_if_present(&path)?;
                Err(error)
            }
        }
    }

    /// Replaces it at once, unless it is no longer as it was `expected`; whether it was replaced.
    pub(super) fn replace(&self, expected: Option<&[u8]>, bytes: &[u8]) -> Result<bool, FileError> {
        let mut temporary = self.real.as_os_str().to_owned();
        temporary.push(DRAFT);
        let temporary = Path::new(&temporary);
        remove_if_present(temporary)?; // a killed process's draft: the lock is ours
        let draft = Replacement::begin(&self.real, temporary, bytes.len())?;
        let is_unchanged = || {
            let now = read_regular(&self.real, CONFIG_MAX_BYTES)?;
            Ok(now.as_ref().map(|contents| contents.bytes.as_slice()) == expected)
        };
        Ok(draft.finish_by_rename(bytes, is_unchanged)? == Replaced::Yes)
    }
}

pub(super) fn discard(copy: &Path) -> Result<(), FileError> {
    remove_if_present(copy).map(|_| ())
}

/// The directories `<state>/agents/<id>/agent` that exist, unsorted. Another user who can write to
/// `agents` could add agents, so this fails then. Each agent's own directory is checked when the
/// agent is loaded: one that others can write does not stop the other agents.
pub(super) fn agent_dirs(state_dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let path = state_dir.join("agents");
    check_agents(&path)?;
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

fn check_agents(dir: &Path) -> Result<(), ConfigError> {
    match check_trusted(dir, Access::CreateIn) {
        Err(error @ FileError::Untrusted(_)) => Err(ConfigError::AgentsUntrusted(error)),
        _ => Ok(()), // what cannot be read cannot be listed either
    }
}

/// What a directory is to the disk, whatever it is called: symbolic links followed where it exists.
pub(super) fn identity(dir: &Path) -> PathBuf {
    canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf())
}

/// Whether there is anything at `path`; a link that leads nowhere is nothing. What lies on a mount
/// that is dead may be there: a vault must not be made anew for want of it.
pub(super) fn leads_somewhere(path: &Path) -> bool {
    use Cause::{Device, Disconnected, Stale};
    fs::metadata(path).map_or_else(
        |error| {
            let cause = Cause::of(&error, path);
            matches!(
                cause,
                Some(Device { .. } | Disconnected { .. } | Stale { .. })
            )
        },
        |_| true,
    )
}

pub(super) fn is_link(path: &Path) -> bool {
    path.is_symlink()
}

pub(super) fn is_dir(dir: &Path) -> bool {
    dir.is_dir()
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// What the name of a kept configuration has behind its own, before the time.
pub const KEPT: &str = ".clawkeep-before-";
