//! Notes that prevent duplicate events: which stages of a profile's expiry are recorded, and why a
//! source's login was last not imported. Plain columns: what counts is the record.

use crate::vault::file::read_only::read_transaction;
use rusqlite::{OptionalExtension, params};
use serde_json::json;

use super::proof::{Proof, Scope};
use crate::audit::{EventDraft, EventKind, Origin};
use crate::domain::{AgentName, Credential, ProfileId, UnixMs, normalize_provider};
use crate::vault::error::{Context, VaultError};
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::terms;
use crate::vault::sealing::listing::Part;
use crate::vault::tx::Tx;

/// How far a credential's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpiryStage {
    /// It is not near, or there is none.
    Far,
    /// Its last day has begun.
    Expiring,
    /// The credential has expired by now.
    Expired,
}

impl ExpiryStage {
    fn number(self) -> i64 {
        match self {
            Self::Far => 0,
            Self::Expiring => 1,
            Self::Expired => 2,
        }
    }

    fn of(number: i64) -> Self {
        match number {
            1 => Self::Expiring,
            2 => Self::Expired,
            _ => Self::Far,
        }
    }
}

pub(in crate::vault) const NOTED: &str = "SELECT p.expiry_noted FROM profiles p WHERE p.agent = \
    (SELECT id FROM terms WHERE text = ?1) \
                     AND p.profile = (SELECT id FROM terms WHERE text = ?2)";
pub(in crate::vault) const SKIPS: &str = "SELECT t.text, s.why FROM sync_skips s JOIN terms t ON \
    t.id = s.profile \
                     WHERE s.agent = (SELECT id FROM terms WHERE text = ?1)";

impl UnlockedVault {
    /// How far the record knows of a profile's end; nothing for a profile that is not there. To be
    /// asked only of profiles that [`UnlockedVault::agent`] has: their rows are proved.
    pub fn expiry_noted(
        &self,
        agent: &AgentName,
        profile: &str,
    ) -> Result<Option<ExpiryStage>, VaultError> {
        let noted = self.conn.prepare_cached(NOTED).and_then(|mut select| {
            select
                .query_row([agent.as_str(), profile], |row| row.get(0))
                .optional()
        });
        Ok(noted.at(&self.path, "read")?.map(ExpiryStage::of))
    }

    /// What is noted of the sources of an agent's profiles, by profile: a text that `sync` makes
    /// and reads.
    ///
    /// # Errors
    /// When they cannot be read; [`VaultError::Unopened`] when a note is not as clawkeep left it.
    pub fn sync_skips(&self, agent: &AgentName) -> Result<Vec<(String, String)>, VaultError> {
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let proof = Proof::of(&self.conn, &self.path, &keys, self.id)?;
        self.sync_skips_by(&proof, agent)
    }

    /// As [`UnlockedVault::sync_skips`], in a transaction that is under way.
    pub(super) fn sync_skips_by(
        &self,
        proof: &Proof<'_>,
        agent: &AgentName,
    ) -> Result<Vec<(String, String)>, VaultError> {
        if let Some(row) = proof.altered_skips_of(agent.as_str())?.first() {
            let row = row.describe();
            return Err(VaultError::Unopened { row });
        }
        let read = || -> rusqlite::Result<Vec<(String, String)>> {
            let mut select = self.conn.prepare_cached(SKIPS)?;
            let rows = select.query_map([agent.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        read().at(&self.path, "read")
    }
}

impl Tx<'_> {
    /// Records that a profile's credential reached a stage of its expiry, at `since`, unless that
    /// is recorded. Does nothing if the profile does not exist any more.
    pub(crate) fn note_expiry(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        credential: &Credential<'_>,
        (stage, since): (ExpiryStage, UnixMs),
    ) -> Result<(), VaultError> {
        let kind = match stage {
            ExpiryStage::Far => return Ok(()),
            ExpiryStage::Expiring => EventKind::ExpiryExpiring,
            ExpiryStage::Expired => EventKind::ExpiryExpired,
        };
        let id = terms::find(&self.tx, agent.as_str()).at(self.path, "read")?;
        let Some(id) = id else {
            return Ok(());
        };
        let scope = Scope::Agent(id, agent.as_str());
        self.will_change(scope, Part::Profiles, profile.as_str())?;
        let noted = self
            .tx
            .prepare_cached(
                "UPDATE profiles SET expiry_noted = ?3 WHERE agent = (SELECT id FROM terms WHERE \
                 text = ?1) \
                 AND profile = (SELECT id FROM terms WHERE text = ?2) AND expiry_noted < ?3 AND \
                 expires IS ?4",
            )
            .and_then(|mut update| {
                let expires = credential.expiry().map(crate::domain::Expiry::floor_ms);
                update.execute(params![
                    agent.as_str(),
                    profile.as_str(),
                    stage.number(),
                    expires
                ])
            })
            .at(self.path, "write")?;
        if noted == 0 {
            return Ok(()); // another process was quicker, or the credential is another by now
        }
        let provider = normalize_provider(credential.provider);
        let mut event = EventDraft::new(kind, Origin::Clock)
            .profile(profile, &provider)
            .detail("since", since.0);
        let secret = credential.expose_secret();
        event.token = (None, secret.map(|secret| self.keys.fingerprint(secret)));
        event.expires = (None, credential.expiry());
        self.append(Some(agent), event).map(|_| ())
    }

    /// Keeps what is noted of the sources of a profile, a text that `sync` makes and reads; `None`
    /// where there is nothing to note. Whether that is another note than before.
    pub(crate) fn note_sources(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        note: Option<&str>,
    ) -> Result<bool, VaultError> {
        let agent_id = terms::intern(&self.tx, agent.as_str()).at(self.path, "write")?;
        let profile_id = terms::intern(&self.tx, profile.as_str()).at(self.path, "write")?;
        let key = json!([agent.as_str(), profile.as_str()]).to_string();
        self.will_change(Scope::Vault, Part::Skips, &key)?;
        let changed = match note {
            Some(note) => self
                .tx
                .prepare_cached(
                    "INSERT INTO sync_skips (agent, profile, why) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (agent, profile) DO UPDATE SET why = ?3 WHERE why <> ?3",
                )
                .and_then(|mut write| write.execute(params![agent_id, profile_id, note])),
            None => self
                .tx
                .prepare_cached("DELETE FROM sync_skips WHERE agent = ?1 AND profile = ?2")
                .and_then(|mut delete| delete.execute([agent_id, profile_id])),
        };
        Ok(changed.at(self.path, "write")? > 0)
    }
}
