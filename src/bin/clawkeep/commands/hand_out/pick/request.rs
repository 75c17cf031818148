//! What is asked for, what was chosen for it, and from what.

use clawkeep::doctor::Removed;
use clawkeep::domain::ProviderId;
use clawkeep::selection::Choice;
use clawkeep::sync::{Loaded, Renewals};

use crate::context::Context;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Whatever is next for a provider.
    Of(ProviderId),
    /// This one.
    Profile(String),
}

/// What was chosen of one thing that was asked for.
pub(crate) struct Pick {
    pub(super) wanted: Request,
    pub(super) choice: Choice,
}

/// What a choice was made from, and what was found beside it.
pub(crate) struct ChoiceContext<'f> {
    pub(super) context: &'f Context,
    pub(super) loaded: &'f Loaded,
    pub(super) renewals: &'f Renewals,
    /// What other programs took out of the store, where something is missing.
    pub(super) removed: &'f [Removed],
}
