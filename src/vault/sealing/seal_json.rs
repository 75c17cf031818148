//! JSON values, sealed and opened as text.

use serde_json::Value;
use zeroize::Zeroizing;

use crate::crypto::{Aad, CryptoError, SealKey};

pub(in crate::vault) fn seal_json(
    seal: &SealKey,
    aad: Aad,
    value: &Value,
) -> Result<Vec<u8>, CryptoError> {
    seal.seal(aad, Zeroizing::new(value.to_string()).as_bytes())
}

pub(in crate::vault) fn open_json(seal: &SealKey, aad: Aad, blob: &[u8]) -> Option<Value> {
    serde_json::from_slice(&seal.open(aad, blob).ok()?).ok()
}
