//! From a passphrase to a slot's key: Argon2id (RFC 9106) with parameters that are kept beside the
//! slot.
//!
//! They are written as a PHC string without its hash: `$argon2id$v=19$m=65536,t=3,p=4$<salt>`, the
//! salt in base64 without padding.

use std::fmt;

use argon2::{Algorithm, Argon2, ParamsBuilder, Version};
use icu_normalizer::ComposingNormalizerBorrowed;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::error::CryptoError;
use super::keys::SlotKey;
use super::random::random_bytes;

/// What a new slot uses: 64 MiB, 3 passes, 4 lanes. Source: RFC 9106, section 4, the second
/// recommended option; `spec/vault.md`, Keys.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// What is taken from a vault, so that a hostile file can neither weaken a slot nor exhaust memory
/// or time: up to 1 GiB, 16 passes, 16 lanes. Source: `spec/vault.md`, Keys.
const MEMORY_MAX_KIB: u32 = 1 << 20;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;
/// Bytes of salt. Source: RFC 9106, section 3.1.
const SALT_LEN: usize = 16;

/// The shortest passphrase taken, in characters. Source: `spec/vault.md`, Keys.
pub const PASSPHRASE_MIN: usize = 12;
/// The longest passphrase taken, in bytes: nobody types more, and a wrong file is found to be none.
pub const PASSPHRASE_MAX: usize = 1024;

/// Why a text is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseFault {
    /// The passphrase is too short.
    #[error("a passphrase has {PASSPHRASE_MIN} characters or more")]
    Short,
    /// The passphrase is too long.
    #[error("a passphrase has {PASSPHRASE_MAX} bytes or fewer")]
    Long,
    /// It has line ends or control characters inside.
    #[error("a passphrase is one line without control characters")]
    Control,
}

/// Checks a passphrase for a new slot. Blanks around it do not count.
///
/// # Errors
/// Why it is none.
pub fn check_passphrase(passphrase: &SecretString) -> Result<(), PassphraseFault> {
    let text = passphrase.expose_secret().trim();
    if text.len() > PASSPHRASE_MAX {
        return Err(PassphraseFault::Long);
    }
    if text.chars().any(char::is_control) {
        return Err(PassphraseFault::Control);
    }
    if text.chars().count() < PASSPHRASE_MIN {
        return Err(PassphraseFault::Short);
    }
    Ok(())
}

/// How a slot's key comes from its passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2id {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT_LEN],
}

impl Argon2id {
    /// The parameters of a new slot, with a fresh salt.
    pub fn generate() -> Result<Self, CryptoError> {
        Ok(Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: random_bytes()?,
        })
    }

    /// Reads parameters as [`Argon2id`] prints them; `None` for anything else, and for any that are
    /// weaker than a new slot's or stronger than a machine can be asked for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('$');
        let ("", "argon2id", "v=19") = (parts.next()?, parts.next()?, parts.next()?) else {
            return None;
        };
        let (costs, salt) = (parts.next()?, parts.next()?);
        let mut costs = costs.split(',');
        let mut cost =
            |name: &str| -> Option<u32> { costs.next()?.strip_prefix(name)?.parse().ok() };
        let read = Self {
            memory_kib: cost("m=")?,
            passes: cost("t=")?,
            lanes: cost("p=")?,
            salt: data_encoding::BASE64_NOPAD
                .decode(salt.as_bytes())
                .ok()?
                .try_into()
                .ok()?,
        };
        let is_whole = parts.next().is_none() && costs.next().is_none();
        let is_bounded = (MEMORY_KIB..=MEMORY_MAX_KIB).contains(&read.memory_kib)
            && (PASSES..=PASSES_MAX).contains(&read.passes)
            && (1..=LANES_MAX).contains(&read.lanes);
        // One way to write it: it is bound into the slot's seal as it stands.
        (is_whole && is_bounded && read.to_string() == text).then_some(read)
    }

    /// The most work that parameters which are taken ask for: see [`Argon2id::work`].
    pub const WORK_MAX: u64 = MEMORY_MAX_KIB as u64 * PASSES_MAX as u64;

    /// How much work a derivation is: KiB times passes.
    #[must_use]
    pub fn work(&self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }

    /// What it costs, for people.
    #[must_use]
    pub fn costs(&self) -> String {
        format!(
            "Argon2id, {} MiB, {} passes, {} lanes",
            self.memory_kib >> 10,
            self.passes,
            self.lanes
        )
    }

    /// Derives the slot's key from a passphrase. Blanks around it do not count, and it is taken in
    /// Unicode's composed form (NFC): keyboards differ.
    ///
    /// # Errors
    /// [`CryptoError::NoMemory`] when that much memory is unavailable.
    pub fn derive(&self, passphrase: &SecretString) -> Result<SlotKey, CryptoError> {
        let text = passphrase.expose_secret().trim();
        let text = Zeroizing::new(
            ComposingNormalizerBorrowed::new_nfc()
                .normalize(text)
                .into_owned(),
        );
        let params = ParamsBuilder::new()
            .m_cost(self.memory_kib)
            .t_cost(self.passes)
            .p_cost(self.lanes)
            .output_len(32)
            .build()
            .map_err(|_| CryptoError::NoMemory)?;
        let mut key = Zeroizing::new([0_u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(text.as_bytes(), &self.salt, key.as_mut())
            .map_err(|_| CryptoError::NoMemory)?;
        SlotKey::from_bytes(key.as_ref()).ok_or(CryptoError::NoMemory)
    }
}

impl fmt::Display for Argon2id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "$argon2id$v=19$m={},t={},p={}${}",
            self.memory_kib,
            self.passes,
            self.lanes,
            data_encoding::BASE64_NOPAD.encode(&self.salt)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed() -> Argon2id {
        Argon2id::parse("$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw").unwrap()
    }

    #[test]
    fn parameters_read_back_and_bounds_hold() {
        let fresh = Argon2id::generate().unwrap();
        assert_eq!(Argon2id::parse(&fresh.to_string()), Some(fresh));
        let strongest = "$argon2id$v=19$m=1048576,t=16,p=16$AAECAwQFBgcICQoLDA0ODw";
        assert!(Argon2id::parse(strongest).is_some());
        for hostile in [
            "",
            "$argon2id$v=19$m=65536,t=3,p=4$",
            "$argon2i$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw",
            "$argon2id$v=16$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw",
            "$argon2id$v=19$m=65535,t=3,p=4$AAECAwQFBgcICQoLDA0ODw",
            "$argon2id$v=19$m=1048577,t=3,p=4$AAECAwQFBgcICQoLDA0ODw",
            "$argon2id$v=19$m=4294967296,t=3,p=4$AAECAwQFBgcICQoLDA0ODw",
            "$argon2id$v=19$m=65536,t=2,p=4$AAECAwQFBgcICQoLDA0ODw",
            "$argon2id$v=19$m=65536,t=17,p=4$AAECAwQFBgcICQoLDA0ODw",
            "$argon2id$v=19$m=65536,t=3,p=17$AAECAwQFBgcICQoLDA0ODw",
            "$argon2id$v=19$m=65536,t=3,p=0$AAECAwQFBgcICQoLDA0ODw",
            "$argon2id$v=19$m=065536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw",
            "$argon2id$v=19$m=65536,t=3,p=4,x=1$AAECAwQFBgcICQoLDA0ODw",
            "$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0O",
            "$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw$hash",
        ] {
            assert_eq!(Argon2id::parse(hostile), None, "{hostile}");
        }
    }

    #[test]
    fn a_passphrase_means_the_same_however_it_was_typed() {
        let key = |text: &str| fixed().derive(&SecretString::from(text)).unwrap();
        let one = key("caf\u{e9} au lait, s'il vous plait");
        let same = key(" cafe\u{301} au lait, s'il vous plait\n");
        let other = key("cafe au lait, s'il vous plait");
        assert_eq!(one.expose_secret(), same.expose_secret());
        assert_ne!(one.expose_secret(), other.expose_secret());
    }

    #[test]
    fn a_bad_passphrase_is_reported() {
        let check = |text: &str| check_passphrase(&SecretString::from(text));
        assert_eq!(check("twelve chars"), Ok(()));
        assert_eq!(check(" eleven char "), Err(PassphraseFault::Short));
        let got = check("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}");
        assert_eq!(got, Err(PassphraseFault::Short));
        assert_eq!(check("two lines\nof words"), Err(PassphraseFault::Control));
        assert_eq!(check(&"x".repeat(1025)), Err(PassphraseFault::Long));
    }
}
