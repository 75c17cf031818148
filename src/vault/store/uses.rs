//! What is handed out, and which profile a session is pinned to.

use crate::vault::file::read_only::read_transaction;
use rusqlite::{Connection, params};
use serde_json::json;

use super::proof::{Proof, Scope};
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::domain::{AgentName, Credential, ProfileId, ProviderId, UnixMs, normalize_provider};
use crate::vault::error::{Context, VaultError};
use crate::vault::file::vault::Vault;
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::terms;
use crate::vault::sealing::listing::Part;
use crate::vault::tx::Tx;

/// A session's profile for a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The id of the session.
    pub session: String,
    /// The provider that the pin is for.
    pub provider: ProviderId,
    /// The profile that the session is pinned to.
    pub profile: ProfileId,
    /// The time at which the session was pinned.
    pub pinned_at: UnixMs,
}

/// Whose secrets are handed out, by which command, in which session.
#[derive(Clone, Copy, Debug)]
pub struct HandedOut<'h> {
    /// The agent that has the credential.
    pub agent: &'h AgentName,
    /// The command, for the record.
    pub command: &'static str,
    /// The program that gets the secrets, if the command runs one.
    pub program: Option<&'h str>,
    /// The session, if one was named.
    pub session: Option<&'h str>,
}

const PINS: &str = "SELECT s.session, s.provider, t.text, s.pinned_at FROM session_pins s JOIN \
    terms t ON t.id = s.profile \
                    WHERE s.agent = (SELECT id FROM terms WHERE text = ?1) ORDER BY s.session, \
                    s.provider";

fn read_pins(conn: &Connection, agent: &AgentName) -> rusqlite::Result<Vec<Pin>> {
    let mut select = conn.prepare_cached(PINS)?;
    let rows = select.query_map([agent.as_str()], |row| {
        let provider: String = row.get(1)?;
        Ok(Pin {
            session: row.get(0)?,
            provider: ProviderId::new(&provider),
            profile: ProfileId::new(row.get::<_, String>(2)?),
            pinned_at: UnixMs(row.get(3)?),
        })
    })?;
    rows.collect()
}

impl Vault {
    /// The pins of an agent's sessions, as they stand in the file. Needs no key, so nothing is
    /// proved of them.
    pub fn unverified_pins(&self, agent: &AgentName) -> Result<Vec<Pin>, VaultError> {
        read_pins(&self.conn, agent).at(&self.path, "read")
    }
}

impl UnlockedVault {
    /// The pins of an agent's sessions.
    ///
    /// # Errors
    /// When they cannot be read; [`VaultError::Unopened`] when one is not as clawkeep left it.
    pub fn pins(&self, agent: &AgentName) -> Result<Vec<Pin>, VaultError> {
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let proof = Proof::of(&self.conn, &self.path, &keys, self.id)?;
        if let Some(row) = proof.altered_of(agent.as_str(), Part::Pins)?.first() {
            let row = row.describe();
            return Err(VaultError::Unopened { row });
        }
        read_pins(&self.conn, agent).at(&self.path, "read")
    }
}

impl Tx<'_> {
    /// Records that a credential is handed out. To be committed before anybody gets it.
    ///
    /// # Errors
    /// When it cannot be written; nothing may be handed out then.
    pub(crate) fn note_use(
        &mut self,
        handed: &HandedOut<'_>,
        profile: &ProfileId,
        credential: &Credential<'_>,
    ) -> Result<(), VaultError> {
        let provider = normalize_provider(credential.provider);
        let mut event = EventDraft::new(EventKind::CredentialUsed, Origin::Clawkeep)
            .profile(profile, &provider)
            .detail("command", handed.command);
        if let Some(program) = handed.program {
            event = event.detail("program", program);
        }
        let secret = credential.expose_secret();
        event.token = (None, secret.map(|secret| self.keys.fingerprint(secret)));
        event.expires = (None, credential.expiry());
        event.session = handed.session.map(str::to_owned);
        self.append(Some(handed.agent), event).map(|_| ())
    }

    /// Records that a candidate was passed over, and why.
    pub fn note_passed_over(
        &mut self,
        handed: &HandedOut<'_>,
        profile: &ProfileId,
        credential: Option<&Credential<'_>>,
        why: &str,
    ) -> Result<(), VaultError> {
        let provider = credential.map(|credential| normalize_provider(credential.provider));
        let provider = provider.unwrap_or_else(|| normalize_provider(profile.provider_part()));
        let mut event = EventDraft::new(EventKind::CredentialPassedOver, Origin::Clawkeep)
            .outcome(Outcome::Skipped)
            .profile(profile, &provider)
            .detail("why", why)
            .detail("command", handed.command);
        event.session = handed.session.map(str::to_owned);
        self.append(Some(handed.agent), event).map(|_| ())
    }

    fn will_change_pin(
        &mut self,
        agent: &AgentName,
        session: &str,
        provider: &ProviderId,
    ) -> Result<(), VaultError> {
        let key = json!([provider.as_str(), session]).to_string();
        match terms::find(&self.tx, agent.as_str()).at(self.path, "read")? {
            Some(id) => self.will_change(Scope::Agent(id, agent.as_str()), Part::Pins, &key),
            None => Ok(()), // nor has it a pin
        }
    }

    /// Pins a session to a profile, in place of the one it had for that provider.
    pub fn pin_session(
        &mut self,
        agent: &AgentName,
        session: &str,
        provider: &ProviderId,
        profile: &ProfileId,
    ) -> Result<(), VaultError> {
        self.will_change_pin(agent, session, provider)?;
        let write = || {
            let profile = terms::intern(&self.tx, profile.as_str())?;
            // Nothing of the store changes, so the agent's revision stays.
            self.tx.execute(
                "INSERT INTO session_pins (agent, session, provider, profile, pinned_at) \
                 VALUES ((SELECT id FROM terms WHERE text = ?1), ?2, ?3, ?4, ?5) \
                 ON CONFLICT (agent, session, provider) DO UPDATE SET profile = ?4, pinned_at = ?5",
                params![
                    agent.as_str(),
                    session,
                    provider.as_str(),
                    profile,
                    self.now.0
                ],
            )
        };
        write().at(self.path, "write")?;
        let mut event = EventDraft::new(EventKind::SessionPinned, Origin::Clawkeep)
            .profile(profile, provider.as_str());
        event.session = Some(session.to_owned());
        self.append(Some(agent), event).map(|_| ())
    }

    /// Takes a session's pin for a provider away. Nothing happens where there is none.
    pub fn unpin_session(&mut self, agent: &AgentName, pin: &Pin) -> Result<(), VaultError> {
        self.will_change_pin(agent, &pin.session, &pin.provider)?;
        let removed = self.tx.execute(
            "DELETE FROM session_pins WHERE agent = (SELECT id FROM terms WHERE text = ?1) AND \
             session = ?2 AND provider = ?3",
            params![agent.as_str(), pin.session, pin.provider.as_str()],
        );
        if removed.at(self.path, "write")? == 0 {
            return Ok(());
        }
        let mut event = EventDraft::new(EventKind::SessionUnpinned, Origin::Clawkeep)
            .profile(&pin.profile, pin.provider.as_str());
        event.session = Some(pin.session.clone());
        self.append(Some(agent), event).map(|_| ())
    }
}
