//! `init`: creates the vault and its key.

use clap::{Args, ValueEnum};
use clawkeep::internal::domain::path_text;
use clawkeep::internal::platform::{exists, harden};
use clawkeep::internal::vault::{KeyChoice, NewKey};
use serde_json::json;

use crate::context::Context;
use crate::context::passphrase::new_passphrase;
use crate::failure::Failure;

/// Make the vault and its key.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep init                 keychain if one answers, else a key \
        file\n  clawkeep init --key keyfile   on a server, without asking for a keychain"
)]
pub(crate) struct Init {
    /// Where the key is kept [default: a passphrase if --passphrase-file or
    /// CLAWKEEP_PASSPHRASE_FILE names one, else the keychain if one answers within 3 s, else a key
    /// file]
    #[arg(long, value_enum, value_name = "KIND")]
    key: Option<KeyKind>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeyKind {
    /// The operating system's keychain
    Keychain,
    /// A file that only you can read
    Keyfile,
    /// A passphrase of 12 characters or more: from --passphrase-file or CLAWKEEP_PASSPHRASE_FILE,
    /// else asked for
    Passphrase,
}

impl Init {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        check_absent(context)?; // the question would be in vain
        let choice = match self.key {
            None => context.first_key()?,
            Some(KeyKind::Keychain) => KeyChoice::Only(NewKey::Keychain),
            Some(KeyKind::Keyfile) => KeyChoice::Only(NewKey::Keyfile),
            Some(KeyKind::Passphrase) => {
                harden(); // before there is a passphrase
                let passphrase = match context.passphrases().for_new_vault()? {
                    Some(passphrase) => passphrase,
                    None => {
                        new_passphrase(None, "Passphrase of the new vault", "--passphrase-file")?
                    }
                };
                KeyChoice::Only(NewKey::Passphrase(passphrase))
            }
        };
        let vault = context.layout.shorten_home(&context.layout.vault_file);
        match context.create(&choice)? {
            Some(created) => {
                let path = created.keyfile.as_deref();
                let place = path.map(|path| format!(" {}", context.layout.shorten_home(path)));
                let (id, kind) = (created.vault.id(), created.kind.as_str());
                let answer = json!({
                    "path": path_text(created.vault.path()),
                    "id": id.to_string(),
                    "key": kind,
                    "keyFile": path.map(path_text),
                });
                let place = place.unwrap_or_default();
                let text = format!("Vault: {vault}\nId: {id}\nKey: {kind}{place}\n");
                context.ui.done(&text, &answer)
            }
            None => Err(is_there(context)?),
        }
    }
}

fn check_absent(context: &Context) -> Result<(), Failure> {
    if exists(&context.layout.vault_file) {
        return Err(is_there(context)?);
    }
    Ok(())
}

fn is_there(context: &Context) -> Result<Failure, Failure> {
    context.locked()?; // the existing file must be a vault
    let vault = context.layout.shorten_home(&context.layout.vault_file);
    Ok(Failure::Refused {
        what: format!("there is a vault at {vault} already; it was left as it is"),
        next:
            "Use it as it is, or make another with --vault FILE. For another key: clawkeep key add"
                .to_owned(),
    })
}
