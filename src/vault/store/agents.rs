//! What an agent has, read, proved and opened: the rows put together into a document, with those
//! that are not as clawkeep left them named.

use crate::vault::file::read_only::read_transaction;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::OptionalExtension;
use serde_json::{Map, Value};

use super::exports::ExportRecord;
use super::grants::grant_key;
use super::proof::{AgentProof, Altered, Proof, Scope};
use super::superseded::{self, Superseded};
use crate::domain::{AgentName, Borrowed, Endpoint, Owner, StoreDoc, VaultId, normalize_provider};
use crate::vault::error::{Context, VaultError};
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::sealing::frame::{Frame, assemble, frame_of, usage_aad};
use crate::vault::sealing::listing::Part;
use crate::vault::sealing::plain::Plain;
use crate::vault::sealing::ring::Keys;
use crate::vault::sealing::seal_json::open_json;

/// What an agent has in the vault.
#[derive(Debug)]
pub struct AgentState {
    /// The store document, as it is to be exported. It lacks what is [damaged](AgentState::damage).
    pub doc: StoreDoc,
    /// The revision, raised by every change; 0 if the agent has nothing yet.
    pub revision: i64,
    /// Rows that are not as clawkeep left them, in words. With any, nothing must be exported.
    pub unopened: Vec<String>,
    /// What the document lacks for that.
    pub damage: Damage,
    /// What each profile's grant is pinned to, as far as it is.
    pub pins: BTreeMap<String, Endpoint>,
    /// The profiles that were imported as another program's.
    pub borrowed: BTreeMap<String, Borrowed>,
    /// Earlier contents of its store, the oldest first.
    pub superseded: Vec<Superseded>,
}

/// What a document lacks, since its rows are damaged or were modified outside clawkeep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Credentials, by profile, with the provider that each is for. Nothing of them is handed out,
    /// synced or refreshed.
    pub profiles: BTreeMap<String, String>,
    /// The profiles whose usage statistics are lost: whether they are in cooldown is not known.
    pub usage: BTreeSet<String>,
    /// Whether order, last good and endpoints are lost.
    pub frame: bool,
    /// Whether session pins are lost.
    pub pins: bool,
}

impl Damage {
    /// Whether a credential is among what is lost.
    #[must_use]
    pub fn hides(&self, profile: &str, doc: &StoreDoc) -> bool {
        self.profiles.contains_key(profile) || (self.frame && doc.credential(profile).is_none())
    }

    /// Whether a choice between the credentials of a provider may depend on what is lost.
    #[must_use]
    pub fn affects(&self, provider: &str, doc: &StoreDoc) -> bool {
        let provider = normalize_provider(provider);
        let is_of = |profile: &String| {
            let known = doc.credential(profile);
            known.is_some_and(|known| normalize_provider(known.provider) == provider)
        };
        self.frame
            || self.profiles.values().any(|other| *other == provider)
            || self.usage.iter().any(is_of)
    }
}

/// What [`UnlockedVault::agent_and_store`] returns: an agent and its store.
#[derive(Debug)]
pub struct AgentAndStore {
    /// The state of the agent.
    pub state: AgentState,
    /// What is known of the store file; the error names a snapshot that does not open.
    pub record: Result<Option<ExportRecord>, String>,
    /// What is noted of the sources of its profiles, if that was asked for.
    pub skips: Option<Result<Vec<(String, String)>, VaultError>>,
}

impl UnlockedVault {
    /// Returns the state of an agent: an empty document if it has nothing.
    ///
    /// # Errors
    /// When the vault cannot be read. A row that is not as clawkeep left it is named, and the
    /// others are there.
    pub fn agent(&self, agent: &AgentName) -> Result<AgentState, VaultError> {
        // One snapshot for all statements: a document half before and half after another process's
        // commit never was.
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let proof = Proof::of(&self.conn, &self.path, &keys, self.id)?;
        self.agent_by((&proof, &keys), agent)
    }

    /// What an agent has, with what [`UnlockedVault::export_record`] says of the store file at
    /// `path` and, if `with_skips`, what [`UnlockedVault::sync_skips`] says: read and proved in one
    /// snapshot.
    ///
    /// # Errors
    /// As [`UnlockedVault::agent`] and [`UnlockedVault::export_record`].
    pub fn agent_and_store(
        &self,
        agent: &AgentName,
        path: &Path,
        with_skips: bool,
    ) -> Result<AgentAndStore, VaultError> {
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let proof = Proof::of(&self.conn, &self.path, &keys, self.id)?;
        Ok(AgentAndStore {
            state: self.agent_by((&proof, &keys), agent)?,
            record: self.export_record_by((&proof, &keys), path, agent)?,
            skips: with_skips.then(|| self.sync_skips_by(&proof, agent)),
        })
    }

    fn agent_by(
        &self,
        (proof, keys): (&Proof<'_>, &Keys),
        agent: &AgentName,
    ) -> Result<AgentState, VaultError> {
        let read = Reader {
            conn: &self.conn,
            keys,
            vault: self.id,
            path: &self.path,
            proof,
        };
        read.agent(agent)
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

/// Reads the sealed owner of a profile.
fn borrowed((profile, from): (String, Value)) -> Option<(String, Borrowed)> {
    let [owner, path] = from.as_array()?.as_slice() else {
        return None;
    };
    let borrowed = Borrowed {
        owner: Owner::from_name(owner.as_str()?),
        path: path.as_str()?.to_owned(),
    };
    Some((profile, borrowed))
}

struct Reader<'a> {
    pub(in crate::vault) conn: &'a rusqlite::Connection,
    pub(in crate::vault) keys: &'a Keys,
    pub(in crate::vault) vault: VaultId,
    pub(in crate::vault) path: &'a Path,
    pub(in crate::vault) proof: &'a Proof<'a>,
}

impl Reader<'_> {
    fn agent(&self, name: &AgentName) -> Result<AgentState, VaultError> {
        let mut state = AgentState {
            doc: StoreDoc::default(),
            revision: 0,
            unopened: Vec::new(),
            damage: Damage::default(),
            pins: BTreeMap::new(),
            borrowed: BTreeMap::new(),
            superseded: Vec::new(),
        };
        let agents = self.proof.listing(Scope::Vault, Part::Agents)?;
        let (id, is_row_proved) = match self.proof.agent(&agents, name.as_str())? {
            AgentProof::Absent => return Ok(state),
            AgentProof::Listed { id, row } => (id, row),
            AgentProof::Altered => {
                state
                    .unopened
                    .push(Part::Agents.describe("", name.as_str()));
                state.damage.frame = true;
                return Ok(state);
            }
        };
        let row: Option<(i64, Option<Vec<u8>>)> = self
            .conn
            .prepare_cached("SELECT revision, frame FROM agents WHERE id = ?1")
            .and_then(|mut select| {
                select
                    .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .at(self.path, "read")?;
        let (revision, blob) = row.unwrap_or_default();
        let frame = blob
            .filter(|_| is_row_proved)
            .and_then(|blob| Frame::open(&self.keys.seal, self.vault, name, revision, &blob));
        state.revision = revision;
        let fields = match frame {
            Some(frame) => {
                state.pins = frame.pins.into_iter().filter_map(pinned).collect();
                state.borrowed = frame.borrowed.into_iter().filter_map(borrowed).collect();
                state.superseded = superseded::from_frame(frame.superseded);
                frame.fields
            }
            None => {
                state
                    .unopened
                    .push(Part::Agents.describe("", name.as_str()));
                state.damage.frame = true;
                frame_of(&StoreDoc::default())
            }
        };
        let scope = Scope::Agent(id, name.as_str());
        // Copies for those who have no key: nothing is decided by them.
        let copies = self.proof.altered(scope, Part::Entries)?;
        state.unopened.extend(copies.iter().map(Altered::describe));
        let pins = self.proof.altered(scope, Part::Pins)?;
        state.unopened.extend(pins.iter().map(Altered::describe));
        state.damage.pins = !pins.is_empty();
        let profiles = self.profiles(scope, &mut state)?;
        let usage = self.usage(scope, &mut state)?;
        state.doc = assemble(fields, profiles, usage);
        self.leave_out_unproved_grants(name, &mut state)?;
        state.unopened.dedup(); // several copies of one order
        Ok(state)
    }

    /// The keys of the rows of a part that are not as they are listed. Each is named in `state`,
    /// and what is lost with it is noted.
    fn altered_keys(
        &self,
        (scope, part): (Scope<'_>, Part),
        state: &mut AgentState,
        mut note: impl FnMut(&mut Damage, &Altered),
    ) -> Result<BTreeSet<String>, VaultError> {
        let altered = self.proof.altered(scope, part)?;
        for row in &altered {
            state.unopened.push(row.describe());
            // One that was added is nobody's: nothing is lost with it.
            if row.listed.is_some() {
                note(&mut state.damage, row);
            }
        }
        Ok(altered.into_iter().map(|row| row.key).collect())
    }

    fn profiles(
        &self,
        scope: Scope<'_>,
        state: &mut AgentState,
    ) -> Result<Map<String, Value>, VaultError> {
        let altered = self.altered_keys((scope, Part::Profiles), state, |damage, row| {
            let provider = row.listed.as_ref().map(|listed| listed.note.clone());
            let key = row.key.clone();
            damage.profiles.insert(key, provider.unwrap_or_default());
        })?;
        let mut entries = Map::new();
        let mut select = self
            .conn
            .prepare_cached(
                "SELECT p.id, t.text, p.provider, p.type, p.owner, p.expires, p.generation, \
                 p.sealed \
                 FROM profiles p JOIN terms t ON t.id = p.profile WHERE p.agent = ?1 ORDER BY \
                 p.position, p.id",
            )
            .at(self.path, "read")?;
        let mut rows = select.query([scope.owner()]).at(self.path, "read")?;
        while let Some(row) = rows.next().at(self.path, "read")? {
            let read = || -> rusqlite::Result<Option<(String, Option<Value>, String)>> {
                let text =
                    |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
                let profile = text(1)?;
                if altered.contains(profile) {
                    return Ok(None);
                }
                let plain = Plain {
                    agent: scope.name(),
                    profile,
                    provider: text(2)?,
                    kind: text(3)?,
                    owner: text(4)?,
                    expires: row.get(5)?,
                    generation: row.get(6)?,
                };
                let blob = row.get_ref(7)?.as_blob()?;
                let aad = plain.aad(self.vault, "profiles", row.get(0)?);
                let entry = open_json(&self.keys.seal, aad, blob);
                Ok(Some((profile.to_owned(), entry, plain.provider.to_owned())))
            };
            match read().at(self.path, "read")? {
                Some((profile, Some(entry), _)) => drop(entries.insert(profile, entry)),
                Some((profile, None, provider)) => {
                    let name = scope.name();
                    state
                        .unopened
                        .push(format!("profile {profile} of agent {name}"));
                    state.damage.profiles.insert(profile, provider);
                }
                None => {}
            }
        }
        Ok(entries)
    }

    /// Takes out the logins of which it is not proved whether their refresh token may be sent.
    fn leave_out_unproved_grants(
        &self,
        name: &AgentName,
        state: &mut AgentState,
    ) -> Result<(), VaultError> {
        let mut grants = None;
        let mut unproved = BTreeMap::new();
        for (id, credential) in state.doc.credentials() {
            let Some(refresh) = credential.expose_refresh() else {
                continue;
            };
            let listing = match &grants {
                Some(listing) => listing,
                None => grants.insert(self.proof.listing(Scope::Vault, Part::Grants)?),
            };
            let key = grant_key(self.keys.fingerprint(refresh));
            let place = (Scope::Vault, Part::Grants);
            if !self.proof.is_as_listed(listing, place, &key)? {
                unproved.insert(id.to_owned(), normalize_provider(credential.provider));
            }
        }
        for id in unproved.keys() {
            let row = format!("the refresh state of profile {id} of agent {name}");
            state.unopened.push(row);
            state.doc.remove(crate::domain::Section::Profiles, id);
        }
        state.damage.profiles.extend(unproved);
        Ok(())
    }
}

impl Reader<'_> {
    /// The usage entries of an agent; those that are not as clawkeep left them are noted.
    pub(in crate::vault) fn usage(
        &self,
        scope: Scope<'_>,
        state: &mut AgentState,
    ) -> Result<Map<String, Value>, VaultError> {
        let altered = self.altered_keys((scope, Part::Usage), state, |damage, row| {
            damage.usage.insert(row.key.clone());
        })?;
        let name = AgentName::from_stored(scope.name().to_owned());
        let mut select = self
            .conn
            .prepare_cached(
                "SELECT t.text, u.sealed FROM usage u JOIN terms t ON t.id = u.profile WHERE \
                 u.agent = ?1 ORDER BY u.position",
            )
            .at(self.path, "read")?;
        let mut rows = select.query([scope.owner()]).at(self.path, "read")?;
        let mut entries = Map::new();
        while let Some(row) = rows.next().at(self.path, "read")? {
            let read = || -> rusqlite::Result<(String, Option<Value>)> {
                let profile: String = row.get(0)?;
                let aad = usage_aad(self.vault, &name, &profile);
                let entry = open_json(&self.keys.seal, aad, row.get_ref(1)?.as_blob()?);
                Ok((profile, entry))
            };
            match read().at(self.path, "read")? {
                (profile, _) if altered.contains(&profile) => {}
                (profile, Some(entry)) => drop(entries.insert(profile, entry)),
                (profile, None) => {
                    let row = Part::Usage.describe(scope.name(), &profile);
                    state.unopened.push(row);
                    state.damage.usage.insert(profile);
                }
            }
        }
        Ok(entries)
    }
}
