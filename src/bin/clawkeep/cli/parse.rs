//! Parsing the arguments of this process.

use clap::{Arg, ArgAction, CommandFactory as _, FromArgMatches as _};

use super::args::Cli;
use super::secret_args::Arguments;
use crate::commands::stand_in;
use crate::failure::Failure;
use crate::terminal::program_name;

/// Parses the arguments of this process.
pub(crate) fn parse() -> Result<Cli, Failure> {
    let mut command = Cli::command();
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
    let cli = command
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(Failure::Usage)?;
    Arguments::of_process().check(cli.command.handed_on())?;
    Ok(cli)
}
