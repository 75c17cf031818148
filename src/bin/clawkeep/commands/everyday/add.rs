//! `add`: stores an API key or a token that is pasted or given on stdin.

use std::io::{self, IsTerminal as _};

use crate::advice::shell_word;
use clap::Args;
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{
    CLAUDE_SETUP, CredentialType, ProfileId, ProviderId, Recognised, Span, recognise_secret,
};
use clawkeep::internal::platform::exists;
use clawkeep::internal::vault::{UnlockedVault, Vault};
use secrecy::{ExposeSecret as _, SecretString};

use crate::commands::auth::checks;
use crate::commands::auth::paste::{Paste, default_id, profile_id};
use crate::commands::auth::remove::described;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::named::{Names, known_providers};
use crate::options::{ids, provider, time_arg};
use crate::terminal::prompt;

/// The providers that are listed where none is named: those that many use.
const COMMON: [&str; 5] = ["anthropic", "openai", "google", "openrouter", "groq"];

/// Add an API key or a token.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep add openai                        asks for the key, without \
        echo\n  clawkeep add anthropic --token < token.txt\n  clawkeep add openai --id openai:work < \
        key.txt"
)]
pub(crate) struct Add {
    /// The provider; if left out, the one that the secret shows, else asked for
    #[arg(value_name = "PROVIDER", value_parser = ids::provider)]
    provider: Option<ProviderId>,
    /// It is a token, not an API key [default: what the secret shows]
    #[arg(long, short)]
    token: bool,
    /// The id to store it under [default: PROVIDER:manual]
    #[arg(long, alias = "profile-id", value_name = "ID", value_parser = profile_id)]
    id: Option<ProfileId>,
    /// When a token expires, from now: 365d, 12h, 30m; without a unit, days
    #[arg(long, value_name = "DURATION", value_parser = time_arg::lifetime,
        allow_hyphen_values = true)]
    expires_in: Option<Span>,
    /// Do not ask first: store it although it looks like a secret of another provider, the provider
    /// looks like a mistyped one, or a credential of another kind is replaced
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    agent: AgentOption,
}

impl Add {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if let Some(provider) = self
            .provider
            .as_ref()
            .filter(|it| it.as_str().contains(':'))
        {
            let name = provider.as_str().split(':').next().unwrap_or_default();
            return Err(Failure::BadArgument(format!(
                "a provider's name has no colon; to name the id: clawkeep add {name} --id {}",
                shell_word(provider.as_str())
            )));
        }
        let agent = self.agent.resolve(context)?;
        if let Some(provider) = self.provider.as_ref().filter(|_| !self.yes) {
            check_spelling(context, provider)?;
        }
        // A first vault is not created for a stdin without a secret.
        let is_first = !exists(&context.layout.vault_file) && !context.layout.is_vault_named;
        let is_given = !io::stdin().is_terminal() && context.passphrases().named.is_none();
        let given = (is_first && is_given).then(|| self.secret()).transpose()?;
        // before the question: without the vault the secret would be typed in vain
        let mut vault = context.vault()?;
        checks::check_known(context, &vault, &agent)?;
        let secret = given.map_or_else(|| self.secret(), Ok)?;
        let found = recognise_secret(secret.expose_secret());
        let provider = match (&self.provider, found.and_then(|found| found.provider)) {
            (Some(provider), _) => provider.clone(),
            (None, Some(provider)) => ProviderId::new(provider),
            (None, None) => provider::ask(&COMMON, |typed| check_spelling(context, typed))?,
        };
        let kind = match found.and_then(|found| found.kind) {
            Some(kind) if !self.is_token() => kind,
            _ if self.is_token() => CredentialType::Token,
            _ => CredentialType::ApiKey,
        };
        let id = self.id.clone().unwrap_or_else(|| default_id(&provider));
        if let Some(found) = found {
            self.check_recognised(context, found, &provider)?;
        }
        check_id(context, &vault, &id, &provider)?;
        if !self.yes {
            check_replaced(context, &mut vault, &agent, (&id, &provider, kind))?;
        }
        if !id.as_str().contains(provider.as_str()) && is_of_another(context, &id) {
            context.ui.note(&format!(
                "Warning: {id} reads as a credential of {}, and it is stored as one of {provider}.",
                id.provider_part()
            ));
        }
        let paste = Paste {
            agent: &agent,
            provider: &provider,
            id: &id,
            kind,
            expires: self
                .expires_in
                .map(|lifetime| context.clock.now() + lifetime),
            means: match kind {
                CredentialType::ApiKey => "paste-api-key",
                _ => "paste-token",
            },
            id_option: "--id",
        };
        paste.check(context, &vault)?;
        paste.store(context, &mut vault, &secret)?;
        note_place(context, &agent);
        Ok(())
    }

    fn secret(&self) -> Result<SecretString, Failure> {
        let what = match self.is_token() {
            true => "token",
            false => "API key or token",
        };
        prompt::secret(&match &self.provider {
            Some(provider) => format!("Paste {what} for {provider}"),
            None => format!("Paste {what}"),
        })
    }

    fn is_token(&self) -> bool {
        self.token || self.expires_in.is_some()
    }

    /// Compares what a secret is with what it is stored as; asks where a person can answer.
    fn check_recognised(
        &self,
        context: &Context,
        found: Recognised,
        provider: &ProviderId,
    ) -> Result<(), Failure> {
        let what = found.what;
        let Some(kind) = found.kind else {
            return Err(Failure::Refused {
                what: format!("that looks like {what}, which no program can send to a provider"),
                next: format!("Paste an API key, or a token that `{CLAUDE_SETUP}` prints."),
            });
        };
        let is_other = found.provider.is_some_and(|of| of != provider.as_str());
        let is_key_as_token = kind == CredentialType::ApiKey && self.is_token();
        let warning = match (is_other, is_key_as_token) {
            (true, _) => {
                format!("Warning: that looks like {what}, not like a secret of {provider}.")
            }
            (false, true) => format!("Warning: that looks like {what}, and is stored as a token."),
            (false, false) => return Ok(()),
        };
        if is_other && !self.yes && !prompt::is_possible() {
            return Err(self.of_another(found, provider));
        }
        context.ui.warn(&warning);
        if !self.yes && prompt::is_possible() && !prompt::confirm("Store it anyway?", false)? {
            return Err(Failure::Refused {
                what: "nothing was stored".to_owned(),
                next: "Run the command again, with the provider of the secret.".to_owned(),
            });
        }
        Ok(())
    }
}

impl Add {
    /// The failure for a secret of another provider, where nobody can be asked.
    fn of_another(&self, found: Recognised, provider: &ProviderId) -> Failure {
        let right = found.provider.unwrap_or_default();
        let token = if self.is_token() { " --token" } else { "" };
        let id = self.id.as_ref().map(|id| shell_word(id.as_str()));
        let id = id.map_or_else(String::new, |id| format!(" --id {id}"));
        Failure::Refused {
            what: format!(
                "that looks like {}, not like a secret of {provider}; nothing was stored",
                found.what
            ),
            next: format!(
                "Store it with: clawkeep add {right}. To store it for {provider} anyway: clawkeep \
                 add {}{token}{id} --yes",
                shell_word(provider.as_str())
            ),
        }
    }
}

/// Refuses an id that is the name of another provider: the word would mean that provider.
fn check_id(
    context: &Context,
    vault: &Vault,
    id: &ProfileId,
    provider: &ProviderId,
) -> Result<(), Failure> {
    let is_own = ProviderId::new(id.as_str()) == *provider;
    if is_own || !Names::of(context, Some(vault), None)?.is_provider(id.as_str()) {
        return Ok(());
    }
    Err(Failure::BadArgument(format!(
        "{id} is the name of a provider, and no id for a credential of {provider}; choose another: \
         --id {provider}:NAME"
    )))
}

/// Asks before a credential of another provider or type is replaced; refuses without a terminal.
fn check_replaced(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: &AgentRef,
    (id, provider, kind): (&ProfileId, &ProviderId, CredentialType),
) -> Result<(), Failure> {
    let loaded = context.load_silently(vault, agent)?; // the change loads again, and reports
    let Some(stored) = loaded.doc.credential(id.as_str()) else {
        return Ok(());
    };
    if stored.kind == kind && stored.is_for(provider.as_str()) {
        return Ok(());
    }
    let stored = described(&stored);
    let new = format!("{provider}/{}", kind.as_str());
    if !prompt::is_possible() {
        return Err(Failure::BadArgument(format!(
            "{id} is stored already ({stored}), and {new} would replace it; choose another id: \
             --id {provider}:NAME"
        )));
    }
    if prompt::confirm(&format!("Replace {id} ({stored}) by {new}?"), false)? {
        return Ok(());
    }
    Err(Failure::Refused {
        what: "nothing was stored".to_owned(),
        next: format!("Store it under another id: --id {provider}:NAME"),
    })
}

/// Refuses a provider that is most likely mistyped. Others than the known ones are accepted.
fn check_spelling(context: &Context, name: &ProviderId) -> Result<(), Failure> {
    let Some(near) = provider::mistyped(context, name) else {
        return Ok(());
    };
    let next = format!(
        "Did you mean {near}? To store it for {name} anyway: clawkeep add {} --yes",
        shell_word(name.as_str())
    );
    Err(provider::unknown(name, next))
}

/// Whether an id begins with the name of a provider that is known.
fn is_of_another(context: &Context, id: &ProfileId) -> bool {
    known_providers(context).contains(id.provider_part())
}

/// Says where the secret is now, and whether a plain copy exists.
fn note_place(context: &Context, agent: &AgentRef) {
    let vault = context.layout.shorten_home(&context.layout.vault_file);
    let store = agent.store_file();
    let copy = match exists(&store) {
        true => format!(
            "a plain copy for the gateway is in {}",
            context.layout.shorten_home(&store)
        ),
        false => "there is no plain copy of it".to_owned(),
    };
    context
        .ui
        .note(&format!("The secret is in the vault {vault}; {copy}."));
}
