//! What the commands that change credentials have in common: whose, what they say, and recording it in the configuration.

pub(crate) mod add;
pub(crate) mod candidates;
pub(crate) mod keep;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod mark;
pub(crate) mod order;
pub(crate) mod paste;
pub(crate) mod remove;
pub(crate) mod restore;
pub(crate) mod setup_token;
pub(crate) mod trust;

use std::collections::BTreeMap;

use clap::Args;
use clawkeep::config::{AgentRef, ConfigChange, ConfigEdit, edit_config, status_agent};
use clawkeep::doctor::shell_word;
use clawkeep::domain::{Borrowed, Credential, Owner, ProfileId, ProviderId, StoreDoc};
use clawkeep::health::remaining_short;
use clawkeep::platform::exists;
use clawkeep::platform::openclaw::openclaw_dir_of;
use clawkeep::selection::Rest;
use clawkeep::sync::{Edited, Loaded};
use clawkeep::vault::UnlockedVault;

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::text::{one_line, shown_id};

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

    /// Whether one was named.
    pub(crate) fn is_named(&self) -> bool {
        self.agent.is_some()
    }

    pub(crate) fn agent(&self, context: &Context) -> Result<AgentRef, Failure> {
        let settings = context.settings()?;
        let id = self.agent.as_deref();
        Ok(status_agent(&context.layout, settings, &context.env, id))
    }
}

/// A provider as an argument, which is not empty.
pub(crate) fn provider(raw: &str) -> Result<ProviderId, String> {
    let provider = ProviderId::new(raw);
    match provider.as_str() {
        "" => Err("a provider id is not empty".to_owned()),
        id if id.contains(char::is_control) => {
            Err("a provider id has no control characters".to_owned())
        }
        _ => Ok(provider),
    }
}

/// Characters of a session's name, at most: one is an id, not a text.
const SESSION_MAX: usize = 256;

/// A session's name as an argument.
pub(crate) fn session(raw: &str) -> Result<String, String> {
    let name = raw.trim();
    if name.is_empty() || name.chars().count() > SESSION_MAX || name.contains(char::is_control) {
        return Err(format!(
            "a session's name has 1 to {SESSION_MAX} characters, none of them for control"
        ));
    }
    Ok(name.to_owned())
}

/// A profile's id as an argument, which is not empty.
pub(crate) fn profile(raw: &str) -> Result<String, String> {
    if raw.trim().is_empty() {
        return Err("a profile id is not empty".to_owned());
    }
    Ok(raw.to_owned())
}

/// An id as the store has it: as it was typed, or without the blanks around it.
pub(crate) fn id_in<'t>(doc: &StoreDoc, typed: &'t str) -> &'t str {
    match doc.credential(typed) {
        Some(_) => typed,
        None => typed.trim(),
    }
}

/// An agent that is nowhere is most likely mistyped: nothing is stored for it.
pub(crate) fn check_known(
    context: &Context,
    vault: &UnlockedVault,
    agent: &AgentRef,
) -> Result<(), Failure> {
    if !context.is_unknown(vault, agent)? {
        return Ok(());
    }
    Err(Failure::Refused {
        what: format!(
            "there is no agent {} (no directory {})",
            agent.name,
            agent.dir.display()
        ),
        next: "Name one that is there, add it to agents.list of the configuration, or make its directory."
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
        .ok_or_else(|| missing(agent, id))
}

/// There is no profile `id`.
pub(crate) fn missing(agent: &AgentRef, id: &str) -> Failure {
    Failure::Refused {
        what: format!(
            "Auth profile \"{}\" not found in {}.",
            shown_id(id),
            agent.dir.display()
        ),
        next: list_hint(agent),
    }
}

/// How to see an agent's ids.
pub(crate) fn list_hint(agent: &AgentRef) -> String {
    // One that no id leads to is known by its directory, which CLAWDBOT_AGENT_DIR names.
    let whose = if agent.name.is_path() {
        String::new()
    } else {
        format!(" --agent {}", agent.name)
    };
    format!("See the ids with: clawkeep models auth list{whose}")
}

/// An entry that refers to a secret elsewhere is not replaced by a secret: the person who wrote it would miss it.
pub(crate) fn check_no_reference(doc: &StoreDoc, id: &str) -> Result<(), Failure> {
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
            "Choose another id with --profile-id; or remove the reference first: clawkeep models auth remove {}",
            shell_word(id)
        ),
    })
}

/// A profile that mirrors another program's login would be overwritten with the next sync.
pub(crate) fn check_not_borrowed(
    borrowed: &BTreeMap<String, Borrowed>,
    id: &ProfileId,
) -> Result<(), Failure> {
    let from = borrowed.get(id.as_str());
    let owner = from.map_or(Owner::of(id.as_str()), |from| from.owner);
    let refresh = match owner {
        Owner::Vault => return Ok(()),
        Owner::ClaudeCode if from.is_none() => {
            "Refresh that login with: claude setup-token".to_owned()
        }
        Owner::CodexCli if from.is_none() => "Refresh that login with: codex login".to_owned(),
        _ => from.map(Borrowed::how_to_refresh).unwrap_or_default(),
    };
    Err(Failure::Refused {
        what: format!(
            "{id} mirrors another program's login ({}), which would replace what is stored there",
            owner.program()
        ),
        next: format!(
            "{}; or choose another id with --profile-id.",
            refresh.trim_end_matches('.')
        ),
    })
}

/// Says which agent a credential was stored for. The gateway's own program says nothing of it, so under its name nothing is said.
pub(crate) fn tell_agent(context: &Context, agent: &AgentRef) -> Result<(), Failure> {
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

/// Records in the gateway's configuration what was done to a profile, which `done` says; the line that the reference says of it.
pub(crate) fn record_in_config(
    context: &Context,
    edit: &ConfigEdit,
    done: &str,
) -> Result<String, Failure> {
    let path = &context.layout.config_file;
    // A new file in a directory of OpenClaw's would be a configuration that OpenClaw does not use.
    if !exists(path) && openclaw_dir_of(path).is_some() {
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

/// Ends a command that stored something and then changed the configuration: the answer, then what went wrong with the store,
/// then what went wrong with the configuration.
pub(crate) fn conclude(
    context: &Context,
    loaded: Loaded,
    recorded: Result<String, Failure>,
    answer: impl FnOnce(&str) -> String,
) -> Result<(), Failure> {
    let (line, trouble) = match recorded {
        Ok(line) => (line, None),
        Err(failure) => (String::new(), Some(failure)),
    };
    let told = context.ui.answer(&answer(&line));
    context.verdict(loaded)?;
    trouble.map_or(told, Err)
}

/// Why and how long a profile is not to be used: `cooldown 5m`, `disabled:billing 5h`.
pub(crate) fn shown_rest(rest: &Rest<'_>) -> String {
    format!(
        "{} {}",
        shown_id(&rest.state()),
        remaining_short(rest.left_ms)
    )
}
