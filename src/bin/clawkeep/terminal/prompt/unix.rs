//! A line that the terminal does not show, on Unix.
//!
//! While it is typed, signals are caught: the terminal is as it was before the program ends or
//! stops by one, and hides again what is typed when the program goes on. The line is read byte by
//! byte: the terminal's own editing passes on 4095 bytes and drops the rest without a word.
//!
//! The terminal makes no signals of keys meanwhile. If it did, a script that runs this program
//! would get them as well, and the shell could be at work before the terminal is restored. So the
//! job gets them from here, afterwards.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clawkeep::internal::domain::SECRET_MAX;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGINT, SIGQUIT};
use zeroize::Zeroizing;

use super::editor::{Editor, Keys, Step};
use super::person;
use super::typed::Typed;
use crate::failure::Failure;
use crate::terminal::signals::{self, Caught, Event, is_foreground};

/// What comes sooner after the end of a line was not typed but pasted.
const PASTE_GAP: Duration = Duration::from_millis(100);
/// For how long the rest of a paste is read.
const PASTE_MAX: Duration = Duration::from_secs(10);
/// What a hidden line turns off.
const SHOWING: LocalModes = LocalModes::ECHO
    .union(LocalModes::ICANON)
    .union(LocalModes::ISIG);

/// What ended the reading of a line.
enum End {
    Typed(Typed),
    Signal(Event),
    /// A key that is for the whole job, as Ctrl-C is, with its signal.
    Key(Event),
    /// Something came at the other input.
    Woken,
}

/// Asks until there is an answer; again after the program was stopped.
pub(super) fn hidden_line(question: &str) -> Result<Typed, Failure> {
    let mut hider = Hider {
        caught: signals::catch(),
        known: None,
    };
    let typed = hider.ask(question);
    hider.restore();
    typed
}

/// Hides what is typed, and acts on the signals that come meanwhile.
struct Hider {
    caught: Option<Caught>,
    /// How the terminal was before it was hidden, where it may still be.
    known: Option<Termios>,
}

impl Hider {
    /// Asks until there is an answer. The terminal stays hidden.
    fn ask(&mut self, question: &str) -> Result<Typed, Failure> {
        loop {
            // A job in the background stops, as at any other read of the terminal.
            while !is_foreground(io::stdin()) && self.caught.as_mut().is_some_and(Caught::stop) {}
            // What was typed ahead was shown, and is thrown away.
            let hidden = self.hide(OptionalActions::Flush)?;
            person::show(question)?;
            let end = hidden.read(self.caught.as_mut(), None);
            if let Ok(End::Typed(_) | End::Signal(Event::Continued)) = end {
                self.known = Some(hidden.leave());
            } else {
                drop(hidden);
            }
            person::end_line();
            if let End::Typed(typed) = self.act(end?) {
                return Ok(typed);
            }
        }
    }

    /// Throws away what is typed until `woken` can be read. The terminal stays hidden.
    fn ignore_until(&mut self, woken: &UnixStream) -> Result<(), Failure> {
        loop {
            if !is_foreground(io::stdin()) {
                self.known = None; // the terminal is another job's
                wait_in_background(self.caught.as_mut(), woken)?;
                if !has_input(woken, Duration::ZERO) {
                    continue;
                }
                return Ok(());
            }
            // A key that came since the answer has its effect.
            let hidden = self.hide(OptionalActions::Now)?;
            let end = hidden.read(self.caught.as_mut(), Some(woken));
            if let Ok(End::Woken | End::Signal(Event::Continued)) = end {
                self.known = Some(hidden.leave());
            } else {
                drop(hidden);
            }
            if let End::Woken = self.act(end?) {
                return Ok(());
            }
        }
    }

    fn hide(&mut self, action: OptionalActions) -> Result<Hidden, Failure> {
        Hidden::begin(self.known.take(), action).map_err(|errno| Failure::Input(errno.into()))
    }

    /// Does what a signal or a key asks for; the terminal was restored.
    fn act(&mut self, end: End) -> End {
        let event = match end {
            End::Signal(event) => event,
            End::Key(event) => {
                signals::send_to_job(event);
                event
            }
            End::Typed(_) | End::Woken => return end,
        };
        match (event, &mut self.caught) {
            (Event::End(signal), _) => signals::end_by(signal),
            (Event::Stop, Some(caught)) => {
                caught.stop();
            }
            (Event::Stop, None) | (Event::Continued, _) => {}
        }
        End::Signal(event)
    }

    /// Shows again what is typed.
    fn restore(&mut self) {
        if let Some(before) = self.known.take() {
            drop(Hidden {
                keys: Keys::default(),
                before,
                is_left: false,
            });
        }
    }
}

/// Questions one after the other. What is typed between them is hidden and thrown away: a thread
/// reads it, so that Ctrl-C and signals have their effect meanwhile.
#[derive(Debug)]
pub(super) struct Questions {
    /// Dropped, it ends the thread.
    ask: Option<Sender<String>>,
    answers: Receiver<Result<Typed, Failure>>,
    /// What is written here has the thread look for the next question.
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Questions {
    /// `None` where the system has no thread, descriptor or signal handler left.
    pub(super) fn begin() -> Option<Self> {
        signals::catch()?;
        let (wake, woken) = UnixStream::pair().ok()?;
        let (ask, questions) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let serve = move || serve(&questions, &answer, &woken);
        let thread = thread::Builder::new().spawn(serve).ok()?;
        Some(Self {
            ask: Some(ask),
            answers,
            wake,
            thread: Some(thread),
        })
    }

    pub(super) fn hidden_line(&self, question: &str) -> Result<Typed, Failure> {
        let gone = || Failure::Input(io::ErrorKind::BrokenPipe.into());
        let ask = self.ask.as_ref().ok_or_else(gone)?;
        ask.send(question.to_owned()).map_err(|_| gone())?;
        let _ = (&self.wake).write(&[0]); // where the thread is gone, so is the answer
        self.answers.recv().map_err(|_| gone())?
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        self.ask = None;
        let _ = (&self.wake).write(&[0]);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // by then the terminal is as it was
        }
    }
}

/// Asks each question that comes, and hides what is typed until no more can come.
fn serve(
    questions: &Receiver<String>,
    answer: &Sender<Result<Typed, Failure>>,
    woken: &UnixStream,
) {
    let mut hider = Hider {
        caught: signals::catch(),
        known: None,
    };
    while let Ok(question) = questions.recv() {
        let _ = (&*woken).read(&mut [0]); // what announced it
        let typed = hider.ask(&question);
        if answer.send(typed).is_err() || hider.ignore_until(woken).is_err() {
            break;
        }
    }
    hider.restore();
}

/// Waits, in the background, for something at `woken` or a signal.
fn wait_in_background(caught: Option<&mut Caught>, woken: &UnixStream) -> Result<(), Failure> {
    let Some(caught) = caught else {
        return Ok(());
    };
    let waited = caught.wait_for([woken.as_fd()]);
    waited.map_err(|errno| Failure::Input(errno.into()))?;
    match caught.event() {
        Some(Event::End(signal)) => signals::end_by(signal),
        Some(Event::Stop) => {
            caught.stop();
        }
        Some(Event::Continued) | None => {}
    }
    Ok(())
}

/// The terminal, not showing what is typed, until this is dropped.
struct Hidden {
    before: Termios,
    keys: Keys,
    is_left: bool,
}

impl Hidden {
    /// Hides what is typed. `known` is how the terminal was before, if it may still be hidden.
    fn begin(known: Option<Termios>, action: OptionalActions) -> rustix::io::Result<Self> {
        let now = tcgetattr(io::stdin())?;
        let before = match known {
            Some(known) if !now.local_modes.intersects(SHOWING) => known,
            _ => now, // the shell has set it meanwhile
        };
        let mut modes = before.clone();
        modes.local_modes -= SHOWING;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        let hidden = Self {
            keys: keys(&before),
            before,
            is_left: false,
        };
        set(action, &modes)?;
        Ok(hidden)
    }

    /// Leaves the terminal as it is now; how it was.
    fn leave(mut self) -> Termios {
        self.is_left = true;
        self.before.clone()
    }

    /// Reads the answer; with `woken`, throws away what is typed until something comes there.
    fn read(
        &self,
        mut caught: Option<&mut Caught>,
        woken: Option<&UnixStream>,
    ) -> Result<End, Failure> {
        let mut editor = Editor::new(self.keys);
        loop {
            if let Some(caught) = &mut caught
                && let Some(end) = wait(caught, woken)?
            {
                return Ok(end);
            }
            let step = match next()? {
                Some(byte) => editor.push(byte),
                None => Step::Left,
            };
            let key = match step {
                Step::More => continue,
                Step::Interrupt => Event::End(SIGINT),
                Step::Quit => Event::End(SIGQUIT),
                Step::Suspend => Event::Stop,
                Step::Left | Step::Line if woken.is_some() => {
                    editor = Editor::new(self.keys);
                    continue;
                }
                Step::Left => return Ok(End::Typed(Typed::Left)),
                Step::Line => return Ok(End::Typed(line(editor))),
            };
            if signals::has_effect(key) {
                return Ok(End::Key(key));
            }
        }
    }
}

/// The line that was typed. The rest of a paste would go to the shell and show: it is read too.
fn line(editor: Editor) -> Typed {
    let has_more = has_input(io::stdin(), PASTE_GAP);
    if has_more {
        drain();
    }
    let line = editor.into_line();
    match has_more && line.len() <= SECRET_MAX {
        true => Typed::Lines,
        false => Typed::Line(line), // or what is too long, whatever follows
    }
}

/// Throws away what comes until nothing comes any more.
fn drain() {
    let mut bytes = Zeroizing::new([0_u8; 4096]);
    let until = Instant::now() + PASTE_MAX;
    while Instant::now() < until && has_input(io::stdin(), PASTE_GAP) {
        match rustix::io::read(io::stdin(), &mut *bytes) {
            Err(Errno::INTR) | Ok(1..) => {}
            Err(_) | Ok(_) => return,
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // In the background the terminal is another job's.
        if !self.is_left && is_foreground(io::stdin()) {
            // What is left of a paste goes with it. A terminal that is gone needs nothing.
            let _ = set(OptionalActions::Flush, &self.before);
        }
    }
}

fn set(action: OptionalActions, modes: &Termios) -> rustix::io::Result<()> {
    signals::stopped_in_background(|| tcsetattr(io::stdin(), action, modes))
}

fn keys(modes: &Termios) -> Keys {
    // 0 and 0xff stand for "no key", depending on the system.
    let key = |index| Some(modes.special_codes[index]).filter(|key| ![0, 0xff].contains(key));
    Keys {
        erase: key(SpecialCodeIndex::VERASE),
        word_erase: key(SpecialCodeIndex::VWERASE),
        kill: key(SpecialCodeIndex::VKILL),
        eof: key(SpecialCodeIndex::VEOF),
        literal: key(SpecialCodeIndex::VLNEXT),
        interrupt: key(SpecialCodeIndex::VINTR),
        quit: key(SpecialCodeIndex::VQUIT),
        suspend: key(SpecialCodeIndex::VSUSP),
    }
}

/// Waits for a key, which is `None`, or for something else to act on.
fn wait(caught: &mut Caught, woken: Option<&UnixStream>) -> Result<Option<End>, Failure> {
    loop {
        let stdin = io::stdin();
        let other = woken.map_or(stdin.as_fd(), |woken| woken.as_fd());
        let waited = caught.wait_for([stdin.as_fd(), other]);
        let [has_key, has_other] = waited.map_err(|errno| Failure::Input(errno.into()))?;
        match caught.event() {
            Some(event) => return Ok(Some(End::Signal(event))),
            None if woken.is_some() && has_other => return Ok(Some(End::Woken)),
            None if has_key && is_foreground(&stdin) => return Ok(None),
            // in the background by now
            None if has_key => return Ok(Some(End::Signal(Event::Continued))),
            None => {}
        }
    }
}

/// The next byte; `None` at the end of the input.
fn next() -> Result<Option<u8>, Failure> {
    let mut byte = Zeroizing::new([0_u8]);
    loop {
        match rustix::io::read(io::stdin(), &mut *byte) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Failure::Input(errno.into())),
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
        }
    }
}

/// Whether there is something to read within that time.
fn has_input(input: impl AsFd, within: Duration) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
    let gap = Timespec::try_from(within).ok();
    poll(&mut fds, gap.as_ref()).is_ok_and(|ready| ready > 0)
        && fds[0].revents().contains(PollFlags::IN)
}
