//! `history refreshes`: how often each credential was refreshed, and when the next is due. Needs no key.

use clap::Args;
use clawkeep::audit::Refreshes;
use clawkeep::domain::UnixMs;
use clawkeep::health::remaining_short;

use crate::context::Context;
use crate::failure::Failure;
use crate::record::ask::{How, When, Whose};
use crate::record::names::name;
use crate::record::shape::{Rows, ShapeArgs};
use crate::record::{csv, json};
use crate::ui::local_minute;

/// How often each credential was refreshed, how often that failed, and when the next is due.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep history refreshes --since 30d\n  clawkeep history refreshes --profile anthropic:claude-cli --json\n\nA token that Claude Code, Codex or the gateway renewed, and that was taken over, counts as a refresh."
)]
pub(crate) struct HistoryRefreshes {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    when: When,
    /// At most so many profiles
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The last profile first
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    shape: ShapeArgs,
}

impl HistoryRefreshes {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let filter = self.how.narrow(self.whose.filter());
        let filter = self.when.narrow(filter, context.clock.now())?;
        let mut found = context.locked()?.refreshes(&filter)?;
        if self.reverse {
            found.reverse();
        }
        found.truncate(self.limit.unwrap_or(usize::MAX));
        if found.is_empty() {
            context.ui.note("No refresh is recorded that matches.");
        }
        let rows = Rows {
            name: "refreshes",
            header: [
                "PROFILE",
                "REFRESHED",
                "FAILED",
                "LIFETIME",
                "LAST",
                "NEXT DUE",
            ],
            cells,
            columns: csv::REFRESHES,
            csv: csv::refreshes,
            json: json::refreshes,
        };
        rows.show(context, self.shape.shape(), &found)
    }
}

fn cells(refreshes: &Refreshes) -> [String; 6] {
    let time = |at: Option<UnixMs>| at.map_or("-".to_owned(), |at| local_minute(at.0));
    let lifetime = refreshes.mean_lifetime_ms;
    [
        name(&refreshes.whose),
        refreshes.succeeded.to_string(),
        refreshes.failed.to_string(),
        lifetime.map_or("-".to_owned(), |ms| remaining_short(UnixMs(ms).as_f64())),
        time(refreshes.last),
        time(refreshes.due),
    ]
}
