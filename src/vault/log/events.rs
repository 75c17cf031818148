//! The record's table: appending, and reading rows back.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::series::{self, Series};
use super::terms;
use crate::audit::{Event, EventActor, EventKind};
use crate::domain::{Seq, UnixMs};
use crate::platform::Actor;

/// Columns of an event in the order [`Labels::read`] expects them.
pub(in crate::vault) const COLUMNS: &str = "seq, at, subject, action, pid, session, generation, \
    token_before, token_after, expires_before, \
                                  expires_after, detail, mac";

/// How many subjects, actions and sessions each are kept while events are read: bounds memory,
/// whatever the record holds.
const LABELS_MAX: usize = 4096;

/// The subjects of the events of series.
#[derive(Debug, Default)]
pub(in crate::vault) struct Subject {
    pub(in crate::vault) agent: Option<Arc<str>>,
    pub(in crate::vault) profile: Option<Arc<str>>,
}

/// What was done in the events of a series, and by whom.
#[derive(Debug)]
pub(in crate::vault) struct Action {
    pub(in crate::vault) kind: Arc<str>,
    pub(in crate::vault) outcome: Arc<str>,
    pub(in crate::vault) origin: Arc<str>,
    pub(in crate::vault) provider: Option<Arc<str>>,
    pub(in crate::vault) program: Arc<str>,
    pub(in crate::vault) uid: i64,
    pub(in crate::vault) host: Arc<str>,
    pub(in crate::vault) parent: Option<Arc<str>>,
}

/// The texts that events share, read once. An event whose texts were taken away is still one:
/// verifying it says that it was altered.
#[derive(Debug, Default)]
pub(in crate::vault) struct Labels {
    subjects: HashMap<i64, Rc<Subject>>,
    actions: HashMap<i64, Rc<Action>>,
    sessions: HashMap<i64, Arc<str>>,
}

/// What `map` has for `key`, read if it has nothing.
fn kept<T: Clone>(
    map: &mut HashMap<i64, T>,
    key: i64,
    read: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    if let Some(known) = map.get(&key) {
        return Ok(known.clone());
    }
    if map.len() >= LABELS_MAX {
        map.clear();
    }
    let value = read()?;
    map.insert(key, value.clone());
    Ok(value)
}

impl Labels {
    /// Reads a row of [`COLUMNS`].
    pub(in crate::vault) fn read(
        &mut self,
        conn: &Connection,
        row: &Row<'_>,
    ) -> rusqlite::Result<Event> {
        let subject = self.subject(conn, row.get(2)?)?;
        let action = self.action(conn, row.get(3)?)?;
        let session: Option<i64> = row.get(5)?;
        Ok(Event {
            seq: Seq(row.get(0)?),
            at: UnixMs(row.get(1)?),
            kind: action.kind.clone(),
            outcome: action.outcome.clone(),
            origin: action.origin.clone(),
            agent: subject.agent.clone(),
            profile: subject.profile.clone(),
            provider: action.provider.clone(),
            actor: EventActor {
                program: action.program.clone(),
                pid: row.get(4)?,
                uid: action.uid,
                host: action.host.clone(),
                parent: action.parent.clone(),
            },
            session: session.map(|id| self.session(conn, id)).transpose()?,
            generation: row.get(6)?,
            token_before: row.get(7)?,
            token_after: row.get(8)?,
            expires_before: row.get(9)?,
            expires_after: row.get(10)?,
            detail: row.get(11)?,
            mac: row.get(12)?,
        })
    }

    pub(in crate::vault) fn subject(
        &mut self,
        conn: &Connection,
        id: i64,
    ) -> rusqlite::Result<Rc<Subject>> {
        kept(&mut self.subjects, id, || {
            let subject = conn
                .prepare_cached(
                    "SELECT a.text, p.text FROM subjects s LEFT JOIN terms a ON a.id = s.agent \
                     LEFT JOIN terms p ON p.id = s.profile WHERE s.id = ?1",
                )?
                .query_row([id], |row| {
                    Ok(Subject {
                        agent: row.get(0)?,
                        profile: row.get(1)?,
                    })
                })
                .optional()?;
            Ok(Rc::new(subject.unwrap_or_default()))
        })
    }

    pub(in crate::vault) fn action(
        &mut self,
        conn: &Connection,
        id: i64,
    ) -> rusqlite::Result<Rc<Action>> {
        kept(&mut self.actions, id, || {
            let select = "SELECT coalesce(k.text, ''), coalesce(o.text, ''), coalesce(g.text, \
                ''), v.text, \
                 coalesce(w.program, ''), coalesce(w.uid, 0), coalesce(w.host, ''), \
                 coalesce(w.parent, '') \
                 FROM (SELECT ?1 AS id) this LEFT JOIN actions a ON a.id = this.id \
                 LEFT JOIN terms k ON k.id = a.kind LEFT JOIN terms o ON o.id = a.outcome LEFT \
                 JOIN terms g ON g.id = a.origin \
                 LEFT JOIN terms v ON v.id = a.provider LEFT JOIN actors w ON w.id = a.actor";
            let action = conn.prepare_cached(select)?.query_row([id], |row| {
                let parent: Arc<str> = row.get(7)?;
                Ok(Action {
                    kind: row.get(0)?,
                    outcome: row.get(1)?,
                    origin: row.get(2)?,
                    provider: row.get(3)?,
                    program: row.get(4)?,
                    uid: row.get(5)?,
                    host: row.get(6)?,
                    parent: (!parent.is_empty()).then_some(parent),
                })
            })?;
            Ok(Rc::new(action))
        })
    }

    fn session(&mut self, conn: &Connection, id: i64) -> rusqlite::Result<Arc<str>> {
        kept(&mut self.sessions, id, || {
            let text = conn
                .prepare_cached("SELECT text FROM terms WHERE id = ?1")?
                .query_row([id], |row| row.get(0))
                .optional()?;
            Ok(text.unwrap_or_else(|| "".into()))
        })
    }
}

/// The end of the record.
#[derive(Clone, Copy, Debug)]
pub(in crate::vault) struct Last {
    pub(in crate::vault) seq: i64,
    pub(in crate::vault) at: i64,
    pub(in crate::vault) mac: [u8; 32],
}

pub(in crate::vault) fn last(conn: &Connection) -> rusqlite::Result<Option<Last>> {
    conn.prepare_cached("SELECT seq, at, mac FROM events ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| {
            Ok(Last {
                seq: row.get(0)?,
                at: row.get(1)?,
                mac: row.get(2)?,
            })
        })
        .optional()
}

/// Whether an event after the one numbered `seq` records anything but a use.
pub(in crate::vault) fn has_change_after(conn: &Connection, seq: i64) -> rusqlite::Result<bool> {
    let mut select = conn.prepare_cached(
        "SELECT t.text FROM events e JOIN actions a ON a.id = e.action \
         JOIN terms t ON t.id = a.kind WHERE e.seq > ?1 ORDER BY e.seq DESC",
    )?;
    let mut rows = select.query([seq])?;
    while let Some(row) = rows.next()? {
        let kind: String = row.get(0)?;
        if !EventKind::from_name(&kind).is_some_and(EventKind::is_use) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(in crate::vault) fn mac_at(conn: &Connection, seq: i64) -> rusqlite::Result<Option<[u8; 32]>> {
    conn.query_row("SELECT mac FROM events WHERE seq = ?1", [seq], |row| {
        row.get(0)
    })
    .optional()
}

pub(in crate::vault) fn newest_generation(
    conn: &Connection,
    agent: i64,
    profile: i64,
) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(NEWEST_GENERATION)?
        .query_row([agent, profile], |row| row.get(0))
}

pub(in crate::vault) fn newest_change(
    conn: &Connection,
    agent: i64,
    profile: i64,
) -> rusqlite::Result<Option<Last>> {
    conn.prepare_cached(
        "SELECT e.seq, e.at, e.mac FROM subjects s JOIN events e ON e.subject = s.id \
         WHERE s.agent = ?1 AND s.profile = ?2 AND e.generation IS NOT NULL ORDER BY e.generation \
         DESC, e.seq DESC LIMIT 1",
    )?
    .query_row([agent, profile], |row| {
        Ok(Last {
            seq: row.get(0)?,
            at: row.get(1)?,
            mac: row.get(2)?,
        })
    })
    .optional()
}

/// Over every subject of an agent and a profile: there is one, unless somebody has put in another.
const NEWEST_GENERATION: &str = "SELECT max(e.generation) FROM subjects s JOIN events e ON \
    e.subject = s.id \
     WHERE s.agent = ?1 AND s.profile = ?2 AND e.generation IS NOT NULL";

pub(in crate::vault) fn actor_id(conn: &Connection, actor: &Actor) -> rusqlite::Result<i64> {
    let parent = actor.parent.as_deref().unwrap_or_default();
    let who = params![actor.program, actor.uid, actor.host, parent];
    let known = conn
        .prepare_cached(
            "SELECT id FROM actors WHERE program = ?1 AND uid = ?2 AND host = ?3 AND parent = ?4",
        )?
        .query_row(who, |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    conn.execute(
        "INSERT INTO actors (program, uid, host, parent) VALUES (?1, ?2, ?3, ?4)",
        who,
    )?;
    Ok(conn.last_insert_rowid())
}

/// Inserts an event whose MAC is computed; the number of rows changed, which must be 1.
pub(in crate::vault) fn insert(
    conn: &Connection,
    actor: i64,
    event: &Event,
) -> rusqlite::Result<usize> {
    let Series { subject, action } = series::intern(conn, actor, event)?;
    let session = terms::intern_optional(conn, event.session.as_deref())?;
    conn.prepare_cached(
        "INSERT INTO events (seq, at, subject, action, pid, session, generation, token_before, \
         token_after, \
         expires_before, expires_after, detail, mac) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        event.seq.0,
        event.at.0,
        subject,
        action,
        event.actor.pid,
        session,
        event.generation,
        event.token_before,
        event.token_after,
        event.expires_before,
        event.expires_after,
        event.detail,
        event.mac,
    ])
}

/// Notes that the clock stood earlier at an event than at the one before it.
pub(in crate::vault) fn note_clock_step(conn: &Connection, seq: i64) -> rusqlite::Result<()> {
    // One that is there already was put there by somebody else; verifying says so.
    conn.execute("INSERT OR IGNORE INTO clock_steps (seq) VALUES (?1)", [seq])
        .map(|_| ())
}

/// Whether the clock is noted to have stood earlier at an event than at the one before it.
pub(in crate::vault) fn is_clock_step(conn: &Connection, seq: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM clock_steps WHERE seq = ?1)")?
        .query_row([seq], |row| row.get(0))
}

pub(in crate::vault) const NEWEST_OF_KIND: &str = "SELECT e.detail FROM actions a JOIN series s \
    ON s.action = a.id \
     JOIN events e ON e.subject = s.subject AND e.action = s.action \
     WHERE a.kind = (SELECT id FROM terms WHERE text = ?1) ORDER BY e.seq DESC LIMIT 1";

pub(in crate::vault) const WHEN_NEWEST_OF_KIND: &str = "SELECT e.at FROM actions a JOIN series s \
    ON s.action = a.id \
     JOIN events e ON e.subject = s.subject AND e.action = s.action \
     WHERE a.kind = (SELECT id FROM terms WHERE text = ?1) ORDER BY e.seq DESC LIMIT 1";

pub(in crate::vault) fn newest_of_kind(
    conn: &Connection,
    kind: EventKind,
) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(
        "SELECT e.seq FROM actions a JOIN series s ON s.action = a.id \
         JOIN events e ON e.subject = s.subject AND e.action = s.action \
         WHERE a.kind = (SELECT id FROM terms WHERE text = ?1) ORDER BY e.seq DESC LIMIT 1",
    )?
    .query_row([kind.as_str()], |row| row.get(0))
    .optional()
}

pub(in crate::vault) fn newest_detail(
    conn: &Connection,
    kind: EventKind,
) -> rusqlite::Result<Option<String>> {
    let newest = conn
        .prepare_cached(NEWEST_OF_KIND)?
        .query_row([kind.as_str()], |row| row.get(0));
    newest.optional().map(Option::flatten)
}
