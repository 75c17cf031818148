//! Console events of Windows, which come in place of signals.
//!
//! tokio's handler passes an event on to the system while nothing listens for it, and does not return
//! from the events after which Windows ends the process at once (a closed console, logoff, shutdown).
//! So a hold has the 5 seconds that Windows waits for the handler of a closed console. Source:
//! Microsoft's documentation, HandlerRoutine.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

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
    key: CtrlC,
    break_key: CtrlBreak,
    close: CtrlClose,
    logoff: CtrlLogoff,
    shutdown: CtrlShutdown,
}

impl Events {
    /// Starts to listen; fails where the system takes no handler.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            key: ctrl_c()?,
            break_key: ctrl_break()?,
            close: ctrl_close()?,
            logoff: ctrl_logoff()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Whether an event has come since this was last asked; where none has, the next one wakes `task`.
    fn poll(&mut self, task: &mut Context<'_>) -> bool {
        let came = [
            self.key.poll_recv(task),
            self.break_key.poll_recv(task),
            self.close.poll_recv(task),
            self.logoff.poll_recv(task),
            self.shutdown.poll_recv(task),
        ];
        came.iter().any(Poll::is_ready)
    }

    /// Waits until an event comes.
    pub(crate) fn wait(&mut self) {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut task = Context::from_waker(&waker);
        while !self.poll(&mut task) {
            std::thread::park();
        }
    }
}

/// Ends this process with the exit status of one that an event ended.
pub(crate) fn end_by_event() -> ! {
    end(ENDED_BY_EVENT)
}

/// Whether another part of the program acts on the events.
static IS_LEFT: AtomicBool = AtomicBool::new(false);

/// Leaves the events to the caller, which listens for them: a hold does not end the process any more.
pub(crate) fn leave_to_caller() {
    IS_LEFT.store(true, Ordering::SeqCst);
}

/// Ends this process with an exit status, of which Windows has 32 bits.
#[expect(clippy::exit, reason = "`ExitCode` has 8 bits")]
pub(crate) fn end(status: i32) -> ! {
    std::process::exit(status)
}

/// Holds every event back until the returned value is dropped; `None` where the system takes no
/// handler.
pub(super) fn hold() -> Option<Hold> {
    Events::listen().ok().map(Hold)
}

/// Ends the process when it is dropped, if an event came meanwhile.
pub(super) struct Hold(Events);

impl Drop for Hold {
    fn drop(&mut self) {
        let came = self.0.poll(&mut Context::from_waker(Waker::noop()));
        if came && !IS_LEFT.load(Ordering::SeqCst) {
            end_by_event();
        }
    }
}
