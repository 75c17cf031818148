//! The macOS login keychain.

use std::sync::{Arc, OnceLock};

use keyring_core::api::CredentialStoreApi;
use keyring_core::error::PlatformError;
use keyring_core::{Entry, Error as StoreError};
use security_framework::os::macos::keychain::{KeychainUserInteractionLock, SecKeychain};

use super::error::{KeychainError, Reason, SERVICE};
use super::status;
use super::store_error::of_store;

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

pub(super) fn failed(error: StoreError) -> KeychainError {
    of_store(error, no_access, failure)
}

fn no_access(why: PlatformError) -> KeychainError {
    by_code(&why).unwrap_or_else(|| KeychainError::NoAccess(Reason::new(why)))
}

fn failure(why: PlatformError) -> KeychainError {
    by_code(&why).unwrap_or_else(|| KeychainError::Other(Reason::new(why)))
}

/// The store hands most codes on as plain failures.
fn by_code(why: &PlatformError) -> Option<KeychainError> {
    let error = why.downcast_ref::<security_framework::base::Error>()?;
    status::error_of(error.code(), Reason::new(why))
}

/// Keeps the Keychain from showing dialogs for the rest of this process: what would ask fails at
/// once with errSecInteractionNotAllowed. Where the system refuses, it asks as ever.
pub(super) fn forbid_dialogs() {
    static LOCK: OnceLock<Option<KeychainUserInteractionLock>> = OnceLock::new();
    LOCK.get_or_init(|| SecKeychain::disable_user_interaction().ok());
}
