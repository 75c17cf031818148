//! Why the keychain did not do what it was asked.

use std::fmt;
use std::time::Duration;

use crate::domain::escaped;

/// The service name of every item. Source: `spec/vault.md`, Keys.
pub const SERVICE: &str = "clawkeep";

/// The longest text of an outside program that a [`Reason`] keeps, in characters. Source:
/// `spec/vault.md`, The audit record.
const REASON_CHARS: usize = 128;

/// Why the keychain did not do what it was asked. Nothing in it is taken from a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeychainError {
    /// There is no session bus, or nothing on it that keeps secrets.
    #[error("no keychain can be reached: {0}")]
    Unreachable(#[source] Unreachable),
    /// A limit on processes, threads or open files is reached, so it cannot be asked.
    #[error("the keychain cannot be queried")]
    LimitReached(#[source] Reason),
    /// The keychain took longer than it may, often because it is asking the user something. Whether
    /// it did what it was asked is not known.
    #[error("the keychain did not answer within {after:?}")]
    NoAnswer {
        /// The deadline that passed.
        after: Duration,
    },
    /// The keychain is locked and was not unlocked: the user declined, or could not be asked. A
    /// Secret Service without a default collection is reported so too.
    #[error("the keychain is locked")]
    Locked(#[source] Reason),
    /// The keychain is there and refuses this program.
    #[error("the keychain refuses access")]
    NoAccess(#[source] Reason),
    /// The item would be gone after logging out: the default collection is the one kept in memory.
    #[error("the keychain does not keep items beyond this session")]
    NotPersistent,
    /// Several items have this account. None of them is touched, since which is right is not known.
    #[error("{count} items in the keychain have the same account")]
    Ambiguous {
        /// How many, 2 or more.
        count: usize,
    },
    /// What was written did not read back the same.
    #[error("the keychain did not keep what was written")]
    NotKept,
    /// The item or the whole keychain is not in the form its own rules ask for.
    #[error("the keychain is damaged")]
    Damaged,
    /// Any other failure of the keychain.
    #[error("the keychain failed")]
    Other(#[source] Reason),
}

/// Why there is no keychain to ask. None of these is a locked one: unlocking does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreachable {
    /// Neither `DBUS_SESSION_BUS_ADDRESS` nor a socket in `$XDG_RUNTIME_DIR` leads to a session
    /// bus: cron, ssh, a system service, a container.
    #[error("there is no session bus")]
    NoBus,
    /// Nothing listens at the bus's address: the session has ended, or the address is wrong.
    #[error("nothing answers at the address of the session bus")]
    StaleBus,
    /// The session bus does not let this user in: it is another user's, as after `sudo` or `su`.
    #[error("the session bus is another user's: {0}")]
    OthersBus(Reason),
    /// No program on the session bus keeps secrets, and none is started for it.
    #[error("no program on the session bus keeps secrets: {0}")]
    NoService(Reason),
    /// The user turned the keychain off.
    #[error("it is turned off by CLAWKEEP_KEYCHAIN")]
    TurnedOff,
    /// This build of clawkeep cannot use keychains (the feature `keychain`).
    #[error("this build of clawkeep cannot use keychains")]
    NotBuilt,
    /// Any other reason why no keychain can be reached.
    #[error("{0}")]
    Other(Reason),
}

/// What a keychain or the system said of a failure: at most 128 characters, without hidden ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Keeps at most 128 characters of `said`, hidden ones escaped.
    #[must_use]
    pub fn new(said: impl fmt::Display) -> Self {
        let said = said.to_string();
        Self(escaped(&said).chars().take(REASON_CHARS).collect())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}
