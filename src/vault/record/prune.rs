//! Forgetting the beginning of the record, with a checkpoint that proves what was forgotten.

use rusqlite::{Connection, OptionalExtension, params};

use super::verify::checkpoint;
use crate::audit::{ChainFault, Checkpoint, EventDraft, EventKind, Head, Origin, kept_mac};
use crate::domain::{Seq, UnixMs};
use crate::platform::{Actor, Clock};
use crate::vault::error::{Context, VaultError};
use crate::vault::file::journal::{Log, make_durable};
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::{events, runs, series};
use crate::vault::tx::Tx;

/// Between the statements that take the trigger out of the way and put it back, in one transaction,
/// events can be deleted.
const TRIGGER: &str = "events_no_delete";

/// The result of pruning the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// How many events were removed now.
    pub removed: u64,
    /// How many of those were kept: the newest change of each profile, the vault's upgrade.
    pub kept: u64,
    /// Up to which event the record was pruned.
    pub last: Seq,
}

struct Cut {
    last: i64,
    mac: [u8; 32],
}

impl UnlockedVault {
    /// Removes the events before `before`, but for the newest change of each profile and the newest
    /// `vault.upgraded`, and records a checkpoint: how many, up to which, its MAC, and a MAC over
    /// those that were kept. Where the clock had been set back, events are kept from the first on
    /// that is not before that time. Nothing is changed when there is nothing to remove.
    ///
    /// The file and the record are verified first, against a kept head if there is one: pruning
    /// must not remove what shows that something was altered. Only what was verified is removed.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/doc/vault.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (_dir, mut vault) = example_vault()?;
    /// use clawkeep::internal::domain::UnixMs;
    /// use clawkeep::internal::platform::{Actor, Clock};
    ///
    /// let head = vault.head()?;
    /// let a_day_later = UnixMs::from_ms(1_793_491_200_000 + 24 * 3_600_000);
    /// let pruned = vault.prune(a_day_later, head, &Actor::current("example"), Clock::System)?;
    /// let pruned = pruned.map_err(|fault| fault.to_string())?;
    /// assert_eq!(pruned.map(|pruned| (pruned.removed, pruned.kept)), Some((4, 1)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the vault is damaged, or cannot be read or written; nothing is changed then. What is
    /// wrong with the record itself is the inner result.
    pub fn prune(
        &mut self,
        before: UnixMs,
        head: Option<Head>,
        actor: &Actor,
        clock: Clock,
    ) -> Result<Result<Option<Pruned>, ChainFault>, VaultError> {
        // All this before the lock is taken: others write meanwhile.
        if let Some(what) = self.integrity_faults()?.into_iter().next() {
            let path = self.vault.path.clone();
            return Err(VaultError::Damaged { path, what });
        }
        let verified = match self.verify_record(head)? {
            Ok(verified) => verified,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut tx = self.begin(actor, clock)?;
        let pruned = tx.prune(before, verified.last)?;
        if pruned.is_some() {
            tx.commit()?;
            // what was pruned is to be in no file
            make_durable(&self.conn, &self.path, Log::Emptied)?;
        }
        Ok(Ok(pruned))
    }

    /// Gives the room of what was removed back to the file system. The whole file is written anew.
    ///
    /// # Errors
    /// When another process is at work, or the disk is full. Nothing is lost then.
    pub fn compact(&mut self) -> Result<(), VaultError> {
        let path = &self.vault.path;
        self.vault
            .conn
            .execute_batch("VACUUM")
            .at(path, "compact")?;
        make_durable(&self.vault.conn, path, Log::Emptied)
    }
}

impl Tx<'_> {
    /// Removes events up to `verified` at most.
    fn prune(&mut self, before: UnixMs, verified: Seq) -> Result<Option<Pruned>, VaultError> {
        let known = checkpoint(&self.tx).at(self.path, "read")?;
        let cut = self.cut(before, verified, known.as_ref());
        let Some(cut) = cut.at(self.path, "read")? else {
            return Ok(None);
        };
        let kept = self.to_keep(&cut).at(self.path, "read")?;
        if !self.is_worth_it(&cut, kept.len()).at(self.path, "read")? {
            return Ok(None);
        }
        self.keep(&kept, known.as_ref()).at(self.path, "write")?;
        let removed = self.remove(&cut).at(self.path, "write")?;
        self.tidy(&cut).at(self.path, "write")?;
        let checkpoint = Checkpoint {
            removed: removed + known.map_or(0, |known| known.removed),
            last: Seq(cut.last),
            mac: cut.mac,
            kept: kept.len() as u64,
            kept_mac: kept_mac(self.keys.chain.newest(), &kept),
        };
        let mut event = EventDraft::new(EventKind::AuditPruned, Origin::Clawkeep);
        event.detail = checkpoint.detail();
        self.append(None, event.detail("before", before.0))?;
        Ok(Some(Pruned {
            removed,
            kept: checkpoint.kept,
            last: checkpoint.last,
        }))
    }

    /// The last event of those with which the record begins that are before `before`.
    fn cut(
        &self,
        before: UnixMs,
        verified: Seq,
        known: Option<&Checkpoint>,
    ) -> rusqlite::Result<Option<Cut>> {
        let end = runs::prefix_before(&self.tx, before, verified.0)?;
        let from = known.map_or(0, |known| known.last.0);
        let cut = self
            .tx
            .prepare_cached(
                "SELECT seq, mac FROM events WHERE seq <= ?1 AND seq > ?2 ORDER BY seq DESC LIMIT \
                 1",
            )?
            .query_row([end, from], |row| {
                Ok(Cut {
                    last: row.get(0)?,
                    mac: row.get(1)?,
                })
            });
        cut.optional()
    }

    /// The events up to the cut that are to be kept: their numbers and MACs, oldest first.
    fn to_keep(&self, cut: &Cut) -> rusqlite::Result<Vec<(Seq, [u8; 32])>> {
        let mut wanted = newest_changes(&self.tx)?;
        // It refuses rows of an earlier schema that are put back: a vault is upgraded once.
        wanted.extend(events::newest_of_kind(&self.tx, EventKind::VaultUpgraded)?);
        let mut kept = Vec::new();
        for seq in wanted {
            if seq <= cut.last {
                let mac = events::mac_at(&self.tx, seq)?;
                kept.extend(mac.map(|mac| (Seq(seq), mac)));
            }
        }
        kept.sort_unstable();
        Ok(kept)
    }

    /// Whether there is more to remove than the marks of earlier prunings.
    fn is_worth_it(&self, cut: &Cut, kept: usize) -> rusqlite::Result<bool> {
        let others = "SELECT count(*) FROM events e JOIN actions a ON a.id = e.action WHERE e.seq \
            <= ?1 \
             AND a.kind <> coalesce((SELECT id FROM terms WHERE text = ?2), 0)";
        let others: i64 = self.tx.query_row(
            others,
            params![cut.last, EventKind::AuditPruned.as_str()],
            |row| row.get(0),
        )?;
        Ok(others.unsigned_abs() > kept as u64)
    }

    /// Notes which events are kept, each with the MAC of the one that was before it.
    fn keep(&self, kept: &[(Seq, [u8; 32])], known: Option<&Checkpoint>) -> rusqlite::Result<()> {
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
        let mut select = self.tx.prepare("SELECT seq FROM kept_events")?;
        let noted = select.query_map([], |row| row.get(0))?;
        let noted: Vec<i64> = noted.collect::<rusqlite::Result<_>>()?;
        let is_kept = |seq: &i64| kept.binary_search_by_key(seq, |(seq, _)| seq.0).is_ok();
        for superseded in noted.iter().filter(|seq| !is_kept(seq)) {
            self.tx
                .execute("DELETE FROM kept_events WHERE seq = ?1", [superseded])?;
        }
        Ok(())
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

fn newest_changes(conn: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut select = conn.prepare(
        "SELECT (SELECT e.seq FROM events e WHERE e.subject = s.id AND e.generation IS NOT NULL \
         ORDER BY e.generation DESC LIMIT 1) FROM subjects s",
    )?;
    let rows = select.query_map([], |row| row.get::<_, Option<i64>>(0))?;
    rows.filter_map(Result::transpose).collect()
}
