//! When failed work is retried, and what is not retried: a process without threads.

use std::io::{self};
use std::path::Path;
use std::time::Duration;

use clawkeep::internal::platform::Cause;

use crate::failure::Failure;
use crate::failure::causes::remedy_of;

/// Pauses after a failed pass, or after a failure of an agent, in turn; then always the last.
pub(crate) const RETRIES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
];

/// The longest such pause if other processes only hold a lock.
pub(crate) const BUSY_RETRY: Duration = Duration::from_secs(5);

/// The pause before a retry, after this many failures.
pub(crate) fn retry(before: usize, is_busy: bool) -> Duration {
    let pause = RETRIES[before.min(RETRIES.len() - 1)];
    if is_busy {
        pause.min(BUSY_RETRY)
    } else {
        pause
    }
}

/// A thread for signals or lines, or a descriptor of one, is not available.
pub(crate) fn no_thread(error: &io::Error) -> Failure {
    let cause = Cause::of(error, Path::new("/proc/self"));
    Failure::Refused {
        what: format!("this process cannot start another thread: {error}"),
        next: cause.map_or_else(
            || "Raise its limits: ulimit -u, or TasksMax= of the service.".to_owned(),
            |cause| remedy_of(&cause),
        ),
    }
}
