//! The credential that a word names: by its provider, its id or a part of it, of whichever agent
//! has it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use clawkeep::internal::client::Request;
use clawkeep::internal::domain::{AgentName, ProviderId};
use clawkeep::internal::vault::{StoredCredential, Vault};

use super::opened::OpenedVault;
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
    vault: &mut OpenedVault,
    word: &str,
    agent: &mut AgentOption,
) -> Result<Request, Failure> {
    let default = agent.clone();
    let request = find_request(context, vault, word, agent)?;
    note_other_agent(context, &default, agent)?;
    Ok(request)
}

/// What is requested where nothing is named: the provider of the configured default model, else
/// the only one that has credentials; of several, Anthropic, the gateway's default.
pub(crate) fn default_request(
    context: &Context,
    vault: &mut OpenedVault,
    agent: &mut AgentOption,
) -> Result<Request, Failure> {
    let models = &context.settings()?.models;
    let default = models.default_ref().provider;
    if is_called_as_gateway() || models.text.primary.is_some() {
        return Ok(Request::Provider(default));
    }
    let mut held = stored(context, vault);
    if held.is_empty() {
        // Stores may have credentials that the vault has not read yet.
        LoadedAgents::load(context, vault.unlock(context)?, None)?;
        held = stored(context, vault);
    }
    let name = agent.resolve(context)?.name;
    let (own, others): (Vec<_>, Vec<_>) = held
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
            select_agent_with(context, vault, agent, &provider)?;
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
    vault: &mut OpenedVault,
    word: &str,
    agent: &mut AgentOption,
) -> Result<Request, Failure> {
    let only = agent.is_named().then(|| agent.resolve(context));
    let only = only.transpose()?.map(|agent| agent.name);
    let found = match find(context, vault, word, only.as_ref())? {
        Some(found) => found,
        None => {
            // Stores may have credentials that the vault has not read yet.
            let vault = vault.unlock(context)?;
            LoadedAgents::load(context, vault, None)?;
            let names = names(context, Some(vault), only.as_ref())?;
            names.find(word)?.ok_or_else(|| names.unknown(word))?
        }
    };
    match found {
        Named::Provider(provider) => {
            if only.is_none() {
                select_agent_with(context, vault, agent, &provider)?;
            }
            Ok(Request::Provider(provider))
        }
        Named::Id(id) => {
            let is_it = |held: &StoredCredential| held.profile == id;
            if only.is_none() && !has(context, &stored(context, vault), agent, is_it)? {
                let held = held_by_of(context, vault.unlock(context)?, &id)?;
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
    vault: &mut OpenedVault,
    words: impl Iterator<Item = Cow<'w, str>>,
    agent: &mut AgentOption,
) -> Result<Vec<Request>, Failure> {
    let mut requests = Vec::new();
    let mut selected: Option<(Cow<'_, str>, AgentOption)> = None;
    for word in words {
        let mut own = agent.clone();
        let request = find_request(context, vault, &word, &mut own)?;
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
pub(crate) fn is_name(
    context: &Context,
    vault: &mut OpenedVault,
    word: &str,
) -> Result<bool, Failure> {
    match find(context, vault, word, None) {
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

fn find(
    context: &Context,
    vault: &mut OpenedVault,
    word: &str,
    only: Option<&AgentName>,
) -> Result<Option<Named>, Failure> {
    // A provider comes before a part of an id: then no credential need be read, and of one that has
    // variables not even the table of providers.
    if !word.contains(':') {
        let well_known = Names::default().find(word)?;
        let or_configured = || Names::default().with_providers(context).find(word);
        if let Some(provider) = well_known.map_or_else(or_configured, |found| Ok(Some(found)))? {
            return Ok(Some(provider));
        }
    }
    names(context, vault.vault_for_lookup(context), only)?.find(word)
}

/// The credentials in the vault; none where it cannot be read, which unlocking it reports.
fn stored(context: &Context, vault: &mut OpenedVault) -> Vec<StoredCredential> {
    let vault = vault.vault_for_lookup(context);
    let stored = vault.and_then(|vault| vault.list_credentials().ok());
    stored.unwrap_or_default()
}

/// Whether the agent that a command would use has such a credential.
fn has(
    context: &Context,
    stored: &[StoredCredential],
    agent: &AgentOption,
    is_it: impl Fn(&StoredCredential) -> bool,
) -> Result<bool, Failure> {
    let agent = agent.resolve(context)?.name;
    let mut of_agent = stored.iter().filter(|held| held.agent == agent.as_str());
    Ok(of_agent.any(is_it))
}

/// Selects the only agent that has a credential of a provider, where the default one has none.
fn select_agent_with(
    context: &Context,
    vault: &mut OpenedVault,
    agent: &mut AgentOption,
    provider: &ProviderId,
) -> Result<(), Failure> {
    let Some(vault) = vault.vault_for_lookup(context) else {
        return Ok(()); // the command says why
    };
    let default = agent.resolve(context)?.name;
    if vault.has_credential_of(&default, provider).unwrap_or(true) {
        return Ok(());
    }
    let mut agents = vault.agents_with(provider)?.into_iter();
    match (agents.next(), agents.next()) {
        (Some(only), None) => agent.select(&only),
        (Some(first), Some(second)) => {
            let names: Vec<AgentName> = [first, second].into_iter().chain(agents).collect();
            return Err(Failure::UnknownName {
                what: format!(
                    "agent {} has no credential of {provider}, and several others have one",
                    shown_id(default.as_str())
                ),
                next: format!(
                    "Name the agent: --agent, one of {}",
                    shown_ids(names.iter().map(AgentName::as_str))
                ),
            });
        }
        (None, _) => {} // the command says that there is none
    }
    Ok(())
}
