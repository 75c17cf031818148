//! Notifies people that the vault cannot be opened. Deliveries are usually in the record, which is
//! closed here, so a file remembers the last one.

use std::path::PathBuf;

use clawkeep::internal::export::store_digest;
use clawkeep::internal::platform::{Access, create_private_dir, read_trusted, remove_if_present};

use super::alerting::{ALERTS_WAIT, Alerting, NotifyArg, Trouble};
use super::watcher::log::in_a_line;
use crate::context::Context;
use crate::failure::Failure;

/// The largest file that is read, in bytes: an instant and a line.
const FILE_MAX: u64 = 16 << 10;

/// Whether the vault is unusable for every process: neither busy, nor an invalid command.
pub(crate) fn is_vault_unusable(failure: &Failure) -> bool {
    let is_vaults = matches!(
        failure,
        Failure::Vault(_) | Failure::File(_) | Failure::Sync(_)
    );
    is_vaults && !failure.is_busy()
}

/// Notifies every target, unless it was notified for the same reason within the reminder interval.
pub(crate) fn notify_unopened(context: &Context, notify: &[NotifyArg], failure: &Failure) {
    let Ok(mut alerting) = Alerting::new(context, notify, || {}) else {
        return; // this failure is reported where it occurs
    };
    if alerting.is_idle() {
        return;
    }
    let why = in_a_line(failure);
    let now = context.clock.now();
    let last_notice = last_notice(context).filter(|(_, known)| *known == why);
    let repeat = context.own().ok().and_then(|own| own.notify.repeat_ms);
    let is_recent =
        |at: i64| repeat.is_none_or(|repeat| (0..repeat).contains(&now.0.saturating_sub(at)));
    if last_notice.is_some_and(|(at, _)| is_recent(at)) {
        return;
    }
    let trouble = Trouble {
        key: "vault".to_owned(),
        title: "The vault cannot be used".to_owned(),
        body: why.clone(),
    };
    alerting.pass_without_vault(context, &[trouble]);
    alerting.finish_without_vault(ALERTS_WAIT);
    for (target, why) in alerting.unreached() {
        let text = format!("Warning: {target} was not notified: {why}");
        context.ui.warn(&text);
    }
    if alerting.has_reached_nobody() {
        return; // the next pass tries again
    }
    if let Err(error) = remember(context, now.0, &why) {
        context.ui.warn(&format!(
            "Warning: cannot note that the notifications were sent, so they will be sent again: \
             {error}"
        ));
    }
}

/// Forgets the last notification, since the vault opens: a later failure is reported again.
pub(crate) fn forget(context: &Context) {
    // A file that stays costs one message at most.
    let _ = remove_if_present(&file(context));
}

fn file(context: &Context) -> PathBuf {
    let layout = &context.layout;
    layout
        .alert_notes_dir()
        .join(store_digest(&layout.vault_file))
}

fn last_notice(context: &Context) -> Option<(i64, String)> {
    let contents = read_trusted(&file(context), Access::Read, FILE_MAX).ok()??;
    let text = String::from_utf8_lossy(&contents.bytes).into_owned();
    let (at, why) = text.split_once(' ')?;
    Some((at.parse().ok()?, why.trim_end().to_owned()))
}

fn remember(context: &Context, now: i64, why: &str) -> Result<(), String> {
    let path = file(context);
    create_private_dir(&context.layout.alert_notes_dir()).map_err(|error| error.to_string())?;
    std::fs::write(&path, format!("{now} {why}\n")).map_err(|error| error.to_string())
}
