//! Asking the record, without a key: filters answered from indexes, a page of events at a time.

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::error::{Context, VaultError};
use super::file::Vault;
use super::{UnlockedVault, events, terms};
use crate::audit::{ChainFault, ChainVerifier, Direction, Event, EventKind, Filter, Head};
use crate::domain::Seq;

/// Events fetched at a time: bounds memory, whatever the record's length.
const PAGE: u64 = 512;

/// Events that match a filter, fetched as they are asked for.
#[derive(Debug)]
pub struct Events<'v> {
    vault: &'v Vault,
    conditions: Vec<String>,
    values: Vec<Value>,
    direction: Direction,
    left: Option<u64>,
    page: std::vec::IntoIter<Event>,
    after: Option<Seq>,
    done: bool,
}

impl Vault {
    /// The events that match `filter`.
    ///
    /// # Errors
    /// When the vault cannot be read. A name that no event has matches nothing.
    pub fn history(&self, filter: &Filter) -> Result<Events<'_>, VaultError> {
        let mut events = Events {
            vault: self,
            conditions: Vec::new(),
            values: Vec::new(),
            direction: filter.direction,
            left: filter.limit,
            page: Vec::new().into_iter(),
            after: None,
            done: false,
        };
        events.narrow(filter).at(&self.path, "read")?;
        Ok(events)
    }
}

impl Events<'_> {
    fn narrow(&mut self, filter: &Filter) -> rusqlite::Result<()> {
        for (column, text) in [
            ("profile", &filter.profile),
            ("provider", &filter.provider),
            ("agent", &filter.agent),
        ] {
            let Some(text) = text else { continue };
            match terms::find(&self.vault.conn, text)? {
                Some(id) => self.conditions.push(format!("e.{column} = {id}")),
                None => self.done = true,
            }
        }
        for (bound, op) in [(filter.since, ">="), (filter.until, "<")] {
            if let Some(at) = bound {
                self.values.push(Value::Integer(at.0));
                self.conditions
                    .push(format!("e.at {op} ?{}", self.values.len()));
            }
        }
        if !filter.kinds.is_empty() {
            let mut any = Vec::new();
            for kinds in &filter.kinds {
                let kind_ids = self.ids(kinds.kinds.iter().map(|kind| kind.as_str()))?;
                any.push(format!("e.kind IN ({kind_ids})"));
                if !kinds.synced_by.is_empty() {
                    let synced = self.ids([EventKind::SyncApplied.as_str()].into_iter())?;
                    let origins = self.ids(kinds.synced_by.iter().map(|origin| origin.as_str()))?;
                    any.push(format!("(e.kind IN ({synced}) AND e.origin IN ({origins}) AND e.token_before IS NOT NULL)"));
                }
            }
            self.conditions.push(format!("({})", any.join(" OR ")));
        }
        Ok(())
    }

    /// Ids of those names that occur in this vault, as an SQL list.
    fn ids<'n>(&self, names: impl Iterator<Item = &'n str>) -> rusqlite::Result<String> {
        let mut ids = Vec::new();
        for name in names {
            ids.extend(terms::find(&self.vault.conn, name)?.map(|id| id.to_string()));
        }
        Ok(ids.join(","))
    }

    fn fetch(&mut self) -> Result<(), VaultError> {
        let size = self.left.unwrap_or(PAGE).min(PAGE);
        if self.done || size == 0 {
            self.done = true;
            return Ok(());
        }
        let (past, order) = match self.direction {
            Direction::NewestFirst => ("<", "DESC"),
            Direction::OldestFirst => (">", "ASC"),
        };
        let mut conditions = self.conditions.clone();
        conditions.extend(self.after.map(|seq| format!("e.seq {past} {seq}")));
        let filter = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        let sql = format!(
            "{}{filter} ORDER BY e.seq {order} LIMIT {size}",
            events::SELECT
        );
        let read = || {
            let mut select = self.vault.conn.prepare_cached(&sql)?;
            select
                .query_map(params_from_iter(&self.values), events::read)?
                .collect::<rusqlite::Result<Vec<Event>>>()
        };
        let page = read().at(&self.vault.path, "read")?;
        self.done = (page.len() as u64) < size;
        self.left = self.left.map(|left| left - page.len() as u64);
        self.after = page.last().map(|event| event.seq).or(self.after);
        self.page = page.into_iter();
        Ok(())
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Event, VaultError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.page.next() {
                return Some(Ok(event));
            }
            if self.done {
                return None;
            }
            if let Err(error) = self.fetch() {
                self.done = true;
                return Some(Err(error));
            }
        }
    }
}

impl UnlockedVault {
    /// Verifies the whole record, oldest first, in constant memory, against a kept head if there is one: the number of events.
    ///
    /// # Errors
    /// When the record cannot be read. What is wrong with the record itself is the inner result.
    pub fn verify_record(&self, kept: Option<Head>) -> Result<Result<u64, ChainFault>, VaultError> {
        let mut verifier = match ChainVerifier::new(self.id, self.keys.audit.clone(), kept) {
            Ok(verifier) => verifier,
            Err(fault) => return Ok(Err(fault)),
        };
        let oldest_first = Filter {
            direction: Direction::OldestFirst,
            ..Filter::default()
        };
        for event in self.vault.history(&oldest_first)? {
            if let Err(fault) = verifier.check(&event?) {
                return Ok(Err(fault));
            }
        }
        Ok(verifier.finish().map(|(count, _)| count))
    }
}
