//! Texts that repeat, each stored once.

use rusqlite::{Connection, OptionalExtension};

pub(in crate::vault) fn find(conn: &Connection, text: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM terms WHERE text = ?1")?
        .query_row([text], |row| row.get(0))
        .optional()
}

/// The id of a text, given one if it had none.
pub(in crate::vault) fn intern(conn: &Connection, text: &str) -> rusqlite::Result<i64> {
    if let Some(id) = find(conn, text)? {
        return Ok(id);
    }
    conn.prepare_cached("INSERT INTO terms (text) VALUES (?1)")?
        .execute([text])?;
    Ok(conn.last_insert_rowid())
}

pub(super) fn intern_optional(
    conn: &Connection,
    text: Option<&str>,
) -> rusqlite::Result<Option<i64>> {
    text.map(|text| intern(conn, text)).transpose()
}
