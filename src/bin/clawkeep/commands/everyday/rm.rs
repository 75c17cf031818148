//! `rm`: removes a credential from every agent that has it.

use clap::Args;

use crate::commands::auth::paste::Answer;
use crate::commands::auth::remove;
use crate::commands::logins::held_by::held_by;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentsOption;

/// Remove a credential.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep rm anthropic:manual         asks first\n  clawkeep rm \
        anthropic:manual --yes --agent main\n\nAny part of the id will do if it means one \
        credential."
)]
pub(crate) struct Rm {
    /// The credential
    #[arg(value_name = "ID")]
    id: String,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    agents: AgentsOption,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Rm {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut vault = context.vault()?;
        let held = held_by(context, &mut vault, &self.id, &self.agents)?;
        let answer = (self.yes, Answer::of(self.json));
        remove::remove(context, &mut vault, (&held.agents, &held.id), answer)
    }
}
