//! `use`: puts a credential first in the order of its provider.

use clap::Args;

use crate::commands::auth::order;
use crate::commands::logins::held_by::held_by;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentsOption;

/// Use a credential before the others of its provider.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep use anthropic:work\n  clawkeep use anthropic:work --agent \
        ops\n\nSets the order as `clawkeep models auth order set` does; the others follow as \
        before. Any part of the id will do if it means one credential."
)]
pub(crate) struct UseFirst {
    /// The credential
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    agents: AgentsOption,
}

impl UseFirst {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut vault = context.vault()?;
        let held = held_by(context, &mut vault, &self.id, &self.agents)?;
        for agent in &held.agents {
            order::put_first(context, &mut vault, agent, &held.id)?;
        }
        Ok(())
    }
}
