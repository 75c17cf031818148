//! The credential that a word names: by its provider, its id or a part of it, of whichever agent
//! has it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use clawkeep::internal::client::Request;
use clawkeep::internal::domain::{AgentName, ProviderId};
use clawkeep::internal::vault::{StoredCredential, Vault};

use crate::commands::logins::held_by::held_by_of;
use crate::commands::logins::rows::LoadedAgents;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::named::{Named, Names};
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::text::{shown_id, shown_ids};

/// What a word requests. Selects the agent that has it, if none was named and the default one does
/// not, with a note.
pub(crate) fn request_for(
    context: &Context,
    word: &str,
    agent: &mut AgentOption,
) -> Result<Request, Failure> {
    let default = agent.clone();
    let request = find_request(context, word, agent)?;
    note_other_agent(context, &default, agent)?;
    Ok(request)
}

/// What is requested where nothing is named: the provider of the configured default model, else
/// the only one that has credentials; of several, Anthropic, the gateway's default.
pub(crate) fn default_request(
    context: &Context,
    agent: &mut AgentOption,
) -> Result<Request, Failure> {
    let models = &context.settings()?.models;
    let default = models.default_ref().provider;
    if is_called_as_gateway() || models.text.primary.is_some() {
        return Ok(Request::Provider(default));
    }
    if stored(context).is_empty() {
        // Stores may have credentials that the vault has not read yet.
        let mut vault = context.vault()?;
        LoadedAgents::load(context, &mut vault, None)?;
    }
    let name = agent.resolve(context)?.name;
    let (own, others): (Vec<_>, Vec<_>) = stored(context)
        .into_iter()
        .partition(|held| held.agent == name.as_str());
    let held = match own.is_empty() && !agent.is_named() {
        true => others,
        false => own,
    };
    let providers: BTreeSet<String> = held.into_iter().map(|held| held.provider).collect();
    if providers.is_empty() || providers.contains(default.as_str()) {
        return Ok(Request::Provider(default));
    }
    let mut several = providers.iter();
    if let (Some(only), None) = (several.next(), several.next()) {
        let provider = ProviderId::new(only);
        if !agent.is_named() {
            let before = agent.clone();
            select_agent_with(context, agent, &provider)?;
            note_other_agent(context, &before, agent)?;
        }
        return Ok(Request::Provider(provider));
    }
    Err(Failure::UnknownName {
        what: "no provider is named, and several have credentials".to_owned(),
        next: format!(
            "Name one of them: {}",
            shown_ids(providers.iter().map(String::as_str))
        ),
    })
}

/// Reports that another agent than the default one was selected.
fn note_other_agent(
    context: &Context,
    default: &AgentOption,
    selected: &AgentOption,
) -> Result<(), Failure> {
    if default.is_named() || !selected.is_named() {
        return Ok(());
    }
    let (default, selected) = (
        default.resolve(context)?.name,
        selected.resolve(context)?.name,
    );
    context.ui.note(&format!(
        "Note: agent {} has it; {} has none.",
        shown_id(selected.as_str()),
        shown_id(default.as_str())
    ));
    Ok(())
}

fn find_request(
    context: &Context,
    word: &str,
    agent: &mut AgentOption,
) -> Result<Request, Failure> {
    let only = agent.is_named().then(|| agent.resolve(context));
    let only = only.transpose()?.map(|agent| agent.name);
    let found = match find(context, word, only.as_ref())? {
        Some(found) => found,
        None => {
            // Stores may have credentials that the vault has not read yet.
            let mut vault = context.vault()?;
            LoadedAgents::load(context, &mut vault, None)?;
            let names = names(context, Some(&vault), only.as_ref())?;
            names.find(word)?.ok_or_else(|| names.unknown(word))?
        }
    };
    match found {
        Named::Provider(provider) => {
            if only.is_none() {
                select_agent_with(context, agent, &provider)?;
            }
            Ok(Request::Provider(provider))
        }
        Named::Id(id) => {
            if only.is_none() && !has(context, agent, |held| held.profile == id)? {
                let mut vault = context.vault()?;
                let held = held_by_of(context, &mut vault, &id)?;
                if let Some(first) = held.agents.first() {
                    agent.select(&first.name);
                }
            }
            Ok(Request::Profile(id))
        }
    }
}

/// What each of several words requests, all of one agent: that is selected.
pub(crate) fn requests_for<'w>(
    context: &Context,
    words: impl Iterator<Item = Cow<'w, str>>,
    agent: &mut AgentOption,
) -> Result<Vec<Request>, Failure> {
    let mut requests = Vec::new();
    let mut selected: Option<(Cow<'_, str>, AgentOption)> = None;
    for word in words {
        let mut own = agent.clone();
        let request = find_request(context, &word, &mut own)?;
        let (now, before) = (own.resolve(context)?.name, &selected);
        if let Some((first, before)) = before {
            let before = before.resolve(context)?.name;
            if before != now {
                return Err(Failure::UnknownName {
                    what: format!(
                        "the credentials are not of one agent: {} is of {before}, {} of {now}",
                        shown_id(first),
                        shown_id(&word)
                    ),
                    next: "Name credentials of one agent, with --agent ID".to_owned(),
                });
            }
        } else {
            selected = Some((word, own));
        }
        if !requests.contains(&request) {
            requests.push(request);
        }
    }
    if let Some((_, selected)) = selected {
        note_other_agent(context, agent, &selected)?;
        *agent = selected;
    }
    Ok(requests)
}

/// Whether a word names a provider or a stored credential, as far as the vault can be read without
/// its key.
pub(crate) fn is_name(context: &Context, word: &str) -> Result<bool, Failure> {
    match find(context, word, None) {
        Err(Failure::UnknownName { .. }) => Ok(true), // several
        found => Ok(found?.is_some()),
    }
}

fn names(
    context: &Context,
    vault: Option<&Vault>,
    only: Option<&AgentName>,
) -> Result<Names, Failure> {
    Names::of(context, vault, only.map(AgentName::as_str))
}

/// The vault as it is, without its key; none where there is none yet.
fn glance(context: &Context) -> Option<Vault> {
    Vault::glance(&context.layout.vault_file).ok()
}

fn find(context: &Context, word: &str, only: Option<&AgentName>) -> Result<Option<Named>, Failure> {
    names(context, glance(context).as_ref(), only)?.find(word)
}

fn stored(context: &Context) -> Vec<StoredCredential> {
    let stored = glance(context).and_then(|vault| vault.list_credentials().ok());
    stored.unwrap_or_default()
}

/// Whether the agent that a command would use has such a credential.
fn has(
    context: &Context,
    agent: &AgentOption,
    is_it: impl Fn(&StoredCredential) -> bool,
) -> Result<bool, Failure> {
    let agent = agent.resolve(context)?.name;
    let stored = stored(context);
    let mut of_agent = stored.iter().filter(|held| held.agent == agent.as_str());
    Ok(of_agent.any(is_it))
}

/// Selects the only agent that has a credential of a provider, where the default one has none.
fn select_agent_with(
    context: &Context,
    agent: &mut AgentOption,
    provider: &ProviderId,
) -> Result<(), Failure> {
    let is_of = |held: &StoredCredential| held.provider == provider.as_str();
    if has(context, agent, is_of)? {
        return Ok(());
    }
    let agents: BTreeSet<String> = stored(context)
        .into_iter()
        .filter(is_of)
        .map(|held| held.agent)
        .collect();
    let mut agents = agents.into_iter();
    match (agents.next(), agents.next()) {
        (Some(only), None) => agent.select(&AgentName::from_stored(only)),
        (Some(first), Some(second)) => {
            let names: Vec<String> = [first, second].into_iter().chain(agents).collect();
            return Err(Failure::UnknownName {
                what: format!(
                    "agent {} has no credential of {provider}, and several others have one",
                    shown_id(agent.resolve(context)?.name.as_str())
                ),
                next: format!(
                    "Name the agent: --agent, one of {}",
                    shown_ids(names.iter().map(String::as_str))
                ),
            });
        }
        (None, _) => {} // the command says that there is none
    }
    Ok(())
}
