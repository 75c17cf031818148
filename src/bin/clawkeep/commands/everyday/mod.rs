//! The commands of every day: short names over what the other commands do. The gateway's name has
//! none of them.

pub(crate) mod add;
pub(crate) mod config;
mod first_steps;
pub(crate) mod login;
pub(crate) mod ls;
pub(crate) mod rm;
pub(crate) mod status;
pub(crate) mod use_first;
pub(crate) mod version;

use clap::Subcommand;

use crate::commands::auth::restore::Restore;
use crate::commands::connect::Connect;
use crate::commands::connect::disconnect::Disconnect;
use crate::commands::discover;
use crate::commands::hand_out::{env, exec};
use crate::commands::history;
use crate::commands::metrics::Metrics;
use crate::context::Context;
use crate::failure::Failure;

/// The commands of every day.
#[derive(Debug, Subcommand)]
pub(crate) enum Everyday {
    /// Show the state of every login, the worst first, and what fixes it
    Status(status::Status),
    /// List the credentials of every agent
    Ls(ls::Ls),
    /// Add an API key or a token
    Add(add::Add),
    /// Log in at a provider
    Login(login::LogIn),
    /// Use a credential before the others of its provider
    Use(use_first::UseFirst),
    /// Remove a credential
    Rm(rm::Rm),
    /// Put an earlier version of a credential back, or one that was removed
    #[command(
        after_help = "Examples:\n  clawkeep restore openai:default          the newest version that \
            is kept\n  clawkeep restore openai:default --list   which versions are kept\n\nFor a \
            copy of the whole vault: clawkeep backup restore --help"
    )]
    Restore(Restore),
    /// Find the credentials that AI programs keep on this machine
    Discover(discover::Discover),
    /// Run a program with a secret in its provider's variable (also: exec)
    #[command(
        after_help = "Examples:\n  clawkeep run openai -- python3 job.py     with OPENAI_API_KEY\n  \
            clawkeep run anthropic openai -- ./agent\n\nSee also: clawkeep exec --help"
    )]
    Run(exec::Exec),
    /// What happened to which credential (also: history)
    #[command(
        after_help = "Examples:\n  clawkeep log\n  clawkeep log anthropic --since 7d\n  clawkeep \
            log -n 5 --json\n\nSee also: clawkeep history --help"
    )]
    Log(history::History),
    /// Print a secret as shell lines that set its provider's variable
    Env(env::EnvLines),
    /// Read and change the settings in clawkeep.toml
    #[command(subcommand)]
    Config(config::Config),
    /// Set a program up to get its API key from clawkeep
    Connect(Connect),
    /// Undo `clawkeep connect`
    Disconnect(Disconnect),
    /// Write the state of the credentials as metrics for Prometheus
    Metrics(Metrics),
    /// Print the version
    Version(version::Version),
}

impl Everyday {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Status(command) => command.run(context),
            Self::Ls(command) => command.run(context),
            Self::Add(command) => command.run(context),
            Self::Login(command) => command.run(context),
            Self::Use(command) => command.run(context),
            Self::Rm(command) => command.run(context),
            Self::Restore(command) => command.run(context),
            Self::Discover(command) => command.run(context),
            Self::Run(command) => command.run(context),
            Self::Log(command) => command.run(context),
            Self::Env(command) => command.run(context),
            Self::Config(command) => command.run(context),
            Self::Connect(command) => command.run(context),
            Self::Disconnect(command) => command.run(context),
            Self::Metrics(command) => command.run(context),
            Self::Version(command) => command.run(context),
        }
    }
}
