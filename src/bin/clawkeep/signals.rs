//! Signals that end a process, held back while ending it would cost a login.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// What is held back: Ctrl-C, a service manager's or `timeout`'s request, a terminal that is closed.
#[cfg(unix)]
const HELD: [i32; 3] = [
    signal_hook::consts::SIGINT,
    signal_hook::consts::SIGTERM,
    signal_hook::consts::SIGHUP,
];

/// What came while it was held back, and whether it is.
struct Hold {
    /// Signals do what they always do.
    is_free: Arc<AtomicBool>,
    came: Arc<AtomicUsize>,
}

/// Ends the hold when it is dropped, and lets what came meanwhile happen then.
struct Held;

/// Makes a write beyond the limit on file sizes fail with an error that can be reported, instead of ending the process. A
/// program that is run gets the signal's usual effect: a handler does not outlive `execve`.
pub(crate) fn survive_file_size_limit() {
    #[cfg(unix)]
    {
        let reached = Arc::new(AtomicBool::new(false));
        // Where the system takes no handler, the signal ends the process as before.
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, reached);
    }
}

/// Holds signals back until what it returns is dropped. That is bounded by how long a provider is waited for.
pub(crate) fn hold() -> Box<dyn Any> {
    static HOLD: OnceLock<Option<Hold>> = OnceLock::new();
    match HOLD.get_or_init(install) {
        Some(hold) => {
            hold.is_free.store(false, Ordering::SeqCst);
            Box::new(Guard(hold))
        }
        None => Box::new(Held), // the system takes no handlers: as before
    }
}

struct Guard(&'static Hold);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.is_free.store(true, Ordering::SeqCst);
        let came = self.0.came.swap(0, Ordering::SeqCst);
        #[cfg(unix)]
        if let Ok(signal) = i32::try_from(came)
            && signal != 0
        {
            // As if it came now. That it cannot be raised leaves the command to its end, which is near.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
        #[cfg(not(unix))]
        let _ = came;
    }
}

#[cfg(unix)]
fn install() -> Option<Hold> {
    let hold = Hold {
        is_free: Arc::new(AtomicBool::new(true)),
        came: Arc::new(AtomicUsize::new(0)),
    };
    for signal in HELD {
        let number = usize::try_from(signal).ok()?;
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&hold.is_free)).ok()?;
        signal_hook::flag::register_usize(signal, Arc::clone(&hold.came), number).ok()?;
    }
    Some(hold)
}

#[cfg(not(unix))]
fn install() -> Option<Hold> {
    None
}
