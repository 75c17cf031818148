//! `token`: a secret on stdout, for scripts and for programs that ask for one.

use clap::Args;
use clawkeep::internal::client::{self, Request};
use clawkeep::internal::domain::ProviderId;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use zeroize::Zeroizing;

use super::naming::{default_request, request_for};
use super::opened::OpenedVault;
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
    /// A provider, or a credential by a part of its id
    #[arg(value_name = "PROVIDER|ID", conflicts_with_all = ["provider", "profile"])]
    named: Option<String>,
    /// The provider [default: that of the configured default model, or the only one
    /// with a credential]
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
        let mut vault = OpenedVault::default();
        let agent = &mut self.selection.agent;
        let wanted = match (self.named, self.profile, self.provider) {
            (Some(word), ..) => request_for(context, &mut vault, &word, agent)?,
            (None, Some(profile), _) => Request::Profile(profile),
            (None, None, Some(provider)) => Request::Provider(provider),
            (None, None, None) => default_request(context, &mut vault, agent)?,
        };
        let picked =
            self.selection
                .pick(context, &mut vault, &[wanted], ("token", None), |_| Ok(()))?;
        for picked in picked {
            context.ui.write(&if self.json {
                as_json(&picked)?
            } else {
                Zeroizing::new(format!("{}\n", picked.secret().expose_secret()))
            })?;
        }
        Ok(())
    }
}

/// What `--json` prints of a credential. It borrows the secret: a value of `serde_json` would keep
/// a copy that nobody overwrites.
#[derive(Serialize)]
struct Answer<'t> {
    profile: &'t str,
    provider: &'t str,
    r#type: &'t str,
    expires: Option<i64>,
    token: &'t str,
}

fn as_json(picked: &client::Token) -> Result<Zeroizing<String>, Failure> {
    let answer = Answer {
        profile: picked.profile().as_str(),
        provider: picked.provider().as_str(),
        r#type: picked.kind().as_str(),
        expires: picked.expires().map(|at| at.0),
        token: picked.secret().expose_secret(),
    };
    // Room for every byte as an escape: a buffer that grows would leave copies, too.
    let most = 6 * (answer.profile.len() + answer.provider.len() + answer.token.len());
    let mut text = Zeroizing::new(Vec::with_capacity(256 + most));
    serde_json::to_writer_pretty(&mut *text, &answer)
        .map_err(|error| Failure::Output(error.into()))?;
    text.push(b'\n');
    Ok(json_shown(&String::from_utf8_lossy(&text)))
}
