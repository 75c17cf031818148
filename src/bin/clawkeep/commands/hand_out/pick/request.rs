//! What a command requests, what was chosen for it, and from which candidates.

use clawkeep::doctor::Removed;
use clawkeep::domain::ProviderId;
use clawkeep::health::PassedOver;
use clawkeep::selection::Choice;
use clawkeep::sync::{Loaded, Refreshes};
use clawkeep::vault::UnlockedVault;

use crate::context::Context;

/// A request for a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The next credential of this provider.
    Of(ProviderId),
    /// The profile with this id.
    Profile(String),
}

/// The choice made for one request.
pub(crate) struct Pick {
    pub(super) wanted: Request,
    pub(super) choice: Choice<PassedOver>,
}

/// The inputs of a choice, and what was found beside it.
pub(crate) struct ChoiceContext<'f> {
    pub(super) context: &'f Context,
    pub(super) vault: &'f UnlockedVault,
    pub(super) loaded: &'f Loaded,
    pub(super) refreshes: &'f Refreshes,
    /// Credentials that other programs removed from the store, where one is missing.
    pub(super) removed: &'f [Removed],
}
