//! The facts that the page shows.

use clawkeep::internal::audit::{ProfileRef, Refreshes, Timeline, Uses};
use clawkeep::internal::domain::{AgentName, UnixMs};

use crate::commands::logins::rows::Row;

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
    /// The worst first.
    pub(crate) logins: Vec<Login>,
    /// Whether the states come from the plain columns alone, without the vault's key.
    pub(crate) is_plain: bool,
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
        self.logins.is_empty()
            && self.timeline.lanes.is_empty()
            && self.uses.is_empty()
            && self.refreshes.is_empty()
    }
}

/// A login, an API key or a token, of however many agents.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) row: Row,
    /// The program that it is of, if that is not the vault.
    pub(crate) keeper: Option<&'static str>,
}

impl Login {
    /// Its profile, one for each agent that has it.
    pub(in super::super) fn profiles(&self) -> impl Iterator<Item = ProfileRef> {
        let profile = |agent: &AgentName| ProfileRef {
            agent: Some(agent.as_str().into()),
            id: self.row.id.as_str().into(),
        };
        self.row.agents.iter().map(profile)
    }
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
