//! `sync`: imports other programs' logins for every agent, and exports.

pub(crate) mod changes;

use std::ops::ControlFlow;

use clap::Args;
use clawkeep::internal::config::{AgentRef, order_agent};
use clawkeep::internal::domain::counted;
use clawkeep::internal::sync::{Loaded, LoginReport, Notice};
use clawkeep::internal::vault::UnlockedVault;
use serde_json::{Value, json};

use self::changes::Changes;
use crate::context::Context;
use crate::context::load_each::{LoadOptions, words_for_copies};
use crate::failure::Failure;
use crate::options::agent::check_exists;
use crate::record::prune;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::text::shown_id;

/// Import other programs' logins for every agent, and export.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep sync               every agent that exists\n  clawkeep \
        sync --agent ops   one agent"
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
        let mut vault = context.vault()?;
        let mut tally = Tally::default();
        let progress = context.ui.progress("Updating the stores");
        let agents = self.agents(context, &vault)?;
        let wanted = agents
            .iter()
            .map(|agent| (agent, context.mode_for(&vault, agent)));
        let (wanted, options) = (wanted.collect(), LoadOptions::for_a_command());
        let copies = context.load_each(&mut vault, wanted, &options, &mut |agent, loaded| {
            // One agent's failure does not stop the others.
            let taken = loaded.and_then(|loaded| tally.record(context, agent, loaded));
            if let Err(failure) = taken {
                let error = failure.lines().join(" ");
                tally
                    .rows
                    .push(json!({"agent": agent.name.as_str(), "error": error}));
                tally.failures.push((agent.name.to_string(), failure));
            }
            ControlFlow::Continue(())
        });
        if let Some(words) = words_for_copies(copies) {
            context.ui.note(&words);
        }
        drop(progress);
        if self.json {
            context.ui.json(&json!({"agents": tally.rows}))?;
        } else {
            context.ui.answer(&tally.text)?;
        }
        // With an invalid record or invalid settings nothing is pruned; the sync still counts.
        if let Err(failure) = prune::when_due(context, &mut vault) {
            tally.failures.push(("the record".to_owned(), failure));
        }
        let failures = tally.failures;
        let worst = failures
            .iter()
            .map(|(_, failure)| failure.exit_status())
            .max();
        let last = failures.len().saturating_sub(1);
        let mut worst_failure = None;
        for (at, (agent, failure)) in failures.into_iter().enumerate() {
            // The first of the worst failures ends the command, which reports it.
            if worst_failure.is_none() && (Some(failure.exit_status()) == worst || at == last) {
                worst_failure = Some(failure);
            } else {
                context
                    .ui
                    .error(&format!("{agent}: {}", failure.lines().join(" ")));
            }
        }
        worst_failure.map_or(Ok(()), Err)
    }

    /// The named agent, else all agents.
    fn agents(&self, context: &Context, vault: &UnlockedVault) -> Result<Vec<AgentRef>, Failure> {
        match self.agent.as_deref() {
            Some(id) => {
                let agent = order_agent(&context.layout, context.settings()?, Some(id));
                if !is_called_as_gateway() {
                    check_exists(context, vault, &agent)?;
                }
                Ok(vec![agent])
            }
            None => Ok(context.every_agent(vault)?),
        }
    }
}

#[derive(Default)]
struct Tally {
    rows: Vec<Value>,
    text: String,
    failures: Vec<(String, Failure)>,
}

impl Tally {
    fn record(
        &mut self,
        context: &Context,
        agent: &AgentRef,
        loaded: Loaded,
    ) -> Result<(), Failure> {
        context.report_load(&loaded);
        let changes = Changes::of(&loaded);
        // The load has already reported what every command reports.
        let quiet = loaded.logins.iter().filter(|report| !report.is_urgent());
        for report in quiet.filter(|report| report.needs_attention() && !report.is_elsewhere) {
            let notice = Notice::Login(Box::new(report.clone()));
            if report.is_only_a_note() {
                let words = crate::terminal::notices::words(&notice);
                context.ui.detail(&words.unwrap_or_default());
            } else {
                context.ui.notice(&notice);
            }
        }
        let is_worth_it = |report: &&LoginReport| {
            report.needs_attention() && report.is_stored && !report.is_only_a_note()
        };
        let attention = loaded.logins.iter().filter(is_worth_it).count();
        self.text.push_str(&format!(
            "{}: {}, {}\n",
            shown_id(agent.name.as_str()),
            counted(changes.profiles, "profile"),
            changes.words().unwrap_or_else(|| match attention {
                0 => "up to date".to_owned(),
                1 => "unchanged; 1 login of another program needs attention, see: clawkeep \
                    doctor"
                    .to_owned(),
                count => format!(
                    "unchanged; {count} logins of other programs need attention, \
                    see: clawkeep doctor"
                ),
            })
        ));
        self.rows.push(json!({
            "agent": agent.name.as_str(),
            "profiles": changes.profiles,
            "changed": changes.changed,
            "removed": changes.removed,
            "logins": login_states(&loaded),
        }));
        context.verdict(loaded)
    }
}

fn login_states(loaded: &Loaded) -> Vec<Value> {
    let states = loaded.logins.iter().map(|report| {
        json!({
            "profile": report.profile,
            "path": report.place,
            "state": report.state.as_str(),
            "kept": report.is_kept,
        })
    });
    states.collect()
}
