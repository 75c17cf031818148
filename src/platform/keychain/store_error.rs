//! What the errors of the keychain crates mean.

use keyring_core::Error as StoreError;
use keyring_core::error::PlatformError;
use zeroize::Zeroize as _;

use super::error::{KeychainError, Reason};

/// What a store's error means once the keychain is open; the system says what the rest means.
pub(super) fn of_store(
    error: StoreError,
    no_access: fn(PlatformError) -> KeychainError,
    failure: fn(PlatformError) -> KeychainError,
) -> KeychainError {
    match error {
        StoreError::NoStorageAccess(why) => no_access(why),
        StoreError::PlatformFailure(why) => failure(why),
        StoreError::Ambiguous(items) => KeychainError::Ambiguous { count: items.len() },
        // These two carry the item's bytes.
        StoreError::BadEncoding(mut bytes) | StoreError::BadDataFormat(mut bytes, _) => {
            bytes.zeroize();
            KeychainError::Damaged
        }
        StoreError::BadStoreFormat(_) => KeychainError::Damaged,
        other => KeychainError::Other(Reason::new(other)),
    }
}
