//! What lies under the temporary name of a store when nobody writes it: the draft of a write that was cut off, or what
//! another program wrote into the file at the very moment when the draft was exchanged for it. And the copy in memory of a store
//! that is a file again, or whose link another program has replaced by a file.
//!
//! Both are merged like the file itself, from the same base. For a draft that changes nothing: it was committed before it
//! was written.

use std::path::Path;
use std::sync::Arc;

use super::change::{Pinning, apply, merge_events};
use super::damaged::{GIVE_UP, corrupt_event, utc_stamp, wait_for_change};
use super::engine::{Engine, SyncMode};
use super::error::SyncError;
use super::exporting::PENDING;
use super::notice::Notice;
use super::shared::share;
use super::survey::Survey;
use crate::config::AgentRef;
use crate::domain::StoreDoc;
use crate::export::{FormatFault, StorePlace, StoreReading, render};
use crate::platform::{FileError, rename_durably};
use crate::vault::{ExportState, Exported};

impl Engine<'_> {
    /// Under the locks: takes over what was left, if anything was, and only then removes it. The survey that holds
    /// afterwards.
    pub(super) fn adopt_leftovers(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
        place: &StorePlace,
        mut survey: Survey,
    ) -> Result<Survey, SyncError> {
        for left in std::mem::take(&mut survey.leftovers) {
            survey = self.adopt_leftover(agent, mode, (place, &left), survey)?;
        }
        Ok(survey)
    }

    fn adopt_leftover(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
        (place, left): (&StorePlace, &Path),
        survey: Survey,
    ) -> Result<Survey, SyncError> {
        let mut reading = match StorePlace::read_leftover(left) {
            Err(FileError::NotRegular { .. } | FileError::Symlink { .. }) => return Ok(survey), // nothing of ours; the next write says that it is in the way
            reading => reading?,
        };
        // The file is as it was before the write: there was no exchange, and half a draft is half of what is committed.
        let is_torn_draft = survey.is_known() || matches!(survey.file, StoreReading::Missing);
        let mut told = None;
        if matches!(reading, StoreReading::Damaged { .. }) && !is_torn_draft && !is_blank(&reading)
        {
            // Another program may have it open, and be about to finish.
            match wait_for_change(place, GIVE_UP, || StorePlace::read_leftover(left))? {
                Some((fault, seen)) if seen.0 > 0 => {
                    let aside = place.aside_of_leftover(left, &utc_stamp(self.clock.now()));
                    let mut tx = self.vault.begin(self.actor, self.clock)?;
                    tx.append(Some(&agent.name), corrupt_event(fault, seen, &aside))?;
                    tx.commit()?;
                    rename_durably(left, &aside)?;
                    told = Some(Notice::SetAside {
                        path: place.path().to_owned(),
                        aside,
                        fault,
                        is_exported: survey.is_wanted(),
                    });
                }
                _ => reading = StorePlace::read_leftover(left)?,
            }
        }
        if let StoreReading::Parsed { doc, .. } = &reading {
            let mut survey = survey;
            while !self.merge_leftover(agent, place, &survey, doc)? {
                survey = self.survey(agent, mode, None)?; // another process has changed the agent meanwhile
            }
        }
        place.remove_leftover(left)?;
        self.left_copies.retain(|(_, copy)| copy != left);
        let mut survey = self.survey(agent, mode, None)?;
        survey.notices.extend(told);
        Ok(survey)
    }

    /// Whether the agent still was as it was surveyed; nothing is done otherwise.
    fn merge_leftover(
        &mut self,
        agent: &AgentRef,
        place: &StorePlace,
        survey: &Survey,
        theirs: &Arc<StoreDoc>,
    ) -> Result<bool, SyncError> {
        let ours = &survey.state.doc;
        let takeover = self.without_spent(survey.takeover_of(theirs), ours)?;
        let takeover = self.spread(takeover, ours);
        if takeover.doc.is_none() && takeover.lost.is_empty() {
            return Ok(true);
        }
        let exchanged = self.exchanged(ours, &takeover);
        let sharing = self.sharing(agent, &exchanged)?;
        let pinning = Pinning {
            known: &survey.state.pins,
            endpoints: self.endpoints,
        };
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        if tx.revision(&agent.name)? != survey.state.revision {
            return Ok(false);
        }
        tx.keep_snapshots(&agent.name, None, || render(ours))?;
        if let Some(merged) = &takeover.doc {
            apply(&mut tx, agent, (ours, merged), &takeover.step, &pinning)?;
        }
        merge_events(&mut tx, agent, place, ours, &takeover)?;
        share(&mut tx, agent, &exchanged, &sharing)?;
        // What we put into the file is a base of its own: compared with the older one, it would undo this merge where the
        // file wins.
        if let StoreReading::Parsed { doc, bytes } = &survey.file
            && **doc == *ours
            && survey.withheld.is_none()
        {
            let known = (ExportState::Written, PENDING);
            tx.put_export(place.site(), &agent.name, known, Exported::Bytes(bytes))?;
        }
        tx.commit()?;
        Ok(true)
    }
}

/// The room made for a draft, which is spaces. An empty file is none: it may be about to be written.
fn is_blank(reading: &StoreReading) -> bool {
    matches!(
        reading,
        StoreReading::Damaged {
            fault: FormatFault::Empty,
            stamp: (1.., _)
        }
    )
}
