//! Keeps the lock directories that this process holds fresh: one thread for all of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use super::stale::{modified, remove_dir};
use crate::platform::file::open_dir;
use crate::platform::threads::start_thread;

/// How often held lock directories are refreshed. Source: `spec/compat.md`, Locking.
const REFRESH: Duration = Duration::from_secs(10);

/// A lock directory of this process's.
#[derive(Debug)]
pub(super) struct HeldDir {
    path: PathBuf,
    /// The modification time that this process last set; `None` once the lock is released.
    ours: Mutex<Option<SystemTime>>,
}

impl HeldDir {
    /// One that was just made.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            ours: Mutex::new(Some(modified(path)?)),
        })
    }

    /// Whether nobody has taken it over.
    pub(super) fn is_held(&self) -> bool {
        // Kept while comparing: the directory may be refreshed just now.
        self.ours.lock().is_ok_and(|ours| self.has(*ours))
    }

    fn has(&self, ours: Option<SystemTime>) -> bool {
        ours.is_some() && modified(&self.path).ok() == ours
    }

    /// Removes it, unless another process took it over: then it is that process's to remove.
    pub(super) fn give_up(&self) {
        let Ok(mut ours) = self.ours.lock() else {
            return;
        };
        if self.has(*ours) {
            let _ = remove_dir(&self.path);
        }
        *ours = None;
    }

    /// Touches it and notes the time it has from us now.
    pub(super) fn refresh(&self) {
        let Ok(mut ours) = self.ours.lock() else {
            return;
        };
        // Opened first: what is compared is what is touched, whatever comes to be at the path.
        let Ok(dir) = open_dir(&self.path) else {
            return;
        };
        let modified = || dir.metadata().and_then(|meta| meta.modified()).ok();
        if ours.is_none() || modified() != *ours {
            return; // released, or claimed by another program while this process slept
        }
        if dir.set_modified(SystemTime::now()).is_ok() {
            *ours = modified().or(*ours); // as the file system rounds it
        }
    }
}

/// What the thread goes through.
#[derive(Debug)]
struct Held {
    dirs: Vec<Weak<HeldDir>>,
    is_running: bool,
}

static HELD: Mutex<Held> = Mutex::new(Held {
    dirs: Vec::new(),
    is_running: false,
});

/// Nobody notifies it: it is what the thread waits at.
static NEVER_NOTIFIED: Condvar = Condvar::new();

/// Keeps a lock directory fresh until the lock is released.
pub(super) fn keep_fresh(dir: &Arc<HeldDir>) -> io::Result<()> {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if !held.is_running {
        start_thread("lock-refresh", refresh_all)?;
        held.is_running = true;
    }
    held.dirs.retain(|dir| dir.strong_count() > 0);
    held.dirs.push(Arc::downgrade(dir));
    Ok(())
}

fn refresh_all() {
    loop {
        let dirs: Vec<Arc<HeldDir>> = {
            let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
            let (mut held, _) = NEVER_NOTIFIED
                .wait_timeout(held, REFRESH)
                .unwrap_or_else(PoisonError::into_inner);
            held.dirs.retain(|dir| dir.strong_count() > 0);
            if held.dirs.is_empty() {
                held.is_running = false;
                return;
            }
            held.dirs.iter().filter_map(Weak::upgrade).collect()
        };
        dirs.iter().for_each(|dir| dir.refresh());
    }
}
