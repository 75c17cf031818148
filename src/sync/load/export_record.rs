//! What the vault keeps of a store file: the bytes that are in it, and the events about it.

use super::destination::Destination;
use super::survey::Survey;
use super::write::{Committal, Write};
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::config::{AgentRef, ExportMode};
use crate::domain::{from_outside, path_text};
use crate::platform::{FileError, Replaced};
use crate::sync::error::SyncError;
use crate::vault::{ExportState, Exported, Tx};

/// Records the outcome of writing the new file: its bytes, or that it could not be written. Not
/// called if another program has written meanwhile.
pub(crate) fn record_written(
    tx: &mut Tx<'_>,
    agent: &AgentRef,
    (survey, revision): (&Survey, i64),
    bytes: &[u8],
    written: &Result<Replaced, FileError>,
) -> Result<(), SyncError> {
    if written.is_err() {
        let event = export_event(survey, "write-failed").outcome(Outcome::Failed);
        tx.append(Some(&agent.name), event)?;
        return Ok(());
    }
    // Under another path the agent may have been changed meanwhile.
    let is_newest = tx.revision(&agent.name)? == revision;
    let content = if is_newest {
        Exported::AsVault(bytes)
    } else {
        Exported::Bytes(bytes)
    };
    let known = (ExportState::Written, revision);
    Ok(tx.put_export(survey.place.site(), &agent.name, known, content)?)
}

/// An event about the export of a store.
pub(crate) fn export_event(survey: &Survey, reason: &'static str) -> EventDraft {
    let path = from_outside(&path_text(survey.place.path()));
    let event = EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep)
        .detail("path", path)
        .detail("reason", reason);
    match survey.destination {
        Destination::Memory { .. } => event.detail("mode", ExportMode::Runtime.as_str()),
        _ => event,
    }
}

/// A revision behind any other: the file is still to be written.
pub(crate) const PENDING: i64 = -1;

/// Records the bytes that are in the file now: all that is known if it is not written, and the base
/// of the next merge if this process dies before it is.
pub(crate) fn record_known(
    tx: &mut Tx<'_>,
    agent: &AgentRef,
    survey: &Survey,
    plan: Committal,
    revision: i64,
) -> Result<(), SyncError> {
    let (site, bytes) = (survey.place.site(), survey.file.bytes());
    let is_gone = bytes.is_none() || plan.write == Write::Remove;
    if is_gone && survey.withheld.is_none() {
        // A file that is gone is no base any more; see `damaged`.
        return Ok(tx.forget_export(site, &agent.name)?);
    }
    let as_it_is = bytes.map_or(Exported::Nothing, Exported::Bytes);
    let (known, content) = match plan.write {
        _ if survey.withheld.is_some() => ((ExportState::Withheld, PENDING), as_it_is),
        // It says what the vault has from now on.
        Write::No if !plan.is_pending => (
            (ExportState::Written, revision),
            bytes.map_or(Exported::Nothing, Exported::AsVault),
        ),
        Write::No | Write::Yes(_) | Write::Remove => ((ExportState::Written, PENDING), as_it_is),
    };
    Ok(tx.put_export(site, &agent.name, known, content)?)
}
