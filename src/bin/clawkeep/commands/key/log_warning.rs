//! The warning that the vault's log still contains the earlier keys.

use clawkeep::internal::vault::LogState;

use crate::context::Context;

pub(crate) fn warn_of_log(context: &Context, log: LogState) {
    if log == LogState::Emptied {
        return;
    }
    let vault = context.layout.shorten_home(&context.layout.vault_file);
    context.ui.warn(&format!(
        "Warning: other programs read the vault for so long that its log, {vault}-wal, could not \
         be written back: a copy of {vault} alone still opens with the earlier keys. Stop those \
         programs (clawkeep watch is one), then run: clawkeep key status"
    ));
}
