//! `models status`: sync, then models, credentials and their expiry.

mod collation;
mod probes;
pub(crate) mod report;

use std::collections::BTreeMap;

use clap::Args;
use clawkeep::internal::config::{EnvFault, status_agent};
use clawkeep::internal::sync::Rules;
use serde_json::{Value, json};

use self::probes::ProbeRow;
use self::report::Report;
use self::report::inputs::Inputs;
use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::colour::Colour;
use crate::terminal::program_name::is_called_as_gateway;

/// Show models, credentials and expiry.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep models status\n  clawkeep models status --check   for \
        monitoring: exit 1 expired or missing, 2 expiring\n  clawkeep models status --json | jq \
        .auth.oauth"
)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long, conflicts_with = "plain")]
    json: bool,
    /// Print the default model and nothing else
    #[arg(long)]
    plain: bool,
    /// Exit 1 when a credential has expired, is missing, unusable or logged out, 2 when one is
    /// expiring (other than a token that Claude Code refreshes, where the file says until when) or
    /// its expiry cannot be relied on
    #[arg(long)]
    check: bool,
    /// Send one request for each credential to its provider, and print whether it is accepted
    #[arg(long, conflicts_with = "plain")]
    probe: bool,
    /// The agent [default: $CLAWDBOT_AGENT_DIR, else main]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

impl Status {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = status_agent(
            &context.layout,
            context.settings()?,
            &context.env,
            self.agent.as_deref(),
        );
        let (env, faults) = context.env.completed(&context.layout, context.settings()?);
        for fault in faults {
            let why = crate::failure::chain(Some(&fault)).join(": ");
            let remedy = match &fault {
                EnvFault::File(error) => crate::failure::remedies::file_remedy(error),
                _ => None,
            };
            context
                .ui
                .note(&format!("Warning: {why}. {}", remedy.unwrap_or_default()));
        }
        let mut vault = context.vault_to_read()?;
        let loaded = context.load(&mut vault, &agent)?;
        let grants = vault.troubled_grants(&loaded.doc)?;
        let nothing = BTreeMap::new();
        let report = Report::build(&Inputs {
            doc: &loaded.doc,
            damage: &loaded.damage,
            settings: context.settings()?,
            env: &env,
            layout: &context.layout,
            agent: &agent,
            grants: &grants,
            borrowed: match is_called_as_gateway() {
                true => &nothing,
                false => &loaded.borrowed,
            },
            logins: match context.rules {
                Rules::Own => Some(&loaded.logins),
                Rules::Reference => None,
            },
            as_of: context.as_of(context.clock.now()),
        });
        let probes = match self.probe {
            true => Some(probes::probe(context, &mut vault, (&agent, &loaded))?),
            false => None,
        };
        let colour = if context.ui.colour_on_stdout() {
            Colour::On
        } else {
            Colour::Off
        };
        match (self.json, self.plain) {
            (true, _) => match &probes {
                None => context.ui.json(&report.json())?,
                Some(rows) => context.ui.json(&with_probes(&report, rows)?)?,
            },
            (false, true) => context.ui.answer(&format!("{}\n", report.plain()))?,
            (false, false) => context.ui.answer(&report.to_text(colour))?,
        }
        if let Some(rows) = probes.as_ref().filter(|_| !self.json) {
            let lines: Vec<String> = rows.iter().map(ProbeRow::text).collect();
            context
                .ui
                .answer(&format!("\nProbes\n{}\n", lines.join("\n")))?;
        }
        context.verdict(loaded)?;
        let is_refused = probes.iter().flatten().any(ProbeRow::is_refused);
        if self.check && is_refused {
            return Err(Failure::Check(1));
        }
        match report.check_exit() {
            status if self.check && status != 0 => Err(Failure::Check(status)),
            _ => Ok(()),
        }
    }
}

/// The report as JSON, with what the probes found.
fn with_probes(report: &Report, rows: &[ProbeRow]) -> Result<Value, Failure> {
    let made = serde_json::to_value(report.json());
    let mut document = made.map_err(|error| Failure::Output(error.into()))?;
    if let Some(auth) = document.get_mut("auth").and_then(Value::as_object_mut) {
        let results: Vec<Value> = rows.iter().map(ProbeRow::json).collect();
        auth.insert("probes".to_owned(), json!({"results": results}));
    }
    Ok(document)
}
