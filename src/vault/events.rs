//! The record's table: appending, and reading rows back.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::terms;
use crate::audit::{Event, EventActor};
use crate::domain::{Seq, UnixMs};
use crate::platform::Actor;

/// Columns of an event with its texts, in the order [`read`] expects them. An event whose texts were taken away is still
/// one: verifying it says that it was altered.
pub(super) const SELECT: &str = "SELECT e.seq, e.at, coalesce(k.text, ''), coalesce(o.text, ''), coalesce(g.text, ''), \
    a.text, p.text, v.text, coalesce(w.program, ''), e.pid, coalesce(w.uid, 0), coalesce(w.host, ''), \
    coalesce(w.parent, ''), s.text, e.generation, e.token_before, e.token_after, \
    e.expires_before, e.expires_after, e.detail, e.mac \
    FROM events e LEFT JOIN terms k ON k.id = e.kind LEFT JOIN terms o ON o.id = e.outcome \
    LEFT JOIN terms g ON g.id = e.origin LEFT JOIN actors w ON w.id = e.actor LEFT JOIN terms a ON a.id = e.agent \
    LEFT JOIN terms p ON p.id = e.profile LEFT JOIN terms v ON v.id = e.provider LEFT JOIN terms s ON s.id = e.session";

/// Reads a row of [`SELECT`].
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Event> {
    let parent: String = row.get(12)?;
    Ok(Event {
        seq: Seq(row.get(0)?),
        at: UnixMs(row.get(1)?),
        kind: row.get(2)?,
        outcome: row.get(3)?,
        origin: row.get(4)?,
        agent: row.get(5)?,
        profile: row.get(6)?,
        provider: row.get(7)?,
        actor: EventActor {
            program: row.get(8)?,
            pid: row.get(9)?,
            uid: row.get(10)?,
            host: row.get(11)?,
            parent: (!parent.is_empty()).then_some(parent),
        },
        session: row.get(13)?,
        generation: row.get(14)?,
        token_before: row.get(15)?,
        token_after: row.get(16)?,
        expires_before: row.get(17)?,
        expires_after: row.get(18)?,
        detail: row.get(19)?,
        mac: row.get(20)?,
    })
}

/// The last event's number and MAC.
pub(super) fn last(conn: &Connection) -> rusqlite::Result<Option<(i64, [u8; 32])>> {
    conn.query_row(
        "SELECT seq, mac FROM events ORDER BY seq DESC LIMIT 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
    .optional()
}

/// One event's MAC.
pub(super) fn mac_at(conn: &Connection, seq: i64) -> rusqlite::Result<Option<[u8; 32]>> {
    conn.query_row("SELECT mac FROM events WHERE seq = ?1", [seq], |row| {
        row.get(0)
    })
    .optional()
}

/// The generation that the newest change event of a profile gave it.
pub(super) fn newest_generation(
    conn: &Connection,
    agent: i64,
    profile: i64,
) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT max(generation) FROM events WHERE agent = ?1 AND profile = ?2 AND generation IS NOT NULL")?
        .query_row([agent, profile], |row| row.get(0))
}

/// The id of who acts.
pub(super) fn actor_id(conn: &Connection, actor: &Actor) -> rusqlite::Result<i64> {
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
pub(super) fn insert(conn: &Connection, actor: i64, event: &Event) -> rusqlite::Result<usize> {
    let ids = [
        Some(terms::intern(conn, &event.kind)?),
        Some(terms::intern(conn, &event.outcome)?),
        Some(terms::intern(conn, &event.origin)?),
        terms::intern_optional(conn, event.agent.as_deref())?,
        terms::intern_optional(conn, event.profile.as_deref())?,
        terms::intern_optional(conn, event.provider.as_deref())?,
        terms::intern_optional(conn, event.session.as_deref())?,
    ];
    conn.prepare_cached(
        "INSERT INTO events (seq, at, kind, outcome, origin, agent, profile, provider, session, actor, pid, generation, \
         token_before, token_after, expires_before, expires_after, detail, mac) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(params![
        event.seq.0,
        event.at.0,
        ids[0],
        ids[1],
        ids[2],
        ids[3],
        ids[4],
        ids[5],
        ids[6],
        actor,
        event.actor.pid,
        event.generation,
        event.token_before,
        event.token_after,
        event.expires_before,
        event.expires_after,
        event.detail,
        event.mac,
    ])
}
