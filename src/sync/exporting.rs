//! What becomes of a store once the vault has committed: it is written, and what is in it is recorded.

use super::destination::Destination;
use super::engine::Engine;
use super::error::SyncError;
use super::survey::{Survey, Write};
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::config::{AgentRef, ExportMode};
use crate::domain::{from_outside, path_text};
use crate::platform::{LockDir, Replaced, Replacement};
use crate::vault::{ExportState, Exported, Tx};

/// What a transaction is to record about the file.
#[derive(Clone, Copy)]
pub(super) struct Committal {
    pub(super) write: Write,
    /// For the first time, that nothing is written there.
    pub(super) announces: bool,
    /// The file is to be written, and cannot be now.
    pub(super) is_pending: bool,
}

impl Engine<'_> {
    /// Puts the new file in place, unless another program has written since `seen`, and then records its bytes. A failure
    /// is recorded too, as far as that is possible.
    pub(super) fn write(
        &mut self,
        agent: &AgentRef,
        survey: &Survey,
        lock: Option<&LockDir>,
        replacement: Replacement,
        bytes: &[u8],
        revision: i64,
    ) -> Result<Replaced, SyncError> {
        let written = self.put_in_place(survey, lock, replacement, bytes);
        if let Ok(Replaced::No) = written {
            return Ok(Replaced::No);
        }
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        match &written {
            Ok(_) => {
                // Under another path the agent may have been changed meanwhile.
                let is_newest = tx.revision(&agent.name)? == revision;
                let content = if is_newest {
                    Exported::AsVault(bytes)
                } else {
                    Exported::Bytes(bytes)
                };
                let known = (ExportState::Written, revision);
                tx.put_export(survey.place.site(), &agent.name, known, content)?;
            }
            Err(_) => {
                let event = export_event(survey, "write-failed").outcome(Outcome::Failed);
                tx.append(Some(&agent.name), event).map(|_| ())?;
            }
        }
        tx.commit()?;
        Ok(written?)
    }
}

pub(super) fn export_event(survey: &Survey, reason: &'static str) -> EventDraft {
    let path = from_outside(&path_text(survey.place.path()));
    let event = EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep)
        .detail("path", path)
        .detail("reason", reason);
    match survey.destination {
        Destination::Memory { .. } => event.detail("mode", ExportMode::Runtime.as_str()),
        _ => event,
    }
}

/// Behind any revision: the file is still to be written.
pub(super) const PENDING: i64 = -1;

/// Records the bytes that are in the file now: all that is to be known if it is not written, and the base of the next
/// merge if this process dies before it is.
pub(super) fn record_known(
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
