//! The state of the written store files: their bytes when last read, to show other writers.

use crate::vault::file::read_only::read_transaction;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, params};
use zeroize::Zeroizing;

use super::proof::{Proof, Scope};
use crate::crypto::constant_time_eq;
use crate::domain::{self, AgentName, UnixMs, debug_as, named, path_of_text};
use crate::vault::error::{Context, VaultError};
use crate::vault::file::vault::Vault;
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::terms;
use crate::vault::sealing::listing::Part;
use crate::vault::sealing::plain::snapshot_aad;
use crate::vault::sealing::ring::Keys;
use crate::vault::tx::Tx;

named! {
    /// Whether a store file is kept up.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ExportState {
        /// The store file is written.
        Written = "written",
        /// The store file is not written: a newer gateway owns the directory and refuses to start
        /// beside a JSON store.
        Withheld = "withheld",
    }
}

/// What is in a store file.
#[derive(Clone, Copy)]
pub enum Exported<'b> {
    /// Nothing that could be known.
    Nothing,
    /// These bytes, which say what the agent has at the revision recorded with them: no snapshot is
    /// needed to know.
    AsVault(&'b [u8]),
    /// These bytes, which say something else.
    Bytes(&'b [u8]),
}

/// What the vault knows of one store file.
pub struct ExportRecord {
    /// Whether it is kept up.
    pub state: ExportState,
    /// The agent's revision when it last said what the agent has.
    pub revision: i64,
    /// When that was known last.
    pub updated_at: UnixMs,
    digest: Option<Vec<u8>>,
    /// Its bytes when last read; `None` if they are the agent's state at `revision`.
    pub snapshot: Option<Zeroizing<Vec<u8>>>,
}

impl ExportRecord {
    /// Whether it is known what was in the file: not after there was none any more.
    #[must_use]
    pub(crate) fn is_of_a_file(&self) -> bool {
        self.digest.is_some()
    }
}

debug_as!(ExportRecord, "ExportRecord({:?}, revision {})", it => it.state, it.revision);

fn path_text(path: &Path) -> String {
    domain::path_text(path).into_owned()
}

impl Vault {
    /// The store files that the vault knows, each with the instant at which it last knew what was
    /// in it. Needs no key.
    pub fn known_stores(&self) -> Result<Vec<(PathBuf, UnixMs)>, VaultError> {
        let read = || -> rusqlite::Result<Vec<(PathBuf, UnixMs)>> {
            let mut select = self
                .conn
                .prepare("SELECT path, max(updated_at) FROM exports GROUP BY path ORDER BY path")?;
            let rows = select.query_map([], |row| {
                let path: String = row.get(0)?;
                Ok((path_of_text(&path), UnixMs(row.get(1)?)))
            })?;
            rows.collect()
        };
        read().at(&self.path, "read")
    }
}

impl UnlockedVault {
    /// The store files that are kept up for an agent, but for those of which what is known is not
    /// as clawkeep left it.
    pub fn written_stores(&self, agent: &AgentName) -> Result<Vec<PathBuf>, VaultError> {
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let proof = Proof::of(&self.conn, &self.path, &keys, self.id)?;
        let altered = proof.altered_of(agent.as_str(), Part::Exports)?;
        let read = || -> rusqlite::Result<Vec<PathBuf>> {
            let mut select = self.conn.prepare_cached(
                "SELECT x.path FROM exports x JOIN terms t ON t.id = x.agent WHERE t.text = ?1 \
                 AND x.state = 'written'",
            )?;
            let rows = select.query_map([agent.as_str()], |row| row.get::<_, String>(0))?;
            let is_altered = |path: &String| altered.iter().any(|row| row.key == *path);
            rows.filter(|path| !path.as_ref().is_ok_and(is_altered))
                .map(|path| path.map(|path| path_of_text(&path)))
                .collect()
        };
        read().at(&self.path, "read")
    }
}

impl UnlockedVault {
    /// What is known of the store file at `path`, written for `agent`; the inner error names a
    /// snapshot that does not open.
    pub fn export_record(
        &self,
        path: &Path,
        agent: &AgentName,
    ) -> Result<Result<Option<ExportRecord>, String>, VaultError> {
        let _snapshot = read_transaction(&self.conn).at(&self.path, "read")?;
        let keys = self.keys_now()?;
        let proof = Proof::of(&self.conn, &self.path, &keys, self.id)?;
        self.export_record_by((&proof, &keys), path, agent)
    }

    /// As [`UnlockedVault::export_record`], in a transaction that is under way.
    pub(super) fn export_record_by(
        &self,
        (proof, keys): (&Proof<'_>, &Keys),
        path: &Path,
        agent: &AgentName,
    ) -> Result<Result<Option<ExportRecord>, String>, VaultError> {
        let path = path_text(path);
        if !proof.is_as_listed_of(agent.as_str(), Part::Exports, &path)? {
            return Ok(Err(Part::Exports.describe(agent.as_str(), &path)));
        }
        let row = self
            .conn
            .prepare_cached(
                "SELECT x.state, x.revision, x.digest, x.snapshot, x.updated_at FROM exports x \
                 JOIN terms t ON t.id = x.agent \
                 WHERE x.path = ?1 AND t.text = ?2",
            )
            .and_then(|mut select| {
                select
                    .query_row(params![path, agent.as_str()], |row| {
                        Ok((
                            row.get::<_, String>(0)?,
                            row.get(1)?,
                            row.get(2)?,
                            row.get::<_, Option<Vec<u8>>>(3)?,
                            UnixMs(row.get(4)?),
                        ))
                    })
                    .optional()
            })
            .at(&self.path, "read")?;
        let Some((state, revision, digest, sealed, updated_at)) = row else {
            return Ok(Ok(None));
        };
        let aad = || snapshot_aad(self.id, &path, agent);
        let opened = sealed.map(|blob| keys.seal.open(aad(), &blob)).transpose();
        let Ok(snapshot) = opened else {
            return Ok(Err(format!("the snapshot of {path}")));
        };
        let withheld = state == ExportState::Withheld.as_str();
        Ok(Ok(Some(ExportRecord {
            state: if withheld {
                ExportState::Withheld
            } else {
                ExportState::Written
            },
            revision,
            updated_at,
            digest,
            snapshot,
        })))
    }

    /// Whether `bytes` are those the record was made of.
    #[must_use]
    pub(crate) fn is_as_exported(&self, record: &ExportRecord, bytes: &[u8]) -> bool {
        record.digest.as_deref().is_some_and(|known| {
            constant_time_eq(known, &self.keys.data.export_digest(self.id, bytes))
        })
    }
}

impl Tx<'_> {
    fn will_change_export(&mut self, path: &str, agent: &AgentName) -> Result<(), VaultError> {
        let id = terms::find(&self.tx, agent.as_str()).at(self.path, "read")?;
        match id {
            Some(id) => self.will_change(Scope::Agent(id, agent.as_str()), Part::Exports, path),
            None => Ok(()), // nor is there a row that could change
        }
    }

    /// Records that the store file was read, and is unchanged.
    pub(crate) fn note_unchanged_export(
        &mut self,
        path: &Path,
        agent: &AgentName,
    ) -> Result<(), VaultError> {
        self.will_change_export(&path_text(path), agent)?;
        self.tx
            .prepare_cached(
                "UPDATE exports SET updated_at = ?3 \
                 WHERE path = ?1 AND agent = (SELECT id FROM terms WHERE text = ?2)",
            )
            .and_then(|mut write| {
                write.execute(params![path_text(path), agent.as_str(), self.now.0])
            })
            .at(self.path, "write")
            .map(|_| ())
    }

    /// Forgets what was in the store file: whatever is found there next is compared with nothing.
    pub(crate) fn forget_export(
        &mut self,
        path: &Path,
        agent: &AgentName,
    ) -> Result<(), VaultError> {
        self.will_change_export(&path_text(path), agent)?;
        self.tx
            .prepare_cached(
                "UPDATE exports SET digest = NULL, snapshot = NULL, revision = -1 \
                 WHERE path = ?1 AND agent = (SELECT id FROM terms WHERE text = ?2)",
            )
            .and_then(|mut write| write.execute(params![path_text(path), agent.as_str()]))
            .at(self.path, "write")
            .map(|_| ())
    }

    /// Store files, but for one at `except`, that say what the agent has now get a snapshot of
    /// that, `bytes`: what they say can no longer be read off the agent once it changes. To be
    /// called before it does.
    pub(crate) fn keep_snapshots(
        &mut self,
        agent: &AgentName,
        except: Option<&Path>,
        bytes: impl Fn() -> Zeroizing<Vec<u8>>,
    ) -> Result<(), VaultError> {
        let id = terms::find(&self.tx, agent.as_str()).at(self.path, "read")?;
        let Some(id) = id else { return Ok(()) };
        let except = except.map(path_text);
        // By their keys: the table is in the order of paths, and a search by agent reads all of it.
        // Where the listing is not as it was sealed, that search is what tells.
        let mut paths = match self.keys_of(Scope::Agent(id, agent.as_str()), Part::Exports) {
            Ok(keys) => keys,
            Err(_) => self.export_paths(id).at(self.path, "read")?,
        };
        paths.retain(|path| Some(path) != except.as_ref());
        for path in paths {
            let is_wanted = self.tx.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM exports x JOIN agents a ON a.id = x.agent WHERE \
                 x.path = ?1 AND x.agent = ?2 \
                 AND x.snapshot IS NULL AND x.digest IS NOT NULL AND x.revision = a.revision)",
            );
            let is_wanted: rusqlite::Result<bool> = is_wanted
                .and_then(|mut select| select.query_row(params![path, id], |row| row.get(0)));
            if !is_wanted.at(self.path, "read")? {
                continue;
            }
            let aad = snapshot_aad(self.vault, &path, agent);
            let snapshot = self.keys.seal.seal(aad, &bytes())?;
            self.will_change_export(&path, agent)?;
            self.tx
                .prepare_cached(
                    "UPDATE exports SET snapshot = ?3 \
                     WHERE path = ?1 AND agent = (SELECT id FROM terms WHERE text = ?2)",
                )
                .and_then(|mut write| write.execute(params![path, agent.as_str(), snapshot]))
                .at(self.path, "write")?;
        }
        Ok(())
    }

    fn export_paths(&self, agent: i64) -> rusqlite::Result<BTreeSet<String>> {
        let mut select = self
            .tx
            .prepare_cached("SELECT path FROM exports WHERE agent = ?1")?;
        select.query_map([agent], |row| row.get(0))?.collect()
    }

    /// Records what is now in the store file: after the durable rename, never before. Recorded
    /// before, a crash between the two would read as a revert by another program and undo the
    /// newest change.
    pub fn put_export(
        &mut self,
        path: &Path,
        agent: &AgentName,
        (state, revision): (ExportState, i64),
        content: Exported<'_>,
    ) -> Result<(), VaultError> {
        let path = path_text(path);
        let seal = |bytes: &[u8]| {
            self.keys
                .seal
                .seal(snapshot_aad(self.vault, &path, agent), bytes)
        };
        let (bytes, snapshot) = match content {
            Exported::Nothing => (None, None),
            Exported::AsVault(bytes) => (Some(bytes), None),
            Exported::Bytes(bytes) => (Some(bytes), Some(seal(bytes)?)),
        };
        let digest = bytes.map(|bytes| self.keys.data.export_digest(self.vault, bytes));
        self.will_change_export(&path, agent)?;
        self.tx
            .prepare_cached(
                "INSERT INTO exports (path, agent, state, revision, updated_at, digest, snapshot) \
                 VALUES (?1, (SELECT id FROM terms WHERE text = ?2), ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT (path, agent) DO UPDATE SET state = ?3, revision = ?4, updated_at = \
                 ?5, \
                 digest = ?6, snapshot = ?7",
            )
            .and_then(|mut write| {
                write.execute(params![
                    path,
                    agent.as_str(),
                    state.as_str(),
                    revision,
                    self.now.0,
                    digest,
                    snapshot
                ])
            })
            .at(self.path, "write")
            .map(|_| ())
    }
}
