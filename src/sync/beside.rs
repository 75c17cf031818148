//! The steps of a load that need no vault, on other threads, while this one decides about agents.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::store_lock::StoreLock;
use crate::export::StorePlace;
use crate::platform::openclaw::{Examined, OpenClawDir};
use crate::platform::{Contents, FileError, Replacement, run_all_beside};

/// How many threads run them.
const THREADS: usize = 2;
/// For fewer tasks none is started.
const FEW: usize = 8;
/// How long one of them is waited for. What it has not done by then is not done side by side.
const WAIT: Duration = Duration::from_secs(5);

/// What was found of a store, before the vault was read.
pub(super) struct Scene {
    pub(super) place: StorePlace,
    /// The file's.
    pub(super) contents: Option<Contents>,
    /// See `Survey::withheld`.
    pub(super) withheld: Option<OpenClawDir>,
}

impl Scene {
    /// Examines a store.
    ///
    /// # Errors
    /// As [`StorePlace::contents`].
    pub(super) fn find(place: StorePlace, examined: &Examined) -> Result<Self, FileError> {
        let contents = place.contents()?;
        let withheld = place.openclaw_dir_by(examined);
        Ok(Self {
            place,
            contents,
            withheld,
        })
    }
}

/// A step for one agent.
pub(super) enum Task {
    /// Examines the store in this directory.
    Examine(PathBuf),
    /// Takes the locks of the store in this directory, if there is a store to lock and nobody has
    /// them, and examines it.
    Lock(PathBuf),
    /// Makes room for so many bytes beside the store.
    MakeRoom(Box<StorePlace>, usize),
}

/// What came of it.
pub(super) enum Done {
    Examined(Box<Scene>),
    Locked(Box<Scene>, Box<StoreLock>),
    MadeRoom(Result<Replacement, FileError>),
    /// The agent is to be loaded by itself.
    Nothing,
}

impl Task {
    fn run(self, lock_dir: &Path, examined: &Examined) -> Done {
        let done = match self {
            Self::Examine(dir) => {
                let place = StorePlace::of_agent(&dir);
                let scene = place.and_then(|place| Scene::find(place, examined));
                scene.ok().map(|scene| Done::Examined(Box::new(scene)))
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
    let scene = Scene::find(now, examined).ok()?;
    Some(Done::Locked(Box::new(scene), Box::new(lock)))
}

/// Runs tasks on other threads, and calls `take` in this one with the number of each and what came of
/// it; a task that it answers is run, too. What no thread has begun is done here, rather than wait.
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
            // Where it was not waited for so long, nobody takes it.
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
    run_all_beside(vec![work; threads], take_all);
}
