//! The time that the lanes show, and where an instant is along it.

use chrono::Local;
use clawkeep::internal::domain::{UnixMs, calendar};

use super::facts::Page;
use crate::record::axis::{Tick, ticks};

/// Labels of the axis; where the page is narrow every other one is hidden.
pub(super) const TICKS_MAX: usize = 7;
/// Units along a lane's time, in hundredths of a per cent.
pub(crate) const ALONG: i128 = 10_000;

pub(crate) struct Scale {
    pub(super) from: UnixMs,
    pub(super) until: UnixMs,
    pub(super) now: UnixMs,
    pub(super) ticks: Vec<Tick>,
    pub(super) parts: Vec<String>,
}

impl Scale {
    pub(super) fn new(page: &Page) -> Option<Self> {
        let bounds = &page.timeline.bounds;
        let (from, until) = (*bounds.first()?, *bounds.last()?);
        if from >= until {
            return None;
        }
        Some(Self {
            from,
            until,
            now: page.generated,
            ticks: ticks(&Local, from, until, |ticks| ticks.len() <= TICKS_MAX),
            parts: part_names(bounds),
        })
    }

    /// Where a time is along a lane, 0 to 10,000; what lies outside is at its ends.
    pub(super) fn along(&self, at: UnixMs) -> u32 {
        let span = i128::from(self.until.0) - i128::from(self.from.0);
        let past = i128::from(at.0) - i128::from(self.from.0);
        let along = (past * ALONG / span.max(1)).clamp(0, ALONG);
        u32::try_from(along).unwrap_or(0)
    }

    pub(super) fn now_along(&self) -> Option<u32> {
        (self.from <= self.now && self.now <= self.until).then(|| self.along(self.now))
    }
}

/// `Nov 24 06:00 – 12:00`, each part's.
pub(crate) fn part_names(bounds: &[UnixMs]) -> Vec<String> {
    let local = |at: UnixMs| calendar(at).map(|at| at.with_timezone(&Local));
    let name = |ends: &[UnixMs]| match (
        ends.first().copied().and_then(local),
        ends.last().copied().and_then(local),
    ) {
        (Some(from), Some(until)) => {
            let same_day = from.date_naive() == until.date_naive();
            let until = until.format(if same_day { "%H:%M" } else { "%b %d %H:%M" });
            format!("{} – {until}", from.format("%b %d %H:%M"))
        }
        _ => String::new(),
    };
    bounds.windows(2).map(name).collect()
}
