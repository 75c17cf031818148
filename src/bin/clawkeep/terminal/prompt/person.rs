//! The place where questions are shown: stderr, or if that is no terminal, the terminal on stdin.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};

use crate::failure::Failure;
use crate::terminal::progress;
use crate::terminal::text::one_line;

/// Whether a question reaches the person at the terminal.
pub(super) fn is_reachable() -> bool {
    io::stderr().is_terminal() || terminal().is_some()
}

/// Shows a question; the cursor stays behind it.
pub(super) fn show(question: &str) -> Result<(), Failure> {
    let mut out = out();
    out.write_all(question.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}

pub(crate) fn print_line(text: &str) {
    progress::make_room(|| {
        // stderr may be closed; the next question finds that out.
        let _ = writeln!(out(), "{}", one_line(text));
    });
}

#[cfg(any(unix, windows))]
pub(super) fn end_line() {
    let _ = writeln!(out()); // as above
}

fn out() -> Box<dyn Write> {
    if io::stderr().is_terminal() || !io::stdin().is_terminal() {
        return Box::new(io::stderr());
    }
    match terminal() {
        Some(terminal) => Box::new(terminal),
        None => Box::new(io::stderr()),
    }
}

/// The terminal on stdin, to write to.
#[cfg(unix)]
fn terminal() -> Option<File> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = rustix::termios::ttyname(io::stdin(), Vec::new()).ok()?;
    let path = std::ffi::OsStr::from_bytes(name.to_bytes());
    File::options().write(true).open(path).ok()
}

#[cfg(not(unix))]
fn terminal() -> Option<File> {
    None
}
