//! How a failure is printed, and the help and errors that clap makes.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::error::ErrorKind;

use super::secret_args::Arguments;
use super::words::command_words;
use crate::failure::Failure;
use crate::terminal::colour::ColourChoice;
use crate::terminal::text::shown;
use crate::terminal::ui::{print_line, write_answer};

/// clap's message in three lines at most: what is wrong, what would be right, where to read on. Its
/// usage line is in the help that the last line points to. It quotes arguments as they are, so its
/// own colours cannot be told from theirs: the first word gets one of ours.
fn usage_error(failure: &Failure, error: &clap::Error, colour: bool) -> String {
    const WORD: &str = "error:";
    let rendered = error.render().to_string();
    let lines: Vec<&str> = rendered
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.contains("Usage:"))
        .collect();
    let text = match lines.as_slice() {
        [what, hint, .., next] => [*what, *hint, *next].join("\n"),
        few => few.join("\n"),
    };
    let text = Arguments::of_process().hide_secrets(&text, failure);
    match text.strip_prefix(WORD).filter(|_| colour) {
        Some(rest) => shown(&format!("\u{1b}[31m{WORD}\u{1b}[0m{rest}"), true),
        None => shown(&text, false),
    }
}

/// Prints help or the version, which clap makes: to stdout, or to stderr if a command is missing.
fn print_help(error: &clap::Error, colour: ColourChoice) -> Result<(), Failure> {
    let (text, is_stderr) = (error.render(), error.use_stderr());
    let is_terminal = match is_stderr {
        true => io::stderr().is_terminal(),
        false => io::stdout().is_terminal(),
    };
    let text = match colour.on(is_terminal) {
        true => text.ansi().to_string(),
        false => text.to_string(),
    };
    if is_stderr {
        print_line(text.trim_end_matches('\n'));
        return Ok(());
    }
    write_answer(&text)
}

/// Prints what failed, why, and the remedy; returns the exit status.
pub(crate) fn fail(failure: &Failure, colour: ColourChoice) -> ExitCode {
    if let Failure::Usage(error) = failure {
        if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        {
            print_line(&usage_error(
                failure,
                error,
                colour.on(io::stderr().is_terminal()),
            ));
        } else if let Err(failure) = print_help(error, colour) {
            return fail(&failure, colour);
        }
    } else if !failure.is_reported() {
        let has_colour = colour.on(io::stderr().is_terminal());
        let word = match has_colour {
            true => "\u{1b}[31mError:\u{1b}[0m",
            false => "Error:",
        };
        let mut text = format!("{word} {}", failure.lines().join("\n"));
        if let Some(remedy) = failure.remedy(&command_words()) {
            text.push('\n');
            text.push_str(&remedy);
        }
        let text = Arguments::of_process().hide_secrets(&text, failure);
        print_line(&shown(&text, has_colour));
    }
    ExitCode::from(failure.exit_status())
}
