//! One credential's lane: what was valid, what happened, and how much it was used.

use std::fmt::Write as _;

use clawkeep::internal::audit::Lane;
use clawkeep::internal::domain::UnixMs;
use maud::{Markup, html};

use super::scale::Scale;
use super::text::{counted, far, percent, plain_name, shown_name};
use crate::terminal::text::local_minute;

/// A gap is drawn at least so wide, three pixels of a thousand, unless it took more than half of
/// what follows.
const GAP_MIN: u32 = 30;
/// Spans of which every gap is drawn.
const SPANS_MAX: usize = 150;
/// Height of the strip that shows how much a credential was used, in pixels.
const STRIP: u64 = 12;

struct Sums {
    refreshes: u64,
    failures: u64,
    uses: u64,
}

impl Sums {
    fn of(lane: &Lane) -> Self {
        let sum = |counts: &[u64]| {
            counts
                .iter()
                .fold(0_u64, |sum, count| sum.saturating_add(*count))
        };
        Self {
            refreshes: sum(&lane.refreshes),
            failures: sum(&lane.failures),
            uses: sum(&lane.uses),
        }
    }

    fn words(&self) -> String {
        let all = [
            (self.uses, "use"),
            (self.refreshes, "refresh"),
            (self.failures, "failure"),
        ];
        let some = all.iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = some.map(|(count, word)| counted(*count, word)).collect();
        if words.is_empty() {
            "not used".to_owned()
        } else {
            words.join(", ")
        }
    }
}

/// Its name, what it comes to, and the drawing; tooltips while there are some left.
pub(super) fn row(scale: &Scale, lane: &Lane, tooltips: &mut usize) -> Markup {
    let mut words = Sums::of(lane).words();
    words.extend(ahead(lane, scale.now));
    let gaps = gaps(lane, scale);
    // A gap's is about twice as long as another.
    let wanted = 2 * gaps.len()
        + (0..scale.parts.len())
            .filter(|part| happened(lane, *part).is_some())
            .count();
    let has_tooltips = wanted <= *tooltips;
    if has_tooltips {
        *tooltips -= wanted;
    }
    let name = plain_name(&lane.profile);
    html! {
        tr role="row" {
            th scope="row" role="rowheader" { (shown_name(&lane.profile)) " " span.sums {
                (words) } }
            td role="cell" {
                svg.lane width="100%" height="44" role="img" aria-label={ (name) ": " (spoken(lane,
                    gaps.len(), scale)) (words) } {
                    (picture(scale, lane, &gaps))
                    @if has_tooltips { (hovers(scale, lane, &gaps)) }
                }
            }
        }
    }
}

/// When what is valid now expires.
fn ahead(lane: &Lane, now: UnixMs) -> Option<String> {
    let until = lane.valid.last()?.until?;
    (until > now).then(|| format!("; expires {}", far(until, now)))
}

/// The text for screen readers that describes the bar of a lane.
fn spoken(lane: &Lane, gaps: usize, scale: &Scale) -> String {
    let is_valid = lane
        .valid
        .iter()
        .any(|span| span.from <= scale.now && span.until.is_none_or(|until| scale.now < until));
    let now = if is_valid {
        "valid now"
    } else {
        "not valid now"
    };
    format!("{now}, {}, ", counted(gaps as u64, "gap"))
}

/// Times between the first validity and now in which there was none.
fn gaps(lane: &Lane, scale: &Scale) -> Vec<(UnixMs, UnixMs)> {
    let end = scale.now.min(scale.until);
    let mut gaps = Vec::new();
    let mut ended: Option<UnixMs> = None;
    for span in &lane.valid {
        let gap = ended.map(|ended| (ended.max(scale.from), span.from.min(end)));
        gaps.extend(gap.filter(|(from, until)| from < until));
        ended = Some(span.until.unwrap_or(UnixMs::from_ms(i64::MAX)));
    }
    gaps.extend(
        ended
            .map(|ended| (ended.max(scale.from), end))
            .filter(|(from, until)| from < until),
    );
    gaps
}

/// Bar, gaps, refreshes, uses, failures, now.
fn picture(scale: &Scale, lane: &Lane, gaps: &[(UnixMs, UnixMs)]) -> Markup {
    let parts = scale.parts.len();
    let failures = failures(lane);
    let ends = failures
        .iter()
        .flat_map(|(first, last)| [*first].into_iter().chain((first < last).then_some(*last)));
    html! {
        (ground(scale, gaps))
        svg viewBox="0 0 10000 44" preserveAspectRatio="none" width="100%" height="44" {
            path.grid d=(ticks_path(scale)) {}
            path.held d=(held_path(scale, lane)) {}
            path.refresh d=(refresh_path(lane, parts)) {}
            @if failures.iter().any(|(first,
                last)| first < last) { path.fails d=(fails_path(&failures, parts)) {} }
        }
        svg viewBox={ "0 0 " (parts) " " (STRIP) } preserveAspectRatio="none" width="100%"
            height=(STRIP) y="30" {
            path.use d=(use_path(lane)) {}
        }
        @for span in &lane.cooldowns {
            @let until = span.until.unwrap_or(scale.until);
            @let (from, until) = (scale.along(span.from), scale.along(until));
            rect.rest x=(percent(from)) y="14.5" width=(percent((until - from).max(GAP_MIN)))
                height="11" {
                title {
                    "in cooldown or disabled from " (local_minute(span.from))
                    @if let Some(until) = span.until { " to " (local_minute(until)) }
                }
            }
        }
        @if let Some(along) = scale.now_along() {
            rect.future x=(percent(along)) width=(percent(10_000 - along)) height="44" {}
            line.now x1=(percent(along)) x2=(percent(along)) y1="0" y2="44" {}
        }
        @for part in ends { use href="#fail" x=(percent(centre(part, parts))) y="6" {} }
    }
}

/// The first and the last part of each run of failures. A run has a mark at either end and a line
/// between them.
fn failures(lane: &Lane) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for part in (0..lane.failures.len()).filter(|part| has(&lane.failures, *part)) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == part => *last = part,
            _ => runs.push((part, part)),
        }
    }
    runs
}

fn fails_path(failures: &[(usize, usize)], parts: usize) -> String {
    let runs = failures.iter().filter(|(first, last)| first < last);
    runs.map(|(first, last)| format!("M{} 6H{}", centre(*first, parts), centre(*last, parts)))
        .collect()
}

/// The ground that gaps show: hatched from the first to the last, and covered where the bar is.
fn ground(scale: &Scale, gaps: &[(UnixMs, UnixMs)]) -> Markup {
    html! {
        @if let (Some(first), Some(last)) = (gaps.first(), gaps.last()) {
            @let (from, until) = (scale.along(first.0), scale.along(last.1));
            rect.gap x=(percent(from)) y="14.5" width=(percent(until.saturating_sub(from)))
                height="11" {}
        }
    }
}

/// The middle of a part, in hundredths of a per cent.
fn centre(part: usize, parts: usize) -> u32 {
    u32::try_from((2 * part + 1) * 5_000 / parts.max(1)).unwrap_or(10_000)
}

fn has(counts: &[u64], part: usize) -> bool {
    counts.get(part).is_some_and(|count| *count > 0)
}

fn ticks_path(scale: &Scale) -> String {
    scale
        .ticks
        .iter()
        .map(|tick| format!("M{} 0V44", scale.along(tick.at)))
        .collect()
}

/// The valid spans, as lines as wide as the bar. A span gives way to the gap before it if the gap
/// is too narrow to see; very many gaps are left out.
fn held_path(scale: &Scale, lane: &Lane) -> String {
    let least = if lane.valid.len() > SPANS_MAX {
        GAP_MIN
    } else {
        0
    };
    let mut bars: Vec<(u32, u32)> = Vec::new();
    for span in &lane.valid {
        let until = span.until.unwrap_or(UnixMs::from_ms(i64::MAX));
        let (from, until) = (scale.along(span.from), scale.along(until));
        match bars.last_mut() {
            _ if from == until => {}
            Some((_, end)) if from <= *end + least => *end = until.max(*end),
            Some((_, end)) => {
                let visible = (*end + GAP_MIN).min(from.midpoint(until));
                bars.push((from.max(visible), until));
            }
            None => bars.push((from, until)),
        }
    }
    bars.iter()
        .map(|(from, until)| format!("M{from} 20H{until}"))
        .collect()
}

fn refresh_path(lane: &Lane, parts: usize) -> String {
    (0..parts)
        .filter(|part| has(&lane.refreshes, *part))
        .map(|part| format!("M{} 9V19", centre(part, parts)))
        .collect()
}

/// A skyline: each part as high as its uses against the busiest's; a single use shows too.
fn use_path(lane: &Lane) -> String {
    let most = lane.uses.iter().copied().max().unwrap_or(0).max(1);
    let mut out = format!("M0 {STRIP}");
    for run in lane.uses.chunk_by(|a, b| a == b) {
        let count = run.first().copied().unwrap_or(0);
        let height = u128::from(count) * u128::from(STRIP) / u128::from(most);
        let top = u128::from(STRIP) - if count > 0 { height.max(2) } else { 0 };
        // A String takes all that is written.
        let _ = write!(out, "V{top}h{}", run.len());
    }
    let _ = write!(out, "V{STRIP}z");
    out
}

/// The events in a part of the time, in words; `None` without events.
fn happened(lane: &Lane, part: usize) -> Option<String> {
    let count = |counts: &[u64]| counts.get(part).copied().unwrap_or(0);
    let sums = Sums {
        refreshes: count(&lane.refreshes),
        failures: count(&lane.failures),
        uses: count(&lane.uses),
    };
    (sums.refreshes > 0 || sums.failures > 0 || sums.uses > 0).then(|| sums.words())
}

/// Invisible areas with tooltips: one for each part of the time, and over them one for each gap.
fn hovers(scale: &Scale, lane: &Lane, gaps: &[(UnixMs, UnixMs)]) -> Markup {
    let parts = scale.parts.len();
    let hover_parts = scale
        .parts
        .iter()
        .enumerate()
        .filter_map(|(part, name)| Some((part, name, happened(lane, part)?)));
    html! {
        svg.hover viewBox={ "0 0 " (parts) " 1" } preserveAspectRatio="none" width="100%"
            height="44" {
            @for (part, name, words) in hover_parts {
                rect x=(part) { title { (name) ": " (words) } }
            }
        }
        @for (from, until) in gaps {
            @let (left, right) = (scale.along(*from), scale.along(*until));
            rect.gap-hover x=(percent(left)) y="14" width=(percent((right - left).max(GAP_MIN)))
                height="12" {
                title {
                    "not valid from " (local_minute(*from)) " to " (local_minute(*until))
                    " (" ((*until - *from).short()) ")"
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clawkeep::internal::audit::{ProfileRef, Span};

    use super::*;

    fn lane(valid: &[(i64, Option<i64>)]) -> Lane {
        let span = |(from, until): &(i64, Option<i64>)| Span {
            from: UnixMs::from_ms(*from),
            until: until.map(UnixMs::from_ms),
        };
        Lane {
            profile: ProfileRef {
                agent: None,
                id: "a".into(),
            },
            provider: None,
            valid: valid.iter().map(span).collect(),
            cooldowns: Vec::new(),
            refreshes: Vec::new(),
            failures: Vec::new(),
            uses: Vec::new(),
        }
    }

    /// From 0 to 10,000 ms, so that a unit is a millisecond.
    fn scale(now: i64) -> Scale {
        Scale {
            from: UnixMs::from_ms(0),
            until: UnixMs::from_ms(10_000),
            now: UnixMs::from_ms(now),
            ticks: Vec::new(),
            parts: vec![String::new(); 4],
        }
    }

    #[test]
    fn gaps_are_between_the_first_validity_and_now() {
        let gaps = |valid: &[(i64, Option<i64>)], now| {
            let gaps = gaps(&lane(valid), &scale(now));
            gaps.into_iter()
                .map(|(from, until)| (from.0, until.0))
                .collect::<Vec<_>>()
        };
        let twice = [(100, Some(200)), (300, Some(9_000))];
        assert_eq!(gaps(&twice, 9_500), [(200, 300), (9_000, 9_500)]);
        assert_eq!(gaps(&twice, 250), [(200, 250)]);
        assert_eq!(gaps(&twice, 99_000), [(200, 300), (9_000, 10_000)]);
        assert_eq!(gaps(&[(-9, Some(-3)), (50, None)], 9_500), [(0, 50)]);
        assert_eq!(gaps(&[], 9_500), []);
    }

    #[test]
    fn a_short_gap_is_noticed_and_takes_no_more_than_half() {
        let path = |valid: &[(i64, Option<i64>)]| held_path(&scale(0), &lane(valid));
        let found = path(&[(0, Some(100)), (101, Some(900))]);
        assert_eq!(found, "M0 20H100M130 20H900");
        let found = path(&[(0, Some(100)), (101, Some(121))]);
        assert_eq!(found, "M0 20H100M111 20H121");
        assert_eq!(path(&[(-500, None)]), "M0 20H10000");
        let many: Vec<(i64, Option<i64>)> = (0..200).map(|n| (n * 50, Some(n * 50 + 49))).collect();
        assert_eq!(path(&many), "M0 20H9999");
    }

    #[test]
    fn a_run_of_failures_has_two_marks() {
        let mut lane = lane(&[]);
        lane.failures = vec![1, 0, 2, 3, 1, 0];
        assert_eq!(failures(&lane), [(0, 0), (2, 4)]);
        assert_eq!(fails_path(&failures(&lane), 10), "M2500 6H4500");
    }

    #[test]
    fn the_strip_is_a_skyline() {
        let mut lane = lane(&[]);
        lane.uses = vec![0, 1, 1, 600];
        assert_eq!(use_path(&lane), "M0 12V12h1V10h2V0h1V12z");
    }
}
