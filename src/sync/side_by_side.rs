//! Several agents loaded side by side, as a login that changed is one for all of them: the sources are read once, the vault
//! commits two or three times, and the files are written at the same time.
//!
//! Only what is plain goes that way: a store that is a file, or is to be one, with nothing left of a write that was cut off,
//! whose locks are free. Everything else, and whatever does not come out as it was decided, is loaded by itself, with all
//! that [`Engine::load`] does. What was committed here and not written is written by that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use super::context::{Rewrite, SyncMode};
use super::engine::Engine;
use super::error::SyncError;
use super::load::commit::{Prepared, prepare, record};
use super::load::edit::{edit_document, unchanged};
use super::load::export::{finish, put_file};
use super::load::export_record::record_written;
use super::load::merge::merge_store;
use super::load::observe::{Noted, find_observations, note_sources, record_observations};
use super::load::plan::plan_logins;
use super::load::room::check_vault_in_place;
use super::load::survey::{Survey, survey};
use super::load::write::Write;
use super::loaded::Loaded;
use super::notice::Notice;
use super::store_lock::StoreLock;
use crate::config::AgentRef;
use crate::domain::StoreDoc;
use crate::export::StorePlace;
use crate::platform::{FileError, LockDir, Replaced, Replacement, open_files_max, run_all_beside};
use crate::vault::VaultError;

/// How many agents are loaded side by side at most: what is recorded of all of them is one transaction, for which other
/// processes wait.
const SIDE_BY_SIDE: usize = 128;
/// A share of the files that a process may have open: each agent of two groups holds two, and what it needs beside them is
/// closed at once.
const SHARE_OF_FILES: usize = 8;
/// How many threads write stores. They wait for the disk, which orders what comes together into few writes.
const WRITERS: usize = 4;

/// What came of an agent.
#[allow(clippy::large_enum_variant, reason = "there are few of them")]
enum Outcome {
    Done(Result<Loaded, SyncError>),
    /// It is to be loaded by itself. With it what there is to tell so far, and what the vault had before, where something of
    /// it was committed.
    Alone(Option<(Vec<Notice>, StoreDoc)>),
}

impl Outcome {
    fn is_left_out(&self) -> bool {
        matches!(self, Self::Alone(_))
    }
}

/// Agents that are loaded side by side.
struct Group<'a> {
    /// Of every one. Until it is [carried out](Engine::carry_out_group), each is to be loaded by itself.
    outcomes: Vec<Outcome>,
    decided: Vec<Decided<'a>>,
    /// Those for which there is nothing to do.
    settled: Vec<(usize, &'a AgentRef, Survey)>,
}

impl Group<'_> {
    fn of(count: usize) -> Self {
        let mut outcomes = Vec::new();
        outcomes.resize_with(count, || Outcome::Alone(None));
        Self {
            outcomes,
            decided: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// Whether an agent of it is to be loaded by itself already.
    fn leaves_any_out(&self) -> bool {
        self.decided.len() + self.settled.len() < self.outcomes.len()
    }
}

/// An agent that is loaded side by side with others.
struct Side<'a> {
    /// Its place in the answer.
    at: usize,
    agent: &'a AgentRef,
    mode: SyncMode,
    survey: Survey,
}

/// One of which it is decided what is done.
struct Decided<'a> {
    at: usize,
    agent: &'a AgentRef,
    /// Dropped before the lock: a draft that stays is removed.
    prepared: Prepared,
    lock: StoreLock,
}

/// One file to be written.
struct Job<'j> {
    at: usize,
    replacement: Replacement,
    bytes: Zeroizing<Vec<u8>>,
    place: &'j StorePlace,
    seen: Option<&'j [u8]>,
    lock: Option<&'j LockDir>,
}

/// What came of writing a file, and its bytes.
type Written = (Zeroizing<Vec<u8>>, Result<Replaced, FileError>);

impl Engine<'_> {
    /// Loads agents, each as [`Engine::load`] does: what came of them, in their order. One agent's trouble is not the others',
    /// but that of the vault is: the answer ends with the first who met it, and may be shorter than `agents`. So may it be
    /// where `goes_on`, which is asked between groups and before an agent that may have to be waited for, says no.
    ///
    /// The next group is decided while the files of the last one are written.
    pub fn load_all(
        &mut self,
        agents: &[(&AgentRef, SyncMode)],
        goes_on: &dyn Fn() -> bool,
    ) -> Vec<Result<Loaded, SyncError>> {
        let mut all = Vec::with_capacity(agents.len());
        let files = open_files_max().unwrap_or(usize::MAX);
        let mut groups = agents.chunks((files / SHARE_OF_FILES).clamp(1, SIDE_BY_SIDE));
        let mut outcomes = Vec::new();
        let mut decided = groups.next().map(|some| self.decide_group(some));
        while let Some(mut group) = decided.take() {
            // An agent loaded by itself may need a lock that a group holds: no group is decided ahead of it.
            let is_next_free =
                !group.leaves_any_out() && !outcomes.iter().any(Outcome::is_left_out);
            let ahead = |engine: &mut Self| {
                let some = (is_next_free && goes_on()).then(|| groups.next())??;
                Some(engine.decide_group(some))
            };
            decided = self.carry_out_group(&mut group, ahead);
            outcomes.append(&mut group.outcomes);
            if decided.is_some() {
                continue;
            }
            self.findings.end_shared_step();
            let of = agents[all.len()..].iter();
            for (&(agent, mode), outcome) in of.zip(outcomes.drain(..)) {
                if matches!(outcome, Outcome::Alone(None)) && !goes_on() {
                    return all;
                }
                let loaded = self.load_left_out(agent, mode, outcome);
                let is_over = matches!(loaded, Err(SyncError::Vault(_)));
                all.push(loaded);
                if is_over {
                    return all;
                }
            }
            decided = goes_on()
                .then(|| groups.next())
                .flatten()
                .map(|some| self.decide_group(some));
        }
        all
    }

    /// What came of an agent, which is loaded by itself now if that is still to be done.
    fn load_left_out(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
        outcome: Outcome,
    ) -> Result<Loaded, SyncError> {
        let so_far = match outcome {
            Outcome::Done(loaded) => return loaded,
            Outcome::Alone(so_far) => so_far,
        };
        let mut loaded = self.load(agent, mode)?;
        if let Some((mut notices, before)) = so_far {
            notices.append(&mut loaded.notices);
            loaded.notices = notices;
            loaded.before = Some(before);
        }
        Ok(loaded)
    }

    /// Decides about a group of agents, as far as they can be loaded side by side. The step over all of them stays begun.
    fn decide_group<'a>(&mut self, agents: &[(&'a AgentRef, SyncMode)]) -> Group<'a> {
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
        // Whether an agent needs anything may go by what was found for the last group: under the locks it is looked at anew.
        if !self.findings.is_in_shared_step() {
            self.findings.begin_shared_step();
        }
        let mut sides = Vec::new();
        for (at, &(agent, mode)) in agents.iter().enumerate() {
            match self.survey_to_load(agent, mode) {
                Ok(survey) if survey.needs_nothing() => group.settled.push((at, agent, survey)),
                Ok(survey) if survey.is_plain() => sides.push(Side {
                    at,
                    agent,
                    mode,
                    survey,
                }),
                _ => {}
            }
        }
        if sides.len() > 1 && check_vault_in_place(self.vault).is_ok() {
            self.findings.begin_shared_step(); // as any load looks once more under the locks
            let decided = sides.into_iter().filter_map(|side| self.decide_side(side));
            group.decided.extend(decided);
        }
        group
    }

    /// Carries out what was decided about a group, and does something else while its files are written.
    fn carry_out_group<T>(
        &mut self,
        group: &mut Group<'_>,
        meanwhile: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let decided = std::mem::take(&mut group.decided);
        let done = self.carry_out_all(decided, &mut group.outcomes, meanwhile);
        // What these have to record comes after the others, whose surveys are of before it.
        for (at, agent, survey) in std::mem::take(&mut group.settled) {
            group.outcomes[at] = Outcome::Done(self.loaded_as_it_is(agent, survey));
        }
        done
    }

    /// Decides about an agent under its store's locks, if those are free and it is plain still.
    fn decide_side<'a>(&mut self, side: Side<'a>) -> Option<Decided<'a>> {
        let (agent, mode) = (side.agent, side.mode);
        let place = StorePlace::of_agent(&agent.dir).ok()?;
        let mut lock = StoreLock::acquire_free(&self.context.lock_dir, &place).ok()?;
        lock.lock_store(&place, &self.findings.openclaw).ok()??;
        let last = Some(side.survey);
        let (context, findings) = (&self.context, &mut self.findings);
        let mut survey = survey(self.vault, context, findings, agent, mode, last).ok()?;
        if survey.place != place || !survey.is_plain() {
            return None;
        }
        let merge = merge_store(self.vault, &survey).ok()?;
        let of = (agent, mode);
        let plan = plan_logins(self.vault, context, findings, of, &survey, &merge);
        let course = edit_document(self.vault, &mut survey, merge, plan, unchanged).ok()?;
        let write = survey.settle_write(&course, Rewrite::IfChanged);
        if write == Write::Remove {
            return None;
        }
        let prepared = prepare(self.vault, context, agent, survey, course, write).ok()?;
        // One that other agents share is given to them in the same transaction: that is between two of them.
        prepared.exchanged.is_empty().then_some(Decided {
            at: side.at,
            agent,
            prepared,
            lock,
        })
    }

    /// Carries out what was decided, and does something else while the files are written.
    fn carry_out_all<T>(
        &mut self,
        all: Vec<Decided<'_>>,
        done: &mut [Outcome],
        meanwhile: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let mut all = match self.commit_all(all) {
            Ok(all) => all,
            // It was waited for; no other agent need wait for it again.
            Err((first, SyncError::Vault(busy @ VaultError::Busy { .. }))) => {
                done[first] = Outcome::Done(Err(busy.into()));
                return None;
            }
            Err(_) => return None, // each that is loaded by itself runs into it, too
        };
        let jobs = all.iter_mut().filter_map(|one| {
            let Prepared { draft, survey, .. } = &mut one.prepared;
            let (replacement, bytes) = draft.take()?;
            let survey: &Survey = survey;
            Some(Job {
                at: one.at,
                replacement,
                bytes,
                place: &survey.place,
                seen: survey.file.bytes(),
                lock: one.lock.taken_on(&survey.place),
            })
        });
        let jobs: Vec<Job<'_>> = jobs.collect();
        let begun: BTreeSet<usize> = jobs.iter().map(|job| job.at).collect();
        let (mut written, next) = write_all(jobs, || meanwhile(self));
        let mut ended = Vec::new();
        for one in all {
            match (begun.contains(&one.at), written.remove(&one.at)) {
                // Another program wrote meanwhile, or has taken the lock over.
                (true, None | Some((_, Ok(Replaced::No)))) => {
                    done[one.at] = Outcome::Alone(Some(one.prepared.so_far()));
                }
                (_, written) => ended.push((one, written)),
            }
        }
        if self.record_written_of(&ended).is_err() {
            for (one, _) in ended {
                done[one.at] = Outcome::Alone(Some(one.prepared.so_far()));
            }
            return next;
        }
        self.finish_all(ended, done);
        next
    }

    /// Commits what was decided. An agent that was changed by another path meanwhile is left out. An error comes with the
    /// first agent that it is one of.
    fn commit_all<'a>(
        &mut self,
        mut all: Vec<Decided<'a>>,
    ) -> Result<Vec<Decided<'a>>, (usize, SyncError)> {
        let first = all.first().map_or(0, |one| one.at);
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
        let mut tx = self.vault.begin(self.context.actor, self.context.clock)?;
        for (one, written) in ended {
            if let Some((bytes, outcome)) = written {
                let known = (&one.prepared.survey, one.prepared.revision);
                record_written(&mut tx, one.agent, known, bytes, outcome)?;
            }
        }
        Ok(tx.commit()?)
    }

    /// Records what was seen, and gives up the locks.
    fn finish_all(&mut self, ended: Vec<(Decided<'_>, Option<Written>)>, done: &mut [Outcome]) {
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
        let recorded = self.record_seen_of(&all, noted);
        for (at, _, mut loaded, _lock) in all {
            if let Err(error) = &recorded {
                let error = error.to_string(); // it will be seen again
                loaded.notices.push(Notice::NotRecorded { error });
            }
            loaded.notices.append(&mut self.notices);
            done[at] = Outcome::Done(Ok(loaded));
        }
    }

    fn record_seen_of(
        &mut self,
        all: &[(usize, &AgentRef, Loaded, StoreLock)],
        noted: Vec<Vec<Noted>>,
    ) -> Result<(), SyncError> {
        let mut seen = Vec::new();
        for ((_, agent, loaded, _), noted) in all.iter().zip(noted) {
            let found = find_observations(self.vault, &self.context, agent, loaded, noted)?;
            seen.extend(found.map(|found| (*agent, found)));
        }
        if seen.is_empty() {
            return Ok(());
        }
        let mut tx = self.vault.begin(self.context.actor, self.context.clock)?;
        for (agent, seen) in seen {
            record_observations(&mut tx, &agent.name, seen)?;
        }
        Ok(tx.commit()?)
    }
}

/// Writes files at the same time, with as many threads as can be had, and does something else meanwhile.
fn write_all<T>(
    jobs: Vec<Job<'_>>,
    meanwhile: impl FnOnce() -> T,
) -> (BTreeMap<usize, Written>, T) {
    let threads = WRITERS.min(jobs.len());
    let jobs = Mutex::new(jobs.into_iter());
    let written = Mutex::new(BTreeMap::new());
    let work = || {
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(job) = next() {
            let place = (job.place, job.seen);
            let outcome = put_file(place, job.lock, job.replacement, &job.bytes);
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            written.insert(job.at, (job.bytes, outcome));
        }
    };
    let (_, done) = run_all_beside(vec![work; threads], meanwhile);
    let written = written.into_inner();
    (written.unwrap_or_else(PoisonError::into_inner), done)
}
