//! The system's keychain in a build without the feature `keychain`: no call reaches one.

use std::time::Duration;

use super::{Keychain, KeychainError, Secret, SessionBus, Unreachable};

/// A keychain that no call reaches: this build has none.
#[derive(Debug)]
pub struct SystemKeychain {
    bus: SessionBus,
}

impl SystemKeychain {
    /// A keychain that says of a `bus` what it would say if there were one.
    #[must_use]
    pub const fn new(_deadline: Duration, bus: SessionBus) -> Self {
        Self { bus }
    }

    /// Changes nothing: there are no dialogs.
    #[must_use]
    pub fn attended(self, _is_attended: bool) -> Self {
        self
    }

    /// Does nothing: there is nothing to connect to.
    pub fn warm_up(&self) {}

    fn unreachable<T>(&self) -> Result<T, KeychainError> {
        Err(KeychainError::Unreachable(match self.bus {
            SessionBus::Present => Unreachable::NotBuilt,
            SessionBus::Absent => Unreachable::NoBus,
            SessionBus::TurnedOff => Unreachable::TurnedOff,
        }))
    }
}

impl Keychain for SystemKeychain {
    fn get(&self, _account: &str) -> Result<Option<Secret>, KeychainError> {
        self.unreachable()
    }

    fn set(&self, _account: &str, _secret: &[u8]) -> Result<(), KeychainError> {
        self.unreachable()
    }

    fn delete(&self, _account: &str) -> Result<(), KeychainError> {
        self.unreachable()
    }
}
