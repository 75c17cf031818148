//! Series: what many events share, each combination once, and those that a filter asks for.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::terms;
use crate::audit::{Event, Filter, imported_refreshes};

/// One series: whom its events are about, and what was done by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::vault) struct Series {
    pub(in crate::vault) subject: i64,
    pub(in crate::vault) action: i64,
}

#[derive(Debug)]
pub(in crate::vault) enum Selection {
    All,
    /// Only these series, in order.
    Some(Vec<Series>),
}

pub(in crate::vault) const SUBJECT: &str =
    "SELECT id FROM subjects WHERE profile IS ?1 AND agent IS ?2";
pub(in crate::vault) const ACTION: &str = "SELECT id FROM actions WHERE kind = ?1 AND outcome = \
    ?2 AND origin = ?3 AND provider IS ?4 AND actor = ?5";
pub(in crate::vault) const OF_SUBJECT: &str = "SELECT action FROM series WHERE subject = ?1";
pub(in crate::vault) const OF_ACTION: &str = "SELECT subject FROM series WHERE action = ?1";

fn find_subject(
    conn: &Connection,
    agent: Option<i64>,
    profile: Option<i64>,
) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(SUBJECT)?
        .query_row([profile, agent], |row| row.get(0))
        .optional()
}

/// The series of an event, made if it is the first.
pub(in crate::vault) fn intern(
    conn: &Connection,
    actor: i64,
    event: &Event,
) -> rusqlite::Result<Series> {
    let agent = terms::intern_optional(conn, event.agent.as_deref())?;
    let profile = terms::intern_optional(conn, event.profile.as_deref())?;
    let subject = match find_subject(conn, agent, profile)? {
        Some(known) => known,
        None => {
            conn.prepare_cached("INSERT INTO subjects (agent, profile) VALUES (?1, ?2)")?
                .execute([agent, profile])?;
            conn.last_insert_rowid()
        }
    };
    let kind = terms::intern(conn, &event.kind)?;
    let outcome = terms::intern(conn, &event.outcome)?;
    let origin = terms::intern(conn, &event.origin)?;
    let provider = terms::intern_optional(conn, event.provider.as_deref())?;
    let what = params![kind, outcome, origin, provider, actor];
    let known = conn
        .prepare_cached(ACTION)?
        .query_row(what, |row| row.get(0))
        .optional()?;
    let action = match known {
        Some(known) => known,
        None => {
            conn.prepare_cached(
                "INSERT INTO actions (kind, outcome, origin, provider, actor) VALUES (?1, ?2, ?3, \
                 ?4, ?5)",
            )?
            .execute(what)?;
            conn.last_insert_rowid()
        }
    };
    conn.prepare_cached("INSERT OR IGNORE INTO series (subject, action) VALUES (?1, ?2)")?
        .execute([subject, action])?;
    Ok(Series { subject, action })
}

/// Whether a series is among those that filters search.
pub(in crate::vault) fn is_listed(conn: &Connection, series: Series) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM series WHERE subject = ?1 AND action = ?2)")?
        .query_row([series.subject, series.action], |row| row.get(0))
}

/// The series whose events can match `filter`: all that do are in one of them. A name that no event
/// has gives none.
pub(in crate::vault) fn select(conn: &Connection, filter: &Filter) -> rusqlite::Result<Selection> {
    let (subjects, actions) = (wanted_subjects(conn, filter)?, actions(conn, filter)?);
    let ids = |sql: &str, id: i64| -> rusqlite::Result<Vec<i64>> {
        let mut select = conn.prepare_cached(sql)?;
        select.query_map([id], |row| row.get(0))?.collect()
    };
    let mut found = Vec::new();
    match (subjects, actions) {
        (None, None) => return Ok(Selection::All),
        (None, Some(actions)) => {
            for action in actions {
                let subjects = ids(OF_ACTION, action)?.into_iter();
                found.extend(subjects.map(|subject| Series { subject, action }));
            }
        }
        (Some(subjects), actions) => {
            for subject in subjects {
                let of_subject = ids(OF_SUBJECT, subject)?.into_iter();
                let wanted = of_subject.filter(|action| {
                    actions
                        .as_ref()
                        .is_none_or(|actions| actions.contains(action))
                });
                found.extend(wanted.map(|action| Series { subject, action }));
            }
        }
    }
    found.sort_unstable();
    Ok(Selection::Some(found))
}

/// Forgets the series that have no event any more.
pub(in crate::vault) fn forget_empty(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute(
        "DELETE FROM series WHERE NOT EXISTS \
         (SELECT 1 FROM events e WHERE e.subject = series.subject AND e.action = series.action)",
        [],
    )
    .map(|_| ())
}

pub(in crate::vault) fn all(conn: &Connection) -> rusqlite::Result<Vec<Series>> {
    let mut select =
        conn.prepare_cached("SELECT subject, action FROM series ORDER BY subject, action")?;
    let rows = select.query_map([], |row| {
        Ok(Series {
            subject: row.get(0)?,
            action: row.get(1)?,
        })
    })?;
    rows.collect()
}

pub(in crate::vault) fn subjects(conn: &Connection, filter: &Filter) -> rusqlite::Result<Vec<i64>> {
    if let Some(found) = wanted_subjects(conn, filter)? {
        return Ok(found);
    }
    let mut select = conn.prepare_cached("SELECT id FROM subjects ORDER BY agent, profile")?;
    select.query_map([], |row| row.get(0))?.collect()
}

/// The subjects a filter asks for; `None`: any.
fn wanted_subjects(conn: &Connection, filter: &Filter) -> rusqlite::Result<Option<Vec<i64>>> {
    let mut conditions = Conditions::default();
    for (column, text) in [("profile", &filter.profile), ("agent", &filter.agent)] {
        if let Some(text) = text {
            conditions.is(column, terms::find(conn, text)?);
        }
    }
    conditions.ids(conn, "subjects")
}

/// The actions a filter asks for; `None`: any.
fn actions(conn: &Connection, filter: &Filter) -> rusqlite::Result<Option<BTreeSet<i64>>> {
    let mut shared = Conditions::default();
    let names = [
        ("provider", filter.provider.as_deref()),
        ("origin", filter.origin.map(|origin| origin.as_str())),
        ("outcome", filter.outcome.map(|outcome| outcome.as_str())),
    ];
    for (column, text) in names {
        if let Some(text) = text {
            shared.is(column, terms::find(conn, text)?);
        }
    }
    if filter.kinds.is_empty() {
        let ids = shared.ids(conn, "actions")?;
        return Ok(ids.map(BTreeSet::from_iter));
    }
    let mut found = BTreeSet::new();
    let mut add = |kind: &str, origin: Option<&str>| -> rusqlite::Result<()> {
        let mut conditions = shared.clone();
        conditions.is("kind", terms::find(conn, kind)?);
        if let Some(origin) = origin {
            conditions.is("origin", terms::find(conn, origin)?);
        }
        found.extend(conditions.ids(conn, "actions")?.unwrap_or_default());
        Ok(())
    };
    for kinds in &filter.kinds {
        for kind in &kinds.kinds {
            add(kind.as_str(), None)?;
        }
        if kinds.includes_imported_refreshes {
            for (kind, origin) in imported_refreshes() {
                add(kind.as_str(), Some(origin.as_str()))?;
            }
        }
    }
    Ok(Some(found))
}

/// Columns that must have a value each. A text without an id is in no row.
#[derive(Clone, Default)]
struct Conditions {
    terms: Vec<&'static str>,
    values: Vec<Value>,
    is_never: bool,
}

impl Conditions {
    fn is(&mut self, column: &'static str, id: Option<i64>) {
        match id {
            Some(id) => {
                self.terms.push(column);
                self.values.push(Value::Integer(id));
            }
            None => self.is_never = true,
        }
    }

    /// The ids of the rows; `None` where there is no condition.
    fn ids(&self, conn: &Connection, table: &'static str) -> rusqlite::Result<Option<Vec<i64>>> {
        if self.is_never {
            return Ok(Some(Vec::new()));
        }
        if self.terms.is_empty() {
            return Ok(None);
        }
        let mut select = conn.prepare_cached(&ids_sql(table, &self.terms))?;
        let ids = select.query_map(params_from_iter(&self.values), |row| row.get(0))?;
        ids.collect::<rusqlite::Result<_>>().map(Some)
    }
}

/// The statement for rows of `table` that have a value each in `columns`.
pub(in crate::vault) fn ids_sql(table: &str, columns: &[&str]) -> String {
    let equal: Vec<String> = columns
        .iter()
        .map(|column| format!("{column} = ?"))
        .collect();
    format!("SELECT id FROM {table} WHERE {}", equal.join(" AND "))
}
