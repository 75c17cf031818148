//! Telling a person what is wrong while nobody looks: each state once, with reminders while it lasts, and that it is over.
//!
//! [`survey()`] says how each credential stands, [`Standing::state`] what of that is worth a word, [`decide()`] what is to be said now, given
//! what was said before. All that is pure but the looking. What was said before is in the record: [`Alerts`] reads it there, delivers
//! what is due on threads of its own, and records what came of it.

mod decide;
mod deliver;
mod dispatch;
mod message;
mod sending;
mod standing;
mod survey;
mod text;
mod told;

#[cfg(test)]
mod sequence_tests;

pub use decide::{Decision, Facts, News, decide};
pub use deliver::{DELIVERY_MAX, Undelivered};
pub use dispatch::{Alerts, Means, Scene};
pub use message::{Message, Severity};
pub use standing::{Fate, Loss, Renewal, SourceTrouble, Standing, State};
pub use survey::{Survey, survey};
pub use told::{Entry, Failed, Told, ToldOf};

use crate::domain::{AgentName, ProfileId};

/// What something is told about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A credential of an agent.
    Credential(AgentName, ProfileId),
    /// The host: what it is about, the same as long as it lasts.
    Host(String),
}

/// Something that is wrong with the host, not with a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What it is about: the same as long as it lasts.
    pub key: String,
    /// A few words.
    pub title: String,
    /// What it means, and what to do. Nothing secret.
    pub body: String,
}
