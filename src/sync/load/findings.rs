//! What was found outside the vault, kept for as long as one step takes.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;

use crate::platform::RuntimeDir;
use crate::platform::openclaw::Examined;
use crate::sync::logins::sources::Readings;

/// What was found outside the vault.
#[derive(Default)]
pub(crate) struct Findings {
    /// Which directories were found to be OpenClaw's.
    pub(crate) openclaw: Arc<Examined>,
    /// What other programs' files say.
    pub(crate) sources: Readings,
    /// The user's runtime directory, where there is one that may be used.
    pub(crate) runtime: OnceCell<RuntimeDir>,
    /// Copies in memory that a gateway wrote into while their links were replaced, each after the
    /// store that it is of. They are kept until they are merged.
    pub(crate) left_copies: Vec<(PathBuf, PathBuf)>,
    /// The step is one over several agents.
    is_shared: bool,
}

impl Findings {
    /// Begins a step over several agents, or a new part of one: everything outside is read once for
    /// all of them, until [`Findings::end_shared_step`].
    pub(crate) fn begin_shared_step(&mut self) {
        let openclaw = Arc::new(self.openclaw.anew());
        self.end_shared_step();
        self.openclaw = openclaw;
        self.is_shared = true;
    }

    /// Whether a step over several agents has begun.
    pub(crate) fn is_in_shared_step(&self) -> bool {
        self.is_shared
    }

    /// Ends a step over several agents; everything outside is read again.
    pub(crate) fn end_shared_step(&mut self) {
        *self = Self {
            left_copies: std::mem::take(&mut self.left_copies),
            ..Self::default()
        };
    }

    /// Has everything outside read again, except in the middle of a step over several agents.
    pub(crate) fn forget(&mut self) {
        if !self.is_shared {
            self.end_shared_step();
        }
    }
}
