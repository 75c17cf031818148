//! Which agents there are.

use super::Workspace;
use crate::client::error::ClientError;
use crate::config::{AgentRef, existing_agents, openclaw_agents};
use crate::domain::AgentName;
use crate::platform::canonicalize;
use crate::vault::UnlockedVault;

impl Workspace {
    /// The agents that exist, those known only by their directory, as `CLAWDBOT_AGENT_DIR` names
    /// one, and those of OpenClaw.
    ///
    /// # Errors
    /// When the configuration or the vault cannot be read.
    pub fn every_agent(&self, vault: &UnlockedVault) -> Result<Vec<AgentRef>, ClientError> {
        let mut agents = existing_agents(&self.layout, self.settings()?)?;
        for name in vault.agents()? {
            let Some(dir) = name.dir() else { continue };
            let real = |dir: &std::path::PathBuf| canonicalize(dir).ok();
            let is_new = || agents.iter().all(|agent| real(&agent.dir) != real(&dir));
            if dir.is_dir() && is_new() {
                agents.push(AgentRef { name, dir });
            }
        }
        agents.extend(openclaw_agents(&self.layout));
        Ok(agents)
    }

    /// Whether an agent that was named is unknown: most likely mistyped. Its directory is not
    /// created, and nothing is written to it.
    ///
    /// # Errors
    /// As [`Workspace::every_agent`].
    pub fn is_unknown(&self, vault: &UnlockedVault, agent: &AgentRef) -> Result<bool, ClientError> {
        let by_path = agent.name.is_path();
        let is_openclaws = agent.name.openclaw_id().is_some();
        if by_path || agent.name == AgentName::default() || agent.dir.is_dir() {
            return Ok(false);
        }
        if is_openclaws {
            let mut there = openclaw_agents(&self.layout).into_iter();
            return Ok(!there.any(|known| known.name == agent.name));
        }
        let mut listed = self.settings()?.agents.iter();
        let is_listed = listed.any(|known| known.name == agent.name);
        Ok(!is_listed && !vault.agents()?.contains(&agent.name))
    }
}
