//! `key rotate`: creates a new data key, and encrypts everything again with it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use clawkeep::internal::crypto::{RecoveryCode, SlotKind};
use clawkeep::internal::domain::path_text;
use clawkeep::internal::vault::{Rotated, RotationScope, UnlockedVault};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::add::in_lines;
use super::log_warning::warn_of_log;
use crate::commands::connect::kept;
use crate::context::Context;
use crate::context::passphrase::{NEW_FILE, Named, new_passphrase};
use crate::failure::Failure;

/// Replace the data key, and encrypt everything again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep key rotate                  every slot opens the vault as \
        before\n  clawkeep key rotate --compromised    also new keys for every slot, and for the \
        record"
)]
pub(crate) struct Rotate {
    /// A key may have leaked: replace every slot's own key too, and the record's chain key
    #[arg(long)]
    compromised: bool,
    /// Take the new passphrase from FILE (- for stdin)
    #[arg(long, value_name = "FILE", requires = "compromised")]
    new_passphrase_file: Option<PathBuf>,
}

impl Rotate {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut vault = context.unlocked()?;
        if context.ui.is_json && self.compromised {
            check_no_recovery(&vault)?;
        }
        let passphrases = self.passphrases(&vault)?;
        let sources = context.key_sources();
        let has_shown = Cell::new(false);
        // The code is printed to stdout, before the vault is encrypted with it.
        let show = |slot: i64, code: &RecoveryCode| {
            let text = format!(
                "New recovery code of key slot {slot}, in place of the one before:\n\n{}\n",
                in_lines(code.expose_secret())
            );
            has_shown.set(true);
            context.ui.show_once(&text)
        };
        let keys = if self.compromised {
            RotationScope::Everything {
                sources: &sources,
                passphrases: &passphrases,
                show: &show,
            }
        } else {
            RotationScope::DataKey
        };
        let copies = kept::read_all(context, &vault)?;
        let progress = context
            .ui
            .progress("Encrypting everything with the new key");
        let rotated = context.with_engine(&mut vault, |engine| engine.rotate(keys));
        drop(progress);
        if rotated.is_err() && has_shown.get() {
            context.ui.warn(
                "Warning: the rotation failed. Keep the earlier recovery code: the \
                one above most likely opens nothing.",
            );
        }
        let rotated = rotated?;
        kept::reseal(context, &vault, &copies);
        self.print_result(context, &rotated)
    }

    fn passphrases(&self, vault: &UnlockedVault) -> Result<BTreeMap<i64, SecretString>, Failure> {
        let mut passphrases = BTreeMap::new();
        if !self.compromised {
            return Ok(passphrases);
        }
        let slots = vault.slots()?;
        let is_passphrase = |kind: &str| kind == SlotKind::Passphrase.as_str();
        let slots: Vec<i64> = slots
            .iter()
            .filter(|slot| is_passphrase(&slot.kind))
            .map(|slot| slot.slot)
            .collect();
        let named = self.new_passphrase_file.clone().map(Named::File);
        match (slots.len(), &named) {
            (0, Some(_)) => {
                let what = "no key slot has a passphrase, so --new-passphrase-file has no effect";
                return Err(Failure::BadArgument(what.to_owned()));
            }
            (2.., Some(_)) => {
                return Err(Failure::Refused {
                    what: "several key slots have a passphrase, and one file has one".to_owned(),
                    next: "Run it at a terminal, or remove all but one of them first: clawkeep \
                        key remove SLOT"
                        .to_owned(),
                });
            }
            _ => {}
        }
        for slot in slots {
            let question = format!("New passphrase for key slot {slot}");
            passphrases.insert(slot, new_passphrase(named.as_ref(), &question, NEW_FILE)?);
        }
        Ok(passphrases)
    }

    fn print_result(&self, context: &Context, rotated: &Rotated) -> Result<(), Failure> {
        let mut lines = vec![format!(
            "Rotated: data key {}, {} encrypted cells rewritten and read back.",
            rotated.epoch, rotated.cells
        )];
        for new in &rotated.new_keys {
            let place = new.keyfile.as_deref();
            let place = place.map(|path| format!(", {}", context.layout.shorten_home(path)));
            lines.push(format!(
                "New key in slot {}: {}{}.",
                new.slot,
                new.kind.as_str(),
                place.unwrap_or_default()
            ));
        }
        let new_keys = rotated.new_keys.iter().map(|new| {
            json!({
                "slot": new.slot,
                "kind": new.kind.as_str(),
                "keyFile": new.keyfile.as_deref().map(path_text),
            })
        });
        let answer = json!({
            "epoch": rotated.epoch,
            "cells": rotated.cells,
            "newKeys": new_keys.collect::<Vec<Value>>(),
        });
        let text = format!("{}\n", lines.join("\n"));
        context.ui.done(&text, &answer)?;
        warn_of_log(context, rotated.log);
        context.ui.note(if self.compromised {
            "Note: older copies of the vault still open with the older keys (a key file is kept \
             beside the new one, as .replaced-N). Somebody with those keys can read what is in \
             them: log in again, or replace the API keys."
        } else {
            "Note: every key slot opens the vault as before, and older copies of it too."
        });
        Ok(())
    }
}

/// Refuses JSON where a new recovery code is shown: it is shown before anything is encrypted with
/// it, and so before there is an answer.
fn check_no_recovery(vault: &UnlockedVault) -> Result<(), Failure> {
    let mut slots = vault.slots()?.into_iter();
    match slots.find(|slot| slot.kind == SlotKind::Recovery.as_str()) {
        None => Ok(()),
        Some(slot) => Err(Failure::BadArgument(format!(
            "key slot {} has a recovery code, and its new one is shown before the answer; leave \
             out --json",
            slot.slot
        ))),
    }
}
