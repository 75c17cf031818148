//! One load of an agent: reconcile with the store file, import the sources' logins, export.
//!
//! Nothing is locked or written while everything agrees, which is nearly always. Otherwise, under
//! the store's two locks, a load goes through the steps in `load`:
//!
//! 1. `survey`: read the vault, the file, and other programs' files;
//! 2. `merge`: merge what another program wrote into the file (base: what was last in it);
//! 3. `plan`: apply what the sources say;
//! 4. `edit`: apply the command's own change, if it has one;
//! 5. `commit`: make room for the new file, and commit 2 to 4 with their events in one transaction;
//! 6. `export`: write the file, and only then record what is in it.
//!
//! Killed between 5 and 6, the next load finds the agent's revision ahead of the export's and
//! writes the file. If another program has written in the meantime, without the lock or because
//! this process was stopped for long, the load begins again and merges that too. Killed in the
//! middle of 6, it leaves a draft, or what that program wrote: the next load merges it
//! (`leftover`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::context::{LoadContext, Rewrite, SyncMode, SyncedAgent};
use super::edited::Edited;
use super::error::SyncError;
use super::hand_out::{HandOut, Refreshes, record_hand_out};
use super::load::commit::{commit, prepare};
use super::load::damaged::set_damaged_aside;
use super::load::edit::{edit_document, unchanged};
use super::load::export::{export, finish};
use super::load::findings::Findings;
use super::load::leftover::adopt_leftovers;
use super::load::merge::{StoreMerge, merge_store, report_other_writers};
use super::load::observe::{self, Keeping, observe};
use super::load::plan::plan_logins;
use super::load::room::{check_vault_in_place, make_site_dir};
use super::load::survey::{Survey, survey};
use super::load::write::Write;
use super::loaded::Loaded;
use super::logins::decide::Rules;
use super::logins::sources::LoginSources;
use super::notice::Notice;
use super::refresh::grant::LEASE_WAIT;
use super::refresh::interrupted::recover_interrupted_refreshes;
use super::refresh::outcome::RefreshOutcome;
use super::rotate;
use super::store_lock::{HeldStores, LOCK_TIMEOUT, StoreLock};
use super::{openclaw_copy, openclaw_store};
use crate::config::AgentRef;
use crate::domain::{ProfileId, StoreDoc};
use crate::export::{StorePlace, StoreReading};
use crate::platform::{Actor, Clock, Replaced};
use crate::vault::{Pin, Rotated, RotationScope, UnlockedVault};

/// How often a load begins again because another program keeps writing without the lock.
const ROUNDS_MAX: usize = 50;

/// When a load takes the lock that gateways take, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Locking {
    /// Before anything of the agent is decided.
    Always,
    /// Only before a store is written: a reader of a store that is whole need not wait for a
    /// gateway.
    WhenWritten,
}

/// What a load does, and when.
#[derive(Clone, Copy, Debug)]
struct Terms {
    mode: SyncMode,
    rewrite: Rewrite,
    locking: Locking,
}

impl Terms {
    /// Those of a load that writes the store only if that says something else than the vault.
    fn of(mode: SyncMode, locking: Locking) -> Self {
        Self {
            mode,
            rewrite: Rewrite::IfChanged,
            locking,
        }
    }
}

/// Loads agents of one vault.
pub struct Engine<'e> {
    /// The vault that holds the agents.
    pub vault: &'e mut UnlockedVault,
    /// What every load goes by.
    pub context: LoadContext<'e>,
    pub(super) held: HeldStores,
    pub(super) findings: Findings,
    /// What to report of what was done between loads; the next load reports it.
    pub(super) notices: Vec<Notice>,
}

impl std::fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.vault.path().display())
    }
}

impl<'e> Engine<'e> {
    /// Makes an engine on `vault`, with the locks between our own processes in `lock_dir`.
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
            context: LoadContext {
                sources,
                actor,
                clock,
                lock_dir,
                endpoints: None,
                export: None,
                patience: None,
                rules: Rules::Own,
                adopts: None,
            },
            findings: Findings::default(),
            held: HeldStores::default(),
            notices: Vec::new(),
        }
    }

    /// Takes the notices that no load has reported.
    pub(crate) fn drain_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Loads an agent, after recovering interrupted refreshes. Of a vault that can only be read,
    /// the answer is what it holds; [`Notice::NotSynced`] says so where a load would change that.
    ///
    /// # Errors
    /// When the vault, the store or its lock cannot be used. What was committed before stays.
    pub fn load(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Loaded, SyncError> {
        match agent.name.openclaw_id() {
            Some(_) => self.follow_openclaw(agent, mode),
            None => self.load_own(agent, mode),
        }
    }

    /// Loads an agent of OpenClaw, with what OpenClaw's database says of it now. Where that cannot
    /// be read, what the vault has stays.
    fn follow_openclaw(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Loaded, SyncError> {
        let theirs = match mode {
            SyncMode::On => openclaw_store::read(agent),
            SyncMode::Off => Ok(None),
        };
        // No other program's login is mirrored into it.
        let mut loaded = self.load_own(agent, SyncMode::Off)?;
        let is_writable = self.vault.read_only().is_none() && loaded.unopened.is_empty();
        match theirs {
            Ok(Some(theirs)) if is_writable && theirs.change(&loaded).is_some() => {
                let how = Terms::of(SyncMode::Off, Locking::Always);
                let edit = |_: &StoreDoc| -> Result<Edited, SyncError> {
                    Ok(theirs.change(&loaded).unwrap_or_else(Edited::nothing))
                };
                loaded = self.load_locked(agent, how, None, edit)?;
            }
            Ok(_) => {}
            Err((path, fault)) => {
                let notice = openclaw_store::notice_of(&loaded, &path, &fault);
                loaded.notices.extend(notice);
            }
        }
        let is_expected = |notice: &Notice| matches!(notice, Notice::Withheld { .. });
        loaded.notices.retain(|notice| !is_expected(notice));
        Ok(loaded)
    }

    fn load_own(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Loaded, SyncError> {
        self.vault.reload_keys()?;
        let is_writable = self.vault.read_only().is_none();
        if is_writable {
            self.recover_interrupted_refreshes()?;
        }
        let survey = self.survey_to_load(agent, mode)?;
        if !is_writable || survey.needs_nothing() {
            return self.loaded_as_it_is(agent, survey);
        }
        let how = Terms::of(mode, Locking::WhenWritten);
        self.load_locked(agent, how, Some(survey), unchanged)
    }

    /// Loads an agent and changes it. `edit` may be called more than once and gets what other
    /// programs wrote.
    ///
    /// # Errors
    /// As [`Engine::load`], and whatever `edit` refuses; nothing is changed then.
    pub fn edit<E: From<SyncError>>(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
        edit: impl Fn(&StoreDoc) -> Result<Edited, E>,
    ) -> Result<Loaded, E> {
        if agent.name.openclaw_id().is_some() {
            let agent = agent.name.clone();
            return Err(SyncError::OpenClaws { agent }.into());
        }
        let how = Terms::of(mode, Locking::Always);
        self.load_locked(agent, how, None, edit)
    }

    /// Loads an agent and rewrites its store if any byte of it differs from what the vault would
    /// write.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn rewrite(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Loaded, SyncError> {
        if agent.name.openclaw_id().is_some() {
            return self.load(agent, mode); // no store of it is written
        }
        let rewrite = Rewrite::Always;
        let how = Terms {
            rewrite,
            ..Terms::of(mode, Locking::Always)
        };
        self.load_locked(agent, how, None, unchanged)
    }

    /// Recovers refreshes that were begun and whose process is gone.
    pub(super) fn recover_interrupted_refreshes(&mut self) -> Result<(), SyncError> {
        recover_interrupted_refreshes(self.vault, &self.context, &mut self.notices)
    }

    /// Surveys an agent for a load, without a lock.
    fn survey_to_load(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Survey, SyncError> {
        let findings = &mut self.findings;
        let survey = survey(self.vault, &self.context, findings, agent, mode, None)?;
        Ok(self.surveyed_to_load(agent, survey))
    }

    /// What a load goes by, of what was surveyed without a lock.
    pub(super) fn surveyed_to_load(&self, agent: &AgentRef, mut survey: Survey) -> Survey {
        // The other credentials of a damaged agent are synced all the same, but there is no frame
        // to put them into.
        if survey.is_left_alone(&survey.state.doc) && survey.is_settled() {
            survey.leaves_file = true;
            report_other_writers(&mut survey, &agent.name, &StoreMerge::nothing());
        }
        let read_only = self.vault.read_only().cloned();
        if let Some(reason) = read_only.filter(|_| !survey.is_settled()) {
            survey.leave_out_changes(reason);
        }
        survey
    }

    /// The agent as it was surveyed, where there is nothing to do.
    pub(super) fn loaded_as_it_is(
        &mut self,
        agent: &AgentRef,
        mut survey: Survey,
    ) -> Result<Loaded, SyncError> {
        let is_writable = self.vault.read_only().is_none();
        let not_written = survey.runtime_dir_error();
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
            observe(self.vault, &self.context, agent, &mut loaded)?;
        }
        loaded.notices.append(&mut self.notices);
        Ok(loaded)
    }

    /// Loads an agent under its store's locks, which are taken unless they are held already.
    fn load_locked<E: From<SyncError>>(
        &mut self,
        agent: &AgentRef,
        how: Terms,
        last: Option<Survey>,
        edit: impl Fn(&StoreDoc) -> Result<Edited, E>,
    ) -> Result<Loaded, E> {
        let place = StorePlace::of_agent(&agent.dir).map_err(SyncError::from)?;
        let Some(mut lock) = self.held.take(&place) else {
            check_vault_in_place(self.vault)?; // the lock's directory lies beside it
            let patience = self.lock_patience()?;
            let mut lock = StoreLock::acquire(&self.context.lock_dir, &place, patience)?;
            return self.load_in_rounds(agent, &mut lock, how, last, edit);
        };
        let loaded = self.load_in_rounds(agent, &mut lock, how, last, edit);
        self.held.put(&place, lock);
        loaded
    }

    /// How long to wait for a store's locks: a process that refreshes a login holds them while a
    /// provider takes its time.
    fn lock_patience(&self) -> Result<Duration, SyncError> {
        if let Some(patience) = self.context.patience {
            return Ok(patience);
        }
        let is_refreshing = !self.vault.started_refreshes()?.is_empty();
        Ok(if is_refreshing {
            LEASE_WAIT
        } else {
            LOCK_TIMEOUT
        })
    }

    /// Goes through the steps of a load until what was found and what was decided belong together.
    fn load_in_rounds<E: From<SyncError>>(
        &mut self,
        agent: &AgentRef,
        store_lock: &mut StoreLock,
        how: Terms,
        last: Option<Survey>,
        edit: impl Fn(&StoreDoc) -> Result<Edited, E>,
    ) -> Result<Loaded, E> {
        let mut notices = Vec::new();
        let loaded = self.repeat_rounds(agent, store_lock, how, last, &mut notices, edit);
        self.notices.append(&mut notices); // of rounds that committed, if a later one failed
        loaded
    }

    fn repeat_rounds<E: From<SyncError>>(
        &mut self,
        agent: &AgentRef,
        store_lock: &mut StoreLock,
        terms: Terms,
        mut last: Option<Survey>,
        notices: &mut Vec<Notice>,
        edit: impl Fn(&StoreDoc) -> Result<Edited, E>,
    ) -> Result<Loaded, E> {
        let Terms {
            mode,
            rewrite,
            mut locking,
        } = terms;
        let (context, findings) = (&self.context, &mut self.findings);
        let vault = &mut *self.vault;
        let mut before = None;
        for _ in 0..ROUNDS_MAX {
            findings.forget();
            let place = &StorePlace::of_agent(&agent.dir).map_err(SyncError::from)?;
            if !store_lock.is_for(place) {
                let path = place.path().to_owned();
                return Err(SyncError::Contended { path }.into());
            }
            // A directory that does not exist yet has no store to lock; it is made only if one is
            // to be written.
            let lock = match locking {
                Locking::Always => store_lock.lock_store(place, &findings.openclaw)?,
                Locking::WhenWritten => store_lock.held_on(place),
            };
            let is_waiting = lock.is_none() && locking == Locking::WhenWritten;
            vault.reload_keys().map_err(SyncError::from)?;
            let survey = survey(vault, context, findings, agent, mode, last.take())?;
            if survey.place != *place {
                // A link was put there, or removed, and what is locked is not what is read.
                continue;
            }
            if survey.state.damage.frame {
                return Err(survey.state.unopened_error().into());
            }
            let is_damaged = matches!(survey.file, StoreReading::Damaged { .. });
            if is_waiting && (is_damaged || !survey.leftovers.is_empty()) {
                locking = Locking::Always;
                continue;
            }
            // What the vault lacks must not be mistaken for removed, nor what only the file has for
            // new: the file waits.
            let is_whole = survey.state.unopened.is_empty();
            let of = SyncedAgent { agent, mode };
            let mut survey = match is_whole {
                true => {
                    let survey = adopt_leftovers(vault, context, findings, of, place, survey)?;
                    set_damaged_aside(vault, context, findings, of, place, survey)?
                }
                false => survey,
            };
            if survey.place != *place {
                notices.append(&mut survey.notices);
                continue;
            }
            let merge = merge_store(vault, &survey)?;
            let plan = plan_logins(vault, context, findings, of, &survey, &merge);
            let steps = edit_document(vault, &mut survey, merge, plan, &edit)?;
            let target = steps.target(&survey.state.doc);
            if is_waiting && is_whole && survey.write_needed(target, rewrite) != Write::No {
                // What was read is read again under the lock, and parsed only where it has changed.
                locking = Locking::Always;
                last = Some(survey);
                continue;
            }
            let writes = is_whole && survey.withheld.is_none() && !target.is_blank();
            if writes && make_site_dir(vault, &survey)? {
                continue;
            }
            survey.notices.append(notices);
            let write = survey.settle_write(&steps, rewrite);
            let mut prepared = prepare(vault, context, agent, survey, steps, write)?;
            if commit(vault, context, agent, &mut prepared)?
                && export(vault, context, findings, agent, lock, &mut prepared)? == Replaced::Yes
            {
                let mut loaded = finish(vault, agent, prepared)?;
                loaded.before = before.or(loaded.before);
                observe(vault, context, agent, &mut loaded)?;
                loaded.notices.append(&mut self.notices);
                return Ok(loaded);
            }
            let (so_far, had) = prepared.so_far();
            *notices = so_far;
            before.get_or_insert(had);
        }
        let path = agent.store_file();
        Err(SyncError::Contended { path }.into())
    }

    /// Notes a store that another program rewrote with the same bytes: otherwise `history` would
    /// report permanently that it had changed since.
    ///
    /// # Errors
    /// When the vault cannot be read or written. No credential is affected then.
    pub fn note_touched(&mut self, agent: &AgentRef, loaded: &Loaded) -> Result<(), SyncError> {
        if !loaded.was_touched {
            return Ok(());
        }
        let place = StorePlace::of_agent(&agent.dir)?;
        let mut tx = self.vault.begin(self.context.actor, self.context.clock)?;
        tx.note_unchanged_export(place.site(), &agent.name)?;
        Ok(tx.commit()?)
    }

    /// Keeps a stored login on purpose, whatever is noted of its sources; `loaded` is the agent
    /// after a load.
    ///
    /// # Errors
    /// When the notes are damaged, or cannot be written.
    pub fn keep(
        &mut self,
        agent: &AgentRef,
        loaded: &Loaded,
        profile: &str,
    ) -> Result<Keeping, SyncError> {
        observe::keep(self.vault, &self.context, agent, loaded, profile)
    }

    /// Takes the account change of a profile that no command which handed out its token has warned
    /// of, in the word of the record. It is returned once; `doctor` reports it until the user keeps
    /// it.
    ///
    /// # Errors
    /// When the vault cannot be read or written.
    pub fn take_unannounced(
        &mut self,
        agent: &AgentRef,
        profile: &ProfileId,
    ) -> Result<Option<String>, SyncError> {
        observe::take_unannounced(self.vault, &self.context, agent, profile)
    }

    /// Loads an agent and lets `choose` decide what of it is handed out. Where rows are
    /// [damaged](Loaded::damage), `choose` refuses what may depend on them. The hand-out is
    /// committed to the record before this returns, and only if the credentials are still those
    /// that were chosen from; otherwise it is chosen again.
    ///
    /// Logins that are [due](HandOut::due) are refreshed first, by `refresh`, each once. Where
    /// nothing is handed out, what was passed over is recorded all the same. `choose` gets the pins
    /// of sessions if a `session` asks.
    ///
    /// # Errors
    /// As [`Engine::load`]; when the event cannot be recorded; and whatever `choose` or `refresh`
    /// refuses. Nothing may be handed out then.
    pub fn hand_out<T, E: From<SyncError>>(
        &mut self,
        (agent, session): (&AgentRef, Option<&str>),
        mode: SyncMode,
        choose: impl Fn(&Loaded, &[Pin], &Refreshes) -> Result<(HandOut, T), E>,
        refresh: impl Fn(&mut Self, &ProfileId) -> Result<RefreshOutcome, E>,
    ) -> Result<(Loaded, T, Refreshes), E> {
        let mut refreshes = Refreshes::default();
        let mut rounds = 0;
        while rounds < ROUNDS_MAX {
            let loaded = self.load(agent, mode)?;
            let is_unread = session.is_none() || loaded.damage.pins || loaded.damage.frame;
            let pins = match is_unread {
                true => Vec::new(),
                false => self.vault.pins(&agent.name).map_err(SyncError::from)?,
            };
            let (hand_out, chosen) = choose(&loaded, &pins, &refreshes)?;
            let due = hand_out.due.iter().filter(|id| !refreshes.was_tried(id));
            let due: Vec<ProfileId> = due.cloned().collect();
            if !due.is_empty() {
                self.keep_notices(loaded);
                for id in due {
                    let outcome = refresh(self, &id)?;
                    refreshes.note(id, outcome);
                }
                continue;
            }
            if record_hand_out(self.vault, &self.context, agent, &loaded, &hand_out)? {
                return Ok((loaded, chosen, refreshes));
            }
            self.keep_notices(loaded);
            rounds += 1;
        }
        let path = agent.store_file();
        Err(SyncError::Contended { path }.into())
    }

    /// Keeps the notices of a load that is repeated, but those that the next load finds again.
    fn keep_notices(&mut self, loaded: Loaded) {
        let notices = loaded.notices.into_iter();
        let lasting = notices.filter(|notice| !notice.is_about_sources());
        self.notices.extend(lasting);
    }

    /// Replaces the vault's data key, once no refresh is under way. What refreshes have brought
    /// that is not in the vault yet is stored first: it is sealed under the old key.
    ///
    /// # Errors
    /// As [`UnlockedVault::rotate`]; [`crate::vault::VaultError::RefreshUnderWay`] when a refresh
    /// takes too long.
    pub fn rotate(&mut self, scope: RotationScope<'_>) -> Result<Rotated, SyncError> {
        rotate::rotate(self.vault, &self.context, &mut self.notices, scope)
    }

    /// Stores what refreshes have brought that is not in the vault yet, and waits until none is
    /// under way.
    ///
    /// # Errors
    /// [`crate::vault::VaultError::RefreshUnderWay`] when one takes too long.
    pub fn settle_refreshes(&mut self) -> Result<(), SyncError> {
        rotate::settle_refreshes(self.vault, &self.context, &mut self.notices)
    }

    /// Removes the store at `site`, if an OpenClaw with SQLite fails beside it and it is proved to
    /// be a copy of what the vault has. Whether it was removed.
    ///
    /// # Errors
    /// When the store, its queue or the vault cannot be used.
    pub fn remove_openclaw_copy(&mut self, site: &Path) -> Result<bool, SyncError> {
        openclaw_copy::remove(self.vault, &self.context, site)
    }
}
