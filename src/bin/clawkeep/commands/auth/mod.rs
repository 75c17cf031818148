//! `models auth`: show, add, change and remove credentials.

pub(crate) mod add;
pub(crate) mod candidates;
pub(crate) mod checks;
pub(crate) mod edit;
pub(crate) mod keep;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod mark;
pub(crate) mod order;
pub(crate) mod paste;
pub(crate) mod remove;
pub(crate) mod restore;
pub(crate) mod setup_token;
pub(crate) mod trust;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// `models auth …`
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  clawkeep models auth list\n  clawkeep models auth candidates \
        --provider anthropic"
)]
pub(crate) enum Auth {
    /// Show an agent's credentials, secrets masked
    List(list::List),
    /// Add a credential, asked for step by step
    Add(add::Add),
    /// Log in at a provider, in a browser
    Login(login::Login),
    /// Run `claude setup-token` on this terminal and import the login
    SetupToken(setup_token::SetupToken),
    /// Store a token that is pasted or given on stdin
    PasteToken(paste::PasteToken),
    /// Store an API key that is pasted or given on stdin
    PasteApiKey(paste::PasteApiKey),
    /// Confirm where a login's tokens are sent, after the settings have changed
    Trust(trust::Trust),
    /// Keep a stored login although its program is logged out or has another one
    Keep(keep::Keep),
    /// Replace a stored login by the one that its program has now
    Adopt(keep::Adopt),
    /// Remove a credential
    Remove(remove::Remove),
    /// Put an earlier version of a credential back
    Restore(restore::Restore),
    /// Report the result of using a credential
    Mark(mark::Mark),
    /// Which credentials would be tried, in order
    Candidates(candidates::Candidates),
    /// The order in which an agent tries a provider's credentials
    #[command(subcommand)]
    Order(order::Order),
}

impl Auth {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(context),
            Self::Add(command) => command.run(context),
            Self::Login(command) => command.run(context),
            Self::SetupToken(command) => command.run(context),
            Self::PasteToken(command) => command.run(context),
            Self::PasteApiKey(command) => command.run(context),
            Self::Remove(command) => command.run(context),
            Self::Restore(command) => command.run(context),
            Self::Trust(command) => command.run(context),
            Self::Keep(command) => command.run(context),
            Self::Adopt(command) => command.run(context),
            Self::Mark(command) => command.run(context),
            Self::Candidates(command) => command.run(context),
            Self::Order(command) => command.run(context),
        }
    }
}
