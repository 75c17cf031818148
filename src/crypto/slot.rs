//! Key slots: each wraps the data key under a key of its own.

use zeroize::Zeroizing;

use super::error::CryptoError;
use super::keys::{DataKey, SlotKey, constant_time_eq};
use super::seal::{Aad, Epoch, SealKey, SealedBlob};
use crate::domain::{KeyId, VaultId, named};

named! {
    parsed
    /// Where a slot's key is kept.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum SlotKind {
        /// In the operating system's keychain.
        Keychain = "keychain",
        /// In a file that only its owner can read.
        Keyfile = "keyfile",
        /// The key is stored nowhere: it is derived from a passphrase.
        Passphrase = "passphrase",
        /// The key is on paper: a recovery code.
        Recovery = "recovery",
    }
}

/// A key slot as the vault has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRecord {
    /// The slot's number in the vault, from 1.
    pub slot: i64,
    /// Where its key is kept.
    pub kind: SlotKind,
    /// Names the key in its place.
    pub key_id: KeyId,
    /// Says whether a key found there is the right one.
    pub check: [u8; 16],
    /// How the key comes from a passphrase, as [`super::argon2id::Argon2id`] prints it; only slots
    /// of that kind have it.
    pub kdf: Option<String>,
    /// The data key, sealed under the slot's key.
    pub wrapped: SealedBlob,
}

/// The two blobs a new slot needs: the data key under the slot key, and the slot key under the data
/// key (so that a rotation can wrap again without asking anybody).
#[derive(Debug)]
pub struct WrappedKeys {
    /// The data key, sealed under the slot's key.
    pub data_key: SealedBlob,
    /// The slot's key, sealed under the data key.
    pub slot_key: SealedBlob,
}

/// What a slot's blobs are bound to. The parameters of a passphrase are among it where there are
/// any: they cannot be weakened.
fn aad(vault: VaultId, column: &str, (slot, kind, kdf): SlotName<'_>) -> Aad {
    let aad = Aad::new(vault, "key_slots", column)
        .number(slot)
        .text(kind.as_str());
    match kdf {
        Some(kdf) => aad.text(kdf),
        None => aad,
    }
}

/// A slot's number, its kind, and how its key comes from a passphrase.
pub type SlotName<'a> = (i64, SlotKind, Option<&'a str>);

impl WrappedKeys {
    /// Wraps `data` for a slot.
    pub fn new(
        vault: VaultId,
        epoch: Epoch,
        name: SlotName<'_>,
        data: &DataKey,
        key: &SlotKey,
    ) -> Result<Self, CryptoError> {
        let data_key = key
            .wrap_key(vault, epoch)
            .seal(aad(vault, "wrapped", name), data.expose_secret())?;
        let slot_key = data
            .seal_key(vault, epoch)
            .seal(aad(vault, "slot_key", name), key.expose_secret())?;
        Ok(Self { data_key, slot_key })
    }
}

impl SlotRecord {
    /// Whether `key` is this slot's.
    #[must_use]
    pub fn accepts(&self, vault: VaultId, key: &SlotKey) -> bool {
        constant_time_eq(&self.check, &key.check_value(vault))
    }

    /// The data key, if `key` is this slot's.
    ///
    /// # Errors
    /// [`CryptoError::Unopened`] for any other key or an altered slot.
    pub fn unwrap_data_key(
        &self,
        vault: VaultId,
        epoch: Epoch,
        key: &SlotKey,
    ) -> Result<DataKey, CryptoError> {
        let plain = key
            .wrap_key(vault, epoch)
            .open(aad(vault, "wrapped", self.name()), &self.wrapped)?;
        DataKey::from_bytes(&plain).ok_or(CryptoError::Unopened)
    }

    /// The slot's own key, out of what [`WrappedKeys::slot_key`] was stored as.
    ///
    /// # Errors
    /// [`CryptoError::Unopened`] when it was altered.
    pub fn unwrap_slot_key(
        &self,
        vault: VaultId,
        seal: &SealKey,
        blob: &[u8],
    ) -> Result<SlotKey, CryptoError> {
        let plain = seal.open(aad(vault, "slot_key", self.name()), blob)?;
        SlotKey::from_bytes(&plain)
            .filter(|key| self.accepts(vault, key))
            .ok_or(CryptoError::Unopened)
    }

    /// What its blobs are bound to.
    #[must_use]
    pub fn name(&self) -> SlotName<'_> {
        (self.slot, self.kind, self.kdf.as_deref())
    }
}

/// First word of a key file's last line.
const KEYFILE_MARK: &str = "CLAWKEEP-KEY-1";

/// What a key file says.
#[must_use]
pub fn keyfile_text(vault: VaultId, key: &SlotKey) -> Zeroizing<String> {
    let hex = Zeroizing::new(data_encoding::HEXLOWER.encode(key.expose_secret()));
    Zeroizing::new(format!(
        "# clawkeep key file of vault {vault}\n# Who reads this file can open that vault; without \
         it the vault cannot be opened.\n{KEYFILE_MARK} {}\n",
        hex.as_str()
    ))
}

/// Parses a key file; `None` if the text is not one, or cut short.
#[must_use]
pub fn parse_keyfile(text: &[u8]) -> Option<SlotKey> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let hex = lines.next()?.strip_prefix(KEYFILE_MARK)?.trim();
    let bytes = Zeroizing::new(
        data_encoding::HEXLOWER_PERMISSIVE
            .decode(hex.as_bytes())
            .ok()?,
    );
    lines
        .next()
        .is_none()
        .then(|| SlotKey::from_bytes(&bytes))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: VaultId = VaultId([5; 16]);

    fn slot(key: &SlotKey, data: &DataKey) -> SlotRecord {
        let wrapped =
            WrappedKeys::new(VAULT, Epoch(1), (1, SlotKind::Keyfile, None), data, key).unwrap();
        SlotRecord {
            slot: 1,
            kind: SlotKind::Keyfile,
            key_id: KeyId([1; 8]),
            check: key.check_value(VAULT),
            kdf: None,
            wrapped: wrapped.data_key,
        }
    }

    #[test]
    fn a_slot_opens_with_its_key_only() {
        let (key, other) = (SlotKey::generate().unwrap(), SlotKey::generate().unwrap());
        let data = DataKey::generate().unwrap();
        let record = slot(&key, &data);
        assert!(record.accepts(VAULT, &key) && !record.accepts(VAULT, &other));
        let opened = record.unwrap_data_key(VAULT, Epoch(1), &key).unwrap();
        assert_eq!(opened.expose_secret(), data.expose_secret());
        assert!(record.unwrap_data_key(VAULT, Epoch(1), &other).is_err());
        for (slot, kind, kdf) in [
            (1, SlotKind::Keychain, None),
            (2, SlotKind::Keyfile, None),
            (1, SlotKind::Keyfile, Some("weaker")),
        ] {
            let relabelled = SlotRecord {
                slot,
                kind,
                kdf: kdf.map(str::to_owned),
                ..record.clone()
            };
            assert!(relabelled.unwrap_data_key(VAULT, Epoch(1), &key).is_err());
        }
    }

    #[test]
    fn key_files_read_back_and_refuse_anything_cut_short() {
        let key = SlotKey::from_bytes(&[0xa5; 32]).unwrap();
        let text = keyfile_text(VAULT, &key);
        let got = parse_keyfile(text.as_bytes()).unwrap();
        assert_eq!(got.expose_secret(), key.expose_secret());
        for len in 0..text.len() - 1 {
            assert!(
                parse_keyfile(&text.as_bytes()[..len]).is_none(),
                "cut to {len}"
            );
        }
        assert!(parse_keyfile(b"CLAWKEEP-KEY-1 zz").is_none());
        assert!(parse_keyfile(&[0xff; 40]).is_none());
    }
}
