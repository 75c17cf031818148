//! Runs: the parts of the record in which time only grows, and where in them a time is.
//!
//! Events are in the order in which they were recorded. A clock that is set back makes a later
//! event carry an earlier time; `clock_steps` names those events, so that between two of them a
//! time can be found by bisection.

use std::ops::RangeInclusive;

use rusqlite::{Connection, OptionalExtension};

use crate::domain::UnixMs;

/// A part of the record: the first and the last sequence number.
pub(in crate::vault) type Run = RangeInclusive<i64>;

pub(in crate::vault) const STEPS: &str = "SELECT seq FROM clock_steps ORDER BY seq";
pub(in crate::vault) const FROM: &str =
    "SELECT seq, at FROM events WHERE seq >= ?1 ORDER BY seq LIMIT 1";

/// The runs of the record up to `last`, oldest first.
fn runs(conn: &Connection, last: i64) -> rusqlite::Result<Vec<Run>> {
    let mut select = conn.prepare_cached(STEPS)?;
    let steps = select.query_map([], |row| row.get(0))?;
    let mut starts: Vec<i64> = vec![i64::MIN];
    for step in steps {
        starts.push(step?);
    }
    let before = |next: &i64| next.saturating_sub(1);
    let ends = starts.iter().skip(1).map(before).chain([last]);
    let runs = starts.iter().zip(ends).map(|(start, end)| *start..=end);
    Ok(runs.filter(|run| !run.is_empty()).collect())
}

/// The parts of the record up to `last` with events from `since` to `until`, oldest first.
pub(in crate::vault) fn between(
    conn: &Connection,
    since: Option<UnixMs>,
    until: Option<UnixMs>,
    last: i64,
) -> rusqlite::Result<Vec<Run>> {
    if since.is_none() && until.is_none() {
        return Ok(vec![i64::MIN..=last]);
    }
    let mut found: Vec<Run> = Vec::new();
    for run in runs(conn, last)? {
        let start = match since {
            Some(since) => first_at(conn, &run, since)?,
            None => *run.start(),
        };
        let end = match until {
            Some(until) => first_at(conn, &run, until)? - 1,
            None => *run.end(),
        };
        match found.last_mut() {
            Some(before) if *before.end() + 1 == start && start <= end => {
                *before = *before.start()..=end;
            }
            _ if start <= end => found.push(start..=end),
            _ => {}
        }
    }
    Ok(found)
}

/// The parts of the record between each two of the growing `bounds`, per run, oldest first, each
/// with the number of the lower bound. Parts may have no events.
pub(in crate::vault) fn buckets(
    conn: &Connection,
    bounds: &[UnixMs],
    last: i64,
) -> rusqlite::Result<Vec<(usize, Run)>> {
    let mut found = Vec::new();
    for run in runs(conn, last)? {
        let mut starts = Vec::with_capacity(bounds.len());
        for bound in bounds {
            starts.push(first_at(conn, &run, *bound)?);
        }
        let parts = starts.windows(2).enumerate();
        found.extend(parts.filter_map(|(bucket, pair)| match pair {
            [start, next] if start < next => Some((bucket, *start..=next - 1)),
            _ => None,
        }));
    }
    Ok(found)
}

/// The last sequence number of those with which the record up to `last` begins that are before
/// `before`; an event need not have it.
pub(in crate::vault) fn prefix_before(
    conn: &Connection,
    before: UnixMs,
    last: i64,
) -> rusqlite::Result<i64> {
    let mut end = 0;
    for run in runs(conn, last)? {
        let first = first_at(conn, &run, before)?;
        end = first - 1;
        if first <= *run.end() {
            break;
        }
    }
    Ok(end)
}

/// Where in a run the events at `at` or later begin; one past its end if there are none.
fn first_at(conn: &Connection, run: &Run, at: UnixMs) -> rusqlite::Result<i64> {
    let mut from = conn.prepare_cached(FROM)?;
    let mut event_from = |seq: i64| -> rusqlite::Result<Option<(i64, i64)>> {
        let found = from.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(found.optional()?.filter(|(seq, _)| seq <= run.end()))
    };
    let past = run.end().saturating_add(1);
    // The first run begins before any event.
    let mut low = match event_from(*run.start())? {
        Some((seq, _)) => seq,
        None => return Ok(past),
    };
    let mut high = past;
    while low < high {
        let middle = low + (high - low) / 2;
        match event_from(middle)? {
            Some((seq, found)) if found < at.0 => low = seq + 1,
            _ => high = middle,
        }
    }
    // Where the run's last events were pruned, the search ends early, with no event left.
    Ok(event_from(low)?.map_or(past, |_| low))
}
