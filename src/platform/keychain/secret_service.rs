//! Secret Service over D-Bus: GNOME Keyring, KWallet, KeePassXC.

use std::collections::HashMap;
use std::error::Error;
use std::io::ErrorKind;
use std::sync::Arc;

use keyring_core::api::CredentialStoreApi;
use keyring_core::error::PlatformError;
use keyring_core::{Entry, Error as StoreError};
use zbus_secret_service_keyring_store::cred::Wrapper;

use super::super::threads::check_bus_limits;
use super::error::{KeychainError, Reason, SERVICE, Unreachable};
use super::store_error::of_store;

pub(super) const NEEDS_SESSION_BUS: bool = true;

/// Where the items of the collection live that is kept in memory only. The specification asks for a
/// collection of that kind under the alias `session`; GNOME Keyring gives it this path. Source:
/// Secret Service API 0.2, "Collections".
const SESSION_COLLECTION: &str = "/org/freedesktop/secrets/collection/session/";

pub(super) type Store = Arc<zbus_secret_service_keyring_store::Store>;

/// Connects and agrees on a session key. Failures here precede the search for an item: no bus, no
/// service on it, or a service that does not speak the protocol.
pub(super) fn connect() -> Result<Store, KeychainError> {
    check_bus_limits().map_err(|error| KeychainError::LimitReached(Reason::new(error)))?;
    zbus_secret_service_keyring_store::Store::new()
        .map_err(|error| KeychainError::Unreachable(unreachable(&error)))
}

/// Why no service was reached, by what the bus answered.
fn unreachable(error: &StoreError) -> Unreachable {
    let StoreError::PlatformFailure(why) = error else {
        return Unreachable::Other(Reason::new(error));
    };
    let mut next: Option<&(dyn Error + 'static)> = Some(&**why);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<zbus::Error>() {
            return by_bus(error);
        }
        if let Some(error) = cause.downcast_ref::<zbus::fdo::Error>() {
            return Unreachable::NoService(Reason::new(error));
        }
        next = cause.source();
    }
    // The store keeps no cause where there is no socket, or what is set is no address.
    Unreachable::StaleBus
}

fn by_bus(error: &zbus::Error) -> Unreachable {
    match error {
        zbus::Error::InputOutput(error) | zbus::Error::Connection(error, _)
            if error.kind() == ErrorKind::PermissionDenied =>
        {
            Unreachable::OthersBus(Reason::new(error))
        }
        zbus::Error::Handshake(_) => Unreachable::OthersBus(Reason::new(error)),
        zbus::Error::InputOutput(_) | zbus::Error::Connection(_, _) | zbus::Error::Address(_) => {
            Unreachable::StaleBus
        }
        // What it says beside its name may be anything.
        zbus::Error::MethodError(name, _, _) => Unreachable::NoService(Reason::new(name)),
        zbus::Error::FDO(error) => Unreachable::NoService(Reason::new(error)),
        other => Unreachable::Other(Reason::new(other)),
    }
}

/// Names an item, without asking for it.
pub(super) fn item(store: &Store, account: &str) -> Result<Entry, KeychainError> {
    // The label that a person sees in their keyring.
    let label = format!("Clawkeep vault key {account}");
    let modifiers = HashMap::from([("label", label.as_str())]);
    store
        .build(SERVICE, account, Some(&modifiers))
        .map_err(failed)
}

/// The default collection can be the one in memory, and an item with our attributes may already lie
/// there, so the path of the item itself decides.
pub(super) fn require_persistence(entry: &Entry) -> Result<(), KeychainError> {
    let item = entry.get_credential().map_err(failed)?;
    let Some(item) = item.as_any().downcast_ref::<Wrapper>() else {
        let reason = Reason::new("the item does not say where it lives");
        return Err(KeychainError::Other(reason));
    };
    if item.get_path().starts_with(SESSION_COLLECTION) {
        return Err(KeychainError::NotPersistent);
    }
    Ok(())
}

pub(super) fn failed(error: StoreError) -> KeychainError {
    of_store(error, no_access, failure)
}

/// The store says this of a locked item, a dismissed prompt, and a missing collection.
fn no_access(why: PlatformError) -> KeychainError {
    KeychainError::Locked(Reason::new(why))
}

fn failure(why: PlatformError) -> KeychainError {
    KeychainError::Other(Reason::new(why))
}
