//! What happened to credentials over time, without a key.

use crate::vault::file::read_only::read_transaction;
use std::collections::BTreeMap;

use rusqlite::Connection;

use super::summary::{event, happened_at, newest, newest_change, of, profile_ref};
use crate::audit::{Event, EventKind, Filter, KindFilter, Lane, Origin, Timeline};
use crate::domain::UnixMs;
use crate::vault::error::{Context, VaultError};
use crate::vault::file::vault::Vault;
use crate::vault::log::events::{COLUMNS, Labels};
use crate::vault::log::runs::{self, Run};
use crate::vault::log::series::{self, Series};

pub(super) const SEQS: &str = "SELECT seq FROM events WHERE subject = ?1 AND action = ?2 AND seq \
    >= ?3 AND seq <= ?4 ORDER BY seq";

impl Vault {
    /// What happened to the profiles that `filter` asks for, whose kinds and times are of no
    /// account, in the parts of time between each two of `bounds`, which must grow. A profile is
    /// there if it was, or if something happened to it, in that time. Needs no key.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/doc/vault.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (_dir, vault) = example_vault()?;
    /// use clawkeep::internal::audit::Filter;
    /// use clawkeep::internal::domain::UnixMs;
    ///
    /// let hour = |hour: i64| UnixMs::from_ms(1_793_491_200_000 + hour * 3_600_000);
    /// let hours: Vec<UnixMs> = (0..=24).map(hour).collect();
    /// let day = vault.timeline(&Filter::default(), &hours)?;
    /// assert_eq!(day.lanes[0].valid.len(), 1); // refreshed in time, so without a gap
    /// assert_eq!(day.lanes[0].refreshes[8], 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeline(&self, filter: &Filter, bounds: &[UnixMs]) -> Result<Timeline, VaultError> {
        let lanes = self.lanes(filter, bounds).at(&self.path, "read")?;
        Ok(Timeline {
            bounds: bounds.to_vec(),
            lanes,
        })
    }

    fn lanes(&self, filter: &Filter, bounds: &[UnixMs]) -> rusqlite::Result<Vec<Lane>> {
        let (Some(start), Some(end)) = (bounds.first().copied(), bounds.last().copied()) else {
            return Ok(Vec::new());
        };
        let _snapshot = read_transaction(&self.conn)?;
        let last = crate::vault::log::events::last(&self.conn)?.map_or(0, |last| last.seq);
        let parts = runs::buckets(&self.conn, bounds, last)?;
        let mut labels = Labels::default();
        let mut lanes: BTreeMap<i64, Lane> = BTreeMap::new();
        let filter = Filter {
            since: None,
            until: Some(end),
            ..filter.clone()
        };
        let (_, until_end) = self.selected(&filter)?;
        let (_, until_start) = self.selected(&Filter {
            until: Some(start),
            ..filter.clone()
        })?;
        for subject in series::subjects(&self.conn, &filter)? {
            let Some(profile) = profile_ref(&self.conn, &mut labels, subject)? else {
                continue;
            };
            let mut lane = Lane::empty(profile, bounds.len().saturating_sub(1));
            let changes = changes(&self.conn, &mut labels, subject, &until_start, &until_end)?;
            lane.add_changes(&changes, bounds);
            lanes.insert(subject, lane);
        }
        self.add_cooldowns(&filter, (bounds, &until_start), &mut lanes, &mut labels)?;
        self.add_marks(&filter, (bounds, &parts), &mut lanes, &mut labels)?;
        let wanted = |lane: &Lane| {
            let is_provider =
                filter.provider.is_none() || filter.provider.as_deref() == lane.provider.as_deref();
            is_provider && !lane.is_blank()
        };
        let mut lanes: Vec<Lane> = lanes.into_values().filter(wanted).collect();
        lanes.sort_by(|a, b| (&a.provider, &a.profile).cmp(&(&b.provider, &b.profile)));
        Ok(lanes)
    }

    /// Adds cooldowns, from the last that began before the start.
    fn add_cooldowns(
        &self,
        filter: &Filter,
        (bounds, until_start): (&[UnixMs], &[Run]),
        lanes: &mut BTreeMap<i64, Lane>,
        labels: &mut Labels,
    ) -> rusqlite::Result<()> {
        let kinds = [EventKind::CooldownSet, EventKind::CooldownCleared];
        let filter = Filter {
            kinds: kinds.map(KindFilter::only).into(),
            ..filter.clone()
        };
        let (series, until_end) = self.listed(&filter)?;
        let to = until_end.last().map_or(i64::MIN, |run| *run.end());
        for (subject, lane) in lanes {
            let series = of(&series, *subject);
            let from = newest(&self.conn, &series, until_start)?.unwrap_or(i64::MIN);
            let mut seqs = Vec::new();
            for series in series {
                let mut select = self.conn.prepare_cached(SEQS)?;
                let range = [series.subject, series.action, from, to];
                let found = select.query_map(range, |row| row.get::<_, i64>(0))?;
                seqs.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
            }
            seqs.sort_unstable();
            let events = seqs
                .into_iter()
                .filter_map(|seq| event(&self.conn, labels, seq).transpose());
            let events = events.collect::<rusqlite::Result<Vec<_>>>()?;
            lane.add_cooldowns(&events, bounds);
        }
        Ok(())
    }

    /// Counts uses and failures, part by part.
    fn add_marks(
        &self,
        filter: &Filter,
        (bounds, parts): (&[UnixMs], &[(usize, Run)]),
        lanes: &mut BTreeMap<i64, Lane>,
        labels: &mut Labels,
    ) -> rusqlite::Result<()> {
        let marks = [
            EventKind::CredentialUsed,
            EventKind::CredentialFailed,
            EventKind::RefreshFailed,
            EventKind::RefreshInterrupted,
        ];
        let filter = Filter {
            kinds: marks.map(KindFilter::only).into(),
            ..filter.clone()
        };
        for series in self.listed(&filter)?.0 {
            let Some(lane) = lanes.get_mut(&series.subject) else {
                continue;
            };
            let action = labels.action(&self.conn, series.action)?;
            let is_use = *action.kind == *EventKind::CredentialUsed.as_str();
            let counts = if is_use {
                &mut lane.uses
            } else {
                &mut lane.failures
            };
            if *action.origin == *Origin::Clawkeep.as_str() {
                tally(&self.conn, series, parts, counts)?;
            } else {
                tally_reported(&self.conn, labels, series, bounds, counts)?;
            }
            lane.provider = lane.provider.take().or_else(|| action.provider.clone());
        }
        Ok(())
    }
}

/// Counts the events of a series by part. Parts are oldest first, for one pass over the index.
fn tally(
    conn: &Connection,
    series: Series,
    parts: &[(usize, Run)],
    counts: &mut [u64],
) -> rusqlite::Result<()> {
    let (Some((_, first)), Some((_, last))) = (parts.first(), parts.last()) else {
        return Ok(());
    };
    let mut select = conn.prepare_cached(SEQS)?;
    let mut rows = select.query([series.subject, series.action, *first.start(), *last.end()])?;
    let mut parts = parts.iter().peekable();
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        while parts.next_if(|(_, part)| *part.end() < seq).is_some() {}
        let Some((bucket, part)) = parts.peek() else {
            return Ok(());
        };
        if part.contains(&seq)
            && let Some(count) = counts.get_mut(*bucket)
        {
            *count += 1;
        }
    }
    Ok(())
}

/// Counts the events of a series that were recorded when another program's store was read, by the
/// times which that program states. There are few: at most one for each read.
fn tally_reported(
    conn: &Connection,
    labels: &mut Labels,
    series: Series,
    bounds: &[UnixMs],
    counts: &mut [u64],
) -> rusqlite::Result<()> {
    let mut select = conn.prepare_cached(SEQS)?;
    let seqs = select.query_map([series.subject, series.action, i64::MIN, i64::MAX], |row| {
        row.get(0)
    })?;
    let seqs: Vec<i64> = seqs.collect::<rusqlite::Result<_>>()?;
    for seq in seqs {
        let Some(event) = event(conn, labels, seq)? else {
            continue;
        };
        let at = happened_at(&event);
        let part = bounds.partition_point(|bound| *bound <= at);
        if let Some(count) = part.checked_sub(1).and_then(|part| counts.get_mut(part)) {
            *count += 1;
        }
    }
    Ok(())
}

/// The changes of a subject up to the end, from the last one before the start, oldest first.
fn changes(
    conn: &Connection,
    labels: &mut Labels,
    subject: i64,
    until_start: &[Run],
    until_end: &[Run],
) -> rusqlite::Result<Vec<Event>> {
    let from = newest_change(conn, subject, until_start)?.unwrap_or(i64::MIN);
    let to = until_end.last().map_or(i64::MIN, |run| *run.end());
    let mut select = conn.prepare_cached(&changes_sql())?;
    let mut rows = select.query([subject, from, to])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(labels.read(conn, row)?);
    }
    Ok(found)
}

pub(super) fn changes_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM events WHERE subject = ?1 AND generation IS NOT NULL AND seq >= ?2 \
         AND seq <= ?3 ORDER BY generation"
    )
}
