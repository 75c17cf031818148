//! `key status`: shows the vault's key slots.

use clap::Args;
use clawkeep::internal::audit::EventKind;
use clawkeep::internal::crypto::{Argon2id, SlotKind};
use clawkeep::internal::platform::harden;
use clawkeep::internal::vault::{SlotInfo, Vault};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::record::json::fields;
use crate::terminal::table::table;
use crate::terminal::text::{local_minute, one_line};

/// Show the vault's key slots.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  clawkeep key status")]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Status {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        harden(); // reads key files, to find the slots' files
        let vault = match self.json {
            true => context.locked()?,
            false => context.unverified()?,
        };
        let slots = vault.slots()?;
        let rotated = vault.newest_of_kind(EventKind::KeyRotated)?;
        if self.json {
            let slots: Vec<Value> = slots
                .iter()
                .map(|slot| to_json(context, &vault, slot))
                .collect();
            return context.ui.json(&fields([
                ("verified", Some(json!(false))),
                ("vault", Some(json!(vault.id().to_string()))),
                ("epoch", Some(json!(vault.epoch()))),
                ("rotatedAt", rotated.map(|at| json!(at.rfc3339_millis()))),
                ("slots", Some(json!(slots))),
            ]));
        }
        let rows: Vec<[String; 5]> = slots
            .iter()
            .map(|slot| {
                [
                    slot.slot.to_string(),
                    one_line(&slot.kind),
                    slot.key_id.to_string(),
                    local_minute(slot.created_at),
                    place(context, &vault, slot),
                ]
            })
            .collect();
        let header = ["Slot", "Kind", "Key id", "Added", "Where"];
        let rotated = match rotated {
            Some(at) => format!("rotated {}", local_minute(at)),
            None if vault.epoch() > 1 => "rotated before the record begins".to_owned(),
            None => "never rotated".to_owned(),
        };
        context.ui.answer(&format!(
            "Vault {} of {}\nData key {}, {rotated}\n\n{}",
            context.layout.shorten_home(vault.path()),
            vault.id(),
            vault.epoch(),
            table(header, &rows, context.ui.width())
        ))?;
        if slots.len() == 1 {
            context.ui.note(
                "Note: if you lose this key, nobody can open the vault. Create a recovery code: \
                 clawkeep key recovery",
            );
        }
        Ok(())
    }
}

fn to_json(context: &Context, vault: &Vault, slot: &SlotInfo) -> Value {
    json!({
        "slot": slot.slot,
        "kind": slot.kind,
        "keyId": slot.key_id.to_string(),
        "addedAt": slot.created_at.rfc3339_millis(),
        "where": place(context, vault, slot),
    })
}

/// Where a slot's key is, as far as this is known without opening it.
pub(crate) fn place(context: &Context, vault: &Vault, slot: &SlotInfo) -> String {
    match SlotKind::from_name(&slot.kind) {
        Some(SlotKind::Keychain) => "the keychain".to_owned(),
        Some(SlotKind::Keyfile) => match vault.find_keyfile(slot.slot, &context.key_sources()) {
            Some(path) => context.layout.shorten_home(&path),
            None => "a key file that is not here".to_owned(),
        },
        Some(SlotKind::Passphrase) => match slot.kdf.as_deref().and_then(Argon2id::parse) {
            Some(kdf) => format!("your memory ({})", kdf.costs()),
            None => "your memory (with parameters that clawkeep does not accept)".to_owned(),
        },
        Some(SlotKind::Recovery) => "wherever you wrote it down".to_owned(),
        None => "known to a later version".to_owned(),
    }
}
