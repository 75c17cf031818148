//! The lease on refreshing a grant: a lock on a file of its own, held until the result is
//! committed.
//!
//! Process ids mean nothing across containers. Only a free lock proves that its holder is gone.

use std::path::{Path, PathBuf};

use crate::domain::Fingerprint;
use crate::platform::{FileError, FileLock, create_private_dir, remove_if_present};

/// The lease on a grant; released when dropped or when the process ends.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    _lock: FileLock,
}

/// The name of a grant's files: its fingerprint in hexadecimal digits.
pub(super) fn grant_name(grant: Fingerprint) -> String {
    let encoded = data_encoding::HEXLOWER.encode(&grant.to_bytes());
    format!("grant-{encoded}")
}

/// The grants that have a file in `dir`, a lock's or one with tokens: most of them live, some of
/// refreshes that were killed.
pub fn grants_with_files(dir: &Path) -> Result<Vec<Fingerprint>, FileError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(FileError::io("read", dir))?,
    };
    let mut grants = Vec::new();
    for entry in entries {
        let name = entry.map_err(FileError::io("read", dir))?.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix("grant-"));
        let digits = name.map(|name| name.trim_end_matches(".rescue"));
        let bytes =
            digits.and_then(|digits| data_encoding::HEXLOWER.decode(digits.as_bytes()).ok());
        if let Some(grant) = bytes.and_then(|bytes| Fingerprint::from_bytes(&bytes))
            && !grants.contains(&grant)
        {
            grants.push(grant);
        }
    }
    Ok(grants)
}

impl Lease {
    /// Takes the lease on a grant, unless somebody has it. `dir` is where the locks of the vault
    /// lie.
    ///
    /// # Errors
    /// When the file cannot be made or locked, or others may write the directory.
    pub fn try_take(dir: &Path, grant: Fingerprint) -> Result<Option<Self>, FileError> {
        // A user who may write there can remove a lock's file, and the tokens that wait for import.
        create_private_dir(dir)?;
        let path = dir.join(grant_name(grant));
        let lock = FileLock::try_take(&path)?;
        Ok(lock.map(|lock| Self { path, _lock: lock }))
    }

    /// Releases the lease permanently: the grant is spent or dead, and that is committed. A process
    /// that waits for the lease finds the file gone and the grant unusable.
    ///
    /// # Errors
    /// When the file cannot be removed; this does no harm.
    pub fn forget(self) -> Result<(), FileError> {
        remove_if_present(&self.path).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: Fingerprint = Fingerprint {
        key_number: 1,
        digest: [7; 8],
    };

    #[test]
    fn one_has_it_at_a_time_and_a_forgotten_one_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let take = || Lease::try_take(dir.path(), GRANT).unwrap();
        let first = take().unwrap();
        assert!(take().is_none());
        drop(first);
        let second = take().unwrap();
        assert!(dir.path().join("grant-00010707070707070707").exists());
        second.forget().unwrap();
        assert!(!dir.path().join("grant-00010707070707070707").exists());
        assert!(take().is_some());
    }
}
