//! `ls`: the credentials of every agent, in the order of their ids.

use clap::Args;
use serde_json::{Value, json};

use crate::advice::shell_word;

use super::status::{last_used, time_left, to_json, tone};
use crate::commands::logins::rows::{LoadedAgents, Row, legend, rows};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentsOption;
use crate::options::named::{Named, Names};
use crate::terminal::table::painted_table;

/// List the credentials of every agent.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep ls\n  clawkeep ls anthropic\n  clawkeep ls --json | jq -r \
        '.logins[].profileId'"
)]
pub(crate) struct Ls {
    /// Only this provider's, or this credential
    #[arg(value_name = "PROVIDER|ID")]
    named: Option<String>,
    #[command(flatten)]
    agents: AgentsOption,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Ls {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agents.named(context)?;
        let mut vault = context.vault_to_read()?;
        let agents = LoadedAgents::load(context, &mut vault, agent)?;
        agents.report(context);
        let mut rows = rows(context, &vault, &agents)?;
        let mut none = "No credential. Add one with: clawkeep add".to_owned();
        if let Some(word) = &self.named {
            let names = Names::of(context, Some(&vault), None)?;
            match names.find(word)?.ok_or_else(|| names.unknown(word))? {
                Named::Provider(provider) => {
                    rows.retain(|row| row.provider == provider.as_str());
                    none = format!(
                        "No credential of {provider}. Add one with: clawkeep add {}",
                        shell_word(provider.as_str())
                    );
                }
                Named::Id(id) => rows.retain(|row| row.id == id),
            }
        }
        rows.sort_by(|a, b| (&a.id, &a.agents).cmp(&(&b.id, &b.agents)));
        let now = context.clock.now();
        if self.json {
            let logins: Vec<Value> = rows.iter().map(|row| to_json(row, now)).collect();
            context.ui.json(&json!({"logins": logins}))?;
        } else if rows.is_empty() {
            context.ui.answer(&format!("{none}\n"))?;
        } else {
            let cells: Vec<[String; 6]> = rows
                .iter()
                .map(|row: &Row| {
                    [
                        row.name(),
                        row.kind.as_str().to_owned(),
                        row.state.clone(),
                        time_left(row, now),
                        last_used(row, now),
                        row.agents_shown(),
                    ]
                })
                .collect();
            let header = ["PROFILE", "TYPE", "STATE", "EXPIRES", "LAST USED", "AGENTS"];
            let tones = |row: usize| [None, None, tone(context, &rows[row]), None, None, None];
            let text = painted_table(header, &cells, context.ui.width(), tones);
            context.ui.answer(&format!("{text}{}", legend(&rows)))?;
        }
        agents.verdict(context)
    }
}
