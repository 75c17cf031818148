//! Instants in milliseconds since the Unix epoch, the unit of the JSON store.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Number, Value};

/// An instant of our own: whole milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// The instant that many milliseconds after the epoch.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// As the floating-point number JavaScript computes with.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds stay below 2^53 for 285,000 years"
    )]
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// The last whole millisecond not after `ms`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates: a time beyond all clocks stays there"
    )]
    pub fn from_f64(ms: f64) -> Self {
        Self(ms.floor() as i64)
    }

    /// The instant in RFC 3339, UTC, to the second: `2026-01-09T00:32:48Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        calendar(self)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// The instant in RFC 3339, UTC, with its milliseconds: `2026-01-09T00:32:48.000Z`.
    #[must_use]
    pub fn rfc3339_millis(self) -> String {
        calendar(self)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

/// Returns an instant as a part of a file's name, UTC: `20260109T003248Z`.
#[must_use]
pub fn file_stamp(at: UnixMs) -> String {
    let at = calendar(at).unwrap_or_default();
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

/// Returns an instant in the calendar, UTC; `None` for one beyond the calendar.
#[must_use]
pub fn calendar(at: UnixMs) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(at.0)
}

impl From<UnixMs> for Expiry {
    fn from(at: UnixMs) -> Self {
        Self(at.as_f64())
    }
}

/// When a credential ends, as the store has it: finite milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Expiry(f64);

impl Expiry {
    /// Reads the expiry from a JSON number; `None` for anything else.
    #[must_use]
    pub fn from_json(value: Option<&Value>) -> Option<Self> {
        value
            .and_then(Value::as_f64)
            .filter(|ms| ms.is_finite())
            .map(Self)
    }

    /// Creates an expiry from milliseconds; `None` unless finite.
    #[must_use]
    pub fn from_ms(ms: f64) -> Option<Self> {
        ms.is_finite().then_some(Self(ms))
    }

    /// Returns the milliseconds since the epoch.
    #[must_use]
    pub fn ms(self) -> f64 {
        self.0
    }

    /// Returns the milliseconds from `now` until then; below zero for one that has passed.
    #[must_use]
    pub fn left_at(self, now: UnixMs) -> f64 {
        self.0 - now.as_f64()
    }

    /// Whether it has passed at `now`.
    #[must_use]
    pub fn is_over_at(self, now: UnixMs) -> bool {
        self.left_at(now) <= 0.0
    }

    /// Whole milliseconds, rounded down, for the vault's plain column.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, which is right for a column that sorts"
    )]
    pub fn floor_ms(self) -> i64 {
        self.0.floor() as i64
    }
}

/// A number as JavaScript would print it: without a fraction when it is whole.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "checked to be whole and below 2^53"
)]
pub fn json_number(ms: f64) -> Value {
    const MAX_SAFE_INTEGER: f64 = ((1_u64 << 53) - 1) as f64;
    if ms.fract() == 0.0 && ms.abs() <= MAX_SAFE_INTEGER {
        return Value::Number(Number::from(ms as i64));
    }
    Number::from_f64(ms).map_or(Value::Null, Value::Number)
}

/// A credential that ends within this time is *expiring*: 24 hours, in milliseconds.
/// Source: the `status` conformance cases (`warnAfterMs`).
pub const WARN_AFTER_MS: i64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_print_without_a_fraction() {
        assert_eq!(json_number(5.0).to_string(), "5");
        assert_eq!(json_number(-0.5).to_string(), "-0.5");
        assert_eq!(json_number(f64::NAN), Value::Null);
    }

    #[test]
    fn expiry_reads_numbers_only() {
        assert_eq!(Expiry::from_json(Some(&serde_json::json!("5"))), None);
        let found = Expiry::from_json(Some(&serde_json::json!(5.5))).map(Expiry::floor_ms);
        assert_eq!(found, Some(5));
        assert_eq!(Expiry::from_json(None), None);
    }
}
