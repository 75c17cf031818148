//! Signals, and the console events of Windows: held back while ending the program would cost a
//! login, and caught while the terminal hides what is typed.
//!
//! A handler stays for the rest of the process. Outside of a hold and of a hidden question it does
//! what the system does without one.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::any::Any;
use std::io;
use std::process::{Command, ExitStatus};

#[cfg(unix)]
pub(crate) use self::unix::{
    Caught, Event, catch, end_by, has_effect, is_foreground, leave_to_caller, send_to_job,
    stopped_in_background,
};
#[cfg(windows)]
pub(crate) use self::windows::{Events, end, end_by_event, leave_to_caller};

/// Makes a write beyond the limit on file sizes fail with an error instead of ending the process. A
/// program that is run gets the usual effect: a handler does not outlive `execve`.
pub(crate) fn survive_file_size_limit() {
    #[cfg(unix)]
    {
        let reached = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        // Where the system takes no handler, the signal ends the process as before.
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, reached);
    }
}

/// Holds back what asks this process to end until the returned value is dropped, and lets it take
/// effect then: INT, TERM and HUP; on Windows Ctrl-C, Ctrl-Break and a closed console. The time
/// that a provider is waited for bounds a hold.
///
/// Windows ends the process 5 seconds after its console was closed, and does not report logoff and
/// shutdown to a process that has loaded user32.
pub(crate) fn hold() -> Box<dyn Any> {
    #[cfg(unix)]
    if let Some(guard) = unix::hold() {
        return Box::new(guard);
    }
    #[cfg(windows)]
    if let Some(guard) = windows::hold(windows::Came::TakesEffect) {
        return Box::new(guard);
    }
    Box::new(()) // the system takes no handlers
}

/// Runs a program that has the terminal, and waits until it has ended. Every command that waits for
/// such a program calls this.
///
/// The terminal's Ctrl-C reaches the program too. On Windows this process ignores it meanwhile, so
/// that it does not end while the program handles it and runs on.
pub(crate) fn wait_for_program(command: &mut Command) -> io::Result<ExitStatus> {
    #[cfg(windows)]
    let _ignored = windows::hold(windows::Came::IsIgnored);
    command.status()
}

/// Runs a program in place of this process, with its exit status; returns only if it cannot start.
#[cfg(unix)]
pub(crate) fn become_program(mut command: Command) -> io::Error {
    std::os::unix::process::CommandExt::exec(&mut command)
}

/// Runs a program in place of this process, with its exit status; returns only if it cannot start.
/// Windows cannot replace a process: this one waits, and ends as the program ended.
#[cfg(windows)]
pub(crate) fn become_program(mut command: Command) -> io::Error {
    match wait_for_program(&mut command) {
        Ok(status) => end(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}
