//! A command's change to an agent's document.

use secrecy::SecretString;

use crate::audit::{EventDraft, Origin};
use crate::domain::{Borrowed, Endpoint, ProfileId, StoreDoc};

/// What [`EditedBy::means`] says of a command that logged in.
pub const LOGIN: &str = "login";
/// What [`EditedBy::means`] says of a command that put an earlier version back.
pub const RESTORE: &str = "restore";

/// A change that a command makes. Each profile that it changes gets its own event.
#[derive(Debug)]
pub struct Edited {
    /// The document after the change; none if there is nothing to change.
    pub doc: Option<StoreDoc>,
    /// What to record beside that.
    pub events: Vec<EventDraft>,
    /// What the grants of profiles are pinned to from now on.
    pub pins: Vec<(ProfileId, Endpoint)>,
    /// The profiles that become another program's, or (none) ours.
    pub borrowed: Vec<(ProfileId, Option<Borrowed>)>,
    /// Refresh tokens that other programs redeem.
    pub lent: Vec<SecretString>,
    /// How the profiles changed, in a word for the record, and where they came from.
    pub by: EditedBy,
}

/// How a command came to change profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditedBy {
    /// What it was, for example `paste-token`; none where no profile changes.
    pub means: Option<&'static str>,
    /// Where the credentials came from.
    pub origin: Origin,
}

impl Edited {
    /// Makes an edit that changes nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::of(None, Vec::new())
    }

    /// A change to `doc` that touches no profile, with what to record.
    #[must_use]
    pub fn to(doc: StoreDoc, events: Vec<EventDraft>) -> Self {
        Self::of(Some(doc), events)
    }

    fn of(doc: Option<StoreDoc>, events: Vec<EventDraft>) -> Self {
        let by = EditedBy {
            means: None,
            origin: Origin::Clawkeep,
        };
        Self {
            doc,
            events,
            pins: Vec::new(),
            borrowed: Vec::new(),
            lent: Vec::new(),
            by,
        }
    }

    /// With what a profile's grant is pinned to from now on.
    #[must_use]
    pub fn pinned(mut self, profile: ProfileId, endpoint: Endpoint) -> Self {
        self.pins.push((profile, endpoint));
        self
    }

    /// With the owners of profiles from now on, and the refresh tokens that other programs redeem.
    #[must_use]
    pub fn lending(
        mut self,
        borrowed: Vec<(ProfileId, Option<Borrowed>)>,
        lent: Vec<SecretString>,
    ) -> Self {
        self.borrowed = borrowed;
        self.lent = lent;
        self
    }

    /// With profiles changed by a command, in a word for the record.
    #[must_use]
    pub fn by(mut self, means: &'static str, origin: Origin) -> Self {
        self.by = EditedBy {
            means: Some(means),
            origin,
        };
        self
    }
}
