//! Windows Credential Manager.
//!
//! An item may have 2,560 bytes. Source: Microsoft, `CREDENTIALW`, `CRED_MAX_CREDENTIAL_BLOB_SIZE`.
//! What is kept here is one key of 32.

use std::collections::HashMap;
use std::sync::Arc;

use keyring_core::api::CredentialStoreApi;
use keyring_core::error::PlatformError;
use keyring_core::{Entry, Error as StoreError};

use super::error::{KeychainError, Reason, SERVICE, Unreachable};
use super::store_error::of_store;

pub(super) const NEEDS_SESSION_BUS: bool = false;

pub(super) type Store = Arc<windows_native_keyring_store::Store>;

pub(super) fn connect() -> Result<Store, KeychainError> {
    windows_native_keyring_store::Store::new()
        .map_err(|error| KeychainError::Unreachable(Unreachable::Other(Reason::new(error))))
}

pub(super) fn item(store: &Store, account: &str) -> Result<Entry, KeychainError> {
    // `Local` survives logging out and stays on this machine; the store's own default,
    // `Enterprise`, would carry the key in a roaming profile to machines that have no vault.
    let modifiers = HashMap::from([("persistence", "Local")]);
    store
        .build(SERVICE, account, Some(&modifiers))
        .map_err(failed)
}

/// Set by the persistence requested in [`item`].
pub(super) fn require_persistence(_entry: &Entry) -> Result<(), KeychainError> {
    Ok(())
}

pub(super) fn failed(error: StoreError) -> KeychainError {
    of_store(error, no_access, failure)
}

/// The store says this where there is no logon session, as for a service account.
fn no_access(why: PlatformError) -> KeychainError {
    KeychainError::NoAccess(Reason::new(why))
}

fn failure(why: PlatformError) -> KeychainError {
    KeychainError::Other(Reason::new(why))
}
