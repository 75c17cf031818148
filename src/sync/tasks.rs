//! The steps of a load that need no vault, run on other threads while this one decides about
//! agents.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::load::examined::ExaminedStore;
use super::store_lock::StoreLock;
use crate::export::StorePlace;
use crate::platform::openclaw::Examined;
use crate::platform::{FileError, Replacement, run_all_alongside};

const THREADS: usize = 2;
/// For fewer tasks than this no thread is started.
const FEW: usize = 8;
/// How long to wait for one task. What is not done by then is not done side by side.
const WAIT: Duration = Duration::from_secs(5);

pub(super) enum Task {
    /// Examines the store in this directory.
    Examine(PathBuf),
    /// Takes the locks of the store in this directory, if there is a store to lock and the locks
    /// are free, and examines it.
    Lock(PathBuf),
    /// Makes room for so many bytes beside the store.
    MakeRoom(Box<StorePlace>, usize),
}

pub(super) enum Done {
    Examined(Box<ExaminedStore>),
    Locked(Box<ExaminedStore>, Box<StoreLock>),
    MadeRoom(Result<Replacement, FileError>),
    /// The agent is to be loaded by itself.
    Nothing,
}

impl Task {
    fn run(self, lock_dir: &Path, examined: &Examined) -> Done {
        let done = match self {
            Self::Examine(dir) => {
                let place = StorePlace::of_agent(&dir);
                let store = place.and_then(|place| ExaminedStore::find(place, examined));
                store.ok().map(|store| Done::Examined(Box::new(store)))
            }
            Self::Lock(dir) => lock_if_free(&dir, lock_dir, examined),
            Self::MakeRoom(place, room) => Some(Done::MadeRoom(place.begin_write_as_file(room))),
        };
        done.unwrap_or(Done::Nothing)
    }
}

fn lock_if_free(dir: &Path, lock_dir: &Path, examined: &Examined) -> Option<Done> {
    let place = StorePlace::of_agent(dir).ok()?;
    let mut lock = StoreLock::acquire_free(lock_dir, &place).ok()?;
    lock.lock_store(&place, examined).ok()??;
    // A link that was put there before the lock was taken leads to what is not locked.
    let now = StorePlace::of_agent(dir).ok().filter(|now| *now == place)?;
    let store = ExaminedStore::find(now, examined).ok()?;
    Some(Done::Locked(Box::new(store), Box::new(lock)))
}

/// Runs tasks on other threads, and calls `take` in this one with each outcome; a task that it
/// returns is run, too. A task that no thread has begun is run here instead of waiting.
pub(super) fn run_tasks(
    tasks: impl Iterator<Item = Task>,
    (lock_dir, examined): (&Path, &Examined),
    mut take: impl FnMut(usize, Done) -> Option<Task>,
) {
    let (sender, waiting) = mpsc::channel();
    let mut left = 0_usize;
    for numbered in tasks.enumerate() {
        left += usize::from(sender.send(numbered).is_ok());
    }
    let threads = if left < FEW { 0 } else { THREADS };
    let waiting = Mutex::new(waiting);
    let (done, results) = mpsc::channel();
    let work = || {
        let next = || {
            waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv()
        };
        while let Ok((number, task)) = next() {
            // After the longest wait, no receiver is left.
            let _ = done.send((number, Task::run(task, lock_dir, examined)));
        }
    };
    let take_all = || {
        let sender = sender; // dropped, it ends the threads
        while left > 0 {
            let begin = || waiting.try_lock().ok()?.try_recv().ok();
            let own = |(number, task)| (number, Task::run(task, lock_dir, examined));
            let next = results.try_recv().ok().or_else(|| begin().map(own));
            let next = next.or_else(|| results.recv_timeout(WAIT).ok());
            let Some((number, done)) = next else { break };
            left -= 1;
            if let Some(task) = take(number, done) {
                left += usize::from(sender.send((number, task)).is_ok());
            }
        }
    };
    run_all_alongside(vec![work; threads], take_all);
}
