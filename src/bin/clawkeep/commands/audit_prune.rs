//! `audit prune`: forget the beginning of the record.

use clap::Args;
use clawkeep::domain::UnixMs;
use clawkeep::vault::{Pruned, UnlockedVault};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::time_arg::{self, TimeArg};
use crate::ui::local_minute;

/// Remove the events before a time, but for the newest change of each profile, and leave a checkpoint that proves it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep audit export --to record.jsonl && clawkeep audit prune --before 400d\n  clawkeep audit prune   what clawkeep.retention in clawkeep.toml says; `clawkeep sync` does it too, once a day"
)]
pub(crate) struct AuditPrune {
    /// Before then: 400d, 2026-01-09, 2026-01-09 14:30 (local time), or RFC 3339 [default: clawkeep.retention]
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    before: Option<TimeArg>,
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
                    "there is no time to prune before: give --before TIME, or set clawkeep.retention = \"400d\" in clawkeep.toml"
                        .to_owned(),
                )
            })?,
        };
        context.locked()?; // pruning never makes a vault
        let mut vault = context.vault()?;
        let pruned = prune(context, &mut vault, before)?;
        if self.json {
            let answer = match pruned {
                Some(pruned) => {
                    json!({"removed": pruned.removed, "kept": pruned.kept, "last": pruned.last.0})
                }
                None => json!({"removed": 0}),
            };
            return context.ui.json(&answer);
        }
        let before = local_minute(before.0);
        let said = match pruned {
            Some(pruned) => format!(
                "Removed {} before {before}, up to event {}; kept the newest change of each profile ({}).\n",
                counted(pruned.removed),
                pruned.last,
                pruned.kept
            ),
            None => format!("Nothing to remove: the record has no event before {before}.\n"),
        };
        context.ui.answer(&said)
    }
}

fn counted(events: u64) -> String {
    format!("{events} {}", if events == 1 { "event" } else { "events" })
}

/// Prunes, in one transaction, and gives the room back as far as that is possible now.
fn prune(
    context: &Context,
    vault: &mut UnlockedVault,
    before: UnixMs,
) -> Result<Option<Pruned>, Failure> {
    let head = context.kept_head(vault)?;
    let pruned = context.with_engine(vault, |engine| {
        let mut tx = engine.vault.begin(&context.actor, context.clock)?;
        let pruned = tx.prune(before, head)?.map_err(Failure::Chain)?;
        if pruned.is_some() {
            tx.commit()?;
        }
        Ok::<_, Failure>(pruned)
    })?;
    if pruned.is_some()
        && let Err(error) = vault.compact()
    {
        context.ui.note(&format!(
            "Note: the room is not given back yet ({error}); later events use it."
        ));
    }
    Ok(pruned)
}

/// What `clawkeep.retention` asks for, at most once a day: nobody else does it on a server that is left alone.
pub(super) fn prune_when_due(context: &Context, vault: &mut UnlockedVault) -> Result<(), Failure> {
    /// How much older than it may be the oldest event must be, in milliseconds: a day.
    const SLACK: i64 = 24 * 3_600_000;
    let Some(before) = context.own()?.prune_before(context.clock.now()) else {
        return Ok(());
    };
    let oldest = vault.oldest_unpruned()?;
    if oldest.is_none_or(|oldest| oldest.0 >= before.0.saturating_sub(SLACK)) {
        return Ok(());
    }
    if let Some(pruned) = prune(context, vault, before)? {
        context.ui.note(&format!(
            "Note: removed {} before {} from the record, as clawkeep.retention asks.",
            counted(pruned.removed),
            local_minute(before.0)
        ));
    }
    Ok(())
}
