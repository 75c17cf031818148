//! The keys of a vault and what is derived from each.
//!
//! ```text
//! slot key ──wraps──▶ data key ──HKDF "seal"──▶ row sealing key
//!                        └─────seals──▶ audit key, fingerprint key (random; rotation keeps both)
//! ```

use std::fmt;

use ctutils::CtEq as _;
use hkdf::{Hkdf, InvalidLength};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::CryptoError;
use super::random::random_bytes;
use super::seal::{Epoch, SealKey};
use crate::domain::{Fingerprint, VaultId, debug_as};

/// HKDF info labels. Changing one makes existing vaults unreadable.
const LABEL_SEAL: &[u8] = b"clawkeep/1/seal";
const LABEL_WRAP: &[u8] = b"clawkeep/1/wrap";
const LABEL_CHECK: &[u8] = b"clawkeep/1/check";
const LABEL_DIGEST: &[u8] = b"clawkeep/1/export-digest";

/// Compares two byte strings in constant time. Lengths are not secret here.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).to_bool()
}

macro_rules! key_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Generates a fresh random key.
            pub fn generate() -> Result<Self, CryptoError> {
                random_bytes().map(Self)
            }

            /// A key from its 32 bytes; `None` for another length.
            #[must_use]
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes, for wrapping and for keeping in a key file or keychain.
            #[must_use]
            pub fn expose_secret(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}
key_type!(
    /// Seals the rows of a vault, through a key derived from it.
    DataKey
);
key_type!(
    /// Opens a key slot: kept in a keychain or key file, or derived from a passphrase.
    SlotKey
);
key_type!(
    /// Chains the events of the record.
    AuditKey
);
key_type!(
    /// The key that makes token fingerprints.
    FingerprintKey
);

fn derive(key: &[u8; 32], salt: &[u8], label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    hkdf_sha256(key, salt, label, out.as_mut())
        .expect("32 bytes are within HKDF-SHA256's limit of 8,160");
    out
}

/// Fills `out` with what is derived from `key`; fails above 8,160 bytes.
pub(super) fn hkdf_sha256(
    key: &[u8],
    salt: &[u8],
    label: &[u8],
    out: &mut [u8],
) -> Result<(), InvalidLength> {
    Hkdf::<Sha256>::new(Some(salt), key).expand(label, out)
}

impl DataKey {
    /// The key that seals rows and wraps the record's keys.
    #[must_use]
    pub fn seal_key(&self, vault: VaultId, epoch: Epoch) -> SealKey {
        SealKey::new(&derive(&self.0, &vault.0, LABEL_SEAL), epoch)
    }

    /// An HMAC of an exported file's bytes: says whether the file is still the one exported, and
    /// nothing else.
    #[must_use]
    pub fn export_digest(&self, vault: VaultId, bytes: &[u8]) -> [u8; 32] {
        mac(&derive(&self.0, &vault.0, LABEL_DIGEST), bytes)
    }
}

impl SlotKey {
    /// The key that wraps the data key in this slot.
    #[must_use]
    pub fn wrap_key(&self, vault: VaultId, epoch: Epoch) -> SealKey {
        SealKey::new(&derive(&self.0, &vault.0, LABEL_WRAP), epoch)
    }

    /// Says whether a key found somewhere is this slot's, without trying to unwrap with it.
    #[must_use]
    pub fn check_value(&self, vault: VaultId) -> [u8; 16] {
        let check = derive(&self.0, &vault.0, LABEL_CHECK);
        let mut out = [0; 16];
        out.copy_from_slice(&check[..16]);
        out
    }
}

impl FingerprintKey {
    /// Returns the fingerprint of `token` for the record.
    #[must_use]
    pub fn fingerprint(&self, key_number: u16, token: &str) -> Fingerprint {
        let tag = mac(&self.0, token.as_bytes());
        let mut digest = [0; 8];
        digest.copy_from_slice(&tag[..8]);
        Fingerprint { key_number, digest }
    }
}

/// A keyed MAC state, set up once and copied for each event, which saves the key schedule.
#[derive(Clone)]
pub struct MacState(Hmac<Sha256>);

debug_as!(MacState, "MacState(…)");

impl MacState {
    /// Under a key of any length; the vault's own have 32 bytes.
    pub(super) fn keyed(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// HMAC-SHA256 of the concatenated parts.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut state = self.0.clone();
        for part in parts {
            state.update(part);
        }
        state.finalize().into_bytes().into()
    }
}

impl AuditKey {
    /// The state from which every event's MAC is computed.
    #[must_use]
    pub fn mac_state(&self) -> MacState {
        MacState::keyed(&self.0)
    }
}

fn mac(key: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    MacState::keyed(key).mac(&[bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_print() {
        let key = DataKey::from_bytes(&[7; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "DataKey(…)");
        assert!(DataKey::from_bytes(&[7; 31]).is_none());
    }

    #[test]
    fn derived_values_depend_on_vault_and_label() {
        let key = SlotKey::from_bytes(&[7; 32]).unwrap();
        assert_ne!(
            key.check_value(VaultId([1; 16])),
            key.check_value(VaultId([2; 16]))
        );
        let data = DataKey::from_bytes(&[7; 32]).unwrap();
        assert_ne!(
            data.export_digest(VaultId([1; 16]), b"x")[..16],
            key.check_value(VaultId([1; 16]))
        );
    }

    #[test]
    fn mac_state_is_hmac_of_the_concatenation() {
        let key = AuditKey::from_bytes(&[3; 32]).unwrap();
        assert_eq!(key.mac_state().mac(&[b"ab", b"c"]), mac(&[3; 32], b"abc"));
    }
}
