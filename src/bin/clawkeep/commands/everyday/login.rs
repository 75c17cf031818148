//! `login`: logs in at a provider.

use clap::Args;
use clawkeep::internal::domain::{CLAUDE_SETUP, ProviderId};

use crate::commands::auth::login::LoginWay;
use crate::commands::auth::setup_token::SetupToken;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::named::known_providers;
use crate::options::{ids, provider};

/// The provider whose login the command of Claude Code makes.
const ANTHROPIC: &str = "anthropic";

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
}

impl LogIn {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let provider = match self.provider {
            Some(provider) => provider,
            None => {
                let listed = login_providers(context)?;
                let listed: Vec<&str> = listed.into_iter().map(ProviderId::as_str).collect();
                provider::ask(&listed, |typed| check_can_log_in(context, typed))?
            }
        };
        check_can_log_in(context, &provider)?;
        let known = context.providers()?.get(&provider).ok().flatten();
        let has_page = known.is_some_and(|known| known.authorize_url.is_some());
        if provider.as_str() == ANTHROPIC && !has_page {
            if context.ui.is_json || !self.way.is_default() {
                return Err(Failure::BadArgument(format!(
                    "for {provider}, clawkeep login takes no options: it runs `{CLAUDE_SETUP}`"
                )));
            }
            return SetupToken::asked_for().run(context);
        }
        self.way.log_in_at(context, &provider)
    }
}

/// The providers at which somebody can log in here.
fn login_providers(context: &Context) -> Result<Vec<&ProviderId>, Failure> {
    let providers = context.providers()?;
    let can_log_in = |id: &&ProviderId| {
        let known = providers.get(id).ok().flatten();
        let has_page =
            known.is_some_and(|known| known.authorize_url.is_some() || known.device_url.is_some());
        has_page || id.as_str() == ANTHROPIC
    };
    Ok(providers.ids().filter(can_log_in).collect())
}

/// Refuses a provider at which nobody can log in, with what was most likely meant. One that the
/// settings describe is reported by what reads them.
fn check_can_log_in(context: &Context, named: &ProviderId) -> Result<(), Failure> {
    let name = named.as_str();
    if login_providers(context)?.contains(&named) {
        return Ok(());
    }
    let meant = match name {
        "codex" | "codex-cli" | "chatgpt" => Some("openai-codex".to_owned()),
        "claude" | "claude-code" | "claude-cli" => Some(ANTHROPIC.to_owned()),
        _ => provider::mistyped(context, named),
    };
    if let Some(meant) = meant {
        return Err(provider::unknown(
            named,
            format!("Did you mean: clawkeep login {meant}"),
        ));
    }
    let is_set = !matches!(context.providers()?.get(named), Ok(None));
    if is_set || !known_providers(context).contains(name) {
        return Ok(());
    }
    let login = match name {
        "openai" => ". To log in with a ChatGPT account: clawkeep login openai-codex",
        _ => "",
    };
    Err(Failure::Refused {
        what: format!("{named} is used with an API key; there is no login"),
        next: format!("Add the key: clawkeep add {named}{login}"),
    })
}
