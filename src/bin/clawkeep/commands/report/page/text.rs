//! Words, numbers and times of the page. What comes from outside passes through here.

use chrono::Local;
use clawkeep::internal::audit::ProfileRef;
use clawkeep::internal::domain::{Span, UnixMs, calendar, plural};
use maud::{Markup, html};

use crate::record::names::{cut_middle, name};
use crate::terminal::text::{local_minute, one_line};

/// Characters of an id, or of a program's name, that are shown.
const SHOWN_MAX: usize = 64;
/// Characters of an id that a tooltip has.
const TITLE_MAX: usize = 160;

/// Escapes a text from outside: on one line, cut to the length of a cell.
pub(super) fn outside(text: &str) -> String {
    cut_middle(&one_line(text), SHOWN_MAX, '…')
}

/// A profile's name as plain text.
pub(super) fn plain_name(whose: &ProfileRef) -> String {
    cut_middle(&name(whose), SHOWN_MAX, '…')
}

/// A profile's name, to be broken after its parts where it must be. Its own direction of writing
/// ends with it.
pub(super) fn shown_name(whose: &ProfileRef) -> Markup {
    breakable(&name(whose))
}

/// An id without its agent, as [`shown_name`] shows it.
pub(super) fn shown_id(id: &str) -> Markup {
    breakable(&one_line(id))
}

fn breakable(full: &str) -> Markup {
    let shown = cut_middle(full, SHOWN_MAX, '…');
    let title = (shown != full).then(|| cut_middle(full, TITLE_MAX, '…'));
    html! { bdi.id title=[title] {
        @for part in shown.split_inclusive(['/', ':', '@', '.', '+', '_']) { (part) wbr; }
    } }
}

/// A time to the minute, in the reader's zone.
pub(super) fn when(at: UnixMs) -> Markup {
    html! { time datetime=[calendar(at).map(|_| at.rfc3339())] { (local_minute(at)) } }
}

/// A time, and how far it is from now.
pub(super) fn when_from(at: UnixMs, now: UnixMs) -> Markup {
    html! { span.one { (when(at)) " " span.far { (far(at, now)) } } }
}

/// `in 3h`, `5d ago`, `now` within a minute.
pub(super) fn far(at: UnixMs, now: UnixMs) -> String {
    let ahead = at - now;
    if ahead.abs() < Span::minutes(1) {
        return "now".to_owned();
    }
    ahead.from_now()
}

/// The cell for a missing value.
pub(super) fn none() -> Markup {
    html! { span.none { "–" } }
}

/// A number with its thousands apart.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count of things, its thousands apart: `1 use`, `2,000 uses`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{} {}", number(count), plural(count, noun))
}

/// A part of a whole in hundredths of a per cent, 0 to 10,000.
pub(super) fn share(part: u64, whole: u64) -> u32 {
    let share = u128::from(part.min(whole)) * 10_000 / u128::from(whole.max(1));
    u32::try_from(share).unwrap_or(10_000)
}

/// Hundredths of a per cent as an SVG or CSS length: `12.5%`.
pub(super) fn percent(hundredths: u32) -> String {
    match (hundredths / 100, hundredths % 100) {
        (whole, 0) => format!("{whole}%"),
        (whole, rest) if rest % 10 == 0 => format!("{whole}.{}%", rest / 10),
        (whole, rest) => format!("{whole}.{rest:02}%"),
    }
}

/// A share as people read it: `0%`, `97%`, `100%`; neither end is claimed by rounding.
pub(super) fn rate(part: u64, whole: u64) -> String {
    let share = share(part, whole);
    let rounded = (share + 50) / 100;
    match rounded {
        100 if part < whole => "99%".to_owned(),
        0 if part > 0 => "1%".to_owned(),
        rounded => format!("{rounded}%"),
    }
}

/// A bar of that share, beside the number that it shows.
pub(super) fn bar(hundredths: u32, class: &str) -> Markup {
    html! {
        svg.bar width="64" height="8" aria-hidden="true" {
            rect.track width="100%" height="8" {}
            rect class=(class) width=(percent(hundredths)) height="8" {}
        }
    }
}

/// The zone of the times, by its distance from UTC; also the earlier one where clocks have changed.
pub(super) fn zone(since: UnixMs, now: UnixMs) -> String {
    let offset = |at: UnixMs| {
        calendar(at).map(|at| format!("UTC{}", at.with_timezone(&Local).format("%:z")))
    };
    match (offset(since), offset(now)) {
        (Some(then), Some(now)) if then != now => format!("{now}; at the beginning {then}"),
        (_, Some(now)) => now,
        _ => "UTC".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(counted(1, "use"), "1 use");
        assert_eq!(counted(1_000, "use"), "1,000 uses");
        assert_eq!(rate(999, 1_000), "99%");
        assert_eq!(rate(1, 1_000), "1%");
        assert_eq!(rate(0, 0), "0%");
        assert_eq!(rate(3, 3), "100%");
    }

    #[test]
    fn lengths_stay_within_the_drawing() {
        assert_eq!(percent(share(1, 8)), "12.5%");
        assert_eq!(percent(share(1, 3)), "33.33%");
        assert_eq!(percent(share(9, 3)), "100%");
        assert_eq!(percent(share(u64::MAX, u64::MAX)), "100%");
        assert_eq!(percent(5), "0.05%");
    }

    #[test]
    fn distances_in_time() {
        let hour = 3_600_000;
        assert_eq!(far(UnixMs::from_ms(3 * hour), UnixMs::from_ms(0)), "in 3h");
        assert_eq!(
            far(UnixMs::from_ms(0), UnixMs::from_ms(72 * hour)),
            "3d ago"
        );
        assert_eq!(
            far(UnixMs::from_ms(hour), UnixMs::from_ms(hour + 59_999)),
            "now"
        );
        let found = far(UnixMs::from_ms(i64::MIN), UnixMs::from_ms(i64::MAX));
        assert_eq!(found, far(UnixMs::from_ms(i64::MIN), UnixMs::from_ms(0)));
    }
}
