//! Asking the record, without a key: filters answered from indexes, a page of events at a time.

use crate::vault::file::read_only::read_transaction;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rusqlite::Connection;

use crate::audit::{Direction, Event, Filter};
use crate::vault::error::{Context, VaultError};
use crate::vault::file::vault::Vault;
use crate::vault::log::events::{self, COLUMNS, Labels};
use crate::vault::log::runs::{self, Run};
use crate::vault::log::series::{self, Selection, Series};

/// Events fetched at a time: bounds memory, whatever the record's length.
const PAGE: u64 = 512;
/// So many series are followed one by one; with more, the record is first read through.
const FEW: usize = 256;
/// How many events are read before it is judged whether enough match to go on like that.
const WINDOW: u64 = 4096;
/// Going on takes one match in so many: following the series costs about that much more an event.
const DENSE: u64 = 16;

/// Events that match a filter, fetched as they are asked for. Those recorded after the first was
/// fetched are not among them.
#[derive(Debug)]
pub struct Events<'v> {
    vault: &'v Vault,
    filter: Filter,
    labels: Labels,
    selection: Selection,
    /// The runs that are still to be examined, in the order of the answer; the first is under way.
    runs: VecDeque<Run>,
    route: Route,
    left: Option<u64>,
    page: std::vec::IntoIter<Event>,
}

#[derive(Debug)]
enum Route {
    Undecided,
    /// Event by event; how many were examined, and how many of them matched.
    Through {
        examined: u64,
        matched: u64,
    },
    /// From match to match: the next event of each series, the first of all on top. Keys are
    /// sequence numbers, inverted bit by bit where the oldest comes first.
    Along(BinaryHeap<(i64, Reverse<Series>)>),
}

pub(super) const NEWEST: &str = "SELECT seq FROM events WHERE subject = ?1 AND action = ?2 AND \
    seq >= ?3 AND seq <= ?4 ORDER BY seq DESC LIMIT 1";
pub(super) const OLDEST: &str = "SELECT seq FROM events WHERE subject = ?1 AND action = ?2 AND \
    seq >= ?3 AND seq <= ?4 ORDER BY seq LIMIT 1";

impl Route {
    fn pop(&mut self) -> Option<(i64, Reverse<Series>)> {
        match self {
            Self::Along(next) => next.pop(),
            Self::Undecided | Self::Through { .. } => None,
        }
    }
}

impl Vault {
    /// The events that match `filter`, as an iterator. Needs no key.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/doc/vault.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (_dir, vault) = example_vault()?;
    /// use clawkeep::internal::audit::{Direction, Filter, KindFilter};
    ///
    /// let refreshes = Filter::default()
    ///     .profile("anthropic:claude-cli".to_owned())
    ///     .kinds(vec![KindFilter::parse("refresh")?])
    ///     .direction(Direction::OldestFirst);
    /// let events = vault.history(&refreshes)?.collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(events.len(), 1); // Claude Code's second token
    /// assert_ne!(events[0].token_before, events[0].token_after);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the vault cannot be read. A name that no event has matches nothing.
    pub fn history(&self, filter: &Filter) -> Result<Events<'_>, VaultError> {
        self.ask(filter).at(&self.path, "read")
    }

    fn ask(&self, filter: &Filter) -> rusqlite::Result<Events<'_>> {
        let _snapshot = read_transaction(&self.conn)?;
        let (selection, mut runs) = self.selected(filter)?;
        if filter.direction == Direction::NewestFirst {
            runs.reverse();
        }
        Ok(Events {
            vault: self,
            filter: filter.clone(),
            labels: Labels::default(),
            selection,
            runs: runs.into(),
            route: Route::Undecided,
            left: filter.limit,
            page: Vec::new().into_iter(),
        })
    }

    /// The series in which events that match `filter` are, and the parts of the record in which its
    /// times are, oldest first.
    pub(super) fn selected(&self, filter: &Filter) -> rusqlite::Result<(Selection, Vec<Run>)> {
        let last = events::last(&self.conn)?.map_or(0, |last| last.seq);
        let selection = series::select(&self.conn, filter)?;
        let runs = runs::between(&self.conn, filter.since, filter.until, last)?;
        Ok((selection, runs))
    }
}

impl Events<'_> {
    fn is_newest_first(&self) -> bool {
        self.filter.direction == Direction::NewestFirst
    }

    /// Fills a page, unless there is nothing left.
    fn fetch(&mut self) -> rusqlite::Result<()> {
        let conn = &self.vault.conn;
        let _snapshot = read_transaction(conn)?;
        let size = self.left.unwrap_or(PAGE).min(PAGE);
        let mut page = Vec::new();
        while (page.len() as u64) < size {
            let Some(run) = self.runs.front().cloned() else {
                break;
            };
            let room = size - page.len() as u64;
            self.choose(&run)?;
            let rest = match self.route {
                Route::Along(_) => self.along(conn, &run, room, &mut page)?,
                _ => self.through(conn, &run, room, &mut page)?,
            };
            match rest {
                Some(rest) => self.runs[0] = rest,
                None => {
                    self.runs.pop_front();
                    self.route = Route::Undecided;
                }
            }
        }
        self.left = self.left.map(|left| left - page.len() as u64);
        self.page = page.into_iter();
        Ok(())
    }

    /// Decides how to go through a run, or to go on otherwise than begun.
    fn choose(&mut self, run: &Run) -> rusqlite::Result<()> {
        let Selection::Some(series) = &self.selection else {
            return Ok(());
        };
        let is_sparse = match self.route {
            Route::Undecided => series.len() <= FEW,
            Route::Through { examined, matched } => {
                examined >= WINDOW && matched * DENSE < examined
            }
            Route::Along(_) => false,
        };
        if is_sparse {
            let mut next = BinaryHeap::with_capacity(series.len());
            for series in series {
                next.extend(self.next_of(*series, run)?);
            }
            self.route = Route::Along(next);
        }
        Ok(())
    }

    /// The next event of a series in what is left of a run.
    fn next_of(
        &self,
        series: Series,
        run: &Run,
    ) -> rusqlite::Result<Option<(i64, Reverse<Series>)>> {
        let is_newest_first = self.is_newest_first();
        let sql = if is_newest_first { NEWEST } else { OLDEST };
        let next = first_of(&self.vault.conn, sql, series, run)?;
        Ok(next.map(|seq| (if is_newest_first { seq } else { !seq }, Reverse(series))))
    }

    /// Takes what matches of the next events; what is left of the run.
    fn through(
        &mut self,
        conn: &Connection,
        run: &Run,
        room: u64,
        page: &mut Vec<Event>,
    ) -> rusqlite::Result<Option<Run>> {
        let order = if self.is_newest_first() {
            "DESC"
        } else {
            "ASC"
        };
        let sql = through_sql(order);
        let (mut examined, mut matched) = match self.route {
            Route::Through { examined, matched } => (examined, matched),
            _ => (0, 0),
        };
        let begun = (examined, matched);
        let mut select = conn.prepare_cached(&sql)?;
        let mut rows = select.query([*run.start(), *run.end()])?;
        let mut at = None;
        while matched - begun.1 < room && examined - begun.0 < WINDOW {
            let Some(row) = rows.next()? else {
                return Ok(None);
            };
            examined += 1;
            at = Some(row.get::<_, i64>(0)?);
            if let Selection::Some(wanted) = &self.selection {
                let series = Series {
                    subject: row.get(2)?,
                    action: row.get(3)?,
                };
                if wanted.binary_search(&series).is_err() {
                    continue;
                }
            }
            let event = self.labels.read(conn, row)?;
            if self.filter.matches(&event) {
                matched += 1;
                page.push(event);
            }
        }
        self.route = Route::Through { examined, matched };
        Ok(match at {
            Some(at) => self.past(run, at),
            None => Some(run.clone()),
        })
    }

    /// Takes the next matches; what is left of the run.
    fn along(
        &mut self,
        conn: &Connection,
        run: &Run,
        room: u64,
        page: &mut Vec<Event>,
    ) -> rusqlite::Result<Option<Run>> {
        let mut select = conn.prepare_cached(&one_sql())?;
        let mut taken = 0;
        let mut rest = run.clone();
        while taken < room {
            let Some((key, Reverse(series))) = self.route.pop() else {
                return Ok(None);
            };
            let seq = if self.is_newest_first() { key } else { !key };
            let mut rows = select.query([seq])?;
            // One that is gone was pruned since.
            let event = rows.next()?.map(|row| self.labels.read(conn, row));
            if let Some(event) = event
                .transpose()?
                .filter(|event| self.filter.matches(event))
            {
                taken += 1;
                page.push(event);
            }
            let Some(left) = self.past(run, seq) else {
                return Ok(None);
            };
            rest = left;
            let following = self.next_of(series, &rest)?;
            if let Route::Along(next) = &mut self.route {
                next.extend(following);
            }
        }
        Ok(Some(rest))
    }

    /// What of a run comes after `seq` in the order of the answer.
    fn past(&self, run: &Run, seq: i64) -> Option<Run> {
        let rest = if self.is_newest_first() {
            *run.start()..=seq.checked_sub(1)?
        } else {
            seq.checked_add(1)?..=*run.end()
        };
        (!rest.is_empty()).then_some(rest)
    }
}

pub(super) fn through_sql(order: &str) -> String {
    format!("SELECT {COLUMNS} FROM events WHERE seq >= ?1 AND seq <= ?2 ORDER BY seq {order}")
}

pub(super) fn one_sql() -> String {
    format!("SELECT {COLUMNS} FROM events WHERE seq = ?1")
}

/// The first event of a series in a run, in the order of `sql`.
pub(super) fn first_of(
    conn: &Connection,
    sql: &str,
    series: Series,
    run: &Run,
) -> rusqlite::Result<Option<i64>> {
    use rusqlite::OptionalExtension as _;
    conn.prepare_cached(sql)?
        .query_row(
            [series.subject, series.action, *run.start(), *run.end()],
            |row| row.get(0),
        )
        .optional()
}

impl Iterator for Events<'_> {
    type Item = Result<Event, VaultError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.page.next() {
                return Some(Ok(event));
            }
            if self.left == Some(0) || self.runs.is_empty() {
                return None;
            }
            if let Err(error) = self.fetch().at(&self.vault.path, "read") {
                self.runs.clear();
                return Some(Err(error));
            }
        }
    }
}
