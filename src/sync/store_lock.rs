//! The two locks of a store, taken for one load or held over several loads.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::export::{StorePlace, store_digest};
use crate::platform::openclaw::Examined;
use crate::platform::{LockDir, QueueLock};
use crate::sync::error::SyncError;

/// How long a load waits for the store's locks. Source: `spec/compat.md`, Locking.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns the lock file in `lock_dir` on which our own processes queue for the store at
/// [`StorePlace::site`].
#[must_use]
pub fn queue_path(lock_dir: &Path, store: &Path) -> PathBuf {
    lock_dir.join(format!("store-{}", store_digest(store)))
}

/// The locks of one store: the one between our own processes, and the gateway's while the store's
/// directory exists.
#[derive(Debug)]
pub(super) struct StoreLock {
    /// With the path of what it locks. It is released before the queue; otherwise the next process
    /// in the queue would find a live lock and mistake it for a killed process's.
    dir: Option<(PathBuf, LockDir)>,
    queue: QueueLock,
    /// The store's place, without its own links: [`StorePlace::site`].
    site: PathBuf,
    patience: Duration,
}

impl StoreLock {
    /// Takes the first of them, waiting for so long.
    pub(super) fn acquire(
        lock_dir: &Path,
        place: &StorePlace,
        patience: Duration,
    ) -> Result<Self, SyncError> {
        let path = queue_path(lock_dir, place.site());
        let queue = QueueLock::acquire(&path, Instant::now() + patience)?;
        Ok(Self {
            site: place.site().to_owned(),
            queue,
            dir: None,
            patience,
        })
    }

    /// Takes the first of them if it is free; neither is waited for then.
    pub(super) fn acquire_free(lock_dir: &Path, place: &StorePlace) -> Result<Self, SyncError> {
        Self::acquire(lock_dir, place, Duration::ZERO)
    }

    /// Whether they are the locks of that store: a link may lead elsewhere by now.
    pub(super) fn is_for(&self, place: &StorePlace) -> bool {
        self.site == place.site()
    }

    /// The second, if it is held on that store.
    pub(super) fn held_on(&self, place: &StorePlace) -> Option<&LockDir> {
        let is_held = |(path, dir): &&(PathBuf, LockDir)| path == place.real() && dir.is_held();
        self.dir.as_ref().filter(is_held).map(|(_, dir)| dir)
    }

    /// The second, if it was taken on that store, even if another process has broken it as stale
    /// since.
    pub(super) fn taken_on(&self, place: &StorePlace) -> Option<&LockDir> {
        let dir = self.dir.as_ref().filter(|(path, _)| path == place.real());
        dir.map(|(_, dir)| dir)
    }

    /// Takes the second, unless it is held; one taken over as stale is acquired again. A directory
    /// that does not exist has no store to lock, and a newer gateway's is left alone.
    pub(super) fn lock_store(
        &mut self,
        place: &StorePlace,
        examined: &Examined,
    ) -> Result<Option<&LockDir>, SyncError> {
        let has_dir = place.real().parent().is_some_and(Path::is_dir);
        if !has_dir || place.openclaw_dir_by(examined).is_some() {
            self.dir = None;
            return Ok(None);
        }
        let is_ours = |(path, dir): &(PathBuf, LockDir)| path == place.real() && dir.is_held();
        if !self.dir.as_ref().is_some_and(is_ours) {
            // A lock that another process has broken as stale stays: it is that one's by now.
            self.dir = None;
            let deadline = Instant::now() + self.patience;
            let dir = LockDir::acquire(place.real(), &self.queue, deadline)?;
            self.dir = Some((place.real().to_owned(), dir));
        }
        Ok(self.dir.as_ref().map(|(_, dir)| dir))
    }
}

/// The locks of stores that are held over several loads, by the path under which the vault knows
/// them.
#[derive(Debug, Default)]
pub(super) struct HeldStores(Vec<(PathBuf, StoreLock)>);

impl HeldStores {
    /// Takes a store's locks out, to be used and put back.
    pub(super) fn take(&mut self, place: &StorePlace) -> Option<StoreLock> {
        let at = self.0.iter().position(|(path, _)| path == place.site())?;
        Some(self.0.swap_remove(at).1)
    }

    /// Keeps a store's locks held.
    pub(super) fn put(&mut self, place: &StorePlace, lock: StoreLock) {
        self.0.push((place.site().to_owned(), lock));
    }

    pub(super) fn release(&mut self) {
        self.0.clear();
    }
}
