//! Checks of an agent and a profile before a credential is changed.

use std::collections::BTreeMap;

use crate::advice::shell_word;
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{AgentName, Borrowed, Credential, Owner, ProfileId, StoreDoc};
use clawkeep::internal::sync::Loaded;
use clawkeep::internal::vault::UnlockedVault;

use crate::context::Context;
use crate::failure::Failure;
use crate::options::named::Names;
use crate::terminal::program_name::everyday_or;
use crate::terminal::text::{one_line, shown_id};

/// Refuses an unknown agent, which is most likely mistyped: nothing is stored for it.
pub(crate) fn check_known(
    context: &Context,
    vault: &UnlockedVault,
    agent: &AgentRef,
) -> Result<(), Failure> {
    if !context.is_unknown(vault, agent)? {
        return Ok(());
    }
    Err(Failure::UnknownName {
        what: format!(
            "there is no agent {} (no directory {})",
            agent.name,
            agent.dir.display()
        ),
        next: "Name one that is there, add it to agents.list of the configuration, or make its \
            directory."
            .to_owned(),
    })
}

/// The readable credential `id`, or why there is none.
pub(crate) fn existing_of<'d>(
    loaded: &'d Loaded,
    agent: &AgentRef,
    id: &str,
) -> Result<Credential<'d>, Failure> {
    if loaded.damage.hides(id, &loaded.doc) {
        let rows = loaded.unopened.clone();
        return Err(Failure::Unopened { rows });
    }
    existing(&loaded.doc, agent, id)
}

/// As [`existing_of`], of a document in which nothing is damaged.
pub(crate) fn existing<'d>(
    doc: &'d StoreDoc,
    agent: &AgentRef,
    id: &str,
) -> Result<Credential<'d>, Failure> {
    doc.credential(id)
        .filter(Credential::is_readable)
        .ok_or_else(|| missing(doc, agent, id))
}

pub(crate) fn missing(doc: &StoreDoc, agent: &AgentRef, id: &str) -> Failure {
    let list = list_hint(agent);
    Failure::Refused {
        what: format!(
            "Auth profile \"{}\" not found in {}.",
            shown_id(id),
            agent.dir.display()
        ),
        next: match Names::of_store(doc).did_you_mean(id) {
            Some(question) => format!("{question} {list}"),
            None => list,
        },
    }
}

pub(crate) fn list_hint(agent: &AgentRef) -> String {
    // One that no id leads to is known by its directory, which CLAWDBOT_AGENT_DIR names.
    let agent_option = if agent.name.is_path() {
        String::new()
    } else {
        format!(" --agent {}", agent.name)
    };
    let list = everyday_or("clawkeep ls", "clawkeep models auth list");
    format!("See the ids with: {list}{agent_option}")
}

/// The option that names an agent in a command to type; none where the command takes it by itself.
pub(crate) fn agent_option(agent: &AgentRef) -> String {
    match agent.name.is_path() || agent.name == AgentName::default() {
        true => String::new(),
        false => format!(" --agent {}", shell_word(agent.name.as_str())),
    }
}

/// The option that names the id in the commands below `models auth`.
pub(crate) const ID_OPTION: &str = "--profile-id";

/// Refuses to replace a reference by a secret: the person who wrote the reference would miss it.
pub(crate) fn check_no_reference(doc: &StoreDoc, id: &str, id_option: &str) -> Result<(), Failure> {
    let credential = doc.credential(id);
    let Some(reference) = credential.as_ref().and_then(Credential::reference) else {
        return Ok(());
    };
    Err(Failure::Refused {
        what: format!(
            "{} holds a reference ({}), which is not replaced by a secret",
            shown_id(id),
            one_line(&reference.describe())
        ),
        next: format!(
            "Choose another id with {id_option}; or remove the reference first: {} {}",
            everyday_or("clawkeep rm", "clawkeep models auth remove"),
            shell_word(id)
        ),
    })
}

/// Refuses a profile that mirrors another program's login: the next sync would overwrite it.
pub(crate) fn check_not_borrowed(
    borrowed: &BTreeMap<String, Borrowed>,
    id: &ProfileId,
    id_option: &str,
) -> Result<(), Failure> {
    let from = borrowed.get(id.as_str());
    let owner = Borrowed::owner_of(from, id.as_str());
    let refresh = match (owner.mirror(), from) {
        _ if owner == Owner::Vault => return Ok(()),
        (Some(mirror), None) => format!("Refresh that login with: {}", mirror.hint),
        _ => from.map(Borrowed::how_to_refresh).unwrap_or_default(),
    };
    Err(Failure::Refused {
        what: format!(
            "{id} mirrors another program's login ({}), which would replace what is stored there",
            owner.program()
        ),
        next: format!(
            "{}; or choose another id with {id_option}.",
            refresh.trim_end_matches('.')
        ),
    })
}
