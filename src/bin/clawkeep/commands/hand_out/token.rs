//! `token`: a secret on stdout, for scripts and for programs that ask for one.

use clap::Args;
use clawkeep::client::{self, Request};
use clawkeep::domain::ProviderId;
use secrecy::ExposeSecret as _;
use serde_json::json;
use zeroize::Zeroizing;

use super::naming::request_for;
use super::pick::SelectionArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::ids;
use crate::terminal::text::json_shown;

/// Print the secret of the next credential of a provider.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep token --provider anthropic\n  clawkeep token --profile \
        anthropic:work --json\n  clawkeep token --provider openai --strict   the first choice or \
        nothing\n\nclawkeep records the use before it prints the secret. As Claude Code's \
        apiKeyHelper: \"apiKeyHelper\": \"clawkeep token -q --provider anthropic\""
)]
pub(crate) struct Token {
    /// A provider, or a credential by any part of its id
    #[arg(value_name = "PROVIDER|ID", conflicts_with_all = ["provider", "profile"])]
    named: Option<String>,
    /// The provider [default: that of the configured default model]
    #[arg(long, value_name = "NAME", value_parser = ids::provider, conflicts_with = "profile")]
    provider: Option<ProviderId>,
    /// This profile and no other
    #[arg(long, value_name = "ID", value_parser = ids::profile)]
    profile: Option<String>,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Print JSON, with profile, provider, type and expiry
    #[arg(long)]
    json: bool,
}

impl Token {
    pub(crate) fn run(mut self, context: &Context) -> Result<(), Failure> {
        let wanted = match (self.named, self.profile, self.provider) {
            (Some(word), ..) => request_for(context, &word, &mut self.selection.agent)?,
            (None, Some(profile), _) => Request::Profile(profile),
            (None, None, Some(provider)) => Request::Provider(provider),
            (None, None, None) => {
                Request::Provider(context.settings()?.models.default_ref().provider)
            }
        };
        let picked = self
            .selection
            .pick(context, &[wanted], "token", |_| Ok(()))?;
        for picked in picked {
            context.ui.write(&if self.json {
                as_json(&picked)
            } else {
                Zeroizing::new(format!("{}\n", picked.secret().expose_secret()))
            })?;
        }
        Ok(())
    }
}

fn as_json(picked: &client::Token) -> Zeroizing<String> {
    let answer = json!({
        "profile": picked.profile().as_str(),
        "provider": picked.provider().as_str(),
        "type": picked.kind().as_str(),
        "expires": picked.expires().map(|at| at.0),
        "token": picked.secret().expose_secret(),
    });
    json_shown(&Zeroizing::new(format!("{answer:#}\n")))
}
