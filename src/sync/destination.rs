//! Where a store is to be: in the file where the gateway looks, in memory, or nowhere. Source: `spec/vault.md`, What is in it.

use std::path::{Path, PathBuf};

use super::engine::Engine;
use super::error::SyncError;
use super::survey::Survey;
use crate::audit::{EventDraft, EventKind, Origin};
use crate::config::{AgentRef, ExportMode};
use crate::domain::{from_outside, path_text};
use crate::export::{StorePlace, StoreReading, copies_in_memory};
use crate::platform::{
    FileError, Found, LockDir, Replaced, Replacement, RuntimeDir, create_private_dir, exists,
    still_has,
};

/// How stores are exported.
#[derive(Clone, Copy)]
pub struct ExportPlan<'e> {
    /// Of an agent. Nothing where the settings cannot be read: what stands there is then left as it is.
    pub mode: &'e dyn Fn(&AgentRef) -> Option<ExportMode>,
    /// What `$XDG_RUNTIME_DIR` names, if it is set.
    pub runtime_dir: Option<&'e Path>,
}

impl std::fmt::Debug for ExportPlan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExportPlan({:?})", self.runtime_dir)
    }
}

/// Where a store is to be.
#[derive(Debug)]
pub(super) enum Destination {
    /// In a file where the gateway looks.
    File,
    /// In memory, with a link to it where the gateway looks.
    Memory {
        /// The user's runtime directory.
        runtime: RuntimeDir,
        /// Where in it the copy is.
        copy: PathBuf,
    },
    /// Nowhere.
    Nowhere,
    /// It should be in memory, and there is none for it: nowhere, then.
    NoMemory(FileError),
    /// It is not known, since the settings cannot be read: nothing is written or taken away.
    Undecided,
}

/// What stands where the gateway looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Nothing,
    File,
    /// A link of this program's, whether or not its copy in memory is there.
    Link,
}

impl Survey {
    fn stands(&self) -> Stands {
        match (self.place.link(), &self.file) {
            (Some(_), _) => Stands::Link,
            (None, StoreReading::Missing) => Stands::Nothing,
            (None, _) => Stands::File,
        }
    }

    /// Whether what stands where the gateway looks is of the kind that is wanted there; where nothing stands, it is.
    pub(super) fn is_placed(&self) -> bool {
        match (&self.destination, self.stands()) {
            (Destination::Undecided, _) | (_, Stands::Nothing) => true,
            (Destination::File, stands) => stands == Stands::File,
            (Destination::Memory { copy, .. }, _) => self.place.link() == Some(copy),
            (Destination::Nowhere, _) => false,
            // What an earlier one led to may be in another runtime directory, and is not on the disk.
            (Destination::NoMemory(_), stands) => stands == Stands::Link,
        }
    }

    /// Whether there is to be a store at all.
    pub(super) fn is_wanted(&self) -> bool {
        !matches!(
            self.destination,
            Destination::Nowhere | Destination::NoMemory(_)
        )
    }

    /// A link of this program's stands there, and its copy in memory went with the last session, as it should.
    pub(super) fn is_dangling(&self) -> bool {
        self.is_placed() && self.stands() == Stands::Link
    }

    /// Why nothing can be written, where that is for want of memory.
    pub(super) fn take_want_of_memory(&mut self) -> Option<FileError> {
        match std::mem::replace(&mut self.destination, Destination::Undecided) {
            Destination::NoMemory(error) => Some(error),
            other => {
                self.destination = other;
                None
            }
        }
    }
}

impl Engine<'_> {
    /// Where an agent's store is to be, and where its copy in memory is, or was.
    pub(super) fn destination(
        &self,
        agent: &AgentRef,
        place: &StorePlace,
    ) -> (Destination, Option<PathBuf>) {
        let runtime = self.runtime_dir().and_then(|runtime| {
            let copy = place.in_memory(&runtime);
            runtime.check(copy.parent().unwrap_or(&copy))?;
            Ok((runtime, copy))
        });
        let copy = runtime.as_ref().ok().map(|(_, copy)| copy.clone());
        let mode = match self.export {
            Some(plan) => (plan.mode)(agent),
            None => Some(ExportMode::File),
        };
        let destination = match (mode, runtime) {
            (None, _) => Destination::Undecided,
            (Some(ExportMode::File), _) => Destination::File,
            (Some(ExportMode::Off), _) => Destination::Nowhere,
            (Some(ExportMode::Runtime), Ok((runtime, copy))) => {
                Destination::Memory { runtime, copy }
            }
            (Some(ExportMode::Runtime), Err(error)) => Destination::NoMemory(error),
        };
        (destination, copy)
    }

    /// The user's runtime directory, once the directory of the copies in it may be used.
    fn runtime_dir(&self) -> Result<RuntimeDir, FileError> {
        let known = &self.findings.runtime;
        if let Some(runtime) = known.get() {
            return Ok(runtime.clone());
        }
        let named = self.export.and_then(|plan| plan.runtime_dir);
        let runtime = RuntimeDir::find(named)?;
        runtime.check(&copies_in_memory(&runtime))?;
        Ok(known.get_or_init(|| runtime).clone())
    }

    /// Makes the directory where the gateway looks, if a store or a link is to be put there; whether it had to be made.
    pub(super) fn make_site_dir(&self, survey: &Survey) -> Result<bool, SyncError> {
        let is_written = matches!(
            survey.destination,
            Destination::File | Destination::Memory { .. }
        );
        let dir = survey.place.site().parent().unwrap_or(survey.place.dir());
        if !is_written || dir.is_dir() {
            return Ok(false);
        }
        self.check_vault_in_place()?;
        create_private_dir(dir)?;
        Ok(true)
    }

    /// Makes room for a store. Nothing where it is not known where to.
    pub(super) fn make_room(
        &mut self,
        agent: &AgentRef,
        survey: &Survey,
        room: usize,
    ) -> Result<Option<Replacement>, SyncError> {
        let place = &survey.place;
        let begun = match &survey.destination {
            Destination::Undecided | Destination::Nowhere | Destination::NoMemory(_) => {
                return Ok(None);
            }
            Destination::File => place.begin_write_as_file(room),
            Destination::Memory { runtime, copy } => {
                let dir = copy.parent().unwrap_or(runtime.path());
                if place.link() == Some(copy) && !exists(dir) {
                    self.begin_session(agent, survey)?;
                }
                runtime.make(dir)?;
                StorePlace::begin_write_in_memory(copy, room)
            }
        };
        Ok(Some(begun?))
    }

    /// The copy in memory went with the last session, and its directory with it. What was in it is no base any more: once there
    /// is a directory again, a gateway can begin a store of its own in it, which would else read as if it had deleted everything.
    fn begin_session(&mut self, agent: &AgentRef, survey: &Survey) -> Result<(), SyncError> {
        if survey.record.is_none() {
            return Ok(());
        }
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        tx.forget_export(survey.place.site(), &agent.name)?;
        Ok(tx.commit()?)
    }

    /// Puts the new store where it is to be, unless another program has written since `seen`.
    ///
    /// In place of a file, the copy in memory is whole before the link to it replaces the file; in place of a link, the file is
    /// whole before the copy is removed. So at every moment one of both can be read where the gateway looks.
    pub(super) fn put_in_place(
        &mut self,
        survey: &Survey,
        lock: Option<&LockDir>,
        replacement: Replacement,
        bytes: &[u8],
    ) -> Result<Replaced, FileError> {
        let (place, seen) = (&survey.place, survey.file.bytes());
        let Destination::Memory { copy, .. } = &survey.destination else {
            let put = put_file((place, seen), lock, replacement, bytes)?;
            return self.without_old_copy(place, seen, put);
        };
        let is_wanted = || Ok(is_held(lock) && place.still_has(seen)? && place.is_as_found());
        if place.link() == Some(copy) {
            let put = replacement.finish(bytes, seen, is_wanted)?;
            // A file in place of the link was made from what the copy said before.
            return Ok(if place.is_as_found() {
                put
            } else {
                Replaced::No
            });
        }
        if replacement.finish(bytes, None, is_wanted)? == Replaced::No {
            return Ok(Replaced::No);
        }
        let linked = place.link_to(copy, seen, is_wanted);
        if !still_has(place.site(), Found::Link(copy)) {
            place.remove_leftover(copy)?; // nobody has seen it
        }
        let put = linked?;
        self.without_old_copy(place, seen, put)
    }

    /// Takes the store away, unless another program has written since what was surveyed, and then records that.
    pub(super) fn take_away(
        &mut self,
        agent: &AgentRef,
        survey: &Survey,
        lock: Option<&LockDir>,
    ) -> Result<Replaced, SyncError> {
        let (place, seen) = (&survey.place, survey.file.bytes());
        if !is_held(lock) || !place.still_has(seen)? || !place.is_as_found() {
            return Ok(Replaced::No);
        }
        let taken = place.withdraw(seen)?;
        if self.without_old_copy(place, seen, taken)? == Replaced::No {
            return Ok(Replaced::No);
        }
        let path = from_outside(&path_text(place.path()));
        let event = EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep)
            .detail("path", path)
            .detail("reason", "removed");
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        tx.touch(&agent.name)?;
        tx.append(Some(&agent.name), event)?;
        tx.commit()?;
        Ok(Replaced::Yes)
    }

    /// Removes the copy in memory to which the link led that was just replaced. What a gateway has written into it since is merged
    /// by the next round.
    fn without_old_copy(
        &mut self,
        place: &StorePlace,
        seen: Option<&[u8]>,
        put: Replaced,
    ) -> Result<Replaced, FileError> {
        let (Replaced::Yes, Some(old)) = (put, place.link()) else {
            return Ok(put);
        };
        let removed = place.remove_copy(old, seen)?;
        if removed == Replaced::No {
            self.left_copies
                .push((place.site().to_owned(), old.to_owned()));
        }
        Ok(removed)
    }
}

/// Puts the new store in place as a file, unless another program has written since `seen`.
pub(super) fn put_file(
    (place, seen): (&StorePlace, Option<&[u8]>),
    lock: Option<&LockDir>,
    replacement: Replacement,
    bytes: &[u8],
) -> Result<Replaced, FileError> {
    let is_wanted = || Ok(is_held(lock) && place.still_has(seen)? && place.is_as_found());
    replacement.finish_over(bytes, place.found(seen), is_wanted)
}

fn is_held(lock: Option<&LockDir>) -> bool {
    lock.is_none_or(LockDir::is_held)
}
