//! Which agents a command on a credential acts on.

use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::Fingerprint;
use clawkeep::internal::vault::UnlockedVault;

use super::rows::{LoadedAgents, login_of};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentsOption;
use crate::options::named::Names;
use crate::terminal::text::{shown_id, shown_ids};

/// A credential that was named, and the agents that have it.
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) agents: Vec<AgentRef>,
}

/// Finds the credential that a word names: of the named agent, else of every agent that has the
/// same login under that id.
pub(crate) fn held_by(
    context: &Context,
    vault: &mut UnlockedVault,
    word: &str,
    agents: &AgentsOption,
) -> Result<Held, Failure> {
    held_by_any(context, vault, word, agents.named(context)?)
}

/// Finds the credential with an id, and every agent that has it.
pub(crate) fn held_by_of(
    context: &Context,
    vault: &mut UnlockedVault,
    id: &str,
) -> Result<Held, Failure> {
    held_by_any(context, vault, id, None)
}

fn held_by_any(
    context: &Context,
    vault: &mut UnlockedVault,
    word: &str,
    named: Option<AgentRef>,
) -> Result<Held, Failure> {
    let only = named.as_ref().map(|agent| agent.name.as_str().to_owned());
    // Stores may have credentials that the vault has not read yet.
    let all = LoadedAgents::load(context, vault, named)?;
    for (_, loaded) in &all.loaded {
        context.report_new_first(loaded); // the change loads again, and reports the rest
    }
    let names = Names::of(context, Some(vault), only.as_deref())?;
    let id = names.find_id(word)?.ok_or_else(|| names.unknown(word))?;
    // OpenClaw's agents are not changed here: one counts if no agent of ours has it.
    let is_ours = |agent: &AgentRef| agent.name.openclaw_id().is_none();
    let mut holders = all.loaded.iter();
    let is_held =
        holders.any(|(agent, loaded)| is_ours(agent) && loaded.doc.credential(&id).is_some());
    let mut logins: Vec<(Option<Fingerprint>, Vec<AgentRef>)> = Vec::new();
    for (agent, loaded) in all.loaded {
        let Some(credential) = loaded
            .doc
            .credential(&id)
            .filter(|_| !is_held || is_ours(&agent))
        else {
            continue;
        };
        let login = login_of(vault, &credential);
        match logins.iter_mut().find(|(known, _)| *known == login) {
            Some((_, agents)) => agents.push(agent),
            None => logins.push((login, vec![agent])),
        }
    }
    if logins.len() > 1 {
        let each = logins.iter().map(|(_, agents)| {
            let names = agents.iter().map(|agent| agent.name.as_str());
            format!("one of {}", shown_ids(names))
        });
        return Err(Failure::UnknownName {
            what: format!(
                "{} is not the same credential for every agent: {}",
                shown_id(&id),
                each.collect::<Vec<_>>().join("; ")
            ),
            next: "Name the agent: --agent ID".to_owned(),
        });
    }
    match logins.pop() {
        Some((_, agents)) => Ok(Held { id, agents }),
        None => Err(names.unknown(word)),
    }
}
