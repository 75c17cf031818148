//! Several agents loaded side by side, as a login that changed is one for all of them: the sources
//! are read once, the vault commits two or three times, and the files are written at the same time.
//!
//! Only plain agents are loaded this way: a store that is a file, or is to be one, without anything
//! left of an interrupted write, whose locks are free. Everything else, and every agent that does
//! not end as was decided, is loaded by itself, with all that [`Engine::load`] does. What was
//! committed here and not written is written by that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::context::{Rewrite, SyncedAgent};
use super::engine::Engine;
use super::error::SyncError;
use super::load::commit::{Prepared, record};
use super::load::edit::{DocumentSteps, edit_document, unchanged};
use super::load::examined::ExaminedStore;
use super::load::export::finish;
use super::load::export_record::record_written;
use super::load::merge::{exchanged, merge_store};
use super::load::observe::{Noted, find_observations, note_sources, record_observations};
use super::load::plan::plan_logins;
use super::load::room::check_vault_in_place;
use super::load::survey::{Survey, survey_examined};
use super::load::write::Write;
use super::loaded::Loaded;
use super::notice::Notice;
use super::store_lock::StoreLock;
use super::tasks::{Done, Task, run_tasks};
use super::writers::{Job, Written, write_all};
use crate::config::AgentRef;
use crate::domain::StoreDoc;
use crate::export::render;
use crate::platform::{FileError, Replaced, Replacement, open_files_max, run_all_alongside};
use crate::vault::VaultError;

/// The most agents that are loaded side by side: what is recorded of all of them is one
/// transaction, for which other processes wait.
const SIDE_BY_SIDE: usize = 128;
/// A share of the files that a process may have open: each agent of three groups holds two, and
/// what it needs beside them is closed at once.
const SHARE_OF_FILES: usize = 12;
#[allow(clippy::large_enum_variant, reason = "there are few of them")]
enum Outcome {
    Done(Result<Loaded, SyncError>),
    /// It is to be loaded by itself. With what there is to report so far, and what the vault had
    /// before, if something of it was committed.
    Alone(Option<(Vec<Notice>, StoreDoc)>),
}

impl Outcome {
    fn is_left_out(&self) -> bool {
        matches!(self, Self::Alone(_))
    }
}

/// Agents that are loaded side by side.
struct Group<'a> {
    /// The outcome of every agent. Until it is [recorded](Engine::record_group), each is to be
    /// loaded by itself.
    outcomes: Vec<Outcome>,
    decided: Vec<Decided<'a>>,
    /// The agents whose files are written.
    begun: BTreeSet<usize>,
    /// The agents for which there is nothing to do.
    settled: Vec<(usize, &'a AgentRef, Survey)>,
}

impl Group<'_> {
    fn of(count: usize) -> Self {
        let mut outcomes = Vec::new();
        outcomes.resize_with(count, || Outcome::Alone(None));
        Self {
            outcomes,
            decided: Vec::new(),
            begun: BTreeSet::new(),
            settled: Vec::new(),
        }
    }

    fn take_jobs(&mut self) -> Vec<Job<'_>> {
        let begun = &mut self.begun;
        let jobs = self.decided.iter_mut().filter_map(|one| {
            let Prepared { draft, survey, .. } = &mut one.prepared;
            let (replacement, bytes) = draft.take()?;
            let survey: &Survey = survey;
            begun.insert(one.at);
            Some(Job {
                at: one.at,
                replacement,
                bytes,
                place: &survey.place,
                expected: survey.file.bytes(),
                lock: one.lock.taken_on(&survey.place),
            })
        });
        jobs.collect()
    }

    /// Whether an agent of it is to be loaded by itself already.
    fn leaves_any_out(&self) -> bool {
        self.decided.len() + self.settled.len() < self.outcomes.len()
    }
}

/// A group whose files were written: it is recorded while those of the next are.
struct Ended<'a> {
    /// The index of its first outcome.
    first: usize,
    group: Group<'a>,
    written: BTreeMap<usize, Written>,
}

/// An agent that is loaded side by side with others.
struct Surveyed<'a> {
    /// Its place in the answer.
    at: usize,
    of: SyncedAgent<'a>,
    survey: Survey,
}

/// An agent under its store's locks: before it is decided about, and after.
enum Stage<'a> {
    Surveyed(Box<Surveyed<'a>>),
    Planned(Box<Planned<'a>>),
}

/// What is decided about an agent.
struct Planned<'a> {
    place: (usize, &'a AgentRef),
    lock: StoreLock,
    survey: Survey,
    steps: DocumentSteps,
    write: Write,
    bytes: Zeroizing<Vec<u8>>,
}

/// An agent with room for its new file.
struct Decided<'a> {
    at: usize,
    agent: &'a AgentRef,
    /// Dropped before the lock: a draft that stays is removed.
    prepared: Prepared,
    lock: StoreLock,
}

impl Engine<'_> {
    /// Loads agents, each as [`Engine::load`] does, and returns their outcomes in order. An error
    /// of one agent does not stop the others, but one of the vault does: the answer ends with the
    /// first agent that ran into it, and may be shorter than `agents`. It also ends where `goes_on`
    /// says no, which is asked between groups and before an agent that may have to be waited for.
    ///
    /// While the files of a group are written, the group before it is recorded, and the one after
    /// it decided and committed.
    pub fn load_all(
        &mut self,
        agents: &[SyncedAgent<'_>],
        goes_on: &dyn Fn() -> bool,
    ) -> Vec<Result<Loaded, SyncError>> {
        let mut all = Vec::with_capacity(agents.len());
        let files = open_files_max().unwrap_or(usize::MAX);
        let mut groups = agents.chunks((files / SHARE_OF_FILES).clamp(1, SIDE_BY_SIDE));
        let mut outcomes = Vec::new();
        let mut next = groups.next().map(|some| self.commit_group(some));
        while next.is_some() {
            let mut ended = None;
            while let Some(mut group) = next.take() {
                let leaves_any_out = group.leaves_any_out();
                let (written, _) = write_all(group.take_jobs(), || {
                    let record = |ended| self.record_group(ended, &mut outcomes);
                    let locks = ended.take().map(record).filter(|locks| !locks.is_empty());
                    // An agent loaded by itself may need a lock that a group holds: no group is
                    // decided ahead of it.
                    let is_next_free =
                        !leaves_any_out && !outcomes.iter().any(Outcome::is_left_out);
                    let some = (is_next_free && goes_on()).then(|| groups.next()).flatten();
                    let commit = || some.map(|some| self.commit_group(some));
                    let release = locks.map(|locks| move || drop(locks));
                    next = run_all_alongside(Vec::from_iter(release), commit).1;
                });
                let first = outcomes.len();
                outcomes.append(&mut group.outcomes);
                ended = Some(Ended {
                    first,
                    group,
                    written,
                });
            }
            if let Some(ended) = ended {
                self.record_group(ended, &mut outcomes);
            }
            self.findings.end_shared_step();
            let of = agents[all.len()..].iter();
            for (of, outcome) in of.zip(outcomes.drain(..)) {
                if matches!(outcome, Outcome::Alone(None)) && !goes_on() {
                    return all;
                }
                let loaded = self.load_left_out(*of, outcome);
                let is_over = matches!(loaded, Err(SyncError::Vault(_)));
                all.push(loaded);
                if is_over {
                    return all;
                }
            }
            let some = goes_on().then(|| groups.next()).flatten();
            next = some.map(|some| self.commit_group(some));
        }
        all
    }

    /// Returns the outcome of an agent, which is loaded by itself now if that is still to be done.
    fn load_left_out(
        &mut self,
        SyncedAgent { agent, mode }: SyncedAgent<'_>,
        outcome: Outcome,
    ) -> Result<Loaded, SyncError> {
        let so_far = match outcome {
            Outcome::Done(loaded) => return loaded,
            Outcome::Alone(so_far) => so_far,
        };
        let loaded = self.load(agent, mode);
        let Some((mut notices, before)) = so_far else {
            return loaded;
        };
        match loaded {
            Ok(mut loaded) => {
                notices.append(&mut loaded.notices);
                loaded.notices = notices;
                loaded.before = Some(before);
                Ok(loaded)
            }
            Err(error) => {
                self.notices.append(&mut notices); // what they report is committed
                Err(error)
            }
        }
    }

    /// Decides about a group of agents, as far as they can be loaded side by side. The step over
    /// all of them stays begun.
    fn decide_group<'a>(&mut self, agents: &[SyncedAgent<'a>]) -> Group<'a> {
        let mut group = Group::of(agents.len());
        if self.vault.read_only().is_some() {
            return group;
        }
        let ready = self.vault.reload_keys().map_err(SyncError::from);
        if ready
            .and_then(|()| self.recover_interrupted_refreshes())
            .is_err()
        {
            return group; // each that is loaded by itself runs into it, too
        }
        // Whether an agent needs anything may be decided by what was found for the last group:
        // under the locks everything is read again.
        if !self.findings.is_in_shared_step() {
            self.findings.begin_shared_step();
        }
        let mut surveyed = self.survey_group(agents);
        // Those of OpenClaw are loaded by themselves, from its database.
        surveyed.retain(|surveyed| surveyed.of.agent.name.openclaw_id().is_none());
        let is_settled = |surveyed: &mut Surveyed<'_>| surveyed.survey.needs_nothing();
        let settled = surveyed.extract_if(.., is_settled);
        group
            .settled
            .extend(settled.map(|surveyed| (surveyed.at, surveyed.of.agent, surveyed.survey)));
        surveyed.retain(|surveyed| surveyed.survey.is_plain());
        if surveyed.len() > 1 && check_vault_in_place(self.vault).is_ok() {
            self.findings.begin_shared_step(); // any load surveys again under the locks
            group.decided = self.decide_surveyed(surveyed);
        }
        group
    }

    /// Surveys agents, in their order, as far as that can be done. Other threads examine their
    /// stores meanwhile.
    fn survey_group<'a>(&mut self, agents: &[SyncedAgent<'a>]) -> Vec<Surveyed<'a>> {
        let (lock_dir, examined) = (
            self.context.lock_dir.clone(),
            Arc::clone(&self.findings.openclaw),
        );
        let mut surveyed = Vec::new();
        let tasks = agents.iter().map(|of| Task::Examine(of.agent.dir.clone()));
        run_tasks(tasks, (&lock_dir, &examined), |at, done| {
            let of = agents[at];
            let Done::Examined(store) = done else {
                return None;
            };
            let (context, findings) = (&self.context, &mut self.findings);
            let survey = survey_examined(self.vault, context, findings, of, None, *store).ok()?;
            let survey = self.surveyed_to_load(of.agent, survey);
            surveyed.push(Surveyed { at, of, survey });
            None
        });
        surveyed.sort_by_key(|surveyed| surveyed.at);
        surveyed
    }

    /// Decides about a group of agents, and commits that.
    fn commit_group<'a>(&mut self, agents: &[SyncedAgent<'a>]) -> Group<'a> {
        let mut group = self.decide_group(agents);
        match self.commit_all(std::mem::take(&mut group.decided)) {
            Ok(all) => group.decided = all,
            // This one has waited; no other agent needs to wait again.
            Err((first, SyncError::Vault(busy @ VaultError::Busy { .. }))) => {
                group.outcomes[first] = Outcome::Done(Err(busy.into()));
            }
            Err(_) => {} // each that is loaded by itself runs into it, too
        }
        group
    }

    /// Records what is in the files of a group now, and what its loads have found. Returns the
    /// locks, which are not needed any more.
    fn record_group(&mut self, ended: Ended<'_>, outcomes: &mut [Outcome]) -> Vec<StoreLock> {
        let Ended {
            first,
            group,
            mut written,
        } = ended;
        let done = &mut outcomes[first..];
        let mut whole = Vec::new();
        for one in group.decided {
            match (group.begun.contains(&one.at), written.remove(&one.at)) {
                // Another program wrote meanwhile, or has taken the lock over.
                (true, None | Some((_, Ok(Replaced::No)))) => {
                    done[one.at] = Outcome::Alone(Some(one.prepared.so_far()));
                }
                (_, written) => whole.push((one, written)),
            }
        }
        let locks = match self.record_written_of(&whole) {
            Ok(()) => self.finish_all(whole, done),
            Err(_) => {
                for (one, _) in whole {
                    done[one.at] = Outcome::Alone(Some(one.prepared.so_far()));
                }
                Vec::new()
            }
        };
        // What these have to record comes after the others, whose surveys are of before it.
        for (at, agent, survey) in group.settled {
            done[at] = Outcome::Done(self.loaded_as_it_is(agent, survey));
        }
        locks
    }

    /// Decides about agents, each under its store's locks, if those are free and it is plain still.
    /// Other threads take the locks and make the drafts meanwhile.
    fn decide_surveyed<'a>(&mut self, surveyed: Vec<Surveyed<'a>>) -> Vec<Decided<'a>> {
        let (lock_dir, examined) = (
            self.context.lock_dir.clone(),
            Arc::clone(&self.findings.openclaw),
        );
        let dirs: Vec<PathBuf> = surveyed
            .iter()
            .map(|surveyed| surveyed.of.agent.dir.clone())
            .collect();
        let stages = surveyed
            .into_iter()
            .map(|surveyed| Some(Stage::Surveyed(Box::new(surveyed))));
        let mut stages: Vec<Option<Stage<'_>>> = stages.collect();
        let mut decided = Vec::new();
        let tasks = dirs.into_iter().map(Task::Lock);
        run_tasks(tasks, (&lock_dir, &examined), |number, done| {
            match (stages[number].take()?, done) {
                (Stage::Surveyed(surveyed), Done::Locked(store, lock)) => {
                    let planned = self.plan_surveyed(*surveyed, *store, *lock)?;
                    if planned.write == Write::No {
                        decided.push(self.decided(planned, Ok(None)));
                        return None;
                    }
                    let place = Box::new(planned.survey.place.clone());
                    let task = Task::MakeRoom(place, planned.bytes.len());
                    stages[number] = Some(Stage::Planned(Box::new(planned)));
                    return Some(task);
                }
                (Stage::Planned(planned), Done::MadeRoom(room)) => {
                    decided.push(self.decided(*planned, room.map(Some)));
                }
                _ => {} // another process has the locks
            }
            None
        });
        decided.sort_by_key(|one| one.at);
        decided
    }

    /// Decides what is to be done with an agent under its store's locks, if it is plain still.
    fn plan_surveyed<'a>(
        &mut self,
        surveyed: Surveyed<'a>,
        store: ExaminedStore,
        lock: StoreLock,
    ) -> Option<Planned<'a>> {
        let (context, findings) = (&self.context, &mut self.findings);
        let (of, last) = (surveyed.of, Some(surveyed.survey));
        let survey = survey_examined(self.vault, context, findings, of, last, store);
        let mut survey = survey.ok().filter(Survey::is_plain)?;
        let merge = merge_store(self.vault, &survey).ok()?;
        let plan = plan_logins(self.vault, context, findings, of, &survey, &merge);
        let steps = edit_document(self.vault, &mut survey, merge, plan, unchanged).ok()?;
        let write = survey.settle_write(&steps, Rewrite::IfChanged);
        // A login that other agents share is given to them in the same transaction: that is between
        // two of them.
        let is_shared = !exchanged(self.vault, &survey.state.doc, &steps.merge).is_empty();
        if write == Write::Remove || is_shared {
            return None;
        }
        let bytes = match write {
            Write::Yes(_) => render(steps.target(&survey.state.doc)),
            Write::No | Write::Remove => Zeroizing::default(),
        };
        Some(Planned {
            place: (surveyed.at, of.agent),
            lock,
            survey,
            steps,
            write,
            bytes,
        })
    }

    fn decided<'a>(
        &self,
        planned: Planned<'a>,
        room: Result<Option<Replacement>, FileError>,
    ) -> Decided<'a> {
        let (at, agent) = planned.place;
        let draft = room.map(|room| room.map(|room| (room, planned.bytes)));
        let prepared = Prepared::new(
            self.vault,
            planned.survey,
            planned.steps,
            planned.write,
            draft,
        );
        Decided {
            at,
            agent,
            prepared,
            lock: planned.lock,
        }
    }

    /// Commits what was decided. An agent that was changed by another path meanwhile is left out.
    /// An error comes with the first agent of the group.
    fn commit_all<'a>(
        &mut self,
        mut all: Vec<Decided<'a>>,
    ) -> Result<Vec<Decided<'a>>, (usize, SyncError)> {
        let Some(first) = all.first().map(|one| one.at) else {
            return Ok(all);
        };
        let mut is_other = Vec::new();
        let mut commit = || -> Result<(), SyncError> {
            let mut tx = self.vault.begin(self.context.actor, self.context.clock)?;
            for one in all.iter_mut().filter(|one| one.prepared.commits) {
                match record(
                    &mut tx,
                    one.agent,
                    &one.prepared,
                    &[],
                    self.context.endpoints,
                )? {
                    Some(revision) => one.prepared.revision = revision,
                    None => is_other.push(one.at),
                }
            }
            tx.commit()?;
            for one in &mut all {
                one.prepared.after_commit(one.agent)?; // of a plain one that cannot fail
            }
            Ok(())
        };
        commit().map_err(|error| (first, error))?;
        all.retain(|one| !is_other.contains(&one.at));
        Ok(all)
    }

    /// Records what is in the files now.
    fn record_written_of(
        &mut self,
        ended: &[(Decided<'_>, Option<Written>)],
    ) -> Result<(), SyncError> {
        if ended.iter().all(|(_, written)| written.is_none()) {
            return Ok(());
        }
        let mut tx = self.vault.begin(self.context.actor, self.context.clock)?;
        for (one, written) in ended {
            if let Some((bytes, outcome)) = written {
                let known = (&one.prepared.survey, one.prepared.revision);
                record_written(&mut tx, one.agent, known, bytes, outcome)?;
            }
        }
        Ok(tx.commit()?)
    }

    /// Records what the loads have found; returns the locks, which are not needed any more.
    fn finish_all(
        &mut self,
        ended: Vec<(Decided<'_>, Option<Written>)>,
        done: &mut [Outcome],
    ) -> Vec<StoreLock> {
        let mut all = Vec::new();
        for (mut one, written) in ended {
            if let Some((_, outcome)) = written {
                one.prepared.after_write(outcome);
            }
            match finish(self.vault, one.agent, one.prepared) {
                Ok(loaded) => all.push((one.at, one.agent, loaded, one.lock)),
                Err(error) => done[one.at] = Outcome::Done(Err(error)),
            }
        }
        let mut noted = Vec::new();
        for (_, _, loaded, _) in &mut all {
            noted.push(note_sources(loaded));
        }
        let recorded = self.record_observations_of(&all, noted);
        let mut locks = Vec::new();
        for (at, _, mut loaded, lock) in all {
            locks.push(lock);
            if let Err(error) = &recorded {
                let error = error.to_string(); // the next load finds it again
                loaded.notices.push(Notice::NotRecorded { error });
            }
            loaded.notices.append(&mut self.notices);
            done[at] = Outcome::Done(Ok(loaded));
        }
        locks
    }

    fn record_observations_of(
        &mut self,
        all: &[(usize, &AgentRef, Loaded, StoreLock)],
        noted: Vec<Vec<Noted>>,
    ) -> Result<(), SyncError> {
        let mut all_found = Vec::new();
        let mut failed = None;
        for ((_, agent, loaded, _), noted) in all.iter().zip(noted) {
            match find_observations(self.vault, &self.context, agent, loaded, noted) {
                Ok(found) => all_found.extend(found.map(|found| (*agent, found))),
                Err(error) => failed = Some(error), // the other agents' are recorded all the same
            }
        }
        if !all_found.is_empty() {
            let mut tx = self.vault.begin(self.context.actor, self.context.clock)?;
            for (agent, found) in all_found {
                record_observations(&mut tx, &agent.name, found)?;
            }
            tx.commit()?;
        }
        failed.map_or(Ok(()), Err)
    }
}
