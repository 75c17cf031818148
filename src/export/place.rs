//! Where an agent's store lies: file, lock, temporary name, and whether it is ours to write.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::format::{FormatFault, STORE_NAME, parse};
use super::memory::{copies_in_memory, is_copy_in_memory, store_digest};
use crate::domain::{StoreDoc, UnixMs};
use crate::platform::openclaw::{Examined, OpenClawDir};
use crate::platform::{
    Access, Contents, FileError, Found, Replaced, Replacement, RuntimeDir, check_trusted, exists,
    put_link, read_own, read_regular, read_trusted, remove_if_present, rename_durably,
    resolve_existing, resolve_link, resolve_link_until, still_has, sync_dir, withdraw,
};

/// The largest store read, in bytes. The reference has no limit; a store of 5,000 profiles has 2
/// MB.
pub const STORE_LIMIT: u64 = 64 << 20;

/// What a store file says.
pub enum StoreReading {
    /// There is no store file.
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
        /// Its length in bytes and its modification time, which show whether it is being written.
        stamp: (usize, SystemTime),
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
                stamp: (contents.bytes.len(), contents.modified),
            },
        }
    }

    /// Understands what was read, but for what is known: see [`StorePlace::read_again`].
    #[must_use]
    pub fn understand(
        contents: Option<Contents>,
        last: Option<Self>,
        known: impl FnOnce(&[u8]) -> bool,
    ) -> Self {
        if let (Some(last), Some(now)) = (last, &contents)
            && last.bytes() == Some(now.bytes.as_slice())
        {
            return last;
        }
        match contents {
            Some(contents) if known(&contents.bytes) => Self::Known {
                bytes: contents.bytes,
            },
            contents => Self::of(contents),
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

/// The store file of one agent.
///
/// It is the file at the path that the gateway reads, or a link of clawkeep's at that path to a
/// copy in memory. Links of the user's are followed: several agents can share a store by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlace {
    dir: PathBuf,
    /// The file as users name it; may be a link.
    path: PathBuf,
    /// The directory in which that name is, links resolved.
    real_dir: PathBuf,
    /// The path of the store, links of the user's resolved: the vault knows it by this path,
    /// however it is exported.
    site: PathBuf,
    /// The target of clawkeep's link at that path, if there is one.
    link: Option<PathBuf>,
    /// Where what the store says really is: what a gateway locks, reads and writes.
    real: PathBuf,
}

impl StorePlace {
    /// The store of the agent whose directory is `dir`.
    ///
    /// # Errors
    /// When a link cannot be read.
    pub fn of_agent(dir: &Path) -> Result<Self, FileError> {
        Self::at(dir.to_owned(), dir.join(STORE_NAME))
    }

    /// The store at a path under which the vault knows it.
    ///
    /// # Errors
    /// When a link cannot be read.
    pub fn of_file(site: &Path) -> Result<Self, FileError> {
        Self::at(site.parent().unwrap_or(site).to_owned(), site.to_owned())
    }

    fn at(dir: PathBuf, path: PathBuf) -> Result<Self, FileError> {
        let real_dir = resolve_existing(path.parent().unwrap_or(&dir));
        let (site, link) = match std::fs::read_link(&path) {
            Ok(_) => resolve_link_until(&path, is_copy_in_memory)?,
            Err(_) => (real_dir.join(path.file_name().unwrap_or_default()), None),
        };
        let real = match &link {
            Some(target) => resolve_link(target)?,
            None => site.clone(),
        };
        Ok(Self {
            dir,
            path,
            real_dir,
            site,
            link,
            real,
        })
    }

    /// The file as users name it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the store, links of the user's resolved: the vault knows it by this
    /// path, whether it is a file or in memory.
    #[must_use]
    pub fn site(&self) -> &Path {
        &self.site
    }

    /// Where what it says really is, all links resolved.
    #[must_use]
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// Returns the target of clawkeep's link in the file's place, if there is one.
    #[must_use]
    pub fn link(&self) -> Option<&Path> {
        self.link.as_deref()
    }

    /// Returns the directory of the agent.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where this store's copy in memory is in a runtime directory: the name is its own.
    #[must_use]
    pub fn in_memory(&self, runtime: &RuntimeDir) -> PathBuf {
        copies_in_memory(runtime)
            .join(store_digest(&self.site))
            .join(STORE_NAME)
    }

    /// Finds the OpenClaw tree that the agent's directory or the store is in. Nothing may be
    /// written there: OpenClaw fails beside an `auth-profiles.json`, or that is its own live store.
    #[must_use]
    pub fn openclaw_dir(&self) -> Option<OpenClawDir> {
        self.openclaw_dir_by(&Examined::default())
    }

    /// As [`StorePlace::openclaw_dir`], by what was found of directories a moment ago.
    #[must_use]
    pub(crate) fn openclaw_dir_by(&self, examined: &Examined) -> Option<OpenClawDir> {
        let dir = self.path.parent().unwrap_or(&self.dir);
        let by_name = examined.openclaw_dir_of_resolved(dir, &self.real_dir);
        let is_database =
            |dir: &Option<OpenClawDir>| dir.as_ref().is_some_and(|dir| dir.evidence.is_database());
        let real_dir = self.site.parent().unwrap_or(&self.real_dir);
        if is_database(&by_name) || real_dir == self.real_dir {
            return by_name;
        }
        // A link of the user's to the store itself leads to another directory.
        let by_link = examined.openclaw_dir_of_resolved(real_dir, real_dir);
        if is_database(&by_link) {
            by_link
        } else {
            by_name.or(by_link)
        }
    }

    /// Whether the store is in an OpenClaw tree: see [`StorePlace::openclaw_dir`].
    #[must_use]
    pub fn is_openclaws(&self) -> bool {
        self.openclaw_dir().is_some()
    }

    /// Reads the store file of this place.
    ///
    /// # Errors
    /// When other users could have written it or its directory: they could have planted a
    /// credential.
    /// When it is not a regular file, too large, or cannot be read.
    pub fn read(&self) -> Result<StoreReading, FileError> {
        self.read_again(None, |_| false)
    }

    /// As [`StorePlace::read`], without understanding anew what was understood before: `last` still
    /// holds if the bytes are the same, and bytes that are `known` are not parsed at all.
    pub fn read_again(
        &self,
        last: Option<StoreReading>,
        known: impl FnOnce(&[u8]) -> bool,
    ) -> Result<StoreReading, FileError> {
        Ok(StoreReading::understand(self.contents()?, last, known))
    }

    /// Reads the file without understanding it: its contents, if it is there.
    pub fn contents(&self) -> Result<Option<Contents>, FileError> {
        // What is written beside it has known names.
        if let Some(dir) = self.real.parent() {
            check_trusted(dir, Access::CreateIn)?;
        }
        // By the name that leads there: who can change a link on the way decides what is read.
        read_trusted(&self.path, Access::Read, STORE_LIMIT)
    }

    /// When the file was last written, if it is there.
    #[must_use]
    pub fn modified(&self) -> Option<UnixMs> {
        let at = std::fs::metadata(&self.real).and_then(|meta| meta.modified());
        let since = at.ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok().map(UnixMs)
    }

    /// Begins to write the store at its own path, even if a link of clawkeep's is there now. The
    /// caller holds its lock and has recovered what an interrupted write left (see
    /// [`StorePlace::leftovers`]).
    pub(crate) fn begin_write_as_file(&self, room: usize) -> Result<Replacement, FileError> {
        Replacement::begin(&self.site, &temporary(&self.site), room)
    }

    /// Begins to write its copy in memory, `target`, to which nothing leads yet.
    pub(crate) fn begin_write_in_memory(
        target: &Path,
        room: usize,
    ) -> Result<Replacement, FileError> {
        Replacement::begin(target, &temporary(target), room)
    }

    /// Returns what is at the path that the gateway reads, if `expected` was read there.
    #[must_use]
    pub fn found<'f>(&'f self, expected: Option<&'f [u8]>) -> Found<'f> {
        match &self.link {
            Some(target) => Found::Link(target),
            None => expected.map_or(Found::Nothing, Found::File),
        }
    }

    /// Puts a link to the copy in memory at the path that the gateway reads, in place of what was
    /// found there.
    pub(crate) fn link_to(
        &self,
        target: &Path,
        expected: Option<&[u8]>,
        is_wanted: impl FnOnce() -> Result<bool, FileError>,
    ) -> Result<Replaced, FileError> {
        let temporary = temporary(&self.site);
        put_link(
            &self.site,
            &temporary,
            target,
            self.found(expected),
            is_wanted,
        )
    }

    /// Removes what was found at the path that the gateway reads.
    pub(crate) fn withdraw(&self, expected: Option<&[u8]>) -> Result<Replaced, FileError> {
        withdraw(&self.site, &temporary(&self.site), self.found(expected))
    }

    /// Removes the copy in memory that a removed link led to, if its bytes are still `expected`. A
    /// copy of another store, to which a copied link led, is left to that store.
    pub(crate) fn remove_copy(
        &self,
        copy: &Path,
        expected: Option<&[u8]>,
    ) -> Result<Replaced, FileError> {
        if !self.is_own_copy(copy) || (expected.is_none() && !exists(copy)) {
            return Ok(Replaced::Yes);
        }
        let Some(expected) = expected else {
            return Ok(Replaced::No);
        };
        let removed = withdraw(copy, &temporary(copy), Found::File(expected))?;
        if removed == Replaced::Yes {
            self.forget_dir_of(copy);
        }
        Ok(removed)
    }

    /// Whether a copy in memory is this store's own, by its name.
    fn is_own_copy(&self, copy: &Path) -> bool {
        let digest = copy.parent().and_then(Path::file_name);
        digest.is_some_and(|digest| *digest == *store_digest(&self.site))
    }

    /// Removes the directory of a removed copy, if it is this store's and empty.
    fn forget_dir_of(&self, copy: &Path) {
        if let Some(dir) = copy.parent().filter(|_| self.is_own_copy(copy)) {
            // one that stays is empty, or has what a gateway put there
            let _ = std::fs::remove_dir(dir);
        }
    }

    /// Whether the link or file found at the path that the gateway reads is still the same.
    #[must_use]
    pub(crate) fn is_as_found(&self) -> bool {
        match &self.link {
            Some(target) => still_has(&self.site, Found::Link(target)),
            None => !self.site.is_symlink(),
        }
    }

    /// Whether anything exists at the path that the gateway reads.
    #[must_use]
    pub fn is_there(&self) -> bool {
        exists(&self.site)
    }

    /// Whether the file still has the bytes `expected`, or still does not exist.
    pub(crate) fn still_has(&self, expected: Option<&[u8]>) -> Result<bool, FileError> {
        let now = read_regular(&self.real, STORE_LIMIT)?;
        Ok(now.as_ref().map(|contents| contents.bytes.as_slice()) == expected)
    }

    /// What killed writes, or changes of the export mode, left: temporary files, and a copy in
    /// memory at `copy` or elsewhere that nothing leads to any more.
    #[must_use]
    pub fn leftovers(&self, copy: Option<&Path>, others: &[PathBuf]) -> Vec<PathBuf> {
        let mut left = vec![temporary(&self.site), temporary(&self.real)];
        for copy in copy.into_iter().chain(others.iter().map(PathBuf::as_path)) {
            if copy.parent().is_some_and(exists) {
                left.push(temporary(copy));
                left.push(copy.to_owned());
            }
        }
        left.sort();
        left.dedup();
        left.retain(|path| *path != self.real && exists(path));
        left
    }

    /// Reads what was left: a draft of ours, or what another program wrote into the file just
    /// before the two were exchanged. The caller is at the head of the store's queue. A link of
    /// this program's that was about to be put in place says nothing.
    ///
    /// # Errors
    /// As [`StorePlace::read`]; any other link is refused.
    pub(crate) fn read_leftover(left: &Path) -> Result<StoreReading, FileError> {
        if std::fs::read_link(left).is_ok_and(|target| is_copy_in_memory(&target)) {
            return Ok(StoreReading::Missing);
        }
        let contents = read_own(left, Access::Read, STORE_LIMIT)?;
        Ok(StoreReading::of(contents))
    }

    /// Removes it, durably: it holds secrets, and one that came back would be taken for another
    /// program's writing.
    pub(crate) fn remove_leftover(&self, left: &Path) -> Result<(), FileError> {
        remove_if_present(left)?;
        sync_dir(left.parent().unwrap_or(&self.dir))?;
        self.forget_dir_of(left);
        Ok(())
    }

    /// Makes a leftover of a file that was moved aside and turned out not to be damaged, durably.
    pub(crate) fn make_leftover(&self, aside: &Path) -> Result<(), FileError> {
        rename_durably(aside, &temporary(&self.real))
    }

    /// Reads a file that was moved aside.
    pub(crate) fn read_aside(aside: &Path) -> Result<StoreReading, FileError> {
        Ok(StoreReading::of(read_regular(aside, STORE_LIMIT)?))
    }

    /// Where the damaged file goes, for a UTC time such as `20260109T003248Z`: a name not taken.
    #[must_use]
    pub fn aside(&self, utc: &str) -> PathBuf {
        aside_of(&self.real, utc)
    }

    /// Where a damaged leftover is moved, beside it.
    #[must_use]
    pub(crate) fn aside_of_leftover(&self, left: &Path, utc: &str) -> PathBuf {
        let name = self.real.file_name().unwrap_or_default();
        aside_of(&left.with_file_name(name), utc)
    }
}

/// The name under which a file is written before it is put in place.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".clawkeep-tmp");
    path.with_file_name(name)
}

fn aside_of(path: &Path, utc: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let numbered = (1..).map(|n| format!("{name}.corrupt-{utc}-{n}"));
    std::iter::once(format!("{name}.corrupt-{utc}"))
        .chain(numbered)
        .map(|name| path.with_file_name(name))
        .find(|path| !exists(path))
        .unwrap_or_else(|| path.with_file_name(format!("{name}.corrupt")))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
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
        let new = place.begin_write_as_file(text.len()).unwrap();
        let replaced = new.finish(text, None, || place.still_has(None)).unwrap();
        assert_eq!(replaced, Replaced::Yes);
        let late = place.begin_write_as_file(text.len()).unwrap();
        let replaced = late.finish(b"{}", None, || place.still_has(None)).unwrap();
        assert_eq!(replaced, Replaced::No, "it is there by now");
        assert_eq!(place.leftovers(None, &[]), Vec::<PathBuf>::new());
        assert!(
            std::fs::symlink_metadata(agent.join(STORE_NAME))
                .unwrap()
                .is_symlink()
        );
        let got = StorePlace::of_agent(&agent).unwrap().read().unwrap();
        assert!(matches!(got, StoreReading::Parsed { .. }));
        assert_eq!(std::fs::read(shared).unwrap(), b"{\"profiles\": {}}");
    }

    #[test]
    fn damaged_files_get_names_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let place = StorePlace::of_agent(dir.path()).unwrap();
        let first = place.aside("20260109T003248Z");
        let got = first.file_name().unwrap();
        assert_eq!(got, "auth-profiles.json.corrupt-20260109T003248Z");
        std::fs::write(&first, "").unwrap();
        let got = place.aside("20260109T003248Z");
        let name = "auth-profiles.json.corrupt-20260109T003248Z-1";
        assert_eq!(got.file_name().unwrap(), name);
    }
}
