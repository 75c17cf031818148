//! Sealing, key derivation, MACs, key slots. What is stored where is the vault's business.
//!
//! Errors here never say why something did not open: that would be an oracle.

mod argon2id;
mod error;
mod keys;
#[cfg(test)]
mod published;
mod random;
mod recovery;
mod seal;
mod slot;

pub use argon2id::{Argon2id, PASSPHRASE_MAX, PASSPHRASE_MIN, PassphraseFault, check_passphrase};
pub use error::CryptoError;
pub use keys::{AuditKey, DataKey, FingerprintKey, MacState, SlotKey, constant_time_eq};
pub use random::random_bytes;
pub use recovery::{RecoveryCode, RecoveryFault, has_recovery_code_form, parse_recovery_code};
pub use seal::{Aad, Epoch, SealKey, SealedBlob};
pub use slot::{SlotKind, SlotName, SlotRecord, WrappedKeys, keyfile_text, parse_keyfile};
