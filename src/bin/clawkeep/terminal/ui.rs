//! The terminal: answers to stdout, all else to stderr, colour where it is wanted.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clawkeep::internal::sync::Notice;

use super::colour::ColourChoice;
use super::pager::{Paged, Paging};
use super::progress::{self, Progress};
use super::text::{json_text, one_line, shown};
use super::{notices, program_name, qr};
use crate::failure::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loudness {
    /// Errors only.
    Quiet,
    /// Errors, warnings and notes.
    Normal,
    /// Also details.
    Verbose,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui {
    pub(crate) loudness: Loudness,
    pub(crate) colour: ColourChoice,
    /// Whether answers and errors are to be JSON.
    pub(crate) is_json: bool,
}

impl Ui {
    pub(crate) fn colour_on_stdout(&self) -> bool {
        self.colour.on(io::stdout().is_terminal())
    }

    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Lines of the answer's terminal; `None` when it goes elsewhere.
    fn height(&self) -> Option<usize> {
        #[cfg(unix)]
        {
            let out = io::stdout();
            let size = Some(&out).filter(|out| out.is_terminal());
            let size = rustix::termios::tcgetwinsize(size?).ok()?;
            Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
        }
        #[cfg(not(unix))]
        None
    }

    /// Columns of the answer's terminal; `None` when it goes elsewhere, and is then not cut.
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

    pub(crate) fn answer(&self, text: &str) -> Result<(), Failure> {
        self.write(&shown(text, self.colour_on_stdout()))
    }

    /// Like [`Ui::answer`], through the person's pager where it is too long for the screen.
    pub(crate) fn answer_long(&self, text: &str, paging: Paging) -> Result<(), Failure> {
        let text = shown(text, self.colour_on_stdout());
        progress::make_room(|| ());
        self.stream_long(paging, |out| {
            out.write_all(text.as_bytes()).map_err(Failure::Output)
        })
    }

    pub(crate) fn json(&self, answer: &impl serde::Serialize) -> Result<(), Failure> {
        let mut text = json_text(answer).map_err(Failure::Output)?;
        text.push('\n');
        self.write(&text)
    }

    /// Prints what a command did: as text, or as JSON where that is asked for.
    pub(crate) fn done(&self, text: &str, answer: &impl serde::Serialize) -> Result<(), Failure> {
        match self.is_json {
            true => self.json(answer),
            false => self.answer(text),
        }
    }

    /// Writes an answer byte for byte. A reader that has gone away is no failure.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        write_answer(text)
    }

    /// Writes a text that is shown only once. Fails if nobody can read it: a closed pipe, or no
    /// stdout at all.
    pub(crate) fn show_once(&self, text: &str) -> io::Result<()> {
        if is_nowhere() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        progress::make_room(|| ());
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    }

    /// Writes an answer in parts, as `write` produces it. A closed pipe stops it without failure.
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

    /// Like [`Ui::stream`], through the person's pager where the answer is too long for the screen.
    pub(crate) fn stream_long(
        &self,
        paging: Paging,
        write: impl FnOnce(&mut dyn io::Write) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let rows = self.height().filter(|_| paging == Paging::AsNeeded);
        let Some(mut out) = rows.and_then(Paged::new) else {
            return self.stream(write);
        };
        let written = write(&mut out);
        let read = out.finish().map_err(Failure::Output);
        match written.and(read) {
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    pub(crate) fn note(&self, text: &str) {
        if self.loudness >= Loudness::Normal {
            print_line(&one_line(text));
        }
    }

    /// Whether a note is shown: not with `--quiet`.
    pub(crate) fn shows_notes(&self) -> bool {
        self.loudness >= Loudness::Normal
    }

    /// Prints a warning even with `--quiet`.
    pub(crate) fn warn(&self, text: &str) {
        print_line(&one_line(text));
    }

    /// Prints an error that does not end the command.
    pub(crate) fn error(&self, text: &str) {
        print_line(&format!("Error: {}", one_line(text)));
    }

    /// Shows progress once the work takes longer than a second, until the value is dropped.
    pub(crate) fn progress(&self, what: &str) -> Progress {
        if self.loudness >= Loudness::Normal {
            Progress::begin(what)
        } else {
            Progress::hidden()
        }
    }

    /// As [`Ui::progress`], with the time that is left of `limit`.
    pub(crate) fn countdown(&self, what: &str, limit: Duration) -> Progress {
        if self.loudness >= Loudness::Normal {
            Progress::countdown(what, limit)
        } else {
            Progress::hidden()
        }
    }

    /// Shows an address as a QR code, where the terminal allows it.
    pub(crate) fn qr_code(&self, address: &str) {
        if self.shows_notes() && !program_name::is_called_as_gateway() {
            qr::show(address, self.colour.on(io::stderr().is_terminal()));
        }
    }

    /// Prints a detail, with `--verbose`.
    pub(crate) fn detail(&self, text: &str) {
        if self.loudness >= Loudness::Verbose {
            print_line(&one_line(text));
        }
    }

    pub(crate) fn notice(&self, notice: &Notice) {
        if notices::is_of_our_name(notice) && program_name::is_called_as_gateway() {
            return;
        }
        if let Some(words) = notices::words(notice) {
            self.note(&words);
        }
    }
}

pub(crate) fn write_answer(text: &str) -> Result<(), Failure> {
    progress::make_room(|| ());
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

pub(crate) fn print_line(text: &str) {
    progress::make_room(|| {
        // stderr may be closed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    });
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
