//! A line that the terminal does not show, on Unix.
//!
//! While it is typed, signals are caught: the terminal is as it was before the program ends or
//! stops by one, and hides again what is typed when the program goes on. The line is read byte by
//! byte: the terminal's own editing passes on 4095 bytes and drops the rest without a word.
//!
//! The terminal makes no signals of keys meanwhile. If it did, a script that runs this program
//! would get them as well, and the shell could be at work before the terminal is restored. So the
//! job gets them from here, afterwards.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGINT, SIGQUIT};
use zeroize::Zeroizing;

use super::editor::{Editor, Keys, Step};
use super::{Typed, person};
use crate::failure::Failure;
use crate::signals::{self, Caught, Event, is_foreground};

/// What comes sooner after the end of a line was not typed but pasted.
const PASTE_GAP: Duration = Duration::from_millis(100);
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
}

/// Asks until there is an answer; again after the program was stopped.
pub(super) fn hidden_line(question: &str) -> Result<Typed, Failure> {
    let mut caught = signals::catch();
    let mut known = None;
    loop {
        // A job in the background stops, as at any other read of the terminal.
        while !is_foreground(io::stdin()) && caught.as_mut().is_some_and(Caught::stop) {}
        let hidden = Hidden::begin(known.take()).map_err(|errno| Failure::Input(errno.into()))?;
        person::show(question)?;
        let end = hidden.read(caught.as_mut());
        if let Ok(End::Signal(Event::Continued)) = end {
            known = Some(hidden.leave());
        } else {
            drop(hidden);
        }
        person::end_line();
        let event = match end? {
            End::Typed(typed) => return Ok(typed),
            End::Signal(event) => event,
            End::Key(event) => {
                signals::send_to_job(event);
                event
            }
        };
        match (event, &mut caught) {
            (Event::End(signal), _) => signals::end_by(signal),
            (Event::Stop, Some(caught)) => {
                caught.stop();
            }
            (Event::Stop, None) | (Event::Continued, _) => {}
        }
    }
}

/// The terminal, not showing what is typed, until this is dropped.
struct Hidden {
    before: Termios,
    keys: Keys,
    is_left: bool,
}

impl Hidden {
    /// Hides what is typed. `known` is how the terminal was before it was hidden, if it may still
    /// be.
    fn begin(known: Option<Termios>) -> rustix::io::Result<Self> {
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
        // What was typed ahead was shown, and is thrown away.
        set(&modes)?;
        Ok(hidden)
    }

    /// Leaves the terminal as it is now; how it was.
    fn leave(mut self) -> Termios {
        self.is_left = true;
        self.before.clone()
    }

    fn read(&self, mut caught: Option<&mut Caught>) -> Result<End, Failure> {
        let mut editor = Editor::new(self.keys);
        loop {
            if let Some(caught) = &mut caught
                && let Some(event) = wait(caught)?
            {
                return Ok(End::Signal(event));
            }
            let step = match next()? {
                Some(byte) => editor.push(byte),
                None => Step::Left,
            };
            let key = match step {
                Step::More => continue,
                Step::Left => return Ok(End::Typed(Typed::Left)),
                Step::Interrupt => Event::End(SIGINT),
                Step::Quit => Event::End(SIGQUIT),
                Step::Suspend => Event::Stop,
                // Pasted over several lines, the rest would go to the shell, for all to see.
                Step::Line if has_more() => return Ok(End::Typed(Typed::Lines)),
                Step::Line => return Ok(End::Typed(Typed::Line(editor.into_line()))),
            };
            if signals::has_effect(key) {
                return Ok(End::Key(key));
            }
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // In the background the terminal is another job's.
        if !self.is_left && is_foreground(io::stdin()) {
            // What is left of a paste goes with it. A terminal that is gone needs nothing.
            let _ = set(&self.before);
        }
    }
}

/// Sets the terminal and throws away what was not read.
fn set(modes: &Termios) -> rustix::io::Result<()> {
    signals::stopped_in_background(|| tcsetattr(io::stdin(), OptionalActions::Flush, modes))
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

/// Waits for a key or a signal; what the signal asks for.
fn wait(caught: &mut Caught) -> Result<Option<Event>, Failure> {
    loop {
        let stdin = io::stdin();
        let waited = caught.wait_for(stdin.as_fd());
        let has_key = waited.map_err(|errno| Failure::Input(errno.into()))?;
        match caught.event() {
            Some(event) => return Ok(Some(event)),
            None if has_key && is_foreground(&stdin) => return Ok(None),
            None if has_key => return Ok(Some(Event::Continued)), // in the background by now
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

/// Whether more comes at once.
fn has_more() -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
    let gap = Timespec::try_from(PASTE_GAP).ok();
    poll(&mut fds, gap.as_ref()).is_ok_and(|ready| ready > 0)
        && fds[0].revents().contains(PollFlags::IN)
}
