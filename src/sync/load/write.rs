//! Whether and why a load writes the store file.

use super::edit::DocumentSteps;
use super::old_copy;
use super::survey::Survey;
use crate::domain::{StoreDoc, named};
use crate::export::{StoreReading, parse, render};
use crate::sync::context::Rewrite;
use crate::vault::{ExportRecord, Superseded};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// It says what it should, or must not be changed.
    No,
    /// It is to be written, for this reason.
    Yes(Reason),
    Remove,
}

named! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Reason {
        /// There was no file yet.
        New = "new",
        /// The file says something else than the vault.
        Changed = "changed",
        /// The file was removed by another program.
        Missing = "missing",
        /// It was damaged and moved aside.
        Damaged = "damaged",
        /// The user asked for every byte.
        Asked = "asked",
        /// It is to be a file and was in memory, or the other way about.
        Moved = "moved",
        /// Its copy in memory is not there any more.
        Dangling = "dangling",
    }
}

/// What a transaction is to record about the file.
#[derive(Clone, Copy)]
pub(crate) struct Committal {
    pub(crate) write: Write,
    /// Whether to record, for the first time, that nothing is written there.
    pub(crate) announces: bool,
    /// Whether the file is to be written, and cannot be now.
    pub(crate) is_pending: bool,
}

impl Survey {
    /// Decides whether the file is to be written, once what becomes of the agent is decided.
    pub(crate) fn settle_write(&mut self, steps: &DocumentSteps, rewrite: Rewrite) -> Write {
        let is_whole = self.state.unopened.is_empty();
        self.leaves_file = is_whole && self.is_to_be_left(steps, rewrite);
        match is_whole {
            true => self.write_needed(steps.target(&self.state.doc), rewrite),
            false => Write::No,
        }
    }

    /// Whether there is something to record, even if the file is not written.
    pub(crate) fn has_something_to_record(&self, steps: &DocumentSteps) -> bool {
        self.is_unknown()
            || (self.is_known() && !self.is_record_current())
            || steps.changes_something()
    }

    /// Whether the file is not written over, since it is an old copy that was written back too
    /// often: until the vault has something else, or a command changes something or asks for the
    /// file.
    pub(crate) fn is_to_be_left(&self, steps: &DocumentSteps, rewrite: Rewrite) -> bool {
        let rounds = steps.merge.old_copy.as_ref().map(|old| old.rounds);
        let is_too_often = rounds.is_some_and(|rounds| rounds >= old_copy::ROUNDS_MAX);
        rewrite == Rewrite::IfChanged
            && self.withheld.is_none()
            && steps.edited.doc.is_none()
            && (is_too_often || self.is_left_alone(steps.target(&self.state.doc)))
    }

    /// Returns whether and why the file is to be written so that it says `target`.
    pub(crate) fn write_needed(&self, target: &StoreDoc, rewrite: Rewrite) -> Write {
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
        let reads = |doc: &StoreDoc, bytes: &[u8]| match rewrite {
            _ if !std::ptr::eq(doc, target) && doc != target => Some(Reason::Changed),
            Rewrite::Always if bytes != render(target).as_slice() => Some(Reason::Asked),
            _ => None,
        };
        let reason = match &self.file {
            StoreReading::Parsed { doc, bytes } => match reads(doc, bytes) {
                Some(reason) => reason,
                None => return Write::No,
            },
            // The bytes were a store when they became known.
            StoreReading::Known { bytes } => match parse(bytes) {
                Ok(doc) => match reads(&doc, bytes) {
                    Some(reason) => reason,
                    None => return Write::No,
                },
                Err(_) => Reason::Changed,
            },
            _ if target.is_blank() => return Write::No,
            _ if self.was_set_aside => Reason::Damaged,
            _ if self.is_dangling() => Reason::Dangling,
            _ if self.record.as_ref().is_some_and(ExportRecord::is_of_a_file) => Reason::Missing,
            _ => Reason::New,
        };
        Write::Yes(reason)
    }

    /// The earlier contents of the store after a load; `None` if they stay as they are.
    pub(crate) fn superseded_after(
        &self,
        steps: &DocumentSteps,
        write: Write,
    ) -> Option<Vec<Superseded>> {
        let stored = &self.state.doc;
        let target = steps.target(stored);
        let base = match self.is_written_as_is() {
            true => None,
            false => Some(self.base()).filter(|_| self.record.is_some()),
        };
        let base = base.as_ref().unwrap_or(stored);
        let is_written = matches!(write, Write::Yes(_) | Write::Remove);
        let before = steps.synced.as_ref().or(steps.merge.doc.as_deref());
        let before = before.unwrap_or(stored);
        let edited = steps.edited.doc.as_ref();
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
            old_copy: steps.merge.old_copy.as_ref(),
        };
        old_copy::after(&self.state.superseded, &turn, self.now)
    }
}
