//! Grants: what becomes of a refresh token, by its fingerprint, whichever profiles hold it.

use crate::vault::file::read_only::read_transaction;
use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::proof::{Proof, Scope};
use crate::crypto::Aad;
use crate::domain::{
    AgentName, Credential, Endpoint, Fingerprint, Generation, Owner, ProfileId, SecretJson,
    StoreDoc, UnixMs, VaultId, named,
};
use crate::vault::error::{Context, VaultError};
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::terms;
use crate::vault::sealing::listing::Part;
use crate::vault::sealing::seal_json::{open_json, seal_json};
use crate::vault::tx::Tx;

/// How many successors of a grant are followed: three a day for three years. Cycles never end.
const SUCCESSORS_MAX: usize = 3_000;

named! {
    parsed
    /// The refresh state of a grant, the one of which least is sent last.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum GrantState {
        /// The grant may be refreshed.
        #[default]
        Free = "free",
        /// A refresh of it was begun and has not ended.
        Started = "started",
        /// The grant may be spent: no usable answer arrived.
        Uncertain = "uncertain",
        /// The provider refuses the grant.
        Dead = "dead",
        /// Another refresh token took its place.
        Spent = "spent",
        /// It is another program's to redeem.
        Borrowed = "borrowed",
    }
}

impl GrantState {
    /// How careful it is: the higher, the less is sent.
    pub(in crate::vault) fn caution(self) -> u8 {
        self as u8
    }

    fn of(name: &str) -> Self {
        Self::from_name(name).unwrap_or_default()
    }
}

/// What is known of a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The refresh state of the grant.
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

impl Grant {
    /// A grant that may be refreshed, after so many refreshes.
    #[must_use]
    pub fn free(fence: i64) -> Self {
        Self {
            fence,
            ..Self::default()
        }
    }
}

pub(in crate::vault) const GRANT: &str =
    "SELECT state, fence, failed, not_before, successor FROM grants WHERE print = ?1";
const ALL: &str =
    "SELECT print, state, fence, failed, not_before, successor FROM grants ORDER BY print";

pub(super) fn grant_key(print: Fingerprint) -> String {
    data_encoding::HEXUPPER.encode(&print.to_bytes())
}

fn grant_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Grant> {
    Ok(Grant {
        state: GrantState::of(row.get_ref(first)?.as_str()?),
        fence: row.get(first + 1)?,
        failed: row.get(first + 2)?,
        not_before: row.get::<_, Option<i64>>(first + 3)?.map(UnixMs),
        successor: row
            .get::<_, Option<Vec<u8>>>(first + 4)?
            .and_then(|print| Fingerprint::from_bytes(&print)),
    })
}

pub(in crate::vault) fn grant(conn: &Connection, print: Fingerprint) -> rusqlite::Result<Grant> {
    let row = conn
        .prepare_cached(GRANT)?
        .query_row([print.to_bytes()], |row| grant_of(row, 0))
        .optional()?;
    Ok(row.unwrap_or_default())
}

/// Every grant that has a row, as it stands there.
pub(in crate::vault) fn all_grants(
    conn: &Connection,
) -> rusqlite::Result<Vec<(Fingerprint, Grant)>> {
    let mut select = conn.prepare_cached(ALL)?;
    let rows = select.query_map([], |row| {
        let print = Fingerprint::from_bytes(row.get_ref(0)?.as_blob()?);
        Ok((print, grant_of(row, 1)?))
    })?;
    rows.filter_map(|row| match row {
        Ok((print, grant)) => Some(Ok((print?, grant))),
        Err(error) => Some(Err(error)),
    })
    .collect()
}

impl UnlockedVault {
    /// What is known of a grant; nothing is known of most.
    ///
    /// # Errors
    /// When it cannot be read; [`VaultError::Unopened`] when its row is not as clawkeep left it.
    pub fn grant(&self, print: Fingerprint) -> Result<Grant, VaultError> {
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let proof = Proof::of(&self.conn, &self.path, &keys, self.id)?;
        let listing = proof.listing(Scope::Vault, Part::Grants)?;
        let key = grant_key(print);
        if !proof.is_as_listed(&listing, (Scope::Vault, Part::Grants), &key)? {
            return Err(VaultError::Unopened {
                row: Part::Grants.describe("", &key),
            });
        }
        grant(&self.conn, print).at(&self.path, "read")
    }

    /// Everything that is known of grants, but for those whose rows are not as clawkeep left them:
    /// their logins are refused.
    pub(in crate::vault) fn grants(&self) -> Result<Vec<(Fingerprint, Grant)>, VaultError> {
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let proof = Proof::of(&self.conn, &self.path, &keys, self.id)?;
        let altered = proof.altered(Scope::Vault, Part::Grants)?;
        let mut grants = all_grants(&self.conn).at(&self.path, "read")?;
        grants.retain(|(print, _)| {
            let key = grant_key(*print);
            !altered.iter().any(|row| row.key == key)
        });
        Ok(grants)
    }

    /// Whether any grant is spent.
    pub(crate) fn has_spent_grants(&self) -> Result<bool, VaultError> {
        let mut grants = self.grants()?.into_iter();
        Ok(grants.any(|(_, grant)| grant.state == GrantState::Spent))
    }

    /// The grants of which a refresh was begun and has not ended, each with its fence.
    pub fn started_refreshes(&self) -> Result<Vec<(Fingerprint, i64)>, VaultError> {
        let started = self.grants()?.into_iter();
        Ok(started
            .filter(|(_, grant)| grant.state == GrantState::Started)
            .map(|(print, grant)| (print, grant.fence))
            .collect())
    }
}

fn rescue_aad(vault: VaultId, print: Fingerprint, fence: i64) -> Aad {
    Aad::new(vault, "rescue", "tokens")
        .bytes(&print.to_bytes())
        .number(fence)
}

impl UnlockedVault {
    /// The profiles of a document whose grant is uncertain, dead or spent.
    pub fn troubled_grants(
        &self,
        doc: &StoreDoc,
    ) -> Result<BTreeMap<String, GrantState>, VaultError> {
        use GrantState::{Dead, Spent, Uncertain};
        let grants = self.grants()?.into_iter();
        let troubled: HashMap<_, _> = grants
            .filter(|(_, grant)| matches!(grant.state, Uncertain | Dead | Spent))
            .map(|(print, grant)| (print.to_bytes(), grant.state))
            .collect();
        if troubled.is_empty() {
            return Ok(BTreeMap::new()); // nearly always: no fingerprint has to be made
        }
        let of = |(id, credential): (&str, Credential<'_>)| {
            let refresh = credential
                .expose_refresh()
                .filter(|_| Owner::of(id) == Owner::Vault)?;
            let state = troubled.get(&self.fingerprint(refresh).to_bytes())?;
            Some((id.to_owned(), *state))
        };
        Ok(doc.credentials().filter_map(of).collect())
    }

    /// What stands for a token in the record; of a refresh token, also the name of its grant.
    #[must_use]
    pub fn fingerprint(&self, token: &str) -> Fingerprint {
        self.keys.fingerprint(token)
    }

    /// The grant that has taken a spent one's place at last, or as far as is known; itself if it is
    /// not spent.
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
    pub fn is_spent(&self, credential: &Credential<'_>) -> Result<bool, VaultError> {
        let Some(refresh) = credential.expose_refresh() else {
            return Ok(false);
        };
        Ok(self.grant(self.fingerprint(refresh))?.state == GrantState::Spent)
    }

    /// Seals what a refresh brought, to be kept outside the vault until it is in it: bound to the
    /// grant and to the refresh.
    pub fn seal_recovery_file(
        &self,
        print: Fingerprint,
        fence: i64,
        tokens: &SecretJson,
    ) -> Result<Vec<u8>, VaultError> {
        let aad = rescue_aad(self.id, print, fence);
        Ok(seal_json(&self.keys.seal, aad, tokens.expose_secret())?)
    }

    /// Opens what [`UnlockedVault::seal_recovery_file`] made for the same refresh, else `None`.
    #[must_use]
    pub(crate) fn open_recovery_file(
        &self,
        print: Fingerprint,
        fence: i64,
        blob: &[u8],
    ) -> Option<SecretJson> {
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
    pub fn grant(&self, print: Fingerprint) -> Result<Grant, VaultError> {
        self.expect_listed(Scope::Vault, Part::Grants, &grant_key(print))?;
        grant(&self.tx, print).at(self.path, "read")
    }

    /// Sets what is known of a grant. The caller records why.
    pub fn set_grant(&mut self, print: Fingerprint, grant: &Grant) -> Result<(), VaultError> {
        self.will_change(Scope::Vault, Part::Grants, &grant_key(print))?;
        self.tx
            .execute(
                "INSERT INTO grants (print, state, fence, failed, not_before, successor, since) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT (print) DO UPDATE SET state = ?2, fence = ?3, failed = ?4, \
                 not_before = ?5, successor = ?6, since = ?7",
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

    /// Marks the grant of a profile's credential as free: its provider has just issued the token.
    pub fn free_grant(&mut self, agent: &AgentName, profile: &ProfileId) -> Result<(), VaultError> {
        match self.held_grant(agent, profile)? {
            Some((print, known))
                if !matches!(known.state, GrantState::Free | GrantState::Started) =>
            {
                self.set_grant(print, &Grant::free(known.fence))
            }
            _ => Ok(()),
        }
    }

    /// Marks the grant of a refresh token as another program's to redeem, until
    /// [`Tx::take_ownership`] or [`Tx::free_grant`] ends it.
    pub(crate) fn mark_borrowed(&mut self, refresh: &str) -> Result<(), VaultError> {
        let print = self.fingerprint(refresh);
        let known = self.grant(print)?;
        if known.state == GrantState::Borrowed {
            return Ok(());
        }
        let state = GrantState::Borrowed;
        self.set_grant(print, &Grant { state, ..known })
    }

    /// Makes the grant of a profile's credential ours again, where it was another program's.
    pub fn take_ownership(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
    ) -> Result<(), VaultError> {
        let state = GrantState::Free;
        match self.held_grant(agent, profile)? {
            Some((print, known)) if known.state == GrantState::Borrowed => {
                self.set_grant(print, &Grant { state, ..known })
            }
            _ => Ok(()),
        }
    }

    /// The grant of a profile's credential, if it has one.
    fn held_grant(
        &self,
        agent: &AgentName,
        profile: &ProfileId,
    ) -> Result<Option<(Fingerprint, Grant)>, VaultError> {
        let Some((entry, _)) = self.credential(agent, profile)? else {
            return Ok(None);
        };
        let refresh = Credential::of(entry.expose_secret()).expose_refresh();
        let print = refresh.map(|refresh| self.fingerprint(refresh));
        print
            .map(|print| Ok((print, self.grant(print)?)))
            .transpose()
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

    /// Pins a profile's grant to an endpoint. Part of what is sealed of the agent: the pin cannot
    /// be changed without its key.
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
