//! `history refreshes`: how often each credential was refreshed, and when it is due. Needs no key.

use clap::Args;
use clawkeep::internal::audit::Refreshes;
use clawkeep::internal::domain::{Span, UnixMs};
use clawkeep::internal::vault::Vault;

use crate::context::Context;
use crate::failure::Failure;
use crate::record::ask::Sums;
use crate::record::names::name;
use crate::record::shape::Rows;
use crate::record::{csv, json};
use crate::terminal::text::local_minute;

/// How often each credential was refreshed, how often that failed, and when the next is due.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep history refreshes --since 30d\n  clawkeep history \
        refreshes --profile anthropic:claude-cli --json\n\nA token that Claude Code, Codex or the \
        gateway refreshed, and that was imported, counts as a refresh."
)]
pub(crate) struct HistoryRefreshes {
    #[command(flatten)]
    sums: Sums,
}

impl HistoryRefreshes {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let vault = context.locked()?;
        let rows = Rows {
            name: "refreshes",
            nothing: "No refresh is recorded that matches.",
            header: [
                "PROFILE",
                "REFRESHED",
                "FAILED",
                "LIFETIME",
                "LAST",
                "NEXT DUE",
            ],
            cells: &|refreshes| cells(refreshes, context.clock.now()),
            columns: csv::REFRESHES,
            csv: csv::refreshes,
            json: json::refreshes,
        };
        self.sums.show(context, &vault, Vault::refreshes, &rows)
    }
}

fn cells(refreshes: &Refreshes, now: UnixMs) -> [String; 6] {
    let time = |at: Option<UnixMs>| at.map_or("-".to_owned(), local_minute);
    let lifetime = refreshes.mean_lifetime_ms;
    let is_over = refreshes.due.is_some_and(|due| due <= now);
    let due = time(refreshes.due);
    let mark = if is_over { " (overdue)" } else { "" };
    let due = format!("{due}{mark}");
    [
        name(&refreshes.profile),
        refreshes.succeeded.to_string(),
        refreshes.failed.to_string(),
        lifetime.map_or("-".to_owned(), |ms| Span::from_ms(ms).short()),
        time(refreshes.last),
        due,
    ]
}
