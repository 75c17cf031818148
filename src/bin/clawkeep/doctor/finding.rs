//! What a finding is.

use std::path::PathBuf;

use super::finding_id::FindingId;
use super::repair::Repair;
use clawkeep::internal::domain::{AgentName, ProfileId};

/// The action that fixes a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fix {
    /// A repair that clawkeep carries out when asked to.
    Repair(Repair),
    /// What a person can do, a command or a sentence.
    Advice(String),
}

/// A problem, or something worth knowing, that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct Finding {
    /// The kind of the finding.
    pub(crate) id: FindingId,
    /// The agent that it concerns, if any.
    pub(crate) agent: Option<AgentName>,
    /// The profile that it concerns, if any.
    pub(crate) profile: Option<ProfileId>,
    /// Of which file or directory.
    pub(crate) path: Option<PathBuf>,
    /// In words, one line, without the fix. Quotes no secret.
    pub(crate) message: String,
    /// What fixes it; `None` if no action is needed.
    pub(crate) fix: Option<Fix>,
}

impl Finding {
    /// A finding about nothing in particular yet.
    pub(crate) fn new(id: FindingId, message: impl Into<String>) -> Self {
        Self {
            id,
            agent: None,
            profile: None,
            path: None,
            message: message.into(),
            fix: None,
        }
    }

    /// Sets the agent that the finding concerns.
    #[must_use]
    pub(crate) fn agent(mut self, agent: &AgentName) -> Self {
        self.agent = Some(agent.clone());
        self
    }

    /// Sets the profile that the finding concerns.
    #[must_use]
    pub(crate) fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = Some(ProfileId::new(profile));
        self
    }

    /// Sets the path that the finding concerns.
    #[must_use]
    pub(crate) fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Adds advice: an action for a person.
    #[must_use]
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.fix = Some(Fix::Advice(advice.into()));
        self
    }

    /// Adds a repair that clawkeep can carry out.
    #[must_use]
    pub(crate) fn repair(mut self, repair: Repair) -> Self {
        self.fix = Some(Fix::Repair(repair));
        self
    }

    /// The repair, if it has one.
    #[must_use]
    pub(crate) fn offered(&self) -> Option<&Repair> {
        match &self.fix {
            Some(Fix::Repair(repair)) => Some(repair),
            Some(Fix::Advice(_)) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_a_group_is_contiguous() {
        let mut groups: Vec<&str> = FindingId::ALL.iter().map(|id| id.group()).collect();
        groups.dedup();
        let mut unique = groups.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), groups.len(), "{groups:?}");
        let mut names: Vec<&str> = FindingId::ALL.iter().map(|id| id.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FindingId::ALL.len());
    }
}
