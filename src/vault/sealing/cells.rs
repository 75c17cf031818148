//! Every sealed cell of a vault, one after another: what a rotation seals anew, and what proves
//! that a copy is whole.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use zeroize::Zeroizing;

use super::frame::{Frame, usage_aad};
use super::listing::Part;
use super::plain::{Plain, snapshot_aad};
use crate::crypto::{Aad, SealKey};
use crate::domain::{AgentName, VaultId};
use crate::vault::error::{Context, VaultError};

pub(in crate::vault) struct Cell<'r> {
    /// What it is, in words.
    pub(in crate::vault) name: &'r dyn Fn() -> String,
    pub(in crate::vault) aad: Aad,
    pub(in crate::vault) blob: &'r [u8],
    /// The statement that replaces the blob (`?1`), and what identifies it (from `?2` on).
    update: &'static str,
    key: Vec<Value>,
    /// As which row it is listed: part, agent and key.
    listed_as: Option<(Part, String, String)>,
}

impl Cell<'_> {
    /// As which row of an agent it is listed, other than frame and credentials: part, agent, key.
    pub(in crate::vault) fn listed_as(&self) -> Option<(Part, String, String)> {
        self.listed_as.clone()
    }

    pub(in crate::vault) fn open(&self, seal: &SealKey) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        seal.open(self.aad.clone(), self.blob)
            .map_err(|_| VaultError::Unopened { row: (self.name)() })
    }

    /// Puts another blob in its place.
    pub(in crate::vault) fn replace(
        &self,
        conn: &Connection,
        blob: Vec<u8>,
    ) -> rusqlite::Result<()> {
        let values = std::iter::once(Value::Blob(blob)).chain(self.key.iter().cloned());
        conn.prepare_cached(self.update)?
            .execute(params_from_iter(values))
            .map(|_| ())
    }
}

const PROFILES: &str = "SELECT p.id, a.text, t.text, p.provider, p.type, p.owner, p.expires, \
    p.generation, p.sealed FROM profiles p \
     JOIN terms a ON a.id = p.agent JOIN terms t ON t.id = p.profile ORDER BY p.id";
const VERSIONS: &str = "SELECT p.id, a.text, t.text, p.provider, p.type, p.owner, p.expires, \
    p.generation, p.sealed \
     FROM profile_versions p JOIN terms a ON a.id = p.agent JOIN terms t ON t.id = p.profile \
     ORDER BY p.id";
const FRAMES: &str = "SELECT x.id, a.text, x.revision, x.frame FROM agents x JOIN terms a ON a.id \
    = x.id \
     WHERE x.frame IS NOT NULL ORDER BY x.id";
const USAGE: &str = "SELECT x.agent, x.profile, a.text, t.text, x.sealed FROM usage x JOIN terms \
    a ON a.id = x.agent \
     JOIN terms t ON t.id = x.profile ORDER BY x.agent, x.profile";
const SNAPSHOTS: &str = "SELECT x.path, x.agent, a.text, x.snapshot FROM exports x JOIN terms a \
    ON a.id = x.agent \
     WHERE x.snapshot IS NOT NULL ORDER BY x.path, x.agent";

/// Calls `visit` for every sealed cell of an agent's things. A visit may put another blob into its
/// cell, and nothing else.
///
/// The record's keys and the key slots are not among them: they are few, and what opens them is
/// another matter.
pub(in crate::vault) fn for_each(
    conn: &Connection,
    (path, vault): (&Path, VaultId),
    mut visit: impl FnMut(&Cell<'_>) -> Result<(), VaultError>,
) -> Result<u64, VaultError> {
    let mut count = 0_u64;
    for (select, of, all) in [
        (FRAMES, frame as Reading, "SELECT count(frame) FROM agents"),
        (PROFILES, profile, "SELECT count(*) FROM profiles"),
        (VERSIONS, version, "SELECT count(*) FROM profile_versions"),
        (USAGE, usage, "SELECT count(*) FROM usage"),
        (SNAPSHOTS, snapshot, "SELECT count(snapshot) FROM exports"),
    ] {
        let mut select = conn.prepare(select).at(path, "read")?;
        let mut rows = select.query([]).at(path, "read")?;
        let mut visited = 0_i64;
        while let Some(row) = rows.next().at(path, "read")? {
            of(row, vault, path, &mut visit)?;
            visited += 1;
        }
        // One whose names are gone would be passed over, and lost.
        let all: i64 = conn.query_row(all, [], |row| row.get(0)).at(path, "read")?;
        if visited != all {
            return Err(VaultError::Damaged {
                path: path.to_owned(),
                what: format!("{} of its sealed cells are nobody's", all.abs_diff(visited)),
            });
        }
        count += visited.unsigned_abs();
    }
    Ok(count)
}

/// Calls `visit` for every snapshot of a store, with its path and the number of its agent.
pub(in crate::vault) fn for_each_snapshot(
    conn: &Connection,
    (path, vault): (&Path, VaultId),
    mut visit: impl FnMut(&str, i64, &Cell<'_>) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    let mut select = conn.prepare(SNAPSHOTS).at(path, "read")?;
    let mut rows = select.query([]).at(path, "read")?;
    while let Some(row) = rows.next().at(path, "read")? {
        let key = || -> rusqlite::Result<(String, i64)> { Ok((row.get(0)?, row.get(1)?)) };
        let (store, agent) = key().at(path, "read")?;
        snapshot(row, vault, path, &mut |cell| visit(&store, agent, cell))?;
    }
    Ok(())
}

type Visit<'v> = &'v mut dyn FnMut(&Cell<'_>) -> Result<(), VaultError>;
type Reading = fn(&Row<'_>, VaultId, &Path, Visit<'_>) -> Result<(), VaultError>;

fn frame(row: &Row<'_>, vault: VaultId, path: &Path, visit: Visit<'_>) -> Result<(), VaultError> {
    let read =
        || -> rusqlite::Result<(i64, String, i64)> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
    let (id, agent, revision) = read().at(path, "read")?;
    let name = AgentName::from_stored(agent);
    visit(&Cell {
        name: &|| format!("the frame of agent {name}"),
        aad: Frame::aad(vault, &name, revision),
        blob: blob(row, 3).at(path, "read")?,
        update: "UPDATE agents SET frame = ?1 WHERE id = ?2",
        key: vec![id.into()],
        listed_as: None,
    })
}

fn profile(row: &Row<'_>, vault: VaultId, path: &Path, visit: Visit<'_>) -> Result<(), VaultError> {
    let update = "UPDATE profiles SET sealed = ?1 WHERE id = ?2";
    credential(row, vault, path, ("profiles", "profile", update), visit)
}

fn version(row: &Row<'_>, vault: VaultId, path: &Path, visit: Visit<'_>) -> Result<(), VaultError> {
    let update = "UPDATE profile_versions SET sealed = ?1 WHERE id = ?2";
    let names = ("profile_versions", "a version of profile", update);
    credential(row, vault, path, names, visit)
}

fn credential(
    row: &Row<'_>,
    vault: VaultId,
    path: &Path,
    (table, what, update): (&str, &str, &'static str),
    visit: Visit<'_>,
) -> Result<(), VaultError> {
    let read = || -> rusqlite::Result<(i64, Plain<'_>)> {
        let text = |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
        let plain = Plain {
            agent: text(1)?,
            profile: text(2)?,
            provider: text(3)?,
            kind: text(4)?,
            owner: text(5)?,
            expires: row.get(6)?,
            generation: row.get(7)?,
        };
        Ok((row.get(0)?, plain))
    };
    let (id, plain) = read().at(path, "read")?;
    visit(&Cell {
        name: &|| format!("{what} {} of agent {}", plain.profile, plain.agent),
        aad: plain.aad(vault, table, id),
        blob: blob(row, 8).at(path, "read")?,
        update,
        key: vec![id.into()],
        listed_as: (table == Part::Versions.as_str()).then(|| {
            let key = serde_json::json!([plain.profile, id]).to_string();
            (Part::Versions, plain.agent.to_owned(), key)
        }),
    })
}

fn usage(row: &Row<'_>, vault: VaultId, path: &Path, visit: Visit<'_>) -> Result<(), VaultError> {
    let read = || -> rusqlite::Result<(i64, i64, String, String)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    };
    let (agent_id, profile_id, agent, profile) = read().at(path, "read")?;
    let agent = AgentName::from_stored(agent);
    visit(&Cell {
        name: &|| format!("usage of profile {profile} of agent {agent}"),
        aad: usage_aad(vault, &agent, &profile),
        blob: blob(row, 4).at(path, "read")?,
        update: "UPDATE usage SET sealed = ?1 WHERE agent = ?2 AND profile = ?3",
        key: vec![agent_id.into(), profile_id.into()],
        listed_as: Some((Part::Usage, agent.as_str().to_owned(), profile.clone())),
    })
}

fn snapshot(
    row: &Row<'_>,
    vault: VaultId,
    path: &Path,
    visit: Visit<'_>,
) -> Result<(), VaultError> {
    let read = || -> rusqlite::Result<(String, i64, String)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    };
    let (store, agent_id, agent) = read().at(path, "read")?;
    let agent = AgentName::from_stored(agent);
    visit(&Cell {
        name: &|| format!("the snapshot of {store}"),
        aad: snapshot_aad(vault, &store, &agent),
        blob: blob(row, 3).at(path, "read")?,
        update: "UPDATE exports SET snapshot = ?1 WHERE path = ?2 AND agent = ?3",
        key: vec![store.clone().into(), agent_id.into()],
        listed_as: Some((Part::Exports, agent.as_str().to_owned(), store.clone())),
    })
}

fn blob<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    Ok(row.get_ref(column)?.as_blob()?)
}
