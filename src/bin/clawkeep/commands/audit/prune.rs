//! `audit prune`: removes the beginning of the record.

use clap::Args;
use clawkeep::internal::domain::counted;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::options::time_arg::{self, TimeArg};
use crate::record::prune::prune;
use crate::terminal::prompt;
use crate::terminal::text::local_minute;

/// Remove the events before a time, except the newest change of each profile and the upgrade of the
/// vault, and leave a checkpoint that proves them
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep audit export --to record-2026-01-09.jsonl   first, to keep \
        a copy\n  clawkeep audit prune --before 400d\n  clawkeep audit prune   what \
        clawkeep.retention in clawkeep.toml says; `clawkeep sync` does it too, once a day"
)]
pub(crate) struct AuditPrune {
    /// Remove events before this time: 400d, 2026-01-09, 2026-01-09 14:30 (local time), or RFC 3339
    /// [default: clawkeep.retention]
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    before: Option<TimeArg>,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl AuditPrune {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let now = context.clock.now();
        let before = match self.before {
            Some(before) => before.resolve(now),
            None => context.own()?.prune_before(now).ok_or_else(|| {
                Failure::BadArgument(
                    "cannot prune: no time is set. Pass --before TIME, or set clawkeep.retention \
                     = \"400d\" in clawkeep.toml"
                        .to_owned(),
                )
            })?,
        };
        if before > now {
            return Err(Failure::BadArgument(format!(
                "{} is in the future: pruning would leave nothing of the record",
                local_minute(before)
            )));
        }
        context.locked()?.require_writable()?; // pruning never creates a vault
        let question = format!(
            "Remove the events before {} permanently, except the newest change of each profile \
             and the upgrade of the vault?",
            local_minute(before)
        );
        // A script that passes the time means it.
        if !self.yes && prompt::is_possible() && !prompt::confirm(&question, false)? {
            context.ui.note("Nothing was removed.");
            return Ok(());
        }
        let mut vault = context.vault()?;
        let progress = context.ui.progress("Verifying the record and pruning it");
        let pruned = prune(context, &mut vault, before)?;
        drop(progress);
        if self.json {
            let answer = match pruned {
                Some(pruned) => {
                    json!({"removed": pruned.removed, "kept": pruned.kept, "last": pruned.last.0})
                }
                None => json!({"removed": 0}),
            };
            return context.ui.json(&answer);
        }
        let before = local_minute(before);
        let answer = match pruned {
            Some(pruned) => format!(
                "Removed {} before {before}, up to event {}; kept {} that clawkeep still needs.\n",
                counted(pruned.removed, "event"),
                pruned.last,
                counted(pruned.kept, "event")
            ),
            None => format!("Nothing to remove: the record has no event before {before}.\n"),
        };
        context.ui.answer(&answer)
    }
}
