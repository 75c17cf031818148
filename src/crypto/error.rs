//! The error of everything cryptographic.

/// Why a cryptographic operation failed; deliberately without detail. Whatever makes a key, a salt
/// or a nonce fails when the system has no random numbers to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// A sealed blob did not open: wrong key, wrong place, or altered.
    #[error("the sealed data does not open")]
    Unopened,
    /// The operating system gave no random numbers.
    #[error("the operating system gives no random numbers")]
    NoRandomness,
    /// The memory that a passphrase takes is unavailable.
    #[error("there is not the memory that a passphrase takes")]
    NoMemory,
}
