//! How each agent's store is exported, by this program's settings.

use std::path::{Path, PathBuf};

use crate::config::{AgentRef, ExportMode, OwnSettings};
use crate::export::StorePlace;

/// The export modes of all agents.
#[derive(Debug)]
pub struct ExportModes<'c> {
    /// None where they cannot be read.
    own: Option<&'c OwnSettings>,
    /// Where stores are that no gateway reads.
    data_dir: &'c Path,
    /// Every agent and its store's path; empty if all agents have the same mode.
    stores: Vec<(PathBuf, AgentRef)>,
}

impl<'c> ExportModes<'c> {
    /// Reads the modes from `own`, if it can be read. `agents` is called only if the agents' modes
    /// differ.
    pub(super) fn new(
        own: Option<&'c OwnSettings>,
        data_dir: &'c Path,
        agents: impl FnOnce() -> Vec<AgentRef>,
    ) -> Self {
        let differ = own.is_some_and(|own| !own.agents.is_empty());
        let agents = if differ { agents() } else { Vec::new() };
        let stores = agents
            .into_iter()
            .filter_map(|agent| Some((site(&agent)?, agent)));
        Self {
            own,
            data_dir,
            stores: stores.collect(),
        }
    }

    /// The mode of an agent. A store that several agents share by a link is one file, so the most
    /// open mode applies.
    #[must_use]
    pub fn of(&self, agent: &AgentRef) -> Option<ExportMode> {
        let own = self.own?;
        let all = self.sharing(agent).chain([agent]);
        all.map(|agent| own.export_of(agent, self.data_dir)).max()
    }

    /// The other agents that have the same store.
    pub(crate) fn sharing(&self, agent: &AgentRef) -> impl Iterator<Item = &AgentRef> {
        let site = (!self.stores.is_empty()).then(|| site(agent)).flatten();
        let shares = move |(other, _): &&(PathBuf, AgentRef)| Some(other) == site.as_ref();
        let found = self.stores.iter().filter(shares).map(|(_, other)| other);
        found.filter(|other| other.name != agent.name)
    }
}

fn site(agent: &AgentRef) -> Option<PathBuf> {
    let place = StorePlace::of_agent(&agent.dir).ok()?;
    Some(place.site().to_owned())
}
