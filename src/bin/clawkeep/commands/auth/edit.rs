//! Changes an agent's credentials in vault, store and configuration, and reports the result.

use clawkeep::internal::config::{AgentRef, ConfigChange, ConfigEdit, edit_config};
use clawkeep::internal::domain::{
    Credential, CredentialType, Owner, ProfileId, ProviderId, StoreDoc,
};
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

/// Names a stored credential in the gateway's configuration, where the gateway would pass it over
/// because the configuration names other profiles of its provider; also the only one of its
/// provider, so that it stays named when others are added. Nothing where it is named already, and
/// where naming it would keep the gateway from trying others. Returns the reference's line.
pub(crate) fn name_in_config(
    context: &Context,
    doc: &StoreDoc,
    id: &str,
    done: &str,
) -> Result<String, Failure> {
    let Some(credential) = doc.credential(id).filter(Credential::is_readable) else {
        return Ok(String::new());
    };
    let provider = ProviderId::new(credential.provider);
    let named = context.settings()?.profiles_of(&provider);
    let is_only = doc.profiles_of(provider.as_str()).len() == 1;
    let is_named = named.iter().any(|other| other.as_str() == id);
    let is_passed_over = !named.is_empty() || is_only;
    if is_named || !is_passed_over || !exists(&context.layout.config_file) {
        return Ok(String::new());
    }
    let edit = ConfigEdit::Name {
        id: ProfileId::new(id),
        provider,
        mode: match Owner::of(id) {
            Owner::Vault => credential.kind,
            _ => CredentialType::OAuth, // as the reference records a mirrored login
        },
    };
    record_in_config(context, &edit, done)
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
