//! Room for a new store: its directory, and the draft that becomes the file.

use super::destination::Destination;
use super::survey::Survey;
use crate::config::AgentRef;
use crate::export::StorePlace;
use crate::platform::{Replacement, create_private_dir, exists};
use crate::sync::context::LoadContext;
use crate::sync::error::SyncError;
use crate::vault::{UnlockedVault, VaultError};

/// Refuses to make directories once the vault is gone from where it was opened: OpenClaw's upgrade
/// renames the directory, and a new directory under the old name would stop that half way.
pub(crate) fn check_vault_in_place(vault: &UnlockedVault) -> Result<(), SyncError> {
    let path = vault.path();
    match exists(path) {
        true => Ok(()),
        false => Err(VaultError::MovedAway {
            path: path.to_owned(),
        }
        .into()),
    }
}

/// Makes the directory that the gateway reads, for a store or link. Whether it had to be made.
pub(crate) fn make_site_dir(vault: &UnlockedVault, survey: &Survey) -> Result<bool, SyncError> {
    let is_written = matches!(
        survey.destination,
        Destination::File | Destination::Memory { .. }
    );
    let dir = survey.place.site().parent().unwrap_or(survey.place.dir());
    if !is_written || dir.is_dir() {
        return Ok(false);
    }
    check_vault_in_place(vault)?;
    create_private_dir(dir)?;
    Ok(true)
}

/// Makes room for a store. `None` if it is not known where to.
pub(crate) fn make_room(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
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
                begin_session(vault, context, agent, survey)?;
            }
            runtime.make(dir)?;
            StorePlace::begin_write_in_memory(copy, room)
        }
    };
    Ok(Some(begun?))
}

/// Forgets the copy in memory, which went with the last session and its directory. What was in it
/// is no base any more: once there is a directory again, a gateway can begin a store of its own in
/// it, and that must not look as if it had deleted everything.
fn begin_session(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentRef,
    survey: &Survey,
) -> Result<(), SyncError> {
    if survey.record.is_none() {
        return Ok(());
    }
    let mut tx = vault.begin(context.actor, context.clock)?;
    tx.forget_export(survey.place.site(), &agent.name)?;
    Ok(tx.commit()?)
}
