//! Running the command that was parsed.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::args::{Auth, Cli, Command, Models};
use crate::context::Context;
use crate::failure::Failure;

/// Runs what was asked for.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let mut context = Context::new(&cli.global)?;
    match cli.command {
        Command::Init(command) => command.run(&context),
        Command::Sync(command) => command.run(&context),
        Command::Models(Models::Status(command)) => command.run(&context),
        Command::Models(Models::Auth(command)) => run_auth(command, &context),
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

fn run_auth(command: Auth, context: &Context) -> Result<(), Failure> {
    match command {
        Auth::List(command) => command.run(context),
        Auth::Add(command) => command.run(context),
        Auth::Login(command) => command.run(context),
        Auth::SetupToken(command) => command.run(context),
        Auth::PasteToken(command) => command.run(context),
        Auth::PasteApiKey(command) => command.run(context),
        Auth::Remove(command) => command.run(context),
        Auth::Restore(command) => command.run(context),
        Auth::Trust(command) => command.run(context),
        Auth::Keep(command) => command.run(context),
        Auth::Adopt(command) => command.run(context),
        Auth::Mark(command) => command.run(context),
        Auth::Candidates(command) => command.run(context),
        Auth::Order(command) => command.run(context),
    }
}
