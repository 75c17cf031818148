//! Words for what a person does about a credential: replace, refresh, or log in again.

use super::logins::login_remedy;
use clawkeep::internal::alerts::Problem;
pub(crate) use clawkeep::internal::domain::of_agent;
use clawkeep::internal::domain::{
    AgentName, Borrowed, Credential, CredentialType, Owner, ProfileId, ProviderId, escaped,
};
use clawkeep::internal::health::{CredentialState, Loss, RefreshedBy};
use clawkeep::internal::oauth::Providers;
use clawkeep::internal::sync::{LendingFault, StateReader};
use clawkeep::internal::vault::VaultError;

use super::words::shell_word;

/// The commands that advice names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commands {
    /// The tree that both names of the program have: `clawkeep models auth …`.
    Tree,
    /// The everyday commands: `clawkeep add`, `clawkeep login`.
    Everyday,
}

/// A credential to give advice about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advised<'a> {
    /// The commands that advice names.
    pub(crate) commands: Commands,
    /// The agent that has it.
    pub(crate) agent: &'a AgentName,
    /// The id of its profile.
    pub(crate) id: &'a str,
    /// The stored credential.
    pub(crate) credential: &'a Credential<'a>,
    /// The program that it was imported from, if it stays that program's.
    pub(crate) borrowed: Option<&'a Borrowed>,
    /// The providers that can be used here; `None` where the settings cannot be read.
    pub(crate) providers: Option<&'a Providers>,
}

/// Returns what a person does about a credential; `None` if there is none, or its state cannot be
/// read.
#[must_use]
pub(crate) fn remedy_of(states: &StateReader<'_>, id: &str, commands: Commands) -> Option<String> {
    let credential = states.doc.credential(id)?;
    let state = states.read(id, &credential).ok()?;
    let advised = Advised {
        commands,
        agent: states.agent,
        id,
        credential: &credential,
        borrowed: states.borrowed(id).ok()?,
        providers: states.providers,
    };
    Some(remedy(&state, advised))
}

/// Returns what a person does about a problem that an alert reports.
///
/// # Errors
/// When the vault cannot be read.
pub(crate) fn remedy_of_problem(
    states: &StateReader<'_>,
    id: &str,
    problem: Problem<'_>,
    commands: Commands,
) -> Result<String, VaultError> {
    let agent = states.agent;
    let mut what = match problem {
        Problem::Source(report) => login_remedy(report),
        Problem::LoginExpires => format!("Log in again: {}", Owner::of(id).log_in()),
        Problem::State(credential, state) => {
            let advised = Advised {
                commands,
                agent,
                id,
                credential,
                borrowed: states.borrowed(id)?,
                providers: states.providers,
            };
            remedy(state, advised)
        }
    };
    // No `--agent` selects an agent that is known by its directory alone.
    if agent.is_path() && what.contains("clawkeep ") {
        let dir = escaped(agent.as_str());
        what.push_str(&format!(" (with CLAWDBOT_AGENT_DIR set to {dir})"));
    }
    Ok(what)
}

/// Returns what a person does about the state of a credential.
#[must_use]
pub(crate) fn remedy(state: &CredentialState<'_>, of: Advised<'_>) -> String {
    if state.entry_fault.is_some() {
        return replacement(of);
    }
    if let Some(loss) = state.loss {
        return remedy_of_loss(loss, of);
    }
    let by = match (of.borrowed, state.refresher()) {
        (Some(from), _) => return from.how_to_refresh(),
        (None, by) => by,
    };
    match by {
        Some(RefreshedBy::Program(owner)) => owner.how_to_refresh(),
        Some(RefreshedBy::Clawkeep) => format!("clawkeep refresh {}", of.words()),
        Some(RefreshedBy::Gateway) if Owner::of(of.id) == Owner::Vault => format!(
            "The gateway refreshes it when it uses it. Otherwise log in again there, or: {}",
            of.paste()
        ),
        Some(RefreshedBy::Gateway) | None => replacement(of),
    }
}

/// Returns what a person does about a login that cannot be refreshed any more.
#[must_use]
pub(crate) fn remedy_of_loss(loss: Loss, of: Advised<'_>) -> String {
    match loss {
        Loss::Moved => format!(
            "If the change is intended: clawkeep models auth trust {}",
            of.words()
        ),
        Loss::Uncertain => format!("Try to refresh it: clawkeep refresh {}", of.words()),
        Loss::Dead | Loss::Unopened | Loss::Spent => how_to_log_in(of),
    }
}

/// Says why a login cannot be refreshed any more.
#[must_use]
pub(crate) fn describe_loss(loss: Loss, id: &str) -> String {
    match loss {
        Loss::Dead => format!("the login {id} is over: its provider refuses to refresh it"),
        Loss::Unopened => format!(
            "the login {id} is over: the answer to its last refresh does not open, and its \
             refresh token is used up"
        ),
        Loss::Spent => {
            format!("{id} cannot be refreshed: its refresh token was replaced by a newer one")
        }
        Loss::Moved => format!("{id} is not refreshed, since the settings name another endpoint"),
        Loss::Uncertain => format!("{id} may have lost its refresh token: a refresh had no answer"),
    }
}

/// Returns what to do about a wrong file of a borrowed credential, as a sentence.
#[must_use]
pub(crate) fn how_to_lend_again(
    profile: &ProfileId,
    from: &Borrowed,
    why: &LendingFault,
) -> String {
    let program = from.owner.program();
    if from.is_copy() {
        return from.how_to_refresh();
    }
    if matches!(why, LendingFault::LoggedOut(_)) {
        return format!(
            "Log in again with {program}; or remove what is stored: clawkeep models auth remove {}",
            shell_word(profile.as_str())
        );
    }
    match from.owner {
        Owner::OtherProgram => format!(
            "Correct that with the program that keeps the file; or remove what is stored: \
             clawkeep models auth remove {}",
            shell_word(profile.as_str())
        ),
        _ => format!("Correct that with {program}, or log in again there."),
    }
}

/// Returns the command that replaces a lost login.
#[must_use]
fn how_to_log_in(of: Advised<'_>) -> String {
    if Owner::of(of.id) != Owner::Vault {
        return Owner::of(of.id).how_to_log_in();
    }
    let provider = of.provider();
    let known = of
        .providers
        .and_then(|providers| providers.get(&provider).ok().flatten());
    if known.is_some_and(|known| known.authorize_url.is_some() || known.device_url.is_some()) {
        let login = match of.commands {
            Commands::Tree => "models auth login --provider",
            Commands::Everyday => "login",
        };
        return format!(
            "Log in again: clawkeep {login} {} --profile-id {}",
            shell_word(provider.as_str()),
            of.words()
        );
    }
    if provider.as_str() == "anthropic" {
        let login = match of.commands {
            Commands::Tree => "models auth setup-token",
            Commands::Everyday => "login anthropic",
        };
        return format!("Log in again: clawkeep {login}");
    }
    format!("Log in again with the gateway, or: {}", of.paste())
}

/// Returns how to replace a credential that nothing refreshes: for the two mirrored logins, the
/// advice of the reference's doctor.
fn replacement(of: Advised<'_>) -> String {
    match (Owner::of(of.id), of.credential.kind) {
        (Owner::Vault, CredentialType::OAuth) => {
            format!("Log in again with the gateway, or: {}", of.paste())
        }
        (Owner::Vault, _) => of.paste(),
        (owner, _) => owner.how_to_log_in(),
    }
}

impl Advised<'_> {
    fn provider(&self) -> ProviderId {
        ProviderId::new(self.credential.provider)
    }

    /// The profile and its agent, as a command takes them.
    fn words(&self) -> String {
        format!("{}{}", shell_word(self.id), of_agent(self.agent))
    }

    fn paste(&self) -> String {
        let paste = paste(
            self.id,
            &self.provider(),
            self.credential.kind,
            self.commands,
        );
        format!("{paste}{}", of_agent(self.agent))
    }
}

/// Returns the command that stores a credential of that kind under that id.
#[must_use]
pub(crate) fn paste(
    id: &str,
    provider: &ProviderId,
    kind: CredentialType,
    commands: Commands,
) -> String {
    let provider = shell_word(provider.as_str());
    let id = shell_word(id);
    match (commands, kind) {
        (Commands::Everyday, CredentialType::ApiKey) => {
            format!("clawkeep add {provider} --id {id}")
        }
        (Commands::Everyday, _) => format!("clawkeep add {provider} --token --id {id}"),
        (Commands::Tree, CredentialType::ApiKey) => {
            format!("clawkeep models auth paste-api-key --provider {provider} --profile-id {id}")
        }
        (Commands::Tree, _) => {
            format!("clawkeep models auth paste-token --provider {provider} --profile-id {id}")
        }
    }
}
