//! Refreshes beside the passes: a changed login must not wait for a slow provider.

use std::thread::JoinHandle;
use std::time::Duration;

use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{AgentName, Fingerprint, ProfileId, StoreDoc};
use clawkeep::internal::platform::start_thread;
use clawkeep::internal::sync::{Engine, RefreshOutcome, SyncError, When};
use clawkeep::internal::vault::{UnlockedVault, VaultError};

use super::state::{Ending, Job, Outcome};
use crate::commands::hand_out::refresh_failure;
use crate::context::Context;
use crate::failure::Failure;

/// How long to wait for another process's refresh of the same login, which has the same result.
const PATIENCE: Duration = Duration::from_secs(5);

/// Refreshes logins in turn on its own thread until it is asked to stop. Calls `report` with each
/// outcome, and with `None` at the end.
pub(crate) fn start(
    (context, mut vault): (Context, UnlockedVault),
    agents: Vec<AgentRef>,
    jobs: Vec<Job>,
    ending: Ending,
    report: impl Fn(Option<(Job, Outcome)>) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let end = EndSignal(report);
    start_thread("refreshes", move || {
        for job in jobs {
            if ending.is_asked() {
                break;
            }
            let outcome = refresh(&context, &mut vault, &agents, &job);
            (end.0)(Some((job, outcome.unwrap_or_else(Outcome::Failed))));
        }
        drop(vault);
        drop(end);
    })
}

/// Reports the end of the thread, however it ends: the watcher waits for it.
struct EndSignal<T: Fn(Option<(Job, Outcome)>)>(T);

impl<T: Fn(Option<(Job, Outcome)>)> Drop for EndSignal<T> {
    fn drop(&mut self) {
        (self.0)(None);
    }
}

fn refresh(
    context: &Context,
    vault: &mut UnlockedVault,
    agents: &[AgentRef],
    job: &Job,
) -> Result<Outcome, Failure> {
    let mode = context.mode_for(vault, &job.agent)?;
    let when = When::LessLeftThan(job.ahead_ms);
    // a running watch handles the signals itself
    let (result, doc) = context.with_refresher(agents, |mut refresher| {
        refresher.patience = PATIENCE;
        let refresh = |engine: &mut Engine<'_>| {
            let result = engine.refresh(&refresher, &job.agent, mode, &job.id, when)?;
            let loaded = engine.load(&job.agent, mode)?;
            Ok::<_, SyncError>((result, loaded.doc))
        };
        Ok(context.with_engine(vault, refresh)?)
    })?;
    Ok(match result {
        RefreshOutcome::NotRefreshed(why) => {
            let name: &AgentName = &job.agent.name;
            let next = refresh_failure::fix(context, (name, &doc), job.id.as_str(), &why);
            Outcome::Not(why, next)
        }
        result => {
            let is_ours = matches!(result, RefreshOutcome::Refreshed(_));
            match remaining_lifetime(context, vault, &doc, &job.id) {
                Some((left, grant)) => Outcome::Lasts(left, grant, is_ours),
                None => Outcome::Lasts(0, job.grant, is_ours), // removed since
            }
        }
    })
}

/// A login's remaining lifetime, in milliseconds, and its grant.
fn remaining_lifetime(
    context: &Context,
    vault: &UnlockedVault,
    doc: &StoreDoc,
    id: &ProfileId,
) -> Option<(i64, Fingerprint)> {
    let credential = doc.credential(id.as_str())?;
    let ends = credential.expiry()?.floor_ms();
    let grant = vault.fingerprint(credential.expose_refresh()?);
    Some((ends.saturating_sub(context.clock.now().0), grant))
}

/// Opens the vault again, for the thread.
pub(crate) fn reopen_vault(vault: &UnlockedVault) -> Result<UnlockedVault, Failure> {
    vault.reopen()?.ok_or_else(|| VaultError::Rekeyed.into())
}
