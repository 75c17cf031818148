//! How a failure is printed, and the help and errors that clap makes.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde_json::{Value, json};

use super::secret_args::Arguments;
use super::words::{command_words, wants_json};
use super::{suggest, topics};
use crate::failure::Failure;
use crate::record::json::fields;
use crate::terminal::colour::ColourChoice;
use crate::terminal::palette::Tone;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::text::{json_line, shown};
use crate::terminal::ui::{print_line, write_answer};

/// What stands before the causes of an error.
const BECAUSE: &str = "because: ";

/// clap's message in three lines at most: what is wrong, what would be right, where to read on. Its
/// usage line is in the help that the last line points to. It quotes arguments as they are, so its
/// own colours cannot be told from theirs: the first word gets one of ours.
fn usage_error(failure: &Failure, error: &clap::Error, colour: bool) -> String {
    const WORD: &str = "error:";
    let rendered = error.render().to_string();
    let rendered = match error.kind() {
        ErrorKind::MissingRequiredArgument => on_one_line(&rendered),
        _ => rendered,
    };
    // That advice is mostly wrong: who types an option wants an option.
    let is_advice = |line: &str| line.trim_start().starts_with("tip: to pass '");
    let lines: Vec<&str> = without_usage(&rendered)
        .filter(|line| !line.trim().is_empty() && !is_advice(line))
        .collect();
    let text = match (lines.as_slice(), pointer_to_command(error)) {
        ([what, .., next], Some(pointer)) => format!("{what}\n  {pointer}\n{next}"),
        ([what, hint, .., next], None) => [*what, *hint, *next].join("\n"),
        (few, _) => few.join("\n"),
    };
    let text = Arguments::of_process().hide_secrets(&text, failure);
    match text.strip_prefix(WORD).filter(|_| colour) {
        Some(rest) => shown(&format!("{}{rest}", Tone::Bad.paint(WORD)), true),
        None => shown(&text, false),
    }
}

/// The lines without clap's usage, which may be several up to an empty one.
fn without_usage(rendered: &str) -> impl Iterator<Item = &str> {
    let mut is_usage = false;
    rendered.lines().filter(move |line| {
        is_usage = match is_usage {
            true => !line.trim().is_empty(),
            false => line.contains("Usage:"),
        };
        !is_usage
    })
}

/// clap's text with what its first paragraph lists behind the first line, each of it.
fn on_one_line(rendered: &str) -> String {
    let (first, rest) = rendered.split_once("\n\n").unwrap_or((rendered, ""));
    let words: Vec<&str> = first.lines().map(str::trim).collect();
    format!("{}\n\n{rest}", words.join(" "))
}

/// The command to type in place of a word that is none. clap suggests what has like letters, which
/// is mostly wrong.
fn pointer_to_command(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand || is_called_as_gateway() {
        return None;
    }
    let word = error.get(ContextKind::InvalidSubcommand)?;
    let ContextValue::String(word) = word else {
        return None;
    };
    let nothing = || "To see every command: clawkeep help".to_owned();
    Some(suggest::pointer(&command_words(), word).unwrap_or_else(nothing))
}

/// Prints help or the version, which clap makes: to stdout, or to stderr if a command is missing.
fn print_help(error: &clap::Error, colour: ColourChoice) -> Result<(), Failure> {
    let is_stderr = error.use_stderr();
    let text = match topics::overview(error) {
        Some(text) => text,
        None => error.render(),
    };
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

/// An error as a line of JSON, made of the lines that people would read.
fn json_error(failure: &Failure, text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let message = ["Error: ", "error: "]
        .iter()
        .find_map(|word| first.strip_prefix(word))
        .unwrap_or(first);
    let (causes, mut remedies): (Vec<&str>, Vec<&str>) =
        lines.partition(|line| line.starts_with(BECAUSE));
    if remedies.len() > 1 {
        remedies.retain(|line| !line.starts_with("For more information"));
    }
    let some = |text: String| (!text.is_empty()).then(|| Value::from(text));
    let cause = causes.join(" ").replacen(BECAUSE, "", 1);
    json_line(&json!({"error": fields([
        ("code", Some(json!(failure.code()))),
        ("message", Some(json!(message))),
        ("cause", some(cause)),
        ("remedy", some(remedies.join(" "))),
        ("exitStatus", Some(json!(failure.exit_status()))),
    ])}))
}

/// Prints what failed, why, and the remedy; returns the exit status.
pub(crate) fn fail(failure: &Failure, colour: ColourChoice) -> ExitCode {
    let status = ExitCode::from(failure.exit_status());
    let is_json = wants_json();
    let has_colour = !is_json && colour.on(io::stderr().is_terminal());
    let text = match failure {
        Failure::Usage(error) => {
            let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
            if !error.use_stderr() || is_help {
                return match print_help(error, colour) {
                    Ok(()) => status,
                    Err(failure) => fail(&failure, colour),
                };
            }
            usage_error(failure, error, has_colour)
        }
        failure if failure.is_reported() => return status,
        failure => {
            let word = match has_colour {
                true => Tone::Bad.paint("Error:"),
                false => "Error:".to_owned(),
            };
            let mut text = format!("{word} {}", failure.lines().join("\n"));
            if let Some(remedy) = failure.remedy(&command_words()) {
                text.push('\n');
                text.push_str(&remedy);
            }
            let text = Arguments::of_process().hide_secrets(&text, failure);
            shown(&text, has_colour)
        }
    };
    match is_json {
        true => print_line(&json_error(failure, &text)),
        false => print_line(&text),
    }
    status
}
