//! `key remove`: removes a key slot.

use clap::Args;
use clawkeep::internal::crypto::SlotKind;
use clawkeep::internal::domain::path_text;
use clawkeep::internal::vault::RemovedKey;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::prompt;
use crate::terminal::prompt::person;

/// Remove a key slot.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep key status      which slots there are\n  clawkeep key \
        remove 2"
)]
pub(crate) struct Remove {
    /// The slot's number
    #[arg(value_name = "SLOT")]
    slot: i64,
    /// Do not ask before removing the slot that opened the vault just now
    #[arg(long)]
    yes: bool,
}

impl Remove {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut vault = context.unlocked()?;
        let (opened_with, kind) = vault.opened_with();
        let slots = vault.slots()?;
        // The last one is refused below, and needs no question.
        if opened_with == self.slot && slots.len() > 1 && !self.yes {
            let what = format!(
                "slot {} ({}) is the one that opened the vault just now, and no other was tried",
                self.slot,
                kind.as_str()
            );
            if !prompt::is_possible() {
                return Err(Failure::BadArgument(format!(
                    "{what}; to remove it, pass --yes"
                )));
            }
            person::print_line(&format!("Key {what}."));
            if !prompt::confirm("Remove it?", false)? {
                context.ui.note("Nothing was removed.");
                return match context.ui.is_json {
                    true => context.ui.json(&json!({"removed": null})),
                    false => Ok(()),
                };
            }
        }
        let keyfile = vault.find_keyfile(self.slot, &context.key_sources());
        let removed = context.with_new_head(&mut vault, |vault| {
            vault.remove_key(self.slot, &context.actor, context.clock)
        })?;
        let kind = removed.kind.map_or("of a later kind", SlotKind::as_str);
        let line = format!("Removed key slot {}: {kind}.\n", removed.slot);
        let answer = json!({
            "removed": removed.slot,
            "kind": removed.kind.map(SlotKind::as_str),
            "keyFileLeft": keyfile.as_deref().map(path_text),
        });
        context.ui.done(&line, &answer)?;
        super::log_warning::warn_of_log(context, removed.log);
        let keyfile = keyfile.map(|path| context.layout.shorten_home(&path));
        context.ui.note(&leftovers(&removed, keyfile.as_deref()));
        Ok(())
    }
}

/// What remains of the slot's key, and what removing a slot does not do.
fn leftovers(removed: &RemovedKey, keyfile: Option<&str>) -> String {
    let copies = match removed.kind {
        Some(SlotKind::Keychain) => {
            let account = removed.key_id;
            format!("Its item in the keychain (account …/{account}) was left: it")
        }
        Some(SlotKind::Keyfile) => match keyfile {
            Some(place) => format!("Its key file {place} was left: it"),
            None => "Its key file is not here. Wherever it is, it".to_owned(),
        },
        _ => "It".to_owned(),
    };
    format!(
        "Note: {copies} still opens older copies of the vault. If it may have leaked: clawkeep \
         key rotate --compromised"
    )
}
