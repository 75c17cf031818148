//! `--agent`: which agent's credentials a command is about.

use clap::Args;
use clawkeep::config::{AgentRef, status_agent};

use crate::context::Context;
use crate::failure::Failure;

/// Which agent's credentials.
#[derive(Debug, Args)]
pub(crate) struct AgentOption {
    /// The agent [default: $CLAWDBOT_AGENT_DIR, else main]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

impl AgentOption {
    /// The agent of a step-by-step command, which asks for none.
    pub(crate) const DEFAULT: Self = Self { agent: None };

    pub(crate) fn is_named(&self) -> bool {
        self.agent.is_some()
    }

    pub(crate) fn resolve(&self, context: &Context) -> Result<AgentRef, Failure> {
        let settings = context.settings()?;
        let id = self.agent.as_deref();
        Ok(status_agent(&context.layout, settings, &context.env, id))
    }
}
