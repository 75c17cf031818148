//! What a hand-out reports beside its answer.

use clawkeep::internal::client::{Chosen, Token};
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::UnixMs;
use clawkeep::internal::sync::{Loaded, Rules};
use clawkeep::internal::vault::UnlockedVault;

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::shown_id;

/// Reports the load, the refreshes, and what could not be written.
pub(super) fn report(context: &Context, chosen: &Chosen) {
    let Chosen {
        loaded, refreshes, ..
    } = chosen;
    context.report_load(loaded);
    for id in refreshes.refreshed() {
        let id = shown_id(id.as_str());
        context.ui.detail(&format!("Refreshed {id}."));
    }
    let mut not_written = loaded.not_written.iter().chain(&refreshes.not_written);
    let not_written = not_written.next().map(|error| ("written", error));
    let not_removed = loaded.not_removed.iter().map(|error| ("removed", error));
    for (what, error) in not_written.into_iter().chain(not_removed) {
        context.ui.warn(&format!(
            "Warning: the store could not be {what}: {error}. The next command tries again."
        ));
    }
}

/// Records that a warning about another account was shown: the load reports it, and only once. With
/// `--quiet` it was not shown.
pub(super) fn note_announced(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: &AgentRef,
    loaded: &Loaded,
    token: &Token,
) -> Result<(), Failure> {
    let is_warned = context.rules == Rules::Own && context.ui.shows_notes();
    if is_warned && loaded.has_unannounced(token.profile().as_str()) {
        context.with_engine(vault, |engine| {
            engine.take_unannounced(agent, token.profile())
        })?;
    }
    Ok(())
}

/// Describes the credential in use, for `--verbose`.
pub(super) fn described(token: &Token, now: UnixMs) -> String {
    let ends = token.expires().map_or_else(String::new, |ends| {
        format!(", expires in {}", (ends - now).short())
    });
    let id = shown_id(token.profile().as_str());
    format!("Using {id} ({}{ends}).", token.kind().as_str())
}
