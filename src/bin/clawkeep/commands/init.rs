//! `init`: make the vault and its key.

use clap::{Args, ValueEnum};
use clawkeep::crypto::SlotKind;
use clawkeep::vault::KeyChoice;

use crate::context::Context;
use crate::failure::Failure;

/// Make the vault and its key.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep init                 keychain if one answers, else a key file\n  clawkeep init --key keyfile   on a server, without asking for a keychain"
)]
pub(crate) struct Init {
    /// Where the key is kept [default: the keychain if one answers within 3 s, else a key file]
    #[arg(long, value_enum, value_name = "KIND")]
    key: Option<KeyKind>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeyKind {
    /// The operating system's keychain
    Keychain,
    /// A file that only you can read
    Keyfile,
}

impl Init {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let choice = match self.key {
            None => KeyChoice::Automatic,
            Some(KeyKind::Keychain) => KeyChoice::Only(SlotKind::Keychain),
            Some(KeyKind::Keyfile) => KeyChoice::Only(SlotKind::Keyfile),
        };
        let vault = context.layout.shorten_home(&context.layout.vault_file);
        match context.create(choice)? {
            Some(created) => {
                let path = created.keyfile.as_deref();
                let place = path.map(|path| format!(" {}", context.layout.shorten_home(path)));
                context.ui.answer(&format!(
                    "Vault: {vault}\nId: {}\nKey: {}{}\n",
                    created.vault.id(),
                    created.kind.as_str(),
                    place.unwrap_or_default()
                ))
            }
            None => {
                context.locked()?; // what is there must be a vault
                Err(Failure::Refused {
                    what: format!("there is a vault at {vault} already; it was left as it is"),
                    next: "Use it as it is, or make another with --vault FILE.".to_owned(),
                })
            }
        }
    }
}
