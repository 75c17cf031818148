//! Why something is said, and of what.

use super::standing::{Standing, State};

/// The state in which nothing is wrong, in the record.
pub(super) const GOOD: &str = "ok";

/// Why something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// It was not so before.
    New,
    /// It still is.
    Repeated,
    /// It is over.
    Recovered,
    /// What it was about is there no more.
    Gone,
    /// Nothing is: somebody wants to see whether messages arrive.
    Test,
}

impl News {
    /// The word in messages.
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

/// What is said of a subject.
pub(super) enum What<'f> {
    /// Of a credential in a state; in none where it is over.
    Credential(&'f Standing, Option<State>),
    Host(&'f str, &'f str),
    /// It is over, or what it was about is not there any more; what it was called.
    Past(String),
}
