//! The versions of a credential that are kept: what its updates replaced.

use super::profiles::VERSION_AGE_MS;
use super::proof::Proof;
use crate::domain::{AgentName, Generation, SecretJson, UnixMs};
use crate::vault::error::{Context, VaultError};
use crate::vault::file::read_only::read_transaction;
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::terms;
use crate::vault::sealing::listing::Part;
use crate::vault::sealing::plain::Plain;
use crate::vault::sealing::seal_json::open_json;

/// A version that is kept.
#[derive(Debug)]
pub struct KeptVersion {
    /// The number of the version in the record.
    pub generation: Generation,
    /// The type of the credential.
    pub kind: String,
    /// The expiry of the credential, if it has one.
    pub expires: Option<UnixMs>,
    /// When another took its place.
    pub replaced_at: UnixMs,
    /// The credential; `None` if it cannot be decrypted or was modified outside clawkeep.
    pub entry: Option<SecretJson>,
}

impl UnlockedVault {
    /// The versions of a profile that are kept, the newest first. One that is too old may still be
    /// there, until the next change takes it out.
    ///
    /// # Errors
    /// When they cannot be read, or one was taken out.
    pub fn versions(
        &self,
        agent: &AgentName,
        profile: &str,
        now: UnixMs,
    ) -> Result<Vec<KeptVersion>, VaultError> {
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let proof = Proof::of(&self.conn, &self.path, &keys, self.id)?;
        let altered = proof.altered_of(agent.as_str(), Part::Versions)?;
        let key = |row: i64| serde_json::json!([profile, row]).to_string();
        let is_altered = |row: i64| {
            let key = key(row);
            altered.iter().any(|altered| altered.key == key)
        };
        // One that was taken out is missed, too.
        let of_profile = format!("[{},", serde_json::Value::from(profile));
        let gone = altered
            .iter()
            .find(|row| row.listed.is_some() && row.key.starts_with(&of_profile));
        let read = || -> rusqlite::Result<Vec<(i64, KeptVersion)>> {
            let agent_id = terms::find(&self.conn, agent.as_str())?;
            let Some((agent_id, profile_id)) = agent_id.zip(terms::find(&self.conn, profile)?)
            else {
                return Ok(Vec::new());
            };
            let mut select = self.conn.prepare(
                "SELECT id, provider, type, owner, expires, generation, replaced_at, sealed FROM \
                 profile_versions \
                 WHERE agent = ?1 AND profile = ?2 AND replaced_at >= ?3 ORDER BY id DESC",
            )?;
            let rows = select.query_map([agent_id, profile_id, now.0 - VERSION_AGE_MS], |row| {
                let id: i64 = row.get(0)?;
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
                let aad = plain.aad(self.id, "profile_versions", id);
                let entry = open_json(&keys.seal, aad, row.get_ref(7)?.as_blob()?);
                let version = KeptVersion {
                    generation: Generation(plain.generation),
                    expires: plain.expires.map(UnixMs),
                    replaced_at: UnixMs(row.get(6)?),
                    entry: entry.filter(|_| !is_altered(id)).map(SecretJson::new),
                    kind,
                };
                Ok((id, version))
            })?;
            rows.collect()
        };
        let versions = read().at(&self.path, "read")?;
        if let Some(gone) = gone
            && !versions.iter().any(|(id, _)| key(*id) == gone.key)
        {
            let row = gone.describe();
            return Err(VaultError::Unopened { row });
        }
        Ok(versions.into_iter().map(|(_, version)| version).collect())
    }
}
