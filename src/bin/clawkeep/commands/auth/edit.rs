//! Changes an agent's credentials in vault, store and configuration, and reports the result.

use clawkeep::internal::config::{AgentRef, ConfigChange, ConfigEdit, edit_config};
use clawkeep::internal::domain::StoreDoc;
use clawkeep::internal::platform::exists;
use clawkeep::internal::platform::openclaw::openclaw_dir_of;
use clawkeep::internal::sync::{Edited, Loaded};
use clawkeep::internal::vault::UnlockedVault;

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::text::shown_id;

/// Reports which agent a credential was stored for; under the reference's name nothing, as there.
pub(crate) fn note_agent(context: &Context, agent: &AgentRef) -> Result<(), Failure> {
    if is_called_as_gateway() {
        return Ok(());
    }
    let default = context.settings()?.default_agent();
    let other = if default == agent.name {
        String::new()
    } else {
        format!(" The configured default agent is {default}; to store it there: --agent {default}.")
    };
    context.ui.note(&format!(
        "Stored for agent {} ({}).{other}",
        shown_id(agent.name.as_str()),
        context.layout.shorten_home(&agent.dir)
    ));
    Ok(())
}

/// Changes an agent's document and reports the result.
pub(crate) fn edit_store(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: &AgentRef,
    change: impl Fn(&StoreDoc) -> Result<Edited, Failure>,
) -> Result<Loaded, Failure> {
    let mode = context.mode_for(vault, agent)?;
    let loaded = context.with_engine(vault, |engine| engine.edit(agent, mode, change))?;
    context.report_load(&loaded);
    Ok(loaded)
}

/// Records in the gateway's configuration the change that `done` describes; returns the reference's
/// line for it.
pub(crate) fn record_in_config(
    context: &Context,
    edit: &ConfigEdit,
    done: &str,
) -> Result<String, Failure> {
    let path = &context.layout.config_file;
    // A new file in a directory of OpenClaw's would be a configuration that OpenClaw does not use,
    // and one in clawkeep's own directory is for no gateway.
    let is_ours = path.parent() == Some(&*context.layout.data_dir);
    if !exists(path) && (is_ours || openclaw_dir_of(path).is_some()) {
        return Ok(String::new());
    }
    let changed = edit_config(path, edit).map_err(|source| Failure::ConfigEdit {
        done: done.to_owned(),
        source,
    })?;
    Ok(match changed {
        ConfigChange::Written => format!("Updated {}\n", context.layout.shorten_home(path)),
        ConfigChange::None => String::new(),
    })
}

/// Finishes a command that stored something and then changed the configuration: prints the answer,
/// then the store's failure, then the configuration's.
pub(crate) fn conclude(
    context: &Context,
    loaded: Loaded,
    recorded: Result<String, Failure>,
    answer: impl FnOnce(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (line, trouble) = match recorded {
        Ok(line) => (line, None),
        Err(failure) => (String::new(), Some(failure)),
    };
    let answered = answer(&line);
    context.verdict(loaded)?;
    trouble.map_or(answered, Err)
}
