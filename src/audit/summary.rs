//! What many events come to: uses, refreshes, and a timeline, a profile each. Values only; the vault counts.

use std::sync::Arc;

use crate::domain::UnixMs;

/// Whom a summary is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Whose {
    /// The agent.
    pub agent: Option<Arc<str>>,
    /// The profile.
    pub profile: Arc<str>,
}

/// A program that did something, as it called itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Doer {
    /// Where the news of it came from: `clawkeep`, or another program's file.
    pub origin: Arc<str>,
    /// The program.
    pub program: Arc<str>,
    /// The program that started it, where the system told.
    pub parent: Option<Arc<str>>,
    /// The host.
    pub host: Arc<str>,
    /// The user id.
    pub uid: i64,
}

/// The uses of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uses {
    /// Whose.
    pub whose: Whose,
    /// The provider, as last recorded.
    pub provider: Option<Arc<str>>,
    /// How many uses were recorded.
    pub count: u64,
    /// How often the provider refused it.
    pub failures: u64,
    /// The first and the last use that was recorded; none where it only failed.
    pub span: Option<(UnixMs, UnixMs)>,
    /// Who used it and how often, the most frequent first.
    pub by: Vec<(Doer, u64)>,
}

/// The refreshes of a profile, its owner's included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshes {
    /// Whose.
    pub whose: Whose,
    /// The provider, as last recorded.
    pub provider: Option<Arc<str>>,
    /// How many brought a new token.
    pub succeeded: u64,
    /// How many brought none.
    pub failed: u64,
    /// From a new token to its end: the mean over those that have one, in milliseconds.
    pub mean_lifetime_ms: Option<i64>,
    /// The last that brought a new token.
    pub last: Option<UnixMs>,
    /// When the token that it brought ends: the next is due before.
    pub due: Option<UnixMs>,
    /// The last that failed.
    pub last_failure: Option<UnixMs>,
}

/// A credential as it was at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Whose.
    pub whose: Whose,
    /// The provider, as recorded with the change.
    pub provider: Option<Arc<str>>,
    /// The change that put it there.
    pub since: UnixMs,
    /// Its fingerprint.
    pub token: Option<Vec<u8>>,
    /// When it ends, in milliseconds since the epoch.
    pub expires: Option<i64>,
    /// The last use before that time, and by whom.
    pub last_used: Option<(UnixMs, Doer)>,
}

/// What happened to credentials over time, in equal parts of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Where the parts begin and end: one more than there are parts.
    pub bounds: Vec<UnixMs>,
    /// A lane a profile.
    pub lanes: Vec<Lane>,
}

/// One profile over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Whose.
    pub whose: Whose,
    /// The provider, as last recorded.
    pub provider: Option<Arc<str>>,
    /// When there was a credential that had not ended, oldest first, apart from each other.
    pub valid: Vec<Span>,
    /// New tokens, a part of the time each.
    pub refreshes: Vec<u64>,
    /// Refreshes and uses that failed.
    pub failures: Vec<u64>,
    /// Uses.
    pub uses: Vec<u64>,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From then on.
    pub from: UnixMs,
    /// Until before then; none: without an end.
    pub until: Option<UnixMs>,
}
