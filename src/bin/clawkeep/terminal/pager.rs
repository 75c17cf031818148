//! Long answers on a terminal, through the program that a person reads them with.
//!
//! The program gets a few variables of the environment only: no secret is among them.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use clawkeep::internal::platform::keep_all_from_children;

use super::colour::is_dumb_terminal;
use super::signals;

/// Names our own pager, before `PAGER`. Empty, or `cat`: none.
const PAGER: [&str; 2] = ["CLAWKEEP_PAGER", "PAGER"];
/// The pager unless a variable names one: it ends by itself if the answer fits on the screen.
const DEFAULT: &str = "less -FRX";
/// Options for a `less` that has none.
const LESS: &str = "FRX";
/// Variables that the pager gets.
const PASSED: [&str; 20] = [
    "COLORTERM",
    "COLUMNS",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LESS",
    "LESSCHARSET",
    "LESSHISTFILE",
    "LESSKEY",
    "LESSKEYIN",
    "LESSUTFCHARDEF",
    "LINES",
    "LOGNAME",
    "MORE",
    "NO_COLOR",
    "PATH",
    "TERM",
    "TERMINFO",
    "TERMINFO_DIRS",
    "USER",
];

/// Whether a long answer goes through a pager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paging {
    /// On a terminal that is too small for it.
    AsNeeded,
    Never,
}

/// The pager that the environment names, as a program and its arguments, separated by blanks.
fn program(variable: impl Fn(&str) -> Option<OsString>) -> Option<Vec<String>> {
    if is_dumb_terminal(&variable) {
        return None;
    }
    let named = PAGER.iter().find_map(|name| variable(name));
    let named = match named {
        Some(named) => named.into_string().ok()?,
        None => DEFAULT.to_owned(),
    };
    let words: Vec<String> = named.split_whitespace().map(str::to_owned).collect();
    let first = words.first()?;
    (first != "cat").then_some(words)
}

fn command(
    words: &[String],
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Option<Command> {
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    let is_passed = |name: &OsStr| {
        let name = name.to_str().unwrap_or_default();
        PASSED.contains(&name) || name.starts_with("LC_")
    };
    let mut has_options = false;
    for (name, value) in variables.filter(|(name, _)| is_passed(name)) {
        has_options |= name == "LESS";
        command.env(name, value);
    }
    let is_less = Path::new(program).file_stem() == Some(OsStr::new("less"));
    if is_less && !has_options {
        command.env("LESS", LESS);
    }
    Some(command)
}

/// An answer that goes to stdout, or to the pager once it is too long for the screen.
pub(crate) struct Paged {
    /// Lines of the screen.
    rows: usize,
    lines: usize,
    state: State,
}

enum State {
    /// What was written so far fits on the screen.
    Short(Vec<u8>, Command),
    Through(Running),
    Direct,
}

struct Running {
    child: Child,
    /// The terminal's Ctrl-C is the pager's while it runs.
    _held: Box<dyn std::any::Any>,
}

impl Paged {
    /// An answer on a terminal of so many lines; `None` if no pager is wanted.
    pub(crate) fn new(rows: usize) -> Option<Self> {
        let words = program(|name| std::env::var_os(name))?;
        let command = command(&words, std::env::vars_os())?;
        Some(Self {
            rows,
            lines: 0,
            state: State::Short(Vec::new(), command),
        })
    }

    /// Writes what is left, and waits until the person has read the answer.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.state {
            State::Short(text, _) => print(&text),
            State::Direct => io::stdout().flush(),
            State::Through(mut running) => {
                drop(running.child.stdin.take());
                running.child.wait().map(|_| ())
            }
        }
    }

    /// Starts the pager; a program that does not start is none.
    fn start(&mut self) -> io::Result<()> {
        let State::Short(text, command) = std::mem::replace(&mut self.state, State::Direct) else {
            return Ok(());
        };
        let mut command = command;
        let held = signals::hold();
        keep_all_from_children();
        let Ok(child) = command.stdin(Stdio::piped()).spawn() else {
            return print(&text);
        };
        self.state = State::Through(Running { child, _held: held });
        self.write_all(&text)
    }
}

impl Write for Paged {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Direct => return io::stdout().write(part),
            State::Through(running) => match &mut running.child.stdin {
                Some(pager) => return pager.write(part),
                None => return Err(io::ErrorKind::BrokenPipe.into()),
            },
            State::Short(text, _) => text.extend_from_slice(part),
        }
        self.lines += part.iter().filter(|byte| **byte == b'\n').count();
        if self.lines >= self.rows {
            self.start()?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn print(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(variables: &[(&str, &str)]) -> Option<String> {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(OsString::from(found.1))
        };
        program(value).map(|words| words.join(" "))
    }

    #[test]
    fn which_pager() {
        assert_eq!(named(&[]).as_deref(), Some("less -FRX"));
        assert_eq!(named(&[("PAGER", "most")]).as_deref(), Some("most"));
        let both = [("PAGER", "most"), ("CLAWKEEP_PAGER", " less  -S ")];
        assert_eq!(named(&both).as_deref(), Some("less -S"));
        for none in [("CLAWKEEP_PAGER", ""), ("PAGER", "cat"), ("TERM", "dumb")] {
            assert_eq!(named(&[none, ("PAGER", "cat")]), None, "{none:?}");
        }
    }

    #[test]
    fn the_pager_gets_no_secret() {
        let variables = [
            ("OPENAI_API_KEY", "sk-test"),
            ("CLAWKEEP_PASSPHRASE_FILE", "/p"),
            ("LESSOPEN", "|sh"),
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let found = command(&["less".to_owned()], variables.into_iter()).unwrap();
        let passed: Vec<&OsStr> = found.get_envs().map(|(name, _)| name).collect();
        assert_eq!(passed, ["LC_ALL", "LESS", "PATH"]);
    }
}
