//! From locked to unlocked: finding a slot's key, asking in order of least effort.

use std::fmt;
use std::path::PathBuf;

use rusqlite::OptionalExtension as _;

use super::error::{Context, KeyProblem, VaultError};
use super::file::Vault;
use super::key_slots;
use crate::crypto::{Aad, CryptoError};
use crate::crypto::{
    AuditKey, DataKey, Epoch, FingerprintKey, MacState, SealKey, SlotKey, SlotKind, SlotRecord,
};
use crate::domain::{Fingerprint, VaultId};
use crate::platform::Keychain;

/// Where slot keys may be found.
pub struct KeySources<'a> {
    /// A key file named by the user: if it is there, no other is looked at.
    pub named_keyfile: Option<PathBuf>,
    /// The service manager's credential, whose directory is the manager's to protect.
    pub credential_keyfile: Option<PathBuf>,
    /// Where this program keeps key files: one a vault, named by its id.
    pub keyfile_dir: PathBuf,
    /// The operating system's keychain.
    pub keychain: &'a dyn Keychain,
}

impl fmt::Debug for KeySources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySources({})", self.keyfile_dir.display())
    }
}

impl KeySources<'_> {
    /// The path of a vault's own key file.
    #[must_use]
    pub fn own_keyfile(&self, vault: VaultId) -> PathBuf {
        self.keyfile_dir.join(format!("{vault}.key"))
    }

    /// The places to look at and the permission bits each must not have. A service manager's credential may show the
    /// group bits of an access list, which only it sets.
    fn keyfiles(&self, vault: VaultId) -> Vec<(PathBuf, u32)> {
        let named = self.named_keyfile.iter().map(|path| (path.clone(), 0o077));
        let credential = self
            .credential_keyfile
            .iter()
            .map(|path| (path.clone(), 0o022));
        named
            .chain(credential)
            .chain([(self.own_keyfile(vault), 0o077)])
            .collect()
    }
}

/// The keys of an unlocked vault.
pub(super) struct Keys {
    pub(super) data: DataKey,
    pub(super) seal: SealKey,
    pub(super) audit: MacState,
    pub(super) fingerprint: FingerprintKey,
    pub(super) fingerprint_number: u16,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// What stands for a token in the record.
    pub(super) fn fingerprint(&self, token: &str) -> Fingerprint {
        self.fingerprint.fingerprint(self.fingerprint_number, token)
    }
}

/// A vault with its keys: what is sealed can be opened, and written.
#[derive(Debug)]
pub struct UnlockedVault {
    pub(super) vault: Vault,
    pub(super) keys: Keys,
}

impl std::ops::Deref for UnlockedVault {
    type Target = Vault;

    fn deref(&self) -> &Vault {
        &self.vault
    }
}

impl Vault {
    /// Unlocks with the first slot whose key is found: key files first, then the keychain.
    ///
    /// # Errors
    /// [`VaultError::NoKey`] with what each place said. No new key is ever made for a vault that exists.
    pub fn unlock(self, sources: &KeySources<'_>) -> Result<UnlockedVault, VaultError> {
        let (mut slots, mut problems) = key_slots::read_all(&self.conn, &self.path)?;
        slots.sort_by_key(|slot| (effort(slot.kind), slot.slot));
        for slot in &slots {
            match self
                .slot_key(slot, sources)
                .and_then(|key| self.open_slot(slot, &key))
            {
                Ok(data) => return self.with_data_key(data),
                Err(problem) => problems.push(problem),
            }
        }
        Err(VaultError::NoKey {
            vault: self.id.to_string(),
            problems,
        })
    }

    fn open_slot(&self, slot: &SlotRecord, key: &SlotKey) -> Result<DataKey, KeyProblem> {
        slot.unwrap_data_key(self.id, self.epoch, key)
            .map_err(|_| KeyProblem::AlteredSlot { slot: slot.slot })
    }

    fn slot_key(&self, slot: &SlotRecord, sources: &KeySources<'_>) -> Result<SlotKey, KeyProblem> {
        match slot.kind {
            SlotKind::Keychain => key_slots::from_keychain(sources.keychain, self.id, slot),
            SlotKind::Keyfile => {
                for (path, forbidden) in sources.keyfiles(self.id) {
                    if let Some(key) = key_slots::from_file(&path, forbidden)? {
                        let wrong = KeyProblem::WrongKey {
                            place: path.display().to_string(),
                        };
                        return Some(key)
                            .filter(|key| slot.accepts(self.id, key))
                            .ok_or(wrong);
                    }
                }
                let looked_at = sources
                    .named_keyfile
                    .clone()
                    .unwrap_or_else(|| sources.own_keyfile(self.id));
                Err(KeyProblem::NoKeyFile { path: looked_at })
            }
        }
    }

    pub(super) fn with_data_key(self, data: DataKey) -> Result<UnlockedVault, VaultError> {
        let seal = data.seal_key(self.id, self.epoch);
        let (_, audit) = self.record_key(&seal, "audit")?;
        let (fingerprint_number, fingerprint) = self.record_key(&seal, "fingerprint")?;
        let damaged = || VaultError::Unopened {
            row: "a key of the record".to_owned(),
        };
        let keys = Keys {
            audit: AuditKey::from_bytes(&audit)
                .ok_or_else(damaged)?
                .mac_state(),
            fingerprint: FingerprintKey::from_bytes(&fingerprint).ok_or_else(damaged)?,
            fingerprint_number,
            data,
            seal,
        };
        Ok(UnlockedVault { vault: self, keys })
    }

    /// The newest key of a purpose, opened.
    fn record_key(
        &self,
        seal: &SealKey,
        purpose: &str,
    ) -> Result<(u16, zeroize::Zeroizing<Vec<u8>>), VaultError> {
        let (number, sealed): (u16, Vec<u8>) = self
            .conn
            .query_row(
                "SELECT number, sealed FROM record_keys WHERE purpose = ?1 ORDER BY number DESC LIMIT 1",
                [purpose],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .at(&self.path, "read")?
            .ok_or_else(|| VaultError::Damaged {
                path: self.path.clone(),
                what: format!("its {purpose} key is missing"),
            })?;
        let key = seal
            .open(record_key_aad(self.id, purpose, number), &sealed)
            .map_err(|_| VaultError::Unopened {
                row: format!("the {purpose} key"),
            })?;
        Ok((number, key))
    }
}

/// Asking a person, or a service, costs more than reading a file.
fn effort(kind: SlotKind) -> u8 {
    match kind {
        SlotKind::Keyfile => 0,
        SlotKind::Keychain => 1,
    }
}

pub(super) fn record_key_aad(vault: VaultId, purpose: &str, number: u16) -> Aad {
    Aad::new(vault, "record_keys", "sealed")
        .text(purpose)
        .number(i64::from(number))
}

/// Seals a new key of the record.
pub(super) fn seal_record_key(
    data: &DataKey,
    (vault, epoch): (VaultId, Epoch),
    (purpose, number): (&str, u16),
    key: &[u8; 32],
) -> Result<Vec<u8>, CryptoError> {
    data.seal_key(vault, epoch)
        .seal(record_key_aad(vault, purpose, number), key)
}
