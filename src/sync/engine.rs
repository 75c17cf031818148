//! One load of an agent: reconcile with the store file, take over the sources' logins, export.
//!
//! Nothing is locked or written while everything agrees, which is nearly always. Otherwise, under the store's two locks:
//!
//! 1. merge what another program wrote into the file (base: what was last in it);
//! 2. apply the command's own change, if it has one;
//! 3. apply what the sources say;
//! 4. commit all that with its events in one transaction;
//! 5. write the file if it says anything else, and only then record what is in it.
//!
//! Killed between 4 and 5, the next load finds the agent's revision ahead of the export's and writes the file.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::change::{Step, apply, merge_events};
use super::error::SyncError;
use super::merge::{Side, merge};
use super::notice::Notice;
use super::plan::Decision;
use super::sources::{LEGACY_STORE, LoginSources, Planned};
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::config::AgentRef;
use crate::domain::{ProfileId, SecretJson, Section, StoreDoc};
use crate::export::{StorePlace, StoreReading, parse, render};
use crate::platform::{Actor, Clock, LockDir, QueueLock, create_private_dir, remove_if_present};
use crate::sources::legacy::LegacyEntry;
use crate::vault::{AgentState, ExportRecord, ExportState, Tx, UnlockedVault};

/// How long to wait for the store's locks. Source: `spec/compat.md`, Locking.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// Whether the sources are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// They are.
    On,
    /// They are not (`--no-sync`). The store file is reconciled all the same.
    Off,
}

/// An agent after a load.
#[derive(Debug)]
pub struct Loaded {
    /// Its store document.
    pub doc: StoreDoc,
    /// Rows that did not open. The document lacks them, and nothing was written.
    pub unopened: Vec<String>,
    /// What there is to tell.
    pub notices: Vec<Notice>,
    /// What was decided about each source's login.
    pub planned: Vec<Planned>,
}

/// A change that a command makes: the document after it, and the event that says so. No event: nothing to change.
#[derive(Debug)]
pub struct Edited {
    /// The document after the change.
    pub doc: StoreDoc,
    /// What to record.
    pub event: Option<EventDraft>,
}

/// Loads agents of one vault.
#[derive(Debug)]
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
}

/// What is found before anything is decided.
pub(super) struct Survey {
    pub(super) state: AgentState,
    record: Option<ExportRecord>,
    pub(super) file: StoreReading,
    /// The file's bytes are those the vault last knew in it.
    as_known: bool,
    withheld: bool,
    planned: Vec<Planned>,
    /// What older stores hold, while there is neither a store nor anything in the vault.
    legacy: Vec<LegacyEntry>,
    pub(super) notices: Vec<Notice>,
}

impl Survey {
    /// Everything agrees: nothing to lock, nothing to write.
    fn is_settled(&self) -> bool {
        let is_current = |record: &ExportRecord| record.revision == self.state.revision;
        let file = match &self.file {
            StoreReading::Parsed { .. } => {
                self.as_known
                    && self
                        .record
                        .as_ref()
                        .is_some_and(|record| self.withheld || is_current(record))
            }
            StoreReading::Missing => self.state.doc.is_blank() || self.withheld,
            StoreReading::Damaged { .. } => false,
        };
        let told = !self.withheld || self.is_withholding_known() || self.state.doc.is_blank();
        file && told
            && self.legacy.is_empty()
            && self
                .planned
                .iter()
                .all(|planned| matches!(planned.decision, Decision::Keep { .. }))
    }

    /// The document after taking over what another program wrote.
    fn merged(&self) -> Takeover {
        let first = self.record.is_none();
        let mut doc = self.state.doc.clone();
        match &self.file {
            StoreReading::Parsed { doc: file, .. } if !self.as_known => {
                let merged = merge(&base_of(self), file, &self.state.doc);
                let theirs = merged
                    .lost
                    .into_iter()
                    .filter(|lost| lost.side == Side::File);
                Takeover {
                    doc: merged.doc,
                    lost: theirs.map(|lost| (lost.id, lost.entry)).collect(),
                    step: Step::Merge { first },
                }
            }
            _ => {
                for (id, entry) in &self.legacy {
                    doc.set(Section::Profiles, id, entry.expose_secret().clone());
                }
                Takeover {
                    doc,
                    lost: Vec::new(),
                    step: Step::Legacy,
                }
            }
        }
    }

    /// The file holds bytes that the vault does not know.
    fn is_unknown(&self) -> bool {
        matches!(self.file, StoreReading::Parsed { .. }) && !self.as_known
    }

    /// There is something to record, whether or not the file is to be written.
    fn is_news(&self, course: &Course) -> bool {
        self.is_unknown()
            || self.is_record_behind()
            || course.takeover.doc != self.state.doc
            || course.edited.event.is_some()
            || course.target != course.edited.doc
    }

    /// The vault's idea of what is in the file is behind, though the file is right: to be recorded.
    fn is_record_behind(&self) -> bool {
        self.as_known
            && !self.withheld
            && self
                .record
                .as_ref()
                .is_some_and(|record| record.revision != self.state.revision)
    }

    fn is_withholding_known(&self) -> bool {
        self.record
            .as_ref()
            .is_some_and(|record| record.state == ExportState::Withheld)
    }
}

/// A document that another program's changes were merged into, or an older store's content.
struct Takeover {
    doc: StoreDoc,
    /// Credentials of the file that gave way to the vault's: kept as versions.
    lost: Vec<(ProfileId, SecretJson)>,
    /// Where the changes came from.
    step: Step<'static>,
}

/// The documents a load goes through, from the vault's to the one it ends with.
struct Course {
    takeover: Takeover,
    edited: Edited,
    target: StoreDoc,
}

/// Why the file is written.
enum Write {
    No,
    Yes { reason: &'static str },
}

impl Engine<'_> {
    /// Loads an agent.
    ///
    /// # Errors
    /// When the vault, the store or its lock cannot be used. What was committed before stays.
    pub fn load(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Loaded, SyncError> {
        let survey = self.survey(agent, mode)?;
        if survey.is_settled() || !survey.state.unopened.is_empty() {
            return Ok(Loaded {
                doc: survey.state.doc,
                unopened: survey.state.unopened,
                notices: survey.notices,
                planned: survey.planned,
            });
        }
        self.settle(agent, mode, |doc| {
            Ok(Edited {
                doc: doc.clone(),
                event: None,
            })
        })
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
        self.settle(agent, mode, edit)
    }

    /// Writes the agent's store anew if it differs in any byte from what the vault would write.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn rewrite(&mut self, agent: &AgentRef, mode: SyncMode) -> Result<Loaded, SyncError> {
        let loaded = self.load(agent, mode)?;
        let place = StorePlace::of_agent(&agent.dir)?;
        if place.is_newer_gateways() || loaded.doc.is_blank() || !loaded.unopened.is_empty() {
            return Ok(loaded);
        }
        let _queue = self.queue(&place)?;
        let _lock = LockDir::acquire(place.real(), Instant::now() + LOCK_TIMEOUT)?;
        let survey = self.survey(agent, mode)?;
        let bytes = render(&survey.state.doc);
        let same = matches!(&survey.file, StoreReading::Parsed { bytes: now, .. } if now.as_slice() == bytes.as_slice());
        // Whatever another program wrote since is the next load's to merge, not ours to overwrite.
        if !same && survey.as_known {
            let mut tx = self.vault.begin(self.actor, self.clock.now())?;
            tx.append(Some(&agent.name), export_event(&place, "asked"))?;
            tx.commit()?;
            self.write(agent, &place, &bytes, survey.state.revision)?;
        }
        Ok(loaded)
    }

    pub(super) fn survey(&self, agent: &AgentRef, mode: SyncMode) -> Result<Survey, SyncError> {
        let place = StorePlace::of_agent(&agent.dir)?;
        let state = self.vault.agent(&agent.name)?;
        let record = self.vault.export_record(place.real(), &agent.name)?;
        let file = place.read()?;
        let as_known = match (&file, &record) {
            (StoreReading::Parsed { bytes, .. }, Some(record)) => {
                self.vault.is_as_exported(record, bytes)
            }
            _ => false,
        };
        let withheld = place.is_newer_gateways();
        let (planned, mut notices) = self.plan(&state.doc, mode);
        let is_first = matches!(file, StoreReading::Missing) && record.is_none();
        let has_profiles = state.doc.entries(Section::Profiles).next().is_some();
        let legacy = match mode {
            SyncMode::On if is_first && !has_profiles && !withheld => {
                self.sources.legacy(place.dir(), &mut notices)
            }
            _ => Vec::new(),
        };
        Ok(Survey {
            state,
            record,
            file,
            as_known,
            withheld,
            planned,
            legacy,
            notices,
        })
    }

    /// What the sources say of a document.
    fn plan(&self, doc: &StoreDoc, mode: SyncMode) -> (Vec<Planned>, Vec<Notice>) {
        let mut notices = Vec::new();
        let planned = match mode {
            SyncMode::On => self.sources.plan(doc, self.clock.now(), &mut notices),
            SyncMode::Off => Vec::new(),
        };
        (planned, notices)
    }

    fn queue(&self, place: &StorePlace) -> Result<QueueLock, SyncError> {
        use sha2::Digest as _;
        let name = sha2::Sha256::digest(place.real().as_os_str().as_encoded_bytes());
        let name = format!("store-{}", &data_encoding::HEXLOWER.encode(&name)[..16]);
        Ok(QueueLock::acquire(
            &self.lock_dir.join(name),
            Instant::now() + LOCK_TIMEOUT,
        )?)
    }

    fn settle<E: From<SyncError>>(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
        edit: impl Fn(&StoreDoc) -> Result<Edited, E>,
    ) -> Result<Loaded, E> {
        let place = StorePlace::of_agent(&agent.dir).map_err(SyncError::from)?;
        let _queue = self.queue(&place)?;
        loop {
            // A directory that does not exist yet has no store to lock; it is made only if one is to be written.
            let has_dir = place.real().parent().is_some_and(std::path::Path::is_dir);
            let _lock = (has_dir && !place.is_newer_gateways())
                .then(|| LockDir::acquire(place.real(), Instant::now() + LOCK_TIMEOUT))
                .transpose()
                .map_err(SyncError::from)?;
            let survey = self.survey(agent, mode)?;
            if let Some(row) = survey.state.unopened.first() {
                return Err(SyncError::Unopened { row: row.clone() }.into());
            }
            let mut survey = self.set_damaged_aside(agent, mode, &place, survey)?;
            let merged = survey.merged();
            let edited = edit(&merged.doc)?;
            // Not the survey's plan: that was made without what another program wrote into the file.
            let (planned, news) = self.plan(&edited.doc, mode);
            let target = planned_doc(&edited.doc, &planned);
            survey.planned = planned;
            survey
                .notices
                .retain(|notice| matches!(notice, Notice::SetAside { .. }));
            survey.notices.extend(news);
            if !has_dir && !survey.withheld && !target.is_blank() {
                create_private_dir(place.real().parent().unwrap_or(place.dir()))
                    .map_err(SyncError::from)?;
                continue;
            }
            let course = Course {
                takeover: merged,
                edited,
                target,
            };
            return Ok(self.carry_out(agent, &place, survey, course)?);
        }
    }

    fn carry_out(
        &mut self,
        agent: &AgentRef,
        place: &StorePlace,
        mut survey: Survey,
        course: Course,
    ) -> Result<Loaded, SyncError> {
        let write = write_needed(&survey, &course.target);
        let announces =
            survey.withheld && !survey.is_withholding_known() && !course.target.is_blank();
        let revision = if survey.is_news(&course) || announces || matches!(write, Write::Yes { .. })
        {
            self.commit(agent, place, &survey, &course, &write, announces)?
        } else {
            survey.state.revision
        };
        if announces {
            let dir = place.dir().to_owned();
            survey.notices.push(Notice::Withheld { dir });
        }
        if let Write::Yes { reason } = write {
            if reason == RESTORED {
                let path = place.path().to_owned();
                survey.notices.push(Notice::Restored { path });
            }
            self.write(agent, place, &render(&course.target), revision)?;
            if !survey.legacy.is_empty() {
                remove_if_present(&place.dir().join(LEGACY_STORE))?; // in the vault and in the store now
            }
        }
        Ok(Loaded {
            doc: course.target,
            unopened: Vec::new(),
            notices: survey.notices,
            planned: survey.planned,
        })
    }

    /// Everything that a load changes in the vault, with its events, in one transaction; the agent's revision after it.
    fn commit(
        &mut self,
        agent: &AgentRef,
        place: &StorePlace,
        survey: &Survey,
        course: &Course,
        write: &Write,
        announces: bool,
    ) -> Result<i64, SyncError> {
        let (stored, merged) = (&survey.state.doc, &course.takeover.doc);
        let (edited, target) = (&course.edited.doc, &course.target);
        let mut tx = self.vault.begin(self.actor, self.clock.now())?;
        if survey.is_unknown() || announces {
            tx.touch(&agent.name)?; // what is recorded below refers to the agent
        }
        apply(&mut tx, agent, stored, merged, &course.takeover.step)?;
        if merged != stored {
            merge_events(&mut tx, agent, place, stored, merged, &course.takeover.step)?;
        }
        for (profile, entry) in &course.takeover.lost {
            tx.keep_lost(&agent.name, profile, entry.expose_secret())?;
        }
        if let Some(event) = &course.edited.event {
            apply(&mut tx, agent, merged, edited, &Step::Edit)?;
            tx.append(Some(&agent.name), event.clone())?;
        }
        let sync = Step::Sync(&survey.planned);
        apply(&mut tx, agent, edited, target, &sync)?;
        let revision = tx.revision(&agent.name)?;
        if let Write::Yes { reason } = write {
            tx.append(Some(&agent.name), export_event(place, reason))?;
        }
        record_known(&mut tx, agent, place, survey, write, revision)?;
        if announces {
            let event = EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep)
                .outcome(Outcome::Skipped)
                .detail("reason", "newer-gateway");
            tx.append(Some(&agent.name), event)?;
        }
        tx.commit()?;
        Ok(revision)
    }

    /// Writes the store and then records its bytes. A failure is recorded too, as far as that is possible.
    fn write(
        &mut self,
        agent: &AgentRef,
        place: &StorePlace,
        bytes: &[u8],
        revision: i64,
    ) -> Result<(), SyncError> {
        let written = place.write(bytes);
        let mut tx = self.vault.begin(self.actor, self.clock.now())?;
        match &written {
            Ok(()) => tx.put_export(
                place.real(),
                &agent.name,
                ExportState::Written,
                revision,
                Some(bytes),
            )?,
            Err(_) => {
                let event = export_event(place, "write-failed").outcome(Outcome::Failed);
                tx.append(Some(&agent.name), event).map(|_| ())?;
            }
        }
        tx.commit()?;
        Ok(written?)
    }
}

/// The reason of an export that puts a deleted file back.
const RESTORED: &str = "missing";

fn export_event(place: &StorePlace, reason: &'static str) -> EventDraft {
    let path = super::change::shown(&place.path().to_string_lossy());
    EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep)
        .detail("path", path)
        .detail("reason", reason)
}

/// What was last known to be in the file; nothing, if nothing was.
fn base_of(survey: &Survey) -> StoreDoc {
    let snapshot = survey
        .record
        .as_ref()
        .and_then(|record| record.snapshot.as_ref());
    snapshot
        .and_then(|bytes| parse(bytes).ok())
        .unwrap_or_default()
}

fn planned_doc(doc: &StoreDoc, planned: &[Planned]) -> StoreDoc {
    let mut doc = doc.clone();
    for planned in planned {
        planned.apply(&mut doc);
    }
    doc
}

fn write_needed(survey: &Survey, target: &StoreDoc) -> Write {
    if survey.withheld {
        return Write::No;
    }
    match &survey.file {
        StoreReading::Parsed { doc, .. } if doc == target => Write::No,
        StoreReading::Parsed { .. } => Write::Yes { reason: "changed" },
        _ if target.is_blank() => Write::No,
        _ if survey.record.is_some() => Write::Yes { reason: RESTORED },
        _ => Write::Yes { reason: "new" },
    }
}

/// Records the bytes that are in the file now: all that is to be known if it is not written, and the base of the next
/// merge if this process dies before it is.
fn record_known(
    tx: &mut Tx<'_>,
    agent: &AgentRef,
    place: &StorePlace,
    survey: &Survey,
    write: &Write,
    revision: i64,
) -> Result<(), SyncError> {
    let bytes = match &survey.file {
        StoreReading::Parsed { bytes, .. } => Some(bytes.as_slice()),
        _ if survey.withheld => None,
        _ => return Ok(()),
    };
    let (state, revision) = match write {
        _ if survey.withheld => (ExportState::Withheld, revision),
        Write::No => (ExportState::Written, revision),
        Write::Yes { .. } => (ExportState::Written, -1), // behind any revision: still to be written
    };
    Ok(tx.put_export(place.real(), &agent.name, state, revision, bytes)?)
}
