//! Parsing the arguments of this process.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, FromArgMatches as _};

use super::args::{self, Cli, Command};
use super::secret_args::Arguments;
use super::words::command_words;
use crate::commands::everyday::Everyday;
use crate::commands::stand_in;
use crate::failure::Failure;
use crate::terminal::program_name;

/// Parses the arguments of this process.
pub(crate) fn parse() -> Result<Cli, Failure> {
    if let Some(matches) = matches_of_command()
        && let Ok(cli) = Cli::from_arg_matches(&matches)
    {
        Arguments::of_command(words_of(&matches)).check(cli.command.handed_on())?;
        return Ok(cli);
    }
    let mut command = args::command();
    if program_name::is_called_as_gateway() {
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let handed_on = "Called as clawdbot: every other command and option goes to the gateway's \
            own clawdbot, the\nnext on the PATH; doctor runs here first, and then there.";
        command = command.after_help(format!("{help}\n\n{handed_on}"));
        // Handed on with the rest of the line once ours is done.
        let theirs = stand_in::DOCTOR_OPTIONS.map(|option| {
            let arg = Arg::new(option).long(option);
            arg.action(ArgAction::SetTrue).hide(true)
        });
        command = command.mut_subcommand("doctor", |doctor| doctor.args(theirs));
    }
    let parsed = command
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Err(error) if is_bare(&error) => bare(error)?,
        parsed => parsed.map_err(Failure::Usage)?,
    };
    Arguments::of_process().check(cli.command.handed_on())?;
    Ok(cli)
}

/// The arguments as the command that the first of them names understands them alone, if it does.
fn matches_of_command() -> Option<ArgMatches> {
    if program_name::is_called_as_gateway() {
        return None;
    }
    let first = std::env::args_os().nth(1)?;
    args::command_of(first.to_str()?)?.try_get_matches().ok()
}

/// The words of the command that was parsed, without the program's.
fn words_of(matches: &ArgMatches) -> String {
    let mut words = Vec::new();
    let mut command = matches.subcommand();
    while let Some((word, matches)) = command {
        words.push(word);
        command = matches.subcommand();
    }
    words.join(" ")
}

/// Whether no command was typed, by a person at a terminal.
fn is_bare(error: &clap::Error) -> bool {
    let is_missing = matches!(
        error.kind(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
    );
    let is_at_terminal = || io::stdout().is_terminal() && io::stderr().is_terminal();
    is_missing
        && !program_name::is_called_as_gateway()
        && !command_words().contains(' ')
        && is_at_terminal()
}

/// Parses a line without a command as `status`.
fn bare(error: clap::Error) -> Result<Cli, Failure> {
    let words = std::env::args_os().chain([OsString::from("status")]);
    let matches = args::command().try_get_matches_from(words);
    let parsed = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    let mut cli = parsed.map_err(|_| Failure::Usage(error))?;
    if let Command::Everyday(Everyday::Status(status)) = &mut cli.command {
        status.is_bare = true;
    }
    Ok(cli)
}
