//! The terminal: answers to stdout, all else to stderr, colour where it is wanted.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::ValueEnum;

use crate::failure::Failure;
use clawkeep::sync::Notice;

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColourChoice {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColourChoice {
    /// For failures before the arguments are known.
    pub(crate) fn from_process() -> Self {
        Self::Auto
    }

    fn on(self, is_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        }
    }
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

    /// Writes the answer. A reader that has gone away is no failure.
    pub(crate) fn answer(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
            _ => Ok(()),
        }
    }

    /// Says something a person should know.
    pub(crate) fn note(&self, text: &str) {
        if self.loudness >= Loudness::Normal {
            say(text);
        }
    }

    /// Says something a person may want to know.
    pub(crate) fn detail(&self, text: &str) {
        if self.loudness >= Loudness::Verbose {
            say(text);
        }
    }

    /// Says what a load has to tell.
    pub(crate) fn notice(&self, notice: &Notice) {
        match notice {
            Notice::SourceDamaged { place, fault } => {
                self.note(&format!("Warning: {place} was not taken over: {fault}. What is stored stays as it is."));
            }
            Notice::SourceLoggedOut { place, profile } => {
                self.note(&format!("Note: {place} holds no login any more. {profile} is kept; renew it with: claude setup-token"));
            }
            Notice::SetAside { path, aside, fault } => self.note(&format!(
                "Warning: {} was damaged ({fault}). It is kept as {}, and the vault's copy was written in its place.",
                path.display(),
                aside.display()
            )),
            Notice::Restored { path } => {
                self.note(&format!("Note: {} was gone and has been written again from the vault.", path.display()));
            }
            Notice::Withheld { dir } => self.note(&format!(
                "Note: {} belongs to a newer gateway, which refuses to start beside an auth-profiles.json, so none is written there. To write one elsewhere: clawkeep export --to FILE --reveal",
                dir.display()
            )),
            _ => {}
        }
    }
}

fn say(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says what failed, why, and what to do next; the exit status that goes with it.
pub(crate) fn fail(failure: &Failure, colour: ColourChoice) -> ExitCode {
    if let Failure::Usage(error) = failure {
        // Help and version are answers, not failures; clap prints each where it belongs.
        let _ = error.print();
    } else if !failure.is_said() {
        let word = if colour.on(io::stderr().is_terminal()) {
            "\u{1b}[31mError:\u{1b}[0m"
        } else {
            "Error:"
        };
        let mut text = format!("{word} {}", failure.lines().join("\n"));
        if let Some(remedy) = failure.remedy() {
            text.push('\n');
            text.push_str(&remedy);
        }
        say(&text);
    }
    ExitCode::from(failure.exit_status())
}
