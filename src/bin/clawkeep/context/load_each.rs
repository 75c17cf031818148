//! Loads many agents: the first one at once, the others in parallel.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::Duration;

use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::AgentName;
use clawkeep::internal::sync::{Engine, Loaded, Notice, SyncMode, SyncedAgent};
use clawkeep::internal::vault::UnlockedVault;

use super::Context;
use crate::failure::Failure;

/// An agent to load, or why it cannot be loaded.
pub(crate) type AgentToLoad<'a> = (&'a AgentRef, Result<SyncMode, Failure>);

/// The callback for each loaded agent; its error ends the loading.
pub(crate) type Each<'e> = dyn FnMut(&AgentRef, Result<Loaded, Failure>) -> ControlFlow<()> + 'e;

/// The options for loading several agents.
pub(crate) struct LoadOptions<'h> {
    /// See [`Engine::patience`].
    pub(crate) patience: Option<Duration>,
    /// Called repeatedly between groups of agents; returns whether to continue.
    pub(crate) goes_on: &'h dyn Fn() -> bool,
}

impl LoadOptions<'_> {
    /// The options of a command that a person waits for.
    pub(crate) fn for_a_command() -> Self {
        Self {
            patience: None,
            goes_on: &|| true,
        }
    }
}

/// The note about copies that were left out.
pub(crate) fn words_for_copies(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some("Note: another agent got such a copy, too.".to_owned()),
        _ => Some(format!("Note: {count} other agents got such a copy, too.")),
    }
}

impl Context {
    /// Loads agents and records stores that were only touched: nothing else is to report of those,
    /// and nothing depends on it. Calls `each` with `main` once it is loaded, and with the others
    /// once all are; an error of `each` ends the loading.
    ///
    /// The store of `main`, which most gateways use, is written before any other load starts. A
    /// first store is reported for one agent only; returns the number of others.
    pub(crate) fn load_each(
        &self,
        vault: &mut UnlockedVault,
        mut agents: Vec<AgentToLoad<'_>>,
        options: &LoadOptions<'_>,
        each: &mut Each<'_>,
    ) -> usize {
        let mut copies = 0_usize;
        agents.sort_by_key(|(agent, _)| agent.name != AgentName::default());
        let mut length = 1;
        while !agents.is_empty() && (options.goes_on)() {
            let some: Vec<AgentToLoad<'_>> = agents.drain(..length.min(agents.len())).collect();
            length = usize::MAX;
            let known = some.iter().filter_map(|(agent, mode)| {
                let mode = *mode.as_ref().ok()?;
                Some(SyncedAgent { agent, mode })
            });
            let known: Vec<SyncedAgent<'_>> = known.collect();
            let load = |engine: &mut Engine<'_>| -> Result<_, Infallible> {
                engine.context.patience = options.patience;
                let all = engine.load_all(&known, options.goes_on);
                for (of, loaded) in known.iter().zip(&all) {
                    if let Ok(loaded) = loaded {
                        let _ = engine.note_touched(of.agent, loaded);
                    }
                }
                Ok(all)
            };
            let Ok(loaded) = self.with_engine(vault, load);
            let mut loaded = loaded.into_iter();
            let mut some = some.into_iter();
            while let Some((agent, mode)) = some.next() {
                let mut result = match mode {
                    Err(failure) => Err(failure),
                    Ok(mode) => match loaded.next() {
                        Some(loaded) => loaded.map_err(Failure::from),
                        None => {
                            // The vault failed for one agent, or the loading is to stop: the others
                            // are loaded later.
                            agents.splice(0..0, std::iter::once((agent, Ok(mode))).chain(some));
                            break;
                        }
                    },
                };
                if let Ok(loaded) = &mut result {
                    let is_copy = |notice: &Notice| matches!(notice, Notice::PlainCopy { .. });
                    let found = loaded
                        .notices
                        .iter()
                        .filter(|notice| is_copy(notice))
                        .count();
                    if copies > 0 {
                        loaded.notices.retain(|notice| !is_copy(notice));
                    }
                    copies += found;
                }
                if each(agent, result).is_break() {
                    return copies.saturating_sub(1);
                }
            }
        }
        copies.saturating_sub(1)
    }
}
