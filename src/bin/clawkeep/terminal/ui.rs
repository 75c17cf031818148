//! The terminal: answers to stdout, all else to stderr, colour where it is wanted.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use chrono::{DateTime, Local};
use clap::ValueEnum;
use clap::error::ErrorKind;

use super::notices;
use super::progress::{self, Progress};
use crate::cli::secret_args::Arguments;
use crate::commands::stand_in;
use crate::failure::Failure;
use clawkeep::domain::{escaped, escaped_lines};
use clawkeep::sync::Notice;
use zeroize::Zeroizing;

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColourChoice {
    /// On a terminal, unless `NO_COLOR`, `CLICOLOR=0` or `TERM=dumb` is set; `CLICOLOR_FORCE` and
    /// `FORCE_COLOR` mean always
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColourChoice {
    /// For failures, which may come before the arguments are understood: the last `--color` among them that makes sense.
    pub(crate) fn from_process() -> Self {
        let words: Vec<_> = std::env::args_os().skip(1).collect();
        let choice = |at: usize| {
            let word = words.get(at)?.to_str()?;
            let value = match word.strip_prefix("--color=") {
                Some(value) => value,
                None if word == "--color" => words.get(at + 1)?.to_str()?,
                None => return None,
            };
            Self::from_str(value, false).ok()
        };
        (0..words.len())
            .rev()
            .find_map(choice)
            .unwrap_or(Self::Auto)
    }

    fn on(self, is_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let variable = |name: &str| std::env::var_os(name);
                is_colour_wanted(variable, stand_in::is_called_as_gateway()).unwrap_or(is_terminal)
            }
        }
    }
}

/// What the environment says about colour; `None` where the terminal decides.
///
/// `NO_COLOR` first, as no-color.org has it; only under the gateway's name `FORCE_COLOR` comes
/// before it, as there.
fn is_colour_wanted(variable: impl Fn(&str) -> Option<OsString>, is_gateway: bool) -> Option<bool> {
    let value = |name| variable(name).filter(|value| !value.is_empty());
    let is_on = |name| value(name).map(|value| value != "0" && value != "false");
    let forced = is_on("FORCE_COLOR");
    match () {
        () if is_gateway && forced == Some(true) => Some(true),
        () if value("NO_COLOR").is_some() => Some(false),
        () if forced.is_some() => forced,
        () if is_on("CLICOLOR_FORCE") == Some(true) => Some(true),
        () if is_on("CLICOLOR") == Some(false) => Some(false),
        () if is_dumb_terminal(variable) => Some(false),
        () => None,
    }
}

/// Whether the terminal takes no escape sequences.
pub(crate) fn is_dumb_terminal(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    variable("TERM").is_some_and(|term| term == "dumb")
}

/// How much to say on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loudness {
    /// Errors only.
    Quiet,
    /// Also what a person should know.
    Normal,
    /// Also what a person may want to know.
    Verbose,
}

/// The way to the person at the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui {
    pub(crate) loudness: Loudness,
    pub(crate) colour: ColourChoice,
}

impl Ui {
    /// Whether the answer may have colour.
    pub(crate) fn colour_on_stdout(&self) -> bool {
        self.colour.on(io::stdout().is_terminal())
    }

    /// Columns of the terminal the answer goes to; `None` when it goes elsewhere, and is then not cut.
    pub(crate) fn width(&self) -> Option<usize> {
        let out = io::stdout();
        if !out.is_terminal() {
            return None;
        }
        #[cfg(unix)]
        {
            let size = rustix::termios::tcgetwinsize(&out).ok()?;
            Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
        }
        #[cfg(not(unix))]
        None
    }

    /// Writes an answer for people.
    pub(crate) fn answer(&self, text: &str) -> Result<(), Failure> {
        self.write(&shown(text, self.colour_on_stdout()))
    }

    /// Writes an answer for programs.
    pub(crate) fn json(&self, answer: &impl serde::Serialize) -> Result<(), Failure> {
        let mut text = json_text(answer).map_err(Failure::Output)?;
        text.push('\n');
        self.write(&text)
    }

    /// Writes an answer byte for byte. A reader that has gone away is no failure.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        write_answer(text)
    }

    /// Writes what is shown this once. That nobody reads it is a failure: a closed pipe, or nothing at all behind stdout.
    pub(crate) fn show_once(&self, text: &str) -> io::Result<()> {
        if is_nowhere() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        progress::make_room(|| ());
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    }

    /// Writes an answer part by part, as `write` makes it. A reader that has gone away ends that, and is no failure.
    pub(crate) fn stream(
        &self,
        write: impl FnOnce(&mut dyn io::Write) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let done = write(&mut out).and_then(|()| out.flush().map_err(Failure::Output));
        match done {
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Says something a person should know.
    pub(crate) fn note(&self, text: &str) {
        if self.loudness >= Loudness::Normal {
            say(&one_line(text));
        }
    }

    /// Whether a note is shown: not with `--quiet`.
    pub(crate) fn shows_notes(&self) -> bool {
        self.loudness >= Loudness::Normal
    }

    /// Says something that must be heard, even with `--quiet`.
    pub(crate) fn warn(&self, text: &str) {
        say(&one_line(text));
    }

    /// Says an error that does not end the command.
    pub(crate) fn error(&self, text: &str) {
        say(&format!("Error: {}", one_line(text)));
    }

    /// Shows that something is going on, once it takes longer than a second, until the value is dropped.
    pub(crate) fn progress(&self, what: &str) -> Progress {
        if self.loudness >= Loudness::Normal {
            Progress::begin(what)
        } else {
            Progress::hidden()
        }
    }

    /// Says something a person may want to know.
    pub(crate) fn detail(&self, text: &str) {
        if self.loudness >= Loudness::Verbose {
            say(&one_line(text));
        }
    }

    /// Says what a load has to tell.
    pub(crate) fn notice(&self, notice: &Notice) {
        if notices::is_of_our_name(notice) && stand_in::is_called_as_gateway() {
            return;
        }
        if let Some(words) = notices::words(notice) {
            self.note(&words);
        }
    }
}

fn write_answer(text: &str) -> Result<(), Failure> {
    progress::make_room(|| ());
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

/// An instant, in milliseconds since the epoch, in the reader's zone and to the minute.
pub(crate) fn local_minute(ms: i64) -> String {
    match DateTime::from_timestamp_millis(ms) {
        Some(at) => at
            .with_timezone(&Local)
            .format("%Y-%m-%d %H:%M")
            .to_string(),
        None => format!("at {ms} ms, beyond the calendar"),
    }
}

/// Ids and paths come from files that others write: nothing in them may move the cursor, turn the text around, be invisible, or pass
/// for a line of ours. See [`clawkeep::domain::is_hidden`].
pub(crate) fn one_line(text: &str) -> String {
    escaped(text).into_owned()
}

/// A value as the JSON that is printed, with what is hidden written out, which means the same.
pub(crate) fn json_text(value: &impl serde::Serialize) -> io::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(escaped_lines(&text).into_owned())
}

/// As [`json_text`], on one line, without its end.
pub(crate) fn json_line(value: &serde_json::Value) -> String {
    escaped(&value.to_string()).into_owned()
}

/// JSON that holds secrets, as it is printed: see [`json_text`].
pub(crate) fn json_shown(json: &str) -> Zeroizing<String> {
    Zeroizing::new(escaped_lines(json).into_owned())
}

/// An id, or another text from outside, as a part of a line of ours: on one line, and not longer than 128 characters.
pub(crate) fn shown_id(text: &str) -> String {
    const ID_MAX: usize = 128;
    let line = one_line(text);
    if line.chars().count() <= ID_MAX {
        return line;
    }
    line.chars().take(ID_MAX - 1).chain(['…']).collect()
}

/// Ids as a list.
pub(crate) fn shown_ids<'i>(ids: impl IntoIterator<Item = &'i str>) -> String {
    let shown: Vec<String> = ids.into_iter().map(shown_id).collect();
    shown.join(", ")
}

/// Text of several lines for people, made of parts that others may have written. Of escape sequences only the colours of
/// this program are let through, and only where it may use colour.
fn shown(text: &str, colour: bool) -> String {
    const COLOURS: [&str; 4] = ["\u{1b}[0m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m"];
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split('\u{1b}').enumerate() {
        let ours = COLOURS.iter().find_map(|code| {
            let rest = part.strip_prefix(&code[1..])?;
            (colour && at > 0).then_some((*code, rest))
        });
        match ours {
            Some((code, rest)) => {
                out.push_str(code);
                out.push_str(&escaped_lines(rest));
            }
            None if at > 0 => out.push_str(&escaped_lines(&format!("\u{1b}{part}"))),
            None => out.push_str(&escaped_lines(part)),
        }
    }
    out
}

fn say(text: &str) {
    progress::make_room(|| {
        // Nobody is left to tell when stderr is closed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    });
}

/// clap's message in three lines at most: what is wrong, what would be right, where to read on. Its usage line is in the
/// help that the last line points to. It quotes arguments as they are, so its own colours cannot be told from theirs: the first word
/// gets one of ours.
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
        say(text.trim_end_matches('\n'));
        return Ok(());
    }
    write_answer(&text)
}

/// Says what failed, why, and what to do next; the exit status that goes with it.
pub(crate) fn fail(failure: &Failure, colour: ColourChoice) -> ExitCode {
    if let Failure::Usage(error) = failure {
        if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        {
            say(&usage_error(
                failure,
                error,
                colour.on(io::stderr().is_terminal()),
            ));
        } else if let Err(failure) = print_help(error, colour) {
            return fail(&failure, colour);
        }
    } else if !failure.is_said() {
        let has_colour = colour.on(io::stderr().is_terminal());
        let word = match has_colour {
            true => "\u{1b}[31mError:\u{1b}[0m",
            false => "Error:",
        };
        let mut text = format!("{word} {}", failure.lines().join("\n"));
        if let Some(remedy) = failure.remedy() {
            text.push('\n');
            text.push_str(&remedy);
        }
        let text = Arguments::of_process().hide_secrets(&text, failure);
        say(&shown(&text, has_colour));
    }
    ExitCode::from(failure.exit_status())
}

/// Whether stdout is the null device, which it also is made where it was closed.
#[cfg(unix)]
fn is_nowhere() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let null = std::fs::metadata("/dev/null").map(|null| null.rdev());
    let out = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned();
    let out = out.and_then(|out| std::fs::File::from(out).metadata());
    matches!((null, out), (Ok(null), Ok(out)) if out.rdev() == null)
}

#[cfg(not(unix))]
fn is_nowhere() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_whether_there_is_colour() {
        for (variables, ours, gateways) in [
            (&[][..], None, None),
            (&["TERM=xterm", "CLICOLOR=1", "NO_COLOR="], None, None),
            (&["NO_COLOR=0"], Some(false), Some(false)),
            (&["CLICOLOR=0"], Some(false), Some(false)),
            (&["TERM=dumb"], Some(false), Some(false)),
            (&["TERM=dumb", "CLICOLOR_FORCE=1"], Some(true), Some(true)),
            (
                &["CLICOLOR=0", "CLICOLOR_FORCE=0"],
                Some(false),
                Some(false),
            ),
            (
                &["NO_COLOR=1", "CLICOLOR_FORCE=1"],
                Some(false),
                Some(false),
            ),
            (&["NO_COLOR=1", "FORCE_COLOR=1"], Some(false), Some(true)),
            (
                &["CLICOLOR_FORCE=1", "FORCE_COLOR=0"],
                Some(false),
                Some(false),
            ),
        ] {
            let variable = |name: &str| {
                let mut pairs = variables.iter().filter_map(|pair| pair.split_once('='));
                pairs
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value.into())
            };
            assert_eq!(is_colour_wanted(variable, false), ours, "{variables:?}");
            assert_eq!(is_colour_wanted(variable, true), gateways, "{variables:?}");
        }
    }

    #[test]
    fn nothing_from_outside_moves_the_cursor() {
        assert_eq!(
            one_line("a\u{1b}[2Jb\nc\u{202e}d\u{7}"),
            r"a\u001b[2Jb\u000ac\u202ed\u0007"
        );
        assert_eq!(
            shown("a\u{1b}[32mok\u{1b}[0m\n\u{1b}]0;x", true),
            "a\u{1b}[32mok\u{1b}[0m\n\\u001b]0;x"
        );
        assert_eq!(shown("\u{1b}[32mok", false), r"\u001b[32mok");
        assert_eq!(shown("[32mok\u{200b}", true), r"[32mok\u200b");
        assert_eq!(shown("é\u{9b}2J", true), r"é\u009b2J");
    }
}
