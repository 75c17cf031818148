//! What a watcher says: a line an event, for a terminal, a file or a service manager's journal.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use chrono::Local;

use crate::failure::Failure;
use crate::ui::one_line;

/// How grave a line is, as the journal understands it. Source: sd-daemon(3).
#[derive(Clone, Copy)]
enum Level {
    Error = 3,
    Warning = 4,
    Info = 6,
}

/// Where the lines go, and what was said and still holds.
#[derive(Debug)]
pub(crate) struct Log {
    /// The journal reads stdout, stderr.
    journal: (bool, bool),
    /// What holds since the last pass or longer, by what it is about.
    standing: BTreeMap<String, Standing>,
}

#[derive(Debug)]
struct Standing {
    said: String,
    /// Seen in the pass that is under way.
    is_seen: bool,
    /// What is said when it is over.
    over: Option<String>,
}

impl Log {
    pub(crate) fn new(journal_stream: Option<&str>) -> Self {
        let is_journal = |stream: Option<(u64, u64)>| {
            let here = stream.map(|(dev, ino)| format!("{dev}:{ino}"));
            here.is_some() && here.as_deref() == journal_stream
        };
        Self {
            journal: (
                is_journal(identity(io::stdout())),
                is_journal(identity(io::stderr())),
            ),
            standing: BTreeMap::new(),
        }
    }

    /// Something was done. A reader that has gone away is no reason to stop.
    pub(crate) fn event(&self, text: &str) {
        let _ = writeln!(
            io::stdout().lock(),
            "{}",
            line(self.journal.0, Level::Info, text)
        );
    }

    /// Something is amiss.
    pub(crate) fn warn(&self, text: &str) {
        self.to_stderr(Level::Warning, text);
    }

    /// Something failed.
    pub(crate) fn fail(&self, failure: &Failure) {
        self.to_stderr(Level::Error, &in_a_line(failure));
    }

    fn to_stderr(&self, level: Level, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", line(self.journal.1, level, text));
    }

    /// Something is amiss as long as it is said in every pass: it is printed when it is new, and `over` when it is not said any more.
    pub(crate) fn standing(&mut self, key: &str, text: &str, over: Option<String>) {
        let known = self
            .standing
            .get(key)
            .is_some_and(|known| known.said == text);
        if !known {
            self.warn(text);
        }
        let standing = Standing {
            said: text.to_owned(),
            is_seen: true,
            over,
        };
        self.standing.insert(key.to_owned(), standing);
    }

    /// A pass has gone through everything.
    pub(crate) fn end_of_pass(&mut self) {
        let mut over = Vec::new();
        self.standing.retain(|_, standing| {
            if !standing.is_seen {
                over.extend(standing.over.take());
            }
            std::mem::take(&mut standing.is_seen)
        });
        over.iter().for_each(|text| self.event(text));
    }
}

/// A failure and what to do about it, in one line.
pub(crate) fn in_a_line(failure: &Failure) -> String {
    let mut words = failure.lines();
    if failure.is_busy() {
        words.push("It is tried again.".to_owned()); // not "run the command again"
    } else {
        words.extend(failure.remedy());
    }
    let trimmed: Vec<&str> = words.iter().map(|word| word.trim()).collect();
    trimmed.join(" ")
}

/// The journal has the time of its own, and takes how grave a line is from its beginning.
fn line(is_journal: bool, level: Level, text: &str) -> String {
    let text = one_line(text);
    if is_journal {
        return format!("<{}>{text}", level as u8);
    }
    let now = Local::now().format("%Y-%m-%d %H:%M:%S");
    match level {
        Level::Info => format!("{now} {text}"),
        // Notices begin with how grave they are.
        Level::Warning if text.starts_with("Warning:") || text.starts_with("Note:") => {
            format!("{now} {text}")
        }
        Level::Warning => format!("{now} Warning: {text}"),
        Level::Error => format!("{now} Error: {text}"),
    }
}

#[cfg(unix)]
fn identity(stream: impl std::os::fd::AsFd) -> Option<(u64, u64)> {
    let stat = rustix::fs::fstat(stream).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

#[cfg(not(unix))]
fn identity<S>(_stream: S) -> Option<(u64, u64)> {
    None
}
