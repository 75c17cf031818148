//! Notifications to a service manager, and the signals it sends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::state::{Ending, Wake};

/// How long after the first signal another one counts as a new request.
const AGAIN: Duration = Duration::from_secs(1);

/// The service manager, if it asked for notifications.
#[derive(Debug)]
pub(crate) struct Service {
    /// The manager's watchdog interval.
    watchdog: Option<Duration>,
    status: String,
}

#[cfg(unix)]
impl Service {
    pub(crate) fn new() -> Self {
        Self {
            watchdog: sd_notify::watchdog_enabled(),
            status: String::new(),
        }
    }

    /// Reports that the watcher runs, and its status if that changed. (A manager that reads slowly
    /// would block this process.)
    pub(crate) fn ready(&mut self, status: String) {
        use sd_notify::NotifyState::{Ready, Status};
        // The manager may not listen.
        if self.status.is_empty() {
            let _ = sd_notify::notify(&[Ready, Status(&status)]);
        } else if self.status != status {
            let _ = sd_notify::notify(&[Status(&status)]);
        }
        self.status = status;
        self.alive();
    }

    pub(crate) fn alive(&self) {
        if self.watchdog.is_some() {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }

    pub(crate) fn stopping(&self) {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    }
}

#[cfg(not(unix))]
impl Service {
    pub(crate) fn new() -> Self {
        Self {
            watchdog: None,
            status: String::new(),
        }
    }

    pub(crate) fn ready(&mut self, status: String) {
        self.status = status;
    }

    pub(crate) fn alive(&self) {}

    pub(crate) fn stopping(&self) {}
}

impl Service {
    pub(crate) fn status(&self) -> &str {
        &self.status
    }

    /// The longest time between two signs of life: half of the manager's interval.
    pub(crate) fn pulse(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 2)
    }
}

/// Turns signals into wakes: to stop, or to read the settings again. A second request to stop,
/// [`AGAIN`] or more after the first, stops it at once.
#[cfg(unix)]
pub(crate) fn listen(
    wake: Sender<Wake>,
    ending: &Ending,
    is_terminal: bool,
) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use std::time::Instant;
    let asked = Arc::clone(&ending.0);
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    crate::terminal::signals::leave_to_caller();
    let serve = move || {
        let mut first = None;
        for signal in signals.forever() {
            // For a terminal, it means that the terminal is gone.
            if signal == SIGHUP && !is_terminal {
                let _ = wake.send(Wake::Reload);
                continue;
            }
            asked.store(true, Ordering::SeqCst);
            // A user who asks again does not want to wait for a provider. The same request may come
            // twice: to a process and its group.
            if first.get_or_insert_with(Instant::now).elapsed() >= AGAIN {
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            let _ = wake.send(Wake::End);
        }
    };
    clawkeep::internal::platform::start_thread("signals", serve).map(drop)
}

/// Stops the watch when stdin closes, which it does when the parent process exits.
pub(crate) fn end_with_stdin(wake: Sender<Wake>, ending: &Ending) -> std::io::Result<()> {
    let asked = Arc::clone(&ending.0);
    let serve = move || {
        // A failure to read stops it, too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        asked.store(true, Ordering::SeqCst);
        let _ = wake.send(Wake::End); // the watch may have ended
    };
    clawkeep::internal::platform::start_thread("stdin", serve).map(drop)
}

/// Turns console events into wakes that stop the watch. A second event, [`AGAIN`] or more after the
/// first, stops it at once.
#[cfg(windows)]
pub(crate) fn listen(
    wake: Sender<Wake>,
    ending: &Ending,
    _is_terminal: bool,
) -> std::io::Result<()> {
    use std::time::Instant;
    let asked = Arc::clone(&ending.0);
    let mut events = crate::terminal::signals::Events::listen()?;
    crate::terminal::signals::leave_to_caller();
    let serve = move || {
        let mut first = None;
        loop {
            events.wait();
            asked.store(true, Ordering::SeqCst);
            if first.get_or_insert_with(Instant::now).elapsed() >= AGAIN {
                crate::terminal::signals::end_by_event();
            }
            let _ = wake.send(Wake::End); // nobody listens where the watch has ended
        }
    };
    clawkeep::internal::platform::start_thread("signals", serve).map(drop)
}
