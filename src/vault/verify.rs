//! Proving the record: every event against the chain, in constant memory.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};

use super::error::{Context, VaultError};
use super::events::Labels;
use super::history::through_sql;
use super::series::{self, Series};
use super::{UnlockedVault, Vault, events};
use crate::audit::{
    ChainFault, ChainVerifier, Checkpoint, EventKind, Filter, Head, KindFilter, Verified,
};
use crate::domain::{Seq, UnixMs};

/// How many series are known to be listed before they are forgotten: bounds memory.
const SERIES_MAX: usize = 65_536;

impl Vault {
    /// What the record says of events that were pruned from it. It is proved by verifying.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, VaultError> {
        let pruned = Filter {
            kinds: vec![KindFilter::only(EventKind::AuditPruned)],
            limit: Some(1),
            ..Filter::default()
        };
        let event = self.history(&pruned)?.next().transpose()?;
        Ok(event.and_then(|event| Checkpoint::parse(event.detail.as_deref()?)))
    }
}

impl UnlockedVault {
    /// Verifies the whole record, oldest first, in constant memory, against a kept head if there is one.
    ///
    /// # Errors
    /// When the record cannot be read. What is wrong with the record itself is the inner result.
    pub fn verify_record(
        &self,
        head: Option<Head>,
    ) -> Result<Result<Verified, ChainFault>, VaultError> {
        let checkpoint = self.checkpoint()?;
        let key = self.keys.audit.clone();
        let mut verifier = match ChainVerifier::new(self.id, key, head, checkpoint) {
            Ok(verifier) => verifier,
            Err(fault) => return Ok(Err(fault)),
        };
        let checked = self.check_all(&mut verifier).at(&self.path, "read")?;
        Ok(checked.and_then(|()| verifier.finish()))
    }

    fn check_all(&self, verifier: &mut ChainVerifier) -> rusqlite::Result<Result<(), ChainFault>> {
        let conn = &self.vault.conn;
        let _snapshot = conn.unchecked_transaction()?; // all of it as it is now
        let mut labels = Labels::default();
        let mut files = Files::of(conn)?;
        let mut select = conn.prepare(&through_sql("ASC"))?;
        let mut rows = select.query([i64::MIN, i64::MAX])?;
        while let Some(row) = rows.next()? {
            let event = labels.read(conn, row)?;
            let checked = if verifier.is_kept(event.seq) {
                let previous = previous_of_kept(conn, event.seq)?;
                verifier.check_kept(&event, previous.as_ref())
            } else {
                verifier.check(&event)
            };
            if let Err(fault) = checked {
                return Ok(Err(fault));
            }
            let series = Series {
                subject: row.get(2)?,
                action: row.get(3)?,
            };
            if !files.hold(series, event.seq, event.at)? {
                return Ok(Err(ChainFault::Misfiled { seq: event.seq }));
            }
        }
        Ok(Ok(()))
    }
}

fn previous_of_kept(conn: &Connection, seq: Seq) -> rusqlite::Result<Option<[u8; 32]>> {
    conn.prepare_cached("SELECT previous_mac FROM kept_events WHERE seq = ?1")?
        .query_row([seq.0], |row| row.get(0))
        .optional()
}

/// The tables by which events are found, compared with the events.
struct Files<'c> {
    conn: &'c Connection,
    listed: HashSet<Series>,
    before: Option<UnixMs>,
}

impl<'c> Files<'c> {
    fn of(conn: &'c Connection) -> rusqlite::Result<Self> {
        let listed = HashSet::new();
        Ok(Self {
            conn,
            listed,
            before: None,
        })
    }

    /// Whether an event is found by its series and, where the clock had been set back, by its time.
    fn hold(&mut self, series: Series, seq: Seq, at: UnixMs) -> rusqlite::Result<bool> {
        let is_step = self.before.is_some_and(|before| at < before);
        self.before = Some(at);
        if is_step && !events::is_clock_step(self.conn, seq.0)? {
            return Ok(false);
        }
        if self.listed.contains(&series) {
            return Ok(true);
        }
        if self.listed.len() >= SERIES_MAX {
            self.listed.clear();
        }
        let is_listed = series::is_listed(self.conn, series)?;
        if is_listed {
            self.listed.insert(series);
        }
        Ok(is_listed)
    }
}
