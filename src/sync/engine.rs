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

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::beside::Scene;
use super::destination::ExportPlan;
use super::edited::Edited;
use super::error::SyncError;
use super::logins::{LoginReport, Notes, SourceNote};
use super::notice::Notice;
use super::settle::Locking;
use super::sources::{Legacy, LoginSources, Planned, Planning, Readings, Rules};
use super::store_lock::HeldStores;
use super::survey::{Course, Survey};
use crate::config::AgentRef;
use crate::domain::{Borrowed, Credential, Endpoint, Section, StoreDoc};
use crate::export::{StorePlace, StoreReading, store_digest};
use crate::platform::openclaw::Examined;
use crate::platform::{Actor, Clock, FileError, RuntimeDir};
use crate::vault::{AgentState, Damage, ExportRecord, UnlockedVault, VaultError};

/// The change of a command that logged in.
pub const LOGIN: &str = "login";
/// The change of a command that puts an earlier version back.
pub const RESTORE: &str = "restore";
/// Whether the sources are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// They are.
    On,
    /// They are not (`--no-sync`). The store file is reconciled all the same.
    Off,
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
    /// The store was written anew with the same bytes.
    pub(super) was_touched: bool,
}

impl Loaded {
    /// Whether another account's login came into a profile and users of its token have not been warned yet, as far as the load
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
    pub(super) findings: Findings,
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

/// What the vault has of an agent, in one state of it.
struct Stored {
    version: i64,
    state: AgentState,
    record: Option<ExportRecord>,
    notes: Notes,
    /// The file as it was understood before.
    file: Option<StoreReading>,
}

/// What was found outside, for as long as one step takes.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) openclaw: Arc<Examined>,
    pub(super) sources: Readings,
    /// The user's runtime directory, where there is one that may be used.
    pub(super) runtime: OnceCell<RuntimeDir>,
    /// The step is one over several agents.
    is_shared: bool,
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
            findings: Findings::default(),
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
        let is_writable = self.vault.read_only().is_none();
        if is_writable {
            self.see_to_interrupted()?;
        }
        let survey = self.survey_to_load(agent, mode)?;
        if !is_writable || survey.needs_nothing() {
            return self.loaded_as_it_is(agent, survey);
        }
        let how = (mode, Extent::AsNeeded, Locking::WhenWritten);
        self.settle(agent, how, Some(survey), unchanged)
    }

    /// The first look of a load, which takes no lock.
    pub(super) fn survey_to_load(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
    ) -> Result<Survey, SyncError> {
        let survey = self.survey(agent, mode, None)?;
        Ok(self.surveyed_to_load(agent, survey))
    }

    /// What a load goes by, of what was found.
    pub(super) fn surveyed_to_load(&self, agent: &AgentRef, mut survey: Survey) -> Survey {
        // The other credentials of a damaged agent are synced all the same, but there is no frame to put them into.
        if survey.is_left_alone(&survey.state.doc) && survey.is_settled() {
            survey.leaves_file = true;
            survey.tell_of_other_writers(&agent.name, &Course::nothing());
        }
        let read_only = self.vault.read_only().cloned();
        if let Some(reason) = read_only.filter(|_| !survey.is_settled()) {
            survey.leave_out_changes(reason);
        }
        survey
    }

    /// The agent as it was surveyed, where there is nothing to be done.
    pub(super) fn loaded_as_it_is(
        &mut self,
        agent: &AgentRef,
        mut survey: Survey,
    ) -> Result<Loaded, SyncError> {
        let is_writable = self.vault.read_only().is_none();
        let not_written = survey.take_want_of_memory();
        let not_written = not_written.filter(|_| is_writable && !survey.state.doc.is_blank());
        let was_touched = is_writable && survey.was_touched();
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
            was_touched,
        };
        if is_writable {
            self.observe(agent, &mut loaded)?;
        }
        loaded.notices.append(&mut self.told);
        Ok(loaded)
    }

    /// Notes a store that was written anew with the same bytes: `history` would say for ever that it had changed since.
    ///
    /// # Errors
    /// When the vault cannot be read or written. Nothing that counts is amiss then.
    pub fn note_touched(&mut self, agent: &AgentRef, loaded: &Loaded) -> Result<(), SyncError> {
        if !loaded.was_touched {
            return Ok(());
        }
        let place = StorePlace::of_agent(&agent.dir)?;
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        tx.see_export(place.site(), &agent.name)?;
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

    /// Begins a step over several agents, or a new part of one: everything outside is looked at once for all of them, until
    /// [`Engine::end_shared_step`].
    pub(super) fn begin_shared_step(&mut self) {
        self.findings = Findings {
            openclaw: Arc::new(self.findings.openclaw.anew()),
            is_shared: true,
            ..Findings::default()
        };
    }

    pub(super) fn is_in_shared_step(&self) -> bool {
        self.findings.is_shared
    }

    pub(super) fn end_shared_step(&mut self) {
        self.findings = Findings::default();
    }

    /// Has everything outside looked at again, but in the middle of a step over several agents.
    pub(super) fn forget_findings(&mut self) {
        if !self.findings.is_shared {
            self.findings = Findings::default();
        }
    }

    /// Looks at everything. What `last` found is not opened and parsed anew where nothing has changed since; this engine must
    /// not have committed anything in between.
    pub(super) fn survey(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
        last: Option<Survey>,
    ) -> Result<Survey, SyncError> {
        self.forget_findings();
        let place = StorePlace::of_agent(&agent.dir)?;
        let stored = self.stored_again(agent, &place, mode, last)?;
        // After the vault: a file that is older than what the vault knows of it would undo what is
        // newer.
        let scene = Scene::find(place, &self.findings.openclaw)?;
        self.compare(agent, mode, stored, scene)
    }

    /// As [`Engine::survey`], where the store was examined already: under its locks, or to see whether
    /// they are needed.
    pub(super) fn survey_scene(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
        last: Option<Survey>,
        scene: Scene,
    ) -> Result<Survey, SyncError> {
        let stored = self.stored_again(agent, &scene.place, mode, last)?;
        self.compare(agent, mode, stored, scene)
    }

    /// What the vault has of an agent; `last`, where that is what it has still.
    fn stored_again(
        &self,
        agent: &AgentRef,
        place: &StorePlace,
        mode: SyncMode,
        last: Option<Survey>,
    ) -> Result<Stored, SyncError> {
        // Asked first: what another process commits from here on makes it another one next time.
        let version = self.vault.data_version()?;
        Ok(match last {
            Some(last) if last.version == version && last.place == *place => Stored {
                version,
                state: last.state,
                record: last.record,
                notes: last.notes,
                file: Some(last.file),
            },
            _ => {
                let (state, record, notes) = self.stored(agent, place, mode)?;
                Stored {
                    version,
                    state,
                    record,
                    notes,
                    file: None,
                }
            }
        })
    }

    /// Compares what the vault has with what the store and the sources say.
    fn compare(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
        stored: Stored,
        scene: Scene,
    ) -> Result<Survey, SyncError> {
        let Stored {
            version,
            state,
            record,
            notes,
            file,
        } = stored;
        let Scene {
            place,
            contents,
            withheld,
        } = scene;
        let is_known = |bytes: &[u8]| {
            let record = record.as_ref();
            record.is_some_and(|record| self.vault.is_as_exported(record, bytes))
        };
        let file = StoreReading::understand(contents, file, is_known);
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

    /// What the vault has of an agent, what it knows of its file, and what is noted of its sources. A snapshot that does not
    /// open is listed with the rows.
    fn stored(
        &self,
        agent: &AgentRef,
        place: &StorePlace,
        mode: SyncMode,
    ) -> Result<(AgentState, Option<ExportRecord>, Notes), SyncError> {
        let is_asked = mode == SyncMode::On;
        let mut read = (self.vault).agent_and_store(&agent.name, place.site(), is_asked)?;
        let record = read.record.unwrap_or_else(|row| {
            read.state.unopened.push(row);
            None
        });
        let notes = match read.skips {
            None => Notes::NotAsked,
            Some(Err(VaultError::Unopened { row })) => Notes::Damaged(row),
            Some(rows) => {
                let rows = rows?.into_iter();
                let notes = rows.map(|(profile, row)| (profile, SourceNote::parse(&row)));
                Notes::Of(notes.collect())
            }
        };
        Ok((read.state, record, notes))
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

    /// What the sources say of a document, what became of their logins, and what there is to tell of that.
    pub(super) fn plan(
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
            readings: &self.findings.sources,
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
}

/// The edit of a load that has none.
pub(super) fn unchanged(_doc: &StoreDoc) -> Result<Edited, SyncError> {
    Ok(Edited::nothing())
}
