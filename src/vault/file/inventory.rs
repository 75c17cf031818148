//! The contents of the vault as its plain columns show them, without a key.

use std::collections::BTreeSet;

use super::read_only::read_transaction;
use super::vault::Vault;
use crate::domain::{AgentName, CredentialType, Expiry, Owner, ProviderId, UnixMs};
use crate::vault::error::{Context, VaultError};

/// A stored credential, without anything that is sealed.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCredential {
    /// The agent that has the credential.
    pub agent: String,
    /// The id of its profile.
    pub profile: String,
    /// The provider of the credential, normalised.
    pub provider: String,
    /// The type of the credential.
    pub kind: CredentialType,
    /// The program that the credential belongs to.
    pub owner: Owner,
    /// The expiry of the credential, if it has one.
    pub expires: Option<Expiry>,
    /// The end of its cooldown after failures, if it is in cooldown.
    pub cooldown_until: Option<UnixMs>,
    /// When a gateway or `models auth mark` last used it.
    pub last_used: Option<UnixMs>,
}

/// How much the record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordStats {
    /// How many events the record has.
    pub events: u64,
    /// The first event's time and the last one's; none of an empty record.
    pub times: Option<(UnixMs, UnixMs)>,
}

impl Vault {
    /// The stored credentials, in the order of their agents and places. Needs no key: what the
    /// plain columns say is bound to what is sealed, and an altered one is found when the
    /// credential is opened; times of use are copies, bound to nothing.
    pub fn list_credentials(&self) -> Result<Vec<StoredCredential>, VaultError> {
        let read = || -> rusqlite::Result<Vec<StoredCredential>> {
            let _snapshot = read_transaction(&self.conn)?;
            let mut select = self.conn.prepare(
                "SELECT a.text, t.text, p.provider, p.type, p.expires, \
                 nullif(max(coalesce(u.cooldown_until, 0), coalesce(u.disabled_until, 0)), 0), \
                 u.last_used \
                 FROM profiles p JOIN terms a ON a.id = p.agent JOIN terms t ON t.id = p.profile \
                 LEFT JOIN usage u ON u.agent = p.agent AND u.profile = p.profile ORDER BY \
                 a.text, p.position, p.id",
            )?;
            let rows = select.query_map([], |row| {
                let (profile, kind): (String, String) = (row.get(1)?, row.get(3)?);
                let ends: Option<i64> = row.get(4)?;
                Ok(StoredCredential {
                    agent: row.get(0)?,
                    owner: Owner::of(&profile),
                    profile,
                    provider: row.get(2)?,
                    kind: CredentialType::from_name(&kind),
                    expires: ends.and_then(|ends| Expiry::from_ms(UnixMs(ends).as_f64())),
                    cooldown_until: row.get::<_, Option<i64>>(5)?.map(UnixMs),
                    last_used: row.get::<_, Option<i64>>(6)?.map(UnixMs),
                })
            })?;
            rows.collect()
        };
        read().at(&self.path, "read")
    }

    /// Whether an agent has a credential of a provider. As [`Vault::list_credentials`].
    pub fn has_credential_of(
        &self,
        agent: &AgentName,
        provider: &ProviderId,
    ) -> Result<bool, VaultError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM profiles p JOIN terms a ON a.id = p.agent \
                   WHERE a.text = ?1 AND p.provider = ?2)";
        self.conn
            .query_row(sql, [agent.as_str(), provider.as_str()], |row| row.get(0))
            .at(&self.path, "read")
    }

    /// The agents that have a credential of a provider. As [`Vault::list_credentials`].
    pub fn agents_with(&self, provider: &ProviderId) -> Result<BTreeSet<AgentName>, VaultError> {
        let read = || -> rusqlite::Result<BTreeSet<AgentName>> {
            let mut select = self.conn.prepare(
                "SELECT DISTINCT a.text FROM profiles p JOIN terms a ON a.id = p.agent \
                 WHERE p.provider = ?1",
            )?;
            let names = select.query_map([provider.as_str()], |row| row.get(0))?;
            names.map(|name| name.map(AgentName::from_stored)).collect()
        };
        read().at(&self.path, "read")
    }

    /// How much the record holds.
    pub fn record_stats(&self) -> Result<RecordStats, VaultError> {
        let ends = "SELECT (SELECT count(*) FROM events), (SELECT at FROM events ORDER BY seq \
            LIMIT 1), \
                    (SELECT at FROM events ORDER BY seq DESC LIMIT 1)";
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let read = self.conn.query_row(ends, [], |row| {
            let times: (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
            Ok(RecordStats {
                events: row.get::<_, i64>(0)?.unsigned_abs(),
                times: times
                    .0
                    .zip(times.1)
                    .map(|(first, last)| (UnixMs(first), UnixMs(last))),
            })
        });
        read.at(&self.path, "read")
    }
}

/// The names that occur in the record, each sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The names of the agents.
    pub agents: Vec<String>,
    /// The ids of the profiles.
    pub profiles: Vec<String>,
    /// The ids of the providers.
    pub providers: Vec<String>,
}

impl Vault {
    /// The names that occur in the record.
    pub fn names(&self) -> Result<Names, VaultError> {
        let read = |column: &str, table: &str| -> rusqlite::Result<Vec<String>> {
            let mut select = self.conn.prepare(&format!(
                "SELECT text FROM terms WHERE id IN (SELECT {column} FROM {table}) ORDER BY text"
            ))?;
            select.query_map([], |row| row.get(0))?.collect()
        };
        let names = || {
            let _snapshot = read_transaction(&self.conn)?;
            Ok(Names {
                agents: read("agent", "subjects")?,
                profiles: read("profile", "subjects")?,
                providers: read("provider", "actions")?,
            })
        };
        names().at(&self.path, "read")
    }
}
