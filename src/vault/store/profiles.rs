//! Profiles: sealed, with plain columns for queries; each change with event and version.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;

use super::grants::GrantState;
use super::note::ChangeNote;
use super::proof::Scope;
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::domain::{
    AgentName, Credential, Expiry, Fingerprint, Generation, Owner, ProfileId, SecretJson,
    WARN_AFTER_MS, normalize_provider,
};
use crate::vault::error::{Context, VaultError};
use crate::vault::log::{events, terms};
use crate::vault::sealing::listing::Part;
use crate::vault::sealing::plain::Plain;
use crate::vault::sealing::seal_json::{open_json, seal_json};
use crate::vault::tx::Tx;

/// How many replaced versions of a profile are kept. Source: `spec/vault.md`, What is in it.
const VERSIONS_KEPT: i64 = 3;
/// How long a replaced version is kept, in milliseconds: 30 days. Source: `spec/vault.md`.
pub(super) const VERSION_AGE_MS: i64 = 30 * 24 * 3_600_000;

/// A stored row about to be replaced or removed.
pub(in crate::vault) struct Stored {
    id: i64,
    pub(in crate::vault) entry: SecretJson,
    provider: String,
    kind: String,
    owner: String,
    expires: Option<i64>,
    pub(in crate::vault) generation: i64,
}

/// Whether what a change replaces stays as a version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replaced {
    Kept,
    Forgotten,
}

impl Tx<'_> {
    /// Seals `entry` as the profile's credential and records the change. What it replaces becomes a
    /// version.
    ///
    /// # Errors
    /// When it cannot be written, or the row it replaces does not open.
    pub fn put_profile(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        entry: &Value,
        note: ChangeNote,
    ) -> Result<(), VaultError> {
        self.put(agent, profile, entry, note, Replaced::Kept)
    }

    /// As [`Tx::put_profile`], where a new refresh token has taken the place of `spent`: no version
    /// with that one stays.
    pub fn put_refreshed(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        entry: &Value,
        note: ChangeNote,
        spent: Fingerprint,
    ) -> Result<(), VaultError> {
        self.put(agent, profile, entry, note, Replaced::Forgotten)?;
        self.forget_versions(spent, &normalize_provider(Credential::of(entry).provider))
    }

    fn put(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        entry: &Value,
        note: ChangeNote,
        replaced: Replaced,
    ) -> Result<(), VaultError> {
        let agent_id = self.touch_agent(agent)?;
        let profile_id = terms::intern(&self.tx, profile.as_str()).at(self.path, "write")?;
        let stored = match self.stored(agent, agent_id, profile, profile_id) {
            // What takes its place is whole, whatever it was.
            Err(VaultError::Unopened { .. }) => {
                self.drop_unopened(agent, profile)?;
                None
            }
            stored => stored?,
        };
        self.will_replace(
            Scope::Agent(agent_id, agent.as_str()),
            Part::Profiles,
            profile.as_str(),
        );
        let newest =
            events::newest_generation(&self.tx, agent_id, profile_id).at(self.path, "read")?;
        let generation = Generation(newest.unwrap_or(0)).next();
        let credential = Credential::of(entry);
        let provider = normalize_provider(credential.provider);
        let plain = Plain {
            agent: agent.as_str(),
            profile: profile.as_str(),
            provider: &provider,
            kind: credential.kind.as_str(),
            owner: Owner::of(profile.as_str()).column(),
            expires: credential.expiry().map(Expiry::floor_ms),
            generation: generation.0,
        };
        if let Some(stored) = stored.as_ref().filter(|_| replaced == Replaced::Kept) {
            self.keep_version(agent, agent_id, profile, profile_id, stored)?;
        }
        self.write_row(
            stored.as_ref().map(|stored| stored.id),
            (agent_id, profile_id),
            &plain,
            entry,
        )?;
        if Owner::of(profile.as_str()) != Owner::Vault
            && let Some(refresh) = credential.expose_refresh()
        {
            self.mark_borrowed(refresh)?; // under whatever id it turns up later
        }
        let before = stored
            .as_ref()
            .map(|stored| Credential::of(stored.entry.expose_secret()));
        self.append_change(
            agent,
            profile,
            note,
            Some(generation),
            (before, Some(credential)),
        )
    }

    /// Removes a profile and records it; its credential stays as a version. Nothing happens when
    /// there is none.
    pub fn remove_profile(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        note: ChangeNote,
    ) -> Result<(), VaultError> {
        let agent_id = self.touch_agent(agent)?;
        let profile_id = terms::intern(&self.tx, profile.as_str()).at(self.path, "write")?;
        let Some(stored) = self.stored(agent, agent_id, profile, profile_id)? else {
            return Ok(());
        };
        self.keep_version(agent, agent_id, profile, profile_id, &stored)?;
        self.will_replace(
            Scope::Agent(agent_id, agent.as_str()),
            Part::Profiles,
            profile.as_str(),
        );
        self.tx
            .execute("DELETE FROM profiles WHERE id = ?1", [stored.id])
            .at(self.path, "write")?;
        // The removal takes a generation too, so that the removed row put back is not the newest.
        let generation = Generation(stored.generation).next();
        self.append_change(
            agent,
            profile,
            note,
            Some(generation),
            (Some(Credential::of(stored.entry.expose_secret())), None),
        )
    }

    /// Removes the versions of a provider's profiles whose refresh token is `spent`: nothing may
    /// put that one back. One that does not open stays, and is of no use.
    pub fn forget_versions(
        &mut self,
        spent: Fingerprint,
        provider: &str,
    ) -> Result<(), VaultError> {
        self.forget_versions_if(Some(provider), |_, print| Ok(print == spent))
    }

    fn forget_versions_if(
        &mut self,
        provider: Option<&str>,
        is_spent: impl Fn(&Self, Fingerprint) -> Result<bool, VaultError>,
    ) -> Result<(), VaultError> {
        type Version = (AgentName, ProfileId, Stored, Vec<u8>);
        let read = || -> rusqlite::Result<Vec<Version>> {
            let mut select = self.tx.prepare_cached(
                "SELECT v.id, v.provider, v.type, v.owner, v.expires, v.generation, v.sealed, \
                 a.text, p.text FROM profile_versions v \
                 JOIN terms a ON a.id = v.agent JOIN terms p ON p.id = v.profile WHERE (?1 IS \
                 NULL OR v.provider = ?1) AND v.type = 'oauth'",
            )?;
            let rows = select.query_map([provider], |row| {
                let stored = Stored::of(row)?;
                let agent = AgentName::from_stored(row.get(7)?);
                let profile = ProfileId::new(row.get::<_, String>(8)?);
                Ok((agent, profile, stored, row.get(6)?))
            })?;
            rows.collect()
        };
        for (agent, profile, stored, sealed) in read().at(self.path, "read")? {
            let row = stored.id;
            let aad = stored
                .plain(&agent, &profile)
                .aad(self.vault, "profile_versions", row);
            let entry = open_json(&self.keys.seal, aad, &sealed).map(SecretJson::new);
            let print = entry.and_then(|entry| {
                let refresh = Credential::of(entry.expose_secret()).expose_refresh();
                refresh.map(|token| self.keys.fingerprint(token))
            });
            if let Some(print) = print
                && is_spent(self, print)?
            {
                match self.drop_version(&agent, &profile, row) {
                    // Of a damaged agent nothing is put back, and its new tokens must not be lost.
                    Err(VaultError::Unopened { .. }) => {}
                    dropped => dropped?,
                }
            }
        }
        Ok(())
    }

    /// Removes every version whose refresh token is known to be spent.
    pub(in crate::vault) fn forget_spent_versions(&mut self) -> Result<(), VaultError> {
        self.forget_versions_if(None, |tx, print| {
            Ok(tx.grant(print)?.state == GrantState::Spent)
        })
    }

    /// Takes out the row of a profile that does not open, so that what is known of it elsewhere can
    /// take its place.
    pub(in crate::vault) fn drop_unopened(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
    ) -> Result<(), VaultError> {
        let agent_id = self.touch_agent(agent)?;
        self.will_replace(
            Scope::Agent(agent_id, agent.as_str()),
            Part::Profiles,
            profile.as_str(),
        );
        self.tx
            .execute(
                "DELETE FROM profiles WHERE agent = (SELECT id FROM terms WHERE text = ?1) \
                 AND profile = (SELECT id FROM terms WHERE text = ?2)",
                [agent.as_str(), profile.as_str()],
            )
            .at(self.path, "write")
            .map(|_| ())
    }

    /// Keeps a credential that never became the profile's, another program's that gave way to ours,
    /// as a version, and records that.
    pub fn keep_lost(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        entry: &Value,
    ) -> Result<(), VaultError> {
        let event = EventDraft::new(EventKind::StoreMerged, Origin::StoreFile)
            .outcome(Outcome::Skipped)
            .detail("why", "the vault's lasts longer");
        self.keep_as_version(agent, profile, entry, event)
    }

    /// Keeps a credential that did not become the profile's as a version, and records why with
    /// `event`.
    pub fn keep_as_version(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        entry: &Value,
        event: EventDraft,
    ) -> Result<(), VaultError> {
        let agent_id = self.touch_agent(agent)?;
        let profile_id = terms::intern(&self.tx, profile.as_str()).at(self.path, "write")?;
        let newest =
            events::newest_generation(&self.tx, agent_id, profile_id).at(self.path, "read")?;
        let credential = Credential::of(entry);
        let lost = Stored {
            id: 0,
            provider: normalize_provider(credential.provider),
            kind: credential.kind.as_str().to_owned(),
            owner: Owner::of(profile.as_str()).column().to_owned(),
            expires: credential.expiry().map(Expiry::floor_ms),
            generation: newest.unwrap_or(0),
            entry: SecretJson::new(entry.clone()),
        };
        self.keep_version(agent, agent_id, profile, profile_id, &lost)?;
        let print = credential
            .expose_secret()
            .map(|secret| self.keys.fingerprint(secret));
        let mut event = event.profile(profile, &lost.provider);
        event.token = (print, None);
        event.expires = (credential.expiry(), None);
        self.append(Some(agent), event).map(|_| ())
    }

    /// Puts the profiles' positions in the order of `ids`; those not named keep theirs.
    pub fn reorder_profiles<'i>(
        &mut self,
        agent: &AgentName,
        ids: impl Iterator<Item = &'i str>,
    ) -> Result<(), VaultError> {
        let agent_id = self.touch_agent(agent)?;
        let places = || -> rusqlite::Result<BTreeMap<String, i64>> {
            let mut select = self.tx.prepare_cached(
                "SELECT t.text, p.position FROM profiles p JOIN terms t ON t.id = p.profile WHERE \
                 p.agent = ?1",
            )?;
            let rows = select.query_map([agent_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        let places = places().at(self.path, "read")?;
        for (position, id) in (0_i64..).zip(ids) {
            if places.get(id).is_none_or(|now| *now == position) {
                continue;
            }
            self.will_change(Scope::Agent(agent_id, agent.as_str()), Part::Profiles, id)?;
            self.tx
                .prepare_cached(
                    "UPDATE profiles SET position = ?3 WHERE agent = ?1 \
                     AND profile = (SELECT id FROM terms WHERE text = ?2)",
                )
                .and_then(|mut update| update.execute(params![agent_id, id, position]))
                .at(self.path, "write")?;
        }
        Ok(())
    }

    fn append_change(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        note: ChangeNote,
        generation: Option<Generation>,
        (before, after): (Option<Credential<'_>>, Option<Credential<'_>>),
    ) -> Result<(), VaultError> {
        let provider = after
            .or(before)
            .map(|credential| normalize_provider(credential.provider))
            .unwrap_or_default();
        let mut event = EventDraft::new(note.kind, note.origin).profile(profile, &provider);
        let print = |credential: Option<Credential<'_>>| {
            credential
                .and_then(|credential| credential.expose_secret())
                .map(|secret| self.keys.fingerprint(secret))
        };
        event.generation = generation;
        event.token = (print(before), print(after));
        event.expires = (
            before.and_then(|c| c.expiry()),
            after.and_then(|c| c.expiry()),
        );
        event.detail = note.detail;
        self.append(Some(agent), event).map(|_| ())
    }

    pub(in crate::vault) fn stored(
        &self,
        agent: &AgentName,
        agent_id: i64,
        profile: &ProfileId,
        profile_id: i64,
    ) -> Result<Option<Stored>, VaultError> {
        let row = self
            .tx
            .prepare_cached(
                "SELECT id, provider, type, owner, expires, generation, sealed FROM profiles \
                 WHERE agent = ?1 AND profile = ?2",
            )
            .and_then(|mut select| {
                select
                    .query_row([agent_id, profile_id], |row| {
                        let sealed: Vec<u8> = row.get(6)?;
                        Ok((Stored::of(row)?, sealed))
                    })
                    .optional()
            })
            .at(self.path, "read")?;
        self.expect_listed(
            Scope::Agent(agent_id, agent.as_str()),
            Part::Profiles,
            profile.as_str(),
        )?;
        let Some((mut stored, sealed)) = row else {
            return Ok(None);
        };
        let aad = stored
            .plain(agent, profile)
            .aad(self.vault, "profiles", stored.id);
        let unopened = || VaultError::Unopened {
            row: format!("profile {profile} of agent {agent}"),
        };
        stored.entry = open_json(&self.keys.seal, aad, &sealed)
            .map(SecretJson::new)
            .ok_or_else(unopened)?;
        Ok(Some(stored))
    }

    fn keep_version(
        &mut self,
        agent: &AgentName,
        agent_id: i64,
        profile: &ProfileId,
        profile_id: i64,
        stored: &Stored,
    ) -> Result<(), VaultError> {
        let row = self.next_id("profile_versions")?;
        let aad = stored
            .plain(agent, profile)
            .aad(self.vault, "profile_versions", row);
        let sealed = seal_json(&self.keys.seal, aad, stored.entry.expose_secret())?;
        self.will_change_version(agent, profile, row)?;
        self.tx
            .prepare_cached(
                "INSERT INTO profile_versions (id, agent, profile, provider, type, owner, \
                 expires, generation, replaced_at, sealed) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    row,
                    agent_id,
                    profile_id,
                    stored.provider,
                    stored.kind,
                    stored.owner,
                    stored.expires,
                    stored.generation,
                    self.now.0,
                    sealed
                ])
            })
            .at(self.path, "write")?;
        for (profile, row) in self
            .outdated_versions(agent_id, profile_id)
            .at(self.path, "read")?
        {
            self.drop_version(agent, &ProfileId::new(profile), row)?;
        }
        Ok(())
    }

    /// The versions of an agent that are too old, and those of a profile that are too many.
    fn outdated_versions(&self, agent: i64, profile: i64) -> rusqlite::Result<Vec<(String, i64)>> {
        let mut select = self.tx.prepare_cached(
            "SELECT t.text, v.id FROM profile_versions v JOIN terms t ON t.id = v.profile \
             WHERE v.agent = ?1 AND (v.replaced_at < ?3 OR (v.profile = ?2 AND v.id NOT IN \
             (SELECT id FROM profile_versions WHERE agent = ?1 AND profile = ?2 ORDER BY id DESC \
             LIMIT ?4)))",
        )?;
        let oldest = self.now.0 - VERSION_AGE_MS;
        let rows = select.query_map(params![agent, profile, oldest, VERSIONS_KEPT], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        rows.collect()
    }

    fn drop_version(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        row: i64,
    ) -> Result<(), VaultError> {
        self.will_change_version(agent, profile, row)?;
        self.tx
            .prepare_cached("DELETE FROM profile_versions WHERE id = ?1")
            .and_then(|mut delete| delete.execute([row]))
            .at(self.path, "write")
            .map(|_| ())
    }

    /// A version comes or goes whole.
    fn will_change_version(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        row: i64,
    ) -> Result<(), VaultError> {
        // The agent itself does not change with it.
        let agent_id = terms::find(&self.tx, agent.as_str()).at(self.path, "read")?;
        let agent_id = agent_id.unwrap_or_default();
        self.expect_agent(Scope::Agent(agent_id, agent.as_str()))?;
        let key = serde_json::json!([profile.as_str(), row]).to_string();
        self.will_replace(Scope::Agent(agent_id, agent.as_str()), Part::Versions, &key);
        Ok(())
    }

    fn write_row(
        &self,
        existing: Option<i64>,
        (agent_id, profile_id): (i64, i64),
        plain: &Plain<'_>,
        entry: &Value,
    ) -> Result<(), VaultError> {
        let row = existing.map_or_else(|| self.next_id("profiles"), Ok)?;
        let sealed = seal_json(
            &self.keys.seal,
            plain.aad(self.vault, "profiles", row),
            entry,
        )?;
        self.tx
            .prepare_cached(
                "INSERT INTO profiles (id, agent, profile, position, provider, type, owner, \
                 expires, generation, updated_at, sealed) \
                 VALUES (?1, ?2, ?3, (SELECT coalesce(max(position), -1) + 1 FROM profiles WHERE \
                 agent = ?2), ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
                 ON CONFLICT (id) DO UPDATE SET provider = ?4, type = ?5, owner = ?6, expires = \
                 ?7, generation = ?8, \
                 updated_at = ?9, sealed = ?10, expiry_noted = ?11",
            )
            .and_then(|mut write| {
                write.execute(params![
                    row,
                    agent_id,
                    profile_id,
                    plain.provider,
                    plain.kind,
                    plain.owner,
                    plain.expires,
                    plain.generation,
                    self.now.0,
                    sealed,
                    self.known_of_end(plain)
                ])
            })
            .at(self.path, "write")
            .map(|_| ())
    }

    /// How far the record is to know of the end of a credential that takes another's place: one
    /// that comes in its last day, as an access token of some hours always does, has not come to
    /// it.
    fn known_of_end(&self, plain: &Plain<'_>) -> i64 {
        let begins = plain.expires.map(|ends| ends.saturating_sub(WARN_AFTER_MS));
        i64::from(begins.is_some_and(|begins| begins <= self.now.0))
    }

    /// The row id an insert will use: sealed data is bound to it, so it must be known before.
    fn next_id(&self, table: &'static str) -> Result<i64, VaultError> {
        self.tx
            .prepare_cached(&format!("SELECT coalesce(max(id), 0) + 1 FROM {table}"))
            .and_then(|mut select| select.query_row([], |row| row.get(0)))
            .at(self.path, "read")
    }
}

impl Stored {
    /// From a row's first six columns: id, provider, type, owner, expiry, generation. The entry is
    /// still to be opened.
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            entry: SecretJson::new(Value::Null),
            provider: row.get(1)?,
            kind: row.get(2)?,
            owner: row.get(3)?,
            expires: row.get(4)?,
            generation: row.get(5)?,
        })
    }

    fn plain<'a>(&'a self, agent: &'a AgentName, profile: &'a ProfileId) -> Plain<'a> {
        Plain {
            agent: agent.as_str(),
            profile: profile.as_str(),
            provider: &self.provider,
            kind: &self.kind,
            owner: &self.owner,
            expires: self.expires,
            generation: self.generation,
        }
    }
}
