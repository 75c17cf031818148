//! Loading many agents: the first one at once, the others side by side.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::Duration;

use clawkeep::config::AgentRef;
use clawkeep::domain::AgentName;
use clawkeep::sync::{Engine, Loaded, SIDE_BY_SIDE, SyncMode};
use clawkeep::vault::UnlockedVault;

use crate::context::Context;
use crate::failure::Failure;

/// An agent that is to be loaded, or why it cannot be.
pub(crate) type Wanted<'a> = (&'a AgentRef, Result<SyncMode, Failure>);

/// How agents are loaded.
pub(crate) struct How<'h> {
    /// See [`Engine::patience`].
    pub(crate) patience: Option<Duration>,
    /// Called between agents; whether to go on.
    pub(crate) goes_on: &'h dyn Fn() -> bool,
}

impl How<'_> {
    /// As a command does it that somebody waits for.
    pub(crate) fn for_a_command() -> Self {
        Self {
            patience: None,
            goes_on: &|| true,
        }
    }
}

impl Context {
    /// Loads agents and notes stores that were only touched: of those there is nothing else to say, and nothing hangs on it.
    /// `each` is called with every one in turn, and may end it.
    ///
    /// The store of `main`, which most gateways use, is there before any other is begun.
    pub(crate) fn load_each(
        &self,
        vault: &mut UnlockedVault,
        mut agents: Vec<Wanted<'_>>,
        how: &How<'_>,
        each: &mut dyn FnMut(&AgentRef, Result<Loaded, Failure>) -> ControlFlow<()>,
    ) {
        agents.sort_by_key(|(agent, _)| agent.name != AgentName::default());
        let mut length = 1;
        while !agents.is_empty() && (how.goes_on)() {
            let some: Vec<Wanted<'_>> = agents.drain(..length.min(agents.len())).collect();
            length = SIDE_BY_SIDE;
            let known = some.iter().filter_map(|(agent, mode)| {
                let mode = mode.as_ref().ok()?;
                Some((*agent, *mode))
            });
            let known: Vec<(&AgentRef, SyncMode)> = known.collect();
            let load = |engine: &mut Engine<'_>| -> Result<_, Infallible> {
                engine.patience = how.patience;
                let all = engine.load_all(&known);
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
                let result = match mode {
                    Err(failure) => Err(failure),
                    Ok(mode) => match loaded.next() {
                        Some(loaded) => loaded.map_err(Failure::from),
                        None => {
                            // The vault was of no use to one before: the others come again.
                            agents.splice(0..0, std::iter::once((agent, Ok(mode))).chain(some));
                            break;
                        }
                    },
                };
                if each(agent, result).is_break() {
                    return;
                }
            }
        }
    }
}
