//! `--agent`: which agent's credentials a command is about.

use clap::Args;
use clawkeep::config::{AgentRef, status_agent};
use clawkeep::domain::AgentName;

use crate::context::Context;
use crate::failure::Failure;

/// Which agent's credentials.
#[derive(Clone, Debug, Args)]
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
