//! `status`: every login, the worst first, and what fixes it.

use clap::Args;
use clawkeep::internal::domain::{CredentialType, UnixMs};
use clawkeep::internal::platform::exists;
use serde_json::{Value, json};

use super::first_steps;
use crate::commands::logins::rows::{LoadedAgents, Row, Severity, rows, verdict};
use crate::commands::monitor::status::is_running;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentsOption;
use crate::record::json::fields;
use crate::terminal::palette::Tone;
use crate::terminal::table::painted_table;
use crate::terminal::text::{one_line, shown_id};

/// Exit status of `--check` when a login cannot be used. Source: `models status --check`.
const UNUSABLE: u8 = 1;
/// Exit status of `--check` when one will stop working. Source: as above.
const EXPIRING: u8 = 2;

/// Show the state of every login, the worst first, and what fixes it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep status\n  clawkeep status --check   for monitoring: exit 1 \
        when a login cannot be used, 2 when one needs you soon\n  clawkeep status --json | jq -r \
        '.logins[] | select(.fix) | .profileId'\n\nA login that several agents share is one row."
)]
pub(crate) struct Status {
    #[command(flatten)]
    agents: AgentsOption,
    /// Exit 1 when a login cannot be used or there is none, 2 when one will stop working unless you
    /// act
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Whether no command was typed: then no vault is made.
    #[arg(skip)]
    pub(crate) is_bare: bool,
}

impl Status {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.is_bare && !exists(&context.layout.vault_file) {
            return first_steps::show(context);
        }
        let named = self.agents.named(context)?;
        let mut vault = context.vault_to_read()?;
        let agents = LoadedAgents::load(context, &mut vault, named)?;
        agents.report(context);
        let rows = rows(context, &vault, &agents)?;
        let now = context.clock.now();
        if self.json {
            let logins: Vec<Value> = rows.iter().map(|row| to_json(row, now)).collect();
            let needing = rows.iter().filter(|row| row.needs_person()).count();
            context
                .ui
                .json(&json!({"logins": logins, "needAttention": needing}))?;
        } else if rows.is_empty() {
            first_steps::show(context)?;
        } else {
            let text = to_text(context, &rows, now);
            context.ui.answer(&text)?;
            let alerts = rows
                .iter()
                .filter_map(|row| Some((row.next_alert?, &row.id)));
            if let Some((at, id)) = alerts.min() {
                let when = (at - now).from_now();
                let note = format!("The next alert is due {when}, for {}.", shown_id(id));
                context.ui.note(&note);
                if !is_running(context) {
                    context.ui.note(
                        "Nothing watches, so nothing will send it. To start what does: clawkeep \
                         monitor install",
                    );
                }
            }
        }
        agents.verdict(context)?;
        match rows.first().map(|row| row.severity) {
            None if self.check => Err(Failure::Check(UNUSABLE)), // as a login that is missing
            Some(Severity::Unusable) if self.check => Err(Failure::Check(UNUSABLE)),
            Some(Severity::NeedsAttention) if self.check => Err(Failure::Check(EXPIRING)),
            _ => Ok(()),
        }
    }
}

/// The agents of a row, as people read them.
pub(super) fn agents_of(row: &Row) -> String {
    let names: Vec<String> = row
        .agents
        .iter()
        .map(|agent| shown_id(agent.as_str()))
        .collect();
    names.join(", ")
}

/// How long a row's credential is still valid, or since when it is not.
pub(super) fn time_left(row: &Row, now: UnixMs) -> String {
    row.expires
        .map_or_else(|| "-".to_owned(), |at| (at - now).from_now())
}

/// When a row's credential was last used.
pub(super) fn last_used(row: &Row, now: UnixMs) -> String {
    row.last_used
        .map_or_else(|| "never".to_owned(), |at| (at - now).from_now())
}

/// The colour of a row's state, where there is colour.
pub(super) fn tone(context: &Context, row: &Row) -> Option<Tone> {
    context.ui.colour_on_stdout().then_some(row.severity.tone())
}

fn to_text(context: &Context, rows: &[Row], now: UnixMs) -> String {
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            [
                row.state.clone(),
                row.name(),
                time_left(row, now),
                last_used(row, now),
                agents_of(row),
            ]
        })
        .collect();
    let header = ["STATE", "PROFILE", "EXPIRES", "LAST USED", "AGENTS"];
    let tones = |row: usize| [tone(context, &rows[row]), None, None, None, None];
    let table = painted_table(header, &cells, context.ui.width(), tones);
    let mut text = format!("{}\n\n{table}", verdict(rows));
    let fixes: Vec<(&str, &str)> = rows
        .iter()
        .filter_map(|row| Some((row.id.as_str(), row.fix.as_deref()?)))
        .collect();
    if !fixes.is_empty() {
        text.push_str("\nWhat to do:\n");
    }
    for (id, fix) in fixes {
        text.push_str(&format!("  {}: {}\n", one_line(id), one_line(fix)));
    }
    text
}

pub(super) fn to_json(row: &Row, now: UnixMs) -> Value {
    let agents: Vec<&str> = row.agents.iter().map(|agent| agent.as_str()).collect();
    let places = row.places.iter();
    let order = places.map(|(agent, place)| (agent.as_str().to_owned(), json!(place.at)));
    fields([
        ("profileId", Some(json!(row.id))),
        ("provider", Some(json!(row.provider))),
        (
            "type",
            (row.kind != CredentialType::Unreadable).then(|| json!(row.kind.as_str())),
        ),
        ("agents", Some(json!(agents))),
        (
            "order",
            (!row.places.is_empty()).then(|| Value::Object(order.collect())),
        ),
        ("state", Some(json!(row.state))),
        ("usable", Some(json!(row.is_usable()))),
        ("expiresAt", row.expires.map(|at| json!(at.0))),
        ("remainingMs", row.expires.map(|at| json!((at - now).ms()))),
        ("lastUsed", row.last_used.map(|at| json!(at.0))),
        ("fix", row.fix.as_deref().map(Value::from)),
    ])
}
