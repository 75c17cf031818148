//! What an agent has, read and opened: the rows put together into a document, with those that do not open named.

use std::collections::{BTreeMap, HashSet};

use rusqlite::OptionalExtension;
use serde_json::{Map, Value};

use super::error::{Context, VaultError};
use super::profiles::Plain;
use super::seal_json::open_json;
use super::sections::{Frame, frame_of};
use super::{UnlockedVault, sections, terms};
use crate::crypto::SealKey;
use crate::domain::{AgentName, Endpoint, Section, StoreDoc, VaultId};

/// What an agent has in the vault.
#[derive(Debug)]
pub struct AgentState {
    /// The store document, as it is to be exported.
    pub doc: StoreDoc,
    /// Raised by every change; 0 when the agent has nothing yet.
    pub revision: i64,
    /// Rows that did not open. While there are any, the document is incomplete and must not be exported.
    pub unopened: Vec<String>,
    /// What each profile's grant is pinned to, as far as it is.
    pub pins: BTreeMap<String, Endpoint>,
}

impl UnlockedVault {
    /// What an agent has: an empty document when it has nothing.
    ///
    /// # Errors
    /// When the vault cannot be read. A row that does not open is listed, and the others are there.
    pub fn agent(&self, agent: &AgentName) -> Result<AgentState, VaultError> {
        let none = AgentState {
            doc: StoreDoc::default(),
            revision: 0,
            unopened: Vec::new(),
            pins: BTreeMap::new(),
        };
        // One snapshot for all statements: a document half before and half after another process's commit never was.
        let _snapshot = self.conn.unchecked_transaction().at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let read = Reader {
            conn: &self.conn,
            seal: &keys.seal,
            vault: self.id,
            path: &self.path,
        };
        let Some(id) = terms::find(&self.conn, agent.as_str()).at(&self.path, "read")? else {
            return Ok(none);
        };
        read.agent(id, agent).map(|state| state.unwrap_or(none))
    }

    /// The agents that have something in the vault, in no order.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub fn agents(&self) -> Result<Vec<AgentName>, VaultError> {
        let read = || -> rusqlite::Result<Vec<AgentName>> {
            let mut select = self
                .conn
                .prepare("SELECT t.text FROM agents a JOIN terms t ON t.id = a.id")?;
            select
                .query_map([], |row| row.get(0).map(AgentName::from_stored))?
                .collect()
        };
        read().at(&self.path, "read")
    }
}

/// A pin as it is sealed.
fn pinned((profile, pin): (String, Value)) -> Option<(String, Endpoint)> {
    let [origin, client_id] = pin.as_array()?.as_slice() else {
        return None;
    };
    let endpoint = Endpoint {
        origin: origin.as_str()?.to_owned(),
        client_id: client_id.as_str()?.to_owned(),
    };
    Some((profile, endpoint))
}

/// Reads what an agent has.
pub(super) struct Reader<'a> {
    pub(super) conn: &'a rusqlite::Connection,
    pub(super) seal: &'a SealKey,
    pub(super) vault: VaultId,
    pub(super) path: &'a std::path::Path,
}

impl Reader<'_> {
    fn agent(&self, id: i64, name: &AgentName) -> Result<Option<AgentState>, VaultError> {
        let row: Option<(i64, Option<Vec<u8>>)> = self
            .conn
            .prepare_cached("SELECT revision, frame FROM agents WHERE id = ?1")
            .and_then(|mut select| {
                select
                    .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .at(self.path, "read")?;
        let Some((revision, blob)) = row else {
            return self.without_row(id, name);
        };
        let mut unopened = Vec::new();
        let frame = blob.and_then(|blob| Frame::open(self.seal, self.vault, name, revision, &blob));
        if frame.is_none() {
            unopened.push(format!("the frame of agent {name}"));
        }
        if self.is_overtaken(id, revision)? {
            unopened.push(format!("the newest state of agent {name}"));
        }
        let (fields, generations, pins) = match frame {
            Some(frame) => (frame.fields, Some(frame.generations), frame.pins),
            None => (frame_of(&StoreDoc::default()), None, Map::new()),
        };
        for section in [Section::Order, Section::LastGood] {
            let sealed = fields.get(section.key()).and_then(Value::as_object);
            let plain = self.provider_entries(section, id)?;
            if sealed.map_or(!plain.is_empty(), |sealed| *sealed != plain) {
                unopened.push(format!("the {} of agent {name}", section.key()));
            }
        }
        let profiles = self.profiles(id, name, generations.as_ref(), &mut unopened)?;
        let usage = self.usage(id, name, &mut unopened)?;
        let doc = sections::assemble(fields, profiles, usage);
        Ok(Some(AgentState {
            doc,
            revision,
            unopened,
            pins: pins.into_iter().filter_map(pinned).collect(),
        }))
    }

    /// Whether a store says what the agent had at a later revision than it has: an older state was put back beneath what is known of
    /// the store, which would then be written over with less.
    fn is_overtaken(&self, id: i64, revision: i64) -> Result<bool, VaultError> {
        self.conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM exports WHERE agent = ?1 AND revision > ?2)",
            )
            .and_then(|mut select| select.query_row([id, revision], |row| row.get(0)))
            .at(self.path, "read")
    }

    /// Without the agent's own row nothing of it is there, which is right only if the record knows of nothing either.
    fn without_row(&self, id: i64, name: &AgentName) -> Result<Option<AgentState>, VaultError> {
        let changed: bool = self
            .conn
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM subjects s JOIN events e ON e.subject = s.id WHERE s.agent = ?1 AND e.generation IS NOT NULL)",
                [id],
                |row| row.get(0),
            )
            .at(self.path, "read")?;
        Ok(changed.then(|| AgentState {
            doc: StoreDoc::default(),
            revision: 0,
            unopened: vec![format!("agent {name}")],
            pins: BTreeMap::new(),
        }))
    }

    fn profiles(
        &self,
        agent: i64,
        name: &AgentName,
        generations: Option<&Map<String, Value>>,
        unopened: &mut Vec<String>,
    ) -> Result<Map<String, Value>, VaultError> {
        let mut entries = Map::with_capacity(generations.map_or(0, Map::len));
        let mut closed = HashSet::new();
        let mut select = self
            .conn
            .prepare_cached(
                "SELECT p.id, t.text, p.provider, p.type, p.owner, p.expires, p.generation, p.sealed, \
                 (SELECT max(e.generation) FROM subjects s JOIN events e ON e.subject = s.id \
                  WHERE s.profile = p.profile AND s.agent = p.agent AND e.generation IS NOT NULL) \
                 FROM profiles p JOIN terms t ON t.id = p.profile WHERE p.agent = ?1 ORDER BY p.position, p.id",
            )
            .at(self.path, "read")?;
        let mut rows = select.query([agent]).at(self.path, "read")?;
        while let Some(row) = rows.next().at(self.path, "read")? {
            let read = || -> rusqlite::Result<(String, Option<Value>)> {
                let text =
                    |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
                let profile: String = row.get(1)?;
                let plain = Plain {
                    agent: name.as_str(),
                    profile: &profile,
                    provider: text(2)?,
                    kind: text(3)?,
                    owner: text(4)?,
                    expires: row.get(5)?,
                    generation: row.get(6)?,
                };
                let newest: Option<i64> = row.get(8)?;
                let blob = row.get_ref(7)?.as_blob()?;
                let entry = open_json(
                    self.seal,
                    plain.aad(self.vault, "profiles", row.get(0)?),
                    blob,
                )
                // An old row put back whole opens, but is neither the newest nor the one that the frame knows. A frame
                // that does not open is a finding of its own and takes no row with it.
                .filter(|_| newest == Some(plain.generation))
                .filter(|_| {
                    generations
                        .is_none_or(|known| known.get(&profile).and_then(Value::as_i64) == newest)
                });
                Ok((profile, entry))
            };
            let (profile, entry) = read().at(self.path, "read")?;
            match entry {
                Some(entry) => drop(entries.insert(profile, entry)),
                None => {
                    unopened.push(format!("profile {profile} of agent {name}"));
                    closed.insert(profile);
                }
            }
        }
        let is_there = |profile: &String| entries.contains_key(profile) || closed.contains(profile);
        let known = generations.into_iter().flat_map(Map::keys);
        let gone = known.filter(|profile| !is_there(profile));
        unopened.extend(gone.map(|profile| format!("profile {profile} of agent {name}")));
        Ok(entries)
    }
}
