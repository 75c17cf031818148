//! What a restored backup imports from the vault that it replaces: newer credentials,
//! and what became of grants.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use crate::audit::{EventKind, Origin};
use crate::domain::{
    AgentName, Borrowed, Credential, Endpoint, Fingerprint, Owner, ProfileId, SecretJson, Section,
};
use crate::vault::error::{Context, VaultError};
use crate::vault::file::vault::Vault;
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::{events, terms};
use crate::vault::sealing::frame::{Frame, frame_of};
use crate::vault::sealing::listing::Part;
use crate::vault::store::agents::AgentState;
use crate::vault::store::grants::{Grant, GrantState, all_grants};
use crate::vault::store::note::ChangeNote;
use crate::vault::store::proof::Altered;
use crate::vault::tx::Tx;

/// What was imported, and what is not known any more.
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
    borrowed: Option<Borrowed>,
}

/// What the vault that is replaced knows of what happened to its logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing is carried over: it is another vault.
    Nothing,
    /// What happened until a copy of it was made that was put back since: the head that is kept of
    /// it is of a later event.
    Earlier,
    /// Everything in the vault is carried over.
    Everything,
}

/// The vault that is replaced, where it is an older or newer state of the same one.
#[derive(Clone, Copy)]
pub(in crate::vault) enum Replaced<'v> {
    /// There is none, or another one.
    Nothing,
    /// A vault whose secrets are unavailable.
    Locked(&'v Vault),
    /// Its secrets can be had.
    Unlocked(&'v UnlockedVault),
}

impl<'v> Replaced<'v> {
    fn vault(self) -> Option<&'v Vault> {
        match self {
            Self::Nothing => None,
            Self::Locked(vault) => Some(vault),
            Self::Unlocked(vault) => Some(vault),
        }
    }
}

/// Imports into `tx`, a transaction on the backup's copy, what `old` has that is newer. Nothing
/// is known of grants where there is no such vault: each of them may have been spent since.
pub(super) fn carry_over(
    tx: &mut Tx<'_>,
    old: Replaced<'_>,
    known: Known,
) -> Result<Carried, VaultError> {
    let mut carried = Carried::default();
    let mut in_use = HashSet::new();
    match old {
        Replaced::Nothing => {}
        Replaced::Unlocked(old) => carry_grants(tx, old)?,
        Replaced::Locked(old) => carry_cautions(tx, old)?,
    }
    if let Replaced::Unlocked(old) = old {
        for name in old.agents()? {
            let state = old.agent(&name)?;
            if known == Known::Everything {
                in_use.extend(refresh_tokens(old, &state));
            }
            let newer = newer_of(tx, old, &name, &state)?;
            if !newer.is_empty() && !has_frame(tx, &name)? {
                tx.touch_agent(&name)?;
                tx.set_frame(&name, SecretJson::new(Value::Object(frame_of(&state.doc))));
            }
            for newer in newer {
                put(tx, &newer)?;
                carried.credentials.push((newer.agent, newer.profile));
            }
        }
    }
    if let Some(old) = old.vault() {
        raise_revisions(tx, old)?;
    }
    tx.forget_spent_versions()?;
    tx.end_started_refreshes()?;
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

/// What the vault that is replaced knew of grants is newer, unless the backup is of another line of
/// it and knows that one is spent. A refresh that was under way in it will not be ended here.
fn carry_grants(tx: &mut Tx<'_>, old: &UnlockedVault) -> Result<(), VaultError> {
    use GrantState::{Borrowed, Dead, Free, Spent, Started, Uncertain};
    for (print, grant) in old.grants()? {
        let known = tx.grant(print)?;
        let state = match (known.state, grant.state) {
            (Borrowed, _) | (Spent, Started | Uncertain | Dead) => continue,
            (_, Started) => Uncertain,
            (_, other @ (Free | Uncertain | Dead | Spent | Borrowed)) => other,
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

/// Without a key nothing proves what the vault that is replaced says of grants: what keeps a token
/// from being sent is imported, and nothing else.
fn carry_cautions(tx: &mut Tx<'_>, old: &Vault) -> Result<(), VaultError> {
    for (print, grant) in all_grants(&old.conn).at(&old.path, "read")? {
        let known = tx.grant(print)?;
        let state = match grant.state {
            GrantState::Started => GrantState::Uncertain,
            state => state,
        };
        if state.caution() > known.state.caution() {
            let fence = grant.fence.max(known.fence);
            let carried = Grant {
                state,
                fence,
                ..known
            };
            tx.set_grant(print, &carried)?;
        }
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

/// The credentials of an agent of the vault that is replaced that were changed after the backup was
/// made.
fn newer_of(
    tx: &mut Tx<'_>,
    old: &UnlockedVault,
    agent: &AgentName,
    state: &AgentState,
) -> Result<Vec<Newer>, VaultError> {
    let pins: &BTreeMap<String, Endpoint> = &state.pins;
    let mut newer = Vec::new();
    for (id, entry) in state.doc.entries(Section::Profiles) {
        let profile = ProfileId::new(id);
        match tx.credential(agent, &profile) {
            Ok(Some((stored, _))) if stored.expose_secret() == entry => continue,
            // Whatever it was, it is lost there.
            Err(VaultError::Unopened { .. }) => tx.drop_unopened(agent, &profile)?,
            Err(error) => return Err(error),
            Ok(_) if !is_newer(tx, old, agent, id)? => continue,
            Ok(_) => {}
        }
        newer.push(Newer {
            agent: agent.clone(),
            pin: pins.get(id).cloned(),
            borrowed: state.borrowed.get(id).cloned(),
            entry: SecretJson::new(Value::clone(entry)),
            profile,
        });
    }
    Ok(newer)
}

/// Whether a profile's newest change in the replaced vault is one that the backup does not know.
/// Generations alone do not decide: after a backup was restored, two lines count on from the same
/// number. If each has a change that the other does not know, the later one counts.
fn is_newer(
    tx: &Tx<'_>,
    old: &UnlockedVault,
    agent: &AgentName,
    id: &str,
) -> Result<bool, VaultError> {
    let newest = |conn: &Connection| -> rusqlite::Result<Option<events::Last>> {
        let agent = terms::find(conn, agent.as_str())?;
        let Some((agent, profile)) = agent.zip(terms::find(conn, id)?) else {
            return Ok(None);
        };
        events::newest_change(conn, agent, profile)
    };
    let knows = |conn: &Connection, change: events::Last| -> rusqlite::Result<bool> {
        Ok(events::mac_at(conn, change.seq)? == Some(change.mac))
    };
    let theirs = newest(&old.conn).at(&old.path, "read")?;
    let ours = newest(&tx.tx).at(tx.path, "read")?;
    let Some(theirs) = theirs else {
        return Ok(false);
    };
    if knows(&tx.tx, theirs).at(tx.path, "read")? {
        return Ok(false);
    }
    let Some(ours) = ours else { return Ok(true) };
    Ok(knows(&old.conn, ours).at(&old.path, "read")? || theirs.at >= ours.at)
}

/// Whether the agent's frame opens, so that the agent can be changed.
fn has_frame(tx: &Tx<'_>, agent: &AgentName) -> Result<bool, VaultError> {
    let stored: Option<(i64, Option<Vec<u8>>)> = tx
        .tx
        .query_row(
            "SELECT a.revision, a.frame FROM agents a JOIN terms t ON t.id = a.id WHERE t.text = \
             ?1",
            [agent.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .at(tx.path, "read")?;
    Ok(match stored {
        Some((revision, Some(frame))) => {
            Frame::open(&tx.keys.seal, tx.vault, agent, revision, &frame).is_some()
        }
        _ => true,
    })
}

/// Agents come to be of later revisions than they were: a process that has read one in the vault
/// that is replaced commits nothing to what only happens to have the same number.
fn raise_revisions(tx: &mut Tx<'_>, old: &Vault) -> Result<(), VaultError> {
    let read = |conn: &Connection| -> rusqlite::Result<Vec<(String, i64)>> {
        let mut select =
            conn.prepare("SELECT t.text, a.revision FROM agents a JOIN terms t ON t.id = a.id")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    };
    let ours = read(&tx.tx).at(tx.path, "read")?;
    for (name, revision) in read(&old.conn).at(&old.path, "read")? {
        let is_ours = ours.iter().any(|(known, _)| *known == name);
        let agent = AgentName::from_stored(name);
        let is_touched = tx.is_touched(&agent);
        if is_touched || (is_ours && has_frame(tx, &agent)?) {
            tx.raise_revision(&agent, revision)?;
        }
    }
    Ok(())
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
    tx.set_borrowed(&newer.agent, &newer.profile, newer.borrowed.as_ref())?;
    match &newer.pin {
        Some(pin) => tx.pin_endpoint(&newer.agent, &newer.profile, pin),
        None => Ok(()),
    }
}

/// The logins that this program refreshes, and their grants.
fn owned_grants(tx: &Tx<'_>) -> Result<Vec<(AgentName, ProfileId, Fingerprint)>, VaultError> {
    let read = || -> rusqlite::Result<Vec<(String, String)>> {
        let mut select = tx.tx.prepare(
            "SELECT a.text, t.text FROM profiles p JOIN terms a ON a.id = p.agent JOIN terms t ON \
             t.id = p.profile \
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
        // What cannot be decrypted is no login; without an override the backup is not restored.
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
    /// Marks every grant of which a refresh was begun: nobody will end it here.
    fn end_started_refreshes(&mut self) -> Result<(), VaultError> {
        self.tx
            .execute(
                "UPDATE grants SET state = 'uncertain', since = ?1 WHERE state = 'started'",
                [self.now.0],
            )
            .at(self.path, "write")
            .map(|_| ())
    }

    pub(super) fn has_frame_of(&self, agent: &str) -> bool {
        has_frame(self, &AgentName::from_stored(agent.to_owned())).unwrap_or(false)
    }

    /// Grants whose rows were altered: nothing is redirected by them, and none is sent without a
    /// word.
    pub(super) fn distrust_grants(&mut self, altered: &[Altered]) -> Result<(), VaultError> {
        let altered = altered.iter().filter(|row| row.part == Part::Grants);
        for key in altered.map(|row| row.key.as_str()) {
            let bytes = data_encoding::HEXUPPER.decode(key.as_bytes()).ok();
            let Some(print) = bytes.and_then(|bytes| Fingerprint::from_bytes(&bytes)) else {
                continue;
            };
            let known = self.grant(print)?;
            let state = match known.state {
                GrantState::Free | GrantState::Started => GrantState::Uncertain,
                state => state,
            };
            let successor = None;
            self.set_grant(
                print,
                &Grant {
                    state,
                    successor,
                    ..known
                },
            )?;
        }
        Ok(())
    }

    /// Forgets what was last in every store file: what only a file has is then imported.
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
