//! What a load has decided is carried out: room for the new file, one transaction, the file, and
//! what is in it.
//!
//! Each step works on a [`Prepared`] load, so that several loads can go through them side by side
//! (`side_by_side`).

use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::change::{Pinning, Step, apply, merge_events, old_copy_event};
use super::engine::{Endpoints, Engine, LOGIN, Loaded};
use super::error::SyncError;
use super::exporting::{Committal, export_event, record_known, record_written};
use super::notice::Notice;
use super::shared::{Exchanged, share};
use super::sources::LEGACY_STORE;
use super::survey::{Course, Reason, Survey, Write};
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::config::AgentRef;
use crate::domain::{AgentName, Section, StoreDoc};
use crate::export::render;
use crate::platform::openclaw::OpenClawDir;
use crate::platform::{
    FileError, LockDir, RemoveOutcome, Replaced, Replacement, remove_if_present,
};
use crate::vault::{AgentState, Tx};

/// What came of one round.
pub(super) enum Round {
    Done(Box<Loaded>),
    /// Another program wrote into the file meanwhile; nothing is lost, and all is to be looked at
    /// again. What there is to tell so far, and what the vault had before.
    Again(Vec<Notice>, StoreDoc),
}

/// Room for a new file, and its bytes.
pub(super) type Draft = (Replacement, Zeroizing<Vec<u8>>);

/// A load that is decided, with room for the file that it is to write.
pub(super) struct Prepared {
    pub(super) survey: Survey,
    pub(super) course: Course,
    pub(super) committal: Committal,
    /// Whether there is anything to commit.
    pub(super) commits: bool,
    /// Logins that another program refreshed.
    pub(super) exchanged: Vec<Exchanged>,
    /// The new file, and its bytes.
    pub(super) draft: Option<Draft>,
    /// The agent's revision, as far as it has come.
    pub(super) revision: i64,
    /// The OpenClaw tree for which nothing is written, where that is not known yet.
    announced: Option<OpenClawDir>,
    not_written: Option<FileError>,
    not_removed: Option<FileError>,
}

impl Engine<'_> {
    /// Carries out what was decided.
    pub(super) fn carry_out(
        &mut self,
        agent: &AgentRef,
        lock: Option<&LockDir>,
        (survey, course): (Survey, Course),
        write: Write,
    ) -> Result<Round, SyncError> {
        let mut prepared = self.prepare(agent, survey, course, write)?;
        if prepared.commits {
            let sharing = self.sharing(agent, &prepared.exchanged)?;
            let mut tx = self.vault.begin(self.actor, self.clock)?;
            match record(&mut tx, agent, &prepared, &sharing, self.endpoints)? {
                Some(revision) => prepared.revision = revision,
                None => return Ok(prepared.again()),
            }
            tx.commit()?;
        }
        prepared.after_commit(agent)?;
        if let Some((replacement, bytes)) = prepared.draft.take() {
            let survey = &prepared.survey;
            let written = self.put_in_place(survey, lock, replacement, &bytes);
            if !matches!(written, Ok(Replaced::No)) {
                let mut tx = self.vault.begin(self.actor, self.clock)?;
                record_written(&mut tx, agent, &prepared, &bytes, &written)?;
                tx.commit()?;
            }
            if prepared.after_write(written) == Replaced::No {
                return Ok(prepared.again());
            }
        }
        if prepared.committal.write == Write::Remove {
            match self.take_away(agent, &prepared.survey, lock) {
                Ok(Replaced::Yes) => {
                    let path = prepared.survey.place.path().to_owned();
                    prepared.survey.notices.push(Notice::Removed { path });
                }
                Ok(Replaced::No) => return Ok(prepared.again()),
                Err(SyncError::File(error)) => prepared.not_removed = Some(error),
                Err(error) => return Err(error),
            }
        }
        let loaded = self.finish(agent, prepared)?;
        Ok(Round::Done(Box::new(loaded)))
    }

    /// Makes room for the new file, and says what is to be recorded.
    pub(super) fn prepare(
        &mut self,
        agent: &AgentRef,
        survey: Survey,
        course: Course,
        write: Write,
    ) -> Result<Prepared, SyncError> {
        let mut draft = Ok(None);
        if let Write::Yes(_) = write {
            let bytes = render(course.target(&survey.state.doc));
            draft = match self.make_room(agent, &survey, bytes.len()) {
                Ok(begun) => Ok(begun.map(|begun| (begun, bytes))),
                Err(SyncError::File(error)) => Err(error),
                Err(error) => return Err(error),
            };
        }
        Ok(self.prepared(survey, course, write, draft))
    }

    /// Says what is to be recorded, once room was made for the new file or could not be.
    pub(super) fn prepared(
        &self,
        mut survey: Survey,
        course: Course,
        mut write: Write,
        draft: Result<Option<Draft>, FileError>,
    ) -> Prepared {
        let is_whole = survey.state.unopened.is_empty();
        let want_of_memory = survey.take_want_of_memory();
        let target = course.target(&survey.state.doc);
        let want_of_memory = want_of_memory.filter(|_| !target.is_blank());
        let (draft, not_written) = match draft {
            Ok(draft) => (draft, want_of_memory),
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
        let is_news = match is_whole {
            true => survey.is_news(&course),
            false => course.changes_something(),
        };
        Prepared {
            committal: Committal {
                write,
                announces,
                is_pending,
            },
            commits: is_news || announces || write != Write::No,
            exchanged: self.exchanged(&survey.state.doc, &course.takeover),
            draft,
            revision: survey.state.revision,
            announced,
            not_written,
            not_removed: None,
            survey,
            course,
        }
    }

    /// The agent after a load that was carried out.
    pub(super) fn finish(
        &mut self,
        agent: &AgentRef,
        prepared: Prepared,
    ) -> Result<Loaded, SyncError> {
        let (survey, course) = (prepared.survey, prepared.course);
        drop(survey.file); // the document that it ends with may be the file's
        let (mut unopened, mut damage) = (survey.state.unopened, survey.state.damage);
        let mut borrowed = survey.state.borrowed;
        for (profile, from) in &course.edited.borrowed {
            match from {
                Some(from) => drop(borrowed.insert(profile.as_str().to_owned(), from.clone())),
                None => drop(borrowed.remove(profile.as_str())),
            }
        }
        let (doc, before) = match course.into_target() {
            Some(doc) => (doc, Some(survey.state.doc)),
            None => (survey.state.doc, None),
        };
        borrowed.retain(|id, _| doc.get(Section::Profiles, id).is_some());
        let was_healed = |id: &String| doc.get(Section::Profiles, id).is_some();
        if damage.profiles.keys().any(was_healed) {
            let state = self.vault.agent(&agent.name)?;
            (unopened, damage) = (state.unopened, state.damage);
        }
        Ok(Loaded {
            doc,
            revision: prepared.revision,
            before,
            unopened,
            damage,
            borrowed,
            notices: survey.notices,
            planned: survey.planned,
            logins: survey.logins,
            notes: survey.notes,
            not_written: prepared.not_written,
            not_removed: prepared.not_removed,
            was_touched: false,
        })
    }
}

impl Prepared {
    /// All is to be looked at again. A draft that was not put in place is removed.
    pub(super) fn again(self) -> Round {
        let (notices, before) = self.so_far();
        Round::Again(notices, before)
    }

    /// What there is to tell so far, and what the vault had before.
    pub(super) fn so_far(self) -> (Vec<Notice>, StoreDoc) {
        (self.survey.notices, self.survey.state.doc)
    }

    /// What there is to tell once the vault has the change, and an older store that is in it now.
    pub(super) fn after_commit(&mut self, agent: &AgentRef) -> Result<(), SyncError> {
        let survey = &mut self.survey;
        let announced = self.announced.take();
        survey
            .notices
            .extend(announced.map(|openclaw| Notice::Withheld { openclaw }));
        survey.tell_of_other_writers(&agent.name, &self.course);
        let legacy = survey.legacy.entries.len();
        if legacy > 0 {
            let path = survey.place.dir().join(LEGACY_STORE);
            let is_done =
                survey.legacy.has_own && remove_if_present(&path)? == RemoveOutcome::Removed; // it is in the vault now, durably
            survey.notices.push(Notice::Imported {
                profiles: legacy,
                removed: is_done.then_some(path),
            });
        }
        Ok(())
    }

    /// What there is to tell once the file was written, or was not; whether it was, as far as
    /// another program's writing goes.
    pub(super) fn after_write(&mut self, written: Result<Replaced, FileError>) -> Replaced {
        let survey = &mut self.survey;
        match written {
            Ok(Replaced::No) => return Replaced::No,
            Ok(Replaced::Yes) => {
                let path = survey.place.path().to_owned();
                if self.committal.write == Write::Yes(Reason::Missing) {
                    survey.notices.push(Notice::Restored { path });
                } else if survey.is_first_file() {
                    survey.notices.push(Notice::PlainCopy { path });
                }
            }
            Err(error) => self.not_written = Some(error),
        }
        Replaced::Yes
    }
}

/// Everything that a load changes in the vault, with its events, in a transaction; the agent's
/// revision after it. Nothing if the agent is another than was surveyed: the store's locks hold off
/// who comes by the same path, and an agent can be reached by two.
pub(super) fn record(
    tx: &mut Tx<'_>,
    agent: &AgentRef,
    prepared: &Prepared,
    sharing: &[(AgentName, AgentState)],
    endpoints: Option<Endpoints<'_>>,
) -> Result<Option<i64>, SyncError> {
    let (survey, course) = (&prepared.survey, &prepared.course);
    let committal = prepared.committal;
    let place = &survey.place;
    let stored = &survey.state.doc;
    let merged = course.takeover.doc.as_deref().unwrap_or(stored);
    let synced = course.synced.as_ref().unwrap_or(merged);
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
    if let Some(merged) = &course.takeover.doc {
        let step = &course.takeover.step;
        apply(tx, agent, (stored, merged), step, &pinning)?;
    }
    merge_events(tx, agent, place, stored, &course.takeover)?;
    if let Some(old) = &course.takeover.old_copy {
        let event = old_copy_event(place, old, !survey.leaves_file);
        tx.append(Some(&agent.name), event)?;
    }
    let superseded = survey.superseded_after(course, committal.write);
    if let Some(superseded) = superseded.filter(|_| is_whole) {
        tx.set_superseded(&agent.name, &superseded)?;
    }
    share(tx, agent, &prepared.exchanged, sharing)?;
    if let Some(synced) = &course.synced {
        let sync = Step::Sync(&survey.planned);
        apply(tx, agent, (merged, synced), &sync, &pinning)?;
    }
    if let Some(edited) = &course.edited.doc {
        let edit = Step::Edit(course.edited.by);
        apply(tx, agent, (synced, edited), &edit, &pinning)?;
    }
    let updates = survey.borrowed.iter().filter_map(|one| one.lent.as_ref());
    for refresh in updates.chain(&course.edited.lent) {
        tx.mark_borrowed(refresh.expose_secret())?; // under whatever id it turns up later
    }
    for (profile, from) in &course.edited.borrowed {
        tx.set_borrowed(&agent.name, profile, from.as_ref())?;
        if from.is_none() {
            tx.take_ownership(&agent.name, profile)?;
        }
    }
    for (profile, endpoint) in &course.edited.pins {
        tx.pin_endpoint(&agent.name, profile, endpoint)?;
    }
    if course.edited.by.means == Some(LOGIN) {
        for (profile, _) in &course.edited.pins {
            tx.free_grant(&agent.name, profile)?; // whatever became of that token before, it was just given out
        }
    }
    for event in &course.edited.events {
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
