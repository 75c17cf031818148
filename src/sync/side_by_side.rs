//! Several agents loaded side by side, as a login that changed is one for all of them: the sources are read once, the vault
//! commits two or three times, and the files are written at the same time.
//!
//! Only what is plain goes that way: a store that is a file, or is to be one, with nothing left of a write that was cut off,
//! whose locks are free. Everything else, and whatever does not come out as it was decided, is loaded by itself, with all
//! that [`Engine::load`] does. What was committed here and not written is written by that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use super::carry_out::{Prepared, record};
use super::destination::put_file;
use super::engine::{Engine, Extent, Loaded, SyncMode, unchanged};
use super::error::SyncError;
use super::exporting::record_written;
use super::notice::Notice;
use super::observe::{Noted, record_seen};
use super::store_lock::StoreLock;
use super::survey::{Survey, Write};
use crate::config::AgentRef;
use crate::domain::StoreDoc;
use crate::export::StorePlace;
use crate::platform::{FileError, LockDir, Replaced, Replacement, open_files_max, run_all};
use crate::vault::VaultError;

/// How many agents are loaded side by side at most: what is recorded of all of them is one transaction, for which other
/// processes wait.
pub const SIDE_BY_SIDE: usize = 64;
/// A share of the files that a process may have open: each agent holds two, and what it needs beside them is closed at once.
const SHARE_OF_FILES: usize = 4;
/// How many threads write stores. They wait for the disk, which orders what comes together into few writes.
const WRITERS: usize = 4;

/// What came of an agent.
#[allow(clippy::large_enum_variant, reason = "there are 64 of them at most")]
enum Outcome {
    Done(Result<Loaded, SyncError>),
    /// It is to be loaded by itself. With it what there is to tell so far, and what the vault had before, where something of
    /// it was committed.
    Alone(Option<(Vec<Notice>, StoreDoc)>),
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
    /// where `goes_on`, which is asked before an agent that may have to be waited for, says no.
    pub fn load_all(
        &mut self,
        agents: &[(&AgentRef, SyncMode)],
        goes_on: &dyn Fn() -> bool,
    ) -> Vec<Result<Loaded, SyncError>> {
        let mut all = Vec::with_capacity(agents.len());
        let files = open_files_max().unwrap_or(usize::MAX);
        for some in agents.chunks((files / SHARE_OF_FILES).clamp(1, SIDE_BY_SIDE)) {
            let side_by_side = self.load_side_by_side(some);
            for (&(agent, mode), outcome) in some.iter().zip(side_by_side) {
                if matches!(outcome, Outcome::Alone(None)) && !goes_on() {
                    return all;
                }
                let loaded = match outcome {
                    Outcome::Done(loaded) => loaded,
                    Outcome::Alone(None) => self.load(agent, mode),
                    Outcome::Alone(Some((mut notices, before))) => {
                        self.load(agent, mode).map(|mut loaded| {
                            notices.append(&mut loaded.notices);
                            loaded.notices = notices;
                            loaded.before = Some(before);
                            loaded
                        })
                    }
                };
                let is_over = matches!(loaded, Err(SyncError::Vault(_)));
                all.push(loaded);
                if is_over {
                    return all;
                }
            }
        }
        all
    }

    /// Loads agents side by side, as far as that can be done.
    fn load_side_by_side(&mut self, agents: &[(&AgentRef, SyncMode)]) -> Vec<Outcome> {
        let mut done = Vec::new();
        done.resize_with(agents.len(), || Outcome::Alone(None));
        if self.vault.read_only().is_some() {
            return done;
        }
        let ready = self.vault.reload_keys().map_err(SyncError::from);
        if ready.and_then(|()| self.see_to_interrupted()).is_err() {
            return done; // each that is loaded by itself runs into it, too
        }
        self.begin_shared_step();
        let (mut sides, mut settled) = (Vec::new(), Vec::new());
        for (at, &(agent, mode)) in agents.iter().enumerate() {
            match self.survey_to_load(agent, mode) {
                Ok(survey) if survey.needs_nothing() => settled.push((at, agent, survey)),
                Ok(survey) if survey.is_plain() => sides.push(Side {
                    at,
                    agent,
                    mode,
                    survey,
                }),
                _ => {}
            }
        }
        if sides.len() > 1 && self.check_vault_in_place().is_ok() {
            self.begin_shared_step(); // as any load looks once more under the locks
            let decided = sides.into_iter().filter_map(|side| self.decide_side(side));
            let decided: Vec<Decided<'_>> = decided.collect();
            self.end_shared_step();
            self.carry_out_all(decided, &mut done);
        }
        self.end_shared_step();
        // What these have to record comes after the others, whose surveys are of before it.
        for (at, agent, survey) in settled {
            done[at] = Outcome::Done(self.loaded_as_it_is(agent, survey));
        }
        done
    }

    /// Decides about an agent under its store's locks, if those are free and it is plain still.
    fn decide_side<'a>(&mut self, side: Side<'a>) -> Option<Decided<'a>> {
        let (agent, mode) = (side.agent, side.mode);
        let place = StorePlace::of_agent(&agent.dir).ok()?;
        let mut lock = StoreLock::acquire_free(&self.lock_dir, &place).ok()?;
        lock.lock_store(&place, &self.findings.openclaw).ok()??;
        let mut survey = self.survey(agent, mode, Some(side.survey)).ok()?;
        if survey.place != place || !survey.is_plain() {
            return None;
        }
        let course = self.decide::<SyncError>(agent, mode, &mut survey, unchanged);
        let course = course.ok()?;
        let write = survey.settle_write(&course, Extent::AsNeeded);
        if write == Write::Remove {
            return None;
        }
        let prepared = self.prepare(agent, survey, course, write).ok()?;
        // One that other agents share is given to them in the same transaction: that is between two of them.
        prepared.exchanged.is_empty().then_some(Decided {
            at: side.at,
            agent,
            prepared,
            lock,
        })
    }

    /// Carries out what was decided.
    fn carry_out_all(&mut self, all: Vec<Decided<'_>>, done: &mut [Outcome]) {
        let mut all = match self.commit_all(all) {
            Ok(all) => all,
            // It was waited for; no other agent need wait for it again.
            Err((first, SyncError::Vault(busy @ VaultError::Busy { .. }))) => {
                done[first] = Outcome::Done(Err(busy.into()));
                return;
            }
            Err(_) => return, // each that is loaded by itself runs into it, too
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
        let mut written = write_all(jobs);
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
            return;
        }
        self.finish_all(ended, done);
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
            let mut tx = self.vault.begin(self.actor, self.clock)?;
            for one in all.iter_mut().filter(|one| one.prepared.commits) {
                match record(&mut tx, one.agent, &one.prepared, &[], self.endpoints)? {
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
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        for (one, written) in ended {
            if let Some((bytes, outcome)) = written {
                record_written(&mut tx, one.agent, &one.prepared, bytes, outcome)?;
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
            match self.finish(one.agent, one.prepared) {
                Ok(loaded) => all.push((one.at, one.agent, loaded, one.lock)),
                Err(error) => done[one.at] = Outcome::Done(Err(error)),
            }
        }
        let mut noted = Vec::new();
        for (_, _, loaded, _) in &mut all {
            noted.push(self.note_sources(loaded));
        }
        let recorded = self.record_seen_of(&all, noted);
        for (at, _, mut loaded, _lock) in all {
            if let Err(error) = &recorded {
                let error = error.to_string(); // it will be seen again
                loaded.notices.push(Notice::NotRecorded { error });
            }
            loaded.notices.append(&mut self.told);
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
            let found = self.seen(agent, loaded, noted)?;
            seen.extend(found.map(|found| (*agent, found)));
        }
        if seen.is_empty() {
            return Ok(());
        }
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        for (agent, seen) in seen {
            record_seen(&mut tx, &agent.name, seen)?;
        }
        Ok(tx.commit()?)
    }
}

/// Writes files at the same time, with as many threads as can be had.
fn write_all(jobs: Vec<Job<'_>>) -> BTreeMap<usize, Written> {
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
    run_all(vec![work; threads]);
    written.into_inner().unwrap_or_else(PoisonError::into_inner)
}
