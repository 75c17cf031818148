//! Why a login failed, and how long one waits.

use std::io;
use std::time::Duration;

use crate::crypto::CryptoError;
use crate::domain::ProviderId;
use crate::oauth::answer::Refusal;

/// How long to wait for the browser. Source: `spec/oauth.md`, Login.
pub const WAIT: Duration = Duration::from_secs(5 * 60);

/// How long a request to the provider may take. Source: `spec/oauth.md`, One refresh.
pub(super) const REQUEST_MAX: Duration = Duration::from_secs(60);

/// Why a login came to nothing. No code, token or verifier is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The provider's entry lacks what such a login needs.
    #[error("the {setting} of {provider} is not set")]
    Lacks {
        /// The provider.
        provider: ProviderId,
        /// The setting.
        setting: &'static str,
    },
    /// The system gave no random numbers.
    #[error(transparent)]
    Random(#[from] CryptoError),
    /// The port that the provider knows is another program's.
    #[error("port {port} of this machine, to which the browser has to come back, is in use")]
    PortBusy {
        /// The port.
        port: u16,
    },
    /// No port of this machine can be opened for listening.
    #[error("the browser could not come back to this machine: no port can be listened on")]
    Listen(#[source] io::Error),
    /// The browser did not return in time.
    #[error("the browser did not come back within {} minutes", .0.as_secs().div_ceil(60))]
    TimedOut(Duration),
    /// The provider, or the person there, said no.
    #[error("the provider refused the login: {code}")]
    Denied {
        /// Its code, if that is a known one, else `other`.
        code: &'static str,
    },
    /// What was pasted has no `state`: it cannot be known which login it is of.
    #[error("the pasted text has no state, so it cannot be matched to this login")]
    NoState,
    /// It is of another login.
    #[error(
        "the pasted text belongs to another login: its state differs from the one that was sent"
    )]
    WrongState,
    /// The pasted text contains no code.
    #[error("the pasted text contains no code")]
    NoCode,
    /// The provider gave no tokens for the code.
    #[error("the provider gave no tokens: {}", .0.explain())]
    NoTokens(Refusal),
    /// The provider does not begin a login on another device.
    #[error("the provider did not begin a login on another device: {}", .0.explain())]
    NoDeviceCode(Refusal),
    /// Nobody confirmed the login on another device in time.
    #[error("the login was not confirmed before its code expired")]
    DeviceExpired,
}
