//! A progress line on the terminal for work that takes longer than a second; removed when it is
//! done.
//!
//! Only if stderr is a terminal, so never in a script's output. The line is redrawn once a second
//! and has no moving parts: the cursor stays, and nothing has to be restored if the program is
//! killed. The terminal and its last line belong to the process; hence the one static of this
//! program.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthStr as _;

use super::colour::is_dumb_terminal;
use super::table::first_columns;
use super::text::one_line;

/// The time before a line is shown.
const PATIENCE: Duration = Duration::from_secs(1);
/// The options that ask for output that programs read.
const FOR_PROGRAMS: [&str; 3] = ["--json", "--jsonl", "--csv"];
/// Columns, where the terminal does not say how many it has.
const COLUMNS: usize = 80;

/// The state of the terminal's last line.
struct Line {
    /// The ids of running work; the last one is shown.
    open: Vec<u64>,
    next: u64,
    /// How many questions wait for an answer; meanwhile nothing is drawn.
    questions: usize,
    is_shown: bool,
}

static LINE: Mutex<Line> = Mutex::new(Line {
    open: Vec::new(),
    next: 0,
    questions: 0,
    is_shown: false,
});

/// Work that may take long; its line is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    number: u64,
    /// Dropped, it ends the thread.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Progress {
    pub(crate) fn hidden() -> Self {
        Self { running: None }
    }

    /// Shows `what` after a second, with the time that the work took so far, if stderr is a
    /// terminal.
    pub(crate) fn begin(what: &str) -> Self {
        Self::with_time(what, |since| format!("{} s", since.as_secs()))
    }

    /// As [`Progress::begin`], with the time that is left of `limit`.
    pub(crate) fn countdown(what: &str, limit: Duration) -> Self {
        Self::with_time(what, move |since| {
            let left = limit.saturating_sub(since).as_secs();
            format!("{}:{:02} left", left / 60, left % 60)
        })
    }

    fn with_time(what: &str, time: impl Fn(Duration) -> String + Send + 'static) -> Self {
        if !is_wanted() {
            return Self::hidden();
        }
        let what = one_line(what);
        let (stop, stopped) = mpsc::channel::<()>();
        let number = line().begin();
        let began = Instant::now();
        let draw = move || {
            while stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                line().draw(number, &what, &time(began.elapsed()));
            }
        };
        let Ok(thread) = thread::Builder::new().spawn(draw) else {
            line().end(number); // without a thread, the work goes on unshown
            return Self::hidden();
        };
        Self {
            running: Some(Running {
                number,
                stop,
                thread,
            }),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        drop(running.stop);
        let _ = running.thread.join(); // it has nothing to say
        line().end(running.number);
    }
}

/// A question that waits for its answer: nothing is drawn over it.
#[derive(Debug)]
pub(crate) struct Question(());

impl Question {
    pub(crate) fn asked() -> Self {
        let mut line = line();
        line.clear();
        line.questions += 1;
        Self(())
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        line().questions -= 1;
    }
}

/// Writes to the terminal where the line may be: the line is cleared, and comes back by itself.
pub(crate) fn make_room(write: impl FnOnce()) {
    let mut line = line();
    line.clear();
    write(); // the line stays locked meanwhile
}

fn line() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    fn begin(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open.push(number);
        number
    }

    fn end(&mut self, number: u64) {
        self.open.retain(|open| *open != number);
        self.clear();
    }

    fn draw(&mut self, number: u64, what: &str, time: &str) {
        if self.questions > 0 || self.open.last() != Some(&number) || !is_shown_to_this_job() {
            return;
        }
        let time = format!(" … {time}");
        // A line that is as long as the terminal is wide may wrap, and would not be cleared whole.
        let room = columns().saturating_sub(time.width() + 1);
        let what: String = first_columns(what.chars(), room).collect();
        let mut out = io::stderr().lock();
        let _ = write!(out, "\r{what}{time}\x1b[K"); // stderr may be closed
        let _ = out.flush();
        self.is_shown = true;
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Whether stderr is a terminal and the command's output is for people.
fn is_wanted() -> bool {
    let is_plain = is_dumb_terminal(|name| std::env::var_os(name));
    let mut words = std::env::args_os().take_while(|word| word != "--");
    let is_for_program = words.any(|word| FOR_PROGRAMS.iter().any(|shape| word == *shape));
    io::stderr().is_terminal() && !is_plain && !is_for_program
}

/// Whether the terminal is this job's: in the background the line would cover what is typed.
fn is_shown_to_this_job() -> bool {
    #[cfg(unix)]
    return super::signals::is_foreground(io::stderr());
    #[cfg(not(unix))]
    true
}

fn columns() -> usize {
    size().map_or(COLUMNS, |(columns, _)| columns)
}

/// The columns and rows of the terminal behind stderr, if it says how many it has.
pub(super) fn size() -> Option<(usize, usize)> {
    #[cfg(unix)]
    {
        let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
        let size = (usize::from(size.ws_col), usize::from(size.ws_row));
        Some(size).filter(|(columns, _)| *columns > 0)
    }
    #[cfg(not(unix))]
    None
}
