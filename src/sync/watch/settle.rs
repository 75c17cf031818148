//! Files that other programs are writing: they are read once they are whole, everything else without them after a while.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::platform::Touch;

/// A file that nobody has closed counts as written after so long without a change.
const QUIET: Duration = Duration::from_millis(200);
/// How often a file that is not whole is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The longest that everything else is put off: a login is to be exported within a second.
const MOST: Duration = Duration::from_millis(700);
/// A file that is left alone is believed after so long, whatever is in it.
const BELIEVED: Duration = Duration::from_secs(2);
/// And one that is gone: a logout is to be followed within two seconds, and a file that is replaced
/// is gone for some milliseconds.
const GONE: Duration = Duration::from_secs(1);
/// And one that is not, after so long: who looks at it then may wait in vain.
const FOR_EVER: Duration = Duration::from_secs(30);

/// What is in a file that was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// It makes sense.
    Whole,
    /// It does not yet: one that is emptied and then written does not in between.
    Partial,
    /// There is no file, or no login in it any more.
    Gone,
}

/// Which files are being written.
#[derive(Debug, Default)]
pub struct Settling {
    touched: HashMap<PathBuf, Span>,
    /// Files that make no sense, and have been left alone for so long that they are meant to be so.
    believed: HashSet<PathBuf>,
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
    /// Something happened to a file.
    pub fn note(&mut self, path: &Path, touch: Touch, now: Instant) {
        let span = self.touched.entry(path.to_owned()).or_insert(Span {
            first: now,
            last: now,
            touch,
        });
        span.last = now;
        span.touch = touch;
        self.believed.remove(path);
        self.since.get_or_insert(now);
    }

    /// How long to wait before files are read; nothing when they can be now, all but those that are
    /// [held](Self::held). `content` says what is in a file.
    pub fn wait(&mut self, now: Instant, content: impl Fn(&Path) -> Content) -> Option<Duration> {
        let since = |at: Instant| now.saturating_duration_since(at);
        let believed = &mut self.believed;
        self.touched.retain(|path, span| {
            let is_quiet = since(span.last) >= QUIET;
            let is_over = span.touch == Touch::Done || is_quiet;
            let content = content(path);
            let patience = match content {
                Content::Gone => GONE,
                Content::Whole | Content::Partial => BELIEVED,
            };
            let is_believed = is_quiet && since(span.first) >= patience;
            if is_over && content == Content::Whole {
                return false;
            }
            if is_believed {
                believed.insert(path.clone());
            }
            !is_believed && since(span.first) < FOR_EVER
        });
        let waited = self.since.map_or(Duration::ZERO, since);
        if self.touched.is_empty() || waited >= MOST {
            return None;
        }
        let left = |span: &Span| match span.touch {
            Touch::Writing => QUIET.saturating_sub(since(span.last)).max(LOOK_EVERY),
            Touch::Done => LOOK_EVERY,
        };
        let next = self.touched.values().map(left).min();
        next.map(|next| next.min(MOST.saturating_sub(waited)))
    }

    /// Everything but what is held was read: what is held may be waited for anew.
    pub fn read(&mut self, now: Instant) {
        self.since = (!self.touched.is_empty()).then_some(now);
    }

    /// Whether a file that makes no sense is meant to be so.
    #[must_use]
    pub fn is_believed(&self, path: &Path) -> bool {
        self.believed.contains(path)
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
        assert_eq!(
            settling.wait(start, |_| Content::Partial),
            None,
            "nothing was touched"
        );
        settling.note(Path::new(FILE), Touch::Writing, start);
        assert_eq!(settling.wait(start, |_| Content::Whole), Some(QUIET));
        settling.note(Path::new(FILE), Touch::Done, start + ms(1));
        assert_eq!(settling.wait(start + ms(1), |_| Content::Whole), None);
    }

    #[test]
    fn an_emptied_file_is_waited_for() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        settling.note(Path::new(FILE), Touch::Done, start);
        assert_eq!(settling.wait(start, |_| Content::Partial), Some(LOOK_EVERY));
        settling.note(Path::new(FILE), Touch::Writing, start + ms(30));
        assert_eq!(
            settling.wait(start + ms(30), |_| Content::Whole),
            Some(QUIET),
            "half of it may be whole too"
        );
        settling.note(Path::new(FILE), Touch::Done, start + ms(40));
        assert_eq!(settling.wait(start + ms(40), |_| Content::Whole), None);
    }

    #[test]
    fn where_nobody_tells_that_it_is_closed_quiet_counts() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        settling.note(Path::new(FILE), Touch::Writing, start);
        assert_eq!(
            settling.wait(start + ms(150), |_| Content::Whole),
            Some(ms(50))
        );
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
                Some(wait) => assert!(wait <= MOST, "{at}: {wait:?}"),
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
    fn what_stays_broken_is_believed_in_the_end() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        settling.note(Path::new(FILE), Touch::Done, start);
        assert_eq!(settling.wait(start + MOST, |_| Content::Partial), None);
        assert_eq!(settling.held().len(), 1);
        settling.read(start + MOST);
        assert!(
            settling
                .wait(start + MOST + ms(1), |_| Content::Partial)
                .is_some()
        );
        assert_eq!(settling.wait(start + BELIEVED, |_| Content::Partial), None);
        assert_eq!(settling.held().len(), 0);
        // One that is written for ever is looked at all the same, from time to time.
        settling.note(Path::new(FILE), Touch::Writing, start);
        settling.note(Path::new(FILE), Touch::Writing, start + FOR_EVER);
        settling.wait(start + FOR_EVER, |_| Content::Partial);
        assert_eq!(settling.held().len(), 0);
    }
}
