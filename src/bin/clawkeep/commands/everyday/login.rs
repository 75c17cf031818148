//! `login`: logs in at a provider.

use clap::Args;
use clawkeep::internal::domain::{CLAUDE_SETUP, ProviderId};

use crate::commands::auth::login::LoginWay;
use crate::commands::auth::paste::Answer;
use crate::commands::auth::setup_token::SetupToken;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::ids;
use crate::terminal::prompt;

/// Log in at a provider.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep login openai-codex                opens a browser on this \
        machine\n  clawkeep login openai-codex --no-browser   over SSH: prints an address, asks for \
        the address of the last page\n\nFor anthropic it runs `claude setup-token` and stores the \
        login. See also: clawkeep models auth login --help"
)]
pub(crate) struct LogIn {
    /// The provider; asked for if left out
    #[arg(value_name = "PROVIDER", value_parser = ids::provider)]
    provider: Option<ProviderId>,
    #[command(flatten)]
    way: LoginWay,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl LogIn {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let provider = match self.provider {
            Some(provider) => provider,
            None => asked_for(context)?,
        };
        let known = context.providers()?.get(&provider).ok().flatten();
        let has_page = known.is_some_and(|known| known.authorize_url.is_some());
        if provider.as_str() == "anthropic" && !has_page {
            if self.json || !self.way.is_default() {
                return Err(Failure::BadArgument(format!(
                    "for {provider}, clawkeep login takes no options: it runs `{CLAUDE_SETUP}`"
                )));
            }
            return SetupToken::asked_for().run(context);
        }
        self.way.check_reachable(context, &provider)?;
        self.way
            .log_in_at(context, &provider, Answer::of(self.json))
    }
}

fn asked_for(context: &Context) -> Result<ProviderId, Failure> {
    let providers = context.providers()?;
    let can_log_in = |id: &&ProviderId| {
        let known = providers.get(id).ok().flatten();
        let has_page =
            known.is_some_and(|known| known.authorize_url.is_some() || known.device_url.is_some());
        has_page || id.as_str() == "anthropic"
    };
    let known: Vec<&ProviderId> = providers.ids().filter(can_log_in).collect();
    let names: Vec<&str> = known.iter().map(|id| id.as_str()).collect();
    if !prompt::is_possible() {
        return Err(Failure::BadArgument(format!(
            "there is no terminal to ask on; name the provider: {}",
            names.join(", ")
        )));
    }
    let chosen = prompt::choose("Log in at", &names)?;
    Ok(known[chosen].clone())
}
