//! Listings: which rows a part of the vault has, and a digest of each. Sealed, they show every row
//! that somebody without a key changed, removed, added or put back.
//!
//! Three levels. The *root* has a digest of each listing of the vault itself and is bound to the
//! last event of the record. The listing of agents has a digest of each agent's row and one of the
//! agent's own listings. Those have the rows. Format: `docs/file-format.md`, Listings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, Params, Row, params};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::crypto::{Aad, CryptoError, SealKey};
use crate::domain::{VaultId, named};
use crate::vault::log::events;

/// The root's name in `listings.part`.
pub(in crate::vault) const ROOT: &str = "root";
/// The number that stands for the vault itself in `listings.owner`. No term has it.
pub(in crate::vault) const VAULT: i64 = 0;

/// The first 16 bytes of a SHA-256: a forged row must match 128 bits, as with an AES-GCM tag.
pub(in crate::vault) type Digest = [u8; 16];

named! {
    /// A set of rows with a listing of its own.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(in crate::vault) enum Part {
        /// The vault's identity and the number of its data key.
        Identity = "identity",
        /// The audit and fingerprint keys.
        RecordKeys = "record_keys",
        KeySlots = "key_slots",
        /// What became of each refresh token.
        Grants = "grants",
        /// Why sources' logins were last not imported.
        Skips = "sync_skips",
        /// The agents, each with its own listings.
        Agents = "agents",
        Profiles = "profiles",
        /// The earlier versions of an agent's credentials.
        Versions = "profile_versions",
        Usage = "usage",
        /// The plain copies of order and last good.
        Entries = "provider_entries",
        Pins = "session_pins",
        /// What is known of the store files of an agent.
        Exports = "exports",
    }
}

/// How the rows of a part are read. `select` gives a row's key, the note beside its digest, and its
/// columns; `owner` says which rows are those of `?1`, and `by_key` which has the key `?2`.
struct Query {
    select: &'static str,
    owner: &'static str,
    by_key: &'static str,
}

impl Part {
    pub(in crate::vault) const OF_VAULT: [Self; 6] = [
        Self::Identity,
        Self::RecordKeys,
        Self::KeySlots,
        Self::Grants,
        Self::Skips,
        Self::Agents,
    ];
    pub(in crate::vault) const OF_AGENT: [Self; 6] = [
        Self::Profiles,
        Self::Versions,
        Self::Usage,
        Self::Entries,
        Self::Pins,
        Self::Exports,
    ];

    fn query(self) -> Query {
        // Rows of the vault itself have no owner column to go by.
        let of_vault = |select, by_key| Query {
            select,
            owner: "?1 = 0",
            by_key,
        };
        let of_agent = |select, owner, by_key| Query {
            select,
            owner,
            by_key,
        };
        match self {
            Self::Identity => of_vault("'', '', x.* FROM identity x", "?2 = ''"),
            Self::RecordKeys => of_vault(
                "x.purpose || ' ' || x.number, '', x.* FROM record_keys x",
                "x.purpose || ' ' || x.number = ?2",
            ),
            Self::KeySlots => of_vault(
                "CAST(x.slot AS TEXT), '', x.* FROM key_slots x",
                "x.slot = CAST(?2 AS INTEGER)",
            ),
            Self::Grants => of_vault("hex(x.print), '', x.* FROM grants x", "x.print = unhex(?2)"),
            Self::Skips => of_vault(
                "json_array(a.text, t.text), '', x.* FROM sync_skips x \
                 JOIN terms a ON a.id = x.agent JOIN terms t ON t.id = x.profile",
                "a.text = json_extract(?2, '$[0]') AND t.text = json_extract(?2, '$[1]')",
            ),
            Self::Agents => of_vault(
                "t.text, '', x.* FROM agents x JOIN terms t ON t.id = x.id",
                "t.text = ?2",
            ),
            Self::Profiles => of_agent(
                "t.text, x.provider, x.* FROM profiles x JOIN terms t ON t.id = x.profile",
                "x.agent = ?1",
                "t.text = ?2",
            ),
            Self::Versions => of_agent(
                "json_array(t.text, x.id), '', x.* FROM profile_versions x \
                 JOIN terms t ON t.id = x.profile",
                "x.agent = ?1",
                "x.id = json_extract(?2, '$[1]') AND t.text = json_extract(?2, '$[0]')",
            ),
            Self::Usage => of_agent(
                "t.text, '', x.* FROM usage x JOIN terms t ON t.id = x.profile",
                "x.agent = ?1",
                "t.text = ?2",
            ),
            Self::Entries => of_agent(
                "x.section || ' ' || x.provider, '', x.* FROM provider_entries x",
                "x.agent = ?1",
                "x.section || ' ' || x.provider = ?2",
            ),
            Self::Pins => of_agent(
                "json_array(x.provider, x.session), '', x.*, t.text FROM session_pins x \
                 JOIN terms t ON t.id = x.profile",
                "x.agent = ?1",
                "x.provider = json_extract(?2, '$[0]') AND x.session = json_extract(?2, '$[1]')",
            ),
            Self::Exports => of_agent(
                "x.path, '', x.* FROM exports x",
                "x.agent = ?1",
                "x.path = ?2",
            ),
        }
    }

    pub(in crate::vault) fn describe(self, agent: &str, key: &str) -> String {
        let pair = || -> (String, String) {
            let parts: Vec<serde_json::Value> = serde_json::from_str(key).unwrap_or_default();
            let text = |at: usize| match parts.get(at) {
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            (text(0), text(1))
        };
        match self {
            Self::Identity => "the identity of the vault".to_owned(),
            Self::RecordKeys => format!("the record key \"{key}\""),
            Self::KeySlots => format!("key slot {key}"),
            Self::Grants => match key.split_at_checked(4) {
                // As a fingerprint is written everywhere else.
                Some((number, print)) => format!(
                    "the refresh state of {}:{}",
                    u16::from_str_radix(number, 16).unwrap_or_default(),
                    print.to_ascii_lowercase()
                ),
                None => format!("the refresh state of {key}"),
            },
            Self::Skips => {
                let (agent, profile) = pair();
                format!("the sync note of profile {profile} of agent {agent}")
            }
            Self::Agents => format!("the frame of agent {key}"),
            Self::Profiles => format!("profile {key} of agent {agent}"),
            Self::Versions => format!("a version of profile {} of agent {agent}", pair().0),
            Self::Usage => format!("usage of profile {key} of agent {agent}"),
            Self::Entries => {
                let section = key.split(' ').next().unwrap_or_default();
                format!("the {section} of agent {agent}")
            }
            Self::Pins => {
                let (provider, session) = pair();
                format!("the pin of session {session} for {provider} of agent {agent}")
            }
            Self::Exports => format!("the export record of {key}"),
        }
    }
}

/// A row's digest, and a note beside it: of a credential its provider, which must be known where
/// the row is damaged; of an agent the digest of its listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::vault) struct Entry {
    pub(in crate::vault) digest: Digest,
    pub(in crate::vault) note: String,
}

/// The entries of a part, by the rows' keys.
pub(in crate::vault) type Entries = BTreeMap<String, Entry>;

/// An opened listing, as it was sealed: entries in the order of their keys.
#[derive(Clone, Debug)]
pub(in crate::vault) struct Listing {
    bytes: Zeroizing<Vec<u8>>,
    /// Where each entry begins.
    starts: Vec<usize>,
}

impl Listing {
    pub(in crate::vault) fn empty() -> Self {
        Self::of(Zeroizing::new(Vec::new()))
    }

    /// One that is cut short has the entries before that; what was sealed is whole.
    fn of(bytes: Zeroizing<Vec<u8>>) -> Self {
        let mut starts = Vec::new();
        let mut rest: &[u8] = &bytes;
        loop {
            let start = bytes.len() - rest.len();
            if take_entry(&mut rest).is_none() {
                break;
            }
            starts.push(start);
        }
        Self { bytes, starts }
    }

    fn at(&self, start: usize) -> Option<(&str, Digest, &str)> {
        take_entry(&mut self.bytes.get(start..)?)
    }

    pub(in crate::vault) fn iter(&self) -> impl Iterator<Item = (&str, Digest, &str)> {
        self.starts.iter().filter_map(|start| self.at(*start))
    }

    pub(in crate::vault) fn with_prefix(
        &self,
        prefix: &str,
    ) -> impl Iterator<Item = (&str, Digest, &str)> {
        let key = |start: &usize| self.at(*start).map_or("", |(key, ..)| key);
        let from = self.starts.partition_point(|start| key(start) < prefix);
        let rest = self.starts[from..].iter();
        rest.filter_map(|start| self.at(*start))
            .take_while(move |(key, ..)| key.starts_with(prefix))
    }

    pub(in crate::vault) fn get(&self, key: &str) -> Option<Digest> {
        self.find(key).map(|(digest, _)| digest)
    }

    /// The digest of a row, and the note beside it.
    pub(in crate::vault) fn find(&self, key: &str) -> Option<(Digest, &str)> {
        let by_key = |start: &usize| self.at(*start).map_or("", |(known, ..)| known).cmp(key);
        let found = self.starts.binary_search_by(by_key).ok()?;
        let (_, digest, note) = self.at(self.starts[found])?;
        Some((digest, note))
    }

    pub(in crate::vault) fn to_entries(&self) -> Entries {
        self.iter()
            .map(|(key, digest, note)| {
                let note = note.to_owned();
                (key.to_owned(), Entry { digest, note })
            })
            .collect()
    }
}

/// Listings of the vault itself that are open. One of a thousand agents is long, and each reader of
/// an agent needs it.
#[derive(Debug, Default)]
pub(in crate::vault) struct OpenListings(Mutex<BTreeMap<Part, OpenListing>>);

#[derive(Debug)]
struct OpenListing {
    /// Of what is stored, as the root has it.
    digest: Digest,
    /// The vault's data version when what is stored was compared with that digest.
    version: i64,
    listing: Arc<Listing>,
}

impl OpenListings {
    /// The listing with that digest, if it is open and no other process has committed since.
    pub(in crate::vault) fn find(
        &self,
        part: Part,
        digest: Digest,
        version: i64,
    ) -> Option<Arc<Listing>> {
        let open = self.0.lock().ok()?;
        let found = open.get(&part)?;
        let is_it = (found.digest, found.version) == (digest, version);
        is_it.then(|| Arc::clone(&found.listing))
    }

    pub(in crate::vault) fn keep(&self, part: Part, found: (Digest, i64), listing: &Arc<Listing>) {
        if let Ok(mut open) = self.0.lock() {
            let (digest, version) = found;
            let listing = Arc::clone(listing);
            let kept = OpenListing {
                digest,
                version,
                listing,
            };
            open.insert(part, kept);
        }
    }
}

fn take_entry<'b>(rest: &mut &'b [u8]) -> Option<(&'b str, Digest, &'b str)> {
    let key = take_text(rest)?;
    let (digest, after) = rest.split_first_chunk::<16>()?;
    *rest = after;
    let note = take_text(rest)?;
    Some((key, *digest, note))
}

fn take_text<'b>(rest: &mut &'b [u8]) -> Option<&'b str> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (text, after) = after.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

fn encode(entries: &Entries) -> Vec<u8> {
    let mut bytes = Vec::new();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX); // SQLite holds no text as long
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    for (key, entry) in entries {
        text(&mut bytes, key);
        bytes.extend_from_slice(&entry.digest);
        text(&mut bytes, &entry.note);
    }
    bytes
}

/// What a listing is bound to: its owner's name (empty for the vault), its part, and, for the root,
/// the last event.
fn aad(vault: VaultId, owner: &str, part: &str, head: Option<&events::Last>) -> Aad {
    let aad = Aad::new(vault, "listings", "sealed").text(owner).text(part);
    match head {
        Some(head) => aad.number(head.seq).bytes(&head.mac),
        None => aad,
    }
}

pub(in crate::vault) fn seal(
    key: &SealKey,
    (vault, owner, part): (VaultId, &str, &str),
    head: Option<&events::Last>,
    entries: &Entries,
) -> Result<Vec<u8>, CryptoError> {
    key.seal(aad(vault, owner, part, head), &encode(entries))
}

/// Opens a listing; `None` when it does not open.
pub(in crate::vault) fn open(
    key: &SealKey,
    (vault, owner, part): (VaultId, &str, &str),
    head: Option<&events::Last>,
    blob: &[u8],
) -> Option<Listing> {
    let opened = key.open(aad(vault, owner, part, head), blob).ok()?;
    Some(Listing::of(opened))
}

pub(in crate::vault) fn stored(
    conn: &Connection,
    owner: i64,
    part: &str,
) -> rusqlite::Result<Option<Vec<u8>>> {
    use rusqlite::OptionalExtension as _;
    conn.prepare_cached("SELECT sealed FROM listings WHERE owner = ?1 AND part = ?2")?
        .query_row(params![owner, part], |row| row.get(0))
        .optional()
}

/// Stores a listing in place of what was there.
pub(in crate::vault) fn store(
    conn: &Connection,
    (owner, part): (i64, &str),
    sealed: &[u8],
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO listings (owner, part, sealed) VALUES (?1, ?2, ?3) \
         ON CONFLICT (owner, part) DO UPDATE SET sealed = ?3",
    )?
    .execute(params![owner, part, sealed])
    .map(|_| ())
}

/// Removes the listing of a part that has no rows.
pub(in crate::vault) fn remove(
    conn: &Connection,
    (owner, part): (i64, &str),
) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM listings WHERE owner = ?1 AND part = ?2")?
        .execute(params![owner, part])
        .map(|_| ())
}

/// A digest of some bytes: of a stored listing.
pub(in crate::vault) fn digest_of(bytes: &[u8]) -> Digest {
    cut(Sha256::new_with_prefix(bytes))
}

fn cut(hash: Sha256) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

pub(in crate::vault) fn rows(
    conn: &Connection,
    owner: i64,
    part: Part,
) -> rusqlite::Result<Entries> {
    let Query {
        select, owner: of, ..
    } = part.query();
    let sql = format!("SELECT {select} WHERE {of}");
    read(conn, part, &sql, [owner])
}

pub(in crate::vault) fn row(
    conn: &Connection,
    owner: i64,
    part: Part,
    key: &str,
) -> rusqlite::Result<Option<Entry>> {
    let Query {
        select,
        owner: of,
        by_key,
        ..
    } = part.query();
    let sql = format!("SELECT {select} WHERE {of} AND {by_key}");
    let mut found = read(conn, part, &sql, params![owner, key])?;
    Ok(found.remove(key))
}

/// The notes of one agent's sources: those rows of [`Part::Skips`], as they are now.
pub(in crate::vault) fn skips_of(conn: &Connection, agent: &str) -> rusqlite::Result<Entries> {
    let Query { select, .. } = Part::Skips.query();
    let sql = format!("SELECT {select} WHERE a.text = ?1");
    read(conn, Part::Skips, &sql, [agent])
}

fn read(
    conn: &Connection,
    part: Part,
    sql: &str,
    values: impl Params,
) -> rusqlite::Result<Entries> {
    let mut select = conn.prepare_cached(sql)?;
    let columns = select.column_count();
    let mut rows = select.query(values)?;
    let mut entries = Entries::new();
    while let Some(row) = rows.next()? {
        let mut hash = Sha256::new();
        for column in 2..columns {
            add(&mut hash, row, column)?;
        }
        let key: String = row.get(0)?;
        let note = match part {
            Part::Agents => listings_of(conn, row.get(2)?)?,
            _ => row.get(1)?,
        };
        let digest = cut(hash);
        let entry = Entry { digest, note };
        entries
            .entry(key)
            // Two rows have one key only where an index was forged: neither is the listed one.
            .and_modify(|other| other.digest = digest_of(&[other.digest, entry.digest].concat()))
            .or_insert(entry);
    }
    Ok(entries)
}

/// Adds a column: its type, its length, its bytes.
fn add(hash: &mut Sha256, row: &Row<'_>, column: usize) -> rusqlite::Result<()> {
    use rusqlite::types::ValueRef::{Blob, Integer, Null, Real, Text};
    let mut put = |kind: u8, bytes: &[u8]| {
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    match row.get_ref(column)? {
        Null => put(0, &[]),
        Integer(number) => put(1, &number.to_be_bytes()),
        Real(number) => put(2, &number.to_be_bytes()),
        Text(text) => put(3, text),
        Blob(bytes) => put(4, bytes),
    }
    Ok(())
}

/// A digest of an agent's listings, in hexadecimal: kept beside the digest of its row.
pub(in crate::vault) fn listings_of(conn: &Connection, agent: i64) -> rusqlite::Result<String> {
    let mut select =
        conn.prepare_cached("SELECT part, sealed FROM listings WHERE owner = ?1 ORDER BY part")?;
    let mut listings = select.query([agent])?;
    let mut hash = Sha256::new();
    while let Some(row) = listings.next()? {
        add(&mut hash, row, 0)?;
        add(&mut hash, row, 1)?;
    }
    Ok(data_encoding::HEXLOWER.encode(&cut(hash)))
}
