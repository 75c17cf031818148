//! The first step of a load: what the vault, the store file and other programs' files say, before
//! anything is decided.

use std::path::{Path, PathBuf};

use super::borrowed::{Update, borrowed_updates};
use super::destination::{Destination, find_destination};
use super::examined::ExaminedStore;
use super::findings::Findings;
use super::logins::{SourcePlan, plan_sources};
use super::old_copy;
use crate::config::AgentRef;
use crate::domain::{Section, StoreDoc, UnixMs};
use crate::export::{StorePlace, StoreReading, parse};
use crate::platform::FileError;
use crate::platform::openclaw::OpenClawDir;
use crate::sync::context::{LoadContext, SyncMode, SyncedAgent};
use crate::sync::error::SyncError;
use crate::sync::logins::note::{Notes, SourceNote};
use crate::sync::logins::planned::Planned;
use crate::sync::logins::report::LoginReport;
use crate::sync::logins::sources::Legacy;
use crate::sync::notice::Notice;
use crate::vault::{
    AgentState, ExportRecord, ExportState, ReadOnlyReason, UnlockedVault, VaultError,
};

impl AgentState {
    /// The error that names the first row that is not as clawkeep left it.
    pub(crate) fn unopened_error(&self) -> SyncError {
        let row = self.unopened.first().cloned().unwrap_or_default();
        SyncError::Unopened { row }
    }
}

/// An agent as a load finds it.
pub(crate) struct Survey {
    pub(crate) place: StorePlace,
    /// The version of the vault that was read.
    pub(crate) version: i64,
    /// What the vault has of the agent.
    pub(crate) state: AgentState,
    /// What the vault knows of the file.
    pub(crate) record: Option<ExportRecord>,
    /// What the file says: [`StoreReading::Known`] if its bytes are those last known in it.
    pub(crate) file: StoreReading,
    /// The OpenClaw tree that the store is in: nothing is written there.
    pub(crate) withheld: Option<OpenClawDir>,
    pub(crate) destination: Destination,
    /// What a write under way, or one whose process died, has left; see `leftover`.
    pub(crate) leftovers: Vec<PathBuf>,
    /// Another agent shares the file and knows what is in it: clawkeep wrote it, or has merged it.
    pub(crate) is_known_elsewhere: bool,
    pub(crate) now: UnixMs,
    /// The file is an old copy, written back too often to be written over again.
    pub(crate) leaves_file: bool,
    /// A damaged file was just moved aside.
    pub(crate) was_set_aside: bool,
    /// What is noted of the sources.
    pub(crate) notes: Notes,
    /// What the sources say of the vault's document.
    pub(crate) planned: Vec<Planned>,
    /// What the files of borrowed logins have that is newer.
    pub(crate) borrowed: Vec<Update>,
    /// What became of their logins.
    pub(crate) logins: Vec<LoginReport>,
    /// What older stores hold, while there is neither a store nor anything in the vault.
    pub(crate) legacy: Legacy,
    pub(crate) notices: Vec<Notice>,
}

/// What is where the gateway reads the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtSite {
    Nothing,
    File,
    /// A link of this program's, with or without its copy in memory.
    Link,
}

/// What the vault has of an agent, in one version of it.
struct Stored {
    version: i64,
    state: AgentState,
    record: Option<ExportRecord>,
    notes: Notes,
    /// The file as it was understood before.
    file: Option<StoreReading>,
}

/// Surveys an agent. What `last` found is not opened and parsed again where nothing has changed
/// since; the caller must not have committed anything in between.
pub(crate) fn survey(
    vault: &UnlockedVault,
    context: &LoadContext<'_>,
    findings: &mut Findings,
    agent: &AgentRef,
    mode: SyncMode,
    last: Option<Survey>,
) -> Result<Survey, SyncError> {
    findings.forget();
    let place = StorePlace::of_agent(&agent.dir)?;
    let stored = read_stored_again(vault, agent, &place, mode, last)?;
    // After the vault: a file older than what the vault knows would undo what is newer.
    let store = ExaminedStore::find(place, &findings.openclaw)?;
    compare(
        vault,
        context,
        findings,
        SyncedAgent { agent, mode },
        stored,
        store,
    )
}

/// Surveys an agent whose store was examined: under its locks, or to see if they are needed.
pub(crate) fn survey_examined(
    vault: &UnlockedVault,
    context: &LoadContext<'_>,
    findings: &mut Findings,
    SyncedAgent { agent, mode }: SyncedAgent<'_>,
    last: Option<Survey>,
    store: ExaminedStore,
) -> Result<Survey, SyncError> {
    let stored = read_stored_again(vault, agent, &store.place, mode, last)?;
    compare(
        vault,
        context,
        findings,
        SyncedAgent { agent, mode },
        stored,
        store,
    )
}

/// Reads what the vault has of an agent, or takes it from `last` if that is what it still has.
fn read_stored_again(
    vault: &UnlockedVault,
    agent: &AgentRef,
    place: &StorePlace,
    mode: SyncMode,
    last: Option<Survey>,
) -> Result<Stored, SyncError> {
    // Read first: what another process commits from here on makes it another one next time.
    let version = vault.data_version()?;
    Ok(match last {
        Some(last) if last.version == version && last.place == *place => Stored {
            version,
            state: last.state,
            record: last.record,
            notes: last.notes,
            file: Some(last.file),
        },
        _ => {
            let (state, record, notes) = read_stored(vault, agent, place, mode)?;
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
    vault: &UnlockedVault,
    context: &LoadContext<'_>,
    findings: &Findings,
    SyncedAgent { agent, mode }: SyncedAgent<'_>,
    stored: Stored,
    store: ExaminedStore,
) -> Result<Survey, SyncError> {
    let Stored {
        version,
        state,
        record,
        notes,
        file,
    } = stored;
    let ExaminedStore {
        place,
        contents,
        withheld,
    } = store;
    let is_known = |bytes: &[u8]| {
        let record = record.as_ref();
        record.is_some_and(|record| vault.is_as_exported(record, bytes))
    };
    let file = StoreReading::understand(contents, file, is_known);
    let SourcePlan {
        planned,
        logins,
        mut notices,
    } = plan_sources(vault, context, findings, agent, &notes, &state.doc);
    let now = context.clock.now();
    let borrowed = borrowed_updates(&state.doc, &state.borrowed, mode, now, &mut notices);
    let is_first = matches!(file, StoreReading::Missing) && record.is_none();
    let has_profiles = state.doc.entries(Section::Profiles).next().is_some();
    let legacy = match mode {
        SyncMode::On if is_first && !has_profiles && withheld.is_none() => {
            context.sources.legacy(place.dir(), &mut notices)
        }
        _ => Legacy::default(),
    };
    let is_known_elsewhere = match &file {
        StoreReading::Parsed { bytes, .. } if !state.superseded.is_empty() => {
            is_known_elsewhere(vault, agent, &place, bytes)?
        }
        _ => false,
    };
    let (destination, copy) = find_destination(context.export, findings, agent, &place);
    let left = findings.left_copies.iter();
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
        now,
        leaves_file: false,
        was_set_aside: false,
        planned,
        borrowed,
        logins,
        legacy,
        notices,
    })
}

/// Reads what the vault has of an agent, what it knows of its file, and what is noted of its
/// sources. A snapshot that does not open is listed with the rows.
fn read_stored(
    vault: &UnlockedVault,
    agent: &AgentRef,
    place: &StorePlace,
    mode: SyncMode,
) -> Result<(AgentState, Option<ExportRecord>, Notes), SyncError> {
    let is_asked = mode == SyncMode::On;
    let mut read = (vault).agent_and_store(&agent.name, place.site(), is_asked)?;
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

/// Whether another agent with the same store file knows these bytes.
fn is_known_elsewhere(
    vault: &UnlockedVault,
    agent: &AgentRef,
    place: &StorePlace,
    bytes: &[u8],
) -> Result<bool, SyncError> {
    for other in vault.agents()? {
        if other != agent.name
            && let Ok(Some(record)) = vault.export_record(place.site(), &other)?
            && vault.is_as_exported(&record, bytes)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Survey {
    /// Whether everything agrees: nothing to lock, nothing to write.
    pub(crate) fn is_settled(&self) -> bool {
        let file = match &self.file {
            StoreReading::Known { .. } => {
                self.is_record_current() || self.is_left_alone(&self.state.doc)
            }
            StoreReading::Parsed { .. } => false,
            StoreReading::Missing => {
                self.state.doc.is_blank() || self.is_withholding_known() || !self.is_wanted()
            }
            StoreReading::Damaged { .. } => {
                self.is_withholding_known() && !self.state.doc.is_blank()
            }
        };
        file && (self.withheld.is_some() || self.is_placed())
            && self.leftovers.is_empty()
            && self.legacy.entries.is_empty()
            && self.borrowed.is_empty()
            && self.planned.iter().all(Planned::keeps)
    }

    /// Whether a load has nothing to do: all is settled, or there is no frame to put anything into.
    pub(crate) fn needs_nothing(&self) -> bool {
        self.is_settled() || self.state.damage.frame
    }

    /// Whether the store is a file, or is to be one, whole and without anything left of an
    /// interrupted write: nothing but the ordinary can happen.
    pub(crate) fn is_plain(&self) -> bool {
        self.withheld.is_none()
            && self.state.unopened.is_empty()
            && self.leftovers.is_empty()
            && self.legacy.entries.is_empty()
            && !matches!(self.file, StoreReading::Damaged { .. })
            && matches!(self.destination, Destination::File)
            && self.place.link().is_none()
            && self.has_dir()
    }

    /// Whether the directory in which the store is, or is to be, exists.
    fn has_dir(&self) -> bool {
        !matches!(self.file, StoreReading::Missing)
            || self.place.real().parent().is_some_and(Path::is_dir)
    }

    /// Whether another program rewrote the file with the bytes that the vault knows.
    pub(crate) fn was_touched(&self) -> bool {
        let is_settled = self.is_known() && self.state.unopened.is_empty();
        let Some(record) = self.record.as_ref().filter(|_| is_settled) else {
            return false;
        };
        let modified = self.place.modified();
        modified.is_some_and(|at| at > record.updated_at && at <= self.now)
    }

    /// Leaves out what a load would change, since the vault can only be read, and reports that if
    /// the answer would be another one.
    pub(crate) fn leave_out_changes(&mut self, reason: ReadOnlyReason) {
        let is_file_equal = match &self.file {
            StoreReading::Known { .. } | StoreReading::Missing => true,
            StoreReading::Parsed { doc, .. } => **doc == self.state.doc,
            StoreReading::Damaged { .. } => false,
        };
        let is_same = is_file_equal
            && self.legacy.entries.is_empty()
            && self.borrowed.is_empty()
            && self.planned.iter().all(Planned::keeps);
        self.planned.clear();
        self.notices
            .retain(|notice| !matches!(notice, Notice::AccountChanged { .. }));
        if !is_same {
            self.notices.push(Notice::NotSynced { reason });
        }
    }

    /// Whether the vault knows the newest state of the file.
    pub(crate) fn is_record_current(&self) -> bool {
        self.record
            .as_ref()
            .is_some_and(|record| match record.state {
                ExportState::Withheld => self.withheld.is_some(),
                ExportState::Written => {
                    self.withheld.is_none() && record.revision == self.state.revision
                }
            })
    }

    /// Whether it is recorded that nothing is written there.
    pub(crate) fn is_withholding_known(&self) -> bool {
        let state = self.record.as_ref().map(|record| record.state);
        self.withheld.is_some() && state == Some(ExportState::Withheld)
    }

    /// Whether the file holds bytes that the vault does not know.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self.file, StoreReading::Parsed { .. })
    }

    /// Whether the file's bytes are those that the vault last knew in it.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self.file, StoreReading::Known { .. })
    }

    /// Whether the vault still has what was last known in the file. The file was written at this
    /// revision, or needed no writing since it said the same.
    pub(crate) fn is_written_as_is(&self) -> bool {
        self.record.as_ref().is_some_and(|record| {
            record.state == ExportState::Written && record.revision == self.state.revision
        })
    }

    /// Whether this store was never written or read before: a file written now is its first.
    pub(crate) fn is_first_file(&self) -> bool {
        let is_new = match &self.record {
            None => true,
            Some(record) => record.state == ExportState::Withheld && !record.is_of_a_file(),
        };
        is_new && matches!(self.destination, Destination::File)
    }

    /// Whether the file is an old copy that clawkeep leaves alone while the vault has `target`.
    pub(crate) fn is_left_alone(&self, target: &StoreDoc) -> bool {
        let mut past = self.state.superseded.iter();
        if self.withheld.is_some() || !past.any(|known| known.left_at.is_some()) {
            return false;
        }
        let is = |file: &StoreDoc| {
            let past = &self.state.superseded;
            old_copy::is_left_alone(past, file, target, self.now)
        };
        match &self.file {
            StoreReading::Parsed { doc, .. } => is(doc),
            StoreReading::Known { bytes } => parse(bytes).is_ok_and(|doc| is(&doc)),
            _ => false,
        }
    }

    /// The document that was last known to be in the file; an empty one, if there was none.
    pub(crate) fn base(&self) -> StoreDoc {
        let snapshot = self
            .record
            .as_ref()
            .and_then(|record| record.snapshot.as_ref());
        snapshot
            .and_then(|bytes| parse(bytes).ok())
            .unwrap_or_default()
    }

    fn at_site(&self) -> AtSite {
        match (self.place.link(), &self.file) {
            (Some(_), _) => AtSite::Link,
            (None, StoreReading::Missing) => AtSite::Nothing,
            (None, _) => AtSite::File,
        }
    }

    /// Whether the store is of the kind that is wanted there; if there is none, it is.
    pub(crate) fn is_placed(&self) -> bool {
        match (&self.destination, self.at_site()) {
            (Destination::Undecided, _) | (_, AtSite::Nothing) => true,
            (Destination::File, found) => found == AtSite::File,
            (Destination::Memory { copy, .. }, _) => self.place.link() == Some(copy),
            (Destination::Nowhere, _) => false,
            // A link of an earlier session may lead to another runtime directory, without its copy.
            (Destination::NoMemory(_), found) => found == AtSite::Link,
        }
    }

    /// Whether there is to be a store at all.
    pub(crate) fn is_wanted(&self) -> bool {
        !matches!(
            self.destination,
            Destination::Nowhere | Destination::NoMemory(_)
        )
    }

    /// Whether a link of this program's is there without its copy in memory, which went with the
    /// last session, as it should.
    pub(crate) fn is_dangling(&self) -> bool {
        self.is_placed() && self.at_site() == AtSite::Link
    }

    /// Takes out why the runtime directory cannot be used, if the store is to be in memory.
    pub(crate) fn runtime_dir_error(&mut self) -> Option<FileError> {
        match std::mem::replace(&mut self.destination, Destination::Undecided) {
            Destination::NoMemory(error) => Some(error),
            other => {
                self.destination = other;
                None
            }
        }
    }
}
