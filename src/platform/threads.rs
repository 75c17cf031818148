//! Threads and child processes: started, or an error that names the limit reached. Never a panic.

#[cfg(unix)]
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

#[cfg(unix)]
use rustix::io::Errno;

/// Where the limits on processes, threads and their memory stand. Source: getrlimit(2),
/// systemd.resource-control(5), the kernel's cgroup-v2 documentation.
pub const PROCESS_LIMITS: &str = "a limit on processes and threads is reached (ulimit -u; \
    TasksMax= in a unit; \
     pids.max of a container), or one on memory (ulimit -v)";

/// Starts a thread of that name.
///
/// # Errors
/// When the system starts none; the error names the limits.
pub fn start_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(not_started)
}

/// The error of a thread or child process that was not started, naming a limit that was reached.
pub(super) fn not_started(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ io::ErrorKind::WouldBlock => io::Error::new(kind, PROCESS_LIMITS),
        _ => error,
    }
}

/// How many threads and files zbus may need, which panics where it gets none. Source: async-io's
/// reactor, zbus's executor and socket, the pool of `blocking`.
#[cfg(all(
    unix,
    not(target_os = "macos"),
    any(feature = "alerts", feature = "keychain")
))]
const BUS: (usize, usize) = (4, 8);

/// Checks that zbus would get the threads and descriptors that it needs.
///
/// # Errors
/// When a limit is reached; the error names it.
#[cfg(all(
    unix,
    not(target_os = "macos"),
    any(feature = "alerts", feature = "keychain")
))]
pub(super) fn check_bus_limits() -> io::Result<()> {
    check_threads(BUS.0).and_then(|()| check_descriptors(BUS.1))
}

/// Checks that `count` threads can be started now, for a library that panics or goes on without its
/// threads where none can be.
#[cfg(any(
    test,
    feature = "watch",
    all(
        unix,
        not(target_os = "macos"),
        any(feature = "alerts", feature = "keychain")
    )
))]
pub(super) fn check_threads(count: usize) -> io::Result<()> {
    // All of them live until the last one was started: one after the other would need one only.
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().ok();
    let mut started = Vec::with_capacity(count);
    let mut outcome = Ok(());
    for _ in 0..count {
        let gate = Arc::clone(&gate);
        match start_thread("probe", move || drop(gate.lock())) {
            Ok(thread) => started.push(thread),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    drop(held);
    for thread in started {
        let _ = thread.join(); // it does nothing that could fail
    }
    outcome
}

/// Runs each of `jobs` on a thread of its own, all at once; those without a thread run here
/// afterwards. Results are in the order of the jobs; `None` for a job that panicked.
#[cfg(feature = "alerts")]
pub fn run_all<T, J>(jobs: Vec<J>) -> Vec<Option<T>>
where
    T: Send,
    J: FnOnce() -> T + Send,
{
    run_all_alongside(jobs, || ()).0
}

/// As [`run_all`], and runs `meanwhile` in this thread as soon as the others are started.
pub(crate) fn run_all_alongside<T, J, B>(
    jobs: Vec<J>,
    meanwhile: impl FnOnce() -> B,
) -> (Vec<Option<T>>, B)
where
    T: Send,
    J: FnOnce() -> T + Send,
{
    std::thread::scope(|scope| {
        let started: Vec<_> = jobs
            .into_iter()
            .map(|job| {
                // A thread that is not started drops what it was to do, so the job stays here.
                let job = Arc::new(Mutex::new(Some(job)));
                let theirs = Arc::clone(&job);
                let thread =
                    Builder::new().spawn_scoped(scope, move || take(&theirs).map(|job| job()));
                (job, thread.ok())
            })
            .collect();
        let done = meanwhile();
        let results = started
            .into_iter()
            .map(|(job, thread)| match thread {
                Some(thread) => thread.join().ok().flatten(),
                None => take(&job).map(|job| job()),
            })
            .collect();
        (results, done)
    })
}

fn take<J>(job: &Mutex<Option<J>>) -> Option<J> {
    job.lock().ok().and_then(|mut job| job.take())
}

/// Checks that this process can open `count` files more. Fails when a limit on open files is
/// reached.
#[cfg(unix)]
pub(crate) fn check_descriptors(count: usize) -> io::Result<()> {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        match File::open("/dev/null") {
            Ok(file) => open.push(file),
            Err(error) => {
                let errno = Errno::from_io_error(&error);
                let is_limit = matches!(errno, Some(Errno::MFILE | Errno::NFILE));
                return if is_limit { Err(error) } else { Ok(()) };
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn the_error_of_a_reached_limit_names_the_limits() {
        let again = io::Error::from(io::ErrorKind::WouldBlock);
        let said = not_started(again).to_string();
        for limit in ["ulimit -u", "TasksMax=", "pids.max"] {
            assert!(said.contains(limit), "{said}");
        }
        let absent = not_started(io::ErrorKind::NotFound.into());
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn jobs_run_at_once_and_their_results_keep_their_order() {
        let meeting = Barrier::new(3);
        let meeting = &meeting;
        let jobs = (0..3).map(|n| {
            move || {
                meeting.wait(); // returns only if all three run
                n
            }
        });
        let (results, ()) = run_all_alongside(jobs.collect(), || ());
        assert_eq!(results, [Some(0), Some(1), Some(2)]);
        let meeting = &Barrier::new(2);
        let job = || meeting.wait().is_leader();
        let (results, beside) = run_all_alongside(vec![job], || meeting.wait().is_leader());
        assert_eq!(results, [Some(!beside)], "both met");
        assert!(check_threads(3).is_ok());
    }
}
