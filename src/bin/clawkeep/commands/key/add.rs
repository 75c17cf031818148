//! `key add` and `key recovery`: add a key that opens the vault.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clawkeep::internal::crypto::SlotKind;
use clawkeep::internal::domain::path_text;
use clawkeep::internal::vault::{AddedKey, KeyProblem, NewKey, UnlockedVault, Vault, VaultError};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::context::passphrase::{NEW_FILE, Named, new_passphrase};
use crate::failure::Failure;
use crate::record::json::fields;
use crate::terminal::text::json_text;

/// Add a key slot.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep key add passphrase                                        \
        asks for it, twice\n  clawkeep key add passphrase --new-passphrase-file passphrase.txt   \
        on a server\n  CLAWKEEP_KEY_FILE=~/usb/vault.key clawkeep key add keyfile"
)]
pub(crate) struct Add {
    /// What opens the slot
    #[arg(value_enum, value_name = "KIND")]
    kind: Kind,
    /// Take the new passphrase from FILE (- for stdin)
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

/// Create a recovery code to write down.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  clawkeep key recovery    shows the code once; it is stored nowhere"
)]
pub(crate) struct Recovery {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A random key in the operating system's keychain
    Keychain,
    /// A random key in a file that only you can read
    Keyfile,
    /// A passphrase of 12 characters or more
    Passphrase,
    /// A random key as a code, shown once, to write down
    Recovery,
}

impl Add {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let source = self.new_passphrase_file.map(Named::File);
        if source.is_some() && self.kind != Kind::Passphrase {
            let what = "--new-passphrase-file goes with: key add passphrase".to_owned();
            return Err(Failure::BadArgument(what));
        }
        // If no passphrase opens the vault, the given one is the new one.
        let named = context.passphrases().named.clone();
        let is_new = self.kind == Kind::Passphrase
            && source.is_none()
            && !has_typed_slot(&context.locked()?)?;
        let mut vault = if is_new && named.is_some() {
            context.unlocked_without_passphrase()?
        } else {
            context.unlocked()?
        };
        let source = source.or(named.filter(|_| is_new));
        let new = match self.kind {
            Kind::Keychain => NewKey::Keychain,
            Kind::Keyfile => NewKey::Keyfile,
            Kind::Recovery => NewKey::Recovery,
            Kind::Passphrase => {
                NewKey::Passphrase(new_passphrase(source.as_ref(), "New passphrase", NEW_FILE)?)
            }
        };
        add(context, &mut vault, &new)
    }
}

impl Recovery {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        add(context, &mut context.unlocked()?, &NewKey::Recovery)
    }
}

/// Whether a passphrase or a recovery code opens the vault.
fn has_typed_slot(vault: &Vault) -> Result<bool, Failure> {
    let is_one = |kind: &str| {
        matches!(
            SlotKind::from_name(kind),
            Some(SlotKind::Passphrase | SlotKind::Recovery)
        )
    };
    Ok(vault.slots()?.iter().any(|slot| is_one(&slot.kind)))
}

fn add(context: &Context, vault: &mut UnlockedVault, new: &NewKey) -> Result<(), Failure> {
    let progress = context.ui.progress("Adding the key");
    let added = context.with_new_head(vault, |vault| {
        vault.add_key(new, &context.key_sources(), &context.actor, context.clock)
    })?;
    drop(progress);
    super::log_warning::warn_of_log(context, added.log);
    if added.code.is_none() {
        let text = summary(context, &added);
        return context.ui.done(&text, &to_json(&added));
    }
    let shown = match context.ui.is_json {
        true => json_text(&to_json(&added)).map_or_else(Err, |text| {
            let text = Zeroizing::new(text + "\n");
            context.ui.show_once(&text)
        }),
        false => context.ui.show_once(&summary(context, &added)),
    };
    if shown.is_err() {
        // A code that nobody saw is of no use.
        context.with_new_head(vault, |vault| {
            vault.remove_key(added.slot, &context.actor, context.clock)
        })?;
        return Err(VaultError::KeyNotKept(KeyProblem::NotShown).into());
    }
    context.ui.note(
        "Note: write it down now; it is stored nowhere. It opens the vault where a passphrase is \
         asked for, or with --passphrase-file.",
    );
    Ok(())
}

fn summary(context: &Context, added: &AddedKey) -> String {
    let place = added.keyfile.as_deref();
    let place = place.map(|path| format!(", {}", context.layout.shorten_home(path)));
    let line = format!(
        "Added key slot {}: {}{}.\n",
        added.slot,
        added.kind.as_str(),
        place.unwrap_or_default()
    );
    match &added.code {
        Some(code) => format!("{line}\n{}\n", in_lines(code.expose_secret())),
        None => line,
    }
}

fn to_json(added: &AddedKey) -> Value {
    let code = added.code.as_ref();
    fields([
        ("slot", Some(json!(added.slot))),
        ("kind", Some(json!(added.kind.as_str()))),
        (
            "keyFile",
            added.keyfile.as_deref().map(|path| json!(path_text(path))),
        ),
        ("code", code.map(|code| json!(code.expose_secret()))),
    ])
}

/// A code in lines that fit on paper.
pub(super) fn in_lines(code: &str) -> String {
    let groups: Vec<&str> = code.split('-').collect();
    let lines = groups
        .chunks(5)
        .map(|line| format!("  {}\n", line.join("-")));
    lines.collect()
}
