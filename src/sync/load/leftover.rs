//! What is under the temporary name of a store when no process writes it: the draft of an
//! interrupted write, or what another program wrote into the file at the very moment when the draft
//! was exchanged for it. Also the copy in memory of a store that is a file again, or that another
//! program has put a file in place of.
//!
//! Both are merged like the file itself, from the same base. For a draft that changes nothing: it
//! was committed before it was written.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::aside::{GIVE_UP, SETTLE, corrupt_event, wait_for_change};
use super::change::{Pinning, apply, merge_events};
use super::export_record::PENDING;
use super::findings::Findings;
use super::merge::{exchanged, merge_file};
use super::shared::{share, sharing};
use super::survey::{Survey, survey as survey_agent};
use crate::config::AgentRef;
use crate::domain::{StoreDoc, file_stamp};
use crate::export::{FormatFault, StorePlace, StoreReading, render};
use crate::platform::{FileError, rename_durably};
use crate::sync::context::{LoadContext, SyncedAgent};
use crate::sync::error::SyncError;
use crate::sync::notice::Notice;
use crate::vault::{ExportState, Exported, UnlockedVault};

/// Under the locks: merges what was left, if anything was, and only then removes it. Returns the
/// survey that holds afterwards.
pub(crate) fn adopt_leftovers(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    findings: &mut Findings,
    SyncedAgent { agent, mode }: SyncedAgent<'_>,
    place: &StorePlace,
    mut survey: Survey,
) -> Result<Survey, SyncError> {
    for left in std::mem::take(&mut survey.leftovers) {
        survey = adopt_leftover(
            vault,
            context,
            findings,
            SyncedAgent { agent, mode },
            place,
            &left,
            survey,
        )?;
    }
    Ok(survey)
}

fn adopt_leftover(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    findings: &mut Findings,
    SyncedAgent { agent, mode }: SyncedAgent<'_>,
    place: &StorePlace,
    left: &Path,
    survey: Survey,
) -> Result<Survey, SyncError> {
    let mut reading = match StorePlace::read_leftover(left) {
        Err(FileError::NotRegular { .. } | FileError::Symlink { .. }) => {
            return Ok(survey); // nothing of ours; the next write reports that it is in the way
        }
        reading => reading?,
    };
    // The file is as it was before the write. So there was no exchange, and half a draft is half of
    // what is committed. Unless it was just modified: a program that had the store open when it was
    // moved here may still be writing.
    let is_unchanged = survey.is_known() || matches!(survey.file, StoreReading::Missing);
    let is_torn_draft = is_unchanged && !is_just_modified(&reading);
    let mut notice = None;
    if matches!(reading, StoreReading::Damaged { .. }) && !is_torn_draft && !is_blank(&reading) {
        // Another program may have it open, and be about to finish.
        match wait_for_change(place, GIVE_UP, || StorePlace::read_leftover(left))? {
            // Half a draft after all.
            Some(_) if is_unchanged => {}
            Some((fault, seen)) if seen.0 > 0 => {
                let aside = place.aside_of_leftover(left, &file_stamp(context.clock.now()));
                let mut tx = vault.begin(context.actor, context.clock)?;
                tx.append(Some(&agent.name), corrupt_event(fault, seen, &aside))?;
                tx.commit()?;
                rename_durably(left, &aside)?;
                notice = Some(Notice::SetAside {
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
        while !merge_leftover(vault, context, agent, place, &survey, doc)? {
            // Another process has changed the agent meanwhile.
            survey = survey_agent(vault, context, findings, agent, mode, None)?;
        }
    }
    place.remove_leftover(left)?;
    findings.left_copies.retain(|(_, copy)| copy != left);
    let mut survey = survey_agent(vault, context, findings, agent, mode, None)?;
    survey.notices.extend(notice);
    Ok(survey)
}

/// Merges a leftover. Whether the agent still was as it was surveyed; if not, nothing is done.
fn merge_leftover(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentRef,
    place: &StorePlace,
    survey: &Survey,
    theirs: &Arc<StoreDoc>,
) -> Result<bool, SyncError> {
    let ours = &survey.state.doc;
    let merge = merge_file(vault, survey, theirs)?;
    if merge.doc.is_none() && merge.lost.is_empty() {
        return Ok(true);
    }
    let exchanged = exchanged(vault, ours, &merge);
    let sharing = sharing(vault, agent, &exchanged)?;
    let pinning = Pinning {
        known: &survey.state.pins,
        endpoints: context.endpoints,
    };
    let mut tx = vault.begin(context.actor, context.clock)?;
    if tx.revision(&agent.name)? != survey.state.revision {
        return Ok(false);
    }
    tx.keep_snapshots(&agent.name, None, || render(ours))?;
    if let Some(merged) = &merge.doc {
        apply(&mut tx, agent, (ours, merged), &merge.step, &pinning)?;
    }
    merge_events(&mut tx, agent, place, ours, &merge)?;
    share(&mut tx, agent, &exchanged, &sharing)?;
    // What we put into the file is a base of its own: compared with the older one, it would undo
    // this merge where the file wins.
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

/// Whether a damaged leftover was modified so recently that its writer may not have finished.
fn is_just_modified(reading: &StoreReading) -> bool {
    let StoreReading::Damaged {
        stamp: (_, modified),
        ..
    } = reading
    else {
        return false;
    };
    // A time in the future is not recent: a clock was set back.
    let age = SystemTime::now().duration_since(*modified);
    age.is_ok_and(|age| age < SETTLE)
}

/// Whether it is the room made for a draft: spaces. An empty file may be about to be written.
fn is_blank(reading: &StoreReading) -> bool {
    matches!(
        reading,
        StoreReading::Damaged {
            fault: FormatFault::Empty,
            stamp: (1.., _)
        }
    )
}
