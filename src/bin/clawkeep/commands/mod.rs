//! One command, one file: its arguments and its run function.

pub(crate) mod audit;
pub(crate) mod auth_candidates;
pub(crate) mod auth_order;
pub(crate) mod export;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod models_status;
pub(crate) mod sync;

use std::process::ExitCode;

use crate::args::{Auth, Cli, Command, Models};
use crate::context::Context;
use crate::failure::Failure;

/// Runs what was asked for.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let context = Context::new(&cli.global)?;
    match cli.command {
        Command::Init(command) => command.run(&context),
        Command::Sync(command) => command.run(&context),
        Command::Models(Models::Status(command)) => command.run(&context),
        Command::Models(Models::Auth(Auth::Candidates(command))) => command.run(&context),
        Command::Models(Models::Auth(Auth::Order(command))) => command.run(&context),
        Command::History(command) => command.run(&context),
        Command::Audit(command) => command.run(&context),
        Command::Export(command) => command.run(&context),
    }?;
    Ok(ExitCode::SUCCESS)
}
