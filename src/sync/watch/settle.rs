//! Files that other programs are writing: they are read once they are whole, or after a while in any case.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::platform::Touch;

/// A file that nobody has closed counts as written after so long without a change.
const QUIET: Duration = Duration::from_millis(200);
/// How often a file that is not whole is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The longest that anything is put off: a login is to be exported within a second.
const MOST: Duration = Duration::from_millis(700);

/// Which files are being written.
#[derive(Debug, Default)]
pub struct Settling {
    touched: HashMap<PathBuf, Span>,
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
    }

    /// How long to wait before the files are read; nothing when they can be now. `is_whole` says whether what is in a file makes
    /// sense: one that is emptied and then written does not in between.
    pub fn wait(&mut self, now: Instant, is_whole: impl Fn(&Path) -> bool) -> Option<Duration> {
        let since = |at: Instant| now.saturating_duration_since(at);
        self.touched.retain(|path, span| {
            let is_over = span.touch == Touch::Done || since(span.last) >= QUIET;
            since(span.first) < MOST && !(is_over && is_whole(path))
        });
        let left = |span: &Span| {
            let next = match span.touch {
                Touch::Writing => QUIET.saturating_sub(since(span.last)).max(LOOK_EVERY),
                Touch::Done => LOOK_EVERY,
            };
            next.min(MOST.saturating_sub(since(span.first)))
        };
        self.touched.values().map(left).min()
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
        assert_eq!(settling.wait(start, |_| false), None, "nothing was touched");
        settling.note(Path::new(FILE), Touch::Writing, start);
        assert_eq!(settling.wait(start, |_| true), Some(QUIET));
        settling.note(Path::new(FILE), Touch::Done, start + ms(1));
        assert_eq!(settling.wait(start + ms(1), |_| true), None);
    }

    #[test]
    fn an_emptied_file_is_waited_for() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        settling.note(Path::new(FILE), Touch::Done, start);
        assert_eq!(settling.wait(start, |_| false), Some(LOOK_EVERY));
        settling.note(Path::new(FILE), Touch::Writing, start + ms(30));
        assert_eq!(
            settling.wait(start + ms(30), |_| true),
            Some(QUIET),
            "half of it may be whole too"
        );
        settling.note(Path::new(FILE), Touch::Done, start + ms(40));
        assert_eq!(settling.wait(start + ms(40), |_| true), None);
    }

    #[test]
    fn where_nobody_tells_that_it_is_closed_quiet_counts() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        settling.note(Path::new(FILE), Touch::Writing, start);
        assert_eq!(settling.wait(start + ms(150), |_| true), Some(ms(50)));
        assert_eq!(settling.wait(start + QUIET, |_| true), None);
    }

    #[test]
    fn nothing_is_put_off_for_longer_than_it_may() {
        let (mut settling, start) = (Settling::default(), Instant::now());
        for at in (0..700).step_by(10) {
            settling.note(Path::new(FILE), Touch::Writing, start + ms(at));
            let wait = settling.wait(start + ms(at), |_| true).unwrap();
            assert!(ms(at) + wait <= MOST, "{at}: {wait:?}");
        }
        assert_eq!(settling.wait(start + MOST, |_| true), None);
        settling.note(Path::new(FILE), Touch::Done, start);
        settling.note(Path::new("/broken"), Touch::Done, start);
        assert_eq!(
            settling.wait(start + MOST, |_| false),
            None,
            "believed by now"
        );
    }
}
