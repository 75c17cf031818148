//! Console events of Windows, which come in place of signals.
//!
//! tokio's handler passes an event on to the system while nothing listens for it, and does not
//! return from the events after which Windows ends the process at once (a closed console, logoff,
//! shutdown). So a hold has the 5 seconds that Windows waits for the handler of a closed console.
//! Source: Microsoft's documentation, HandlerRoutine.
//!
//! From the first hold on, one thread listens for the rest of the process, and ends it by an event
//! that comes outside of a hold. A listener of each hold's own would lose an event that comes
//! between its last poll and its end.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use clawkeep::internal::platform::start_thread;
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close,
    ctrl_logoff, ctrl_shutdown,
};

/// The exit status of a program that Ctrl-C ended, and of one whose console was closed:
/// `STATUS_CONTROL_C_EXIT`. The system's own handler ends a process with it, and cmd.exe and
/// PowerShell know it. Source: [MS-ERREF], NTSTATUS values.
const ENDED_BY_EVENT: i32 = 0xC000_013A_u32.cast_signed();

/// The events that ask this process to end. While this exists, they have no other effect.
pub(crate) struct Events {
    ctrl_c: CtrlC,
    break_key: CtrlBreak,
    close: CtrlClose,
    logoff: CtrlLogoff,
    shutdown: CtrlShutdown,
}

impl Events {
    /// Starts to listen; fails where the system takes no handler.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            ctrl_c: ctrl_c()?,
            break_key: ctrl_break()?,
            close: ctrl_close()?,
            logoff: ctrl_logoff()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Whether an event has come since the last call; if none, the next one wakes `task`.
    fn poll(&mut self, task: &mut Context<'_>) -> bool {
        let came = [
            self.ctrl_c.poll_recv(task),
            self.break_key.poll_recv(task),
            self.close.poll_recv(task),
            self.logoff.poll_recv(task),
            self.shutdown.poll_recv(task),
        ];
        came.iter().any(Poll::is_ready)
    }

    pub(crate) fn wait(&mut self) {
        let waker = unpark_this_thread();
        let mut task = Context::from_waker(&waker);
        while !self.poll(&mut task) {
            std::thread::park();
        }
    }
}

fn unpark_this_thread() -> Waker {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

/// Ends this process with the exit status of one that an event ended.
pub(crate) fn end_by_event() -> ! {
    end(ENDED_BY_EVENT)
}

/// Whether another part of the program acts on the events.
static IS_LEFT: AtomicBool = AtomicBool::new(false);

/// Leaves the events to the caller: a hold does not end the process any more.
pub(crate) fn leave_to_caller() {
    IS_LEFT.store(true, Ordering::SeqCst);
}

/// Ends this process with an exit status, of which Windows has 32 bits.
#[expect(clippy::exit, reason = "`ExitCode` has 8 bits")]
pub(crate) fn end(status: i32) -> ! {
    std::process::exit(status)
}

/// How many holds there are, and whether an event came during them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    holds: usize,
    came: bool,
}

impl Count {
    /// Notes an event; whether it takes effect now.
    fn event(&mut self) -> bool {
        self.came |= self.holds > 0;
        self.holds == 0
    }

    /// Ends a hold; whether what came takes effect now.
    fn release(&mut self, what_came: Came) -> bool {
        self.holds = self.holds.saturating_sub(1);
        if self.holds > 0 {
            return false;
        }
        std::mem::take(&mut self.came) && what_came == Came::TakesEffect
    }
}

/// What becomes of the events that came during a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// They end the process when the hold ends.
    TakesEffect,
    /// They had their effect on another program.
    IsIgnored,
}

struct Listener {
    events: Events,
    count: Count,
    /// Wakes the thread.
    waker: Waker,
}

impl Listener {
    /// Starts the thread; fails where the system takes no handler or starts no thread.
    fn start() -> io::Result<Arc<Mutex<Self>>> {
        let listener = Arc::new(Mutex::new(Self {
            events: Events::listen()?,
            count: Count::default(),
            waker: Waker::noop().clone(), // until the thread has begun
        }));
        let of_thread = Arc::clone(&listener);
        let serve = move || {
            lock(&of_thread).waker = unpark_this_thread();
            loop {
                let ends = lock(&of_thread).drain();
                if ends {
                    end_by_event();
                }
                std::thread::park();
            }
        };
        start_thread("events", serve)?;
        Ok(listener)
    }

    /// Takes the events that came; whether one takes effect now.
    fn drain(&mut self) -> bool {
        let waker = self.waker.clone();
        let mut ends = false;
        while self.events.poll(&mut Context::from_waker(&waker)) {
            ends |= self.count.event();
        }
        ends && !IS_LEFT.load(Ordering::SeqCst)
    }
}

fn lock(listener: &Mutex<Listener>) -> MutexGuard<'_, Listener> {
    listener.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds every event back until the value is dropped; `None` where the system takes no handler.
pub(super) fn hold(what_came: Came) -> Option<Hold> {
    static LISTENER: OnceLock<Option<Arc<Mutex<Listener>>>> = OnceLock::new();
    let listener = LISTENER.get_or_init(|| Listener::start().ok()).as_deref()?;
    lock(listener).count.holds += 1;
    Some(Hold {
        listener,
        what_came,
    })
}

/// Holds events back while it exists.
pub(super) struct Hold {
    listener: &'static Mutex<Listener>,
    what_came: Came,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let ends = {
            let mut listener = lock(self.listener);
            listener.drain(); // the thread may not have run yet
            listener.count.release(self.what_came)
        };
        if ends && !IS_LEFT.load(Ordering::SeqCst) {
            end_by_event();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_takes_effect_once_no_hold_is_left() {
        let mut count = Count::default();
        assert!(count.event(), "outside of a hold");
        assert!(!count.release(Came::TakesEffect), "nothing came");
        count.holds = 2;
        assert!(!count.event());
        assert!(!count.release(Came::TakesEffect), "another hold is left");
        assert!(count.release(Came::TakesEffect));
        assert_eq!(count, Count::default());
    }

    #[test]
    fn an_event_for_another_program_has_no_effect() {
        let mut count = Count {
            holds: 1,
            came: false,
        };
        assert!(!count.event());
        assert!(!count.release(Came::IsIgnored));
        assert_eq!(count, Count::default(), "a later hold does not see it");
    }
}
