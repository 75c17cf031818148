//! The fifth step of a load: room for the new file, and one transaction for all that changes in the
//! vault.
//!
//! Each function works on a [`Prepared`] load, so that several loads can go through them side by
//! side (`side_by_side`).

use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::change::{Pinning, apply, merge_events, old_copy_event};
use super::edit::DocumentSteps;
use super::export_record::{export_event, record_known};
use super::merge::{exchanged, report_other_writers};
use super::room::make_room;
use super::shared::{Exchanged, share, sharing};
use super::step::Step;
use super::survey::Survey;
use super::write::{Committal, Write};
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::config::AgentRef;
use crate::domain::{AgentName, StoreDoc};
use crate::export::render;
use crate::platform::openclaw::OpenClawDir;
use crate::platform::{FileError, RemoveOutcome, Replacement, remove_if_present};
use crate::sync::context::{Endpoints, LoadContext};
use crate::sync::edited::LOGIN;
use crate::sync::error::SyncError;
use crate::sync::logins::sources::LEGACY_STORE;
use crate::sync::notice::Notice;
use crate::vault::{AgentState, Tx, UnlockedVault};

/// Room for a new file, and its bytes.
pub(crate) type Draft = (Replacement, Zeroizing<Vec<u8>>);

/// A load that is decided, with room for the file that it is to write.
pub(crate) struct Prepared {
    pub(crate) survey: Survey,
    pub(crate) steps: DocumentSteps,
    pub(crate) committal: Committal,
    /// Whether there is anything to commit.
    pub(crate) commits: bool,
    /// Logins that another program refreshed.
    pub(crate) exchanged: Vec<Exchanged>,
    pub(crate) draft: Option<Draft>,
    /// The agent's revision, as far as it has come.
    pub(crate) revision: i64,
    /// The OpenClaw tree for which nothing is written, where that is not known yet.
    announced: Option<OpenClawDir>,
    /// Why the file could not be written.
    pub(crate) not_written: Option<FileError>,
    /// Why a file that is not to be there could not be removed.
    pub(crate) not_removed: Option<FileError>,
}

/// Makes room for the new file, and says what is to be recorded.
pub(crate) fn prepare(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentRef,
    survey: Survey,
    steps: DocumentSteps,
    write: Write,
) -> Result<Prepared, SyncError> {
    let mut draft = Ok(None);
    if let Write::Yes(_) = write {
        let bytes = render(steps.target(&survey.state.doc));
        draft = match make_room(vault, context, agent, &survey, bytes.len()) {
            Ok(begun) => Ok(begun.map(|begun| (begun, bytes))),
            Err(SyncError::File(error)) => Err(error),
            Err(error) => return Err(error),
        };
    }
    Ok(Prepared::new(vault, survey, steps, write, draft))
}

/// Commits a prepared load, if the agent is still as it was surveyed. Returns whether it was.
pub(crate) fn commit(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentRef,
    prepared: &mut Prepared,
) -> Result<bool, SyncError> {
    if prepared.commits {
        let sharing = sharing(vault, agent, &prepared.exchanged)?;
        let mut tx = vault.begin(context.actor, context.clock)?;
        match record(&mut tx, agent, prepared, &sharing, context.endpoints)? {
            Some(revision) => prepared.revision = revision,
            None => return Ok(false),
        }
        tx.commit()?;
    }
    prepared.after_commit(agent)?;
    Ok(true)
}

impl Prepared {
    /// Says what is to be recorded, once room was made for the new file or could not be.
    pub(crate) fn new(
        vault: &UnlockedVault,
        mut survey: Survey,
        steps: DocumentSteps,
        mut write: Write,
        draft: Result<Option<Draft>, FileError>,
    ) -> Self {
        let is_whole = survey.state.unopened.is_empty();
        let runtime_dir_error = survey.runtime_dir_error();
        let target = steps.target(&survey.state.doc);
        let runtime_dir_error = runtime_dir_error.filter(|_| !target.is_blank());
        let (draft, not_written) = match draft {
            Ok(draft) => (draft, runtime_dir_error),
            Err(error) => (None, Some(error)),
        };
        let mut is_pending = !is_whole || survey.leaves_file;
        if draft.is_none() && matches!(write, Write::Yes(_)) {
            is_pending = true;
            write = Write::No;
        }
        let withheld = survey.withheld.clone();
        let withheld = withheld.filter(|_| !survey.is_withholding_known() && !target.is_blank());
        let announced = withheld.filter(|_| is_whole);
        let announces = announced.is_some();
        let has_something_to_record = match is_whole {
            true => survey.has_something_to_record(&steps),
            false => steps.changes_something(),
        };
        Self {
            committal: Committal {
                write,
                announces,
                is_pending,
            },
            commits: has_something_to_record || announces || write != Write::No,
            exchanged: exchanged(vault, &survey.state.doc, &steps.merge),
            draft,
            revision: survey.state.revision,
            announced,
            not_written,
            not_removed: None,
            survey,
            steps,
        }
    }

    /// What there is to report so far, and what the vault had before. Removes an unused draft.
    pub(crate) fn so_far(self) -> (Vec<Notice>, StoreDoc) {
        (self.survey.notices, self.survey.state.doc)
    }

    /// Reports what the vault has now, and removes an older store that was imported.
    pub(crate) fn after_commit(&mut self, agent: &AgentRef) -> Result<(), SyncError> {
        let survey = &mut self.survey;
        let announced = self.announced.take();
        survey
            .notices
            .extend(announced.map(|openclaw| Notice::Withheld { openclaw }));
        report_other_writers(survey, &agent.name, &self.steps.merge);
        let legacy = survey.legacy.entries.len();
        if legacy > 0 {
            let path = survey.place.dir().join(LEGACY_STORE);
            // It is in the vault now, durably.
            let is_done =
                survey.legacy.has_own && remove_if_present(&path)? == RemoveOutcome::Removed;
            survey.notices.push(Notice::Imported {
                profiles: legacy,
                removed: is_done.then_some(path),
            });
        }
        Ok(())
    }
}

/// Records everything that a load changes in the vault, with its events, in a transaction; returns
/// the agent's revision after it. `None` if the agent is another than was surveyed: the store's
/// locks hold off processes that come by the same path, and an agent can be reached by two.
pub(crate) fn record(
    tx: &mut Tx<'_>,
    agent: &AgentRef,
    prepared: &Prepared,
    sharing: &[(AgentName, AgentState)],
    endpoints: Option<Endpoints<'_>>,
) -> Result<Option<i64>, SyncError> {
    let (survey, steps) = (&prepared.survey, &prepared.steps);
    let committal = prepared.committal;
    let place = &survey.place;
    let stored = &survey.state.doc;
    let merged = steps.merge.doc.as_deref().unwrap_or(stored);
    let synced = steps.synced.as_ref().unwrap_or(merged);
    let pinning = Pinning {
        known: &survey.state.pins,
        endpoints,
    };
    if tx.revision(&agent.name)? != survey.state.revision {
        return Ok(None);
    }
    let is_whole = survey.state.unopened.is_empty();
    // That of this place is recorded below. What lacks something is no base of a merge.
    if is_whole {
        tx.keep_snapshots(&agent.name, Some(place.site()), || render(stored))?;
    }
    if survey.is_unknown() || committal.announces {
        tx.touch(&agent.name)?; // what is recorded below refers to the agent
    }
    if let Some(merged) = &steps.merge.doc {
        let step = &steps.merge.step;
        apply(tx, agent, (stored, merged), step, &pinning)?;
    }
    merge_events(tx, agent, place, stored, &steps.merge)?;
    if let Some(old) = &steps.merge.old_copy {
        let event = old_copy_event(place, old, !survey.leaves_file);
        tx.append(Some(&agent.name), event)?;
    }
    let superseded = survey.superseded_after(steps, committal.write);
    if let Some(superseded) = superseded.filter(|_| is_whole) {
        tx.set_superseded(&agent.name, &superseded)?;
    }
    share(tx, agent, &prepared.exchanged, sharing)?;
    if let Some(synced) = &steps.synced {
        let sync = Step::Sync(&survey.planned);
        apply(tx, agent, (merged, synced), &sync, &pinning)?;
    }
    if let Some(edited) = &steps.edited.doc {
        let edit = Step::Edit(steps.edited.by);
        apply(tx, agent, (synced, edited), &edit, &pinning)?;
    }
    let updates = survey.borrowed.iter().filter_map(|one| one.lent.as_ref());
    for refresh in updates.chain(&steps.edited.lent) {
        tx.mark_borrowed(refresh.expose_secret())?; // under whatever id it turns up later
    }
    for (profile, from) in &steps.edited.borrowed {
        tx.set_borrowed(&agent.name, profile, from.as_ref())?;
        if from.is_none() {
            tx.take_ownership(&agent.name, profile)?;
        }
    }
    for (profile, endpoint) in &steps.edited.pins {
        tx.pin_endpoint(&agent.name, profile, endpoint)?;
    }
    if steps.edited.by.means == Some(LOGIN) {
        for (profile, _) in &steps.edited.pins {
            // The provider just issued that token, so an earlier verdict is void.
            tx.free_grant(&agent.name, profile)?;
        }
    }
    for event in &steps.edited.events {
        tx.append(Some(&agent.name), event.clone())?;
    }
    let revision = tx.revision(&agent.name)?;
    if let Write::Yes(reason) = committal.write {
        tx.append(Some(&agent.name), export_event(survey, reason.as_str()))?;
    }
    if is_whole || survey.is_known() {
        record_known(tx, agent, survey, committal, revision)?;
    }
    if committal.announces {
        let event = EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep)
            .outcome(Outcome::Skipped)
            .detail("reason", "newer-gateway");
        tx.append(Some(&agent.name), event)?;
    }
    Ok(Some(revision))
}
