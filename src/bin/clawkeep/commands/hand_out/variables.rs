//! The variables in which programs look for a provider's secret.

use clawkeep::internal::client::Token;
use clawkeep::internal::config::{check_variable_name, provider_variables};
use clawkeep::internal::domain::{CredentialType, ProviderId};

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::program_name::is_called_as_gateway;

/// The option that names the variable.
pub(super) const AS: &str = "as";

/// Further variables in which clients of a provider look for a secret, before or beside those of
/// the provider table. Sources: Claude Code's settings; Google's, OpenAI's client libraries. They
/// are taken out, so that no other account's is used.
const OTHER_VARIABLES: [(&str, &[&str]); 3] = [
    (
        "anthropic",
        &["ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"],
    ),
    (
        "google",
        &["GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"],
    ),
    ("openai", &["OPENAI_ADMIN_KEY", "CODEX_API_KEY"]),
];

/// Variables that programs of a provider read beside the usual one, for a kind of secret. Sources:
/// Claude Code's documentation, "Environment variables"; Codex's, "Non-interactive mode"; the
/// README of OpenAI's client library for Python.
const BESIDE: [(&str, Secret, &str); 3] = [
    ("anthropic", Secret::Login, "CLAUDE_CODE_OAUTH_TOKEN"),
    ("openai", Secret::Key, "CODEX_API_KEY"),
    ("azure", Secret::Key, "AZURE_OPENAI_API_KEY"),
];

/// What a secret is for the programs that read it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secret {
    /// An API key.
    Key,
    /// The token of a login or a subscription.
    Login,
}

/// The variables of one secret.
pub(super) struct Variables {
    /// Those that get it.
    pub(super) set: Vec<String>,
    /// Those of the same provider that may have another account's; some of them are set then.
    pub(super) removed: Vec<String>,
}

impl Variables {
    /// The variables for a secret: the named one, or those of its provider.
    pub(super) fn of(
        context: &Context,
        picked: &Token,
        naming: Option<&str>,
    ) -> Result<Self, Failure> {
        let names = known(context, picked.provider())?;
        let id = picked.provider().as_str();
        let others = OTHER_VARIABLES.iter().filter(|(of, _)| *of == id);
        let others = others.flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned()));
        // Programs use the first variable that is set, and Anthropic's first is for logins.
        let kind = match picked.kind() {
            CredentialType::ApiKey => Secret::Key,
            _ => Secret::Login,
        };
        let is_for_keys = |name: &&String| !name.contains("OAUTH");
        let first = match names.iter().find(is_for_keys) {
            Some(name) if kind == Secret::Key => Some(name),
            _ => names.first(),
        };
        let beside = BESIDE
            .iter()
            .filter(|(of, secret, _)| *of == id && *secret == kind && !is_called_as_gateway());
        if let Some(name) = naming {
            return Ok(Self {
                set: vec![name.to_owned()],
                removed: Vec::new(),
            });
        }
        let first = first.cloned().into_iter();
        Ok(Self {
            set: first
                .chain(beside.map(|(_, _, name)| (*name).to_owned()))
                .collect(),
            removed: names.iter().cloned().chain(others).collect(),
        })
    }
}

/// The variables in which programs expect a provider's secret: from the settings, else the known
/// ones.
fn known(context: &Context, provider: &ProviderId) -> Result<Vec<String>, Failure> {
    if let Some(names) = context.providers()?.variables(provider) {
        return Ok(names.to_vec());
    }
    let known = provider_variables(provider).iter();
    Ok(known.map(|name| (*name).to_owned()).collect())
}

/// Refuses a provider whose programs read no variable that is known, unless one is named.
pub(super) fn check_variable(
    context: &Context,
    provider: &ProviderId,
    naming: Option<&str>,
) -> Result<(), Failure> {
    if naming.is_some() || !known(context, provider)?.is_empty() {
        return Ok(());
    }
    let by_option = match is_called_as_gateway() {
        true => "",
        false => " with --as VAR, or",
    };
    Err(Failure::BadArgument(format!(
        "programs look for a secret of {provider} in no variable that is known here; name one\
         {by_option} as env in [providers.{provider}] of clawkeep.toml, or hand it over with \
         `clawkeep token`"
    )))
}

/// A variable's name as an argument.
pub(super) fn variable_name(raw: &str) -> Result<String, String> {
    check_variable_name(raw)?;
    Ok(raw.to_owned())
}

/// Notes that a variable redirects the provider's requests, and the secret with them: setting it is
/// the caller's choice.
pub(super) fn note_base_url(context: &Context, provider: &ProviderId) {
    let name = provider.as_str().to_uppercase().replace('-', "_");
    let name = format!("{name}_BASE_URL");
    if context.env.path(&name).is_some() {
        context.ui.note(&format!(
            "Note: {name} is set: the program sends the secret there."
        ));
    }
}
