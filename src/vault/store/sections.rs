//! The parts of a store that are no profiles: order, last good, usage, and the frame around them.

use rusqlite::params;
use serde_json::Value;

use super::proof::Scope;
use crate::domain::{AgentName, Expiry, ProfileId, SecretJson, Section, StoreDoc};
use crate::vault::error::{Context, VaultError};
use crate::vault::log::terms;
use crate::vault::sealing::frame::{frame_of, usage_aad};
use crate::vault::sealing::listing::Part;
use crate::vault::sealing::seal_json::seal_json;
use crate::vault::tx::Tx;

impl Tx<'_> {
    /// Makes everything but the profiles what `after` says: order, last good, usage, unknown
    /// top-level fields. The caller records why.
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
                "INSERT INTO provider_entries (agent, section, provider, position, value) VALUES \
                 (?1, ?2, ?3, ?4, ?5)",
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
                "UPDATE usage SET position = ?3 WHERE agent = ?1 AND profile = (SELECT id FROM \
                 terms WHERE text = ?2)",
            )?
            .execute(params![agent, profile, position])
    }

    fn delete_usage(&self, agent: i64, profile: &ProfileId) -> rusqlite::Result<usize> {
        self.tx
            .prepare_cached(
                "DELETE FROM usage WHERE agent = ?1 AND profile = (SELECT id FROM \
                terms WHERE text = ?2)",
            )?
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
                "INSERT INTO usage (agent, profile, position, last_used, cooldown_until, \
                 disabled_until, error_count, sealed) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (agent, profile) DO UPDATE \
                 SET position = ?3, \
                 last_used = ?4, cooldown_until = ?5, disabled_until = ?6, error_count = ?7, \
                 sealed = ?8",
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
