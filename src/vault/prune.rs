//! Forgetting the beginning of the record, with a checkpoint that proves what was forgotten.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::{Context, VaultError};
use super::verify::{checkpoint, verify};
use super::{Tx, UnlockedVault, events, runs, series};
use crate::audit::{ChainFault, Checkpoint, EventDraft, EventKind, Head, Origin, kept_mac};
use crate::domain::{Seq, UnixMs};

/// Between the statements that take the trigger out of the way and put it back, in one transaction, events can be deleted.
const TRIGGER: &str = "events_no_delete";

/// What pruning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// How many events were removed now.
    pub removed: u64,
    /// How many before that time were kept: the newest change of each profile.
    pub kept: u64,
    /// Up to which event the record was pruned.
    pub last: Seq,
}

/// Where the record is cut.
struct Cut {
    last: i64,
    mac: [u8; 32],
}

impl Tx<'_> {
    /// Removes the events before `before`, but for the newest change of each profile, and records a checkpoint: how many, up to
    /// which, its MAC, and a MAC over those that were kept. Where the clock had been set back, events are kept from the first on
    /// that is not before that time. Nothing happens, and nothing is recorded, when there is nothing to remove.
    ///
    /// The record is verified first, against a kept head if there is one: pruning must not remove what shows that something
    /// was altered.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/doc/vault.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (_dir, mut vault) = example_vault()?;
    /// use clawkeep::domain::UnixMs;
    /// use clawkeep::platform::{Actor, Clock};
    ///
    /// let head = vault.head()?;
    /// let mut tx = vault.begin(&Actor::current("example"), Clock::System)?;
    /// let a_day_later = UnixMs(1_793_491_200_000 + 24 * 3_600_000);
    /// let pruned = tx.prune(a_day_later, head)?.map_err(|fault| fault.to_string())?;
    /// tx.commit()?;
    /// assert_eq!(pruned.map(|pruned| (pruned.removed, pruned.kept)), Some((4, 1)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the vault cannot be read or written; the transaction must then not be committed. What is wrong with the record
    /// itself is the inner result.
    pub fn prune(
        &mut self,
        before: UnixMs,
        head: Option<Head>,
    ) -> Result<Result<Option<Pruned>, ChainFault>, VaultError> {
        let known = checkpoint(&self.tx).at(self.path, "read")?;
        let Some(cut) = self.cut(before, known.as_ref()).at(self.path, "read")? else {
            return Ok(Ok(None));
        };
        let verified =
            verify(&self.tx, (self.vault, &self.keys.audit), head).at(self.path, "read")?;
        if let Err(fault) = verified {
            return Ok(Err(fault));
        }
        let kept = self.keep(&cut, known.as_ref()).at(self.path, "write")?;
        let removed = self.remove(&cut).at(self.path, "write")?;
        if removed == 0 {
            return Ok(Ok(None));
        }
        self.tidy(&cut).at(self.path, "write")?;
        let checkpoint = Checkpoint {
            removed: removed + known.map_or(0, |known| known.removed),
            last: Seq(cut.last),
            mac: cut.mac,
            kept: kept.len() as u64,
            kept_mac: kept_mac(&self.keys.audit, &kept),
        };
        let mut event = EventDraft::new(EventKind::AuditPruned, Origin::Clawkeep);
        event.detail = checkpoint.detail();
        self.append(None, event.detail("before", before.0))?;
        Ok(Ok(Some(Pruned {
            removed,
            kept: checkpoint.kept,
            last: checkpoint.last,
        })))
    }

    /// The last event of those with which the record begins that are before `before`.
    fn cut(&self, before: UnixMs, known: Option<&Checkpoint>) -> rusqlite::Result<Option<Cut>> {
        let last = events::last(&self.tx)?.map_or(0, |last| last.seq);
        let end = runs::prefix_before(&self.tx, before, last)?;
        let from = known.map_or(0, |known| known.last.0);
        let cut = self
            .tx
            .prepare_cached("SELECT seq, mac FROM events WHERE seq <= ?1 AND seq > ?2 ORDER BY seq DESC LIMIT 1")?
            .query_row([end, from], |row| {
                Ok(Cut {
                    last: row.get(0)?,
                    mac: row.get(1)?,
                })
            });
        cut.optional()
    }

    /// Notes which events up to the cut are kept, each with the MAC before it; their numbers and MACs, oldest first.
    fn keep(
        &self,
        cut: &Cut,
        known: Option<&Checkpoint>,
    ) -> rusqlite::Result<Vec<(Seq, [u8; 32])>> {
        let newest: Vec<i64> = newest_changes(&self.tx)?;
        let mut kept = Vec::new();
        for seq in newest.into_iter().filter(|seq| *seq <= cut.last) {
            let mac = events::mac_at(&self.tx, seq)?;
            kept.extend(mac.map(|mac| (Seq(seq), mac)));
        }
        kept.sort_unstable();
        let is_new = |seq: &Seq| known.is_none_or(|known| *seq > known.last);
        for (seq, _) in kept.iter().filter(|(seq, _)| is_new(seq)) {
            let previous = match known.filter(|known| known.last.0 == seq.0 - 1) {
                Some(known) => Some(known.mac),
                None => events::mac_at(&self.tx, seq.0 - 1)?,
            };
            // The first event of all follows 32 zero bytes.
            let previous = previous.unwrap_or_default();
            self.tx.execute(
                "INSERT INTO kept_events (seq, previous_mac) VALUES (?1, ?2)",
                params![seq.0, previous],
            )?;
        }
        let numbers: Vec<i64> = kept.iter().map(|(seq, _)| seq.0).collect();
        let superseded: Vec<i64> = self
            .tx
            .prepare("SELECT seq FROM kept_events")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for seq in superseded
            .iter()
            .filter(|seq| numbers.binary_search(seq).is_err())
        {
            self.tx
                .execute("DELETE FROM kept_events WHERE seq = ?1", [seq])?;
        }
        Ok(kept)
    }

    fn remove(&self, cut: &Cut) -> rusqlite::Result<u64> {
        let trigger: String = self.tx.query_row(
            "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?1",
            [TRIGGER],
            |row| row.get(0),
        )?;
        self.tx.execute_batch(&format!("DROP TRIGGER {TRIGGER}"))?;
        let removed = self.tx.execute(
            "DELETE FROM events WHERE seq <= ?1 AND seq NOT IN (SELECT seq FROM kept_events)",
            [cut.last],
        )?;
        self.tx.execute_batch(&trigger)?;
        Ok(removed as u64)
    }

    /// Brings what events are found by in step with those that are left.
    fn tidy(&self, cut: &Cut) -> rusqlite::Result<()> {
        series::forget_empty(&self.tx)?;
        let mut left = self
            .tx
            .prepare("SELECT seq, at FROM events WHERE seq <= ?1 ORDER BY seq")?;
        let left = left.query_map([cut.last], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut left: Vec<(i64, i64)> = left.collect::<rusqlite::Result<_>>()?;
        let next = "SELECT seq, at FROM events WHERE seq > ?1 ORDER BY seq LIMIT 1";
        let next = self
            .tx
            .query_row(next, [cut.last], |row| Ok((row.get(0)?, row.get(1)?)));
        left.extend(next.optional()?);
        let through = left.last().map_or(cut.last, |(seq, _)| *seq);
        self.tx
            .execute("DELETE FROM clock_steps WHERE seq <= ?1", [through])?;
        for pair in left.windows(2) {
            if let [(_, before), (seq, at)] = pair
                && at < before
            {
                events::note_clock_step(&self.tx, *seq)?;
            }
        }
        Ok(())
    }
}

/// The newest change of each profile.
fn newest_changes(conn: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut select = conn.prepare(
        "SELECT (SELECT e.seq FROM events e WHERE e.subject = s.id AND e.generation IS NOT NULL \
         ORDER BY e.generation DESC LIMIT 1) FROM subjects s",
    )?;
    let rows = select.query_map([], |row| row.get::<_, Option<i64>>(0))?;
    rows.filter_map(Result::transpose).collect()
}

impl UnlockedVault {
    /// Gives the room of what was removed back to the file system. The whole file is written anew.
    ///
    /// # Errors
    /// When another process is at work, or the disk is full. Nothing is lost then.
    pub fn compact(&mut self) -> Result<(), VaultError> {
        let path = &self.vault.path;
        self.vault.conn.execute_batch("VACUUM").at(path, "compact")
    }
}
