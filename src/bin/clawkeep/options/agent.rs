//! `--agent`: which agent's credentials a command is about.

use clap::Args;
use clawkeep::internal::config::{AgentRef, status_agent};
use clawkeep::internal::domain::AgentName;
use clawkeep::internal::vault::UnlockedVault;

use crate::context::Context;
use crate::failure::Failure;
use crate::options::named::mistypes;
use crate::terminal::text::{shown_id, shown_ids};

/// Which agent's credentials.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AgentOption {
    /// The agent [default: $CLAWDBOT_AGENT_DIR, else main]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

/// Which agents' credentials: one agent's, or those of all.
#[derive(Clone, Debug, Args)]
pub(crate) struct AgentsOption {
    /// Only this agent [default: every agent]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

/// Refuses an agent that was named and does not exist, with the names that are like it.
pub(crate) fn check_exists(
    context: &Context,
    vault: &UnlockedVault,
    agent: &AgentRef,
) -> Result<(), Failure> {
    if !context.is_unknown(vault, agent)? {
        return Ok(());
    }
    let every = context.every_agent(vault)?;
    let names: Vec<&str> = every.iter().map(|agent| agent.name.as_str()).collect();
    let is_near = |name: &&&str| mistypes(name, agent.name.as_str()).is_some();
    let near: Vec<&str> = names.iter().filter(is_near).copied().collect();
    Err(Failure::UnknownName {
        what: format!("there is no agent {}", shown_id(agent.name.as_str())),
        next: match near.as_slice() {
            [] => format!("The agents: {}", shown_ids(names.into_iter())),
            near => format!("Did you mean {}?", shown_ids(near.iter().copied())),
        },
    })
}

impl AgentOption {
    /// The agent of a step-by-step command, which asks for none.
    pub(crate) const DEFAULT: Self = Self { agent: None };

    pub(crate) fn is_named(&self) -> bool {
        self.agent.is_some()
    }

    /// Names an agent in place of the default one.
    pub(crate) fn select(&mut self, agent: &AgentName) {
        self.agent = Some(agent.as_str().to_owned());
    }

    pub(crate) fn resolve(&self, context: &Context) -> Result<AgentRef, Failure> {
        let settings = context.settings()?;
        let id = self.agent.as_deref();
        Ok(status_agent(&context.layout, settings, &context.env, id))
    }
}

impl AgentsOption {
    /// The agent that was named.
    pub(crate) fn named(&self, context: &Context) -> Result<Option<AgentRef>, Failure> {
        let agent = AgentOption {
            agent: self.agent.clone(),
        };
        agent.is_named().then(|| agent.resolve(context)).transpose()
    }
}
