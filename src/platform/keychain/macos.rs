//! The macOS login keychain.

use std::sync::Arc;

use keyring_core::Entry;
use keyring_core::api::CredentialStoreApi;
use keyring_core::error::PlatformError;

use super::{KeychainError, Reason, SERVICE, failed};

pub(super) const NEEDS_SESSION_BUS: bool = false;

pub(super) type Store = Arc<apple_native_keyring_store::keychain::Store>;

/// The store's default is the login keychain. Nothing is opened before the first call on an item.
pub(super) fn connect() -> Result<Store, KeychainError> {
    apple_native_keyring_store::keychain::Store::new().map_err(failed)
}

pub(super) fn item(store: &Store, account: &str) -> Result<Entry, KeychainError> {
    store.build(SERVICE, account, None).map_err(failed)
}

/// A file keychain has no other kind of item.
pub(super) fn require_persistence(_entry: &Entry) -> Result<(), KeychainError> {
    Ok(())
}

pub(super) fn no_access(why: PlatformError) -> KeychainError {
    by_code(&why).unwrap_or_else(|| KeychainError::NoAccess(Reason::new(why)))
}

pub(super) fn failure(why: PlatformError) -> KeychainError {
    by_code(&why).unwrap_or_else(|| KeychainError::Other(Reason::new(why)))
}

/// The codes that a person can do something about. The store sends most of them on as plain failures, the locked
/// keychain of an SSH session (-25308) among them. Source: Apple's `SecBase.h`, `MacErrors.h` for -128.
fn by_code(why: &PlatformError) -> Option<KeychainError> {
    let code = why
        .downcast_ref::<security_framework::base::Error>()?
        .code();
    let reason = Reason::new(why);
    match code {
        // Cancelled by the user; interaction not allowed; interaction required.
        -128 | -25308 | -25315 => Some(KeychainError::Locked(reason)),
        // Authorization failed.
        -25293 => Some(KeychainError::NoAccess(reason)),
        // No keychain is available, this one does not exist, there is no default.
        -25291 | -25294 | -25307 => Some(KeychainError::Unreachable(reason)),
        // Not a keychain.
        -25295 => Some(KeychainError::Damaged),
        _ => None,
    }
}
