//! Pruning the record, when asked and when due.

use clawkeep::audit::Filter;
use clawkeep::domain::UnixMs;
use clawkeep::vault::{Pruned, UnlockedVault};

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::local_minute;

/// How much older than it may be the oldest event must be before pruning is due, in milliseconds: a
/// day.
const SLACK: i64 = 24 * 3_600_000;
/// How long the record must have continued after a time before that time is trusted, in
/// milliseconds: 7 days.
const CONFIRMATION_MS: i64 = 7 * 24 * 3_600_000;

/// A number of events, in words.
pub(crate) fn counted(events: u64) -> String {
    format!("{events} {}", if events == 1 { "event" } else { "events" })
}

/// Prunes in one transaction, and returns the freed space as far as possible.
pub(crate) fn prune(
    context: &Context,
    vault: &mut UnlockedVault,
    before: UnixMs,
) -> Result<Option<Pruned>, Failure> {
    let head = context.kept_head(vault)?;
    let pruned = context.with_engine(vault, |engine| {
        let pruned = engine
            .vault
            .prune(before, head, &context.actor, context.clock)?;
        pruned.map_err(Failure::Chain)
    })?;
    if pruned.is_some()
        && let Err(error) = vault.compact()
    {
        context.ui.note(&format!(
            "Note: the freed space is not returned to the file system yet ({error}); later events \
             use it."
        ));
    }
    Ok(pruned)
}

/// Prunes as `clawkeep.retention` asks, at most once a day: on an unattended server nobody else
/// does. The age counts from the last event that the record continued after for a week, since a
/// clock that is wrong for some hours must not delete the record.
pub(crate) fn when_due(context: &Context, vault: &mut UnlockedVault) -> Result<(), Failure> {
    let own = context.own()?;
    if own.retention_ms.is_none() {
        return Ok(());
    }
    let newest = |until: Option<UnixMs>| -> Result<Option<UnixMs>, Failure> {
        let filter = Filter {
            until,
            limit: Some(1),
            ..Filter::default()
        };
        let event = vault.history(&filter)?.next().transpose()?;
        Ok(event.map(|event| event.at))
    };
    let last = newest(None)?.map(|last| last.min(context.clock.now()));
    let Some(last) = last else { return Ok(()) };
    let confirmed = newest(Some(UnixMs(last.0.saturating_sub(CONFIRMATION_MS))))?;
    let Some(before) = confirmed.and_then(|confirmed| own.prune_before(confirmed)) else {
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
