//! What is found before anything is decided, and the documents a load then goes through.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::borrowed::Update;
use super::change::Step;
use super::destination::Destination;
use super::edited::Edited;
use super::engine::Extent;
use super::error::SyncError;
use super::logins::{LoginReport, Notes};
use super::merge::{Change, Side, changes_of_file, merge};
use super::notice::{Notice, Writer};
use super::old_copy::{self, OldCopy};
use super::sources::{Legacy, Planned};
use crate::domain::{AgentName, ProfileId, SecretJson, Section, StoreDoc, UnixMs};
use crate::export::{StorePlace, StoreReading, parse, render};
use crate::platform::openclaw::OpenClawDir;
use crate::vault::{AgentState, ExportRecord, ExportState, ReadOnlyReason, Superseded};

impl AgentState {
    /// The error that names the first row that is not as clawkeep left it.
    pub(super) fn unopened_error(&self) -> SyncError {
        let row = self.unopened.first().cloned().unwrap_or_default();
        SyncError::Unopened { row }
    }
}

/// What is found.
pub(super) struct Survey {
    /// Where the file is.
    pub(super) place: StorePlace,
    /// Which state of the vault was seen.
    pub(super) version: i64,
    /// What the vault has.
    pub(super) state: AgentState,
    /// What it knows of the file.
    pub(super) record: Option<ExportRecord>,
    /// What the file says: [`StoreReading::Known`] where its bytes are those that the vault last knew in it.
    pub(super) file: StoreReading,
    /// The OpenClaw tree that the store is in: nothing is written there.
    pub(super) withheld: Option<OpenClawDir>,
    /// Where the store is to be.
    pub(super) destination: Destination,
    /// What is there of a write under way, or of one that was cut off; see `leftover`.
    pub(super) leftovers: Vec<PathBuf>,
    /// Another agent shares the file and knows what is in it: clawkeep wrote it, or has merged it.
    pub(super) is_known_elsewhere: bool,
    /// When it was found.
    pub(super) now: UnixMs,
    /// The file is an old copy, written back too often to be written over again.
    pub(super) leaves_file: bool,
    /// A damaged file was just moved aside.
    pub(super) mended: bool,
    /// What is noted of the sources.
    pub(super) notes: Notes,
    /// What the sources say.
    pub(super) planned: Vec<Planned>,
    /// What the files of borrowed logins have that is newer.
    pub(super) borrowed: Vec<Update>,
    /// What became of their logins.
    pub(super) logins: Vec<LoginReport>,
    /// What older stores hold, while there is neither a store nor anything in the vault.
    pub(super) legacy: Legacy,
    /// What there is to tell.
    pub(super) notices: Vec<Notice>,
}

impl Survey {
    /// Everything agrees: nothing to lock, nothing to write.
    pub(super) fn is_settled(&self) -> bool {
        let file = match &self.file {
            StoreReading::Known { .. } => {
                self.is_record_current() || self.is_left_alone(&self.state.doc)
            }
            StoreReading::Parsed { .. } => false,
            StoreReading::Missing => {
                self.state.doc.is_blank() || self.is_withholding_known() || !self.is_wanted()
            }
            StoreReading::Damaged { .. } => {
                self.is_withholding_known() && !self.state.doc.is_blank()
            }
        };
        file && (self.withheld.is_some() || self.is_placed())
            && self.leftovers.is_empty()
            && self.legacy.entries.is_empty()
            && self.borrowed.is_empty()
            && self.planned.iter().all(Planned::keeps)
    }

    /// A load has nothing to do: all is settled, or there is no frame to put anything into.
    pub(super) fn needs_nothing(&self) -> bool {
        self.is_settled() || self.state.damage.frame
    }

    /// A store that is a file, or is to be one, whole and with nothing left of what was cut off:
    /// nothing but the ordinary can come of it.
    pub(super) fn is_plain(&self) -> bool {
        self.withheld.is_none()
            && self.state.unopened.is_empty()
            && self.leftovers.is_empty()
            && self.legacy.entries.is_empty()
            && !matches!(self.file, StoreReading::Damaged { .. })
            && matches!(self.destination, Destination::File)
            && self.place.link().is_none()
            && self.has_dir()
    }

    /// Whether the directory in which the store is, or is to be, exists.
    fn has_dir(&self) -> bool {
        !matches!(self.file, StoreReading::Missing)
            || self.place.real().parent().is_some_and(Path::is_dir)
    }

    /// The file was written anew with the bytes that the vault knows, at a time that is past.
    pub(super) fn was_touched(&self) -> bool {
        let is_settled = self.is_known() && self.state.unopened.is_empty();
        let Some(record) = self.record.as_ref().filter(|_| is_settled) else {
            return false;
        };
        let modified = self.place.modified();
        modified.is_some_and(|at| at > record.updated_at && at <= self.now)
    }

    /// Leaves out what a load would change, since the vault can only be read, and says so where the
    /// answer would be another one.
    pub(super) fn leave_out_changes(&mut self, reason: ReadOnlyReason) {
        let is_file_equal = match &self.file {
            StoreReading::Known { .. } | StoreReading::Missing => true,
            StoreReading::Parsed { doc, .. } => **doc == self.state.doc,
            StoreReading::Damaged { .. } => false,
        };
        let is_same = is_file_equal
            && self.legacy.entries.is_empty()
            && self.borrowed.is_empty()
            && self.planned.iter().all(Planned::keeps);
        self.planned.clear();
        self.notices
            .retain(|notice| !matches!(notice, Notice::AccountChanged { .. }));
        if !is_same {
            self.notices.push(Notice::NotSynced { reason });
        }
    }

    /// What the vault knows of the file is the newest there is to know.
    fn is_record_current(&self) -> bool {
        self.record
            .as_ref()
            .is_some_and(|record| match record.state {
                ExportState::Withheld => self.withheld.is_some(),
                ExportState::Written => {
                    self.withheld.is_none() && record.revision == self.state.revision
                }
            })
    }

    /// It is recorded that nothing is written there.
    pub(super) fn is_withholding_known(&self) -> bool {
        let state = self.record.as_ref().map(|record| record.state);
        self.withheld.is_some() && state == Some(ExportState::Withheld)
    }

    /// The file holds bytes that the vault does not know.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.file, StoreReading::Parsed { .. })
    }

    /// The file's bytes are those the vault last knew in it.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.file, StoreReading::Known { .. })
    }

    /// There is something to record, whether or not the file is to be written.
    pub(super) fn is_news(&self, course: &Course) -> bool {
        self.is_unknown()
            || (self.is_known() && !self.is_record_current())
            || course.changes_something()
    }

    /// What was last known in the file is what the vault has now. The file was written at this revision, or needed no
    /// writing since it said the same.
    fn is_written_as_is(&self) -> bool {
        self.record.as_ref().is_some_and(|record| {
            record.state == ExportState::Written && record.revision == self.state.revision
        })
    }

    /// Whether this store was never written or read before: a file that is written now is its
    /// first.
    pub(super) fn is_first_file(&self) -> bool {
        let is_new = match &self.record {
            None => true,
            Some(record) => record.state == ExportState::Withheld && !record.is_of_a_file(),
        };
        is_new && matches!(self.destination, Destination::File)
    }

    /// Whether the file is an old copy that clawkeep has stopped writing over while the vault has
    /// `target`.
    pub(super) fn is_left_alone(&self, target: &StoreDoc) -> bool {
        let mut past = self.state.superseded.iter();
        if self.withheld.is_some() || !past.any(|known| known.left_at.is_some()) {
            return false;
        }
        let is = |file: &StoreDoc| {
            let past = &self.state.superseded;
            old_copy::is_left_alone(past, file, target, self.now)
        };
        match &self.file {
            StoreReading::Parsed { doc, .. } => is(doc),
            StoreReading::Known { bytes } => parse(bytes).is_ok_and(|doc| is(&doc)),
            _ => false,
        }
    }

    /// Whether the file is not written over, since it is an old copy that was written back too
    /// often: until the vault has something else, or a command changes something or asks for the
    /// file.
    pub(super) fn is_to_be_left(&self, course: &Course, extent: Extent) -> bool {
        let rounds = course.takeover.old_copy.as_ref().map(|old| old.rounds);
        let is_too_often = rounds.is_some_and(|rounds| rounds >= old_copy::ROUNDS_MAX);
        extent == Extent::AsNeeded
            && self.withheld.is_none()
            && course.edited.doc.is_none()
            && (is_too_often || self.is_left_alone(course.target(&self.state.doc)))
    }

    /// Notes what other programs did to the store that a person has to know of.
    pub(super) fn tell_of_other_writers(&mut self, agent: &AgentName, course: &Course) {
        let path = || self.place.path().to_owned();
        let takeover = &course.takeover;
        let notice = match &takeover.old_copy {
            _ if self.leaves_file => Some(Notice::OldCopyLeft {
                agent: agent.clone(),
                path: path(),
                writer: Writer::find(),
            }),
            Some(old) => Some(Notice::OldCopy {
                path: path(),
                undoes: old.undoes.clone(),
                writer: Writer::find(),
            }),
            None => self.vanished(takeover).map(|profiles| Notice::Vanished {
                agent: agent.clone(),
                path: path(),
                profiles,
                writer: Writer::find(),
            }),
        };
        self.notices.extend(notice);
    }

    /// The profiles that another program took out of the store all at once: several, or every one
    /// there was.
    fn vanished(&self, takeover: &Takeover) -> Option<Vec<String>> {
        let (Some(after), Step::Merge { first: false }) = (&takeover.doc, &takeover.step) else {
            return None;
        };
        let ids = self.state.doc.entries(Section::Profiles);
        let gone = ids.filter(|(id, _)| after.get(Section::Profiles, id).is_none());
        let gone: Vec<String> = gone.map(|(id, _)| id.to_owned()).collect();
        let is_empty = after.entries(Section::Profiles).next().is_none();
        (gone.len() > 1 || (gone.len() == 1 && is_empty)).then_some(gone)
    }

    /// The old copy that a document which another program wrote is, if it is one.
    fn old_copy(&self, theirs: &StoreDoc) -> Option<OldCopy> {
        // A store that is seen for the first time is imported, whatever it says.
        self.record.as_ref()?;
        if self.state.superseded.is_empty() || self.is_known_elsewhere {
            return None;
        }
        let ours = &self.state.doc;
        let past = &self.state.superseded;
        if self.is_written_as_is() {
            return old_copy::find(past, (ours, theirs, ours), self.now);
        }
        old_copy::find(past, (&self.base(), theirs, ours), self.now)
    }

    /// The earlier contents of the store after a load; nothing where they stay as they are.
    pub(super) fn superseded_after(
        &self,
        course: &Course,
        write: Write,
    ) -> Option<Vec<Superseded>> {
        let stored = &self.state.doc;
        let target = course.target(stored);
        let base = match self.is_written_as_is() {
            true => None,
            false => Some(self.base()).filter(|_| self.record.is_some()),
        };
        let base = base.as_ref().unwrap_or(stored);
        let is_written = matches!(write, Write::Yes(_) | Write::Remove);
        let before = course.synced.as_ref().or(course.takeover.doc.as_deref());
        let before = before.unwrap_or(stored);
        let edited = course.edited.doc.as_ref();
        let is_decision = edited.is_some_and(|after| !old_copy::is_same_content(before, after));
        let mut replaced: Vec<&StoreDoc> = match &self.file {
            StoreReading::Parsed { doc, .. } if is_written && self.record.is_some() => {
                vec![base, doc]
            }
            StoreReading::Parsed { doc, .. } if is_written => vec![doc],
            StoreReading::Parsed { .. } if self.record.is_some() => vec![base],
            StoreReading::Known { .. } if is_written => vec![base],
            _ => Vec::new(),
        };
        // Where there is no file now, a program can have in memory what there was.
        replaced.extend(Some(before).filter(|_| is_decision));
        let turn = old_copy::Turn {
            replaced,
            target,
            is_decision,
            old_copy: course.takeover.old_copy.as_ref(),
        };
        old_copy::after(&self.state.superseded, &turn, self.now)
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
        let ours = &self.state.doc;
        match &self.file {
            StoreReading::Parsed { doc: file, .. } => self.takeover_of(file),
            _ => {
                let mut doc = (!self.legacy.entries.is_empty()).then(|| ours.clone());
                for (id, entry) in &self.legacy.entries {
                    if let Some(doc) = &mut doc {
                        doc.set(Section::Profiles, id, entry.expose_secret().clone());
                    }
                }
                Takeover {
                    doc: doc.filter(|doc| doc != ours).map(Arc::new),
                    lost: Vec::new(),
                    changes: Vec::new(),
                    step: Step::Legacy,
                    spent: Vec::new(),
                    old_copy: None,
                }
            }
        }
    }

    /// The document after taking over what another program made of the one last known to be in the file.
    pub(super) fn takeover_of(&self, theirs: &Arc<StoreDoc>) -> Takeover {
        let ours = &self.state.doc;
        let step = Step::Merge {
            first: self.record.is_none(),
        };
        let old_copy = self.old_copy(theirs);
        let base = match self.is_written_as_is() {
            true => None,
            false => Some(self.base()),
        };
        let without_content = old_copy.is_some().then(|| {
            let base = base.as_ref().unwrap_or(ours);
            Arc::new(old_copy::with_content_of(theirs, base, ours))
        });
        let theirs = without_content.as_ref().unwrap_or(theirs);
        if self.is_written_as_is() {
            return Takeover {
                doc: Some(Arc::clone(theirs)).filter(|doc| **doc != *ours),
                lost: Vec::new(),
                changes: changes_of_file(theirs, ours),
                step,
                spent: Vec::new(),
                old_copy,
            };
        }
        let merged = merge(&base.unwrap_or_default(), theirs, ours);
        let lost = merged
            .lost
            .into_iter()
            .filter(|lost| lost.side == Side::File);
        Takeover {
            doc: Some(merged.doc).filter(|doc| doc != ours).map(Arc::new),
            lost: lost.map(|lost| (lost.id, lost.entry)).collect(),
            changes: merged.changes,
            step,
            spent: Vec::new(),
            old_copy,
        }
    }

    /// Whether and why the file is to be written so that it says `target`.
    pub(super) fn write_needed(&self, target: &StoreDoc, extent: Extent) -> Write {
        match (self.withheld.is_some(), self.is_placed(), self.is_wanted()) {
            (true, ..) => return Write::No,
            (false, false, true) => return Write::Yes(Reason::Moved),
            (false, false, false) => return Write::Remove,
            (false, true, false) if matches!(self.file, StoreReading::Missing) => return Write::No,
            (false, true, _) => {}
        }
        if self.leaves_file {
            return Write::No;
        }
        let reads = |doc: &StoreDoc, bytes: &[u8]| match extent {
            _ if !std::ptr::eq(doc, target) && doc != target => Some(Reason::Changed),
            Extent::EveryByte if bytes != render(target).as_slice() => Some(Reason::Asked),
            _ => None,
        };
        let reason = match &self.file {
            StoreReading::Parsed { doc, bytes } => match reads(doc, bytes) {
                Some(reason) => reason,
                None => return Write::No,
            },
            // It was a store when it became known.
            StoreReading::Known { bytes } => match parse(bytes) {
                Ok(doc) => match reads(&doc, bytes) {
                    Some(reason) => reason,
                    None => return Write::No,
                },
                Err(_) => Reason::Changed,
            },
            _ if target.is_blank() => return Write::No,
            _ if self.mended => Reason::Damaged,
            _ if self.is_dangling() => Reason::Dangling,
            _ if self.record.as_ref().is_some_and(ExportRecord::is_of_a_file) => Reason::Missing,
            _ => Reason::New,
        };
        Write::Yes(reason)
    }
}

/// A document that another program's changes were merged into, or an older store's content.
pub(super) struct Takeover {
    /// The result, where it is not what the vault has; often the file's own document.
    pub(super) doc: Option<Arc<StoreDoc>>,
    /// Credentials of the file that gave way to the vault's: kept as versions.
    pub(super) lost: Vec<(ProfileId, SecretJson)>,
    /// What changed on which side.
    pub(super) changes: Vec<Change>,
    /// Where the changes came from.
    pub(super) step: Step<'static>,
    /// Profiles that stay as the vault has them, since the file's refresh token is spent.
    pub(super) spent: Vec<String>,
    /// The file is an old copy: its profiles and orders were not merged.
    pub(super) old_copy: Option<OldCopy>,
}

/// The documents a load goes through, from the vault's to the one it ends with. A step that changes nothing has none.
pub(super) struct Course {
    /// After what others wrote.
    pub(super) takeover: Takeover,
    /// After what the sources say.
    pub(super) synced: Option<StoreDoc>,
    /// After the command's own change.
    pub(super) edited: Edited,
}

impl Takeover {
    /// Nothing was taken over.
    pub(super) fn nothing() -> Self {
        Self {
            doc: None,
            lost: Vec::new(),
            changes: Vec::new(),
            step: Step::Merge { first: false },
            spent: Vec::new(),
            old_copy: None,
        }
    }
}

impl Course {
    /// One that changes nothing.
    pub(super) fn nothing() -> Self {
        Self {
            takeover: Takeover::nothing(),
            synced: None,
            edited: Edited::nothing(),
        }
    }

    /// Whether anything of the vault changes with it.
    pub(super) fn changes_something(&self) -> bool {
        self.takeover.doc.is_some()
            || self.synced.is_some()
            || self.edited.doc.is_some()
            || !self.edited.events.is_empty()
            || !self.edited.borrowed.is_empty()
    }

    /// Where it ends, beginning with `stored`.
    pub(super) fn target<'c>(&'c self, stored: &'c StoreDoc) -> &'c StoreDoc {
        let taken_over = self.takeover.doc.as_deref();
        let changed = self.edited.doc.as_ref().or(self.synced.as_ref());
        changed.or(taken_over).unwrap_or(stored)
    }

    /// The document it ends with, if that is another than it began with.
    pub(super) fn into_target(self) -> Option<StoreDoc> {
        let taken_over = self.takeover.doc;
        let changed = self.edited.doc.or(self.synced);
        changed.or_else(|| taken_over.map(Arc::unwrap_or_clone))
    }
}

/// Whether the file is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// It says what it should, or is not to be touched.
    No,
    /// It is, for a reason.
    Yes(Reason),
    /// It is to be taken away.
    Remove,
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
    /// It is to be a file and was in memory, or the other way about.
    Moved,
    /// Its copy in memory is not there any more.
    Dangling,
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
            Self::Moved => "moved",
            Self::Dangling => "dangling",
        }
    }
}
