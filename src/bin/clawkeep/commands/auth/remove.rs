//! `models auth remove`: removes a credential from the store, the orders and the configuration.

use clap::Args;
use clawkeep::internal::audit::Origin;
use clawkeep::internal::client::without;
use clawkeep::internal::config::{AgentRef, ConfigEdit};
use clawkeep::internal::domain::{
    Credential, CredentialType, Owner, ProfileId, Section, normalize_provider,
};
use clawkeep::internal::export::{StorePlace, StoreReading};
use clawkeep::internal::sync::plan::{Decision, KeepReason};
use clawkeep::internal::sync::{Edited, Loaded};
use clawkeep::internal::vault::UnlockedVault;
use serde_json::json;

use super::{checks, edit, restore};
use crate::commands::connect::asked_key::keyless_programs;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::terminal::prompt;
use crate::terminal::text::shown_id;

/// Remove a credential.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep models auth remove anthropic:manual         asks first\n  \
        clawkeep models auth remove anthropic:manual --yes"
)]
pub(crate) struct Remove {
    /// The profile
    #[arg(value_name = "ID")]
    id: String,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    agent: AgentOption,
}

impl Remove {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let mut vault = context.vault()?;
        remove(context, &mut vault, (&[agent], &self.id), self.yes)
    }
}

/// Removes a credential from each of the agents, which all have it; asks once, unless `is_agreed`.
pub(crate) fn remove(
    context: &Context,
    vault: &mut UnlockedVault,
    (agents, id): (&[AgentRef], &str),
    is_agreed: bool,
) -> Result<(), Failure> {
    let mut found = Vec::new();
    for agent in agents {
        // the change loads again, and reports
        let loaded = context.load_silently(vault, agent)?;
        let id = ids::id_in(&loaded.doc, id);
        let credential = loaded.doc.credential(id);
        let credential = credential.ok_or_else(|| checks::missing(&loaded.doc, agent, id))?;
        check_owner(&loaded, id)?;
        let what = format!("{} ({})", shown_id(id), described(&credential));
        found.push((agent, id.to_owned(), what));
    }
    if let Some((_, _, what)) = found.first().filter(|_| !is_agreed) {
        if !prompt::is_possible() {
            return Err(Failure::BadArgument(format!(
                "removing {what} needs confirmation, and there is no terminal to ask on; pass \
                 --yes"
            )));
        }
        let names: Vec<&str> = agents.iter().map(|agent| agent.name.as_str()).collect();
        let agents = if names.len() == 1 { "agent" } else { "agents" };
        let question = format!("Remove {what} from {agents} {}?", names.join(", "));
        if !prompt::confirm(&question, false)? {
            context.ui.note("Nothing was removed.");
            return Ok(());
        }
    }
    let before = keyless_programs(context, vault)?;
    for (agent, id, what) in &found {
        remove_from(context, vault, agent, (id, what))?;
    }
    let agents: Vec<&str> = agents.iter().map(|agent| agent.name.as_str()).collect();
    let removed = found.first().map(|(_, id, _)| id);
    for keyless in keyless_programs(context, vault)? {
        if !before.contains(&keyless) {
            context.ui.warn(&keyless.warning());
        }
    }
    context
        .ui
        .done("", &json!({"removed": removed, "agents": agents}))
}

fn remove_from(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: &AgentRef,
    (id, what): (&str, &str),
) -> Result<(), Failure> {
    let loaded = edit::edit_store(context, vault, agent, |doc| {
        let (after, events) = without(doc, id);
        Ok(Edited::to(after, events).by("remove", Origin::Clawkeep))
    })?;
    let done = format!("{what} is removed from agent {}", agent.name);
    let recorded = if is_elsewhere(context, vault, agent, id)? {
        Ok(String::new())
    } else {
        let edit = ConfigEdit::Remove {
            id: ProfileId::new(id),
        };
        edit::record_in_config(context, &edit, &done)
    };
    let undo = restore::undo(context, vault, agent, id)?;
    let removed = |updated: &str| match context.ui.is_json {
        true => Ok(()), // one answer for all agents
        false => {
            let text = format!("Removed {what} from agent {}.\n{updated}", agent.name);
            context.ui.answer(&text)
        }
    };
    edit::conclude(context, loaded, recorded, removed)?;
    if !undo.is_empty() {
        context.ui.note(&undo);
    }
    Ok(())
}

/// Provider and kind, as the reference names them.
pub(crate) fn described(credential: &Credential<'_>) -> String {
    match credential.kind {
        CredentialType::Unreadable => "an entry that cannot be read".to_owned(),
        kind => format!(
            "{}/{}",
            normalize_provider(credential.provider),
            kind.as_str()
        ),
    }
}

/// Refuses a login that another program still has: the next command would import it again.
fn check_owner(loaded: &Loaded, id: &str) -> Result<(), Failure> {
    let is_gone = |why: &KeepReason| {
        matches!(
            why,
            KeepReason::SourceAbsent
                | KeepReason::SourceLoggedOut
                | KeepReason::SourceDamaged
                // Another login comes in its place, which is what removing it is for.
                | KeepReason::StoredLater
                | KeepReason::OtherAccount
                | KeepReason::OtherPlace
        )
    };
    let comes_back = loaded
        .planned
        .iter()
        .filter(|planned| planned.profile == id)
        .any(|planned| match &planned.decision {
            Decision::Keep { why } => !is_gone(why),
            _ => true,
        });
    if !comes_back {
        return Ok(());
    }
    let owner = Owner::of(id);
    let (program, logout) = (
        owner.program(),
        owner.mirror().map_or("", |mirror| mirror.log_out),
    );
    Err(Failure::Refused {
        what: format!("{id} is {program}'s login and would be imported again by the next command"),
        next: format!("Log out there first ({logout}), then remove it."),
    })
}

/// Whether another agent has a profile of that id, in the vault or in a store that was never read:
/// the configuration covers all agents.
fn is_elsewhere(
    context: &Context,
    vault: &UnlockedVault,
    agent: &AgentRef,
    id: &str,
) -> Result<bool, Failure> {
    for name in vault.agents()? {
        if name != agent.name && vault.agent(&name)?.doc.get(Section::Profiles, id).is_some() {
            return Ok(true);
        }
    }
    for other in context.every_agent(vault)? {
        let has = |reading: &StoreReading| {
            matches!(reading, StoreReading::Parsed { doc,
            .. } if doc.get(Section::Profiles, id).is_some())
        };
        let reading = StorePlace::of_agent(&other.dir).and_then(|place| place.read());
        if other.dir != agent.dir && reading.is_ok_and(|reading| has(&reading)) {
            return Ok(true);
        }
    }
    Ok(false)
}
