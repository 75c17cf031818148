//! Sealing one field: AES-256-GCM with a fresh random nonce, bound to where the field stands.
//!
//! Stored form: `version(1) ‖ epoch(4, big-endian) ‖ nonce(12) ‖ ciphertext ‖ tag(16)`.
//! Source: `spec/vault.md`, Sealing.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

use super::error::CryptoError;
use super::random::random_bytes;
use crate::domain::{VaultId, debug_as};

/// Format of a sealed field.
const SEAL_VERSION: u8 = 1;
pub(super) const NONCE_LEN: usize = 12;
pub(super) const TAG_LEN: usize = 16;
const HEADER_LEN: usize = 1 + 4 + NONCE_LEN;

/// Which data key sealed something; raised by every rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub u32);

/// A sealed field as it is stored.
pub type SealedBlob = Vec<u8>;

/// What a sealed field is bound to. Every part is preceded by its length, so no two sets of parts
/// read alike.
#[derive(Clone, Debug)]
pub struct Aad(Vec<u8>);

impl Aad {
    /// Starts with the format, the vault, the table and the column.
    #[must_use]
    pub fn new(vault: VaultId, table: &str, column: &str) -> Self {
        Self(Vec::with_capacity(160))
            .text("clawkeep/seal")
            .bytes(&[SEAL_VERSION])
            .bytes(&vault.0)
            .text(table)
            .text(column)
    }

    /// Binds the sealed data to some bytes.
    #[must_use]
    pub fn bytes(mut self, part: &[u8]) -> Self {
        self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.0.extend_from_slice(part);
        self
    }

    /// Binds the sealed data to a text.
    #[must_use]
    pub fn text(self, part: &str) -> Self {
        self.bytes(part.as_bytes())
    }

    /// Binds the sealed data to a number.
    #[must_use]
    pub fn number(self, part: i64) -> Self {
        self.bytes(&part.to_be_bytes())
    }

    /// Binds to a number or to there being none.
    #[must_use]
    pub fn optional(self, part: Option<i64>) -> Self {
        match part {
            Some(number) => self.number(number),
            None => self.bytes(&[]),
        }
    }
}

/// Seals and opens fields under one derived key.
pub struct SealKey {
    cipher: Aes256Gcm,
    epoch: Epoch,
}

debug_as!(SealKey, "SealKey(epoch {})", it => it.epoch.0);

impl SealKey {
    pub(super) fn new(key: &[u8; 32], epoch: Epoch) -> Self {
        Self {
            cipher: Aes256Gcm::new(key.into()),
            epoch,
        }
    }

    /// The epoch it seals under.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Seals `plain` under a fresh nonce.
    ///
    /// # Errors
    /// When the system has no random numbers to give, or the field is over AES-GCM's 64 GiB.
    pub fn seal(&self, aad: Aad, plain: &[u8]) -> Result<SealedBlob, CryptoError> {
        let nonce: [u8; NONCE_LEN] = random_bytes()?;
        let aad = aad.bytes(&self.epoch.0.to_be_bytes());
        let sealed = self.seal_under(nonce, &aad.0, plain)?;
        let mut blob = Vec::with_capacity(HEADER_LEN + sealed.len());
        blob.push(SEAL_VERSION);
        blob.extend_from_slice(&self.epoch.0.to_be_bytes());
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(&sealed);
        Ok(blob)
    }

    /// Opens what [`SealKey::seal`] made for the same place.
    ///
    /// # Errors
    /// [`CryptoError::Unopened`] for anything else, without saying what differs.
    pub fn open(&self, aad: Aad, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (header, sealed) = blob
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(CryptoError::Unopened)?;
        let aad = aad.bytes(&self.epoch.0.to_be_bytes());
        if header[0] != SEAL_VERSION
            || header[1..5] != self.epoch.0.to_be_bytes()
            || sealed.len() < TAG_LEN
        {
            return Err(CryptoError::Unopened);
        }
        let nonce: [u8; NONCE_LEN] = header[5..].try_into().map_err(|_| CryptoError::Unopened)?;
        self.open_under(nonce, &aad.0, sealed)
    }

    /// The cipher alone: ciphertext and tag. A nonce must not come twice, so this is for
    /// [`SealKey::seal`] and published vectors.
    pub(super) fn seal_under(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let payload = Payload { msg: plain, aad };
        self.cipher
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| CryptoError::Unopened)
    }

    /// The reverse of [`SealKey::seal_under`].
    pub(super) fn open_under(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let payload = Payload { msg: sealed, aad };
        self.cipher
            .decrypt(&Nonce::from(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| CryptoError::Unopened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::DataKey;

    fn key() -> SealKey {
        DataKey::from_bytes(&[9; 32])
            .unwrap()
            .seal_key(VaultId([1; 16]), Epoch(1))
    }

    fn aad() -> Aad {
        Aad::new(VaultId([1; 16]), "profiles", "sealed")
            .number(7)
            .text("main")
            .optional(Some(5))
    }

    #[test]
    fn opens_in_its_place_only() {
        let blob = key().seal(aad(), b"secret").unwrap();
        assert_eq!(key().open(aad(), &blob).unwrap().as_slice(), b"secret");
        let elsewhere = [
            Aad::new(VaultId([2; 16]), "profiles", "sealed")
                .number(7)
                .text("main")
                .optional(Some(5)),
            Aad::new(VaultId([1; 16]), "versions", "sealed")
                .number(7)
                .text("main")
                .optional(Some(5)),
            Aad::new(VaultId([1; 16]), "profiles", "sealed")
                .number(8)
                .text("main")
                .optional(Some(5)),
            Aad::new(VaultId([1; 16]), "profiles", "sealed")
                .number(7)
                .text("mai")
                .text("n")
                .optional(Some(5)),
            Aad::new(VaultId([1; 16]), "profiles", "sealed")
                .number(7)
                .text("main")
                .optional(None),
        ];
        for other in elsewhere {
            assert_eq!(key().open(other, &blob), Err(CryptoError::Unopened));
        }
        let next_epoch = DataKey::from_bytes(&[9; 32])
            .unwrap()
            .seal_key(VaultId([1; 16]), Epoch(2));
        assert_eq!(next_epoch.open(aad(), &blob), Err(CryptoError::Unopened));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let blob = key().seal(aad(), b"secret").unwrap();
        for bit in 0..blob.len() * 8 {
            let mut bad = blob.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let found = key().open(aad(), &bad);
            assert_eq!(found, Err(CryptoError::Unopened), "bit {bit}");
        }
        for len in 0..blob.len() {
            let found = key().open(aad(), &blob[..len]);
            assert_eq!(found, Err(CryptoError::Unopened), "cut to {len}");
        }
    }

    #[test]
    fn nonces_are_fresh() {
        assert_ne!(
            key().seal(aad(), b"x").unwrap(),
            key().seal(aad(), b"x").unwrap()
        );
    }
}
