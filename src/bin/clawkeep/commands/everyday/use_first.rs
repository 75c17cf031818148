//! `use`: puts a credential first in the order of its provider.

use clap::Args;
use clawkeep::internal::domain::ProfileId;
use serde_json::json;

use crate::commands::auth::{edit, order};
use crate::commands::logins::held_by::held_by;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentsOption;
use crate::terminal::text::{shown_id, shown_ids};

/// Use a credential before the others of its provider.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep use anthropic:work\n  clawkeep use anthropic:work --agent \
        ops\n\nSets the order as `clawkeep models auth order set` does; the others follow as \
        before. Beside a gateway, also names the credential in auth.profiles of its configuration \
        if others of its provider are named there. A part of the id will do if it means one credential: a whole piece of it, or the \
        beginning of one."
)]
pub(crate) struct UseFirst {
    /// The credential
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    agents: AgentsOption,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl UseFirst {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut vault = context.vault()?;
        let held = held_by(context, &mut vault, &self.id, &self.agents)?;
        let mut orders = Vec::new();
        let mut verdict = Ok(());
        for agent in &held.agents {
            let (provider, ids, loaded) = order::put_first(context, &mut vault, agent, &held.id)?;
            let ids: Vec<&str> = ids.iter().map(ProfileId::as_str).collect();
            if !self.json {
                context.ui.answer(&format!(
                    "Agent {} uses for {provider}: {}\n",
                    shown_id(agent.name.as_str()),
                    shown_ids(ids.iter().copied())
                ))?;
            }
            orders.push(json!({
                "agentId": agent.name.as_str(),
                "provider": provider.as_str(),
                "order": ids,
            }));
            let done = format!("{} is first", shown_id(&held.id));
            let recorded = edit::name_in_config(context, &loaded.doc, &held.id, &done);
            let answered = edit::conclude(context, loaded, recorded, |updated| match self.json {
                true => Ok(()), // one answer for all agents
                false => context.ui.answer(updated),
            });
            verdict = verdict.and(answered);
        }
        if self.json {
            context
                .ui
                .json(&json!({"profileId": held.id, "orders": orders}))?;
        }
        verdict
    }
}
