//! Running the command that was parsed.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::args::{Cli, Command, Models};
use crate::context::Context;
use crate::failure::Failure;

/// Runs the command that was parsed.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let mut context = Context::new(&cli.global)?;
    match cli.command {
        Command::Init(command) => command.run(&context),
        Command::Sync(command) => command.run(&context),
        Command::Models(Models::Status(command)) => command.run(&context),
        Command::Models(Models::Auth(command)) => command.run(&context),
        Command::Doctor(command) => command.run(&mut context),
        Command::Backup(command) => command.run(&context),
        Command::Key(command) => command.run(&context),
        Command::History(command) => command.run(&context),
        Command::Audit(command) => command.run(&context),
        Command::Report(command) => command.run(&context),
        Command::Token(command) => command.run(&context),
        Command::Exec(command) => command.run(&context),
        Command::Refresh(command) => command.run(&context),
        Command::Session(command) => command.run(&context),
        Command::Export(command) => command.run(&context),
        Command::Import(command) => command.run(&context),
        Command::Watch(command) => command.run(&mut context),
        Command::SecretRef(command) => command.run(&context),
        Command::Monitor(command) => command.run(&context, &cli.global),
        Command::Completions(command) => command.run(&context),
        Command::Man(command) => command.run(&context, Cli::command()),
    }?;
    Ok(ExitCode::SUCCESS)
}
