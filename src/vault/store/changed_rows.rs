//! What a transaction has changed so far, and what was listed when it began.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::proof::{Altered, Proof, Scope};
use crate::domain::VaultId;
use crate::vault::error::{Context, VaultError};
use crate::vault::log::events;
use crate::vault::sealing::listing::{Listing, Part};
use crate::vault::sealing::ring::Keys;

/// The rows that are trusted when a transaction begins.
pub(in crate::vault) enum Listed {
    /// The rows that the sealed lists name.
    AsSealed,
    /// All rows but these: for a new vault, or one whose rows were checked in another way.
    AnewBut(Vec<Altered>),
}

#[derive(Debug)]
pub(in crate::vault) struct ChangedRows {
    pub(super) root: Listing,
    /// The end of the record when it began.
    pub(super) head: Option<events::Last>,
    /// The keys of the rows, by owner and part.
    pub(super) changed: BTreeMap<(i64, Part), BTreeSet<String>>,
    /// The agents' names, by their numbers.
    pub(super) names: BTreeMap<i64, String>,
    /// Where everything is listed anew: the rows that stay as they were listed.
    pub(super) anew_but: Option<Vec<Altered>>,
    /// The listings that agents had when it began, opened: no other process changes them while it
    /// lasts, and it does so at its end only.
    pub(super) open: RefCell<BTreeMap<(i64, Part), Arc<Listing>>>,
    /// The agents that were proved to be listed when they were first asked for.
    pub(super) proved: RefCell<BTreeSet<i64>>,
}

impl ChangedRows {
    pub(in crate::vault) fn of(
        (conn, path): (&Connection, &Path),
        keys: &Keys,
        vault: VaultId,
        mode: Listed,
    ) -> Result<Self, VaultError> {
        let (root, anew_but) = match mode {
            Listed::AsSealed => (Proof::of(conn, path, keys, vault)?.into_root(), None),
            Listed::AnewBut(altered) => (Listing::empty(), Some(altered)),
        };
        Ok(Self {
            root,
            head: events::last(conn).at(path, "read")?,
            changed: BTreeMap::new(),
            names: BTreeMap::new(),
            anew_but,
            open: RefCell::default(),
            proved: RefCell::default(),
        })
    }

    /// Whether the transaction has changed no listed row: all it has done is to record events.
    pub(in crate::vault) fn is_unchanged(&self) -> bool {
        self.changed.is_empty() && self.anew_but.is_none()
    }

    pub(super) fn has(&self, scope: Scope<'_>, part: Part, key: &str) -> bool {
        let keys = self.changed.get(&(scope.owner(), part));
        keys.is_some_and(|keys| keys.contains(key))
    }
}
