//! How credentials stand, and what a sync did.

use super::system::{SystemCause, SystemError};
use crate::domain::{
    Credential, CredentialType, ProfileId, ProviderId, StoreDoc, UnixMs, unavailability,
};
use crate::health::{AsOf, CredentialState, Status};
use crate::sync::Loaded;

/// How a credential stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CredentialStatus {
    /// The profile that it is stored under.
    pub profile: ProfileId,
    /// The provider that it is for, normalised.
    pub provider: ProviderId,
    /// The type of the credential.
    pub kind: CredentialType,
    /// When it expires, if an expiry is known.
    pub expires: Option<UnixMs>,
    /// How it stands by its expiry.
    pub status: Status,
    /// Until when selection skips it, if it is in cooldown or disabled.
    pub skipped_until: Option<UnixMs>,
}

impl CredentialStatus {
    pub(super) fn of(doc: &StoreDoc, id: &str, credential: &Credential<'_>, as_of: AsOf) -> Self {
        let expires = credential.expiry().filter(|expiry| expiry.ms() > 0.0);
        let skipped = unavailability(doc, id, as_of.now);
        Self {
            profile: ProfileId::new(id),
            provider: ProviderId::new(credential.provider),
            kind: credential.kind,
            expires: expires.map(|expiry| UnixMs(expiry.floor_ms())),
            status: CredentialState::of(credential, as_of).status(),
            skipped_until: skipped.map(|skipped| UnixMs(skipped.until.floor_ms())),
        }
    }
}

/// What a sync did.
#[derive(Debug)]
#[non_exhaustive]
pub struct Synced {
    /// Whether the agent's credentials changed.
    pub is_changed: bool,
    /// Rows of the vault that do not open; no store was written then.
    pub unopened: Vec<String>,
    /// Why the store could not be written or removed. The vault has everything, and the next call
    /// tries again.
    pub not_exported: Option<SystemError>,
}

impl Synced {
    pub(super) fn of(loaded: Loaded) -> Self {
        let not_exported = loaded.not_written.or(loaded.not_removed);
        Self {
            is_changed: loaded.before.is_some(),
            unopened: loaded.unopened,
            not_exported: not_exported.map(|error| SystemError(SystemCause::File(error))),
        }
    }
}
