//! Why a document changes, and what the audit record says of each change.

use crate::audit::{EventKind, Origin};
use crate::sync::edited::{EditedBy, RESTORE};
use crate::sync::logins::planned::Planned;
use crate::vault::ChangeNote;

/// The reason why a document changes.
pub(crate) enum Step<'s> {
    /// Another program changed the store file; `first`: the vault saw it for the first time.
    Merge {
        /// Whether it is an import.
        first: bool,
    },
    /// An older store was imported.
    Legacy,
    /// A command changed it by an edit.
    Edit(EditedBy),
    /// Other programs' logins changed it.
    Sync(&'s [Planned]),
}

impl Step<'_> {
    fn restores(&self) -> bool {
        matches!(self, Self::Edit(by) if by.means == Some(RESTORE))
    }

    pub(crate) fn note(&self, profile: &str, existed: bool, remains: bool) -> ChangeNote {
        let kind = match (existed, remains) {
            (_, true) if self.restores() => EventKind::ProfileRestored,
            (false, _) => EventKind::ProfileCreated,
            (true, true) => EventKind::ProfileUpdated,
            (true, false) => EventKind::ProfileRemoved,
        };
        match self {
            Self::Merge { first: true } => {
                ChangeNote::new(kind, Origin::StoreFile).detail("by", "import")
            }
            Self::Merge { first: false } => ChangeNote::new(kind, Origin::StoreFile),
            Self::Legacy => ChangeNote::new(kind, Origin::LegacyStore).detail("by", "import"),
            Self::Edit(by) => {
                let note = ChangeNote::new(kind, by.origin);
                match by.means {
                    Some(means) => note.detail("by", means),
                    None => note,
                }
            }
            Self::Sync(planned) => {
                match planned.iter().find(|planned| planned.profile == profile) {
                    Some(planned) => planned.note(),
                    // The file of a borrowed login: a sync touches no other profile.
                    None => ChangeNote::new(EventKind::SyncApplied, Origin::ImportedFile)
                        .detail("why", "borrowed"),
                }
            }
        }
    }
}
