//! What a backup that is put back takes over from the vault that it replaces: newer credentials, and what became of grants.

use std::collections::{BTreeMap, HashSet};

use rusqlite::params;
use serde_json::Value;

use super::error::{Context, VaultError};
use super::grants::{Grant, GrantState};
use super::profiles::ChangeNote;
use super::{AgentState, Tx, UnlockedVault, events, terms};
use crate::audit::{EventKind, Origin};
use crate::domain::{
    AgentName, Credential, Endpoint, Fingerprint, Owner, ProfileId, SecretJson, Section,
};

/// What was taken over, and what is not known any more.
#[derive(Debug, Default)]
pub struct Carried {
    /// The credentials that are newer than the backup's.
    pub credentials: Vec<(AgentName, ProfileId)>,
    /// Logins of the backup whose refresh token may have been spent since.
    pub uncertain: Vec<(AgentName, ProfileId)>,
}

/// A credential of the vault that is replaced.
struct Newer {
    agent: AgentName,
    profile: ProfileId,
    entry: SecretJson,
    pin: Option<Endpoint>,
}

/// Takes over into `tx`, a transaction on the backup's copy, what `old` has that is newer. Nothing is known of grants where there is no
/// such vault: each of them may have been spent since.
pub(super) fn carry_over(
    tx: &mut Tx<'_>,
    old: Option<&UnlockedVault>,
) -> Result<Carried, VaultError> {
    let mut carried = Carried::default();
    let mut in_use = HashSet::new();
    if let Some(old) = old {
        carry_grants(tx, old)?;
        for name in old.agents()? {
            let state = old.agent(&name)?;
            in_use.extend(refresh_tokens(old, &state));
            for newer in newer_of(tx, old, &name, state)? {
                put(tx, &newer)?;
                carried.credentials.push((newer.agent, newer.profile));
            }
        }
    }
    for (agent, profile, print) in owned_grants(tx)? {
        if in_use.contains(&print) {
            continue; // the vault that is replaced knew how it stands
        }
        let known = tx.grant(print)?;
        if matches!(known.state, GrantState::Free | GrantState::Started) {
            let state = GrantState::Uncertain;
            tx.set_grant(print, &Grant { state, ..known })?;
        }
        if !matches!(
            known.state,
            GrantState::Borrowed | GrantState::Dead | GrantState::Spent
        ) {
            carried.uncertain.push((agent, profile));
        }
    }
    Ok(carried)
}

/// What the vault that is replaced knew of grants is newer. A refresh that was under way in it will not be ended here.
fn carry_grants(tx: &mut Tx<'_>, old: &UnlockedVault) -> Result<(), VaultError> {
    for (print, grant) in old.grants()? {
        let known = tx.grant(print)?;
        let state = match grant.state {
            GrantState::Started => GrantState::Uncertain,
            other => other,
        };
        let fence = grant.fence.max(known.fence);
        tx.set_grant(
            print,
            &Grant {
                state,
                fence,
                ..grant
            },
        )?;
    }
    Ok(())
}

/// The fingerprints of the refresh tokens that an agent has.
fn refresh_tokens<'s>(
    vault: &'s UnlockedVault,
    state: &'s AgentState,
) -> impl Iterator<Item = Fingerprint> + 's {
    let tokens = state.doc.credentials();
    tokens.filter_map(|(_, credential)| Some(vault.fingerprint(credential.expose_refresh()?)))
}

/// The credentials of an agent of the vault that is replaced that were changed after the backup was made.
fn newer_of(
    tx: &Tx<'_>,
    old: &UnlockedVault,
    agent: &AgentName,
    state: AgentState,
) -> Result<Vec<Newer>, VaultError> {
    let mut pins: BTreeMap<String, Endpoint> = state.pins;
    let mut newer = Vec::new();
    for (id, entry) in state.doc.entries(Section::Profiles) {
        let profile = ProfileId::new(id);
        let generation = |conn| -> rusqlite::Result<i64> {
            let agent = terms::find(conn, agent.as_str())?;
            let profile = terms::find(conn, id)?;
            let Some((agent, profile)) = agent.zip(profile) else {
                return Ok(0);
            };
            Ok(events::newest_generation(conn, agent, profile)?.unwrap_or(0))
        };
        let theirs = generation(&old.conn).at(&old.path, "read")?;
        let ours = generation(&tx.tx).at(tx.path, "read")?;
        if theirs <= ours {
            continue;
        }
        let stored = tx.credential(agent, &profile)?;
        if stored.is_some_and(|(stored, _)| stored.expose_secret() == entry) {
            continue;
        }
        newer.push(Newer {
            agent: agent.clone(),
            pin: pins.remove(id),
            entry: SecretJson::new(Value::clone(entry)),
            profile,
        });
    }
    Ok(newer)
}

fn put(tx: &mut Tx<'_>, newer: &Newer) -> Result<(), VaultError> {
    let is_there = tx.credential(&newer.agent, &newer.profile)?.is_some();
    let kind = if is_there {
        EventKind::ProfileUpdated
    } else {
        EventKind::ProfileCreated
    };
    let note = ChangeNote::new(kind, Origin::Clawkeep).detail("why", "newer than the backup");
    tx.put_profile(
        &newer.agent,
        &newer.profile,
        newer.entry.expose_secret(),
        note,
    )?;
    match &newer.pin {
        Some(pin) => tx.pin_endpoint(&newer.agent, &newer.profile, pin),
        None => Ok(()),
    }
}

/// The logins that this program refreshes, and their grants.
fn owned_grants(tx: &Tx<'_>) -> Result<Vec<(AgentName, ProfileId, Fingerprint)>, VaultError> {
    let read = || -> rusqlite::Result<Vec<(String, String)>> {
        let mut select = tx.tx.prepare(
            "SELECT a.text, t.text FROM profiles p JOIN terms a ON a.id = p.agent JOIN terms t ON t.id = p.profile \
             WHERE p.type = 'oauth' AND p.owner = ?1 ORDER BY p.id",
        )?;
        let rows = select.query_map([Owner::Vault.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        rows.collect()
    };
    let mut grants = Vec::new();
    for (agent, profile) in read().at(tx.path, "read")? {
        let (agent, profile) = (AgentName::from_stored(agent), ProfileId::new(profile));
        // What does not open is no login; the backup is not put back without being told to.
        let Ok(Some((entry, _))) = tx.credential(&agent, &profile) else {
            continue;
        };
        if let Some(refresh) = Credential::of(entry.expose_secret()).expose_refresh() {
            let print = tx.fingerprint(refresh);
            grants.push((agent, profile, print));
        }
    }
    Ok(grants)
}

impl Tx<'_> {
    /// Forgets what was last in every store file: each is compared with nothing, so what only it has is taken over.
    pub(super) fn forget_exports(&mut self) -> Result<(), VaultError> {
        self.tx
            .execute(
                "UPDATE exports SET digest = NULL, snapshot = NULL, revision = ?1",
                params![-1],
            )
            .at(self.path, "write")
            .map(|_| ())
    }
}
