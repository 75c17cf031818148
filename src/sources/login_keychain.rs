//! The seam between Claude Code's login and whatever keychain holds it.

use std::io;

use secrecy::SecretString;

use crate::domain::named;

/// A keychain that may hold another program's login. Reading is all it can do.
pub trait LoginKeychain {
    /// Reads the generic password item of that service and account.
    fn read(&self, service: &str, account: &str) -> KeychainReading;
}

/// The answer of the keychain.
#[derive(Debug)]
pub enum KeychainReading {
    /// The secret of the keychain item.
    Item(SecretString),
    /// The keychain was open and has no such item.
    ConfirmedAbsent,
    /// The keychain gave no answer: the item may exist.
    Unavailable(KeychainFault),
}

named! {
    /// Why a keychain gave no answer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    #[non_exhaustive]
    pub enum KeychainFault {
        /// The program that asks the keychain could not be run.
        #[error("the keychain program cannot be run: {0}")]
        NotRun(io::ErrorKind) = "not-run",
        /// No answer within the deadline; it was ended. Usually a dialog nobody answered.
        #[error("the keychain did not answer in time")]
        TimedOut = "timed-out",
        /// The keychain is locked and nobody may be asked to open it.
        #[error("the keychain is locked")]
        Locked = "locked",
        /// The user or the item's access list said no.
        #[error("the keychain refused access to the item")]
        Refused = "refused",
        /// The keychain failed in another way.
        #[error("the keychain failed")]
        Failed = "failed",
        /// The answer is longer than any login.
        #[error("the keychain item is too large")]
        TooLarge = "too-large",
        /// The answer is not text.
        #[error("the keychain item is not text")]
        NotText = "not-text",
    }
}
