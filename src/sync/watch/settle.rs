//! Files that other programs are writing: they are read once they are whole, and everything else is
//! read without them after a while.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::platform::Touch;

/// A file that no program has closed counts as written after this long without a change.
const QUIET: Duration = Duration::from_millis(200);
/// The pause between two checks of a file that is not whole.
const CHECK_EVERY: Duration = Duration::from_millis(50);
/// The longest time that everything else waits: a login is to be exported within a second.
const LONGEST_WAIT: Duration = Duration::from_millis(700);
/// A file that nobody changes counts as complete after this long, whatever is in it.
const PARTIAL_WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// A file that stays gone counts as removed after this long: a logout is to be followed within two
/// seconds, and a file that is replaced is gone for some milliseconds.
const REMOVED_TIMEOUT: Duration = Duration::from_secs(1);
/// A file that keeps changing is read after this long in any case.
const KEPT_CHANGING_TIMEOUT: Duration = Duration::from_secs(30);

/// What is in a file that was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The file makes sense as it is.
    Whole,
    /// The file does not make sense yet: one that is emptied and then written does not in between.
    Partial,
    /// There is no file, or no login in it any more.
    Gone,
}

/// Which files are being written.
#[derive(Debug, Default)]
pub struct Settling {
    touched: HashMap<PathBuf, Span>,
    /// Files that make no sense and have not changed for so long that they count as complete.
    timed_out: HashSet<PathBuf>,
    /// Since when everything else waits for them.
    since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    first: Instant,
    last: Instant,
    touch: Touch,
}

impl Settling {
    /// Notes that something happened to a file.
    pub fn note(&mut self, path: &Path, touch: Touch, now: Instant) {
        let span = self.touched.entry(path.to_owned()).or_insert(Span {
            first: now,
            last: now,
            touch,
        });
        span.last = now;
        span.touch = touch;
        self.timed_out.remove(path);
        self.since.get_or_insert(now);
    }

    /// How long to wait before files are read; nothing when they can be now, all but those that are
    /// [held](Self::held). `content` says what is in a file.
    pub fn wait(&mut self, now: Instant, content: impl Fn(&Path) -> Content) -> Option<Duration> {
        let since = |at: Instant| now.saturating_duration_since(at);
        let timed_out = &mut self.timed_out;
        self.touched.retain(|path, span| {
            let is_quiet = since(span.last) >= QUIET;
            let is_over = span.touch == Touch::Done || is_quiet;
            let content = content(path);
            let patience = match content {
                Content::Gone => REMOVED_TIMEOUT,
                Content::Whole | Content::Partial => PARTIAL_WRITE_TIMEOUT,
            };
            let is_unchanged_long = is_quiet && since(span.first) >= patience;
            if is_over && content == Content::Whole {
                return false;
            }
            if is_unchanged_long {
                timed_out.insert(path.clone());
            }
            !is_unchanged_long && since(span.first) < KEPT_CHANGING_TIMEOUT
        });
        let waited = self.since.map_or(Duration::ZERO, since);
        if self.touched.is_empty() || waited >= LONGEST_WAIT {
            return None;
        }
        let left = |span: &Span| match span.touch {
            Touch::Writing => QUIET.saturating_sub(since(span.last)).max(CHECK_EVERY),
            Touch::Done => CHECK_EVERY,
        };
        let next = self.touched.values().map(left).min();
        next.map(|next| next.min(LONGEST_WAIT.saturating_sub(waited)))
    }

    /// Everything but what is held was read: what is held may be waited for anew.
    pub fn read(&mut self, now: Instant) {
        self.since = (!self.touched.is_empty()).then_some(now);
    }

    /// Whether a file that makes no sense counts as complete, since nobody has changed it for long.
    #[must_use]
    pub fn is_complete(&self, path: &Path) -> bool {
        self.timed_out.contains(path)
    }

    /// The files that are still being written.
    #[must_use]
    pub fn held(&self) -> HashSet<PathBuf> {
        self.touched.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/f";

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_file_that_is_closed_and_whole_is_read_at_once() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        let found = settling.wait(start, |_| Content::Partial);
        assert_eq!(found, None, "nothing was touched");
        settling.note(Path::new(FILE), Touch::Writing, start);
        assert_eq!(settling.wait(start, |_| Content::Whole), Some(QUIET));
        settling.note(Path::new(FILE), Touch::Done, start + ms(1));
        assert_eq!(settling.wait(start + ms(1), |_| Content::Whole), None);
    }

    #[test]
    fn an_emptied_file_is_waited_for() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        settling.note(Path::new(FILE), Touch::Done, start);
        let found = settling.wait(start, |_| Content::Partial);
        assert_eq!(found, Some(CHECK_EVERY));
        settling.note(Path::new(FILE), Touch::Writing, start + ms(30));
        let found = settling.wait(start + ms(30), |_| Content::Whole);
        assert_eq!(found, Some(QUIET), "half of it may be whole too");
        settling.note(Path::new(FILE), Touch::Done, start + ms(40));
        assert_eq!(settling.wait(start + ms(40), |_| Content::Whole), None);
    }

    #[test]
    fn where_nobody_tells_that_it_is_closed_quiet_counts() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        settling.note(Path::new(FILE), Touch::Writing, start);
        let found = settling.wait(start + ms(150), |_| Content::Whole);
        assert_eq!(found, Some(ms(50)));
        assert_eq!(settling.wait(start + QUIET, |_| Content::Whole), None);
    }

    #[test]
    fn nothing_else_is_put_off_for_longer_than_it_may() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        let mut passes = Vec::new();
        for at in (0..3000).step_by(10) {
            let now = start + ms(at);
            // Two that are written without a pause, the one beginning later than the other.
            settling.note(Path::new(FILE), Touch::Writing, now);
            if at >= 350 {
                settling.note(Path::new("/other"), Touch::Writing, now);
            }
            match settling.wait(now, |_| Content::Whole) {
                Some(wait) => assert!(wait <= LONGEST_WAIT, "{at}: {wait:?}"),
                None => {
                    assert!(settling.held().contains(Path::new(FILE)), "it is left out");
                    passes.push(at);
                    settling.read(now);
                }
            }
        }
        assert_eq!(passes, [700, 1400, 2100, 2800]);
    }

    #[test]
    fn what_stays_broken_is_unchanged_long_in_the_end() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        settling.note(Path::new(FILE), Touch::Done, start);
        let found = settling.wait(start + LONGEST_WAIT, |_| Content::Partial);
        assert_eq!(found, None);
        assert_eq!(settling.held().len(), 1);
        settling.read(start + LONGEST_WAIT);
        assert!(
            settling
                .wait(start + LONGEST_WAIT + ms(1), |_| Content::Partial)
                .is_some()
        );
        let found = settling.wait(start + PARTIAL_WRITE_TIMEOUT, |_| Content::Partial);
        assert_eq!(found, None);
        assert_eq!(settling.held().len(), 0);
        // A file that keeps changing is read all the same, from time to time.
        settling.note(Path::new(FILE), Touch::Writing, start);
        settling.note(
            Path::new(FILE),
            Touch::Writing,
            start + KEPT_CHANGING_TIMEOUT,
        );
        settling.wait(start + KEPT_CHANGING_TIMEOUT, |_| Content::Partial);
        assert_eq!(settling.held().len(), 0);
    }
}
