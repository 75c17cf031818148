//! `key`: shows, adds, removes and rotates the keys of the vault.

pub(crate) mod add;
pub(crate) mod init;
pub(crate) mod log_warning;
pub(crate) mod remove;
pub(crate) mod rotate;
pub(crate) mod status;

use clap::Subcommand;

use self::add::{Add, Recovery};
use self::remove::Remove;
use self::rotate::Rotate;
use self::status::Status;
use crate::context::Context;
use crate::failure::Failure;

/// What opens the vault.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  clawkeep key status\n  clawkeep key recovery   a code to write \
        down, in case the key is lost"
)]
pub(crate) enum Key {
    /// Show the vault's key slots; needs no key
    Status(Status),
    /// Add a key slot
    Add(Add),
    /// Remove a key slot
    Remove(Remove),
    /// Replace the data key, and encrypt everything again
    Rotate(Rotate),
    /// Create a recovery code to write down
    Recovery(Recovery),
}

impl Key {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Status(command) => command.run(context),
            Self::Add(command) => command.run(context),
            Self::Remove(command) => command.run(context),
            Self::Rotate(command) => command.run(context),
            Self::Recovery(command) => command.run(context),
        }
    }
}
