//! The names and directories of a vault's files: who may write there, what is beside, the lock.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::domain::{UnixMs, file_stamp};
use crate::platform::{
    Access, FileError, QueueLock, SharedStorage, Storage, Trust, absent, check_replaceable,
    check_trusted, create_private_dir, exists, remove_if_present, rename_durably,
};
use crate::vault::error::VaultError;

pub(in crate::vault) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(in crate::vault) fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Removes a copy that was not finished, with what SQLite had beside it.
pub(in crate::vault) fn remove_copy(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        // what is left shows when the name is to be used
        let _ = remove_if_present(&with_suffix(path, suffix));
    }
}

/// How long creating and migrating wait for another process that does the same.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// The lock file beside a vault: creating and migrating hold it.
pub(in crate::vault) fn lock(vault: &Path) -> Result<QueueLock, VaultError> {
    let mut name = vault.as_os_str().to_owned();
    name.push(".lock");
    Ok(QueueLock::acquire(
        Path::new(&name),
        Instant::now() + LOCK_TIMEOUT,
    )?)
}

/// `path` with its directory's links resolved, so that SQLite may refuse links; both checked to be
/// ours alone to write.
pub(in crate::vault) fn trusted_path(path: &Path) -> Result<PathBuf, VaultError> {
    let dir = trusted_dir(path)?;
    let real = dir.join(path.file_name().unwrap_or_default());
    for beside in ["-wal", "-shm", "-journal"].map(|suffix| with_suffix(&real, suffix)) {
        match std::fs::symlink_metadata(&beside) {
            Ok(found) if found.is_dir() => check_trusted(&beside, Access::Read)?, // is not opened
            Ok(found) if found.is_symlink() => {
                return Err(FileError::Symlink { path: beside }.into());
            }
            Ok(found) if !found.is_file() => {
                return Err(FileError::NotRegular { path: beside }.into());
            }
            _ => check_trusted(&beside, Access::Read)?,
        };
    }
    if check_trusted(&real, Access::Read)? != real {
        // SQLite's files beside it have the link's name, and not that of what it leads to.
        return Err(FileError::Symlink { path: real }.into());
    }
    // Its log would lie on another file system: lost with the container, and unknown to who has the
    // file by another name.
    check_replaceable(&real)?;
    Ok(real)
}

/// The directory of `path`, links resolved, checked to be ours alone to write.
fn trusted_dir(path: &Path) -> Result<PathBuf, VaultError> {
    let dir = check_trusted(parent(path), Access::CreateIn)?;
    if !dir.is_dir() {
        return Err(FileError::io("open", &dir)(absent("the directory does not exist")).into());
    }
    Ok(dir)
}

/// As [`trusted_dir`], for a vault that is going to be written there: the directory is made if
/// there is none.
///
/// # Errors
/// As [`trusted_dir`]; [`VaultError::SharedStorage`] where another kernel may write it, too, unless
/// the user allows that. Nothing is made then.
pub(in crate::vault) fn make_dir_for(path: &Path) -> Result<PathBuf, VaultError> {
    let dir = parent(path);
    let above = dir.ancestors().find(|above| above.is_dir());
    let above = above.unwrap_or(Path::new("."));
    if let Some(storage) = refused_storage(above) {
        return Err(VaultError::SharedStorage {
            path: path.to_owned(),
            storage,
        });
    }
    // not in another user's home: what root makes there would lock that user out
    create_private_dir(dir)?;
    trusted_dir(path)
}

/// What a directory lies on, where no vault may be written there: another kernel may write it, too,
/// and the user has not said that none does (`allow_shared_storage`).
pub(super) fn refused_storage(dir: &Path) -> Option<SharedStorage> {
    match Trust::current().allows_shared_storage() {
        true => None,
        false => Storage::of(dir).shared(),
    }
}

/// A name beside a file that nothing has, with `suffix` and the time (UTC).
#[must_use]
pub fn free_name(vault: &Path, suffix: &str, now: UnixMs) -> PathBuf {
    let stamp = file_stamp(now);
    let first = with_suffix(vault, &format!("{suffix}{stamp}"));
    let others = (2..).map(|n| with_suffix(vault, &format!("{suffix}{stamp}-{n}")));
    std::iter::once(first)
        .chain(others)
        .find(|name| !exists(name))
        .unwrap_or_else(|| with_suffix(vault, suffix))
}

/// A moved vault may have left its write-ahead log: SQLite would replay it into the new one.
pub(in crate::vault) fn set_journals_aside(vault: &Path) -> Result<(), VaultError> {
    remove_if_present(&with_suffix(vault, "-shm"))?; // an index of the log, which SQLite makes anew
    for suffix in ["-wal", "-journal"] {
        let journal = with_suffix(vault, suffix);
        if exists(&journal) {
            let numbered = (1..).map(|n| with_suffix(vault, &format!("{suffix}.aside-{n}")));
            let aside = numbered.into_iter().find(|name| !exists(name));
            rename_durably(
                &journal,
                &aside.unwrap_or_else(|| with_suffix(vault, ".aside")),
            )?;
        }
    }
    Ok(())
}
