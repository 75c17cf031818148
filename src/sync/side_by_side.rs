//! Several agents loaded side by side, as a login that changed is one for all of them: the sources are read once, the vault
//! commits twice, and the files are written at the same time.
//!
//! Only what is plain goes that way: a store that is a file, or is to be one, with nothing left of a write that was cut off,
//! whose locks are free. Everything else, and whatever does not come out as it was decided, is loaded by itself, with all
//! that [`Engine::load`] does. What was committed here and not written is written by that.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use super::carry_out::{Prepared, Round, record};
use super::destination::put_file;
use super::engine::{Engine, Extent, Loaded, SyncMode, unchanged};
use super::error::SyncError;
use super::exporting::record_written;
use super::observe::record_seen;
use super::store_lock::StoreLock;
use super::survey::{Survey, Write};
use crate::config::AgentRef;
use crate::export::StorePlace;
use crate::platform::{FileError, LockDir, Replaced, Replacement, open_files_max, run_all};

/// How many agents are loaded side by side at most: what is recorded of all of them is one transaction, for which other
/// processes wait.
pub const SIDE_BY_SIDE: usize = 64;
/// A share of the files that a process may have open: each agent holds two, and what it needs beside them is closed at once.
const SHARE_OF_FILES: usize = 4;
/// How many threads write stores. They wait for the disk, which orders what comes together into few writes.
const WRITERS: usize = 4;

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
    lock: StoreLock,
    prepared: Prepared,
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
    /// Loads agents, each as [`Engine::load`] does: what came of them, in their order. One agent's trouble is not the others'.
    pub fn load_all(&mut self, agents: &[(&AgentRef, SyncMode)]) -> Vec<Result<Loaded, SyncError>> {
        let mut all = Vec::with_capacity(agents.len());
        let files = open_files_max().unwrap_or(usize::MAX);
        for some in agents.chunks((files / SHARE_OF_FILES).clamp(1, SIDE_BY_SIDE)) {
            let side_by_side = self.load_side_by_side(some);
            for (&(agent, mode), loaded) in some.iter().zip(side_by_side) {
                all.push(loaded.unwrap_or_else(|| self.load(agent, mode)));
            }
        }
        all
    }

    /// What came of the agents that could be loaded side by side.
    fn load_side_by_side(
        &mut self,
        agents: &[(&AgentRef, SyncMode)],
    ) -> Vec<Option<Result<Loaded, SyncError>>> {
        let mut done: Vec<Option<Result<Loaded, SyncError>>> = Vec::new();
        done.resize_with(agents.len(), || None);
        if self.vault.read_only().is_some() {
            return done;
        }
        let ready = self.vault.reload_keys().map_err(SyncError::from);
        if ready.and_then(|()| self.see_to_interrupted()).is_err() {
            return done; // whoever is loaded by itself runs into it, too
        }
        self.begin_shared_step();
        let mut sides = Vec::new();
        for (at, &(agent, mode)) in agents.iter().enumerate() {
            match self.survey_to_load(agent, mode) {
                Ok(survey) if survey.needs_nothing() => {
                    done[at] = Some(self.loaded_as_it_is(agent, survey));
                }
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
            for (at, loaded) in self.carry_out_all(decided).unwrap_or_default() {
                done[at] = Some(Ok(loaded));
            }
        }
        self.end_shared_step();
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
            lock,
            prepared,
        })
    }

    /// Carries out what was decided; the agents that came out of it as it was.
    fn carry_out_all(
        &mut self,
        mut all: Vec<Decided<'_>>,
    ) -> Result<Vec<(usize, Loaded)>, SyncError> {
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        let mut is_other = Vec::new();
        for one in all.iter_mut().filter(|one| one.prepared.commits) {
            match record(&mut tx, one.agent, &one.prepared, &[], self.endpoints)? {
                Some(revision) => one.prepared.revision = revision,
                None => is_other.push(one.at), // changed by another path meanwhile
            }
        }
        tx.commit()?;
        all.retain(|one| !is_other.contains(&one.at));
        for one in &mut all {
            one.prepared.after_commit(one.agent)?;
        }
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
                lock: one.lock.held_on(&survey.place),
            })
        });
        let mut written = write_all(jobs.collect());
        let mut ended = Vec::new();
        for one in all {
            match written.remove(&one.at) {
                Some((_, Ok(Replaced::No))) => {} // another program wrote meanwhile
                written => ended.push((one, written)),
            }
        }
        self.record_ends(ended)
    }

    /// Records what is in the files now and what was seen, and gives up the locks.
    fn record_ends(
        &mut self,
        ended: Vec<(Decided<'_>, Option<Written>)>,
    ) -> Result<Vec<(usize, Loaded)>, SyncError> {
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        for (one, written) in &ended {
            if let Some((bytes, outcome)) = written {
                record_written(&mut tx, one.agent, &one.prepared, bytes, outcome)?;
            }
        }
        tx.commit()?;
        let mut all = Vec::new();
        for (mut one, written) in ended {
            if let Some((_, outcome)) = written {
                one.prepared.after_write(outcome);
            }
            if let Round::Done(loaded) = self.finish(one.agent, one.prepared)? {
                all.push((one.at, one.agent, *loaded, one.lock));
            }
        }
        let mut noted = Vec::new();
        for (_, _, loaded, _) in &mut all {
            noted.push(self.note_sources(loaded));
        }
        let mut seen = Vec::new();
        for ((_, agent, loaded, _), noted) in all.iter().zip(noted) {
            let found = self.seen(agent, loaded, noted)?;
            seen.extend(found.map(|found| (*agent, found)));
        }
        if !seen.is_empty() {
            let mut tx = self.vault.begin(self.actor, self.clock)?;
            for (agent, seen) in seen {
                record_seen(&mut tx, &agent.name, seen)?;
            }
            tx.commit()?;
        }
        let ended = all.into_iter().map(|(at, _, mut loaded, _lock)| {
            loaded.notices.append(&mut self.told);
            (at, loaded)
        });
        Ok(ended.collect())
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
