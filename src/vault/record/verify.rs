//! Proving the record: every event against the chain, in constant memory.

use crate::vault::file::read_only::read_transaction;
use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};

use super::history::through_sql;
use crate::audit::{ChainFault, ChainKeys, ChainVerifier, Checkpoint, EventKind, Head, Verified};
use crate::domain::{Seq, UnixMs, VaultId};
use crate::vault::error::{Context, VaultError};
use crate::vault::file::vault::Vault;
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::events::{self, Labels};
use crate::vault::log::series::{self, Series};

/// How many series are known to be listed before they are forgotten: bounds memory.
const SERIES_MAX: usize = 65_536;

impl Vault {
    /// What the record says of events that were pruned from it. It is proved by verifying.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, VaultError> {
        checkpoint(&self.conn).at(&self.path, "read")
    }

    /// When the oldest event was recorded that pruning has not been at yet.
    pub fn oldest_unpruned(&self) -> Result<Option<UnixMs>, VaultError> {
        let read = || -> rusqlite::Result<Option<i64>> {
            let pruned = checkpoint(&self.conn)?.map_or(0, |checkpoint| checkpoint.last.0);
            let select = "SELECT at FROM events WHERE seq > ?1 ORDER BY seq LIMIT 1";
            self.conn
                .query_row(select, [pruned], |row| row.get(0))
                .optional()
        };
        Ok(read().at(&self.path, "read")?.map(UnixMs))
    }
}

impl UnlockedVault {
    /// Verifies the whole record, oldest first, in constant memory, against a kept head if there is
    /// one.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/doc/vault.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (_dir, vault) = example_vault()?;
    /// let kept = vault.head()?; // somewhere else, on paper, in the system log
    /// match vault.verify_record(kept)? {
    ///     Ok(verified) => assert_eq!(verified.events, 5),
    ///     Err(fault) => panic!("the audit record does not verify: {fault}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the record cannot be read. What is wrong with the record itself is the inner result.
    pub fn verify_record(
        &self,
        head: Option<Head>,
    ) -> Result<Result<Verified, ChainFault>, VaultError> {
        // all of it as it is now
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        verify(&self.conn, (self.id, &keys.chain), head).at(&self.path, "read")
    }
}

/// Verifies the record as a transaction that is under way sees it.
pub(in crate::vault) fn verify(
    conn: &Connection,
    (vault, keys): (VaultId, &ChainKeys),
    head: Option<Head>,
) -> rusqlite::Result<Result<Verified, ChainFault>> {
    let checkpoint = checkpoint(conn)?;
    let mut verifier = match ChainVerifier::new(vault, keys.clone(), head, checkpoint) {
        Ok(verifier) => verifier,
        Err(fault) => return Ok(Err(fault)),
    };
    let mut labels = Labels::default();
    let mut files = Files::of(conn);
    let mut select = conn.prepare(&through_sql("ASC"))?;
    let mut rows = select.query([i64::MIN, i64::MAX])?;
    while let Some(row) = rows.next()? {
        let event = labels.read(conn, row)?;
        let checked = if verifier.is_kept(event.seq) {
            files.kept += 1;
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
    let checked = verifier.finish();
    Ok(match checked {
        Ok(verified) if !files.are_whole()? => Err(ChainFault::Misfiled { seq: verified.last }),
        other => other,
    })
}

/// What the record says of events that were pruned from it.
pub(in crate::vault) fn checkpoint(conn: &Connection) -> rusqlite::Result<Option<Checkpoint>> {
    let detail = events::newest_detail(conn, EventKind::AuditPruned)?;
    Ok(detail.and_then(|detail| Checkpoint::parse(&detail)))
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
    steps: i64,
    /// Events that outlived pruning.
    kept: i64,
}

impl<'c> Files<'c> {
    fn of(conn: &'c Connection) -> Self {
        let listed = HashSet::new();
        Self {
            conn,
            listed,
            before: None,
            steps: 0,
            kept: 0,
        }
    }

    /// Whether an event is found by its series and, where the clock had been set back, by its time.
    fn hold(&mut self, series: Series, seq: Seq, at: UnixMs) -> rusqlite::Result<bool> {
        let is_step = self.before.is_some_and(|before| at < before);
        self.before = Some(at);
        self.steps += i64::from(is_step);
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

    /// Whether nothing else is in them: no other step of the clock, no other kept event, no second
    /// subject or action of the same texts; and no series without its subject: one of an event
    /// about nothing in particular reads the same when it is gone.
    fn are_whole(&self) -> rusqlite::Result<bool> {
        let count =
            |sql: &str| -> rusqlite::Result<i64> { self.conn.query_row(sql, [], |row| row.get(0)) };
        let twice = "SELECT (SELECT count(*) FROM (SELECT 1 FROM subjects GROUP BY agent, profile \
            HAVING count(*) > 1)) + \
             (SELECT count(*) FROM (SELECT 1 FROM actions GROUP BY kind, outcome, origin, \
             provider, actor HAVING count(*) > 1)) + \
             (SELECT count(*) FROM series WHERE subject NOT IN (SELECT id FROM subjects))";
        Ok(count("SELECT count(*) FROM clock_steps")? == self.steps
            && count("SELECT count(*) FROM kept_events")? == self.kept
            && count(twice)? == 0)
    }
}
