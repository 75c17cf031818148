//! One change of the vault: an immediate transaction that knows who acts and when, and keeps the
//! chain's end.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Transaction, TransactionBehavior, params};
use serde_json::{Map, Value};

use super::error::{Context, VaultError};
use super::log::{events, terms};
use crate::audit::{Event, EventActor, EventDraft, Head, chain_mac};
use crate::domain::{
    AgentName, Borrowed, Expiry, ProfileId, SecretJson, Seq, StoreDoc, UnixMs, VaultId,
};
use crate::platform::{Actor, Clock, Resident};
use crate::vault::file::connect::{Durability, data_version, set_durability};
use crate::vault::file::journal::{Log, LogFile, empty_log_at_once, note_log_begins};
use crate::vault::keys::reload::newer_keys;
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::sealing::frame::{Frame, FrameExtras, frame_of};
use crate::vault::sealing::listing::Part;
use crate::vault::sealing::ring::Keys;
use crate::vault::store::changed_rows::{ChangedRows, Listed};
use crate::vault::store::proof::Scope;

/// A transaction on an unlocked vault. Dropped without [`Tx::commit`], it changes nothing.
#[derive(Debug)]
pub struct Tx<'v> {
    pub(super) tx: Transaction<'v>,
    pub(super) keys: &'v Keys,
    pub(super) vault: VaultId,
    pub(super) path: &'v std::path::Path,
    pub(super) now: UnixMs,
    actor: EventActor,
    actor_id: i64,
    pub(super) last: Option<events::Last>,
    /// The number of the last event before it.
    last_before: i64,
    touched: BTreeMap<AgentName, Touched>,
    pub(super) rows: ChangedRows,
    /// See [`crate::vault::file::vault::Vault::durable`].
    durable: &'v Cell<Option<Head>>,
    /// Whether all that it has recorded are uses.
    is_use_only: bool,
    durability: Durability,
}

#[derive(Debug)]
struct Touched {
    id: i64,
    /// Its revision before.
    revision: i64,
    /// Its revision after.
    next: i64,
    /// Its new frame, if that changes.
    frame: Option<SecretJson>,
    /// The pins that change.
    pins: Map<String, Value>,
    /// The profiles that become another program's, or (null) ours.
    borrowed: Map<String, Value>,
    /// Its earlier contents, if they change.
    superseded: Option<Map<String, Value>>,
}

impl UnlockedVault {
    /// Begins a transaction, waiting for other processes' to end. Its time is the clock's once they
    /// have: events are in the order of their times unless the clock is set back.
    ///
    /// # Errors
    /// [`VaultError::ReadOnly`] when the vault can only be read; [`VaultError::Busy`] when they do
    /// not; [`VaultError::Rekeyed`] when one of them replaced the keys so that this process cannot
    /// follow; [`VaultError::Damaged`] when the file was modified outside clawkeep.
    pub fn begin(&mut self, actor: &Actor, clock: Clock) -> Result<Tx<'_>, VaultError> {
        self.require_writable()?;
        self.begin_with(Listed::AsSealed, actor, clock)
    }

    /// Begins a transaction that records uses only. It is made durable after its commit, with those
    /// of other processes: if the disk refuses that, the uses are recorded and nothing is handed
    /// out.
    ///
    /// # Errors
    /// As [`UnlockedVault::begin`].
    pub(crate) fn begin_use(&mut self, actor: &Actor, clock: Clock) -> Result<Tx<'_>, VaultError> {
        self.require_writable()?;
        self.begin_synced((Listed::AsSealed, Durability::AfterCommit), actor, clock)
    }

    /// As [`UnlockedVault::begin`]; `mode` says which rows are trusted. An upgrade in memory is no
    /// change of the vault.
    pub(super) fn begin_with(
        &mut self,
        mode: Listed,
        actor: &Actor,
        clock: Clock,
    ) -> Result<Tx<'_>, VaultError> {
        self.begin_synced((mode, Durability::InCommit), actor, clock)
    }

    fn begin_synced(
        &mut self,
        (mode, durability): (Listed, Durability),
        actor: &Actor,
        clock: Clock,
    ) -> Result<Tx<'_>, VaultError> {
        let path = self.vault.path.as_path();
        set_durability(&self.vault.conn, durability).at(path, "write")?;
        let tx = self
            .vault
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .at(path, "write")?;
        let now = clock.now();
        // While it waited, the others may have replaced the data key.
        let known = (self.vault.id, self.vault.epoch);
        if let Some((keys, epoch)) = newer_keys((&tx, path), known, &self.opened_by)? {
            self.keys = Resident::new(keys);
            self.vault.epoch = epoch;
        }
        let actor_id = events::actor_id(&tx, actor).at(path, "write")?;
        let last = events::last(&tx).at(path, "read")?;
        let actor = EventActor {
            program: actor.program.as_str().into(),
            pid: i64::from(actor.pid),
            uid: i64::from(actor.uid),
            host: actor.host.as_str().into(),
            // A name of nothing is kept as an absent one, and its MAC must be of what is kept.
            parent: actor
                .parent
                .as_deref()
                .filter(|name| !name.is_empty())
                .map(Into::into),
        };
        let rows = ChangedRows::of((&tx, path), &self.keys, self.vault.id, mode)?;
        Ok(Tx {
            tx,
            keys: &self.keys,
            vault: self.vault.id,
            path,
            now,
            actor,
            actor_id,
            last,
            last_before: last.map_or(0, |last| last.seq),
            touched: BTreeMap::new(),
            rows,
            durable: &self.vault.durable,
            is_use_only: true,
            durability,
        })
    }
}

impl Tx<'_> {
    /// Records an event about an agent (or about the vault).
    ///
    /// # Errors
    /// When it cannot be written; the transaction must then not be committed.
    pub fn append(
        &mut self,
        agent: Option<&AgentName>,
        draft: EventDraft,
    ) -> Result<Seq, VaultError> {
        self.is_use_only &= draft.kind.is_use();
        let before = self.last;
        let seq = before.map_or(0, |last| last.seq).checked_add(1);
        let seq = seq.map(Seq).ok_or_else(|| VaultError::Damaged {
            path: self.path.to_owned(),
            what: "its record has reached the last possible event number".to_owned(),
        })?;
        let mut event = Event {
            seq,
            at: self.now,
            kind: draft.kind.as_str().into(),
            outcome: draft.outcome.as_str().into(),
            origin: draft.origin.as_str().into(),
            agent: agent.map(|agent| agent.as_str().into()),
            profile: draft.profile.map(|profile| profile.as_str().into()),
            provider: draft.provider.map(Into::into),
            actor: self.actor.clone(),
            session: draft.session.map(Into::into),
            generation: draft.generation.map(|generation| generation.0),
            token_before: draft.token.0.map(|print| print.to_bytes().to_vec()),
            token_after: draft.token.1.map(|print| print.to_bytes().to_vec()),
            expires_before: draft.expires.0.map(Expiry::floor_ms),
            expires_after: draft.expires.1.map(Expiry::floor_ms),
            detail: (!draft.detail.is_empty()).then(|| Value::Object(draft.detail).to_string()),
            mac: [0; 32],
        };
        event.mac = chain_mac(
            self.keys.chain.newest(),
            before.as_ref().map(|last| &last.mac),
            &event,
        );
        let inserted =
            events::insert(&self.tx, self.actor_id, &event).at(self.path, "record an event in")?;
        if inserted != 1 {
            let what = "an event was not recorded though SQLite said so".to_owned();
            return Err(VaultError::Damaged {
                path: self.path.to_owned(),
                what,
            });
        }
        if before.is_some_and(|before| event.at.0 < before.at) {
            events::note_clock_step(&self.tx, seq.0).at(self.path, "record an event in")?;
        }
        self.last = Some(events::Last {
            seq: seq.0,
            at: event.at.0,
            mac: event.mac,
        });
        Ok(seq)
    }

    /// Makes the changes and their events durable. Every change of a credential needs an event: two
    /// states of the vault with the same last event could be exchanged unnoticed. Notes of what was
    /// announced or touched need none. Uses may stay in the log; after any other change it is
    /// written back and emptied.
    ///
    /// # Errors
    /// When the disk refuses, or an agent's frame does not open. Nothing is changed then, except
    /// that the uses of `UnlockedVault::begin_use` may be recorded, and not be durable.
    pub fn commit(mut self) -> Result<(), VaultError> {
        for (agent, touched) in std::mem::take(&mut self.touched) {
            self.seal_frame(&agent, &touched)?;
        }
        let log = match self.is_use_only && self.rows.is_unchanged() {
            true => Log::Kept,
            false => Log::Emptied,
        };
        self.seal_listings()?;
        if log == Log::Kept {
            note_log_begins(&self.tx, self.path, self.last_before).at(self.path, "write")?;
        }
        let to_sync = match self.durability {
            Durability::AfterCommit => Some(LogFile::open(&self.tx, self.path)?),
            Durability::InCommit => None,
        };
        let committed = self.tx.execute_batch("COMMIT").at(self.path, "write");
        if committed.is_err() {
            // On a full disk, the next command needs the room that the log takes.
            let _ = self.tx.execute_batch("ROLLBACK");
            empty_log_at_once(&self.tx);
            return committed;
        }
        if let Some(file) = to_sync {
            file.make_durable(&self.tx, log)?;
        } else if log == Log::Emptied {
            empty_log_at_once(&self.tx);
        }
        let head = self.last.map(|last| Head {
            vault: self.vault,
            seq: Seq(last.seq),
            mac: last.mac,
        });
        self.durable.set(head);
        Ok(())
    }

    /// Seals the agent's frame anew, bound to its new revision.
    fn seal_frame(&self, agent: &AgentName, touched: &Touched) -> Result<(), VaultError> {
        let stored: Option<Vec<u8>> = self
            .tx
            .prepare_cached("SELECT frame FROM agents WHERE id = ?1")
            .and_then(|mut select| select.query_row([touched.id], |row| row.get(0)))
            .at(self.path, "read")?;
        let unopened = || VaultError::Unopened {
            row: format!("the frame of agent {agent}"),
        };
        let stored = stored
            .map(|blob| Frame::open(&self.keys.seal, self.vault, agent, touched.revision, &blob));
        let (stored, mut pins, mut borrowed, known) = match stored {
            Some(Some(frame)) => (
                Some(Some(frame.fields)),
                frame.pins,
                frame.borrowed,
                frame.superseded,
            ),
            Some(None) => (Some(None), Map::new(), Map::new(), Map::new()),
            None => (None, Map::new(), Map::new(), Map::new()),
        };
        let superseded = touched.superseded.as_ref().unwrap_or(&known);
        let frame = match (&touched.frame, stored) {
            (Some(frame), _) => frame.clone(),
            (None, Some(fields)) => SecretJson::new(Value::Object(fields.ok_or_else(unopened)?)),
            (None, None) => SecretJson::new(Value::Object(frame_of(&StoreDoc::default()))),
        };
        let profiles = self.profile_ids(touched.id).at(self.path, "read")?;
        pins.extend(touched.pins.clone());
        pins.retain(|profile, _| profiles.contains(profile));
        borrowed.extend(touched.borrowed.clone());
        borrowed.retain(|profile, value| profiles.contains(profile) && !value.is_null());
        let revision = touched.next;
        let extras = FrameExtras {
            pins: &pins,
            borrowed: &borrowed,
            superseded,
        };
        let sealed = Frame::seal(&self.keys.seal, self.vault, agent, revision, &frame, extras)?;
        self.tx
            .prepare_cached("UPDATE agents SET frame = ?2 WHERE id = ?1")
            .and_then(|mut write| write.execute(params![touched.id, sealed]))
            .at(self.path, "write")
            .map(|_| ())
    }

    fn profile_ids(&self, agent: i64) -> rusqlite::Result<BTreeSet<String>> {
        let mut select = self.tx.prepare_cached(
            "SELECT t.text FROM profiles p JOIN terms t ON t.id = p.profile WHERE p.agent = ?1",
        )?;
        let rows = select.query_map([agent], |row| row.get(0))?;
        rows.collect()
    }

    /// Sets the agent's new frame. The agent must have been touched.
    pub(super) fn set_frame(&mut self, agent: &AgentName, frame: SecretJson) {
        if let Some(touched) = self.touched.get_mut(agent) {
            touched.frame = Some(frame);
        }
    }

    /// Sets the agent's earlier contents. The agent must have been touched.
    pub(super) fn set_superseded_part(&mut self, agent: &AgentName, part: Map<String, Value>) {
        if let Some(touched) = self.touched.get_mut(agent) {
            touched.superseded = Some(part);
        }
    }

    /// A number that is another one once another connection has committed. See
    /// [`crate::vault::file::vault::Vault::data_version`].
    pub(crate) fn data_version(&self) -> Result<i64, VaultError> {
        data_version(&self.tx).at(self.path, "read")
    }

    /// Sets a profile's pin. The agent must have been touched.
    pub(super) fn set_pin(&mut self, agent: &AgentName, profile: &ProfileId, pin: Value) {
        if let Some(touched) = self.touched.get_mut(agent) {
            touched.pins.insert(profile.as_str().to_owned(), pin);
        }
    }

    /// Notes that a profile is another program's, or ours from now on. Part of what is sealed of
    /// the agent, and gone with the profile.
    pub(crate) fn set_borrowed(
        &mut self,
        agent: &AgentName,
        profile: &ProfileId,
        borrowed: Option<&Borrowed>,
    ) -> Result<(), VaultError> {
        self.touch_agent(agent)?;
        let value = borrowed.map_or(Value::Null, |borrowed| {
            Value::from(vec![borrowed.owner.as_str(), &borrowed.path])
        });
        if let Some(touched) = self.touched.get_mut(agent) {
            touched.borrowed.insert(profile.as_str().to_owned(), value);
        }
        Ok(())
    }

    /// Makes sure the agent is known, and raises its revision.
    pub fn touch(&mut self, agent: &AgentName) -> Result<(), VaultError> {
        self.touch_agent(agent).map(|_| ())
    }

    /// The agent's revision as this transaction sees it; 0 when it has nothing.
    pub fn revision(&self, agent: &AgentName) -> Result<i64, VaultError> {
        let sql = "SELECT coalesce(max(a.revision), 0) \
                   FROM agents a JOIN terms t ON t.id = a.id WHERE t.text = ?1";
        self.tx
            .prepare_cached(sql)
            .and_then(|mut select| select.query_row([agent.as_str()], |row| row.get(0)))
            .at(self.path, "read")
    }

    pub(super) fn is_touched(&self, agent: &AgentName) -> bool {
        self.touched.contains_key(agent)
    }

    /// Raises the agent's revision above `than` too: a process that has read the agent at that
    /// revision must not mistake this one for it.
    pub(super) fn raise_revision(
        &mut self,
        agent: &AgentName,
        than: i64,
    ) -> Result<(), VaultError> {
        let id = self.touch_agent(agent)?;
        let Some(touched) = self.touched.get_mut(agent) else {
            return Ok(());
        };
        touched.next = touched.next.max(than.saturating_add(1));
        let revision = touched.next;
        self.tx
            .prepare_cached("UPDATE agents SET revision = ?2 WHERE id = ?1")
            .and_then(|mut write| write.execute(params![id, revision]))
            .at(self.path, "write")
            .map(|_| ())
    }

    /// The agent's row, made if there is none, and its revision raised, once a transaction.
    pub(super) fn touch_agent(&mut self, agent: &AgentName) -> Result<i64, VaultError> {
        if let Some(touched) = self.touched.get(agent) {
            return Ok(touched.id);
        }
        self.will_change(Scope::Vault, Part::Agents, agent.as_str())?;
        let write = || -> rusqlite::Result<(i64, i64)> {
            let id = terms::intern(&self.tx, agent.as_str())?;
            let insert =
                "INSERT OR IGNORE INTO agents (id, revision, created_at) VALUES (?1, 0, ?2)";
            self.tx.prepare_cached(insert)?.execute([id, self.now.0])?;
            let raise =
                "UPDATE agents SET revision = revision + 1 WHERE id = ?1 RETURNING revision - 1";
            let mut raise = self.tx.prepare_cached(raise)?;
            let revision = raise.query_row([id], |row| row.get(0))?;
            Ok((id, revision))
        };
        let (id, revision) = write().at(self.path, "write")?;
        let touched = Touched {
            id,
            revision,
            next: revision + 1,
            frame: None,
            pins: Map::new(),
            borrowed: Map::new(),
            superseded: None,
        };
        self.touched.insert(agent.clone(), touched);
        Ok(id)
    }
}
