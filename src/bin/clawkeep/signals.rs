//! Signals: held back while ending the program would cost a login, and caught while the terminal
//! hides what is typed.
//!
//! A handler stays for the rest of the process. Outside of a hold and of a hidden question it does
//! what the system does without one.

use std::any::Any;

#[cfg(unix)]
pub(crate) use self::unix::{Caught, Event, catch, end_by, is_foreground};

/// Holds INT, TERM and HUP back until what it returns is dropped. That is bounded by how long a
/// provider is waited for.
pub(crate) fn hold() -> Box<dyn Any> {
    #[cfg(unix)]
    if let Some(guard) = unix::hold() {
        return Box::new(guard);
    }
    Box::new(()) // the system takes no handlers
}

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{Pid, Signal, getpgid, getpgrp, getpid, getppid, getsid, kill_process};
    use rustix::termios::tcgetpgrp;
    use signal_hook::consts::{
        SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1,
        SIGUSR2,
    };
    use signal_hook::iterator::backend::SignalDelivery;
    use signal_hook::iterator::exfiltrator::SignalOnly;
    use signal_hook::low_level::emulate_default_handler;

    /// What a hold holds back: Ctrl-C, a service manager's or `timeout`'s request, a terminal that
    /// is closed.
    const HELD: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];
    /// Other signals that end the program, and that a hidden question catches as well.
    const ENDING: [i32; 4] = [SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2];
    /// Signals that stop the program: Ctrl-Z, and those of the terminal to a background job.
    const STOPPING: [i32; 3] = [SIGTSTP, SIGTTIN, SIGTTOU];

    /// The handlers of the signals that a hold holds back.
    struct Hold {
        /// Whether these signals have their default effect.
        has_default: Arc<AtomicBool>,
        came: Arc<AtomicUsize>,
    }

    /// The handlers of the signals that only a hidden question catches, and the queue of all.
    struct Prompt {
        /// Whether these signals have their default effect.
        has_default: Arc<AtomicBool>,
        queue: Mutex<Queue>,
    }

    type Queue = SignalDelivery<UnixStream, SignalOnly>;

    pub(super) fn hold() -> Option<impl Sized + 'static> {
        let hold = hold_handlers()?;
        hold.has_default.store(false, Ordering::SeqCst);
        Some(Held(hold))
    }

    /// Ends the hold when it is dropped, and lets what came meanwhile happen then.
    struct Held(&'static Hold);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.has_default.store(true, Ordering::SeqCst);
            let came = self.0.came.swap(0, Ordering::SeqCst);
            if let Ok(signal) = i32::try_from(came)
                && signal != 0
            {
                // As if it came now. If it cannot be raised, the command ends soon anyway.
                let _ = emulate_default_handler(signal);
            }
        }
    }

    fn hold_handlers() -> Option<&'static Hold> {
        static HOLD: OnceLock<Option<Hold>> = OnceLock::new();
        let install = || {
            let hold = Hold {
                has_default: Arc::new(AtomicBool::new(true)),
                came: Arc::new(AtomicUsize::new(0)),
            };
            for signal in HELD.into_iter().filter(|signal| !is_ignored(*signal)) {
                let number = usize::try_from(signal).ok()?;
                keep_default(signal, &hold.has_default)?;
                signal_hook::flag::register_usize(signal, Arc::clone(&hold.came), number).ok()?;
            }
            Some(hold)
        };
        HOLD.get_or_init(install).as_ref()
    }

    fn prompt_handlers() -> Option<&'static Prompt> {
        static PROMPT: OnceLock<Option<Prompt>> = OnceLock::new();
        let install = || {
            let has_default = Arc::new(AtomicBool::new(true));
            // Where nobody could continue this process, the system does not stop it either.
            let stopping = if is_orphaned() { &[][..] } else { &STOPPING };
            let others = ENDING.iter().chain(stopping).copied();
            let others: Vec<i32> = others.filter(|signal| !is_ignored(*signal)).collect();
            for signal in &others {
                keep_default(*signal, &has_default)?;
            }
            let held = HELD.into_iter().filter(|signal| !is_ignored(*signal));
            let all = others.iter().copied().chain(held).chain([SIGCONT]);
            let (read, write) = UnixStream::pair().ok()?;
            let queue = SignalDelivery::with_pipe(read, write, SignalOnly, all).ok()?;
            Some(Prompt {
                has_default,
                queue: Mutex::new(queue),
            })
        };
        PROMPT.get_or_init(install).as_ref()
    }

    fn keep_default(signal: i32, has_default: &Arc<AtomicBool>) -> Option<()> {
        let has_default = Arc::clone(has_default);
        signal_hook::flag::register_conditional_default(signal, has_default).ok()?;
        Some(())
    }

    /// Whether this process was started with the signal ignored, as `nohup` does with HUP. A
    /// handler would make such a signal count again.
    fn is_ignored(signal: i32) -> bool {
        static IGNORED: OnceLock<u64> = OnceLock::new();
        let read = || {
            let status = std::fs::read_to_string("/proc/self/status").ok()?;
            let mask = status
                .lines()
                .find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        };
        let ignored = IGNORED.get_or_init(|| read().unwrap_or(0)); // only Linux says it
        u32::try_from(signal - 1).is_ok_and(|bit| ignored.checked_shr(bit).unwrap_or(0) & 1 == 1)
    }

    /// Whether no process outside of this process's group, in its session, is the parent of one in
    /// it: no shell, then, that could continue it.
    fn is_orphaned() -> bool {
        let group = getpgrp();
        let mut parent = getppid();
        while let Some(pid) = parent {
            if getpgid(Some(pid)).ok() != Some(group) {
                return getsid(Some(pid)).ok() != getsid(None).ok();
            }
            parent = parent_of(pid);
        }
        true
    }

    fn parent_of(pid: Pid) -> Option<Pid> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        let (_, fields) = stat.rsplit_once(')')?; // the name may have blanks and parentheses
        Pid::from_raw(fields.split_whitespace().nth(1)?.parse().ok()?)
    }

    /// Whether this process may use a terminal: it is in the foreground, or the terminal knows no
    /// jobs.
    pub(crate) fn is_foreground(terminal: impl AsFd) -> bool {
        tcgetpgrp(terminal).map_or(true, |group| group == getpgrp())
    }

    /// What a signal asks for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Event {
        /// To end by it.
        End(i32),
        /// To stop.
        Stop,
        /// Nothing: the process was stopped and goes on.
        Continued,
    }

    /// Ends this process by a signal that ends it.
    pub(crate) fn end_by(signal: i32) {
        let _ = emulate_default_handler(signal); // returns for other signals only
    }

    /// Signals go to a queue, and have no other effect, until this is dropped.
    pub(crate) struct Caught {
        prompt: &'static Prompt,
        queue: MutexGuard<'static, Queue>,
    }

    /// Catches every signal that ends or stops this process; `None` where the system takes no
    /// handlers.
    pub(crate) fn catch() -> Option<Caught> {
        let hold = hold_handlers()?;
        let prompt = prompt_handlers()?;
        let mut queue = prompt.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pending().for_each(drop); // these have had their effect
        hold.has_default.store(false, Ordering::SeqCst);
        prompt.has_default.store(false, Ordering::SeqCst);
        Some(Caught { prompt, queue })
    }

    impl Caught {
        /// The descriptor that has something to read when a signal has come.
        pub(crate) fn fd(&self) -> BorrowedFd<'_> {
            self.queue.get_read().as_fd()
        }

        /// What the signals that came ask for. An end comes first. One that stops and one that
        /// continues came in that order: nobody would see the other.
        pub(crate) fn event(&mut self) -> Option<Event> {
            let signals: Vec<i32> = self.queue.pending().collect();
            let is_end = |signal: &i32| *signal != SIGCONT && !STOPPING.contains(signal);
            if let Some(signal) = signals.iter().copied().find(is_end) {
                return Some(Event::End(signal));
            }
            match signals.contains(&SIGCONT) {
                true => Some(Event::Continued),
                false => (!signals.is_empty()).then_some(Event::Stop),
            }
        }

        /// Stops this process and returns once it is continued; `false` where it cannot be stopped.
        ///
        /// SIGSTOP, since a handler of the other three cannot be taken away again. Shells make no
        /// difference.
        pub(crate) fn stop(&mut self) -> bool {
            if is_orphaned() || kill_process(getpid(), Signal::STOP).is_err() {
                return false;
            }
            loop {
                // Another thread may have taken the signal: this one goes on until all are stopped.
                let mut fds = [PollFd::from_borrowed_fd(self.fd(), PollFlags::IN)];
                let _ = poll(&mut fds, None); // interrupted, or not
                match self.event() {
                    Some(Event::End(signal)) => end_by(signal),
                    Some(Event::Continued) => return true,
                    Some(Event::Stop) | None => {}
                }
            }
        }
    }

    impl Drop for Caught {
        fn drop(&mut self) {
            self.prompt.has_default.store(true, Ordering::SeqCst);
            if let Some(hold) = hold_handlers() {
                hold.has_default.store(true, Ordering::SeqCst);
                hold.came.store(0, Ordering::SeqCst); // it is in the queue as well
            }
            match self.event() {
                Some(Event::End(signal)) => end_by(signal),
                Some(Event::Stop) => {
                    self.stop();
                }
                Some(Event::Continued) | None => {}
            }
        }
    }
}
