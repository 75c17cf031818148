//! Times on the command line: `7d`, `2026-01-09`, `2026-01-09 14:30`, RFC 3339; how long something
//! lasts: `365d`, `12h`.

use chrono::{DateTime, Days, Local, NaiveDate, NaiveDateTime, TimeDelta, TimeZone as _};
use clawkeep::internal::domain::{Span, UnixMs};

/// A time as typed: an age, or an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeArg {
    /// So long before now.
    Ago(Span),
    At(UnixMs),
}

impl TimeArg {
    pub(crate) fn resolve(self, now: UnixMs) -> UnixMs {
        match self {
            Self::Ago(span) => now - span,
            Self::At(at) => at,
        }
    }
}

pub(crate) fn span(raw: &str) -> Result<Span, String> {
    Span::parse(raw.trim())
        .ok_or_else(|| "a span is a number and s, m, h, d or w, such as 5m".to_owned())
}

/// Reads how many rows are wanted.
pub(crate) fn limit(raw: &str) -> Result<u64, String> {
    let of_rows = || "it is how many to show at most, such as 20; 0 means all".to_owned();
    raw.trim().parse().map_err(|_| of_rows())
}

/// Reads a time; dates without a zone are in the local one.
pub(crate) fn parse(raw: &str) -> Result<TimeArg, String> {
    let raw = raw.trim();
    let midnight = |days: u64| {
        let day = Local::now()
            .date_naive()
            .checked_sub_days(Days::new(days))?;
        local(day.and_hms_opt(0, 0, 0)?)
    };
    let named = match raw {
        "now" => Some(TimeArg::Ago(Span::default())),
        "today" => midnight(0),
        "yesterday" => midnight(1),
        _ => None,
    };
    if let Some(at) = named {
        return Ok(at);
    }
    if let Some(ago) = Span::parse(raw) {
        return Ok(TimeArg::Ago(ago));
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(raw) {
        return Ok(TimeArg::At(UnixMs::from_ms(at.timestamp_millis())));
    }
    let formats = [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M",
    ];
    let naive = formats
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(raw, format).ok());
    let naive = naive.or_else(|| {
        NaiveDate::parse_from_str(raw, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)
    });
    naive.and_then(local).ok_or_else(|| {
        "a time is a span such as 30m, 12h, 7d, 2w, or now, today, yesterday, or \
            2026-01-09, or 2026-01-09 14:30, or RFC 3339"
            .to_owned()
    })
}

/// An instant of the local clock. One skipped by summer time is as much later as the clock skipped.
fn local(naive: NaiveDateTime) -> Option<TimeArg> {
    let at = |naive: NaiveDateTime| Local.from_local_datetime(&naive).earliest();
    let at = at(naive).or_else(|| at(naive.checked_add_signed(TimeDelta::hours(1))?))?;
    Some(TimeArg::At(UnixMs::from_ms(at.timestamp_millis())))
}

/// Reads the lifetime of a credential as the reference does: a number, also with a fraction, and
/// `ms`, `s`, `m`, `h` or `d`; days if there is no unit.
pub(crate) fn lifetime(raw: &str) -> Result<Span, String> {
    /// What a store's time can be, in milliseconds: the largest number that JavaScript counts
    /// exactly.
    const LONGEST_MS: f64 = ((1_u64 << 53) - 1) as f64;
    let complaint = || "Invalid duration (e.g. 365d, 12h, 30m)".to_owned();
    let raw = raw.trim().to_lowercase();
    let digits = raw.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = raw.split_at(digits.unwrap_or(raw.len()));
    let unit_ms = match unit {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" | "" => 86_400_000.0,
        _ => return Err(complaint()),
    };
    let is_plain = number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.');
    let ms = (number.parse::<f64>().map_err(|_| complaint())? * unit_ms).round();
    if !is_plain || !(1.0..=LONGEST_MS).contains(&ms) {
        return Err(complaint());
    }
    Ok(Span::from_f64(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_instants() {
        assert_eq!(parse("90m"), Ok(TimeArg::Ago(Span::minutes(90))));
        assert_eq!(parse("2w"), Ok(TimeArg::Ago(Span::days(14))));
        let found = parse("2026-01-09T00:32:48Z");
        assert_eq!(found, Ok(TimeArg::At(UnixMs::from_ms(1_767_918_768_000))));
        assert!(matches!(parse("2026-01-09"), Ok(TimeArg::At(_))));
        assert!(matches!(parse("2026-01-09 14:30"), Ok(TimeArg::At(_))));
        for bad in [
            "",
            "7",
            "d",
            "-3d",
            "soon",
            "2026-13-01",
            "99999999999999999d",
            "é",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let found = TimeArg::Ago(Span::from_ms(10)).resolve(UnixMs::from_ms(15));
        assert_eq!(found, UnixMs::from_ms(5));
    }

    #[test]
    fn lifetimes_are_those_of_the_reference() {
        for (raw, ms) in [
            ("365d", 31_536_000_000),
            (" 1.5H ", 5_400_000),
            ("30", 2_592_000_000),
            ("90s", 90_000),
            ("250ms", 250),
        ] {
            assert_eq!(lifetime(raw), Ok(Span::from_ms(ms)), "{raw}");
        }
        for bad in [
            "",
            "d",
            "0",
            "-1d",
            "1w",
            ".5d",
            "1.d",
            "1e3",
            "1 d",
            "9e99d",
            "99999999999999999999d",
            "nan",
            "inf",
        ] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }
}
