//! Sealing, key derivation, MACs, key slots. What is stored where is the vault's business.
//!
//! Errors here never say why something did not open: that would be an oracle.

mod keys;
#[cfg(test)]
mod published;
mod seal;
mod slot;

pub use keys::{
    AuditKey, CryptoError, DataKey, FingerprintKey, MacState, SlotKey, constant_time_eq,
    random_bytes,
};
pub use seal::{Aad, Epoch, SealKey, SealedBlob};
pub use slot::{SlotKind, SlotRecord, WrappedKeys, keyfile_text, parse_keyfile};
