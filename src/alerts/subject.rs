//! The subjects of alerts.

use crate::domain::{AgentName, ProfileId};

/// The subject of an alert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A credential of an agent.
    Credential(AgentName, ProfileId),
    /// The host; the key names the problem, and is the same as long as it lasts.
    Host(String),
}

/// Something that is wrong with the host, not with a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Names the problem: the same as long as it lasts.
    pub key: String,
    /// The title, in a few words.
    pub title: String,
    /// What it means, and what to do. Nothing secret.
    pub body: String,
}
