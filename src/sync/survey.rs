//! What is found before anything is decided, and the documents a load then goes through.

use super::change::Step;
use super::engine::{Edited, Extent};
use super::merge::{Change, Side, merge};
use super::notice::Notice;
use super::plan::Decision;
use super::sources::{Legacy, Planned};
use crate::domain::{ProfileId, SecretJson, Section, StoreDoc};
use crate::export::{StoreReading, parse, render};
use crate::vault::{AgentState, ExportRecord, ExportState};

/// What is found.
pub(super) struct Survey {
    /// What the vault has.
    pub(super) state: AgentState,
    /// What it knows of the file.
    pub(super) record: Option<ExportRecord>,
    /// What the file says.
    pub(super) file: StoreReading,
    /// The file's bytes are those the vault last knew in it.
    pub(super) as_known: bool,
    /// A newer gateway owns the directory: nothing is written there.
    pub(super) withheld: bool,
    /// A temporary file is there: of a write under way, or of one that was cut off; see `leftover`.
    pub(super) leftover: bool,
    /// A damaged file was just moved aside.
    pub(super) mended: bool,
    /// What the sources say.
    pub(super) planned: Vec<Planned>,
    /// What older stores hold, while there is neither a store nor anything in the vault.
    pub(super) legacy: Legacy,
    /// What there is to tell.
    pub(super) notices: Vec<Notice>,
}

impl Survey {
    /// Everything agrees: nothing to lock, nothing to write.
    pub(super) fn is_settled(&self) -> bool {
        let file = match &self.file {
            StoreReading::Parsed { .. } => self.as_known && self.is_record_current(),
            StoreReading::Missing => self.state.doc.is_blank() || self.is_withholding_known(),
            StoreReading::Damaged { .. } => {
                self.is_withholding_known() && !self.state.doc.is_blank()
            }
        };
        let keeps = |planned: &Planned| matches!(planned.decision, Decision::Keep { .. });
        file && !self.leftover && self.legacy.entries.is_empty() && self.planned.iter().all(keeps)
    }

    /// What the vault knows of the file is the newest there is to know.
    fn is_record_current(&self) -> bool {
        self.record
            .as_ref()
            .is_some_and(|record| match record.state {
                ExportState::Withheld => self.withheld,
                ExportState::Written => !self.withheld && record.revision == self.state.revision,
            })
    }

    /// It is recorded that nothing is written there.
    pub(super) fn is_withholding_known(&self) -> bool {
        let state = self.record.as_ref().map(|record| record.state);
        self.withheld && state == Some(ExportState::Withheld)
    }

    /// The file holds bytes that the vault does not know.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.file, StoreReading::Parsed { .. }) && !self.as_known
    }

    /// The bytes of a store that can be read.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match &self.file {
            StoreReading::Parsed { bytes, .. } => Some(bytes),
            StoreReading::Missing | StoreReading::Damaged { .. } => None,
        }
    }

    /// There is something to record, whether or not the file is to be written.
    pub(super) fn is_news(&self, course: &Course) -> bool {
        self.is_unknown()
            || (self.as_known && !self.is_record_current())
            || course.takeover.doc != self.state.doc
            || course.synced != course.takeover.doc
            || course.edited.doc != course.synced
            || !course.edited.events.is_empty()
    }

    /// What was last known to be in the file; nothing, if nothing was.
    fn base(&self) -> StoreDoc {
        let snapshot = self
            .record
            .as_ref()
            .and_then(|record| record.snapshot.as_ref());
        snapshot
            .and_then(|bytes| parse(bytes).ok())
            .unwrap_or_default()
    }

    /// The document after taking over what another program wrote, or what an older store holds.
    pub(super) fn takeover(&self) -> Takeover {
        match &self.file {
            StoreReading::Parsed { doc: file, .. } if !self.as_known => self.takeover_of(file),
            _ => {
                let mut doc = self.state.doc.clone();
                for (id, entry) in &self.legacy.entries {
                    doc.set(Section::Profiles, id, entry.expose_secret().clone());
                }
                Takeover {
                    doc,
                    lost: Vec::new(),
                    changes: Vec::new(),
                    step: Step::Legacy,
                }
            }
        }
    }

    /// The document after taking over what another program made of the one last known to be in the file.
    pub(super) fn takeover_of(&self, theirs: &StoreDoc) -> Takeover {
        let merged = merge(&self.base(), theirs, &self.state.doc);
        let lost = merged
            .lost
            .into_iter()
            .filter(|lost| lost.side == Side::File);
        Takeover {
            doc: merged.doc,
            lost: lost.map(|lost| (lost.id, lost.entry)).collect(),
            changes: merged.changes,
            step: Step::Merge {
                first: self.record.is_none(),
            },
        }
    }

    /// Whether and why the file is to be written so that it says `target`.
    pub(super) fn write_needed(&self, target: &StoreDoc, extent: Extent) -> Write {
        if self.withheld {
            return Write::No;
        }
        let reason = match &self.file {
            StoreReading::Parsed { doc, bytes } => match extent {
                _ if doc != target => Reason::Changed,
                Extent::EveryByte if bytes.as_slice() != render(target).as_slice() => Reason::Asked,
                _ => return Write::No,
            },
            _ if target.is_blank() => return Write::No,
            _ if self.mended => Reason::Damaged,
            _ if self.record.is_some() => Reason::Missing,
            _ => Reason::New,
        };
        Write::Yes(reason)
    }
}

/// A document that another program's changes were merged into, or an older store's content.
pub(super) struct Takeover {
    pub(super) doc: StoreDoc,
    /// Credentials of the file that gave way to the vault's: kept as versions.
    pub(super) lost: Vec<(ProfileId, SecretJson)>,
    /// What changed on which side.
    pub(super) changes: Vec<Change>,
    /// Where the changes came from.
    pub(super) step: Step<'static>,
}

/// The documents a load goes through, from the vault's to the one it ends with.
pub(super) struct Course {
    /// After what others wrote.
    pub(super) takeover: Takeover,
    /// After what the sources say.
    pub(super) synced: StoreDoc,
    /// After the command's own change.
    pub(super) edited: Edited,
}

impl Course {
    /// Where it ends.
    pub(super) fn target(&self) -> &StoreDoc {
        &self.edited.doc
    }
}

/// Whether the file is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// It says what it should, or is not to be touched.
    No,
    /// It is, for a reason.
    Yes(Reason),
}

/// Why a store is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There was none yet.
    New,
    /// It says something else.
    Changed,
    /// It was gone.
    Missing,
    /// It was damaged and moved aside.
    Damaged,
    /// The user asked for every byte.
    Asked,
}

impl Reason {
    /// The name in the record.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::Asked => "asked",
        }
    }
}
