//! `rm`: removes a credential from every agent that has it.

use clap::Args;

use crate::commands::auth::remove;
use crate::commands::logins::held_by::held_by;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentsOption;
use crate::terminal::text::shown_id;

/// Remove a credential.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep rm anthropic:manual         asks first\n  clawkeep rm \
        anthropic:manual --yes --agent main\n\nA part of the id will do if it means one \
        credential: a whole piece of it,\nor the beginning of one. With --yes, and with a \
        provider before a colon, only the whole id does."
)]
pub(crate) struct Rm {
    /// The credential
    #[arg(value_name = "ID")]
    id: String,
    /// Do not ask first; the id has to be whole
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    agents: AgentsOption,
}

impl Rm {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut vault = context.vault()?;
        let held = held_by(context, &mut vault, &self.id, &self.agents)?;
        if self.yes && held.id != self.id {
            return Err(Failure::UnknownName {
                what: format!("no credential has the id \"{}\"", shown_id(&self.id)),
                next: format!(
                    "Did you mean {}? With --yes, give the whole id.",
                    shown_id(&held.id)
                ),
            });
        }
        remove::remove(context, &mut vault, (&held.agents, &held.id), self.yes)
    }
}
