//! Spans of time: typed as `5m`, shown as `5m` or `5 minutes`.

use std::ops::{Add, Neg, Sub};

use super::text::counted;
use super::time::UnixMs;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A span of time in whole milliseconds; below zero for one that lies in the past. Sums saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(i64);

impl Span {
    /// A span of so many milliseconds.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// A span of so many minutes.
    #[must_use]
    pub const fn minutes(count: i64) -> Self {
        Self(count * MINUTE)
    }

    /// A span of so many hours.
    #[must_use]
    pub const fn hours(count: i64) -> Self {
        Self(count * HOUR)
    }

    /// A span of so many days of 24 hours.
    #[must_use]
    pub const fn days(count: i64) -> Self {
        Self(count * DAY)
    }

    /// The whole milliseconds of a number of JavaScript's. What is not zero stays at least one.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates: a span beyond all clocks stays there"
    )]
    pub fn from_f64(ms: f64) -> Self {
        if ms != 0.0 && ms.abs() < 1.0 {
            return Self(ms.signum() as i64);
        }
        Self(ms as i64)
    }

    /// Returns the whole milliseconds.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Reads a span as it is typed: a whole number and `s`, `m`, `h`, `d` or `w`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let unit = match text.chars().last()? {
            's' => 1_000,
            'm' => MINUTE,
            'h' => HOUR,
            'd' => DAY,
            'w' => 7 * DAY,
            _ => return None,
        };
        let count: i64 = text.get(..text.len() - 1)?.parse().ok()?;
        count.checked_mul(unit).filter(|_| count >= 0).map(Self)
    }

    /// Whether it lies ahead: it is longer than nothing.
    #[must_use]
    pub(crate) const fn is_ahead(self) -> bool {
        self.0 > 0
    }

    /// Returns its length: without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// The span in short form: `0m`, `12m`, `31h`, `5d`. Rounded, at least a minute while there is
    /// any; minutes below an hour, hours below two days.
    #[must_use]
    pub fn short(self) -> String {
        if !self.is_ahead() {
            return "0m".to_owned();
        }
        let (count, unit) = self.rounded();
        format!("{count}{}", &unit[..1])
    }

    /// The length in words, rounded as [`Self::short`] is: `12 minutes`, `1 hour`, `5 days`.
    #[must_use]
    pub fn long(self) -> String {
        let (count, unit) = self.rounded();
        counted(count, unit)
    }

    /// The time from now: `in 3h`, `5d ago`, `just now` for half a minute.
    #[must_use]
    pub fn from_now(self) -> String {
        match self.is_ahead() {
            true => format!("in {}", self.short()),
            false => self.ago(&self.abs().short()),
        }
    }

    /// The time since then in words: `5 days ago`, `just now` for half a minute.
    #[cfg(any(feature = "alerts", test))]
    #[must_use]
    pub(crate) fn long_ago(self) -> String {
        self.ago(&self.long())
    }

    fn ago(self, length: &str) -> String {
        match self.abs().0 < MINUTE / 2 {
            true => "just now".to_owned(),
            false => format!("{length} ago"),
        }
    }

    /// When a credential expires that has this lifetime left: `expires in 3h`, `expired 5d ago`.
    #[must_use]
    pub fn expiry(self) -> String {
        let verb = if self.is_ahead() {
            "expires"
        } else {
            "expired"
        };
        format!("{verb} {}", self.from_now())
    }

    /// The length in the unit that is shown, at least one of it.
    fn rounded(self) -> (i64, &'static str) {
        let parts = |whole: i64, part: i64| whole.saturating_add(part / 2) / part;
        let minutes = parts(self.abs().0, MINUTE).max(1);
        let hours = parts(minutes, 60);
        if minutes < 60 {
            (minutes, "minute")
        } else if hours < 48 {
            (hours, "hour")
        } else {
            (parts(hours, 24), "day")
        }
    }
}

impl Neg for Span {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Add<Span> for UnixMs {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for UnixMs {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Sub for UnixMs {
    type Output = Span;

    fn sub(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_rounded() {
        for (ms, short, long) in [
            (-1.0, "0m", "1 minute"),
            (0.0, "0m", "1 minute"),
            (0.5, "1m", "1 minute"),
            (89_999.9, "1m", "1 minute"),
            (90_000.0, "2m", "2 minutes"),
            (59.4 * 60_000.0, "59m", "59 minutes"),
            (59.5 * 60_000.0, "1h", "1 hour"),
            (47.4 * 3_600_000.0, "47h", "47 hours"),
            (47.5 * 3_600_000.0, "2d", "2 days"),
            (60.0 * 3_600_000.0, "3d", "3 days"),
            (f64::MAX, "106751991167d", "106751991167 days"),
            (-3_600_000.0, "0m", "1 hour"),
            (f64::MIN, "0m", "106751991167 days"),
        ] {
            let span = Span::from_f64(ms);
            assert_eq!(
                (&*span.short(), &*span.long()),
                (short, long),
                "{ms} milliseconds"
            );
        }
    }

    #[test]
    fn a_time_is_ahead_or_past() {
        let epoch = UnixMs(0);
        assert_eq!((epoch + Span::hours(3) - epoch).from_now(), "in 3h");
        assert_eq!((epoch - Span::days(3) - epoch).from_now(), "3d ago");
        for (ms, since, long) in [
            (0, "expired just now", "just now"),
            (1, "expired just now", "just now"),
            (29_999, "expired just now", "just now"),
            (30_000, "expired 1m ago", "1 minute ago"),
            (89_999, "expired 1m ago", "1 minute ago"),
            (90_000, "expired 2m ago", "2 minutes ago"),
        ] {
            let span = Span::from_ms(-ms);
            assert_eq!((&*span.expiry(), &*span.long_ago()), (since, long), "{ms}");
        }
        assert_eq!(Span::from_ms(1).expiry(), "expires in 1m");
        assert_eq!(Span::minutes(5).expiry(), "expires in 5m");
        assert_eq!(UnixMs(i64::MIN) - UnixMs(i64::MAX), Span(i64::MIN));
    }
}
