//! `history uses`: how often each credential was used, when, and by whom. Needs no key.

use clap::Args;
use clawkeep::internal::audit::Uses;
use clawkeep::internal::vault::Vault;

use crate::context::Context;
use crate::failure::Failure;
use crate::record::ask::Sums;
use crate::record::names::name;
use crate::record::notes::note_changed_stores;
use crate::record::shape::Rows;
use crate::record::{csv, json, text};
use crate::terminal::text::{local_minute, one_line};

/// Names of programs listed in the table.
const DOERS_MAX: usize = 3;

/// How often each credential was used, when, and by whom.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep history uses --since 30d\n  clawkeep history uses \
        --provider anthropic --json   with hosts and users"
)]
pub(crate) struct HistoryUses {
    #[command(flatten)]
    sums: Sums,
}

impl HistoryUses {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let vault = context.locked()?;
        note_changed_stores(context, &vault)?;
        let rows = Rows {
            name: "uses",
            nothing: "No use is recorded that matches.",
            header: ["PROFILE", "USES", "FAILED (LAST)", "FIRST", "LAST", "BY"],
            cells: &cells,
            columns: csv::USES,
            csv: csv::uses,
            json: json::uses,
        };
        self.sums.show(context, &vault, Vault::uses, &rows)
    }
}

fn cells(uses: &Uses) -> [String; 6] {
    let (first, last) = uses.span.unzip();
    let time =
        |at: Option<clawkeep::internal::domain::UnixMs>| at.map_or("-".to_owned(), local_minute);
    let mut by: Vec<(String, u64)> = Vec::new();
    for (doer, count) in &uses.by {
        let who = text::actor_name(doer);
        match by.iter_mut().find(|(known, _)| *known == who) {
            Some((_, sum)) => *sum += count,
            None => by.push((who, *count)),
        }
    }
    let more = by.len().saturating_sub(DOERS_MAX);
    let named = by.iter().take(DOERS_MAX);
    let mut names: Vec<String> = named
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    let ran: Vec<String> = uses.programs.iter().map(|name| one_line(name)).collect();
    let ran = match ran.len() {
        0 => String::new(),
        count if count > DOERS_MAX => {
            format!(
                " for {}, {} more",
                ran[..DOERS_MAX].join(", "),
                count - DOERS_MAX
            )
        }
        _ => format!(" for {}", ran.join(", ")),
    };
    [
        name(&uses.profile),
        uses.count.to_string(),
        failures(uses),
        time(first),
        time(last),
        names.join(", ") + &ran,
    ]
}

/// How often it was refused, and the last time and why.
fn failures(uses: &Uses) -> String {
    let Some(last) = &uses.last_failure else {
        return uses.failed.to_string();
    };
    let why = last
        .reason
        .as_deref()
        .map(|reason| format!("{}, ", one_line(reason)));
    format!(
        "{} ({}{})",
        uses.failed,
        why.unwrap_or_default(),
        local_minute(last.at)
    )
}
