//! The facts that the page shows.

use clawkeep::internal::audit::{ProfileRef, Refreshes, Timeline, Uses};
use clawkeep::internal::domain::UnixMs;
use clawkeep::internal::health::Status;

/// The owner that the page does not name.
pub(crate) const VAULT: &str = "vault";

#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The vault's id, in hexadecimal.
    pub(crate) vault: String,
    pub(crate) version: String,
    /// When the page is made: its *now*.
    pub(crate) generated: UnixMs,
    pub(crate) since: UnixMs,
    /// End of the period, exclusive.
    pub(crate) until: UnixMs,
    pub(crate) host: String,
    pub(crate) health: Vec<HealthRow>,
    /// What happened, in [`timeline_parts`] parts.
    pub(crate) timeline: Timeline,
    pub(crate) days: DailyUse,
    pub(crate) refreshes: Vec<Refreshes>,
    pub(crate) uses: Vec<Uses>,
    pub(crate) record: RecordFacts,
}

impl Page {
    /// Whether the page has nothing to show but the record.
    pub(super) fn is_empty(&self) -> bool {
        self.health.is_empty()
            && self.timeline.lanes.is_empty()
            && self.uses.is_empty()
            && self.refreshes.is_empty()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct HealthRow {
    pub(crate) whose: ProfileRef,
    pub(crate) provider: String,
    /// `API key`, `token`, `OAuth login`.
    pub(crate) kind: &'static str,
    /// Who refreshes it: `vault`, `Claude Code`, `Codex CLI`.
    pub(crate) keeper: &'static str,
    pub(crate) status: Status,
    pub(crate) expires: Option<UnixMs>,
    /// End of its cooldown; a time in the past counts as none.
    pub(crate) cooldown_until: Option<UnixMs>,
    pub(crate) last_used: Option<UnixMs>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct DailyUse {
    /// The days, `YYYY-MM-DD`, none left out.
    pub(crate) days: Vec<String>,
    /// A count a day, each profile's.
    pub(crate) series: Vec<(ProfileRef, Vec<u64>)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct RecordFacts {
    /// All events that it has, also before the page's time.
    pub(crate) events: u64,
    /// The times of the first and of the last.
    pub(crate) range: Option<(UnixMs, UnixMs)>,
    /// The head in its one line, `clawkeep-head-1 …`; none without events.
    pub(crate) head: Option<String>,
    /// How many events were pruned, and the number of the last of them.
    pub(crate) pruned: Option<(u64, i64)>,
    /// The number of the event that this machine keeps as head.
    pub(crate) kept_head: Option<i64>,
}
