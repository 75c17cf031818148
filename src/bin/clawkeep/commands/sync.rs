//! `sync`: take over other programs' logins for every agent, and export.

use clap::Args;
use clawkeep::config::{existing_agents, order_agent};
use clawkeep::domain::Section;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

/// Take over other programs' logins for every agent, and export.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep sync               every agent that exists\n  clawkeep sync --agent ops   one agent"
)]
pub(crate) struct Sync {
    /// Only this agent
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Sync {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agents = match self.agent.as_deref() {
            Some(id) => vec![order_agent(&context.layout, &context.settings, Some(id))],
            None => existing_agents(&context.layout, &context.settings)?,
        };
        let mut vault = context.vault()?;
        let (mut rows, mut unopened, mut text) = (Vec::new(), Vec::new(), String::new());
        for agent in agents {
            let before = vault.agent(&agent.name)?;
            let loaded = context.load(&mut vault, &agent)?;
            let profiles = loaded.doc.entries(Section::Profiles);
            let changed: Vec<&str> = profiles
                .filter(|(id, entry)| before.doc.get(Section::Profiles, id) != Some(*entry))
                .map(|(id, _)| id)
                .collect();
            let count = loaded.doc.entries(Section::Profiles).count();
            let what = if changed.is_empty() {
                "up to date".to_owned()
            } else {
                format!("took over {}", changed.join(", "))
            };
            text.push_str(&format!("{}: {count} profiles, {what}\n", agent.name));
            rows.push(json!({"agent": agent.name.as_str(), "profiles": count, "changed": changed}));
            unopened.extend(loaded.unopened);
        }
        context.ui.answer(&if self.json {
            format!("{:#}\n", json!({"agents": rows}))
        } else {
            text
        })?;
        if unopened.is_empty() {
            Ok(())
        } else {
            Err(Failure::Unopened { rows: unopened })
        }
    }
}
