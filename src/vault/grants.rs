//! Grants: what becomes of a refresh token, by its fingerprint, whichever profiles hold it.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::error::{Context, VaultError};
use super::seal_json::{open_json, seal_json};
use super::{Tx, UnlockedVault, Vault, terms};
use crate::crypto::Aad;
use crate::domain::{
    AgentName, Credential, Endpoint, Fingerprint, Generation, Owner, ProfileId, SecretJson,
    StoreDoc, UnixMs, VaultId,
};

/// How often a grant's successor is followed: three a day for three years. Tokens that came round would go on for ever.
const SUCCESSORS_MAX: usize = 3_000;

/// How a grant stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantState {
    /// It may be refreshed.
    #[default]
    Free,
    /// A refresh of it was begun and has not ended.
    Started,
    /// It may be spent: an answer did not come, or was none.
    Uncertain,
    /// Its provider refuses it.
    Dead,
    /// Another refresh token took its place.
    Spent,
    /// It is another program's to redeem.
    Borrowed,
}

impl GrantState {
    /// The name in the vault and in what is printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Started => "started",
            Self::Uncertain => "uncertain",
            Self::Dead => "dead",
            Self::Spent => "spent",
            Self::Borrowed => "borrowed",
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "started" => Self::Started,
            "uncertain" => Self::Uncertain,
            "dead" => Self::Dead,
            "spent" => Self::Spent,
            "borrowed" => Self::Borrowed,
            _ => Self::Free,
        }
    }
}

/// What is known of a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// How it stands.
    pub state: GrantState,
    /// How many refreshes of it were begun. Only who began the last may end it.
    pub fence: i64,
    /// How the last refresh failed, in the words of the record, if it did.
    pub failed: Option<String>,
    /// Its provider is not to be asked before.
    pub not_before: Option<UnixMs>,
    /// The grant that took its place.
    pub successor: Option<Fingerprint>,
}

pub(super) const GRANT: &str =
    "SELECT state, fence, failed, not_before, successor FROM grants WHERE print = ?1";
pub(super) const TROUBLED: &str =
    "SELECT print, state FROM grants WHERE state IN ('uncertain', 'dead', 'spent')";
pub(super) const STARTED: &str = "SELECT print, fence FROM grants WHERE state = 'started'";

fn grant(conn: &Connection, print: Fingerprint) -> rusqlite::Result<Grant> {
    let row = conn
        .prepare_cached(GRANT)?
        .query_row([print.to_bytes()], |row| {
            Ok(Grant {
                state: GrantState::of(row.get_ref(0)?.as_str()?),
                fence: row.get(1)?,
                failed: row.get(2)?,
                not_before: row.get::<_, Option<i64>>(3)?.map(UnixMs),
                successor: row
                    .get::<_, Option<Vec<u8>>>(4)?
                    .and_then(|print| Fingerprint::from_bytes(&print)),
            })
        })
        .optional()?;
    Ok(row.unwrap_or_default())
}

impl Vault {
    /// What is known of a grant; nothing is known of most.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn grant(&self, print: Fingerprint) -> Result<Grant, VaultError> {
        grant(&self.conn, print).at(&self.path, "read")
    }

    /// Everything that is known of grants.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn grants(&self) -> Result<Vec<(Fingerprint, Grant)>, VaultError> {
        let read = || -> rusqlite::Result<Vec<Vec<u8>>> {
            let mut select = self.conn.prepare("SELECT print FROM grants")?;
            let rows = select.query_map([], |row| row.get(0))?;
            rows.collect()
        };
        let prints = read().at(&self.path, "read")?;
        let prints = prints
            .iter()
            .filter_map(|print| Fingerprint::from_bytes(print));
        prints
            .map(|print| Ok((print, self.grant(print)?)))
            .collect()
    }

    /// Whether any grant is spent.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn has_spent_grants(&self) -> Result<bool, VaultError> {
        self.conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM grants WHERE state = 'spent')")
            .and_then(|mut select| select.query_row([], |row| row.get(0)))
            .at(&self.path, "read")
    }

    /// The grants of which a refresh was begun and has not ended, each with its fence.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn started_refreshes(&self) -> Result<Vec<(Fingerprint, i64)>, VaultError> {
        let read = || -> rusqlite::Result<Vec<(Fingerprint, i64)>> {
            let mut select = self.conn.prepare_cached(STARTED)?;
            let rows = select.query_map([], |row| {
                let print = Fingerprint::from_bytes(row.get_ref(0)?.as_blob()?);
                Ok((print, row.get(1)?))
            })?;
            rows.filter_map(|row| match row {
                Ok((print, fence)) => Some(Ok((print?, fence))),
                Err(error) => Some(Err(error)),
            })
            .collect()
        };
        read().at(&self.path, "read")
    }
}

fn rescue_aad(vault: VaultId, print: Fingerprint, fence: i64) -> Aad {
    Aad::new(vault, "rescue", "tokens")
        .bytes(&print.to_bytes())
        .number(fence)
}

impl UnlockedVault {
    /// The profiles of a document whose grant is uncertain, dead or spent.
    ///
    /// # Errors
    /// When what is known of grants cannot be read.
    pub fn troubled_grants(
        &self,
        doc: &StoreDoc,
    ) -> Result<BTreeMap<String, GrantState>, VaultError> {
        let read = || -> rusqlite::Result<HashMap<Vec<u8>, GrantState>> {
            let mut select = self.conn.prepare_cached(TROUBLED)?;
            let rows = select.query_map([], |row| {
                Ok((row.get(0)?, GrantState::of(row.get_ref(1)?.as_str()?)))
            })?;
            rows.collect()
        };
        let troubled = read().at(&self.path, "read")?;
        if troubled.is_empty() {
            return Ok(BTreeMap::new()); // nearly always: no fingerprint has to be made
        }
        let of = |(id, credential): (&str, Credential<'_>)| {
            let refresh = credential
                .expose_refresh()
                .filter(|_| Owner::of(id) == Owner::Vault)?;
            let state = troubled.get(self.fingerprint(refresh).to_bytes().as_slice())?;
            Some((id.to_owned(), *state))
        };
        Ok(doc.credentials().filter_map(of).collect())
    }

    /// What stands for a token in the record; of a refresh token, also the name of its grant.
    #[must_use]
    pub fn fingerprint(&self, token: &str) -> Fingerprint {
        self.keys.fingerprint(token)
    }

    /// The grant that has taken a spent one's place at last, or as far as is known; itself if it is not spent.
    ///
    /// # Errors
    /// When what is known of grants cannot be read.
    pub fn successor(&self, print: Fingerprint) -> Result<Fingerprint, VaultError> {
        let mut last = print;
        for _ in 0..SUCCESSORS_MAX {
            let known = self.grant(last)?;
            match (known.state, known.successor) {
                (GrantState::Spent, Some(next)) => last = next,
                _ => break,
            }
        }
        Ok(last)
    }

    /// Whether another refresh token has taken the place of a credential's.
    ///
    /// # Errors
    /// When what is known of its grant cannot be read.
    pub fn is_spent(&self, credential: &Credential<'_>) -> Result<bool, VaultError> {
        let Some(refresh) = credential.expose_refresh() else {
            return Ok(false);
        };
        Ok(self.grant(self.fingerprint(refresh))?.state == GrantState::Spent)
    }

    /// Seals what a refresh brought, to be kept outside the vault until it is in it: bound to the grant and to the refresh.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn seal_rescue(
        &self,
        print: Fingerprint,
        fence: i64,
        tokens: &SecretJson,
    ) -> Result<Vec<u8>, VaultError> {
        let aad = rescue_aad(self.id, print, fence);
        Ok(seal_json(&self.keys.seal, aad, tokens.expose_secret())?)
    }

    /// Opens what [`UnlockedVault::seal_rescue`] made for the same refresh; `None` for anything else.
    #[must_use]
    pub fn open_rescue(&self, print: Fingerprint, fence: i64, blob: &[u8]) -> Option<SecretJson> {
        open_json(&self.keys.seal, rescue_aad(self.id, print, fence), blob).map(SecretJson::new)
    }
}

impl Tx<'_> {
    /// What stands for a token in the record.
    #[must_use]
    pub fn fingerprint(&self, token: &str) -> Fingerprint {
        self.keys.fingerprint(token)
    }

    /// What is known of a grant, as this transaction sees it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn grant(&self, print: Fingerprint) -> Result<Grant, VaultError> {
        grant(&self.tx, print).at(self.path, "read")
    }

    /// Sets what is known of a grant. The caller records why.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_grant(&mut self, print: Fingerprint, grant: &Grant) -> Result<(), VaultError> {
        self.tx
            .execute(
                "INSERT INTO grants (print, state, fence, failed, not_before, successor, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT (print) DO UPDATE SET state = ?2, fence = ?3, failed = ?4, not_before = ?5, successor = ?6, since = ?7",
                params![
                    print.to_bytes(),
                    grant.state.as_str(),
                    grant.fence,
                    grant.failed,
                    grant.not_before.map(|at| at.0),
                    grant.successor.map(Fingerprint::to_bytes),
                    self.now.0
                ],
            )
            .at(self.path, "write")
            .map(|_| ())
    }

    /// Makes the grant of a profile's credential good: its provider has just given the token out.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn free_grant(&mut self, agent: &AgentName, profile: &ProfileId) -> Result<(), VaultError> {
        let Some((entry, _)) = self.credential(agent, profile)? else {
            return Ok(());
        };
        let Some(refresh) = Credential::of(entry.expose_secret()).expose_refresh() else {
            return Ok(());
        };
        let print = self.fingerprint(refresh);
        let known = self.grant(print)?;
        if matches!(known.state, GrantState::Free | GrantState::Started) {
            return Ok(());
        }
        let fence = known.fence;
        self.set_grant(
            print,
            &Grant {
                fence,
                ..Grant::default()
            },
        )
    }

    /// Marks the grant of a refresh token as another program's to redeem, for good.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn mark_borrowed(&mut self, refresh: &str) -> Result<(), VaultError> {
        let print = self.fingerprint(refresh);
        let known = self.grant(print)?;
        if known.state == GrantState::Borrowed {
            return Ok(());
        }
        let state = GrantState::Borrowed;
        self.set_grant(print, &Grant { state, ..known })
    }

    /// A profile's entry and its generation, as this transaction sees it.
    ///
    /// # Errors
    /// When it cannot be read, or does not open.
    pub fn credential(
        &self,
        agent: &AgentName,
        profile: &ProfileId,
    ) -> Result<Option<(SecretJson, Generation)>, VaultError> {
        let ids = || -> rusqlite::Result<Option<(i64, i64)>> {
            let agent = terms::find(&self.tx, agent.as_str())?;
            let profile = terms::find(&self.tx, profile.as_str())?;
            Ok(agent.zip(profile))
        };
        let Some((agent_id, profile_id)) = ids().at(self.path, "read")? else {
            return Ok(None);
        };
        let stored = self.stored(agent, agent_id, profile, profile_id)?;
        Ok(stored.map(|stored| (stored.entry, Generation(stored.generation))))
    }

    /// Pins a profile's grant to an endpoint. Part of what is sealed of the agent: the pin cannot be changed without its key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn pin_endpoint(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        endpoint: &Endpoint,
    ) -> Result<(), VaultError> {
        self.touch_agent(agent)?;
        let pin = Value::from(vec![endpoint.origin.clone(), endpoint.client_id.clone()]);
        self.set_pin(agent, profile, pin);
        Ok(())
    }
}
