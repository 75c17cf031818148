//! The parts of a store that are no profiles: order, last good, usage, and the frame around them.

use rusqlite::params;
use serde_json::{Map, Value, json};

use super::agents::{AgentState, Reader};
use super::proof::Scope;
use crate::crypto::{Aad, CryptoError, SealKey};
use crate::domain::{AgentName, Expiry, ProfileId, SecretJson, Section, StoreDoc, VaultId};
use crate::vault::error::{Context, VaultError};
use crate::vault::log::terms;
use crate::vault::sealing::listing::Part;
use crate::vault::sealing::seal_json::{open_json, seal_json};
use crate::vault::tx::Tx;

/// What is sealed in an agent's row: the store's top level without its sections, and which profiles there are.
pub(in crate::vault) struct Frame {
    /// The top level, with the sections emptied whose entries are sealed in rows of their own.
    pub(in crate::vault) fields: Map<String, Value>,
    /// The generation of each profile, in frames of before schema 4. The listings have taken their place.
    pub(in crate::vault) generations: Map<String, Value>,
    /// What each profile's grant is pinned to, as far as it is: origin and client id.
    pub(in crate::vault) pins: Map<String, Value>,
    /// The profiles that were imported as another program's: its name and its file's path.
    pub(in crate::vault) borrowed: Map<String, Value>,
    /// Earlier contents of the store; see `superseded`.
    pub(in crate::vault) superseded: Map<String, Value>,
}

/// What an agent's frame has beside the document.
#[derive(Clone, Copy)]
pub(in crate::vault) struct Beside<'a> {
    pub(in crate::vault) pins: &'a Map<String, Value>,
    pub(in crate::vault) borrowed: &'a Map<String, Value>,
    pub(in crate::vault) superseded: &'a Map<String, Value>,
}

impl Frame {
    pub(in crate::vault) fn aad(vault: VaultId, agent: &AgentName, revision: i64) -> Aad {
        Aad::new(vault, "agents", "frame")
            .text(agent.as_str())
            .number(revision)
    }

    pub(in crate::vault) fn seal(
        seal: &SealKey,
        vault: VaultId,
        agent: &AgentName,
        revision: i64,
        frame: &SecretJson,
        beside: Beside<'_>,
    ) -> Result<Vec<u8>, CryptoError> {
        let fields = frame.expose_secret();
        let Beside {
            pins,
            borrowed,
            superseded,
        } = beside;
        let all = SecretJson::new(match (borrowed.is_empty(), superseded.is_empty()) {
            (true, true) => json!([fields, {}, pins]),
            (false, true) => json!([fields, {}, pins, borrowed]),
            (_, false) => json!([fields, {}, pins, borrowed, superseded]),
        });
        seal_json(seal, Self::aad(vault, agent, revision), all.expose_secret())
    }

    /// `None` when it does not open.
    pub(in crate::vault) fn open(
        seal: &SealKey,
        vault: VaultId,
        agent: &AgentName,
        revision: i64,
        blob: &[u8],
    ) -> Option<Self> {
        let all = seal.open(Self::aad(vault, agent, revision), blob).ok()?;
        let parts: Vec<Map<String, Value>> = serde_json::from_slice(&all).ok()?;
        let mut parts = parts.into_iter();
        Some(Self {
            fields: parts.next()?,
            generations: parts.next()?,
            pins: parts.next().unwrap_or_default(), // frames of before schema 3 have none
            borrowed: parts.next().unwrap_or_default(), // nor have most
            superseded: parts.next().unwrap_or_default(), // absent where nothing was replaced
        })
    }
}

pub(in crate::vault) fn usage_aad(vault: VaultId, agent: &AgentName, profile: &str) -> Aad {
    Aad::new(vault, "usage", "sealed")
        .text(agent.as_str())
        .text(profile)
}

/// A document's frame: its top level, with the sections emptied whose entries are sealed in rows of their own. Order and last
/// good stay in it: their rows are plain copies for queries. A section that is not an object has no rows.
pub(in crate::vault) fn frame_of(doc: &StoreDoc) -> Map<String, Value> {
    let has_rows = |key: &str, value: &Value| {
        value.is_object() && (key == Section::Profiles.key() || key == Section::Usage.key())
    };
    let fields = doc.expose_secret().iter().map(|(key, value)| {
        let kept = if has_rows(key, value) {
            json!({})
        } else {
            value.clone()
        };
        (key.clone(), kept)
    });
    fields.collect()
}

/// Puts a document together from its frame and the rows of its profiles and usage.
pub(in crate::vault) fn assemble(
    mut root: Map<String, Value>,
    profiles: Map<String, Value>,
    usage: Map<String, Value>,
) -> StoreDoc {
    root.insert(Section::Profiles.key().to_owned(), Value::Object(profiles));
    let has_usage = root.get(Section::Usage.key()).is_some_and(Value::is_object);
    if has_usage || !usage.is_empty() {
        root.insert(Section::Usage.key().to_owned(), Value::Object(usage));
    }
    StoreDoc::from_json(Value::Object(root)).unwrap_or_default() // `profiles` was just put in as an object
}

impl Reader<'_> {
    /// The usage entries of an agent; those that are not as clawkeep left them are noted.
    pub(in crate::vault) fn usage(
        &self,
        scope: Scope<'_>,
        state: &mut AgentState,
    ) -> Result<Map<String, Value>, VaultError> {
        let altered = self.altered_keys((scope, Part::Usage), state, |damage, row| {
            damage.usage.insert(row.key.clone());
        })?;
        let name = AgentName::from_stored(scope.name().to_owned());
        let mut select = self
            .conn
            .prepare_cached(
                "SELECT t.text, u.sealed FROM usage u JOIN terms t ON t.id = u.profile WHERE u.agent = ?1 ORDER BY u.position",
            )
            .at(self.path, "read")?;
        let mut rows = select.query([scope.owner()]).at(self.path, "read")?;
        let mut entries = Map::new();
        while let Some(row) = rows.next().at(self.path, "read")? {
            let read = || -> rusqlite::Result<(String, Option<Value>)> {
                let profile: String = row.get(0)?;
                let aad = usage_aad(self.vault, &name, &profile);
                let entry = open_json(&self.keys.seal, aad, row.get_ref(1)?.as_blob()?);
                Ok((profile, entry))
            };
            match read().at(self.path, "read")? {
                (profile, _) if altered.contains(&profile) => {}
                (profile, Some(entry)) => drop(entries.insert(profile, entry)),
                (profile, None) => {
                    let row = Part::Usage.describe(scope.name(), &profile);
                    state.unopened.push(row);
                    state.damage.usage.insert(profile);
                }
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
        self.set_frame(agent, SecretJson::new(Value::Object(frame_of(after))));
        for section in [Section::Order, Section::LastGood] {
            if before.section(section) != after.section(section) {
                self.write_provider_entries((id, agent), section, (before, after))?;
            }
        }
        self.write_usage(id, agent, before, after)
    }

    /// A handful of rows an agent: rewritten whole, which keeps their order without bookkeeping.
    fn write_provider_entries(
        &mut self,
        (id, agent): (i64, &AgentName),
        section: Section,
        (before, after): (&StoreDoc, &StoreDoc),
    ) -> Result<(), VaultError> {
        let entries = before.entries(section).chain(after.entries(section));
        for (provider, _) in entries {
            let key = format!("{} {provider}", section.key());
            // Copies, which are all written anew.
            self.will_replace(Scope::Agent(id, agent.as_str()), Part::Entries, &key);
        }
        let write = || -> rusqlite::Result<()> {
            self.tx.execute(
                "DELETE FROM provider_entries WHERE agent = ?1 AND section = ?2",
                params![id, section.key()],
            )?;
            let mut insert = self.tx.prepare_cached(
                "INSERT INTO provider_entries (agent, section, provider, position, value) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for (position, (provider, value)) in (0_i64..).zip(after.entries(section)) {
                insert.execute(params![
                    id,
                    section.key(),
                    provider,
                    position,
                    value.to_string()
                ])?;
            }
            Ok(())
        };
        write().at(self.path, "write")
    }

    fn write_usage(
        &mut self,
        agent: i64,
        name: &AgentName,
        before: &StoreDoc,
        after: &StoreDoc,
    ) -> Result<(), VaultError> {
        let scope = Scope::Agent(agent, name.as_str());
        for (profile, _) in before.entries(Section::Usage) {
            if after.get(Section::Usage, profile).is_none() {
                self.will_change(scope, Part::Usage, profile)?;
                self.delete_usage(agent, &ProfileId::new(profile))
                    .at(self.path, "write")?;
            }
        }
        let places: Vec<&str> = before.entries(Section::Usage).map(|(id, _)| id).collect();
        for (place, (profile, entry)) in after.entries(Section::Usage).enumerate() {
            let position = i64::try_from(place).unwrap_or(i64::MAX);
            if before.get(Section::Usage, profile) != Some(entry) {
                self.will_replace(scope, Part::Usage, profile);
                let aad = usage_aad(self.vault, name, profile);
                let sealed = seal_json(&self.keys.seal, aad, entry)?;
                self.upsert_usage(agent, profile, position, entry, &sealed)
                    .at(self.path, "write")?;
            } else if places.get(place) != Some(&profile) {
                self.will_change(scope, Part::Usage, profile)?;
                self.move_usage(agent, profile, position)
                    .at(self.path, "write")?;
            }
        }
        Ok(())
    }

    fn move_usage(&self, agent: i64, profile: &str, position: i64) -> rusqlite::Result<usize> {
        self.tx
            .prepare_cached(
                "UPDATE usage SET position = ?3 WHERE agent = ?1 AND profile = (SELECT id FROM terms WHERE text = ?2)",
            )?
            .execute(params![agent, profile, position])
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
