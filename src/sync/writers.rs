//! Writes the stores of a group of agents on several threads.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use super::load::export::put_file;
use crate::export::StorePlace;
use crate::platform::{FileError, LockDir, Replaced, Replacement, run_all_alongside};

/// The number of threads that write stores. They wait for the disk, which orders what comes
/// together into few writes.
const WRITERS: usize = 4;

pub(super) struct Job<'j> {
    pub(super) at: usize,
    pub(super) replacement: Replacement,
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) place: &'j StorePlace,
    pub(super) expected: Option<&'j [u8]>,
    pub(super) lock: Option<&'j LockDir>,
}

/// A file's bytes, and the outcome of writing it.
pub(super) type Written = (Zeroizing<Vec<u8>>, Result<Replaced, FileError>);

/// Writes files at the same time, with as many threads as are available, and does something else
/// meanwhile.
pub(super) fn write_all<T>(
    jobs: Vec<Job<'_>>,
    meanwhile: impl FnOnce() -> T,
) -> (BTreeMap<usize, Written>, T) {
    let threads = WRITERS.min(jobs.len());
    let jobs = Mutex::new(jobs.into_iter());
    let written = Mutex::new(BTreeMap::new());
    let work = || {
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(job) = next() {
            let place = (job.place, job.expected);
            let outcome = put_file(place, job.lock, job.replacement, &job.bytes);
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            written.insert(job.at, (job.bytes, outcome));
        }
    };
    let (_, done) = run_all_alongside(vec![work; threads], meanwhile);
    let written = written.into_inner();
    (written.unwrap_or_else(PoisonError::into_inner), done)
}
