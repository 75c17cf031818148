//! Proving rows: what is read is compared with what the listings say is there.
//!
//! A [`Proof`] holds for one snapshot. Readers of rows that decide something begin one first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use crate::domain::{AgentName, VaultId};
use crate::vault::error::{Context, VaultError};
use crate::vault::file::connect::data_version;
use crate::vault::file::read_only::read_transaction;
use crate::vault::keys::slots;
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::{events, terms};
use crate::vault::sealing::listing::{self, Digest, Entries, Entry, Listing, Part, ROOT, VAULT};
use crate::vault::sealing::ring::Keys;

/// The scope of rows: the vault's own, or an agent's, with its number in `terms`.
#[derive(Clone, Copy, Debug)]
pub(in crate::vault) enum Scope<'a> {
    Vault,
    Agent(i64, &'a str),
}

impl<'a> Scope<'a> {
    pub(in crate::vault) fn owner(self) -> i64 {
        match self {
            Self::Vault => VAULT,
            Self::Agent(id, _) => id,
        }
    }

    /// The agent's name; empty for the vault.
    pub(in crate::vault) fn name(self) -> &'a str {
        match self {
            Self::Vault => "",
            Self::Agent(_, name) => name,
        }
    }
}

/// A row that differs from its listing: changed, removed, added or put back, or damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::vault) struct Altered {
    pub(in crate::vault) part: Part,
    /// The agent's name; empty for a row of the vault itself.
    pub(in crate::vault) agent: String,
    pub(in crate::vault) key: String,
    /// What the listing has of it; `None` for a row that was added.
    pub(in crate::vault) listed: Option<Entry>,
}

impl Altered {
    pub(in crate::vault) fn describe(&self) -> String {
        self.part.describe(&self.agent, &self.key)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AgentProof {
    /// There is none, and none is listed.
    Absent,
    /// Its listings are as they were sealed.
    Listed {
        /// Its number in `terms`.
        id: i64,
        /// Whether its row is as listed too: its frame with order, last good and endpoints.
        row: bool,
    },
    /// Nothing.
    Altered,
}

/// What the vault lists in the snapshot that is under way.
pub(super) struct Proof<'c> {
    conn: &'c Connection,
    path: &'c Path,
    keys: &'c Keys,
    vault: VaultId,
    root: Listing,
    /// The agents that were compared already, by name: an agent's listings are long.
    agents: RefCell<BTreeMap<String, AgentProof>>,
}

impl<'c> Proof<'c> {
    /// Opens the root and compares it with the end of the record.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when it does not open, or belongs to another end of the record.
    pub(in crate::vault) fn of(
        conn: &'c Connection,
        path: &'c Path,
        keys: &'c Keys,
        vault: VaultId,
    ) -> Result<Self, VaultError> {
        let head = events::last(conn).at(path, "read")?;
        let blob = listing::stored(conn, VAULT, ROOT).at(path, "read")?;
        let place = (vault, "", ROOT);
        let root = blob.and_then(|blob| listing::open(&keys.seal, place, head.as_ref(), &blob));
        let root = root.ok_or_else(|| VaultError::Damaged {
            path: path.to_owned(),
            what: "its list of rows is not that of the last event: the file was modified outside \
                   clawkeep"
                .to_owned(),
        })?;
        Ok(Self::with_root((conn, path), keys, vault, root))
    }

    /// A proof by a root that is open already.
    pub(super) fn with_root(
        (conn, path): (&'c Connection, &'c Path),
        keys: &'c Keys,
        vault: VaultId,
        root: Listing,
    ) -> Self {
        Self {
            conn,
            path,
            keys,
            vault,
            root,
            agents: RefCell::default(),
        }
    }

    pub(super) fn into_root(self) -> Listing {
        self.root
    }

    /// The digests of the vault's own listings.
    pub(in crate::vault) fn root(&self) -> &Listing {
        &self.root
    }

    /// The listing of a part. An agent's is good only if the agent's row [is](Proof::agent).
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when it is not the one that was sealed last.
    pub(in crate::vault) fn listing(
        &self,
        scope: Scope<'_>,
        part: Part,
    ) -> Result<Arc<Listing>, VaultError> {
        let Scope::Vault = scope else {
            return match self.stored(scope, part)? {
                Some(blob) => self.open((scope, part), &blob),
                None => Ok(Arc::new(Listing::empty())),
            };
        };
        let known = self.root.get(part.as_str());
        let version = data_version(self.conn).at(self.path, "read")?;
        if let Some(open) = known.and_then(|digest| self.keys.listings.find(part, digest, version))
        {
            return Ok(open);
        }
        let stored = self.stored(scope, part)?;
        if known != stored.as_deref().map(listing::digest_of) {
            return Err(self.unlisted(scope, part));
        }
        let opened = match stored {
            Some(blob) => self.open((scope, part), &blob)?,
            None => Arc::new(Listing::empty()),
        };
        if let Some(digest) = known {
            self.keys.listings.keep(part, (digest, version), &opened);
        }
        Ok(opened)
    }

    fn stored(&self, scope: Scope<'_>, part: Part) -> Result<Option<Vec<u8>>, VaultError> {
        listing::stored(self.conn, scope.owner(), part.as_str()).at(self.path, "read")
    }

    fn open(
        &self,
        (scope, part): (Scope<'_>, Part),
        blob: &[u8],
    ) -> Result<Arc<Listing>, VaultError> {
        let place = (self.vault, scope.name(), part.as_str());
        listing::open(&self.keys.seal, place, None, blob)
            .map(Arc::new)
            .ok_or_else(|| self.unlisted(scope, part))
    }

    fn unlisted(&self, scope: Scope<'_>, part: Part) -> VaultError {
        let of = match scope {
            Scope::Vault => String::new(),
            Scope::Agent(_, name) => format!(" of agent {name}"),
        };
        VaultError::Damaged {
            path: self.path.to_owned(),
            what: format!(
                "its list of {}{of} was modified outside clawkeep",
                part.as_str()
            ),
        }
    }

    pub(in crate::vault) fn agent(
        &self,
        agents: &Listing,
        name: &str,
    ) -> Result<AgentProof, VaultError> {
        if let Some(known) = self.agents.borrow().get(name) {
            return Ok(*known);
        }
        let listed = agents.find(name);
        let now = listing::row(self.conn, VAULT, Part::Agents, name).at(self.path, "read")?;
        let id = terms::find(self.conn, name).at(self.path, "read")?;
        let proof = match (listed, now, id) {
            (None, None, _) => AgentProof::Absent,
            (Some((digest, listings)), Some(now), Some(id)) if now.note == listings => {
                let row = now.digest == digest;
                AgentProof::Listed { id, row }
            }
            _ => AgentProof::Altered,
        };
        self.agents.borrow_mut().insert(name.to_owned(), proof);
        Ok(proof)
    }

    /// Whether a row is as `listing` says, a row that is not there too.
    pub(super) fn is_as_listed(
        &self,
        listing: &Listing,
        (scope, part): (Scope<'_>, Part),
        key: &str,
    ) -> Result<bool, VaultError> {
        let now = listing::row(self.conn, scope.owner(), part, key).at(self.path, "read")?;
        let now = now.as_ref().map(|now| (now.digest, now.note.as_str()));
        Ok(listing.find(key) == now)
    }

    /// The rows of a part that are not as they are listed.
    pub(in crate::vault) fn altered(
        &self,
        scope: Scope<'_>,
        part: Part,
    ) -> Result<Vec<Altered>, VaultError> {
        let listing = self.listing(scope, part)?;
        self.altered_in(&listing, scope, part)
    }

    /// The rows of a part of an agent that are not as they are listed.
    pub(super) fn altered_of(&self, agent: &str, part: Part) -> Result<Vec<Altered>, VaultError> {
        let agents = self.listing(Scope::Vault, Part::Agents)?;
        match self.agent(&agents, agent)? {
            AgentProof::Absent => Ok(Vec::new()),
            AgentProof::Listed { id, .. } => self.altered(Scope::Agent(id, agent), part),
            AgentProof::Altered => Err(VaultError::Unopened {
                row: Part::Agents.describe("", agent),
            }),
        }
    }

    /// Whether one row of a part of an agent is as it is listed, a row that is not there too.
    pub(super) fn is_as_listed_of(
        &self,
        agent: &str,
        part: Part,
        key: &str,
    ) -> Result<bool, VaultError> {
        let agents = self.listing(Scope::Vault, Part::Agents)?;
        match self.agent(&agents, agent)? {
            AgentProof::Absent => Ok(true),
            AgentProof::Listed { id, .. } => {
                let scope = Scope::Agent(id, agent);
                let listing = self.listing(scope, part)?;
                self.is_as_listed(&listing, (scope, part), key)
            }
            AgentProof::Altered => Err(VaultError::Unopened {
                row: Part::Agents.describe("", agent),
            }),
        }
    }

    /// As [`Proof::altered`], of a listing that is open.
    fn altered_in(
        &self,
        listing: &Listing,
        scope: Scope<'_>,
        part: Part,
    ) -> Result<Vec<Altered>, VaultError> {
        let now = listing::rows(self.conn, scope.owner(), part).at(self.path, "read")?;
        Ok(differing((scope, part), listing.iter(), &now))
    }

    /// The notes of the sources of an agent's profiles that are not as they are listed.
    pub(super) fn altered_skips_of(&self, agent: &str) -> Result<Vec<Altered>, VaultError> {
        let place = (Scope::Vault, Part::Skips);
        let listing = self.listing(place.0, place.1)?;
        let now = listing::skips_of(self.conn, agent).at(self.path, "read")?;
        let first = serde_json::Value::from(agent).to_string();
        let prefix = format!("[{first},");
        Ok(differing(place, listing.with_prefix(&prefix), &now))
    }

    /// Every row of the vault that is not as it is listed.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when a listing is not the one that was sealed last, so that nothing
    /// can be said of its rows.
    pub(super) fn everything_altered(&self) -> Result<Vec<Altered>, VaultError> {
        let mut all = Vec::new();
        for part in Part::OF_VAULT {
            all.extend(self.altered(Scope::Vault, part)?);
        }
        let agents = self.listing(Scope::Vault, Part::Agents)?;
        for (name, ..) in agents.iter() {
            if let AgentProof::Listed { id, .. } = self.agent(&agents, name)? {
                for part in Part::OF_AGENT {
                    all.extend(self.altered(Scope::Agent(id, name), part)?);
                }
            }
        }
        Ok(all)
    }
}

impl Proof<'_> {
    /// Tables that have rows which belong to nobody: they decide nothing, and clawkeep leaves none.
    fn strays(&self) -> rusqlite::Result<Vec<String>> {
        const OWNED: &str = "SELECT a.id FROM agents a JOIN terms t ON t.id = a.id";
        let has = |sql: &str| -> rusqlite::Result<bool> {
            let exists = format!("SELECT EXISTS ({sql})");
            self.conn.query_row(&exists, [], |row| row.get(0))
        };
        let mut strays = Vec::new();
        for part in Part::OF_AGENT {
            let table = part.as_str();
            if has(&format!(
                "SELECT 1 FROM {table} WHERE agent NOT IN ({OWNED})"
            ))? {
                strays.push(format!("a row of {table} that belongs to no agent"));
            }
        }
        // A row whose profile has no name is in no listing either.
        let named = [
            Part::Profiles,
            Part::Versions,
            Part::Usage,
            Part::Pins,
            Part::Skips,
        ];
        for table in named.map(Part::as_str) {
            let sql = format!("SELECT 1 FROM {table} WHERE profile NOT IN (SELECT id FROM terms)");
            if has(&sql)? {
                strays.push(format!("a row of {table} without a name"));
            }
        }
        if has("SELECT 1 FROM sync_skips WHERE agent NOT IN (SELECT id FROM terms)")? {
            strays.push("a row of sync_skips without a name".to_owned());
        }
        if has("SELECT 1 FROM agents WHERE id NOT IN (SELECT id FROM terms)")? {
            strays.push("a row of agents without a name".to_owned());
        }
        let sql = format!("SELECT part FROM listings WHERE owner = {VAULT}");
        let mut select = self.conn.prepare(&sql)?;
        let mut parts = select.query([])?;
        let mut is_strange = false;
        while let Some(row) = parts.next()? {
            let part: String = row.get(0)?;
            is_strange |= part != ROOT && self.root.get(&part).is_none();
        }
        let owned = "SELECT 1 FROM listings WHERE owner <> 0 AND owner NOT IN";
        if is_strange || has(&format!("{owned} ({OWNED})"))? {
            strays.push("a list of rows that belongs to nobody".to_owned());
        }
        Ok(strays)
    }
}

/// The rows that are not as they are listed.
fn differing<'l>(
    (scope, part): (Scope<'_>, Part),
    listed: impl Iterator<Item = (&'l str, Digest, &'l str)>,
    now: &Entries,
) -> Vec<Altered> {
    let mut altered = Vec::new();
    let (mut known, mut is_sound) = (Vec::new(), true);
    for (key, digest, note) in listed {
        let row = now.get(key);
        if row.is_none_or(|row| row.digest != digest || row.note != note) {
            altered.push(altered_row(scope, part, key, Some((digest, note))));
        }
        is_sound &= row.is_some();
        known.push(key);
    }
    if is_sound && known.len() == now.len() {
        return altered; // keys are listed once
    }
    let known: BTreeSet<&str> = known.into_iter().collect();
    let added = now.keys().filter(|key| !known.contains(key.as_str()));
    altered.extend(added.map(|key| altered_row(scope, part, key, None)));
    altered
}

fn altered_row(scope: Scope<'_>, part: Part, key: &str, listed: Option<(Digest, &str)>) -> Altered {
    Altered {
        part,
        agent: scope.name().to_owned(),
        key: key.to_owned(),
        listed: listed.map(|(digest, note)| Entry {
            digest,
            note: note.to_owned(),
        }),
    }
}

/// A row that is not as clawkeep left it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlteredRow {
    /// What it is, in words.
    pub name: String,
    /// What can take its place.
    pub kind: AlteredKind,
}

/// What is altered, as far as a remedy depends on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlteredKind {
    /// A credential: a kept version or a new one can replace it.
    Credential {
        /// The agent that has the credential.
        agent: String,
        /// The profile.
        profile: String,
    },
    /// A key slot: another one can be added.
    KeySlot(i64),
    /// Any other row of the vault.
    Other,
}

impl std::fmt::Display for AlteredRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl AlteredRow {
    fn of(altered: &Altered) -> Self {
        let kind = match altered.part {
            Part::Profiles => AlteredKind::Credential {
                agent: altered.agent.clone(),
                profile: altered.key.clone(),
            },
            Part::KeySlots => altered
                .key
                .parse()
                .map_or(AlteredKind::Other, AlteredKind::KeySlot),
            _ => AlteredKind::Other,
        };
        Self {
            name: altered.describe(),
            kind,
        }
    }

    fn other(name: String) -> Self {
        let kind = AlteredKind::Other;
        Self { name, kind }
    }
}

impl UnlockedVault {
    /// Every row that is not as clawkeep left it: changed, removed, added or put back outside it,
    /// or damaged.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when what lists the rows was modified too.
    pub fn altered_rows(&self) -> Result<Vec<AlteredRow>, VaultError> {
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let proof = Proof::of(&self.conn, &self.path, &keys, self.id)?;
        let altered = proof.everything_altered()?;
        let mut rows: Vec<AlteredRow> = altered.iter().map(AlteredRow::of).collect();
        let strays = proof.strays().at(&self.path, "read")?;
        rows.extend(strays.into_iter().map(AlteredRow::other));
        let known = (self.id, keys.seal.epoch());
        let unproved = slots::unproved((&self.conn, &self.path), known, &keys.data)?;
        rows.extend(unproved.into_iter().map(|slot| AlteredRow {
            name: Part::KeySlots.describe("", &slot.to_string()),
            kind: AlteredKind::KeySlot(slot),
        }));
        rows.sort();
        rows.dedup();
        Ok(rows)
    }

    /// The agents that have something in the vault, in the order of their names.
    pub fn agents(&self) -> Result<Vec<AgentName>, VaultError> {
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let proof = Proof::of(&self.conn, &self.path, &keys, self.id)?;
        let agents = proof.listing(Scope::Vault, Part::Agents)?;
        Ok(agents
            .iter()
            .map(|(name, ..)| AgentName::from_stored(name.to_owned()))
            .collect())
    }
}
