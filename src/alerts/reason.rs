//! The reasons for messages, and their subjects.

use super::credential_status::{CredentialStatus, State};

/// The state in which nothing is wrong, in the record.
pub(super) const GOOD: &str = "ok";

/// The reason for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageReason {
    /// The problem is new since the last message.
    New,
    /// The problem still lasts: a reminder.
    Repeated,
    /// The problem is over, and was reported before.
    Recovered,
    /// The subject does not exist any more.
    Gone,
    /// Nothing happened: somebody tests whether messages arrive.
    Test,
}

impl MessageReason {
    /// Returns the word for it in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Repeated => "repeated",
            Self::Recovered => "recovered",
            Self::Gone => "gone",
            Self::Test => "test",
        }
    }
}

/// What a message reports about a subject.
pub(super) enum What<'f> {
    /// The state of a credential; `None` if its problem is over.
    Credential(&'f CredentialStatus, Option<State>),
    Host(&'f str, &'f str),
    /// It is over, or what it was about is not there any more; what it was called.
    Past(String),
}
