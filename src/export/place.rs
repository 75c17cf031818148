//! Where an agent's store lies: the file, its lock, its temporary name, and whether it is ours to write.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::{FormatFault, parse};
use crate::domain::{StoreDoc, UnixMs};
use crate::platform::{
    Contents, FileError, Replacement, check_trusted, exists, read_regular, read_trusted,
    remove_if_present, rename_durably, resolve_link, sync_dir,
};

/// The largest store read, in bytes. The reference has no limit; a store of 5,000 profiles has 2 MB.
pub const STORE_LIMIT: u64 = 64 << 20;
/// The store's name in an agent directory. Source: `spec/compat.md`, Paths.
const STORE_NAME: &str = "auth-profiles.json";
/// A newer gateway's own store. It refuses to start beside a JSON store. Source: `spec/compat.md`.
const NEWER_STORE_NAME: &str = "openclaw-agent.sqlite";

/// What a store file says.
pub enum StoreReading {
    /// There is none.
    Missing,
    /// Bytes that the caller knows; not parsed.
    Known {
        /// The bytes.
        bytes: Zeroizing<Vec<u8>>,
    },
    /// A document, and the bytes it was read from.
    Parsed {
        /// The document.
        doc: Arc<StoreDoc>,
        /// The bytes.
        bytes: Zeroizing<Vec<u8>>,
    },
    /// Something that is no store. Never to be taken for an empty one.
    Damaged {
        /// What is wrong.
        fault: FormatFault,
        /// Its length in bytes and its modification time: whether it is still being written shows in them.
        seen: (usize, SystemTime),
    },
}

impl std::fmt::Debug for StoreReading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("Missing"),
            Self::Known { bytes } => write!(f, "Known({} bytes)", bytes.len()),
            Self::Parsed { doc, .. } => write!(f, "Parsed({doc:?})"),
            Self::Damaged { fault, .. } => write!(f, "Damaged({fault:?})"),
        }
    }
}

impl StoreReading {
    fn of(contents: Option<Contents>) -> Self {
        let Some(contents) = contents else {
            return Self::Missing;
        };
        match parse(&contents.bytes) {
            Ok(doc) => Self::Parsed {
                doc: Arc::new(doc),
                bytes: contents.bytes,
            },
            Err(fault) => Self::Damaged {
                fault,
                seen: (contents.bytes.len(), contents.modified),
            },
        }
    }

    /// The bytes of a store that can be read.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Known { bytes } | Self::Parsed { bytes, .. } => Some(bytes),
            Self::Missing | Self::Damaged { .. } => None,
        }
    }
}

/// An agent's store file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlace {
    /// The agent's directory.
    dir: PathBuf,
    /// The file as users name it; may be a link.
    path: PathBuf,
    /// Where it really is: what is locked, replaced, and known to the vault.
    real: PathBuf,
}

impl StorePlace {
    /// The store of the agent whose directory is `dir`.
    ///
    /// # Errors
    /// When a link cannot be read.
    pub fn of_agent(dir: &Path) -> Result<Self, FileError> {
        let path = dir.join(STORE_NAME);
        let real = resolve_link(&path)?;
        Ok(Self {
            dir: dir.to_owned(),
            path,
            real,
        })
    }

    /// The store at a path whose links are resolved.
    #[must_use]
    pub fn of_file(real: &Path) -> Self {
        Self {
            dir: real.parent().unwrap_or(real).to_owned(),
            path: real.to_owned(),
            real: real.to_owned(),
        }
    }

    /// The file as users name it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file really is, links resolved.
    #[must_use]
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// The agent's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a newer gateway owns the directory, so that no store may be written there.
    #[must_use]
    pub fn is_newer_gateways(&self) -> bool {
        let dirs = [Some(self.dir.as_path()), self.real.parent()];
        dirs.into_iter()
            .flatten()
            .any(|dir| exists(&dir.join(NEWER_STORE_NAME)))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it or its directory could have been written by other users: whoever can write there can plant a credential.
    /// When it is not a regular file, too large, or cannot be read.
    pub fn read(&self) -> Result<StoreReading, FileError> {
        self.read_again(None, |_| false)
    }

    /// As [`StorePlace::read`], without understanding anew what was understood before: `last` still holds if the bytes are the
    /// same, and bytes that are `known` are not parsed at all.
    ///
    /// # Errors
    /// As [`StorePlace::read`].
    pub fn read_again(
        &self,
        last: Option<StoreReading>,
        known: impl FnOnce(&[u8]) -> bool,
    ) -> Result<StoreReading, FileError> {
        if let Some(dir) = self.real.parent().filter(|dir| dir.is_dir()) {
            check_trusted(dir, 0o022)?;
        }
        if exists(&self.real) {
            check_trusted(&self.real, 0o022)?;
        }
        let contents = read_regular(&self.real, STORE_LIMIT)?;
        if let (Some(last), Some(now)) = (last, &contents)
            && last.bytes() == Some(now.bytes.as_slice())
        {
            return Ok(last);
        }
        Ok(match contents {
            Some(contents) if known(&contents.bytes) => StoreReading::Known {
                bytes: contents.bytes,
            },
            contents => StoreReading::of(contents),
        })
    }

    /// When the file was last written, if it is there.
    #[must_use]
    pub fn modified(&self) -> Option<UnixMs> {
        let at = std::fs::metadata(&self.real).and_then(|meta| meta.modified());
        let since = at.ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok().map(UnixMs)
    }

    /// Begins to replace the file; a link stays a link. The caller holds its lock and has seen to what a killed write left
    /// (see [`StorePlace::read_leftover`]).
    ///
    /// # Errors
    /// When the system refuses, for want of room too.
    pub fn begin_write(&self, room: usize) -> Result<Replacement, FileError> {
        Replacement::begin(&self.real, &self.temporary(), room)
    }

    /// Whether the file still has the bytes `seen`, or still is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn still_has(&self, seen: Option<&[u8]>) -> Result<bool, FileError> {
        let now = read_regular(&self.real, STORE_LIMIT)?;
        Ok(now.as_ref().map(|contents| contents.bytes.as_slice()) == seen)
    }

    fn temporary(&self) -> PathBuf {
        let mut name = self.real.file_name().unwrap_or_default().to_owned();
        name.push(".clawkeep-tmp");
        self.real.with_file_name(name)
    }

    /// Whether the temporary file of a write is there: one is under way, or was killed.
    #[must_use]
    pub fn has_leftover(&self) -> bool {
        exists(&self.temporary())
    }

    /// Reads what a killed write left: a draft of ours, or what another program wrote into the file just before the two
    /// were exchanged. The caller is at the head of the store's queue.
    ///
    /// # Errors
    /// As [`StorePlace::read`]; a link is refused.
    pub fn read_leftover(&self) -> Result<StoreReading, FileError> {
        let contents = read_trusted(&self.temporary(), 0o022, STORE_LIMIT)?;
        Ok(StoreReading::of(contents))
    }

    /// Removes it, durably: it holds secrets, and one that came back would be taken for another program's writing.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove_leftover(&self) -> Result<(), FileError> {
        remove_if_present(&self.temporary())?;
        sync_dir(self.real.parent().unwrap_or(&self.dir))
    }

    /// Moves it to `aside`, durably.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn keep_leftover(&self, aside: &Path) -> Result<(), FileError> {
        rename_durably(&self.temporary(), aside)
    }

    /// The reverse of [`StorePlace::keep_leftover`], of a file that turned out not to be damaged.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn make_leftover(&self, aside: &Path) -> Result<(), FileError> {
        rename_durably(aside, &self.temporary())
    }

    /// Reads a file that was moved aside.
    ///
    /// # Errors
    /// As [`StorePlace::read`].
    pub fn read_aside(aside: &Path) -> Result<StoreReading, FileError> {
        Ok(StoreReading::of(read_regular(aside, STORE_LIMIT)?))
    }

    /// Where a damaged file is moved, for a UTC time such as `20260109T003248Z`: a name not yet taken.
    #[must_use]
    pub fn aside(&self, utc: &str) -> PathBuf {
        let name = self.real.file_name().unwrap_or_default().to_string_lossy();
        let numbered = (1..).map(|n| format!("{name}.corrupt-{utc}-{n}"));
        std::iter::once(format!("{name}.corrupt-{utc}"))
            .chain(numbered)
            .map(|name| self.real.with_file_name(name))
            .find(|path| !exists(path))
            .unwrap_or_else(|| self.real.with_file_name(format!("{name}.corrupt")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Replaced;

    #[cfg(unix)]
    #[test]
    fn a_linked_store_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (agent, shared) = (dir.path().join("agent"), dir.path().join("shared.json"));
        std::fs::create_dir(&agent).unwrap();
        std::os::unix::fs::symlink("../shared.json", agent.join(STORE_NAME)).unwrap();
        let text = b"{\"profiles\": {}}";
        let place = StorePlace::of_agent(&agent).unwrap();
        let new = place.begin_write(text.len()).unwrap();
        let replaced = new.finish(text, None, || place.still_has(None)).unwrap();
        assert_eq!(replaced, Replaced::Yes);
        let late = place.begin_write(text.len()).unwrap();
        let replaced = late.finish(b"{}", None, || place.still_has(None)).unwrap();
        assert_eq!(replaced, Replaced::No, "it is there by now");
        assert!(!place.has_leftover());
        assert!(
            std::fs::symlink_metadata(agent.join(STORE_NAME))
                .unwrap()
                .is_symlink()
        );
        assert!(matches!(
            StorePlace::of_agent(&agent).unwrap().read().unwrap(),
            StoreReading::Parsed { .. }
        ));
        assert_eq!(std::fs::read(shared).unwrap(), b"{\"profiles\": {}}");
    }

    #[test]
    fn damaged_files_get_names_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let place = StorePlace::of_agent(dir.path()).unwrap();
        let first = place.aside("20260109T003248Z");
        assert_eq!(
            first.file_name().unwrap(),
            "auth-profiles.json.corrupt-20260109T003248Z"
        );
        std::fs::write(&first, "").unwrap();
        assert_eq!(
            place.aside("20260109T003248Z").file_name().unwrap(),
            "auth-profiles.json.corrupt-20260109T003248Z-1"
        );
    }
}
