//! The one rule for what this program obeys, reads and writes: a file counts only where nobody but
//! this user and root can have changed it.
//!
//! The file and each directory above it are owned by the effective user or by root, and nobody else
//! may write them; a sticky directory may be written by others, since its entries still belong to
//! whom we check. Links are followed one step at a time, and each step passes the same check.
//! Directories are checked up to the user's home, those outside it up to `/`.
//!
//! Not others are: whom the user admits (`trusted` in `clawkeep.toml`), the members of a group that
//! only the owner is in ([`accounts`]), and whom a mount speaks for ([`mounts`]).

#![cfg_attr(not(unix), allow(dead_code, unused_imports))]

pub(super) mod access;
mod accounts;
#[cfg(unix)]
mod judge;
#[cfg(any(windows, test))]
mod links;
pub(super) mod mounts;
mod reach;
pub(super) mod refusal;
#[cfg(windows)]
mod windows;

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use self::access::{Access, Admitted};
use self::accounts::Accounts;
use self::mounts::Mounts;
use self::refusal::{Fault, Refusal};
use super::file_error::{FileError, absent};
use super::paths::LINKS_MAX;
use super::read::{self, Contents};

/// How long findings about directories, mounts and accounts are reused. A command ends sooner, and
/// so examines each once; a watcher examines them anew with every pass.
const HOLDS: Duration = Duration::from_secs(1);
/// The permission bits with which others write.
const WRITE: u32 = 0o022;
/// The permission bits of everybody but the owner.
const ALL: u32 = 0o077;

/// The trusted users, and the findings about directories so far.
#[derive(Debug, Default)]
pub struct Trust {
    home: Option<PathBuf>,
    vault_file: Option<PathBuf>,
    /// Admitted by the environment.
    by_environment: Vec<Admitted>,
    /// Admitted by `clawkeep.toml`, which they therefore must not speak for.
    by_settings: Vec<Admitted>,
    /// Only what is owned and mounted in the plainest way counts.
    is_strict: bool,
    /// Whether a vault may lie on storage that other kernels may share.
    allows_shared_storage: bool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    since: Option<Instant>,
    /// Directories that passed, by the path they were asked for.
    dirs: HashMap<PathBuf, CheckedDir>,
    mounts: Option<Arc<Mounts>>,
    accounts: Option<Arc<Accounts>>,
}

#[derive(Clone, Debug)]
struct CheckedDir {
    /// Where it is, links resolved.
    real: PathBuf,
    /// Others may make files in it, as in `/tmp`.
    is_shared: bool,
}

// One policy a process: it follows from who runs it and from two places of settings, and the check
// is called from every layer down to the lock files. The binary installs it before anything is
// read; what runs without it (tests) has nobody admitted.
static CURRENT: OnceLock<Trust> = OnceLock::new();

impl Trust {
    /// The policy of a user with that home directory, who admits those beside himself and root: for
    /// `clawkeep.toml` alone, until it is known whom that admits. It starts programs and says where
    /// tokens go, so no mount speaks for its owner.
    #[must_use]
    pub(crate) fn of_user(home: PathBuf, by_environment: Vec<Admitted>) -> Self {
        Self {
            home: Some(home),
            by_environment,
            is_strict: true,
            ..Self::default()
        }
    }

    /// The policy for everything else, by which those count, too, that `clawkeep.toml` names.
    #[must_use]
    pub fn admitting(mut self, by_settings: Vec<Admitted>) -> Self {
        self.by_settings = by_settings;
        self.is_strict = false; // what was found by the stricter rule holds by this one
        self
    }

    /// Returns the policy with this file as the vault.
    #[must_use]
    pub fn with_vault(mut self, file: PathBuf) -> Self {
        self.vault_file = Some(file);
        self
    }

    /// Returns the policy with `allow_shared_storage` of `clawkeep.toml`: whether a vault may lie
    /// on storage that other kernels may share.
    #[must_use]
    pub(crate) fn with_shared_storage(mut self, is_allowed: bool) -> Self {
        self.allows_shared_storage = is_allowed;
        self
    }

    /// Whether a vault may lie on storage that other kernels may share.
    #[must_use]
    pub(crate) fn allows_shared_storage(&self) -> bool {
        self.allows_shared_storage
    }

    /// Makes it this process's policy, once: a later one changes nothing.
    pub fn install(self) {
        let _ = CURRENT.set(self);
    }

    /// Returns the policy of this process.
    #[must_use]
    pub fn current() -> &'static Self {
        // What runs before the policy is installed must not install another one.
        static FALLBACK: OnceLock<Trust> = OnceLock::new();
        CURRENT
            .get()
            .unwrap_or_else(|| FALLBACK.get_or_init(Self::default))
    }

    /// The user's home directory, where it is known.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref().filter(|home| home.is_absolute())
    }

    /// The policy for `clawkeep.toml` itself, which has no say in whether it is used.
    #[must_use]
    pub fn strict(&self) -> Self {
        Self {
            home: self.home.clone(),
            vault_file: self.vault_file.clone(),
            by_environment: self.by_environment.clone(),
            is_strict: true,
            ..Self::default()
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A thread that panicked left a map that is whole.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.since.is_none_or(|since| since.elapsed() > HOLDS) {
            *known = Known {
                since: Some(Instant::now()),
                ..Known::default()
            };
        }
        known
    }
}

#[cfg(unix)]
impl Trust {
    /// Checks a path before it has any effect; what is not there passes if its directories do.
    /// Where it is, links resolved.
    ///
    /// # Errors
    /// [`FileError::Untrusted`] for what somebody else can have changed; also when it cannot be
    /// examined.
    pub fn check(&self, path: &Path, access: Access) -> Result<PathBuf, FileError> {
        let asked = absolute(path)?;
        self.resolve(&asked, access)
            .map_err(|error| error.asked_for(&asked, access))
    }

    /// Reads a regular file whole after it has passed the check: the file that was checked is the
    /// one that is read. `None` when there is none.
    ///
    /// # Errors
    /// As [`Trust::check`]; and when it is not a regular file, larger than `limit` bytes, or cannot
    /// be read.
    pub fn read(
        &self,
        path: &Path,
        access: Access,
        limit: u64,
    ) -> Result<Option<Contents>, FileError> {
        let asked = absolute(path)?;
        self.read_at(&asked, (access, LINKS_MAX), limit)
            .map_err(|error| error.asked_for(&asked, access))
    }

    /// As [`Trust::read`], of a file that this program made, and never as a link: one is refused.
    fn read_own(
        &self,
        path: &Path,
        access: Access,
        limit: u64,
    ) -> Result<Option<Contents>, FileError> {
        let asked = absolute(path)?;
        self.read_at(&asked, (access, 0), limit)
            .map_err(|error| error.asked_for(&asked, access))
    }

    /// As [`Trust::read`], of a secret: a link is refused, since what replaces the file would
    /// replace the link, unless it leads to what was mounted for secrets, as Kubernetes mounts
    /// them.
    fn read_secret(
        &self,
        path: &Path,
        access: Access,
        limit: u64,
    ) -> Result<Option<Contents>, FileError> {
        match self.read_own(path, access, limit) {
            Err(link @ FileError::Symlink { .. }) => match self.check(path, Access::Read) {
                Ok(real) if !self.is_at_mount_for_secrets(&real) => Err(link),
                // Another mode of the file would not make the link one that is followed.
                Err(FileError::Untrusted(refusal))
                    if refusal.is_of_file_mode()
                        && !self.is_at_mount_for_secrets(&refusal.path) =>
                {
                    Err(link)
                }
                _ => self.read(path, access, limit),
            },
            other => other,
        }
    }

    /// Whether a path leads to a secret that Docker, Podman or Kubernetes mounted, which may be
    /// used and is not this user's to change.
    fn is_mounted_secret(&self, path: &Path) -> bool {
        self.check(path, Access::Secret)
            .is_ok_and(|real| self.is_at_mount_for_secrets(&real))
    }

    fn is_at_mount_for_secrets(&self, real: &Path) -> bool {
        matches!(lstat(real), Ok(Some(meta)) if meta.is_file() && self.is_for_secrets(real, &meta))
    }

    /// The rights that others must not have on what is there. A secret on a mount of its own may be
    /// read by any program in the container: its mode is what Docker and Kubernetes give it.
    fn forbidden(&self, path: &Path, meta: &Metadata, access: Access) -> u32 {
        match access {
            Access::Secret if meta.is_file() && self.is_for_secrets(path, meta) => WRITE,
            _ => forbidden(meta, access),
        }
    }

    /// Checks an open file that has only one name, and is about to be written: a lock.
    ///
    /// # Errors
    /// As [`Trust::check`]; and when another name leads to it, through which somebody else's file
    /// would be changed.
    pub(super) fn check_own(&self, path: &Path, meta: &Metadata) -> Result<(), FileError> {
        use std::os::unix::fs::MetadataExt as _;
        if !meta.is_file() {
            let path = path.to_owned();
            return Err(FileError::NotRegular { path });
        }
        self.judge(path, meta, WRITE)?;
        if meta.nlink() > 1 {
            let fault = Fault::Links(meta.nlink());
            return Err(self.refuse(path, meta, (fault, "")));
        }
        Ok(())
    }

    /// Checks an open file that was handed to this process: a regular one's owner, and its mode if
    /// it has a name by which others could open it. Its directories have no say, since nobody
    /// looks it up in them.
    #[cfg(feature = "cli")]
    fn check_handed_over(&self, path: &Path, file: &fs::File) -> Result<(), FileError> {
        use std::os::unix::fs::MetadataExt as _;
        let meta = file.metadata().map_err(FileError::io("examine", path))?;
        if !meta.is_file() {
            return Ok(());
        }
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let forbidden = match meta.nlink() {
            0 => 0,
            _ => self.forbidden(&real, &meta, Access::Secret),
        };
        self.judge(&real, &meta, forbidden)
            .map_err(|error| error.asked_for(&real, Access::Secret))
    }

    fn resolve(&self, path: &Path, access: Access) -> Result<PathBuf, FileError> {
        if access == Access::CreateIn {
            return match self.dir(path, 0)? {
                Some(dir) if dir.is_shared => {
                    let meta = lstat(&dir.real)?.ok_or_else(|| gone(&dir.real))?;
                    self.judge(&dir.real, &meta, WRITE).map(|()| dir.real)
                }
                Some(dir) => Ok(dir.real),
                None => Ok(path.to_owned()),
            };
        }
        let mut path = path.to_owned();
        for _ in 0..=LINKS_MAX {
            let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
                return Ok(self.dir(&path, 0)?.map_or(path, |dir| dir.real));
            };
            if self.is_home(&path) {
                return Ok(self.dir(&path, 0)?.map_or(path, |dir| dir.real));
            }
            let Some(dir) = self.dir(above, 0)? else {
                return Ok(path);
            };
            let at = dir.real.join(name);
            let Some(meta) = lstat(&at)? else {
                return Ok(at);
            };
            if !meta.is_symlink() {
                self.judge(&at, &meta, self.forbidden(&at, &meta, access))?;
                return Ok(at);
            }
            path = self.target(&dir.real, &at, &meta)?;
        }
        Err(circle(&path))
    }

    fn read_at(
        &self,
        path: &Path,
        (access, links_max): (Access, usize),
        limit: u64,
    ) -> Result<Option<Contents>, FileError> {
        let mut path = path.to_owned();
        for followed in 0..=links_max {
            let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(FileError::NotRegular { path });
            };
            let Some(dir) = self.dir(above, 0)? else {
                return Ok(None);
            };
            let at = dir.real.join(name);
            match read::open_no_link(&at) {
                Ok(None) => return Ok(None),
                Ok(Some(file)) => {
                    let meta = file.metadata().map_err(FileError::io("examine", &at))?;
                    self.judge(&at, &meta, self.forbidden(&at, &meta, access))?;
                    return read::read_whole(file, &meta, &at, limit).map(Some);
                }
                Err(FileError::Symlink { .. }) if followed < links_max => {
                    let meta = lstat(&at)?.ok_or_else(|| gone(&at))?;
                    path = self.target(&dir.real, &at, &meta)?;
                }
                Err(error) => {
                    // One that may not be read may be somebody else's, which says more.
                    if let Ok(Some(meta)) = lstat(&at) {
                        self.judge(&at, &meta, self.forbidden(&at, &meta, access))?;
                    }
                    return Err(error);
                }
            }
        }
        Err(circle(&path))
    }

    /// Checks a directory and those above it. `None` where it does not exist.
    fn dir(&self, path: &Path, links: usize) -> Result<Option<CheckedDir>, FileError> {
        if let Some(known) = self.known().dirs.get(path) {
            return Ok(Some(known.clone()));
        }
        let found = match (path.parent(), path.file_name()) {
            // The owner of the root owns this program, too.
            (None, _) => Some(CheckedDir {
                real: path.to_owned(),
                is_shared: false,
            }),
            _ if self.is_home(path) => match fs::canonicalize(path) {
                Ok(real) => match lstat(&real)? {
                    Some(meta) => self.passage(real, &meta)?,
                    None => None,
                },
                Err(error) if is_absent(&error) => None,
                Err(error) => return Err(FileError::io("find", path)(error)),
            },
            (Some(above), Some(name)) => match self.dir(above, links)? {
                Some(above) => self.entry(&above.real, name.as_ref(), links)?,
                None => None,
            },
            // The path ends in `..`.
            (Some(below), None) => match self.dir(below, links)? {
                Some(below) => self.dir(below.real.parent().unwrap_or(&below.real), links)?,
                None => None,
            },
        };
        // A link may lead elsewhere in the next moment, which a watcher learns of.
        if let Some(found) = found
            .as_ref()
            .filter(|found| found.real == path || self.is_home(path))
        {
            let dirs = &mut self.known().dirs;
            dirs.insert(path.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// A directory, or a link to one, in a directory that was checked.
    fn entry(
        &self,
        above: &Path,
        name: &Path,
        links: usize,
    ) -> Result<Option<CheckedDir>, FileError> {
        let at = above.join(name);
        match lstat(&at)? {
            Some(meta) if meta.is_symlink() => {
                if links >= LINKS_MAX {
                    return Err(circle(&at));
                }
                let target = self.target(above, &at, &meta)?;
                self.dir(&target, links + 1)
            }
            Some(meta) => self.passage(at, &meta),
            None => Ok(None),
        }
    }

    /// A directory on the way, which others may write only where it is sticky.
    fn passage(&self, real: PathBuf, meta: &Metadata) -> Result<Option<CheckedDir>, FileError> {
        if !meta.is_dir() {
            return Ok(None);
        }
        self.judge(&real, meta, forbidden(meta, Access::Read))?;
        let is_shared = is_sticky(meta) && self.open_bits(&real, meta, WRITE) != 0;
        Ok(Some(CheckedDir { real, is_shared }))
    }

    /// Where a link leads, once it is known not to be somebody else's.
    fn target(&self, above: &Path, link: &Path, meta: &Metadata) -> Result<PathBuf, FileError> {
        self.judge(link, meta, 0)?;
        let target = fs::read_link(link).map_err(FileError::io("examine", link))?;
        Ok(above.join(target))
    }

    /// Whether a path is the user's home, above which nothing is checked.
    fn is_home(&self, path: &Path) -> bool {
        self.home.as_deref() == Some(path)
    }
}

#[cfg(not(windows))]
impl Trust {
    /// Returns `None`: except on Windows the mode says it ([`super::permissions::Permissions`]).
    #[must_use]
    #[allow(clippy::unused_self, reason = "as on Windows")]
    pub fn open_to_others(&self, _path: &Path) -> Option<Refusal> {
        None
    }

    /// Returns `None`, as [`Trust::open_to_others`] does.
    #[must_use]
    #[allow(clippy::unused_self, reason = "as on Windows")]
    pub fn readable_by_others(&self, _path: &Path) -> Option<Refusal> {
        None
    }
}

/// [`Trust::check`] by this process's policy.
pub fn check_trusted(path: &Path, access: Access) -> Result<PathBuf, FileError> {
    Trust::current().check(path, access)
}

/// Checks an open file with a secret, by this process's policy: a descriptor that this process was
/// started with, which `path` names. A pipe or a terminal passes.
///
/// # Errors
/// [`FileError::Untrusted`] for a regular file of another user, or one that others can read.
#[cfg(feature = "cli")]
pub fn check_handed_over(path: &Path, file: &fs::File) -> Result<(), FileError> {
    #[cfg(unix)]
    return Trust::current().check_handed_over(path, file);
    #[cfg(not(unix))]
    {
        let _ = (path, file); // descriptors have no names there
        Ok(())
    }
}

/// [`Trust::read`] by this process's policy.
pub fn read_trusted(
    path: &Path,
    access: Access,
    limit: u64,
) -> Result<Option<Contents>, FileError> {
    Trust::current().read(path, access, limit)
}

/// As [`read_trusted`], of a file that this program made: a link is refused.
///
/// # Errors
/// As [`read_trusted`]; [`FileError::Symlink`] for a link.
pub fn read_own(path: &Path, access: Access, limit: u64) -> Result<Option<Contents>, FileError> {
    Trust::current().read_own(path, access, limit)
}

/// Reads a key file: as [`read_own`], or through links that lead to a mounted secret.
pub fn read_secret(path: &Path, access: Access, limit: u64) -> Result<Option<Contents>, FileError> {
    Trust::current().read_secret(path, access, limit)
}

/// Whether a path leads to a secret that Docker, Podman or Kubernetes mounted for this process: one
/// that may be used, and that is not this user's to change.
#[must_use]
pub fn is_mounted_secret(path: &Path) -> bool {
    Trust::current().is_mounted_secret(path)
}

/// The rights that others must not have on what is there.
#[cfg(unix)]
fn forbidden(meta: &Metadata, access: Access) -> u32 {
    match access {
        _ if meta.is_symlink() => 0,
        Access::Read if meta.is_dir() && is_sticky(meta) => 0,
        Access::Read | Access::CreateIn => WRITE,
        Access::Secret => ALL,
    }
}

#[cfg(unix)]
fn is_sticky(meta: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(meta) & 0o1000 != 0
}

#[cfg(unix)]
fn absolute(path: &Path) -> Result<PathBuf, FileError> {
    std::path::absolute(path).map_err(FileError::io("find", path))
}

#[cfg(unix)]
fn lstat(path: &Path) -> Result<Option<Metadata>, FileError> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(FileError::io("examine", path)(error)),
    }
}

#[cfg(unix)]
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

fn gone(path: &Path) -> FileError {
    FileError::io("examine", path)(absent("it does not exist"))
}

fn circle(path: &Path) -> FileError {
    FileError::io("resolve", path)(io::Error::other("too many levels of symbolic links"))
}

#[cfg(all(test, unix))]
mod tests;
