//! Reports changes of files: files that may not exist yet, that are replaced, or that are behind
//! links.
//!
//! Directories are watched, never the files: a rename over a watched file would end the watch. If
//! the directory of a path does not exist, the nearest existing parent is watched; so call
//! [`Follower::follow`] again after every change, and it watches closer. The move of a directory
//! further up is not reported: call it from time to time too.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::paths::canonicalize;
use super::stamp::Stamp;
use super::threads::check_threads;

use crate::domain::debug_as;

/// How many links are followed before they count as a circle. Source: `MAXSYMLINKS` of Linux.
const LINKS_MAX: usize = 40;

/// How long the thread that reads events waits after the first of a batch: each wake-up costs more
/// than an event, and a pass over many agents causes dozens for each.
const BATCH_PAUSE: Duration = Duration::from_millis(2);
/// Events that come this soon after another belong to its batch.
const BATCH_GAP: Duration = Duration::from_micros(200);

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// The file is being written; more may come.
    Writing,
    /// It was closed by its writer, put in place, moved, removed, or its readers changed.
    Done,
}

/// A change that a [`Follower`] reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Something happened to what is followed, or to the link or directory that leads there.
    Path(PathBuf, Touch),
    /// Something may have happened to anything: events were lost, or a directory was moved.
    Unsure,
}

/// Why changes cannot be reported.
#[derive(Debug, thiserror::Error)]
#[error("changes of files are not told by the system")]
pub struct FollowError(#[from] notify::Error);

/// What is to be followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Files to follow, by absolute paths; none of them need exist.
    pub files: Vec<PathBuf>,
    /// Directories of which it matters what is in them.
    pub dirs: Vec<PathBuf>,
}

/// Watches files and reports their changes.
pub struct Follower {
    watcher: RecommendedWatcher,
    interest: Arc<Mutex<Interest>>,
    /// The directories that are watched, and which ones they were.
    watched: BTreeMap<PathBuf, Option<Stamp>>,
}

debug_as!(Follower, "Follower({} directories)", it => it.watched.len());

/// What of the watched directories matters, by their real paths.
#[derive(Debug, Default, PartialEq)]
struct Interest {
    dirs: HashSet<PathBuf>,
    /// Entries of the directories, with what is followed through them.
    entries: HashMap<PathBuf, Vec<PathBuf>>,
    /// Directories whose every entry matters.
    listings: HashMap<PathBuf, PathBuf>,
}

impl Follower {
    /// Creates a follower of nothing yet. `report` is called on a thread of the watcher's own.
    ///
    /// # Errors
    /// When the system reports no changes, or no more: on Linux the number of inotify instances is
    /// limited.
    pub fn new(report: impl Fn(Touched) + Send + 'static) -> Result<Self, FollowError> {
        let interest = Arc::new(Mutex::new(Interest::default()));
        let known = Arc::clone(&interest);
        // The library says nothing where its thread cannot be started, and panics at the next call.
        check_threads(1).map_err(notify::Error::io)?;
        let mut last: Option<Instant> = None;
        let watcher = notify::recommended_watcher(move |event| {
            let interest = known.lock().unwrap_or_else(PoisonError::into_inner);
            interest.sort_out(event, &report);
            drop(interest);
            if last.is_none_or(|at| at.elapsed() > BATCH_GAP) {
                thread::sleep(BATCH_PAUSE);
            }
            last = Some(Instant::now());
        })?;
        Ok(Self {
            watcher,
            interest,
            watched: BTreeMap::new(),
        })
    }

    /// Follows these files instead of the earlier ones. Returns whether a directory is watched now
    /// that was not before: earlier changes in it were not reported.
    ///
    /// # Errors
    /// When a directory cannot be watched: on Linux their number is limited. A directory that this
    /// user may not read is left out.
    pub fn follow(&mut self, followed: &Followed) -> Result<bool, FollowError> {
        let wanted = Interest::of(followed);
        let mut refused = None;
        let gone: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(dir, recorded)| !wanted.dirs.contains(*dir) || is_another(**recorded, dir))
            .map(|(dir, _)| dir.clone())
            .collect();
        for dir in &gone {
            self.watched.remove(dir);
        }
        let new = wanted.dirs.iter();
        let new: Vec<PathBuf> = new
            .filter(|dir| !self.watched.contains_key(*dir))
            .cloned()
            .collect();
        *self.interest.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        if gone.is_empty() && new.is_empty() {
            return Ok(false);
        }
        // FSEvents has one stream for all directories. Each change of them ends it and begins
        // another, and what happens between the two is not reported: so they change together, and a
        // removal counts as a new directory. Source: notify 8.2's fsevent.rs.
        let mut is_new = cfg!(target_os = "macos") && !gone.is_empty();
        let mut paths = self.watcher.paths_mut();
        for dir in gone {
            // Of a directory that is gone the system has forgotten it already.
            let _ = paths.remove(&dir);
        }
        for dir in new {
            match paths.add(&dir, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    let stamp = Stamp::of(&dir);
                    self.watched.insert(dir, stamp);
                    is_new = true;
                }
                Err(error) if is_absent(&error) => is_new = true, // removed just now: check again
                Err(error) if is_denied(&error) => {}             // nor could its files be read
                Err(error) => refused = Some(error),
            }
        }
        if let Err(error) = paths.commit() {
            self.watched.clear(); // nothing is known of any
            return Err(error.into());
        }
        refused.map_or(Ok(is_new), |error| Err(error.into()))
    }
}

fn is_absent(error: &notify::Error) -> bool {
    matches!(error.kind, notify::ErrorKind::PathNotFound)
}

fn is_denied(error: &notify::Error) -> bool {
    let notify::ErrorKind::Io(error) = &error.kind else {
        return false;
    };
    error.kind() == io::ErrorKind::PermissionDenied
}

fn is_another(recorded: Option<Stamp>, dir: &Path) -> bool {
    match (recorded, Stamp::of(dir)) {
        (Some(recorded), Some(now)) => !recorded.is_same_file(&now),
        (recorded, now) => recorded != now,
    }
}

impl Interest {
    fn of(followed: &Followed) -> Self {
        let mut interest = Self::default();
        for file in &followed.files {
            interest.trace(file);
        }
        for dir in &followed.dirs {
            interest.trace(dir);
            if let Ok(real) = canonicalize(dir) {
                interest.dirs.insert(real.clone());
                interest.listings.insert(real, dir.clone());
            }
        }
        interest
    }

    /// Follows a path through its links, as far as it exists. Every link on the way matters: it may
    /// lead elsewhere one day.
    fn trace(&mut self, target: &Path) {
        let mut path = target.to_owned();
        for _ in 0..LINKS_MAX {
            match self.trace_to_link(target, &path) {
                Some(next) => path = next,
                None => return,
            }
        }
    }

    /// Where the first link leads; `None` where there is none, and the entry is noted.
    fn trace_to_link(&mut self, target: &Path, path: &Path) -> Option<PathBuf> {
        let mut dir = PathBuf::new();
        let mut parts = path.components();
        while let Some(part) = parts.next() {
            if !matches!(part, Component::Normal(_)) {
                dir.push(part);
                continue;
            }
            let entry = dir.join(part);
            let rest = parts.as_path();
            if let Ok(text) = fs::read_link(&entry) {
                self.note(target, &dir, &entry);
                return Some(dir.join(text).join(rest));
            }
            if rest.as_os_str().is_empty() || !entry.is_dir() {
                self.note(target, &dir, &entry);
                return None;
            }
            dir = entry;
        }
        None
    }

    fn note(&mut self, target: &Path, dir: &Path, entry: &Path) {
        // `..` in the text of a link leads away from what it seems to.
        let real = canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let entry = real.join(entry.file_name().unwrap_or_default());
        let targets = self.entries.entry(entry).or_default();
        if !targets.iter().any(|known| known == target) {
            targets.push(target.to_owned());
        }
        self.dirs.insert(real);
    }

    fn sort_out(&self, event: notify::Result<notify::Event>, report: &impl Fn(Touched)) {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            _ => return report(Touched::Unsure),
        };
        let Some(touch) = touch(&event.kind) else {
            return;
        };
        let is_moved = matches!(
            event.kind,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
        );
        for path in &event.paths {
            for target in self.entries.get(path).into_iter().flatten() {
                report(Touched::Path(target.clone(), touch));
            }
            if is_moved && self.dirs.contains(path) {
                report(Touched::Unsure);
            }
            let parent = path.parent();
            let is_entry = is_moved || matches!(event.kind, EventKind::Create(_));
            if let Some(dir) = parent.and_then(|parent| self.listings.get(parent))
                && is_entry
            {
                report(Touched::Path(dir.clone(), Touch::Done));
            }
        }
    }
}

/// What an event means for a file; nothing where it was only read.
fn touch(kind: &EventKind) -> Option<Touch> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Touch::Done),
        EventKind::Access(_) => None,
        EventKind::Create(CreateKind::Folder) => Some(Touch::Done),
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => {
            Some(Touch::Writing)
        }
        _ => Some(Touch::Done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::{Duration, Instant};

    struct Bench {
        dir: tempfile::TempDir,
        follower: Follower,
        reports: Receiver<Touched>,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (report, reports) = channel();
            let follower = Follower::new(move |touched| {
                let _ = report.send(touched);
            });
            Self {
                dir,
                follower: follower.unwrap(),
                reports,
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn follow(&mut self, names: &[&str]) -> bool {
            let files = names.iter().map(|name| self.path(name)).collect();
            let followed = Followed {
                files,
                dirs: vec![],
            };
            self.follower.follow(&followed).unwrap()
        }

        /// Waits until a change of `name` is reported.
        fn expect(&self, name: &str) {
            let end = Instant::now() + Duration::from_secs(10);
            // Only Linux reports that a file was closed.
            let is_wanted = |touched: &Touched| match touched {
                Touched::Path(path, touch) => {
                    *path == self.path(name)
                        && (*touch == Touch::Done || cfg!(not(target_os = "linux")))
                }
                Touched::Unsure => true,
            };
            while let Ok(touched) = self
                .reports
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                if is_wanted(&touched) {
                    return;
                }
            }
            panic!("{name}: no change was reported");
        }
    }

    #[test]
    fn a_file_is_followed_through_every_way_of_writing_it() {
        let mut bench = Bench::new();
        fs::write(bench.path("f"), "0").unwrap();
        assert!(bench.follow(&["f"]), "watched from now on");
        assert!(!bench.follow(&["f"]), "as before");
        fs::write(bench.path("f"), "1").unwrap();
        bench.expect("f");
        fs::write(bench.path("draft"), "2").unwrap();
        fs::rename(bench.path("draft"), bench.path("f")).unwrap();
        bench.expect("f");
        fs::write(bench.path("f"), "3").unwrap();
        bench.expect("f");
        fs::remove_file(bench.path("f")).unwrap();
        bench.expect("f");
        fs::write(bench.path("f"), "4").unwrap();
        bench.expect("f");
    }

    #[test]
    #[cfg_attr(windows, ignore = "hangs under Wine 8; not tried on Windows")]
    fn a_file_is_found_that_comes_with_its_directories() {
        let mut bench = Bench::new();
        bench.follow(&["a/b/f"]);
        fs::create_dir(bench.path("a")).unwrap();
        bench.expect("a/b/f");
        assert!(bench.follow(&["a/b/f"]), "closer");
        fs::create_dir(bench.path("a/b")).unwrap();
        bench.expect("a/b/f");
        bench.follow(&["a/b/f"]);
        fs::write(bench.path("a/b/f"), "1").unwrap();
        bench.expect("a/b/f");
        // The directory goes, and another comes in its place.
        fs::rename(bench.path("a/b"), bench.path("old")).unwrap();
        bench.expect("a/b/f");
        bench.follow(&["a/b/f"]);
        fs::create_dir(bench.path("a/b")).unwrap();
        bench.expect("a/b/f");
        bench.follow(&["a/b/f"]);
        fs::write(bench.path("a/b/f"), "2").unwrap();
        bench.expect("a/b/f");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_followed_behind_links() {
        use std::os::unix::fs::symlink;
        let mut bench = Bench::new();
        fs::create_dir(bench.path("real")).unwrap();
        fs::write(bench.path("real/f"), "1").unwrap();
        symlink("real", bench.path("dir")).unwrap();
        symlink("dir/f", bench.path("link")).unwrap();
        bench.follow(&["link", "dir/f"]);
        fs::write(bench.path("real/f"), "2").unwrap();
        bench.expect("link");
        // A directory's link leads elsewhere.
        fs::create_dir(bench.path("second")).unwrap();
        symlink("second", bench.path("draft")).unwrap();
        fs::rename(bench.path("draft"), bench.path("dir")).unwrap();
        bench.expect("dir/f");
        // The link leads elsewhere from now on.
        fs::remove_file(bench.path("link")).unwrap();
        symlink("other", bench.path("link")).unwrap();
        bench.expect("link");
        bench.follow(&["link"]);
        fs::write(bench.path("other"), "3").unwrap();
        bench.expect("link");
    }

    #[test]
    fn reads_and_other_files_are_not_reported() {
        let mut bench = Bench::new();
        fs::write(bench.path("f"), "1").unwrap();
        bench.follow(&["f"]);
        fs::read(bench.path("f")).unwrap();
        fs::write(bench.path("beside"), "1").unwrap();
        // Changes are reported in the order in which they happened.
        fs::write(bench.path("f"), "2").unwrap();
        let found = bench.reports.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(found, Touched::Path(bench.path("f"), Touch::Writing));
        // Elsewhere one event may stand for the whole write.
        if cfg!(target_os = "linux") {
            bench.expect("f");
        }
        for more in bench.reports.try_iter() {
            let is_of_f = matches!(&more, Touched::Path(path, _) if *path == bench.path("f"));
            assert!(is_of_f && cfg!(not(target_os = "linux")), "{more:?}");
        }
    }

    #[test]
    #[cfg_attr(windows, ignore = "hangs under Wine 8; not tried on Windows")]
    fn new_entries_of_a_listed_directory_are_reported() {
        let mut bench = Bench::new();
        let followed = Followed {
            files: vec![],
            dirs: vec![bench.path("agents")],
        };
        bench.follower.follow(&followed).unwrap();
        fs::create_dir(bench.path("agents")).unwrap();
        bench.expect("agents");
        assert!(bench.follower.follow(&followed).unwrap());
        fs::create_dir(bench.path("agents/ops")).unwrap();
        bench.expect("agents");
    }

    #[cfg(unix)]
    #[test]
    fn a_circle_of_links_ends() {
        let mut bench = Bench::new();
        std::os::unix::fs::symlink("b", bench.path("a")).unwrap();
        std::os::unix::fs::symlink("a", bench.path("b")).unwrap();
        bench.follow(&["a"]);
        fs::remove_file(bench.path("b")).unwrap();
        bench.expect("a");
    }
}
