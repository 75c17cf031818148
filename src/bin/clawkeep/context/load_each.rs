//! Loading many agents: the first one at once, the others side by side.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::Duration;

use clawkeep::config::AgentRef;
use clawkeep::domain::AgentName;
use clawkeep::sync::{Engine, Loaded, Notice, SyncMode};
use clawkeep::vault::UnlockedVault;

use super::Context;
use crate::failure::Failure;

/// An agent that is to be loaded, or why it cannot be.
pub(crate) type AgentToLoad<'a> = (&'a AgentRef, Result<SyncMode, Failure>);

/// What is called with each agent that was loaded; it may end that.
pub(crate) type Each<'e> = dyn FnMut(&AgentRef, Result<Loaded, Failure>) -> ControlFlow<()> + 'e;

/// How agents are loaded.
pub(crate) struct LoadOptions<'h> {
    /// See [`Engine::patience`].
    pub(crate) patience: Option<Duration>,
    /// Called again and again between groups of agents; whether to go on.
    pub(crate) goes_on: &'h dyn Fn() -> bool,
}

impl LoadOptions<'_> {
    /// As a command does it that somebody waits for.
    pub(crate) fn for_a_command() -> Self {
        Self {
            patience: None,
            goes_on: &|| true,
        }
    }
}

/// What there is to say of copies that were left out.
pub(crate) fn words_for_copies(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some("Note: another agent got such a copy, too.".to_owned()),
        _ => Some(format!("Note: {count} other agents got such a copy, too.")),
    }
}

impl Context {
    /// Loads agents and notes stores that were only touched: of those there is nothing else to say, and nothing hangs on it.
    /// `each` is called with `main` once it is loaded, and with the others once they all are; it may end that.
    ///
    /// The store of `main`, which most gateways use, is there before any other is begun. That a store was written for the first
    /// time is reported for one agent only; returns of how many others it was so.
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
                let mode = mode.as_ref().ok()?;
                Some((*agent, *mode))
            });
            let known: Vec<(&AgentRef, SyncMode)> = known.collect();
            let load = |engine: &mut Engine<'_>| -> Result<_, Infallible> {
                engine.patience = options.patience;
                let all = engine.load_all(&known, options.goes_on);
                for ((agent, _), loaded) in known.iter().zip(&all) {
                    if let Ok(loaded) = loaded {
                        let _ = engine.note_touched(agent, loaded);
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
                            // The vault was of no use to one before, or it is to end: the others come again.
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
