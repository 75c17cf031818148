//! Which events to show.

use std::sync::Arc;

use crate::domain::{Owner, UnixMs};

use super::event::{Event, EventKind, Origin, Outcome};

/// Newest first or oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// From the end of the record.
    #[default]
    NewestFirst,
    /// From the beginning of the record on.
    OldestFirst,
}

/// A name that is no kind and no group of kinds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no event kind or group \"{name}\"; {}", instead_of(name))]
#[non_exhaustive]
pub struct UnknownKind {
    /// The name that was not found.
    pub name: String,
}

/// Suggests existing names instead of `name`.
fn instead_of(name: &str) -> String {
    let near: Vec<&str> = EventKind::ALL
        .iter()
        .map(|kind| kind.as_str())
        .filter(|kind| !name.is_empty() && kind.contains(name))
        .collect();
    if near.is_empty() {
        format!("groups: {}", event_groups().join(", "))
    } else {
        format!("there is: {}", near.join(", "))
    }
}

/// The groups of event kinds, in alphabetical order.
#[must_use]
pub fn event_groups() -> Vec<&'static str> {
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
    pub(crate) kinds: Vec<EventKind>,
    /// Whether it lets through what [`is_imported_refresh`] as well.
    pub(crate) includes_imported_refreshes: bool,
}

/// The changes among which [`is_imported_refresh`] finds some.
pub(crate) fn imported_refreshes() -> impl Iterator<Item = (EventKind, Origin)> {
    let sources = Owner::mirrored().map(|(owner, _)| Origin::Source(owner));
    let synced = sources.map(|source| (EventKind::SyncApplied, source));
    synced.chain([(EventKind::ProfileUpdated, Origin::StoreFile)])
}

/// Whether an event is a refresh that another program made and clawkeep imported: a synced token
/// that differs from the stored one is a refresh by its owner (source: `spec/vault.md`, The audit
/// record), and a token that another program exchanged in the store for one that expires later is a
/// refresh by that program.
#[must_use]
pub fn is_imported_refresh(event: &Event) -> bool {
    let exchanged = Exchanged {
        kind: &event.kind,
        origin: &event.origin,
        token: (event.token_before.as_deref(), event.token_after.as_deref()),
        expires: (event.expires_before, event.expires_after),
    };
    exchanged.is_imported_refresh()
}

/// What of an event says whether it [`is_imported_refresh`].
pub(crate) struct Exchanged<'e> {
    pub(crate) kind: &'e str,
    pub(crate) origin: &'e str,
    /// Fingerprints before and after.
    pub(crate) token: (Option<&'e [u8]>, Option<&'e [u8]>),
    /// Milliseconds since the epoch, before and after.
    pub(crate) expires: (Option<i64>, Option<i64>),
}

impl Exchanged<'_> {
    pub(crate) fn is_imported_refresh(&self) -> bool {
        let is = |(kind, origin): (EventKind, Origin)| {
            self.kind == kind.as_str() && self.origin == origin.as_str()
        };
        let is_another = matches!(self.token, (Some(before), Some(after)) if before != after);
        let ends_later = || matches!(self.expires, (Some(before), Some(after)) if before < after);
        is_another
            && imported_refreshes().any(is)
            && (self.kind == EventKind::SyncApplied.as_str() || ends_later())
    }
}

impl KindFilter {
    /// That kind and nothing else.
    #[must_use]
    pub fn only(kind: EventKind) -> Self {
        Self {
            kinds: vec![kind],
            includes_imported_refreshes: false,
        }
    }

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
        Ok(Self {
            kinds,
            includes_imported_refreshes: name == "refresh",
        })
    }

    fn matches(&self, event: &Event) -> bool {
        let is = |kind: &EventKind| *event.kind == *kind.as_str();
        self.kinds.iter().any(is)
            || (self.includes_imported_refreshes && is_imported_refresh(event))
    }
}

/// Which events to show; everything left open matches all.
///
/// ```
/// use clawkeep::{Filter, KindFilter, UnixMs};
///
/// # fn main() -> Result<(), clawkeep::UnknownKind> {
/// let refreshes_of_a_login = Filter::default()
///     .profile("anthropic:claude-cli".to_owned())
///     .kinds(vec![KindFilter::parse("refresh")?])
///     .since(UnixMs::from_ms(1_767_225_600_000)) // 2026-01-01
///     .limit(50);
/// # assert!(refreshes_of_a_login.agent.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Filter {
    /// Only events of this profile.
    pub profile: Option<String>,
    /// Only events of this provider, normalised.
    pub provider: Option<String>,
    /// Only events of this agent.
    pub agent: Option<String>,
    /// Only events of these kinds; empty: of all kinds.
    pub kinds: Vec<KindFilter>,
    /// Only events that came from there.
    pub(crate) origin: Option<Origin>,
    /// Only events with this outcome.
    pub outcome: Option<Outcome>,
    /// Only events at or after this time.
    pub since: Option<UnixMs>,
    /// Only events before this time.
    pub until: Option<UnixMs>,
    /// The largest number of events to show.
    pub limit: Option<u64>,
    /// The order of the events.
    pub direction: Direction,
}

/// Narrows a filter to events that came from there.
#[must_use]
pub fn from_origin(filter: Filter, origin: Option<Origin>) -> Filter {
    Filter { origin, ..filter }
}

/// Declares the setters of a [`Filter`].
macro_rules! setters {
    ($($(#[$doc:meta])* $field:ident: $value:ty),* $(,)?) => {
        impl Filter {$(
            $(#[$doc])*
            #[must_use]
            pub fn $field(mut self, $field: impl Into<$value>) -> Self {
                self.$field = $field.into();
                self
            }
        )*}
    };
}
setters! {
    /// Narrows it to events of this profile.
    profile: Option<String>,
    /// Narrows it to events of this provider, normalised.
    provider: Option<String>,
    /// Narrows it to events of this agent.
    agent: Option<String>,
    /// Narrows it to events with this outcome.
    outcome: Option<Outcome>,
    /// Narrows it to events at or after this time.
    since: Option<UnixMs>,
    /// Narrows it to events before this time.
    until: Option<UnixMs>,
    /// Sets the order of the events.
    direction: Direction,
}

impl Filter {
    /// Narrows it to events of these kinds; empty: of all kinds.
    #[must_use]
    pub fn kinds(mut self, kinds: Vec<KindFilter>) -> Self {
        self.kinds = kinds;
        self
    }

    /// Limits the number of events.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Whether an event is among those asked for, whatever the limit.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, text: &Option<Arc<str>>| {
            wanted.is_none() || wanted.as_deref() == text.as_deref()
        };
        is(&self.profile, &event.profile)
            && is(&self.provider, &event.provider)
            && is(&self.agent, &event.agent)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kinds| kinds.matches(event)))
            && self
                .origin
                .is_none_or(|origin| *event.origin == *origin.as_str())
            && self
                .outcome
                .is_none_or(|outcome| *event.outcome == *outcome.as_str())
            && self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_groups() {
        let got = KindFilter::parse("order.set").unwrap().kinds;
        assert_eq!(got, [EventKind::OrderSet]);
        let refresh = KindFilter::parse("refresh").unwrap();
        assert_eq!(refresh.kinds.len(), 5);
        assert!(refresh.includes_imported_refreshes);
        assert!(
            !KindFilter::parse("refresh.failed")
                .unwrap()
                .includes_imported_refreshes
        );
        let error = KindFilter::parse("refesh").unwrap_err().to_string();
        assert!(error.contains("refresh, repair, session"), "{error}");
        let error = KindFilter::parse("used").unwrap_err().to_string();
        assert!(error.ends_with("there is: credential.used"), "{error}");
    }
}
