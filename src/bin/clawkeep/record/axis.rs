//! Where a time axis has its ticks, and what they say: round times of the reader's zone.

use chrono::{Datelike as _, Days, Months, NaiveDateTime, TimeDelta, TimeZone, Timelike as _};
use clawkeep::internal::domain::{UnixMs, calendar};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) at: UnixMs,
    pub(crate) label: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Parts of a day, in minutes.
    Minutes(u32),
    /// From a Monday on where they make weeks.
    Days(u32),
    /// From a January on.
    Months(u32),
}

/// From fine to coarse; each divides the day, the week or the year, or is made of whole ones.
const STEPS: [Step; 22] = [
    Step::Minutes(1),
    Step::Minutes(5),
    Step::Minutes(15),
    Step::Minutes(30),
    Step::Minutes(60),
    Step::Minutes(120),
    Step::Minutes(180),
    Step::Minutes(360),
    Step::Minutes(720),
    Step::Days(1),
    Step::Days(2),
    Step::Days(4),
    Step::Days(7),
    Step::Days(14),
    Step::Months(1),
    Step::Months(2),
    Step::Months(3),
    Step::Months(6),
    Step::Months(12),
    Step::Months(24),
    Step::Months(60),
    Step::Months(120),
];

/// More than any axis shows: a step that makes more is too fine, and is not followed to its end.
const TICKS_MAX: usize = 64;

/// The most ticks of one step between two times, both included, that `fits` accepts.
pub(crate) fn ticks<Z: TimeZone>(
    zone: &Z,
    from: UnixMs,
    until: UnixMs,
    fits: impl Fn(&[Tick]) -> bool,
) -> Vec<Tick> {
    STEPS
        .iter()
        .filter_map(|step| all(zone, *step, from, until))
        .find(|ticks| fits(ticks))
        .unwrap_or_default()
}

/// Every tick of a step; none where there are too many, or where the calendar ends.
fn all<Z: TimeZone>(zone: &Z, step: Step, from: UnixMs, until: UnixMs) -> Option<Vec<Tick>> {
    let local = |at: UnixMs| calendar(at).map(|at| at.with_timezone(zone).naive_local());
    let (first, last) = (local(from)?, local(until)?);
    let within_a_day = first.date() == last.date();
    let mut at = step.floor(first)?;
    let mut ticks = Vec::new();
    // Clocks set back may make the range's local end come before its last hour.
    while at <= last.checked_add_signed(TimeDelta::hours(2))? {
        // A local time that clocks skip has no instant, and one that they repeat has two.
        if let Some(instant) = zone.from_local_datetime(&at).earliest() {
            let instant = UnixMs::from_ms(instant.timestamp_millis());
            if from <= instant && instant <= until {
                let is_dated = !within_a_day || ticks.is_empty();
                let label = step.label(at, is_dated);
                ticks.push(Tick { at: instant, label });
            }
        }
        if ticks.len() > TICKS_MAX {
            return None;
        }
        at = step.next(at)?;
    }
    Some(ticks)
}

impl Step {
    /// The last round time that is not after this one.
    fn floor(self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        let date = at.date();
        match self {
            Self::Minutes(step) => {
                let minute = at.hour() * 60 + at.minute();
                let minute = minute - minute % step;
                date.and_hms_opt(minute / 60, minute % 60, 0)
            }
            Self::Days(step) => {
                // Day 1 of the common era was a Monday.
                let over = (date.num_days_from_ce() - 1).rem_euclid(i32::try_from(step).ok()?);
                let over = Days::new(u64::try_from(over).ok()?);
                date.checked_sub_days(over)?.and_hms_opt(0, 0, 0)
            }
            Self::Months(step) => {
                let months = date
                    .year()
                    .checked_mul(12)?
                    .checked_add(i32::try_from(date.month0()).ok()?)?;
                let over = months.rem_euclid(i32::try_from(step).ok()?);
                let over = Months::new(u32::try_from(over).ok()?);
                date.with_day(1)?
                    .checked_sub_months(over)?
                    .and_hms_opt(0, 0, 0)
            }
        }
    }

    fn next(self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        match self {
            Self::Minutes(step) => at.checked_add_signed(TimeDelta::minutes(i64::from(step))),
            Self::Days(step) => at.checked_add_days(Days::new(u64::from(step))),
            Self::Months(step) => at.checked_add_months(Months::new(step)),
        }
    }

    /// No more than tells ticks apart: `Nov 24 14:00`, `14:00`, `Nov 24`, `2026-01`, `2026`.
    fn label(self, at: NaiveDateTime, is_dated: bool) -> String {
        let is_midnight = at.hour() == 0 && at.minute() == 0;
        let format = match self {
            Self::Minutes(_) if is_midnight => "%b %d",
            Self::Minutes(_) if is_dated => "%b %d %H:%M",
            Self::Minutes(_) => "%H:%M",
            Self::Days(_) => "%b %d",
            Self::Months(step) if step < 12 => "%Y-%m",
            Self::Months(_) => "%Y",
        };
        at.format(format).to_string()
    }
}

/// The bounds of so many equal parts of a time.
pub(crate) fn equal_parts(from: UnixMs, until: UnixMs, parts: usize) -> Vec<UnixMs> {
    let count = i64::try_from(parts.max(1)).unwrap_or(i64::MAX);
    let length = until.0.saturating_sub(from.0).max(count);
    // Not `length / count` times the number: what is lost in rounding would add up.
    let bound = |n: i64| i128::from(length) * i128::from(n) / i128::from(count);
    (0..=count)
        .map(|n| {
            UnixMs::from_ms(
                from.0
                    .saturating_add(i64::try_from(bound(n)).unwrap_or(i64::MAX)),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, Utc};

    use super::*;

    const HOUR: i64 = 3_600_000;
    /// 2026-11-24 00:00 UTC.
    const NOV_24: i64 = 1_795_478_400_000;

    fn labels(from: i64, until: i64, most: usize) -> Vec<String> {
        let ticks = ticks(
            &Utc,
            UnixMs::from_ms(from),
            UnixMs::from_ms(until),
            |ticks| ticks.len() <= most,
        );
        ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn the_finest_step_that_fits() {
        let from = NOV_24 + 90 * 60_000;
        let found = labels(from, from + 3 * HOUR, 4);
        assert_eq!(found, ["Nov 24 02:00", "03:00", "04:00"]);
        let found = labels(NOV_24 - 3 * HOUR, NOV_24 + 9 * HOUR, 3);
        assert_eq!(found, ["Nov 24", "Nov 24 06:00"]);
        let found = labels(NOV_24, NOV_24 + 72 * HOUR, 5);
        assert_eq!(found, ["Nov 24", "Nov 25", "Nov 26", "Nov 27"]);
        // Mondays.
        let found = labels(NOV_24, NOV_24 + 30 * 24 * HOUR, 5);
        assert_eq!(found, ["Nov 30", "Dec 07", "Dec 14", "Dec 21"]);
        let found = labels(NOV_24, NOV_24 + 200 * 24 * HOUR, 4);
        assert_eq!(found, ["2027-01", "2027-03", "2027-05"]);
        let found = labels(NOV_24, NOV_24 + 2000 * 24 * HOUR, 3);
        assert_eq!(found, ["2028", "2030", "2032"]);
        assert_eq!(labels(NOV_24, NOV_24, 3), ["Nov 24"]);
    }

    #[test]
    fn ticks_are_at_round_times_of_the_zone() {
        let zone = FixedOffset::east_opt(5 * 3600 + 1800);
        let ticks = zone.map(|zone| {
            ticks(
                &zone,
                UnixMs::from_ms(NOV_24),
                UnixMs::from_ms(NOV_24 + 48 * HOUR),
                |ticks| ticks.len() <= 2,
            )
        });
        let ticks = ticks.unwrap_or_default();
        assert_eq!(ticks[0].label, "Nov 25");
        assert_eq!(ticks[0].at, UnixMs::from_ms(NOV_24 + 18 * HOUR + HOUR / 2));
    }

    #[test]
    fn beyond_the_calendar_there_are_none() {
        assert_eq!(labels(i64::MIN, i64::MAX, 9), Vec::<String>::new());
        assert_eq!(labels(NOV_24, i64::MAX, 9), Vec::<String>::new());
        assert_eq!(labels(NOV_24, NOV_24 - 1, 9), Vec::<String>::new());
    }

    #[test]
    fn equal_parts_begin_and_end_where_they_should() {
        let ms = |bounds: Vec<UnixMs>| bounds.iter().map(|bound| bound.0).collect::<Vec<_>>();
        assert_eq!(
            ms(equal_parts(UnixMs::from_ms(10), UnixMs::from_ms(20), 3)),
            [10, 13, 16, 20]
        );
        let found = ms(equal_parts(UnixMs::from_ms(10), UnixMs::from_ms(11), 4));
        assert_eq!(found, [10, 11, 12, 13, 14]);
        assert_eq!(
            ms(equal_parts(UnixMs::from_ms(0), UnixMs::from_ms(5), 0)),
            [0, 5]
        );
    }
}
