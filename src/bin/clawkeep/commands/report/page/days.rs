//! Use per day: stacked columns, a colour a profile. The table of uses has the same in numbers.

use chrono::NaiveDate;
use clawkeep::internal::audit::ProfileRef;
use maud::{Markup, html};

use super::facts::DailyUse;
use super::text::{counted, number, outside, percent, plain_name};

/// Profiles with a colour of their own; the others share one.
const SERIES_MAX: usize = 8;
/// Columns of the drawing: with more of them none is wide enough, and days are put together.
const COLUMNS_MAX: usize = 92;
/// Days that are put together, from fewer to more: a day, a week, four weeks, a year of weeks.
const GROUPS: [usize; 4] = [1, 7, 28, 364];
/// Labels below the columns; where the page is narrow every other one is hidden.
const LABELS_MAX: usize = 8;
/// Height of the drawing, in pixels.
const HEIGHT: u64 = 168;

struct Columns {
    /// How many days each is of.
    group: usize,
    /// The first day of each.
    days: Vec<String>,
    /// From the bottom up; the others, where there are any, last.
    series: Vec<Series>,
    /// The count at the top of the drawing.
    top: u64,
}

struct Series {
    name: String,
    total: u64,
    counts: Vec<u64>,
}

impl Columns {
    /// None where nothing was used.
    fn new(use_: &DailyUse) -> Option<Self> {
        let fits = |group: &&usize| use_.days.len().div_ceil(**group) <= COLUMNS_MAX;
        let group = GROUPS.iter().find(fits).copied().unwrap_or(364);
        let columns = use_.days.len().div_ceil(group);
        let series = series(use_, group, columns);
        let sum = |column: usize| {
            let counts = series.iter().filter_map(|series| series.counts.get(column));
            counts.fold(0_u64, |sum, count| sum.saturating_add(*count))
        };
        let highest = (0..columns).map(sum).max().filter(|highest| *highest > 0)?;
        Some(Self {
            group,
            days: use_.days.iter().step_by(group).cloned().collect(),
            series,
            top: round_above(highest),
        })
    }

    fn unit(&self) -> &'static str {
        match self.group {
            1 => "day",
            7 => "week",
            28 => "four weeks",
            _ => "52 weeks",
        }
    }

    /// How wide a few columns may become.
    fn width(&self) -> Option<String> {
        let columns = self.days.len();
        (columns < 12).then(|| format!("max-width:{}px", 60 + 100 * columns))
    }

    /// How high so many uses are, in pixels.
    fn height(&self, count: u64) -> u64 {
        let height = u128::from(count) * u128::from(HEIGHT) / u128::from(self.top.max(1));
        u64::try_from(height).unwrap_or(HEIGHT).min(HEIGHT)
    }
}

/// The profiles that were used, the most used first; those that have no colour of their own as one.
fn series(use_: &DailyUse, group: usize, columns: usize) -> Vec<Series> {
    let total = |counts: &[u64]| {
        counts
            .iter()
            .fold(0_u64, |sum, count| sum.saturating_add(*count))
    };
    let mut ranked: Vec<(&ProfileRef, &[u64], u64)> = use_
        .series
        .iter()
        .map(|(whose, counts)| (whose, counts.as_slice(), total(counts)))
        .filter(|(_, _, total)| *total > 0)
        .collect();
    ranked.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(b.0)));
    // A colour for the others would tell less of a single one than its own.
    let own = if ranked.len() == SERIES_MAX + 1 {
        ranked.len()
    } else {
        SERIES_MAX
    };
    let (own, others) = ranked.split_at(ranked.len().min(own));
    let mut all: Vec<Series> = own
        .iter()
        .map(|(whose, counts, total)| Series {
            name: plain_name(whose),
            total: *total,
            counts: grouped(&[*counts], group, columns),
        })
        .collect();
    if !others.is_empty() {
        let counts: Vec<&[u64]> = others.iter().map(|(_, counts, _)| *counts).collect();
        let counts = grouped(&counts, group, columns);
        all.push(Series {
            name: format!("{} others", others.len()),
            total: total(&counts),
            counts,
        });
    }
    all
}

fn grouped(all: &[&[u64]], group: usize, columns: usize) -> Vec<u64> {
    let mut sums = vec![0_u64; columns];
    for counts in all {
        for (sum, days) in sums.iter_mut().zip(counts.chunks(group)) {
            *sum = days
                .iter()
                .fold(*sum, |sum, count| sum.saturating_add(*count));
        }
    }
    sums
}

/// The next of 4, 6, 8, 10, 12, 16, 20, 40, 60, …: each has four round parts or two.
fn round_above(count: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for factor in [4, 6, 8, 10, 12, 16, 20] {
            let round = power.saturating_mul(factor);
            if round >= count {
                return round;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// The drawing with its legend; a word where there is nothing to draw.
pub(super) fn drawing(use_: &DailyUse) -> Markup {
    html! {
        @match Columns::new(use_) {
            None => p.empty {
                "No use was recorded in this time. The gateway's own record of uses is imported by "
                code { "clawkeep sync" } "."
            },
            Some(columns) => figure {
                figcaption { "Uses per " (columns.unit()) }
                div.days style=[columns.width()] { (scale(&columns)) (plot(&columns)) }
                ul.legend {
                    @for (place, series) in columns.series.iter().enumerate() {
                        li { span class={ "swatch s" (place) } {} " " bdi { (series.name) } " "
                            span.far { (number(series.total)) } }
                    }
                }
            },
        }
    }
}

/// Lines of the drawing: how many uses, and how far from the top in pixels.
fn lines(columns: &Columns) -> impl Iterator<Item = (u64, u64)> {
    let parts = if columns.top.is_multiple_of(4) { 4 } else { 2 };
    let top = columns.top;
    (0..=parts).map(move |part| (top / parts * part, HEIGHT - HEIGHT * part / parts))
}

fn scale(columns: &Columns) -> Markup {
    let widest = number(columns.top).len() * 8 + 8;
    html! {
        svg.scale width=(widest) height=(HEIGHT + 34) aria-hidden="true" {
            @for (count, y) in lines(columns) {
                text x=(widest - 8) y=(y + 14) text-anchor="end" { (number(count)) }
            }
        }
    }
}

fn plot(columns: &Columns) -> Markup {
    let total = columns
        .series
        .iter()
        .fold(0_u64, |sum, series| sum.saturating_add(series.total));
    let label = format!(
        "{} in {}",
        counted(total, "use"),
        counted(columns.days.len() as u64, columns.unit())
    );
    html! {
        svg.plot width="100%" height=(HEIGHT + 34) role="img" aria-label=(label) {
            @for (_, y) in lines(columns) {
                line.grid x1="0" x2="100%" y1=(y + 10) y2=(y + 10) {}
            }
            (labels(columns))
            // Stretched as a whole: columns are rectangles at any width.
            svg viewBox={ "0 0 " (columns.days.len() * 10) " " (HEIGHT) }
                preserveAspectRatio="none" width="100%" height=(HEIGHT) y="10" {
                (stacks(columns))
            }
        }
    }
}

/// The columns' parts, a group a profile.
fn stacks(columns: &Columns) -> Markup {
    let mut base = vec![0_u64; columns.days.len()];
    html! {
        @for (place, series) in columns.series.iter().enumerate() {
            g class={ "s" (place) } {
                @for (column, count) in series.counts.iter().enumerate().filter(|(_,
                    count)| **count > 0) {
                    @let (from, until) = raise(&mut base, column, *count);
                    @let (bottom, top) = (columns.height(from),
                        columns.height(until).max(columns.height(from) + 1));
                    rect x=(column * 10 + 1) y=(HEIGHT.saturating_sub(top)) height=(top - bottom) {
                        title { (column_name(columns, column)) ": " (series.name) ", "
                            (counted(*count, "use")) }
                    }
                }
            }
        }
    }
}

/// Puts a count on top of a column; where it begins and ends.
fn raise(base: &mut [u64], column: usize, count: u64) -> (u64, u64) {
    match base.get_mut(column) {
        Some(base) => {
            let from = *base;
            *base = from.saturating_add(count);
            (from, *base)
        }
        None => (0, 0),
    }
}

fn labels(columns: &Columns) -> Markup {
    let count = columns.days.len();
    let every = count.div_ceil(LABELS_MAX).max(1);
    let is_dense = count.div_ceil(every) > LABELS_MAX / 2;
    html! {
        @for (place, column) in (0..count).step_by(every).enumerate() {
            @let middle = u32::try_from((2 * column + 1) * 5_000 / count).unwrap_or(0);
            @let anchor = match middle { 0..=500 => "start", 9_500.. => "end", _ => "middle" };
            // A word set from its start begins where its column does.
            @let x = match anchor {
                "start" => u32::try_from(column * 10_000 / count).unwrap_or(0),
                _ => middle,
            };
            text.odd[is_dense && place % 2 == 1] x=(percent(x)) y=(HEIGHT + 28)
                text-anchor=(anchor) {
                (short_day(columns.days.get(column)))
            }
        }
    }
}

fn column_name(columns: &Columns, column: usize) -> String {
    let day = short_day(columns.days.get(column));
    match columns.group {
        1 => day,
        _ => format!("{} from {day}", columns.unit()),
    }
}

/// `2026-11-24` as `Nov 24`; what is no day as it is.
fn short_day(day: Option<&String>) -> String {
    let day = day.map_or("", String::as_str);
    match NaiveDate::parse_from_str(day, "%Y-%m-%d") {
        Ok(date) => date.format("%b %d").to_string(),
        Err(_) => outside(day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn use_of(days: usize, profiles: usize) -> DailyUse {
        let day = |number: usize| format!("day {number}");
        let whose = |number: usize| ProfileRef {
            agent: None,
            id: format!("p{number:02}").into(),
        };
        DailyUse {
            days: (0..days).map(day).collect(),
            series: (0..profiles)
                .map(|number| (whose(number), vec![number as u64; days]))
                .collect(),
        }
    }

    #[test]
    fn the_most_used_have_a_colour_of_their_own() {
        let columns = Columns::new(&use_of(3, 20));
        let names: Vec<String> = columns
            .iter()
            .flat_map(|columns| &columns.series)
            .map(|series| series.name.clone())
            .collect();
        assert_eq!(names.first().map(String::as_str), Some("p19"));
        assert_eq!(names.last().map(String::as_str), Some("11 others"));
        assert_eq!(names.len(), 9);
        // Ten profiles, of which one was not used: no others of one.
        let columns = Columns::new(&use_of(3, 10));
        assert!(columns.is_some_and(|columns| {
            columns
                .series
                .iter()
                .all(|series| series.name.starts_with('p'))
        }));
    }

    #[test]
    fn many_days_are_put_together_and_none_is_lost() {
        for (days, group) in [(1, 1), (92, 1), (93, 7), (645, 28), (4_000, 364)] {
            let columns = Columns::new(&use_of(days, 3));
            let found = columns.as_ref().map(|columns| columns.group);
            assert_eq!(found, Some(group), "{days}");
            let total: u64 = columns
                .iter()
                .flat_map(|columns| &columns.series)
                .flat_map(|series| &series.counts)
                .sum();
            assert_eq!(total, days as u64 * 3);
        }
        assert!(Columns::new(&use_of(9, 1)).is_none());
        assert!(Columns::new(&use_of(0, 3)).is_none());
    }

    #[test]
    fn the_top_is_round() {
        let tops = [1, 5, 9, 11, 50, 99, 2_001].map(round_above);
        assert_eq!(tops, [4, 6, 10, 12, 60, 100, 4_000]);
        assert_eq!(round_above(u64::MAX), u64::MAX);
    }
}
