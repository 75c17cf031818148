//! Where a store is to be: in the file where the gateway reads it, in memory, or nowhere. Source:
//! `spec/vault.md`, What is in it.

use std::path::PathBuf;

use super::findings::Findings;
use crate::config::{AgentRef, ExportMode};
use crate::export::{StorePlace, copies_in_memory};
use crate::platform::{FileError, RuntimeDir};
use crate::sync::context::ExportPlan;

#[derive(Debug)]
pub(crate) enum Destination {
    /// In a file where the gateway reads it.
    File,
    /// In memory, with a link to it where the gateway reads it.
    Memory {
        runtime: RuntimeDir,
        /// Where in it the copy is.
        copy: PathBuf,
    },
    /// Nowhere, since the settings switch the export off.
    Nowhere,
    /// Nowhere, since it should be in memory and there is no directory for it.
    NoMemory(FileError),
    /// Unknown, since the settings cannot be read: nothing is written or removed.
    Undecided,
}

/// Finds where an agent's store is to be, and where its copy in memory is, or was.
pub(crate) fn find_destination(
    plan: Option<ExportPlan<'_>>,
    findings: &Findings,
    agent: &AgentRef,
    place: &StorePlace,
) -> (Destination, Option<PathBuf>) {
    let runtime = find_runtime_dir(plan, findings).and_then(|runtime| {
        let copy = place.in_memory(&runtime);
        runtime.check(copy.parent().unwrap_or(&copy))?;
        Ok((runtime, copy))
    });
    let copy = runtime.as_ref().ok().map(|(_, copy)| copy.clone());
    let mode = match plan {
        Some(plan) => (plan.mode)(agent),
        None => Some(ExportMode::File),
    };
    let destination = match (mode, runtime) {
        (None, _) => Destination::Undecided,
        (Some(ExportMode::File), _) => Destination::File,
        (Some(ExportMode::Off), _) => Destination::Nowhere,
        (Some(ExportMode::Runtime), Ok((runtime, copy))) => Destination::Memory { runtime, copy },
        (Some(ExportMode::Runtime), Err(error)) => Destination::NoMemory(error),
    };
    (destination, copy)
}

/// Finds the user's runtime directory, once the directory of the copies in it may be used.
fn find_runtime_dir(
    plan: Option<ExportPlan<'_>>,
    findings: &Findings,
) -> Result<RuntimeDir, FileError> {
    if let Some(runtime) = findings.runtime.get() {
        return Ok(runtime.clone());
    }
    let named = plan.and_then(|plan| plan.runtime_dir);
    let runtime = RuntimeDir::find(named)?;
    runtime.check(&copies_in_memory(&runtime))?;
    Ok(findings.runtime.get_or_init(|| runtime).clone())
}
