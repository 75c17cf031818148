//! One load of an agent: reconcile with the store file, take over the sources' logins, export.
//!
//! Nothing is locked or written while everything agrees, which is nearly always. Otherwise, under the store's two locks:
//!
//! 1. merge what another program wrote into the file (base: what was last in it);
//! 2. apply what the sources say;
//! 3. apply the command's own change, if it has one;
//! 4. make room for the new file, if there is to be one;
//! 5. commit 1 to 3 with their events in one transaction;
//! 6. write the file, and only then record what is in it.
//!
//! Killed between 5 and 6, the next load finds the agent's revision ahead of the export's and writes the file. Found at 6
//! that another program has written in the meantime, without the lock or because this process was stopped for long, the
//! load begins again and merges that too. Killed in the middle of 6, it leaves a draft, or what that program wrote: the
//! next load merges it (`leftover`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::borrowed::Update;
use super::change::{Pinning, Step, apply, merge_events, old_copy_event};
use super::destination::ExportPlan;
use super::edited::Edited;
use super::error::SyncError;
use super::exporting::{Committal, export_event, record_known};
use super::logins::{LoginReport, Notes, SourceNote};
use super::notice::Notice;
use super::renew::LEASE_WAIT;
use super::shared::{Exchanged, share};
use super::sources::{LEGACY_STORE, Legacy, LoginSources, Planned, Planning, Rules};
use super::store_lock::{HeldStores, LOCK_TIMEOUT, StoreLock};
use super::survey::{Course, Reason, Survey, Takeover, Write};
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::config::AgentRef;
use crate::domain::{Borrowed, Credential, Endpoint, Section, StoreDoc};
use crate::export::{StorePlace, StoreReading, render, store_digest};
use crate::platform::{
    Actor, Clock, FileError, LockDir, RemoveOutcome, Replaced, exists, remove_if_present,
};
use crate::vault::{AgentState, Damage, ExportRecord, UnlockedVault, VaultError};

/// The change of a command that logged in.
pub const LOGIN: &str = "login";
/// The change of a command that puts an earlier version back.
pub const RESTORE: &str = "restore";
/// How often a load begins again because another program keeps writing without the lock.
const ROUNDS_MAX: usize = 50;

/// Whether the sources are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// They are.
    On,
    /// They are not (`--no-sync`). The store file is reconciled all the same.
    Off,
}

/// When the lock that gateways take, too, is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Locking {
    /// Before anything is decided.
    Always,
    /// Only before a store is written: who reads a store that is whole need not wait for a gateway.
    WhenWritten,
}

/// When the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// When it says anything else than the vault.
    AsNeeded,
    /// When any byte of it differs from what would be written.
    EveryByte,
}

/// An agent after a load.
#[derive(Debug)]
pub struct Loaded {
    /// Its store document.
    pub doc: StoreDoc,
    /// The vault's revision of it: another one, once anything of it is changed.
    pub revision: i64,
    /// What the vault had before, if the load changed it.
    pub before: Option<StoreDoc>,
    /// Rows that are not as clawkeep left them. The document lacks them, and no store was written.
    pub unopened: Vec<String>,
    /// What the document lacks for that.
    pub damage: Damage,
    /// The logins that were imported as another program's.
    pub borrowed: BTreeMap<String, Borrowed>,
    /// What there is to tell.
    pub notices: Vec<Notice>,
    /// What was decided about each source's login.
    pub planned: Vec<Planned>,
    /// What became of each source's login.
    pub logins: Vec<LoginReport>,
    /// What was noted of the sources before.
    pub(super) notes: Notes,
    /// Why the file could not be written. The vault has everything; the next load tries again.
    pub not_written: Option<FileError>,
    /// Why a file that is not to be there could not be removed.
    pub not_removed: Option<FileError>,
}

impl Loaded {
    /// Whether another account's login came into a profile and whoever uses its token has not been warned yet, as far as the load
    /// knows.
    #[must_use]
    pub fn has_unannounced(&self, profile: &str) -> bool {
        let is_noted = match &self.notes {
            Notes::Of(notes) => notes
                .get(profile)
                .is_some_and(|note| note.unannounced.is_some() && !note.is_warned),
            Notes::NotAsked | Notes::Damaged(_) => false,
        };
        let is_new = |notice: &Notice| matches!(notice, Notice::AccountChanged { profile: changed, .. } if *changed == profile);
        is_noted || self.notices.iter().any(is_new)
    }
}

/// Says what a login that comes into the vault is pinned to: where its provider gives out tokens now.
pub type Endpoints<'e> = &'e dyn Fn(&Credential<'_>) -> Option<Endpoint>;

/// Loads agents of one vault.
pub struct Engine<'e> {
    /// The vault.
    pub vault: &'e mut UnlockedVault,
    /// Whose logins to take over.
    pub sources: &'e LoginSources<'e>,
    /// Who acts.
    pub actor: &'e Actor,
    /// When.
    pub clock: Clock,
    /// Where the locks between our own processes lie.
    pub lock_dir: PathBuf,
    /// What new logins are pinned to; without it, the first refresh does that.
    pub endpoints: Option<Endpoints<'e>>,
    /// How stores are exported; without it, as files where the gateway looks.
    pub export: Option<ExportPlan<'e>>,
    /// How long a store's locks are waited for; without it, for as long as another program or a refresh may need them: who comes
    /// again by itself has no need to.
    pub patience: Option<Duration>,
    /// Which rules decide about other programs' logins.
    pub rules: Rules,
    /// The profile that its source's login is to replace, whatever stands in the way.
    pub adopts: Option<String>,
    pub(super) held: HeldStores,
    /// Copies in memory that a gateway wrote into while their links were replaced, with the stores that they are of.
    pub(super) left_copies: Vec<(PathBuf, PathBuf)>,
    /// What there is to tell of what was done between loads; the next load tells it.
    pub(super) told: Vec<Notice>,
}

impl std::fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.vault.path().display())
    }
}

/// The lock file, in `lock_dir`, on which our own processes queue for the store that stands at `store`: [`StorePlace::site`].
#[must_use]
pub fn queue_path(lock_dir: &Path, store: &Path) -> PathBuf {
    lock_dir.join(format!("store-{}", store_digest(store)))
}

/// What came of one round.
enum Round {
    Done(Box<Loaded>),
    /// Another program wrote into the file meanwhile; nothing is lost, and all is to be looked at again. What there is to
    /// tell so far, and what the vault had before.
    Again(Vec<Notice>, StoreDoc),
}

impl<'e> Engine<'e> {
    /// An engine on `vault`, with the locks between our own processes in `lock_dir`.
    #[must_use]
    pub fn new(
        vault: &'e mut UnlockedVault,
        sources: &'e LoginSources<'e>,
        actor: &'e Actor,
        clock: Clock,
        lock_dir: PathBuf,
    ) -> Self {
        Self {
            vault,
            sources,
            actor,
            clock,
            lock_dir,
            endpoints: None,
            export: None,
            patience: None,
            rules: Rules::Own,
            adopts: None,
            left_copies: Vec::new(),
            held: HeldStores::default(),
            told: Vec::new(),
        }
    }

    /// What there is to tell that no load has told.
    pub fn take_told(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.told)
    }

    /// Loads an agent. What a refresh that was cut off has left is seen to first. Of a vault that
    /// can only be read, the answer is what it holds; [`Notice::NotSynced`] says so where a load
    /// would change that.
    ///
    /// # Errors
    /// When the vault, the store or its lock cannot be used. What was committed before stays.
    pub fn load(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Loaded, SyncError> {
        self.vault.reload_keys()?;
        let read_only = self.vault.read_only().cloned();
        if read_only.is_none() {
            self.see_to_interrupted()?;
        }
        let mut survey = self.survey(agent, mode, None)?;
        // The other credentials of a damaged agent are synced all the same, but there is no frame to put them into.
        if survey.is_left_alone(&survey.state.doc) && survey.is_settled() {
            survey.leaves_file = true;
            survey.tell_of_other_writers(&agent.name, &Course::nothing());
        }
        if let Some(reason) = read_only.clone().filter(|_| !survey.is_settled()) {
            survey.leave_out_changes(reason);
        }
        if read_only.is_some() || survey.is_settled() || survey.state.damage.frame {
            let not_written = survey.take_want_of_memory();
            let not_written =
                not_written.filter(|_| read_only.is_none() && !survey.state.doc.is_blank());
            let mut loaded = Loaded {
                doc: survey.state.doc,
                revision: survey.state.revision,
                before: None,
                unopened: survey.state.unopened,
                damage: survey.state.damage,
                borrowed: survey.state.borrowed,
                notices: survey.notices,
                planned: survey.planned,
                logins: survey.logins,
                notes: survey.notes,
                not_written,
                not_removed: None,
            };
            if read_only.is_none() {
                self.observe(agent, &mut loaded)?;
            }
            loaded.notices.append(&mut self.told);
            return Ok(loaded);
        }
        let locking = Locking::WhenWritten;
        self.settle(
            agent,
            (mode, Extent::AsNeeded, locking),
            Some(survey),
            unchanged,
        )
    }

    /// Notes a store that was written anew with the same bytes: `history` would say for ever that it had changed since.
    ///
    /// # Errors
    /// When the vault cannot be read or written. Nothing that counts is amiss then.
    pub fn note_touched(&mut self, agent: &AgentRef) -> Result<(), SyncError> {
        let survey = self.survey(agent, SyncMode::Off, None)?;
        let is_settled = survey.is_known() && survey.state.unopened.is_empty();
        let Some(record) = survey.record.as_ref().filter(|_| is_settled) else {
            return Ok(());
        };
        let modified = survey.place.modified().filter(|at| *at > record.updated_at);
        if modified.is_none_or(|at| at > self.clock.now()) {
            return Ok(());
        }
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        tx.see_export(survey.place.site(), &agent.name)?;
        Ok(tx.commit()?)
    }

    /// Loads an agent and changes it. `edit` may be called more than once and sees what other programs wrote.
    ///
    /// # Errors
    /// As [`Engine::load`], and whatever `edit` refuses; nothing is changed then.
    pub fn edit<E: From<SyncError>>(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
        edit: impl Fn(&StoreDoc) -> Result<Edited, E>,
    ) -> Result<Loaded, E> {
        let how = (mode, Extent::AsNeeded, Locking::Always);
        self.settle(agent, how, None, edit)
    }

    /// Loads an agent and writes its store anew if any byte of it differs from what the vault would write.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn rewrite(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Loaded, SyncError> {
        let how = (mode, Extent::EveryByte, Locking::Always);
        self.settle(agent, how, None, unchanged)
    }

    /// Looks at everything. What `last` found is not opened and parsed anew where nothing has changed since; this engine must
    /// not have committed anything in between.
    pub(super) fn survey(
        &self,
        agent: &AgentRef,
        mode: SyncMode,
        last: Option<Survey>,
    ) -> Result<Survey, SyncError> {
        let place = StorePlace::of_agent(&agent.dir)?;
        // Asked first: what another process commits from here on makes it another one next time.
        let version = self.vault.data_version()?;
        let (state, record, notes, file) = match last {
            Some(last) if last.version == version && last.place == place => {
                (last.state, last.record, last.notes, Some(last.file))
            }
            _ => {
                let (state, record) = self.stored(agent, &place)?;
                (state, record, self.notes(agent, mode)?, None)
            }
        };
        let is_known = |bytes: &[u8]| {
            let record = record.as_ref();
            record.is_some_and(|record| self.vault.is_as_exported(record, bytes))
        };
        let file = place.read_again(file, is_known)?;
        let withheld = place.openclaw_dir();
        let (planned, logins, mut notices) = self.plan(agent, &notes, &state.doc);
        let borrowed = self.borrowed_updates(&state.doc, &state.borrowed, mode, &mut notices);
        let is_first = matches!(file, StoreReading::Missing) && record.is_none();
        let has_profiles = state.doc.entries(Section::Profiles).next().is_some();
        let legacy = match mode {
            SyncMode::On if is_first && !has_profiles && withheld.is_none() => {
                self.sources.legacy(place.dir(), &mut notices)
            }
            _ => Legacy::default(),
        };
        let is_known_elsewhere = match &file {
            StoreReading::Parsed { bytes, .. } if !state.superseded.is_empty() => {
                self.is_known_elsewhere(agent, &place, bytes)?
            }
            _ => false,
        };
        let (destination, copy) = self.destination(agent, &place);
        let left = self.left_copies.iter();
        let left: Vec<PathBuf> = left
            .filter(|(site, _)| site == place.site())
            .map(|(_, copy)| copy.clone())
            .collect();
        Ok(Survey {
            leftovers: place.leftovers(copy.as_deref(), &left),
            destination,
            place,
            version,
            state,
            record,
            notes,
            file,
            withheld,
            is_known_elsewhere,
            now: self.clock.now(),
            leaves_file: false,
            mended: false,
            planned,
            borrowed,
            logins,
            legacy,
            notices,
        })
    }

    /// What the vault has of an agent, and what it knows of its file. A snapshot that does not open is listed with the rows.
    fn stored(
        &self,
        agent: &AgentRef,
        place: &StorePlace,
    ) -> Result<(AgentState, Option<ExportRecord>), SyncError> {
        let mut state = self.vault.agent(&agent.name)?;
        let record = match self.vault.export_record(place.site(), &agent.name)? {
            Ok(record) => record,
            Err(row) => {
                state.unopened.push(row);
                None
            }
        };
        Ok((state, record))
    }

    /// Whether another agent whose store is the same file knows these bytes.
    fn is_known_elsewhere(
        &self,
        agent: &AgentRef,
        place: &StorePlace,
        bytes: &[u8],
    ) -> Result<bool, SyncError> {
        for other in self.vault.agents()? {
            if other != agent.name
                && let Ok(Some(record)) = self.vault.export_record(place.site(), &other)?
                && self.vault.is_as_exported(&record, bytes)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is noted of the sources of an agent's profiles.
    fn notes(&self, agent: &AgentRef, mode: SyncMode) -> Result<Notes, SyncError> {
        if mode == SyncMode::Off {
            return Ok(Notes::NotAsked);
        }
        match self.vault.sync_skips(&agent.name) {
            Err(VaultError::Unopened { row }) => Ok(Notes::Damaged(row)),
            rows => {
                let rows = rows?.into_iter();
                let notes = rows.map(|(profile, row)| (profile, SourceNote::parse(&row)));
                Ok(Notes::Of(notes.collect()))
            }
        }
    }

    /// What the sources say of a document, what became of their logins, and what there is to tell of that.
    fn plan(
        &self,
        agent: &AgentRef,
        notes: &Notes,
        doc: &StoreDoc,
    ) -> (Vec<Planned>, Vec<LoginReport>, Vec<Notice>) {
        // Without the notes nobody knows whose the stored logins are: no other one takes their place.
        let Notes::Of(notes) = notes else {
            return (Vec::new(), Vec::new(), Vec::new());
        };
        let account = |account: &str| {
            let parts = account.split_whitespace();
            let prints = parts.map(|part| self.vault.fingerprint(part).to_string());
            prints.collect::<Vec<_>>().join(" ")
        };
        let planning = Planning {
            agent: &agent.name,
            notes,
            account: &account,
            rules: self.rules,
            adopts: self.adopts.as_deref(),
            now: self.clock.now(),
        };
        let (planned, logins) = self.sources.plan(doc, &planning);
        let urgent = logins.iter().filter(|report| report.is_urgent());
        let mut notices: Vec<Notice> = urgent
            .map(|report| Notice::Login(Box::new(report.clone())))
            .collect();
        notices.extend(
            planned
                .iter()
                .filter(|planned| planned.changes_account() && self.adopts.is_none())
                .map(|planned| Notice::AccountChanged {
                    profile: planned.profile,
                    place: planned.place.clone(),
                    why: planned.verdict().1,
                }),
        );
        (planned, logins, notices)
    }

    /// Refuses to make directories once the vault is gone from where it was opened: OpenClaw's upgrade renames the
    /// directory, and a directory that came to be under the old name would end that half way.
    pub(super) fn check_vault_in_place(&self) -> Result<(), SyncError> {
        let path = self.vault.path();
        match exists(path) {
            true => Ok(()),
            false => Err(VaultError::MovedAway {
                path: path.to_owned(),
            }
            .into()),
        }
    }

    /// How long to wait for a store's locks: who refreshes a login holds them while a provider takes its time.
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

    fn settle<E: From<SyncError>>(
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
            let place = &StorePlace::of_agent(&agent.dir).map_err(SyncError::from)?;
            if place.site() != site {
                let path = place.path().to_owned(); // the user's link leads elsewhere by now, and the locks are not for that
                return Err(SyncError::Contended { path }.into());
            }
            // A directory that does not exist yet has no store to lock; it is made only if one is to be written.
            let lock = match locking {
                Locking::Always => store_lock.lock_store(place)?,
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
            // What the vault lacks must not be taken for removed, nor what only the file has for new: the file waits.
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
            let course = Course {
                takeover,
                synced,
                edited,
            };
            survey.planned = planned;
            survey.borrowed = updates;
            survey.logins = logins;
            survey.notices.retain(|notice| !notice.is_about_sources());
            survey.notices.extend(news);
            let target = course.target(&survey.state.doc);
            if is_waiting && is_whole && survey.write_needed(target, extent) != Write::No {
                // What was read is looked at again under the lock, and parsed anew only where it has changed.
                locking = Locking::Always;
                last = Some(survey);
                continue;
            }
            survey.notices.append(&mut told);
            let writes = is_whole && survey.withheld.is_none() && !target.is_blank();
            if writes && self.make_site_dir(&survey)? {
                continue;
            }
            survey.leaves_file = is_whole && survey.is_to_be_left(&course, extent);
            let target = course.target(&survey.state.doc);
            let write = match is_whole {
                true => survey.write_needed(target, extent),
                false => Write::No,
            };
            match self.carry_out(agent, lock, survey, course, write)? {
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

    /// Carries out what was decided.
    fn carry_out(
        &mut self,
        agent: &AgentRef,
        lock: Option<&LockDir>,
        mut survey: Survey,
        course: Course,
        mut write: Write,
    ) -> Result<Round, SyncError> {
        let is_whole = survey.state.unopened.is_empty();
        let want_of_memory = survey.take_want_of_memory();
        let target = course.target(&survey.state.doc);
        let mut not_written = want_of_memory.filter(|_| !target.is_blank());
        let mut not_removed = None;
        let mut replacement = None;
        let mut is_pending = false;
        if let Write::Yes(_) = write {
            let bytes = render(target);
            match self.make_room(agent, &survey, bytes.len()) {
                Ok(begun) => replacement = begun.map(|begun| (begun, bytes)),
                Err(SyncError::File(error)) => not_written = Some(error),
                Err(error) => return Err(error),
            }
            is_pending = replacement.is_none();
            if is_pending {
                write = Write::No;
            }
        }
        is_pending |= !is_whole || survey.leaves_file;
        let withheld = survey.withheld.clone();
        let withheld = withheld.filter(|_| !survey.is_withholding_known() && !target.is_blank());
        let announced = withheld.filter(|_| is_whole);
        let announces = announced.is_some();
        let mut revision = survey.state.revision;
        let is_news = match is_whole {
            true => survey.is_news(&course),
            false => course.changes_something(),
        };
        if is_news || announces || write != Write::No {
            let plan = Committal {
                write,
                announces,
                is_pending,
            };
            let exchanged = self.exchanged(&survey.state.doc, &course.takeover);
            match self.commit(agent, &survey, (&course, &exchanged), plan)? {
                Some(committed) => revision = committed,
                None => return Ok(Round::Again(survey.notices, survey.state.doc)),
            }
        }
        survey
            .notices
            .extend(announced.map(|openclaw| Notice::Withheld { openclaw }));
        survey.tell_of_other_writers(&agent.name, &course);
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
        if let Some((replacement, bytes)) = replacement {
            match self.write(agent, &survey, lock, replacement, &bytes, revision) {
                Ok(Replaced::Yes) if write == Write::Yes(Reason::Missing) => {
                    let path = survey.place.path().to_owned();
                    survey.notices.push(Notice::Restored { path });
                }
                Ok(Replaced::Yes) if survey.is_first_file() => {
                    let path = survey.place.path().to_owned();
                    survey.notices.push(Notice::PlainCopy { path });
                }
                Ok(Replaced::Yes) => {}
                Ok(Replaced::No) => return Ok(Round::Again(survey.notices, survey.state.doc)),
                Err(SyncError::File(error)) => not_written = Some(error),
                Err(error) => return Err(error),
            }
        }
        if write == Write::Remove {
            match self.take_away(agent, &survey, lock) {
                Ok(Replaced::Yes) => {
                    let path = survey.place.path().to_owned();
                    survey.notices.push(Notice::Removed { path });
                }
                Ok(Replaced::No) => return Ok(Round::Again(survey.notices, survey.state.doc)),
                Err(SyncError::File(error)) => not_removed = Some(error),
                Err(error) => return Err(error),
            }
        }
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
        Ok(Round::Done(Box::new(Loaded {
            doc,
            revision,
            before,
            unopened,
            damage,
            borrowed,
            notices: survey.notices,
            planned: survey.planned,
            logins: survey.logins,
            notes: survey.notes,
            not_written,
            not_removed,
        })))
    }

    /// Everything that a load changes in the vault, with its events, in one transaction; the agent's revision after it. Nothing if
    /// the agent is another than was surveyed: the store's locks hold off who comes by the same path, and an agent can be
    /// reached by two.
    fn commit(
        &mut self,
        agent: &AgentRef,
        survey: &Survey,
        (course, exchanged): (&Course, &[Exchanged]),
        plan: Committal,
    ) -> Result<Option<i64>, SyncError> {
        let place = &survey.place;
        let sharing = self.sharing(agent, exchanged)?;
        let stored = &survey.state.doc;
        let merged = course.takeover.doc.as_deref().unwrap_or(stored);
        let synced = course.synced.as_ref().unwrap_or(merged);
        let pinning = Pinning {
            known: &survey.state.pins,
            endpoints: self.endpoints,
        };
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        if tx.revision(&agent.name)? != survey.state.revision {
            return Ok(None);
        }
        let is_whole = survey.state.unopened.is_empty();
        // That of this place is recorded below. What lacks something is no base of a merge.
        if is_whole {
            tx.keep_snapshots(&agent.name, Some(place.site()), || render(stored))?;
        }
        if survey.is_unknown() || plan.announces {
            tx.touch(&agent.name)?; // what is recorded below refers to the agent
        }
        if let Some(merged) = &course.takeover.doc {
            apply(
                &mut tx,
                agent,
                (stored, merged),
                &course.takeover.step,
                &pinning,
            )?;
        }
        merge_events(&mut tx, agent, place, stored, &course.takeover)?;
        if let Some(old) = &course.takeover.old_copy {
            let event = old_copy_event(place, old, !survey.leaves_file);
            tx.append(Some(&agent.name), event)?;
        }
        if let Some(superseded) = survey
            .superseded_after(course, plan.write)
            .filter(|_| is_whole)
        {
            tx.set_superseded(&agent.name, &superseded)?;
        }
        share(&mut tx, agent, exchanged, &sharing)?;
        if let Some(synced) = &course.synced {
            let sync = Step::Sync(&survey.planned);
            apply(&mut tx, agent, (merged, synced), &sync, &pinning)?;
        }
        if let Some(edited) = &course.edited.doc {
            let edit = Step::Edit(course.edited.by);
            apply(&mut tx, agent, (synced, edited), &edit, &pinning)?;
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
        if let Write::Yes(reason) = plan.write {
            tx.append(Some(&agent.name), export_event(survey, reason.as_str()))?;
        }
        if is_whole || survey.is_known() {
            record_known(&mut tx, agent, survey, plan, revision)?;
        }
        if plan.announces {
            let event = EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep)
                .outcome(Outcome::Skipped)
                .detail("reason", "newer-gateway");
            tx.append(Some(&agent.name), event)?;
        }
        tx.commit()?;
        Ok(Some(revision))
    }
}

/// The edit of a load that has none.
fn unchanged(_doc: &StoreDoc) -> Result<Edited, SyncError> {
    Ok(Edited::nothing())
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
