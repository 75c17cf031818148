//! Why a candidate is not used.

use crate::domain::{EntryFault, SecretFault};

/// Why a candidate is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PassedOver {
    /// There is no such profile.
    Missing,
    /// Its entry is none that can be read, or holds no secret.
    Unreadable,
    /// Its secret is stored elsewhere: the entry refers to it.
    Reference,
    /// Its type, or the field of its secret, has another name than the one that is read.
    Misnamed,
    /// Its secret cannot be sent as it is.
    BadSecret(SecretFault),
    /// The configuration says that it is of another provider or kind.
    Mismatch,
    /// The credential has expired by now.
    Expired,
    /// It ends sooner than was asked for.
    EndsTooSoon,
    /// It has ended, or ends sooner than was asked for, and could not be refreshed; why, in a word.
    NotRefreshed(&'static str),
    /// It cools down, or is disabled, and another does not.
    InCooldown,
}

impl PassedOver {
    /// The name in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Reference => "reference",
            Self::Misnamed => "misnamed",
            Self::BadSecret(_) => "bad-secret",
            Self::Mismatch => "mismatch",
            Self::Expired => "expired",
            Self::EndsTooSoon => "ends-too-soon",
            Self::NotRefreshed(why) => why,
            Self::InCooldown => "resting", // the name in the record stays
        }
    }
}

impl From<EntryFault<'_>> for PassedOver {
    fn from(fault: EntryFault<'_>) -> Self {
        match fault {
            EntryFault::Reference(_) => Self::Reference,
            EntryFault::Misnamed(_) => Self::Misnamed,
            EntryFault::BadSecret(fault) => Self::BadSecret(fault),
            EntryFault::Empty | EntryFault::Unreadable => Self::Unreadable,
        }
    }
}
