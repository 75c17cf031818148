//! A store file that is no store: seen twice, kept, never taken for an empty one.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::engine::{Engine, SyncMode};
use super::error::SyncError;
use super::notice::Notice;
use super::survey::Survey;
use crate::audit::{EventDraft, EventKind, Origin};
use crate::config::AgentRef;
use crate::domain::UnixMs;
use crate::export::{FormatFault, StorePlace, StoreReading};
use crate::platform::{FileError, rename_durably};

/// How long a damaged file must stay as it is before it is believed. Source: `spec/compat.md`.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a file that keeps changing is watched.
pub(super) const GIVE_UP: Duration = Duration::from_secs(10);
/// A file's length in bytes and its modification time.
pub(super) type Seen = (usize, SystemTime);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Engine<'_> {
    /// How long a file that keeps changing is watched: who comes again by itself has no need to.
    fn give_up_after(&self) -> Duration {
        self.patience
            .map_or(GIVE_UP, |patience| (SETTLE + patience / 2).min(GIVE_UP))
    }

    /// Under the locks: waits for a damaged file to become whole or to stay as it is for a second; then moves it aside if
    /// the vault can mend it. The survey that holds afterwards.
    pub(super) fn set_damaged_aside(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
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
        let Some((fault, seen)) = wait_for_change(place, self.give_up_after(), || place.read())?
        else {
            return self.survey(agent, mode, None); // whole again, or gone
        };
        let path = place.path().to_owned();
        if survey.state.doc.is_blank() {
            return Err(SyncError::DamagedStore { path, fault });
        }
        let aside = place.aside(&utc_stamp(self.clock.now()));
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        tx.append(Some(&agent.name), corrupt_event(fault, seen, &aside))?;
        // What was in the file is no base any more: a store that another program makes anew in its place would else read
        // as if it had deleted everything.
        tx.forget_export(place.site(), &agent.name)?;
        tx.commit()?;
        // Committing can take a while, in which another program may have mended its file.
        if !is_same(
            &StoreReading::Damaged { fault, stamp: seen },
            &place.read()?,
        ) {
            let survey = self.survey(agent, mode, None)?;
            return match survey.file {
                StoreReading::Damaged { .. } => Err(contended(place)),
                _ => Ok(survey),
            };
        }
        rename_durably(place.real(), &aside)?;
        let moved = || StorePlace::read_aside(&aside);
        let is_as_seen = is_same(&StoreReading::Damaged { fault, stamp: seen }, &moved()?);
        if !is_as_seen && wait_for_change(place, GIVE_UP, moved)?.is_none() {
            // Mended after the last look: it is merged like what a write of ours would have driven out.
            place.make_leftover(&aside)?;
            let survey = self.survey(agent, mode, None)?;
            return self.adopt_leftovers(agent, mode, place, survey);
        }
        let mut survey = self.survey(agent, mode, None)?;
        survey.mended = true;
        let is_exported = survey.is_wanted();
        survey.notices.push(Notice::SetAside {
            path,
            aside,
            fault,
            is_exported,
        });
        Ok(survey)
    }
}

/// What to record of a file that was set aside.
pub(super) fn corrupt_event(fault: FormatFault, seen: Seen, aside: &Path) -> EventDraft {
    let name = aside.file_name().unwrap_or_default().to_string_lossy();
    EventDraft::new(EventKind::StoreCorrupt, Origin::StoreFile)
        .detail("fault", fault.as_str())
        .detail("bytes", seen.0)
        .detail("kept_as", name.into_owned())
}

/// Looks until the file that is read has been damaged in the same way for [`SETTLE`]: its fault, length and time. `None`
/// when it is whole or gone by then.
pub(super) fn wait_for_change(
    place: &StorePlace,
    give_up_after: Duration,
    read: impl Fn() -> Result<StoreReading, FileError>,
) -> Result<Option<(FormatFault, Seen)>, SyncError> {
    let give_up = Instant::now() + give_up_after;
    let mut last = read()?;
    let mut since = Instant::now();
    loop {
        let StoreReading::Damaged { fault, stamp: seen } = last else {
            return Ok(None);
        };
        if since.elapsed() >= SETTLE {
            return Ok(Some((fault, seen)));
        }
        if Instant::now() >= give_up {
            return Err(contended(place));
        }
        thread::sleep(LOOK_EVERY);
        let now = read()?;
        if !is_same(&last, &now) {
            since = Instant::now();
        }
        last = now;
    }
}

/// A file that another program keeps writing is no damaged one.
fn contended(place: &StorePlace) -> SyncError {
    let path = place.path().to_owned();
    SyncError::Contended { path }
}

fn is_same(a: &StoreReading, b: &StoreReading) -> bool {
    match (a, b) {
        (
            StoreReading::Damaged { fault, stamp: seen },
            StoreReading::Damaged {
                fault: other,
                stamp: also,
            },
        ) => fault == other && seen == also,
        _ => false,
    }
}

/// `20260109T003248Z`.
pub(crate) fn utc_stamp(at: UnixMs) -> String {
    chrono::DateTime::from_timestamp_millis(at.0)
        .unwrap_or_default()
        .format("%Y%m%dT%H%M%SZ")
        .to_string()
}
