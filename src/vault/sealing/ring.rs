//! The keys of an unlocked vault, and the record's own, sealed under the data key.

use std::path::Path;

use rusqlite::{Connection, params};
use zeroize::Zeroizing;

use super::listing::{self, OpenListings, ROOT, VAULT};
use crate::audit::ChainKeys;
use crate::crypto::{Aad, AuditKey, CryptoError, DataKey, Epoch, FingerprintKey, SealKey};
use crate::domain::{Fingerprint, Seq, UnixMs, VaultId, debug_as};
use crate::vault::error::{Context, VaultError};

/// What a key of the record is for: the names in the table.
pub(in crate::vault) const AUDIT: &str = "audit";
pub(in crate::vault) const FINGERPRINT: &str = "fingerprint";
const KEY_LEN: usize = 32;

pub(in crate::vault) struct Keys {
    pub(in crate::vault) data: DataKey,
    pub(in crate::vault) seal: SealKey,
    pub(in crate::vault) chain: ChainKeys,
    pub(in crate::vault) fingerprint: FingerprintKey,
    fingerprint_number: u16,
    /// Whether the vault's rows are listed; in one made by an earlier version not yet.
    pub(in crate::vault) is_listed: bool,
    /// What was opened with them.
    pub(in crate::vault) listings: OpenListings,
}

debug_as!(Keys, "Keys(…)");

impl Keys {
    /// Everything that the data key opens. Fails when a key of the record is missing or does not
    /// open.
    pub(in crate::vault) fn load(
        conn: &Connection,
        path: &Path,
        known: (VaultId, Epoch),
        data: DataKey,
    ) -> Result<Self, VaultError> {
        let is_listed = listing::stored(conn, VAULT, ROOT)
            .at(path, "read")?
            .is_some();
        Self::load_in_form(is_listed, (conn, path), known, data)
    }

    /// As [`Keys::load`], of one form of the record's keys. Keys in one form do not open in the
    /// other: a vault without its listings does not pass for one of an earlier version.
    pub(in crate::vault) fn load_in_form(
        is_listed: bool,
        (conn, path): (&Connection, &Path),
        (vault, epoch): (VaultId, Epoch),
        data: DataKey,
    ) -> Result<Self, VaultError> {
        let seal = data.seal_key(vault, epoch);
        let unopened = || VaultError::Unopened {
            row: "a key of the record".to_owned(),
        };
        let missing = |purpose: &str| VaultError::Damaged {
            path: path.to_owned(),
            what: format!("its {purpose} key is missing"),
        };
        let open = |purpose| -> Result<Vec<RecordKey>, VaultError> {
            let keys = RecordKey::all(conn, path, (&seal, vault), (purpose, is_listed))?;
            if keys.is_empty() {
                return Err(missing(purpose));
            }
            Ok(keys)
        };
        let chain = chain(&open(AUDIT)?).ok_or_else(unopened)?;
        let prints = open(FINGERPRINT)?;
        let print = prints.last().ok_or_else(|| missing(FINGERPRINT))?;
        let fingerprint = FingerprintKey::from_bytes(&print.key).ok_or_else(unopened)?;
        let fingerprint_number = print.number;
        Ok(Self {
            chain,
            fingerprint,
            fingerprint_number,
            is_listed,
            data,
            seal,
            listings: OpenListings::default(),
        })
    }

    pub(in crate::vault) fn fingerprint(&self, token: &str) -> Fingerprint {
        self.fingerprint.fingerprint(self.fingerprint_number, token)
    }
}

/// The record's keys in turn; `None` unless each but the first says from when on it counts.
fn chain(keys: &[RecordKey]) -> Option<ChainKeys> {
    let (first, later) = keys.split_first()?;
    let mut chain = ChainKeys::new(AuditKey::from_bytes(&first.key)?.mac_state());
    let mut before = Seq(0);
    for key in later {
        let begins = key.begins.filter(|begins| *begins > before)?;
        chain = chain.followed_by(begins, AuditKey::from_bytes(&key.key)?.mac_state());
        before = begins;
    }
    Some(chain)
}

/// A key of the record as it is sealed: its 32 bytes, and behind them, for an audit key that took
/// another's place, the number of the first event that is chained with it (8 bytes, big-endian).
pub(in crate::vault) struct RecordKey {
    pub(in crate::vault) number: u16,
    pub(in crate::vault) key: Zeroizing<Vec<u8>>,
    pub(in crate::vault) begins: Option<Seq>,
}

impl RecordKey {
    /// `newest` is the highest number of its purpose: an earlier key opens only with later ones.
    fn aad(vault: VaultId, (purpose, number, newest): (&str, u16, u16), is_listed: bool) -> Aad {
        let aad = Aad::new(vault, "record_keys", "sealed")
            .text(purpose)
            .number(i64::from(number));
        let aad = if is_listed { aad.text("listed") } else { aad };
        if number == newest {
            aad
        } else {
            aad.number(i64::from(newest))
        }
    }

    fn open(
        seal: &SealKey,
        vault: VaultId,
        name: (&str, u16, u16),
        is_listed: bool,
        blob: &[u8],
    ) -> Option<Self> {
        let (_, number, _) = name;
        let plain = seal.open(Self::aad(vault, name, is_listed), blob).ok()?;
        let (key, rest) = plain.split_at_checked(KEY_LEN)?;
        let begins = match rest {
            [] => None,
            rest => Some(Seq(i64::from_be_bytes(rest.try_into().ok()?))),
        };
        Some(Self {
            number,
            key: Zeroizing::new(key.to_vec()),
            begins,
        })
    }

    pub(in crate::vault) fn seal(
        &self,
        seal: &SealKey,
        vault: VaultId,
        (purpose, newest): (&str, u16),
    ) -> Result<Vec<u8>, CryptoError> {
        let mut plain = Zeroizing::new(Vec::with_capacity(KEY_LEN + 8));
        plain.extend_from_slice(&self.key);
        if let Some(begins) = self.begins {
            plain.extend_from_slice(&begins.0.to_be_bytes());
        }
        let name = (purpose, self.number, newest);
        seal.seal(Self::aad(vault, name, true), &plain)
    }

    /// All of a purpose, oldest first, opened under `seal`; in which form depends on whether the
    /// vault's rows are listed.
    pub(in crate::vault) fn all(
        conn: &Connection,
        path: &Path,
        (seal, vault): (&SealKey, VaultId),
        (purpose, is_listed): (&str, bool),
    ) -> Result<Vec<Self>, VaultError> {
        let sealed = sealed_keys(conn, purpose).at(path, "read")?;
        let newest = sealed.last().map_or(0, |(number, _)| *number);
        let open = |(number, blob): &(u16, Vec<u8>)| {
            let name = (purpose, *number, newest);
            Self::open(seal, vault, name, is_listed, blob).ok_or_else(|| VaultError::Unopened {
                row: format!("the {purpose} key"),
            })
        };
        sealed.iter().map(open).collect()
    }
}

/// The sealed keys of a purpose, oldest first.
fn sealed_keys(conn: &Connection, purpose: &str) -> rusqlite::Result<Vec<(u16, Vec<u8>)>> {
    let mut select =
        conn.prepare("SELECT number, sealed FROM record_keys WHERE purpose = ?1 ORDER BY number")?;
    let rows = select.query_map([purpose], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Stores a sealed key of the record, or in place of what was there.
pub(in crate::vault) fn put_record_key(
    conn: &Connection,
    (purpose, number): (&str, u16),
    sealed: &[u8],
    now: UnixMs,
) -> rusqlite::Result<usize> {
    conn.execute(
        "INSERT INTO record_keys (purpose, number, created_at, sealed) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (purpose, number) DO UPDATE SET sealed = ?4",
        params![purpose, number, now.0, sealed],
    )
}
