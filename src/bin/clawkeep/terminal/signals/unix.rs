//! Signals of Unix.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, kill_current_process_group, kill_process};
use rustix::termios::tcgetpgrp;
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
};
use signal_hook::flag::{register_conditional_default, register_conditional_shutdown};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use signal_hook::low_level::emulate_default_handler;

/// What a hold holds back: Ctrl-C, a request of a service manager or `timeout`, a closed terminal.
const HELD: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];
/// Other signals that end the program, and that a hidden question catches as well. Not those of
/// faults of the program's own (ILL, FPE, SEGV, BUS), to which it cannot return, and those that
/// nobody sends to a program at a prompt (STKFLT, PWR, RT).
const ENDING: [i32; 10] = [
    SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGABRT, SIGTRAP, SIGSYS, SIGXCPU, SIGVTALRM, SIGPROF,
];
/// The signals of the terminal to a background job that uses it.
const BACKGROUND: [i32; 2] = [SIGTTIN, SIGTTOU];
/// Signals that stop the program: Ctrl-Z, and those.
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
    /// The same of those to a background job.
    has_background_default: Arc<AtomicBool>,
    queue: Mutex<Queue>,
}

type Queue = SignalDelivery<UnixStream, SignalOnly>;

/// Whether another part of the program handles what a hold holds back.
static IS_LEFT: AtomicBool = AtomicBool::new(false);

/// Leaves INT, TERM and HUP to handlers of the caller's: none of these ends the process by itself
/// any more, but at a hidden question.
pub(crate) fn leave_to_caller() {
    IS_LEFT.store(true, Ordering::SeqCst);
    if let Some(hold) = hold_handlers() {
        hold.release();
    }
}

impl Hold {
    /// Gives the signals their effect back; the one that came meanwhile, and had none.
    fn release(&self) -> Option<i32> {
        let is_left = IS_LEFT.load(Ordering::SeqCst);
        self.has_default.store(!is_left, Ordering::SeqCst);
        let came = i32::try_from(self.came.swap(0, Ordering::SeqCst)).ok();
        came.filter(|signal| *signal != 0 && !is_left)
    }
}

pub(super) fn hold() -> Option<impl Sized + 'static> {
    let hold = hold_handlers()?;
    hold.has_default.store(false, Ordering::SeqCst);
    Some(Held(hold))
}

/// Ends the hold when it is dropped, and lets what came meanwhile happen then.
struct Held(&'static Hold);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(signal) = self.0.release() {
            end_by(signal); // as if it came now
        }
    }
}

fn hold_handlers() -> Option<&'static Hold> {
    static HOLD: OnceLock<Option<Hold>> = OnceLock::new();
    let install = || {
        let is_left = IS_LEFT.load(Ordering::SeqCst);
        let hold = Hold {
            has_default: Arc::new(AtomicBool::new(!is_left)),
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
        let has_background_default = Arc::new(AtomicBool::new(true));
        // Where nobody could continue this process, the system does not stop it either.
        let stopping = if is_orphaned() { &[][..] } else { &STOPPING };
        let others = ENDING.iter().chain(stopping).copied();
        let others: Vec<i32> = others.filter(|signal| !is_ignored(*signal)).collect();
        for signal in &others {
            let flag = match BACKGROUND.contains(signal) {
                true => &has_background_default,
                false => &has_default,
            };
            keep_default(*signal, flag)?;
        }
        let held = HELD.into_iter().filter(|signal| !is_ignored(*signal));
        let all = others.iter().copied().chain(held).chain([SIGCONT]);
        let (read, write) = UnixStream::pair().ok()?;
        let queue = SignalDelivery::with_pipe(read, write, SignalOnly, all).ok()?;
        Some(Prompt {
            has_default,
            has_background_default,
            queue: Mutex::new(queue),
        })
    };
    PROMPT.get_or_init(install).as_ref()
}

fn keep_default(signal: i32, has_default: &Arc<AtomicBool>) -> Option<()> {
    let has_default = Arc::clone(has_default);
    let registered = match is_init() {
        true => register_conditional_shutdown(signal, status_by(signal), has_default),
        false => register_conditional_default(signal, has_default),
    };
    registered.ok()?;
    Some(())
}

/// Whether this is the first process of a PID namespace, as in a container. The system ends it by
/// no signal of its own.
fn is_init() -> bool {
    getpid() == Pid::INIT
}

/// What a shell would say of a process that this signal ended.
fn status_by(signal: i32) -> i32 {
    128 + signal
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

/// The position of a process among the jobs of its terminal. The ids are plain numbers: a process
/// that was put into a PID namespace from outside, as `nsenter` does, is in a group and a session
/// that have no id there, and the system reports 0.
struct Place {
    group: i32,
    session: i32,
    parent: Option<Pid>,
}

impl Place {
    /// From `/proc/PID/stat`, see proc_pid_stat(5): rustix's functions do not allow for an id of 0.
    #[cfg(target_os = "linux")]
    fn of(pid: Pid) -> Option<Self> {
        let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
        let stat = std::fs::read_to_string(path).ok()?;
        let (_, fields) = stat.rsplit_once(')')?; // the name may have blanks and parentheses
        let mut ids = fields
            .split_whitespace()
            .skip(1)
            .map_while(|id| id.parse().ok());
        Some(Self {
            parent: Pid::from_raw(ids.next()?),
            group: ids.next()?,
            session: ids.next()?,
        })
    }

    /// The parent is known of this process alone.
    #[cfg(not(target_os = "linux"))]
    fn of(pid: Pid) -> Option<Self> {
        use rustix::process::{getpgid, getppid, getsid};
        Some(Self {
            parent: getppid().filter(|_| pid == getpid()),
            group: getpgid(Some(pid)).ok()?.as_raw_pid(),
            session: getsid(Some(pid)).ok()?.as_raw_pid(),
        })
    }
}

/// Whether no process outside of this process's group, in its session, is the parent of one in
/// it: no shell, then, that could continue it.
fn is_orphaned() -> bool {
    let Some(own) = Place::of(getpid()) else {
        return true;
    };
    let mut parent = own.parent;
    while let Some(place) = parent.and_then(Place::of) {
        if place.group != own.group {
            return place.session != own.session;
        }
        parent = place.parent;
    }
    true
}

/// Whether this process may use a terminal: it is in the foreground, or there are no jobs.
pub(crate) fn is_foreground(terminal: impl AsFd) -> bool {
    let Ok(group) = tcgetpgrp(terminal) else {
        return true;
    };
    Place::of(getpid()).is_none_or(|own| own.group == group.as_raw_pid())
}

/// Makes a call that changes the terminal. In the background it stops this process; without
/// this, each signal would begin the call again, and that would cause the next.
pub(crate) fn stopped_in_background<T>(call: impl FnOnce() -> T) -> T {
    let flag = prompt_handlers().map(|prompt| &prompt.has_background_default);
    let before = flag.map(|flag| flag.swap(true, Ordering::SeqCst));
    let returned = call();
    if let (Some(flag), Some(before)) = (flag, before) {
        flag.store(before, Ordering::SeqCst);
    }
    returned
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    End(i32),
    Stop,
    /// Nothing: the process was stopped and goes on.
    Continued,
}

/// Whether a key for the whole job has an effect: its signal is not ignored, and the terminal
/// knows a job that can be continued if it is to be stopped.
pub(crate) fn has_effect(key: Event) -> bool {
    match key {
        Event::End(signal) => !is_ignored(signal),
        Event::Stop => tcgetpgrp(io::stdin()).is_ok() && !is_orphaned() && !is_ignored(SIGTSTP),
        Event::Continued => false,
    }
}

/// Sends this process's job the signal of a key. This process catches it, and acts on the key.
/// Where the terminal knows no jobs, there is nobody else to send it to.
pub(crate) fn send_to_job(key: Event) {
    let signal = match key {
        Event::End(SIGINT) => Signal::INT,
        Event::End(_) => Signal::QUIT,
        Event::Stop => Signal::TSTP,
        Event::Continued => return,
    };
    if tcgetpgrp(io::stdin()).is_ok() {
        let _ = kill_current_process_group(signal); // this process acts on it all the same
    }
}

/// Ends this process by a signal that ends it.
pub(crate) fn end_by(signal: i32) {
    if is_init() {
        signal_hook::low_level::exit(status_by(signal));
    }
    let _ = emulate_default_handler(signal); // returns for other signals only
}

/// Signals go to a queue, and have no other effect, until this is dropped.
pub(crate) struct Caught {
    prompt: &'static Prompt,
    queue: MutexGuard<'static, Queue>,
}

/// Catches every signal that ends or stops this process; `None` where no handlers are taken.
pub(crate) fn catch() -> Option<Caught> {
    let hold = hold_handlers()?;
    let prompt = prompt_handlers()?;
    let mut queue = prompt.queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.pending().for_each(drop); // these have had their effect
    hold.has_default.store(false, Ordering::SeqCst);
    prompt.has_default.store(false, Ordering::SeqCst);
    prompt.has_background_default.store(false, Ordering::SeqCst);
    Some(Caught { prompt, queue })
}

impl Caught {
    /// Waits until a signal has come or one of `inputs` has something to read; which have.
    pub(crate) fn wait_for<const N: usize>(
        &self,
        inputs: [BorrowedFd<'_>; N],
    ) -> rustix::io::Result<[bool; N]> {
        let signals = self.queue.get_read().as_fd();
        let all = inputs.into_iter().chain([signals]);
        let mut fds: Vec<PollFd<'_>> = all
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        match poll(&mut fds, None) {
            Err(Errno::INTR) => Ok([false; N]),
            Err(errno) => Err(errno),
            Ok(_) => Ok(std::array::from_fn(|at| !fds[at].revents().is_empty())),
        }
    }

    /// The request of the signals that arrived. A request to end comes first. A stop and a continue
    /// arrived in that order: nothing has to be done.
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
        if is_orphaned() {
            return false;
        }
        let mut is_asked = false;
        loop {
            match self.event() {
                Some(Event::End(signal)) => end_by(signal),
                Some(Event::Continued) => return true,
                Some(Event::Stop) | None if is_asked => {
                    // Another thread may have taken the signal: this one goes on until then.
                    let signals = self.queue.get_read().as_fd();
                    let mut fds = [PollFd::from_borrowed_fd(signals, PollFlags::IN)];
                    let _ = poll(&mut fds, None); // interrupted, or not
                }
                Some(Event::Stop) | None => {
                    is_asked = true;
                    if kill_process(getpid(), Signal::STOP).is_err() {
                        return false;
                    }
                }
            }
        }
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        self.prompt.has_default.store(true, Ordering::SeqCst);
        self.prompt
            .has_background_default
            .store(true, Ordering::SeqCst);
        if let Some(hold) = hold_handlers() {
            hold.release(); // what came is in the queue as well
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
