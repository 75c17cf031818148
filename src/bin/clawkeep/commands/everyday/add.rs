//! `add`: stores an API key or a token that is pasted or given on stdin.

use clap::Args;
use clawkeep::domain::{CredentialType, ProfileId, ProviderId, Span};

use crate::commands::auth::paste::{Paste, default_id, profile_id};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::{ids, time_arg};
use crate::terminal::prompt;

/// Add an API key or a token.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep add openai                        asks for the key, without \
        echo\n  clawkeep add anthropic --token < token.txt\n  clawkeep add openai --id openai:work < \
        key.txt"
)]
pub(crate) struct Add {
    /// The provider; asked for if left out
    #[arg(value_name = "PROVIDER", value_parser = ids::provider)]
    provider: Option<ProviderId>,
    /// It is a token, not an API key
    #[arg(long, short)]
    token: bool,
    /// The id to store it under [default: PROVIDER:manual]
    #[arg(long, value_name = "ID", value_parser = profile_id)]
    id: Option<ProfileId>,
    /// When a token expires, from now: 365d, 12h, 30m; without a unit, days
    #[arg(long, value_name = "DURATION", value_parser = time_arg::lifetime,
        allow_hyphen_values = true)]
    expires_in: Option<Span>,
    #[command(flatten)]
    agent: AgentOption,
}

impl Add {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let provider = match self.provider {
            Some(provider) => provider,
            None => ask_provider()?,
        };
        let is_token = self.token || self.expires_in.is_some();
        let (kind, means) = match is_token {
            true => (CredentialType::Token, "paste-token"),
            false => (CredentialType::ApiKey, "paste-api-key"),
        };
        let id = self.id.unwrap_or_else(|| default_id(&provider));
        let paste = Paste {
            agent: &agent,
            provider: &provider,
            id: &id,
            kind,
            expires: self
                .expires_in
                .map(|lifetime| context.clock.now() + lifetime),
            means,
        };
        // before the question: without the vault the secret would be typed in vain
        let mut vault = context.vault()?;
        paste.check(context, &vault)?;
        let secret = paste.ask()?;
        paste.store(context, &mut vault, &secret)
    }
}

fn ask_provider() -> Result<ProviderId, Failure> {
    if !prompt::is_possible() {
        return Err(Failure::BadArgument(
            "there is no terminal to ask on; name the provider".to_owned(),
        ));
    }
    let typed = prompt::text("Provider", Some("anthropic"), |typed| {
        ids::provider(typed).map(|_| ())
    })?;
    Ok(ProviderId::new(&typed))
}
