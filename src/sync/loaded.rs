//! An agent as a load leaves it.

use std::collections::BTreeMap;

use super::logins::note::Notes;
use super::logins::planned::Planned;
use super::logins::report::LoginReport;
use super::notice::Notice;
use crate::domain::{Borrowed, StoreDoc};
use crate::platform::FileError;
use crate::vault::Damage;

/// An agent after a load.
#[derive(Debug)]
pub struct Loaded {
    /// The store document of the agent.
    pub doc: StoreDoc,
    /// The vault's revision of the document; any change gives it another one.
    pub revision: i64,
    /// What the vault had before, if the load changed it.
    pub before: Option<StoreDoc>,
    /// Rows that were modified outside clawkeep. The document lacks them, and no store was written.
    pub unopened: Vec<String>,
    /// What the document lacks because of that.
    pub damage: Damage,
    /// The logins that were imported as another program's.
    pub borrowed: BTreeMap<String, Borrowed>,
    /// What to report to a person.
    pub notices: Vec<Notice>,
    /// What was decided about each source's login.
    pub planned: Vec<Planned>,
    /// What became of each source's login.
    pub logins: Vec<LoginReport>,
    /// What was noted of the sources before.
    pub(super) notes: Notes,
    /// Why the file could not be written. The vault has everything; the next load tries again.
    pub not_written: Option<FileError>,
    /// Why a file that is not to be there could not be removed.
    pub not_removed: Option<FileError>,
    /// Whether another program rewrote the store with the same bytes.
    pub(super) was_touched: bool,
}

impl Loaded {
    /// Whether another account's login came into a profile and users of its token have not been
    /// warned yet, as far as the load knows.
    #[must_use]
    pub fn has_unannounced(&self, profile: &str) -> bool {
        let is_noted = match &self.notes {
            Notes::Of(notes) => notes
                .get(profile)
                .is_some_and(|note| note.unannounced.is_some() && !note.is_warned),
            Notes::NotAsked | Notes::Damaged(_) => false,
        };
        let is_new = |notice: &Notice| {
            matches!(
                notice,
                Notice::AccountChanged { profile: changed, .. } if *changed == profile
            )
        };
        is_noted || self.notices.iter().any(is_new)
    }
}
