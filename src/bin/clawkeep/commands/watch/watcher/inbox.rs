//! What was told of changed files and not looked at yet: however much it is, one wake and one entry a file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clawkeep::platform::{Touch, Touched};

/// What has come in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// The last that was told of each file.
    pub(crate) paths: HashMap<PathBuf, Touch>,
    /// Anything may have changed.
    pub(crate) is_unsure: bool,
}

impl Inbox {
    /// Puts something in. Whether there was nothing before.
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

    /// Takes everything out.
    pub(crate) fn take(&self) -> Contents {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
