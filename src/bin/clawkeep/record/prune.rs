//! Pruning the record, when asked and when due.

use clawkeep::internal::audit::Filter;
use clawkeep::internal::domain::{Span, UnixMs, counted};
use clawkeep::internal::vault::{Pruned, UnlockedVault};

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::local_minute;

/// How much older than it may be the oldest event must be before pruning is due.
const SLACK: Span = Span::days(1);
/// How long the record must have continued after a time before that time is trusted.
const CONFIRMATION: Span = Span::days(7);

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
        let filter = Filter::default().until(until).limit(1);
        let event = vault.history(&filter)?.next().transpose()?;
        Ok(event.map(|event| event.at))
    };
    let last = newest(None)?.map(|last| last.min(context.clock.now()));
    let Some(last) = last else { return Ok(()) };
    let confirmed = newest(Some(last - CONFIRMATION))?;
    let Some(before) = confirmed.and_then(|confirmed| own.prune_before(confirmed)) else {
        return Ok(());
    };
    let oldest = vault.oldest_unpruned()?;
    if oldest.is_none_or(|oldest| oldest >= before - SLACK) {
        return Ok(());
    }
    if let Some(pruned) = prune(context, vault, before)? {
        context.ui.note(&format!(
            "Note: removed {} before {} from the record, as clawkeep.retention asks.",
            counted(pruned.removed, "event"),
            local_minute(before)
        ));
    }
    Ok(())
}
