//! Which events to show.

use crate::domain::UnixMs;

use super::{EventKind, Origin};

/// Newest first or oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the end of the record.
    #[default]
    NewestFirst,
    /// From its beginning.
    OldestFirst,
}

/// A name that is no kind and no group of kinds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no event kind or group \"{name}\"; groups: {}", groups().join(", "))]
pub struct UnknownKind {
    /// The name.
    pub name: String,
}

fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = EventKind::ALL
        .iter()
        .filter_map(|kind| kind.as_str().split('.').next())
        .collect();
    groups.dedup();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// One kind, or a group of them such as `refresh` for every `refresh.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindFilter {
    /// The kinds it lets through.
    pub kinds: Vec<EventKind>,
    /// Origins whose `sync.applied` it lets through as well: a synced token that differs from the stored one is a
    /// refresh by its owner. Source: `spec/vault.md`, The audit record.
    pub synced_by: &'static [Origin],
}

impl KindFilter {
    /// Reads a kind or a group.
    ///
    /// # Errors
    /// When there is neither of that name.
    pub fn parse(name: &str) -> Result<Self, UnknownKind> {
        let matches = |kind: &&EventKind| {
            kind.as_str() == name
                || kind
                    .as_str()
                    .split_once('.')
                    .is_some_and(|(group, _)| group == name)
        };
        let kinds: Vec<EventKind> = EventKind::ALL.iter().filter(matches).copied().collect();
        if kinds.is_empty() {
            return Err(UnknownKind {
                name: name.chars().take(64).collect(),
            });
        }
        let synced_by: &[Origin] = if name == "refresh" {
            &[Origin::ClaudeCode, Origin::CodexCli]
        } else {
            &[]
        };
        Ok(Self { kinds, synced_by })
    }
}

/// Which events to show; everything left open matches all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this profile.
    pub profile: Option<String>,
    /// Of this provider, normalised.
    pub provider: Option<String>,
    /// Of this agent.
    pub agent: Option<String>,
    /// Of any of these kinds; none given: all.
    pub kinds: Vec<KindFilter>,
    /// Not before.
    pub since: Option<UnixMs>,
    /// Before.
    pub until: Option<UnixMs>,
    /// At most so many.
    pub limit: Option<u64>,
    /// In which order.
    pub direction: Direction,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_groups() {
        assert_eq!(
            KindFilter::parse("order.set").unwrap().kinds,
            [EventKind::OrderSet]
        );
        let refresh = KindFilter::parse("refresh").unwrap();
        assert_eq!(refresh.kinds.len(), 5);
        assert_eq!(refresh.synced_by, [Origin::ClaudeCode, Origin::CodexCli]);
        let error = KindFilter::parse("refres").unwrap_err().to_string();
        assert!(error.contains("refresh, session"), "{error}");
    }
}
