//! A load under the store's locks: look again, merge, apply, until what was found and what was
//! decided belong together.

use std::path::Path;
use std::time::Duration;

use crate::config::AgentRef;
use crate::domain::{Section, StoreDoc};
use crate::export::{StorePlace, StoreReading};
use crate::platform::exists;
use crate::sync::edited::Edited;
use crate::sync::engine::{Engine, Extent, Loaded, SyncMode};
use crate::sync::error::SyncError;
use crate::sync::load::borrowed::Update;
use crate::sync::load::commit::Round;
use crate::sync::load::survey::{Course, Survey, Takeover, Write};
use crate::sync::logins::sources::Planned;
use crate::sync::refresh::LEASE_WAIT;
use crate::sync::store_lock::{LOCK_TIMEOUT, StoreLock};
use crate::vault::VaultError;

/// How often a load begins again because another program keeps writing without the lock.
const ROUNDS_MAX: usize = 50;

/// When the lock that gateways take, too, is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locking {
    /// Before anything is decided.
    Always,
    /// Only before a store is written: who reads a store that is whole need not wait for a gateway.
    WhenWritten,
}

impl Engine<'_> {
    /// Refuses to make directories once the vault is gone from where it was opened: OpenClaw's
    /// upgrade renames the directory, and a directory that came to be under the old name would end
    /// that half way.
    pub(crate) fn check_vault_in_place(&self) -> Result<(), SyncError> {
        let path = self.vault.path();
        match exists(path) {
            true => Ok(()),
            false => Err(VaultError::MovedAway {
                path: path.to_owned(),
            }
            .into()),
        }
    }

    /// How long to wait for a store's locks: who refreshes a login holds them while a provider
    /// takes its time.
    fn lock_patience(&self) -> Result<Duration, SyncError> {
        if let Some(patience) = self.patience {
            return Ok(patience);
        }
        let is_refreshing = !self.vault.started_refreshes()?.is_empty();
        Ok(if is_refreshing {
            LEASE_WAIT
        } else {
            LOCK_TIMEOUT
        })
    }

    pub(crate) fn settle<E: From<SyncError>>(
        &mut self,
        agent: &AgentRef,
        how: (SyncMode, Extent, Locking),
        last: Option<Survey>,
        edit: impl Fn(&StoreDoc) -> Result<Edited, E>,
    ) -> Result<Loaded, E> {
        let place = StorePlace::of_agent(&agent.dir).map_err(SyncError::from)?;
        let site = place.site();
        let Some(mut lock) = self.held.take(&place) else {
            self.check_vault_in_place()?; // the lock's directory lies beside it
            let mut lock = StoreLock::acquire(&self.lock_dir, &place, self.lock_patience()?)?;
            return self.settle_locked(agent, site, &mut lock, how, last, edit);
        };
        let settled = self.settle_locked(agent, site, &mut lock, how, last, edit);
        self.held.put(&place, lock);
        settled
    }

    fn settle_locked<E: From<SyncError>>(
        &mut self,
        agent: &AgentRef,
        site: &Path,
        store_lock: &mut StoreLock,
        (mode, extent, mut locking): (SyncMode, Extent, Locking),
        mut last: Option<Survey>,
        edit: impl Fn(&StoreDoc) -> Result<Edited, E>,
    ) -> Result<Loaded, E> {
        let mut told = Vec::new();
        let mut before = None;
        for _ in 0..ROUNDS_MAX {
            self.forget_findings();
            let place = &StorePlace::of_agent(&agent.dir).map_err(SyncError::from)?;
            if place.site() != site {
                let path = place.path().to_owned(); // the user's link leads elsewhere by now, and the locks are not for that
                return Err(SyncError::Contended { path }.into());
            }
            // A directory that does not exist yet has no store to lock; it is made only if one is
            // to be written.
            let lock = match locking {
                Locking::Always => store_lock.lock_store(place, &self.findings.openclaw)?,
                Locking::WhenWritten => store_lock.held_on(place),
            };
            let is_waiting = lock.is_none() && locking == Locking::WhenWritten;
            self.vault.reload_keys().map_err(SyncError::from)?;
            let survey = self.survey(agent, mode, last.take())?;
            if survey.place != *place {
                continue; // a link was put there, or taken away, and what is locked is not what is read
            }
            if survey.state.damage.frame {
                return Err(survey.state.unopened_error().into());
            }
            let is_damaged = matches!(survey.file, StoreReading::Damaged { .. });
            if is_waiting && (is_damaged || !survey.leftovers.is_empty()) {
                locking = Locking::Always;
                continue;
            }
            // What the vault lacks must not be taken for removed, nor what only the file has for
            // new: the file waits.
            let is_whole = survey.state.unopened.is_empty();
            let mut survey = match is_whole {
                true => {
                    let survey = self.adopt_leftovers(agent, mode, place, survey)?;
                    self.set_damaged_aside(agent, mode, place, survey)?
                }
                false => survey,
            };
            if survey.place != *place {
                told.append(&mut survey.notices);
                continue;
            }
            let course = self.decide(agent, mode, &mut survey, &edit)?;
            let target = course.target(&survey.state.doc);
            if is_waiting && is_whole && survey.write_needed(target, extent) != Write::No {
                // What was read is looked at again under the lock, and parsed anew only where it
                // has changed.
                locking = Locking::Always;
                last = Some(survey);
                continue;
            }
            survey.notices.append(&mut told);
            let writes = is_whole && survey.withheld.is_none() && !target.is_blank();
            if writes && self.make_site_dir(&survey)? {
                continue;
            }
            let write = survey.settle_write(&course, extent);
            match self.carry_out(agent, lock, (survey, course), write)? {
                Round::Done(mut loaded) => {
                    loaded.before = before.or(loaded.before);
                    self.observe(agent, &mut loaded)?;
                    loaded.notices.append(&mut self.told);
                    return Ok(*loaded);
                }
                Round::Again(notices, had) => {
                    told = notices;
                    before.get_or_insert(had);
                }
            }
        }
        let path = agent.store_file();
        Err(SyncError::Contended { path }.into())
    }

    /// Decides what becomes of an agent that was surveyed: what another program wrote into the file
    /// is merged, what the sources say applied, and then `edit`. What the survey says of the
    /// sources is brought up to that.
    pub(crate) fn decide<E: From<SyncError>>(
        &self,
        agent: &AgentRef,
        mode: SyncMode,
        survey: &mut Survey,
        edit: impl Fn(&StoreDoc) -> Result<Edited, E>,
    ) -> Result<Course, E> {
        let is_whole = survey.state.unopened.is_empty();
        let takeover = match is_whole {
            true => {
                let takeover = self.without_spent(survey.takeover(), &survey.state.doc)?;
                self.spread(takeover, &survey.state.doc)
            }
            false => Takeover::nothing(),
        };
        let merged = takeover.doc.as_deref().unwrap_or(&survey.state.doc);
        // Not the survey's plan: that was made without what another program wrote into the file.
        let (mut planned, logins, mut news) = self.plan(agent, &survey.notes, merged);
        let marks = &survey.state.borrowed;
        let mut updates = self.borrowed_updates(merged, marks, mode, &mut news);
        updates.retain(|one| !survey.state.damage.profiles.contains_key(&one.profile));
        planned.retain(|planned| !survey.state.damage.profiles.contains_key(planned.profile));
        let synced = planned_doc(merged, &planned, &updates);
        let base = synced.as_ref().unwrap_or(merged);
        let mut edited = edit(base)?;
        edited.doc = edited.doc.filter(|doc| doc != base);
        if let Some(doc) = edited.doc.as_ref().filter(|_| !is_whole) {
            // What is lost of a credential's use is not begun anew.
            let mut lost = survey.state.damage.usage.iter();
            if lost.any(|id| doc.get(Section::Usage, id).is_some()) {
                return Err(survey.state.unopened_error().into());
            }
        }
        self.check_nothing_spent(base, &edited)?;
        survey.planned = planned;
        survey.borrowed = updates;
        survey.logins = logins;
        survey.notices.retain(|notice| !notice.is_about_sources());
        survey.notices.extend(news);
        Ok(Course {
            takeover,
            synced,
            edited,
        })
    }
}

impl Survey {
    /// Whether the file is to be written, once what becomes of the agent is decided.
    pub(crate) fn settle_write(&mut self, course: &Course, extent: Extent) -> Write {
        let is_whole = self.state.unopened.is_empty();
        self.leaves_file = is_whole && self.is_to_be_left(course, extent);
        match is_whole {
            true => self.write_needed(course.target(&self.state.doc), extent),
            false => Write::No,
        }
    }
}

/// The document after what was planned; none if every profile is kept.
fn planned_doc(doc: &StoreDoc, planned: &[Planned], updates: &[Update]) -> Option<StoreDoc> {
    let mut changing = planned.iter().filter(|planned| !planned.keeps()).peekable();
    if changing.peek().is_none() && updates.is_empty() {
        return None;
    }
    let mut doc = doc.clone();
    changing.for_each(|planned| planned.apply(&mut doc));
    for update in updates {
        let entry = update.entry.expose_secret().clone();
        doc.set(Section::Profiles, &update.profile, entry);
    }
    Some(doc)
}
