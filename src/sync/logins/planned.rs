//! What a load does with the profile that mirrors another program's login.

use serde_json::json;

use crate::audit::{EventKind, Origin};
use crate::domain::{Section, StoreDoc, from_outside};
use crate::sync::plan::{Decision, KeepReason, ReplaceReason};
use crate::vault::ChangeNote;

/// What a load does with one mirroring profile.
#[derive(Debug)]
pub struct Planned {
    /// The profile that mirrors the login.
    pub profile: &'static str,
    /// The program that the login belongs to.
    pub origin: Origin,
    /// What the load does with it.
    pub decision: Decision,
    /// The path of the source's file, also where the login was in the keychain.
    pub place: String,
    /// A keyed fingerprint of its account, where that was asked for and is known.
    pub(crate) account: Option<String>,
}

impl Planned {
    /// Whether the profile, or its absence, is left as it is.
    pub(crate) fn keeps(&self) -> bool {
        matches!(self.decision, Decision::Keep { .. })
    }

    /// Applies the decision to a document.
    pub(crate) fn apply(&self, doc: &mut StoreDoc) {
        if let Decision::Insert { entry } | Decision::Replace { entry, .. } = &self.decision {
            doc.set(
                Section::Profiles,
                self.profile,
                entry.expose_secret().clone(),
            );
        }
    }

    /// Returns the event that the record gets.
    pub(crate) fn note(&self) -> ChangeNote {
        let (_, why) = self.verdict();
        // `sync.applied` with another token is a refresh by the login's owner; this is none.
        if self.changes_account() {
            return ChangeNote::new(EventKind::ProfileUpdated, self.origin)
                .detail("by", json!(why))
                .detail("place", json!(from_outside(&self.place)));
        }
        ChangeNote::new(EventKind::SyncApplied, self.origin).detail("why", json!(why))
    }

    /// Whether a login takes the place of one that is, or may be, another account's.
    #[must_use]
    pub(crate) fn changes_account(&self) -> bool {
        matches!(
            &self.decision,
            Decision::Replace {
                why: ReplaceReason::OtherAccount
                    | ReplaceReason::OtherPlace
                    | ReplaceReason::Chosen,
                ..
            }
        )
    }

    /// Whether there is nothing to decide: the other program is not in use here.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let why = KeepReason::SourceAbsent;
        matches!(&self.decision, Decision::Keep { why: found } if *found == why)
    }

    /// The decision and its reason, in the words of the record.
    #[must_use]
    pub fn verdict(&self) -> (&'static str, &'static str) {
        match &self.decision {
            Decision::Insert { .. } => ("inserted", "absent"),
            Decision::Replace { why, .. } => ("replaced", why.as_str()),
            Decision::Keep { why } => ("kept", why.as_str()),
        }
    }
}
