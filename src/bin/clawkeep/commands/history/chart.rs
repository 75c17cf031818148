//! The chart of `history --chart`: a lane a credential, a character a part of the time.
//!
//! Values in, text out. What is on a lane differs in shape, never in colour alone.

use std::iter::repeat_n;

use chrono::{Local, TimeZone};
use clawkeep::internal::audit::{Lane, ProfileRef, Span, Timeline};
use clawkeep::internal::domain::UnixMs;
use unicode_width::UnicodeWidthStr as _;

use crate::record::axis::{Tick, ticks};
use crate::record::names::{cut_middle, name};
use crate::terminal::palette::{RESET, Tone};

const LABEL_MAX: usize = 28;
/// Characters of a label however narrow the terminal is.
const LABEL_MIN: usize = 8;
/// Columns of a lane however narrow the terminal is: with fewer there is nothing to see.
const LANE_MIN: usize = 20;
const TICKS_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Palette {
    /// Whether it shows more than ASCII.
    pub(crate) unicode: bool,
    pub(crate) colour: bool,
}

/// The kinds of columns in a lane, which the legend explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Nothing,
    Valid,
    Partly,
    Ended,
    Cooldown,
    Use,
    Refresh,
    Failure,
}

impl Mark {
    fn glyph(self, palette: Palette) -> char {
        match (self, palette.unicode) {
            (Self::Nothing, _) => ' ',
            (Self::Valid, true) => '━',
            (Self::Valid, false) => '=',
            (Self::Partly, true) => '─',
            (Self::Partly, false) => '-',
            (Self::Ended, true) => '┄',
            (Self::Ended, false) => '.',
            (Self::Cooldown, true) => '▒',
            (Self::Cooldown, false) => '#',
            (Self::Use, true) => '•',
            (Self::Use, false) => 'o',
            (Self::Refresh, _) => 'R',
            (Self::Failure, _) => 'x',
        }
    }

    fn colour(self, palette: Palette) -> Option<&'static str> {
        let tone = match self {
            Self::Failure | Self::Ended => Tone::Bad,
            Self::Cooldown => Tone::Warn,
            Self::Refresh => Tone::Good,
            Self::Nothing | Self::Valid | Self::Partly | Self::Use => return None,
        };
        palette.colour.then_some(tone.escape())
    }
}

/// The number of equal parts of the time for a chart of these profiles in this many columns. One
/// column separates the longest label and the lane.
pub(crate) fn lane_columns<'w>(
    profiles: impl IntoIterator<Item = &'w ProfileRef>,
    columns: usize,
) -> usize {
    let lengths = profiles.into_iter().map(|whose| name(whose).width());
    let longest = lengths.max().unwrap_or(0).min(LABEL_MAX);
    let room = columns.saturating_sub(1 + LANE_MIN).max(LABEL_MIN);
    columns.saturating_sub(1 + longest.min(room)).max(LANE_MIN)
}

/// The chart, in lines of at most so many columns where [`lane_columns`] gave the number of parts;
/// nothing without lanes. Times on the axis are the reader's.
pub(crate) fn chart(timeline: &Timeline, columns: usize, now: UnixMs, palette: Palette) -> String {
    chart_in(&Local, timeline, columns, now, palette)
}

fn chart_in<Z: TimeZone>(
    zone: &Z,
    timeline: &Timeline,
    columns: usize,
    now: UnixMs,
    palette: Palette,
) -> String {
    let parts = timeline.bounds.len().saturating_sub(1);
    if timeline.lanes.is_empty() || parts == 0 {
        return String::new();
    }
    let labels = labels(timeline, columns.saturating_sub(parts + 1), palette);
    let indent = labels.first().map_or(0, |label| label.width() + 1);
    let mut out = String::new();
    for (label, lane) in labels.iter().zip(&timeline.lanes) {
        out.push_str(label);
        out.push(' ');
        push_marks(&mut out, &marks(lane, &timeline.bounds, now), palette);
        end_line(&mut out);
    }
    for line in axis_lines(zone, &timeline.bounds, indent, now, palette) {
        out.push_str(&line);
        end_line(&mut out);
    }
    for line in legend_lines(timeline, columns, palette) {
        out.push_str(&line);
        end_line(&mut out);
    }
    out
}

/// Every lane's name, in as many columns as the longest needs and as there is room for.
fn labels(timeline: &Timeline, room: usize, palette: Palette) -> Vec<String> {
    let room = room.clamp(LABEL_MIN, LABEL_MAX);
    let shown = |whose: &ProfileRef| {
        let name = name(whose);
        if palette.unicode {
            cut_middle(&name, room, '…')
        } else {
            let ascii = |c: char| if c.is_ascii() { c } else { '?' };
            cut_middle(&name.chars().map(ascii).collect::<String>(), room, '~')
        }
    };
    let labels: Vec<String> = timeline
        .lanes
        .iter()
        .map(|lane| shown(&lane.profile))
        .collect();
    let lengths = labels.iter().map(|label| label.width());
    let longest = lengths.max().unwrap_or(0);
    let padded = |label: &String| format!("{label}{:1$}", "", longest - label.width());
    labels.iter().map(padded).collect()
}

/// A lane's characters. On top of the bar, a failure comes before a refresh and a refresh before a
/// use.
fn marks(lane: &Lane, bounds: &[UnixMs], now: UnixMs) -> Vec<Mark> {
    let any = |counts: &[u64], part: usize| counts.get(part).is_some_and(|count| *count > 0);
    bounds
        .windows(2)
        .enumerate()
        .map(|(part, ends)| match *ends {
            _ if any(&lane.failures, part) => Mark::Failure,
            _ if any(&lane.refreshes, part) => Mark::Refresh,
            _ if any(&lane.uses, part) => Mark::Use,
            [from, until] if is_in_cooldown(lane, from, until) => Mark::Cooldown,
            [from, until] => bar(lane, from, until, now),
            _ => Mark::Nothing,
        })
        .collect()
}

/// Whether the credential was in cooldown or disabled for half of that time or more.
fn is_in_cooldown(lane: &Lane, from: UnixMs, until: UnixMs) -> bool {
    let middle = UnixMs::from_ms(from.0.midpoint(until.0));
    let mut spans = lane.cooldowns.iter();
    spans.any(|span| span.from <= middle && span.until.is_none_or(|end| middle < end))
}

/// Whether there was a valid credential in that time. The bar stops at now: the future is unknown.
fn bar(lane: &Lane, from: UnixMs, until: UnixMs, now: UnixMs) -> Mark {
    let end = |span: &Span| span.until.unwrap_or(UnixMs::from_ms(i64::MAX));
    let mut spans = lane.valid.iter();
    if spans
        .clone()
        .any(|span| span.from <= from && until <= end(span))
    {
        Mark::Valid
    } else if spans
        .clone()
        .any(|span| span.from < until && from < end(span))
    {
        Mark::Partly
    } else if from < now && spans.any(|span| end(span) <= from) {
        Mark::Ended
    } else {
        Mark::Nothing
    }
}

/// One escape sequence a run of a colour.
fn push_marks(out: &mut String, marks: &[Mark], palette: Palette) {
    let mut current = None;
    for mark in marks {
        let colour = mark.colour(palette);
        if colour != current {
            if current.is_some() {
                out.push_str(RESET);
            }
            out.push_str(colour.unwrap_or_default());
            current = colour;
        }
        out.push(mark.glyph(palette));
    }
    if current.is_some() {
        out.push_str(RESET);
    }
}

fn end_line(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

/// The axis and, below, its labels. A label that has no room beside `now` is left out.
fn axis_lines<Z: TimeZone>(
    zone: &Z,
    bounds: &[UnixMs],
    indent: usize,
    now: UnixMs,
    palette: Palette,
) -> [String; 2] {
    let parts = bounds.len().saturating_sub(1);
    let (line, tick, here) = if palette.unicode {
        ('─', '┬', '▲')
    } else {
        ('-', '+', '^')
    };
    let place = |at: UnixMs| indent + column(bounds, at);
    let mut axis: Vec<char> = repeat_n(' ', indent).chain(repeat_n(line, parts)).collect();
    let mut below = vec![' '; indent + parts];
    let from = bounds.first().copied().unwrap_or(now);
    let until = bounds.last().copied().unwrap_or(now);
    let has_room = |ticks: &[Tick]| {
        let mut row = vec![' '; indent + parts];
        ticks.len() <= TICKS_MAX
            && ticks
                .iter()
                .all(|tick| write(&mut row, place(tick.at), &tick.label))
    };
    let is_now_shown = from <= now && now <= until;
    if is_now_shown {
        write(&mut below, place(now), "now");
    }
    for tick_at in ticks(zone, from, until, has_room) {
        put(&mut axis, place(tick_at.at), tick);
        write(&mut below, place(tick_at.at), &tick_at.label);
    }
    if is_now_shown {
        put(&mut axis, place(now), here);
    }
    [axis.into_iter().collect(), below.into_iter().collect()]
}

/// The column that a time between the first and the last bound falls into.
fn column(bounds: &[UnixMs], at: UnixMs) -> usize {
    let before = bounds.partition_point(|bound| *bound <= at);
    before.saturating_sub(1).min(bounds.len().saturating_sub(2))
}

fn put(row: &mut [char], at: usize, c: char) {
    if let Some(place) = row.get_mut(at) {
        *place = c;
    }
}

/// Writes a word around a column, moved where the row ends; omitted where it would touch another.
fn write(row: &mut [char], middle: usize, word: &str) -> bool {
    let length = word.chars().count();
    let Some(latest) = row.len().checked_sub(length) else {
        return false;
    };
    let start = middle.saturating_sub(length / 2).min(latest);
    let around = start.saturating_sub(1)..(start + length + 1).min(row.len());
    if !row[around].iter().all(|c| *c == ' ') {
        return false;
    }
    for (offset, c) in word.chars().enumerate() {
        put(row, start + offset, c);
    }
    true
}

fn legend_lines(timeline: &Timeline, columns: usize, palette: Palette) -> Vec<String> {
    let marks = [
        (Mark::Valid, "valid"),
        (Mark::Partly, "partly"),
        (Mark::Ended, "not valid"),
        (Mark::Cooldown, "in cooldown"),
        (Mark::Refresh, "refresh"),
        (Mark::Failure, "failure"),
        (Mark::Use, "use"),
    ];
    let width = format!("1 column = {}", part_length(&timeline.bounds));
    let has_cooldowns = timeline.lanes.iter().any(|lane| !lane.cooldowns.is_empty());
    let is_drawn = |(mark, _): &&(Mark, &str)| *mark != Mark::Cooldown || has_cooldowns;
    let explained = marks.iter().filter(is_drawn).map(|(mark, word)| {
        let mut item = String::new();
        push_marks(&mut item, &[*mark], palette);
        (format!("{item} {word}"), 2 + word.chars().count())
    });
    let mut lines: Vec<String> = Vec::new();
    let mut used = columns;
    for (item, length) in explained.chain([(width.clone(), width.chars().count())]) {
        match lines.last_mut() {
            Some(line) if used + 2 + length <= columns => {
                line.push_str("  ");
                line.push_str(&item);
                used += 2 + length;
            }
            _ => {
                lines.push(item);
                used = length;
            }
        }
    }
    lines
}

/// The length of a part in short form: `45s`, `12m`, `6.5h`, `2d`.
fn part_length(bounds: &[UnixMs]) -> String {
    let span = match bounds {
        [first, .., last] => last.0.saturating_sub(first.0),
        _ => 0,
    };
    let parts = i64::try_from(bounds.len().saturating_sub(1)).unwrap_or(i64::MAX);
    let part = span / parts.max(1);
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)];
    // Up to two of a unit, the smaller one says more.
    let unit = units.iter().find(|(_, ms)| part >= 2 * ms);
    let (letter, ms) = unit.copied().unwrap_or(("s", 1_000));
    let tenths = part.saturating_mul(10).saturating_add(ms / 2) / ms;
    match (tenths / 10, tenths % 10) {
        (whole @ ..10, rest @ 1..) => format!("{whole}.{rest}{letter}"),
        (whole, rest) => format!("{}{letter}", if rest < 5 { whole } else { whole + 1 }),
    }
}

#[cfg(test)]
mod tests;
