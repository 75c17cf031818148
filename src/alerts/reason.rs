//! The reasons for messages, and their subjects.

use super::surveyed::{State, SurveyedCredential};
use crate::domain::named;

/// The state in which nothing is wrong, in the record.
pub(super) const GOOD: &str = "ok";

named! {
    /// The reason for a message.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum MessageReason {
        /// The problem is new since the last message.
        New = "new",
        /// The problem still lasts: a reminder.
        Repeated = "repeated",
        /// The problem is over, and was reported before.
        Recovered = "recovered",
        /// The subject does not exist any more.
        Gone = "gone",
        /// Nothing happened: somebody tests whether messages arrive.
        Test = "test",
    }
}

/// What a message reports about a subject.
pub(super) enum What<'f> {
    /// The state of a credential; `None` if its problem is over.
    Credential(&'f SurveyedCredential, Option<State>),
    Host(&'f str, &'f str),
    /// It is over, or what it was about is not there any more; what it was called.
    Past(String),
}
