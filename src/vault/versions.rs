//! The versions of a credential that are kept: what its updates replaced.

use super::error::{Context, VaultError};
use super::profiles::{Plain, VERSION_AGE_MS};
use super::seal_json::open_json;
use super::{UnlockedVault, terms};
use crate::domain::{AgentName, Generation, SecretJson, UnixMs};

/// A version that is kept.
#[derive(Debug)]
pub struct KeptVersion {
    /// Which it was: its number in the record.
    pub generation: Generation,
    /// What it is.
    pub kind: String,
    /// When it ends.
    pub expires: Option<UnixMs>,
    /// When another took its place.
    pub replaced_at: UnixMs,
    /// The credential; `None` where it does not open.
    pub entry: Option<SecretJson>,
}

impl UnlockedVault {
    /// The versions of a profile that are kept, the newest first. One that is too old may still be there, until the next change takes it out.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn versions(
        &self,
        agent: &AgentName,
        profile: &str,
        now: UnixMs,
    ) -> Result<Vec<KeptVersion>, VaultError> {
        let read = || -> rusqlite::Result<Vec<KeptVersion>> {
            let agent_id = terms::find(&self.conn, agent.as_str())?;
            let Some((agent_id, profile_id)) = agent_id.zip(terms::find(&self.conn, profile)?)
            else {
                return Ok(Vec::new());
            };
            let mut select = self.conn.prepare(
                "SELECT id, provider, type, owner, expires, generation, replaced_at, sealed FROM profile_versions \
                 WHERE agent = ?1 AND profile = ?2 AND replaced_at >= ?3 ORDER BY id DESC",
            )?;
            let rows = select.query_map([agent_id, profile_id, now.0 - VERSION_AGE_MS], |row| {
                let (provider, kind, owner): (String, String, String) =
                    (row.get(1)?, row.get(2)?, row.get(3)?);
                let plain = Plain {
                    agent: agent.as_str(),
                    profile,
                    provider: &provider,
                    kind: &kind,
                    owner: &owner,
                    expires: row.get(4)?,
                    generation: row.get(5)?,
                };
                let aad = plain.aad(self.id, "profile_versions", row.get(0)?);
                let entry = open_json(&self.keys.seal, aad, row.get_ref(7)?.as_blob()?);
                Ok(KeptVersion {
                    generation: Generation(plain.generation),
                    expires: plain.expires.map(UnixMs),
                    replaced_at: UnixMs(row.get(6)?),
                    entry: entry.map(SecretJson::new),
                    kind,
                })
            })?;
            rows.collect()
        };
        read().at(&self.path, "read")
    }
}
