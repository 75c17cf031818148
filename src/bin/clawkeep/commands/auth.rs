//! What the commands that change credentials have in common: whose, what they say, and recording it in the configuration.

use clap::Args;
use clawkeep::config::{AgentRef, ConfigChange, ConfigEdit, edit_config, status_agent};
use clawkeep::domain::{Credential, ProviderId, StoreDoc};
use clawkeep::sync::{Edited, Loaded};
use clawkeep::vault::UnlockedVault;

use crate::context::Context;
use crate::failure::Failure;

/// Which agent's credentials.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// The agent [default: $CLAWDBOT_AGENT_DIR, else main]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

impl Whose {
    /// The agent of a step-by-step command, which asks for none.
    pub(crate) const DEFAULT: Self = Self { agent: None };

    pub(crate) fn agent(&self, context: &Context) -> Result<AgentRef, Failure> {
        let settings = context.settings()?;
        let id = self.agent.as_deref();
        Ok(status_agent(&context.layout, settings, &context.env, id))
    }
}

/// A provider as an argument, which is not empty.
pub(crate) fn provider(raw: &str) -> Result<ProviderId, String> {
    let provider = ProviderId::new(raw);
    if provider.as_str().is_empty() {
        Err("a provider id is not empty".to_owned())
    } else {
        Ok(provider)
    }
}

/// The readable credential `id`, or why there is none.
pub(crate) fn existing<'d>(
    doc: &'d StoreDoc,
    agent: &AgentRef,
    id: &str,
) -> Result<Credential<'d>, Failure> {
    doc.credential(id)
        .filter(Credential::is_readable)
        .ok_or_else(|| missing(agent, id))
}

/// There is no profile `id`.
pub(crate) fn missing(agent: &AgentRef, id: &str) -> Failure {
    Failure::Refused {
        what: format!(
            "Auth profile \"{id}\" not found in {}.",
            agent.dir.display()
        ),
        next: format!(
            "See the ids with: clawkeep models auth list --agent {}",
            agent.name
        ),
    }
}

/// Changes an agent's document and says what there is to say.
pub(crate) fn edit(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: &AgentRef,
    change: impl Fn(&StoreDoc) -> Result<Edited, Failure>,
) -> Result<Loaded, Failure> {
    let mode = context.mode_for(vault, agent)?;
    let loaded = context.with_engine(vault, |engine| engine.edit(agent, mode, change))?;
    context.tell(&loaded);
    Ok(loaded)
}

/// Records a change of profiles in the gateway's configuration; says so as the reference does.
pub(crate) fn record_in_config(context: &Context, edit: &ConfigEdit) -> Result<(), Failure> {
    let path = &context.layout.config_file;
    match edit_config(path, edit).map_err(Failure::ConfigEdit)? {
        ConfigChange::Written => context
            .ui
            .answer(&format!("Updated {}\n", context.layout.shorten_home(path))),
        ConfigChange::None => Ok(()),
    }
}
