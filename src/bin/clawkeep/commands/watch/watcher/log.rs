//! The log of a watcher: one line per event, for a terminal, a file, a service manager's journal,
//! or a program that reads JSON.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::Duration;

use clap::ValueEnum;
use clawkeep::internal::platform::{Clock, start_thread};
use serde_json::json;

use crate::failure::Failure;
use crate::terminal::notices::is_of_a_source;
use crate::terminal::text::{json_line, local_second, one_line};
use crate::terminal::ui::Loudness;

/// How many lines may wait to be read; more are counted and dropped. A stalled reader must not
/// block the watcher.
const WAITING_MAX: usize = 1000;
/// How long lines are waited for at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// The severity of a line, as the journal defines it. Source: sd-daemon(3).
#[derive(Clone, Copy)]
enum Level {
    Error = 3,
    Warning = 4,
    Info = 6,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// The format of each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// A JSON object: time, level, message
    Json,
}

enum Line {
    Out(String),
    Err(String),
    /// Asks the writer to write everything before it.
    Flush(Sender<()>),
}

/// Writes lines, and remembers which conditions were reported and still hold.
#[derive(Debug)]
pub(crate) struct Log {
    lines: SyncSender<Line>,
    lost: AtomicUsize,
    format: LogFormat,
    /// Whether the journal reads stdout, stderr.
    journal: (bool, bool),
    clock: Clock,
    loudness: Loudness,
    /// Conditions that hold since the last pass or longer, by subject.
    conditions: BTreeMap<String, Condition>,
    /// The last message of what is being retried, by subject.
    retries: BTreeMap<String, String>,
    /// Why passes fail at present.
    failing: Option<String>,
}

#[derive(Debug)]
struct Condition {
    text: String,
    /// Whether the current pass found it.
    is_current: bool,
    /// The message when the condition ends.
    over: Option<String>,
}

impl Log {
    pub(crate) fn new(
        journal_stream: Option<&str>,
        clock: Clock,
        (format, loudness): (LogFormat, Loudness),
    ) -> io::Result<Self> {
        let is_journal = |stream: Option<(u64, u64)>| {
            let here = stream.map(|(dev, ino)| format!("{dev}:{ino}"));
            here.is_some() && here.as_deref() == journal_stream
        };
        let (lines, to_write) = mpsc::sync_channel(WAITING_MAX);
        start_thread("lines", move || write_lines(&to_write))?;
        Ok(Self {
            lines,
            lost: AtomicUsize::new(0),
            format,
            journal: (
                is_journal(identity(io::stdout())),
                is_journal(identity(io::stderr())),
            ),
            clock,
            loudness,
            conditions: BTreeMap::new(),
            retries: BTreeMap::new(),
            failing: None,
        })
    }

    pub(crate) fn event(&self, text: &str) {
        let line = self.line(self.journal.0, Level::Info, text);
        self.send(Line::Out(line));
    }

    /// Logs a problem that a person may want to know of.
    pub(crate) fn warn(&self, text: &str) {
        if self.loudness == Loudness::Quiet {
            return;
        }
        let line = self.line(self.journal.1, Level::Warning, text);
        self.send(Line::Err(line));
    }

    pub(crate) fn fail(&self, text: &str) {
        let line = self.line(self.journal.1, Level::Error, text);
        self.send(Line::Err(line));
    }

    fn send(&self, line: Line) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let is_reported = lost == 0 || {
            let text = format!("{lost} lines were not read, and are lost");
            let warning = self.line(self.journal.1, Level::Warning, &text);
            self.lines.try_send(Line::Err(warning)).is_ok()
        };
        if !is_reported || self.lines.try_send(line).is_err() {
            let before = if is_reported { 0 } else { lost };
            self.lost.fetch_add(before + 1, Ordering::Relaxed);
        }
    }

    /// Waits briefly until everything is written.
    pub(crate) fn flush(&self) {
        let (done, is_done) = mpsc::channel();
        if self.lines.try_send(Line::Flush(done)).is_ok() {
            let _ = is_done.recv_timeout(FLUSH); // without a reader nothing is lost
        }
    }

    /// Reports a problem that holds as long as every pass reports it: logged when it is new, and
    /// `over` when a pass no longer reports it.
    pub(crate) fn warn_while(&mut self, key: &str, text: &str, over: Option<String>) {
        if !self.is_known(key, text) {
            self.warn(text);
        }
        self.keep(key, text, over);
    }

    /// Like [`Log::warn_while`], at the error level.
    pub(crate) fn fail_while(&mut self, key: &str, text: &str, over: Option<String>) {
        if !self.is_known(key, text) {
            self.fail(text);
        }
        self.keep(key, text, over);
    }

    fn is_known(&self, key: &str, text: &str) -> bool {
        let known = self.conditions.get(key);
        known.is_some_and(|known| known.text == text)
    }

    fn keep(&mut self, key: &str, text: &str, over: Option<String>) {
        let condition = Condition {
            text: text.to_owned(),
            is_current: true,
            over,
        };
        self.conditions.insert(key.to_owned(), condition);
    }

    /// Like [`Log::warn_while`], for a problem whose text changes while it lasts: logged once.
    pub(crate) fn warn_once_while(&mut self, key: &str, text: &str, over: Option<String>) {
        let known = self.conditions.get(key).map(|known| known.text.clone());
        self.warn_while(key, known.as_deref().unwrap_or(text), over);
    }

    /// Warns of a failure that will be retried: logged when it is new or its reason changed. Its
    /// end is not logged.
    pub(crate) fn warn_of_retry(&mut self, key: &str, text: &str) {
        if self.retries.get(key).is_none_or(|known| known != text) {
            self.warn(text);
        }
        self.retries.insert(key.to_owned(), text.to_owned());
    }

    /// Forgets a failure that was retried: if it recurs, it is logged again.
    pub(crate) fn forget_retry(&mut self, key: &str) {
        self.retries.remove(key);
    }

    /// Ends a pass: conditions that it did not report are over. If it did not read every source,
    /// those that depend on a source stay.
    pub(crate) fn end_of_pass(&mut self, has_read_sources: bool) {
        let mut over = Vec::new();
        self.conditions.retain(|key, condition| {
            if !has_read_sources && is_of_a_source(key) {
                condition.is_current = false;
                return true;
            }
            if !condition.is_current {
                over.extend(condition.over.take());
            }
            std::mem::take(&mut condition.is_current)
        });
        over.extend(self.failing.take().map(|_| "in sync again".to_owned()));
        over.iter().for_each(|text| self.event(text));
    }

    /// Logs why no pass can be made, when the reason is new.
    pub(crate) fn failing(&mut self, text: &str) {
        if self.failing.as_deref() != Some(text) {
            self.fail(text);
        }
        self.failing = Some(text.to_owned());
    }

    /// A line for a terminal or file has the time. The journal adds it itself, and takes the
    /// severity from a prefix.
    fn line(&self, is_journal: bool, level: Level, text: &str) -> String {
        if self.format == LogFormat::Json {
            let severity = ["Warning: ", "Note: "];
            let text = severity
                .iter()
                .find_map(|it| text.strip_prefix(it))
                .unwrap_or(text);
            let time = self.clock.now().rfc3339();
            return json_line(&json!({"time": time, "level": level.as_str(), "message": text}));
        }
        let text = one_line(text);
        if is_journal {
            return format!("<{}>{text}", level as u8);
        }
        let now = local_second(self.clock.now());
        match level {
            Level::Info => format!("{now} {text}"),
            // Notices begin with their severity.
            Level::Warning if text.starts_with("Warning:") || text.starts_with("Note:") => {
                format!("{now} {text}")
            }
            Level::Warning => format!("{now} Warning: {text}"),
            Level::Error => format!("{now} Error: {text}"),
        }
    }
}

/// Writes lines until all senders are gone. A reader that went away does not stop it.
fn write_lines(lines: &Receiver<Line>) {
    for line in lines {
        let _ = match line {
            Line::Out(text) => writeln!(io::stdout().lock(), "{text}"),
            Line::Err(text) => writeln!(io::stderr().lock(), "{text}"),
            Line::Flush(done) => {
                let _ = done.send(());
                Ok(())
            }
        };
    }
}

pub(crate) fn in_a_line(failure: &Failure) -> String {
    let mut words = failure.lines();
    words.extend(failure.remedy_unattended("clawkeep watch"));
    let mut text = String::new();
    for word in &words {
        let word = word.trim();
        if !text.is_empty() {
            let is_ended = text.ends_with(['.', ':', '?', '!']);
            let goes_on = word.starts_with("because:");
            text.push_str(if is_ended || goes_on { " " } else { ". " });
        }
        text.push_str(word);
    }
    text
}

#[cfg(unix)]
fn identity(stream: impl std::os::fd::AsFd) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let stream = std::fs::File::from(stream.as_fd().try_clone_to_owned().ok()?);
    let meta = stream.metadata().ok()?;
    Some((meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
fn identity<S>(_stream: S) -> Option<(u64, u64)> {
    None
}
