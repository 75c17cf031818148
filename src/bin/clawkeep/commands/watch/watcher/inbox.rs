//! Pending file notifications: however many arrive, one wake and one entry per file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clawkeep::internal::platform::{Touch, Touched};

/// The pending notifications of changed files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// The last notification of each file.
    pub(crate) paths: HashMap<PathBuf, Touch>,
    /// Whether any file may have changed.
    pub(crate) is_unsure: bool,
}

impl Inbox {
    /// Adds a notification. Returns whether the inbox was empty.
    pub(crate) fn put(&self, touched: Touched) -> bool {
        let mut contents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = contents.paths.is_empty() && !contents.is_unsure;
        match touched {
            Touched::Path(path, touch) => {
                contents.paths.insert(path, touch);
            }
            Touched::Unsure => contents.is_unsure = true,
        }
        was_empty
    }

    pub(crate) fn take(&self) -> Contents {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
