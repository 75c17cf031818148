//! Running the command that was parsed.

use std::process::ExitCode;

use super::args::{self, Cli, Command, Models, Tree};
use super::words::wants_json;
use crate::context::Context;
use crate::failure::Failure;

/// Runs the command that was parsed.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let mut context = Context::new(&cli.global)?;
    context.ui.is_json = wants_json();
    let command = match cli.command {
        Command::Tree(command) => command,
        Command::Everyday(command) => {
            command.run(&context)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    match command {
        Tree::Init(command) => command.run(&context),
        Tree::Sync(command) => command.run(&context),
        Tree::Models(Models::Status(command)) => command.run(&context),
        Tree::Models(Models::Auth(command)) => command.run(&context),
        Tree::Doctor(command) => command.run(&mut context),
        Tree::Backup(command) => command.run(&context),
        Tree::Key(command) => command.run(&context),
        Tree::History(command) => command.run(&context),
        Tree::Audit(command) => command.run(&context),
        Tree::Report(command) => command.run(&context),
        Tree::Token(command) => command.run(&context),
        Tree::Exec(command) => command.run(&context),
        Tree::Refresh(command) => command.run(&context),
        Tree::Session(command) => command.run(&context),
        Tree::Export(command) => command.run(&context),
        Tree::Import(command) => command.run(&context),
        Tree::Watch(command) => command.run(&mut context),
        Tree::SecretRef(command) => command.run(&context),
        Tree::Monitor(command) => command.run(&context, &cli.global),
        Tree::Completions(command) => command.run(&context),
        Tree::Man(command) => command.run(&context, args::command()),
    }?;
    Ok(ExitCode::SUCCESS)
}
