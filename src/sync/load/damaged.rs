//! A store file that is no store: read twice, kept, never mistaken for an empty one.

use std::time::Duration;

use super::aside::{GIVE_UP, SETTLE, contended, corrupt_event, is_same, wait_for_change};
use super::findings::Findings;
use super::leftover::adopt_leftovers;
use super::survey::{Survey, survey as survey_agent};
use crate::domain::file_stamp;
use crate::export::{StorePlace, StoreReading};
use crate::platform::rename_durably;
use crate::sync::context::{LoadContext, SyncedAgent};
use crate::sync::error::SyncError;
use crate::sync::notice::Notice;
use crate::vault::UnlockedVault;

/// How long to wait for a file that keeps changing; less for a caller that retries by itself.
fn give_up_after(context: &LoadContext<'_>) -> Duration {
    context
        .patience
        .map_or(GIVE_UP, |patience| (SETTLE + patience / 2).min(GIVE_UP))
}

/// Under the locks: waits for a damaged file to become whole or to stay unchanged for a second;
/// then moves it aside if the vault can repair it. Returns the survey that holds afterwards.
pub(crate) fn set_damaged_aside(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    findings: &mut Findings,
    SyncedAgent { agent, mode }: SyncedAgent<'_>,
    place: &StorePlace,
    survey: Survey,
) -> Result<Survey, SyncError> {
    let StoreReading::Damaged { fault, .. } = survey.file else {
        return Ok(survey);
    };
    if survey.withheld.is_some() && !survey.state.doc.is_blank() {
        return Ok(survey); // where nothing is written, nothing is moved either
    }
    if survey.withheld.is_some() {
        let path = place.path().to_owned();
        return Err(SyncError::DamagedStore { path, fault });
    }
    let Some((fault, seen)) = wait_for_change(place, give_up_after(context), || place.read())?
    else {
        return survey_agent(vault, context, findings, agent, mode, None); // whole again, or gone
    };
    let path = place.path().to_owned();
    if survey.state.doc.is_blank() {
        return Err(SyncError::DamagedStore { path, fault });
    }
    let aside = place.aside(&file_stamp(context.clock.now()));
    let mut tx = vault.begin(context.actor, context.clock)?;
    tx.append(Some(&agent.name), corrupt_event(fault, seen, &aside))?;
    // What was in the file is no base any more: a store that another program makes in its place
    // must not look as if it had deleted everything.
    tx.forget_export(place.site(), &agent.name)?;
    tx.commit()?;
    // Committing can take a while, in which another program may have repaired its file.
    if !is_same(
        &StoreReading::Damaged { fault, stamp: seen },
        &place.read()?,
    ) {
        let survey = survey_agent(vault, context, findings, agent, mode, None)?;
        return match survey.file {
            StoreReading::Damaged { .. } => Err(contended(place)),
            _ => Ok(survey),
        };
    }
    rename_durably(place.real(), &aside)?;
    let moved = || StorePlace::read_aside(&aside);
    let is_as_seen = is_same(&StoreReading::Damaged { fault, stamp: seen }, &moved()?);
    if !is_as_seen && wait_for_change(place, GIVE_UP, moved)?.is_none() {
        // Repaired after the last reading: it is merged like a file that a write of ours replaced.
        place.make_leftover(&aside)?;
        let survey = survey_agent(vault, context, findings, agent, mode, None)?;
        return adopt_leftovers(
            vault,
            context,
            findings,
            SyncedAgent { agent, mode },
            place,
            survey,
        );
    }
    let mut survey = survey_agent(vault, context, findings, agent, mode, None)?;
    survey.was_set_aside = true;
    let is_exported = survey.is_wanted();
    survey.notices.push(Notice::SetAside {
        path,
        aside,
        fault,
        is_exported,
    });
    Ok(survey)
}
