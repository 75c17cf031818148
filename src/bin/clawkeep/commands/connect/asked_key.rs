//! The keys that connected programs ask clawkeep for, and whether the vault has them.

use clawkeep::internal::config::{CONNECTIONS, Connection};
use clawkeep::internal::domain::{AgentName, Owner, ProfileId, of_agent};
use clawkeep::internal::vault::UnlockedVault;

use super::openclaw;
use super::settings::Settings;
use crate::advice::shell_word;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::terminal::text::{one_line, shown_id};

/// A connected program that gets no key from the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyless {
    pub(crate) owner: Owner,
    /// The key that it asks for, for people.
    key: String,
    /// The command that gives it one.
    pub(crate) fix: String,
}

impl Keyless {
    /// The warning for people, with the command that helps.
    pub(crate) fn warning(&self) -> String {
        format!("Warning: {}. Add it: {}", self.message(), self.fix)
    }

    /// What is wrong, as a sentence without its end.
    pub(crate) fn message(&self) -> String {
        format!(
            "{} gets no key: it asks clawkeep for {}, which the vault does not have",
            self.owner.program(),
            self.key
        )
    }
}

/// The connected programs that get no key from the vault. Settings that cannot be read are left
/// out.
pub(crate) fn keyless_programs(
    context: &Context,
    vault: &UnlockedVault,
) -> Result<Vec<Keyless>, Failure> {
    let mut keyless = Vec::new();
    for connection in CONNECTIONS {
        let settings = Settings::read(Settings::path(context, connection));
        let command = settings.map(|settings| settings.command(connection).ok().flatten());
        if let Ok(Some(line)) = command {
            keyless.extend(missing_key(context, vault, connection, &line)?);
        }
    }
    if let Some((agent, ids)) = openclaw::undo::asked_keys(context) {
        let agent = agent.resolve(context)?.name;
        for id in ids {
            let key = AskedKey::Profile(&id);
            keyless.extend(key.keyless(vault, (Owner::OpenClaw, ""), &agent)?);
        }
    }
    Ok(keyless)
}

/// The program without a key, if the vault does not have the one that its command asks for.
pub(super) fn missing_key(
    context: &Context,
    vault: &UnlockedVault,
    connection: &Connection,
    line: &str,
) -> Result<Option<Keyless>, Failure> {
    let value_of = |option: &str| value_of(line, option);
    let mut agent = AgentOption::default();
    if let Some(name) = value_of("--agent") {
        agent.select(&AgentName::from_id(name));
    }
    let agent = agent.resolve(context)?.name;
    let key = match (value_of("--profile"), value_of("--provider")) {
        (Some(id), _) => AskedKey::Profile(id),
        (None, Some(provider)) => AskedKey::Provider(provider),
        (None, None) => return Ok(None), // a command of a person's own
    };
    let provider = connection.provider.unwrap_or_default();
    key.keyless(vault, (connection.owner, provider), &agent)
}

/// The id of the one key that a command asks for, if it names one.
pub(super) fn asked_profile(line: &str) -> Option<ProfileId> {
    value_of(line, "--profile").map(ProfileId::new)
}

/// The value of an option in a command line.
fn value_of<'l>(line: &'l str, option: &str) -> Option<&'l str> {
    let mut words = line.split_whitespace();
    words.find(|word| *word == option)?;
    words.next().map(|word| word.trim_matches('\''))
}

/// What a program asks for.
enum AskedKey<'a> {
    Profile(&'a str),
    Provider(&'a str),
}

impl AskedKey<'_> {
    /// The program without a key, if the agent does not have it.
    fn keyless(
        &self,
        vault: &UnlockedVault,
        (owner, provider): (Owner, &str),
        agent: &AgentName,
    ) -> Result<Option<Keyless>, Failure> {
        let doc = vault.agent(agent)?.doc;
        let is_there = match self {
            Self::Profile(id) => doc.credential(id).is_some(),
            Self::Provider(provider) => doc.credentials().any(|(_, it)| it.is_for(provider)),
        };
        if is_there {
            return Ok(None);
        }
        let of_agent = of_agent(agent);
        Ok(Some(match self {
            Self::Profile(id) => {
                let of_id = ProfileId::new(*id);
                let provider = match provider.is_empty() {
                    true => of_id.provider_part(),
                    false => provider,
                };
                Keyless {
                    owner,
                    key: shown_id(id),
                    fix: format!(
                        "clawkeep add {} --id {}{of_agent}",
                        shell_word(provider),
                        shell_word(id)
                    ),
                }
            }
            Self::Provider(provider) => Keyless {
                owner,
                key: format!("a key of {}", one_line(provider)),
                fix: format!("clawkeep add {}{of_agent}", shell_word(provider)),
            },
        }))
    }
}
