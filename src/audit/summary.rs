//! Summaries of many events: uses, refreshes, timelines. Values only; the vault counts.

use std::sync::Arc;

use super::event::{Event, EventKind};
use super::filter::is_imported_refresh;
use crate::domain::UnixMs;

/// The profile that a summary is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileRef {
    /// The agent that has the profile.
    pub agent: Option<Arc<str>>,
    /// Its id in the store.
    pub id: Arc<str>,
}

/// A program that acted, by the name it gave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Doer {
    /// The origin of the event: `clawkeep`, or another program's file.
    pub origin: Arc<str>,
    /// The name of the program.
    pub program: Arc<str>,
    /// The program that started it, if the system reported it.
    pub parent: Option<Arc<str>>,
    /// The name of the host.
    pub host: Arc<str>,
    /// The user id of the program.
    pub uid: i64,
}

/// The uses of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uses {
    /// The profile that was used.
    pub profile: ProfileRef,
    /// The provider, as last recorded.
    pub provider: Option<Arc<str>>,
    /// How many uses were recorded.
    pub count: u64,
    /// How often it was refused.
    pub failed: u64,
    /// The last time it was.
    pub last_failure: Option<LastFailure>,
    /// The first and the last use that was recorded; none where it only failed.
    pub span: Option<(UnixMs, UnixMs)>,
    /// The programs that used it and how often, the most frequent first.
    pub by: Vec<(Doer, u64)>,
    /// The programs that got the secret from `exec` or `run`, by name, each with who ran that
    /// command and how often: among the newest [`PROGRAMS_OF_NEWEST`] uses by each of `by`.
    pub programs: Vec<(String, Doer, u64)>,
}

/// The largest number of uses by one program that are read for the programs that it ran.
pub const PROGRAMS_OF_NEWEST: u32 = 10_000;

impl Uses {
    /// The programs that got the secret from `exec` or `run`, each once, by name.
    #[must_use]
    pub fn program_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.programs.iter().map(|(name, ..)| &**name).collect();
        names.dedup(); // they are in the order of their names
        names
    }
}

/// When a credential was last refused or its refresh last failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// The time of the failure.
    pub at: UnixMs,
    /// The reason of the failure, if it was recorded.
    pub reason: Option<String>,
}

/// The refreshes of a profile, its owner's included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshes {
    /// The profile that was refreshed.
    pub profile: ProfileRef,
    /// The provider, as last recorded.
    pub provider: Option<Arc<str>>,
    /// How many brought a new token.
    pub succeeded: u64,
    /// How many refreshes brought no new token.
    pub failed: u64,
    /// The mean lifetime of the new tokens that have an expiry, in milliseconds.
    pub mean_lifetime_ms: Option<i64>,
    /// The last that brought a new token.
    pub last: Option<UnixMs>,
    /// The expiry of the token that it brought: the next refresh is due before.
    pub due: Option<UnixMs>,
    /// The last refresh that failed, and why.
    pub last_failure: Option<LastFailure>,
}

/// A credential as it was at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The profile of the credential.
    pub profile: ProfileRef,
    /// The provider, as recorded with the change.
    pub provider: Option<Arc<str>>,
    /// The change that put it there.
    pub since: UnixMs,
    /// The fingerprint of its token.
    pub token: Option<Vec<u8>>,
    /// The expiry of the credential, in milliseconds since the epoch.
    pub expires: Option<i64>,
    /// The last use before that time, and by whom.
    pub last_used: Option<(UnixMs, Doer)>,
    /// The end of its cooldown, if it was in cooldown then.
    pub cooldown_until: Option<UnixMs>,
}

/// What happened to credentials over time, in equal parts of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Where the parts begin and end: one more than there are parts.
    pub bounds: Vec<UnixMs>,
    /// The lanes of the timeline, one for each profile.
    pub lanes: Vec<Lane>,
}

/// One profile's events over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The profile that the lane shows.
    pub profile: ProfileRef,
    /// The provider, as last recorded.
    pub provider: Option<Arc<str>>,
    /// When there was a valid credential: spans that do not touch, oldest first.
    pub valid: Vec<Span>,
    /// When it was in cooldown or disabled: spans that do not touch, oldest first.
    pub cooldowns: Vec<Span>,
    /// New tokens, a part of the time each.
    pub refreshes: Vec<u64>,
    /// Refreshes and uses that failed.
    pub failures: Vec<u64>,
    /// How often it was used, for each part of the time.
    pub uses: Vec<u64>,
}

/// A span of time with an optional end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first instant of the span.
    pub from: UnixMs,
    /// The end of the span, exclusive; `None` without an end.
    pub until: Option<UnixMs>,
}

impl Lane {
    /// A lane in which nothing happened, in so many parts of time.
    pub(crate) fn empty(profile: ProfileRef, parts: usize) -> Self {
        Self {
            profile,
            provider: None,
            valid: Vec::new(),
            cooldowns: Vec::new(),
            refreshes: vec![0; parts],
            failures: vec![0; parts],
            uses: vec![0; parts],
        }
    }

    pub(crate) fn is_blank(&self) -> bool {
        let counts = [&self.refreshes, &self.failures, &self.uses];
        self.valid.is_empty()
            && counts
                .iter()
                .all(|counts| counts.iter().all(|count| *count == 0))
    }

    /// Adds changes, oldest first: when there was a valid credential, and when it was refreshed.
    pub(crate) fn add_changes(&mut self, changes: &[Event], bounds: &[UnixMs]) {
        let (Some(start), Some(end)) = (bounds.first().copied(), bounds.last().copied()) else {
            return;
        };
        for (place, change) in changes.iter().enumerate() {
            self.provider = change
                .provider
                .as_ref()
                .map(Arc::clone)
                .or(self.provider.take());
            let is_refresh = *change.kind == *EventKind::RefreshSucceeded.as_str()
                || is_imported_refresh(change);
            let part = bounds.partition_point(|bound| *bound <= change.at);
            if is_refresh
                && let Some(count) = part
                    .checked_sub(1)
                    .and_then(|part| self.refreshes.get_mut(part))
            {
                *count += 1;
            }
            if *change.kind == *EventKind::ProfileRemoved.as_str() {
                continue;
            }
            let next = changes.get(place + 1).map(|next| next.at);
            let ends = change.expires_after.filter(|ends| *ends > 0).map(UnixMs);
            let until = match (next, ends) {
                (Some(next), Some(ends)) => Some(next.min(ends)),
                (next, ends) => next.or(ends),
            };
            let span = Span {
                from: change.at.max(start),
                until,
            };
            let is_visible = span.from < end && span.until.is_none_or(|until| until > span.from);
            if is_visible {
                add_span(&mut self.valid, span);
            }
        }
    }

    /// Adds beginnings and ends of cooldowns, oldest first. Each lasts until the next of them.
    pub(crate) fn add_cooldowns(&mut self, events: &[Event], bounds: &[UnixMs]) {
        let (Some(start), Some(end)) = (bounds.first().copied(), bounds.last().copied()) else {
            return;
        };
        for (place, event) in events.iter().enumerate() {
            let Some(until) = cooldown_until(event) else {
                continue;
            };
            let next = events.get(place + 1).map(|next| next.at);
            let until = next.map_or(until, |next| next.min(until));
            let from = event.at.max(start);
            if from < end && from < until {
                let until = Some(until);
                add_span(&mut self.cooldowns, Span { from, until });
            }
        }
    }
}

/// Adds a span that begins where the last one does or later; they are one if there is no gap.
fn add_span(spans: &mut Vec<Span>, span: Span) {
    match spans.last_mut() {
        Some(last) if last.until.is_none_or(|until| until >= span.from) => {
            last.until = match (last.until, span.until) {
                (Some(before), Some(until)) => Some(before.max(until)),
                _ => None,
            };
        }
        _ => spans.push(span),
    }
}

/// Until when a credential is not to be used, as the event says; nothing if it says that it may be.
pub(crate) fn cooldown_until(event: &Event) -> Option<UnixMs> {
    if *event.kind != *EventKind::CooldownSet.as_str() {
        return None;
    }
    let detail = event.detail.as_deref().unwrap_or_default();
    let detail: serde_json::Value = serde_json::from_str(detail).unwrap_or_default();
    detail["until"].as_i64().map(UnixMs)
}
