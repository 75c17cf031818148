//! The parts of a store that are no profiles: order, last good, usage, and the frame around them.

use rusqlite::params;
use serde_json::{Map, Value, json};

use super::error::{Context, VaultError};
use super::profiles::{Reader, open_json, seal_json};
use super::{Tx, terms};
use crate::crypto::{Aad, SealKey};
use crate::domain::{AgentName, Expiry, ProfileId, Section, StoreDoc, VaultId};

fn frame_aad(vault: VaultId, agent: &AgentName) -> Aad {
    Aad::new(vault, "agents", "frame").text(agent.as_str())
}

fn usage_aad(vault: VaultId, agent: &AgentName, profile: &str) -> Aad {
    Aad::new(vault, "usage", "sealed")
        .text(agent.as_str())
        .text(profile)
}

/// Opens an agent's frame; `None` when it does not open.
pub(super) fn open_frame(
    seal: &SealKey,
    vault: VaultId,
    agent: &AgentName,
    blob: &[u8],
) -> Option<Map<String, Value>> {
    match open_json(seal, frame_aad(vault, agent), blob)? {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// A document's frame: its top level, with sections that have rows of their own emptied. A section that is not an
/// object has no rows and stays in the frame as it is.
fn frame_of(doc: &StoreDoc) -> Map<String, Value> {
    let mut frame = doc.expose_secret().clone();
    for section in Section::ALL {
        if let Some(Value::Object(_)) = frame.get(section.key()) {
            frame.insert(section.key().to_owned(), json!({}));
        }
    }
    frame
}

/// Puts a document together from its frame and its sections' rows.
pub(super) fn assemble(
    frame: Option<Map<String, Value>>,
    sections: Vec<(Section, Map<String, Value>)>,
) -> StoreDoc {
    let mut root = frame.unwrap_or_else(|| StoreDoc::default().expose_secret().clone());
    for (section, entries) in sections {
        let is_object = root.get(section.key()).is_some_and(Value::is_object);
        if !entries.is_empty() || is_object || section == Section::Profiles {
            root.insert(section.key().to_owned(), Value::Object(entries));
        }
    }
    StoreDoc::from_json(Value::Object(root)).unwrap_or_default() // `profiles` was just put in as an object
}

impl Reader<'_> {
    pub(super) fn provider_entries(
        &self,
        section: Section,
        agent: i64,
    ) -> Result<Map<String, Value>, VaultError> {
        let mut select = self
            .conn
            .prepare_cached("SELECT provider, value FROM provider_entries WHERE agent = ?1 AND section = ?2 ORDER BY position")
            .at(self.path, "read")?;
        let mut rows = select
            .query(params![agent, section.key()])
            .at(self.path, "read")?;
        let mut entries = Map::new();
        while let Some(row) = rows.next().at(self.path, "read")? {
            let (provider, value): (String, String) = (
                row.get(0).at(self.path, "read")?,
                row.get(1).at(self.path, "read")?,
            );
            let damaged = |_| VaultError::Damaged {
                path: self.path.to_owned(),
                what: format!("{}[{provider}] is no JSON", section.key()),
            };
            let value = serde_json::from_str(&value).map_err(damaged)?;
            entries.insert(provider, value);
        }
        Ok(entries)
    }

    pub(super) fn usage(
        &self,
        agent: i64,
        name: &AgentName,
        unopened: &mut Vec<String>,
    ) -> Result<Map<String, Value>, VaultError> {
        let mut select = self
            .conn
            .prepare_cached(
                "SELECT t.text, u.sealed FROM usage u JOIN terms t ON t.id = u.profile WHERE u.agent = ?1 ORDER BY u.position",
            )
            .at(self.path, "read")?;
        let mut rows = select.query([agent]).at(self.path, "read")?;
        let mut entries = Map::new();
        while let Some(row) = rows.next().at(self.path, "read")? {
            let (profile, sealed): (String, Vec<u8>) = (
                row.get(0).at(self.path, "read")?,
                row.get(1).at(self.path, "read")?,
            );
            match open_json(self.seal, usage_aad(self.vault, name, &profile), &sealed) {
                Some(entry) => {
                    entries.insert(profile, entry);
                }
                None => unopened.push(format!("usage of profile {profile} of agent {name}")),
            }
        }
        Ok(entries)
    }
}

impl Tx<'_> {
    /// Makes everything but the profiles what `after` says: order, last good, usage, unknown top-level fields.
    /// The caller records why.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_sections(
        &mut self,
        agent: &AgentName,
        before: &StoreDoc,
        after: &StoreDoc,
    ) -> Result<(), VaultError> {
        let id = self.touch_agent(agent)?;
        let frame = frame_of(after);
        if frame != frame_of(before) || frame != *StoreDoc::default().expose_secret() {
            let sealed = seal_json(
                &self.keys.seal,
                frame_aad(self.vault, agent),
                &Value::Object(frame),
            )?;
            self.tx
                .execute(
                    "UPDATE agents SET frame = ?2 WHERE id = ?1",
                    params![id, sealed],
                )
                .at(self.path, "write")?;
        }
        for section in [Section::Order, Section::LastGood] {
            if before.section(section) != after.section(section) {
                self.write_provider_entries(id, section, after)
                    .at(self.path, "write")?;
            }
        }
        self.write_usage(id, agent, before, after)
    }

    /// A handful of rows an agent: rewritten whole, which keeps their order without bookkeeping.
    fn write_provider_entries(
        &self,
        agent: i64,
        section: Section,
        after: &StoreDoc,
    ) -> rusqlite::Result<()> {
        self.tx.execute(
            "DELETE FROM provider_entries WHERE agent = ?1 AND section = ?2",
            params![agent, section.key()],
        )?;
        let mut insert = self.tx.prepare_cached(
            "INSERT INTO provider_entries (agent, section, provider, position, value) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for (position, (provider, value)) in (0_i64..).zip(after.entries(section)) {
            insert.execute(params![
                agent,
                section.key(),
                provider,
                position,
                value.to_string()
            ])?;
        }
        Ok(())
    }

    fn write_usage(
        &self,
        agent: i64,
        name: &AgentName,
        before: &StoreDoc,
        after: &StoreDoc,
    ) -> Result<(), VaultError> {
        for (profile, _) in before.entries(Section::Usage) {
            if after.get(Section::Usage, profile).is_none() {
                self.delete_usage(agent, &ProfileId::new(profile))
                    .at(self.path, "write")?;
            }
        }
        for (position, (profile, entry)) in (0_i64..).zip(after.entries(Section::Usage)) {
            if before.get(Section::Usage, profile) != Some(entry) {
                let sealed =
                    seal_json(&self.keys.seal, usage_aad(self.vault, name, profile), entry)?;
                self.upsert_usage(agent, profile, position, entry, &sealed)
                    .at(self.path, "write")?;
            }
        }
        Ok(())
    }

    fn delete_usage(&self, agent: i64, profile: &ProfileId) -> rusqlite::Result<usize> {
        self.tx
            .prepare_cached("DELETE FROM usage WHERE agent = ?1 AND profile = (SELECT id FROM terms WHERE text = ?2)")?
            .execute(params![agent, profile.as_str()])
    }

    fn upsert_usage(
        &self,
        agent: i64,
        profile: &str,
        position: i64,
        entry: &Value,
        sealed: &[u8],
    ) -> rusqlite::Result<usize> {
        let time = |field: &str| Expiry::from_json(entry.get(field)).map(Expiry::floor_ms);
        let profile = terms::intern(&self.tx, profile)?;
        self.tx
            .prepare_cached(
                "INSERT INTO usage (agent, profile, position, last_used, cooldown_until, disabled_until, error_count, sealed) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (agent, profile) DO UPDATE SET position = ?3, \
                 last_used = ?4, cooldown_until = ?5, disabled_until = ?6, error_count = ?7, sealed = ?8",
            )?
            .execute(params![
                agent,
                profile,
                position,
                time("lastUsed"),
                time("cooldownUntil"),
                time("disabledUntil"),
                time("errorCount"),
                sealed
            ])
    }
}
