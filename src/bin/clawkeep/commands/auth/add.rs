//! `models auth add`: a credential, asked for step by step.

use clap::Args;
use clawkeep::internal::domain::{CLAUDE_SETUP, CredentialType, ProfileId, ProviderId};

use super::paste::{Paste, default_id, profile_id};
use super::setup_token::SetupToken;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::{ids, time_arg};
use crate::terminal::prompt;

/// Add a credential, asked for step by step.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  clawkeep models auth add")]
pub(crate) struct Add {}

#[derive(Clone, Copy)]
enum Method {
    SetupToken,
    Token,
    ApiKey,
}

impl Add {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if !prompt::is_possible() {
            return Err(Failure::Refused {
                what: "models auth add asks questions, and there is no terminal to ask them on"
                    .to_owned(),
                next: "Give the secret on stdin: clawkeep models auth paste-token --provider NAME \
                    < file"
                    .to_owned(),
            });
        }
        let agent = AgentOption::DEFAULT.resolve(context)?;
        let mut vault = context.vault()?;
        let provider = ask_provider()?;
        let (kind, means) = match ask_method(&provider)? {
            Method::SetupToken => return SetupToken::asked_for().run(context),
            Method::Token => (CredentialType::Token, "paste-token"),
            Method::ApiKey => (CredentialType::ApiKey, "paste-api-key"),
        };
        let suggested = default_id(&provider);
        let id = prompt::text("Profile id", Some(suggested.as_str()), |typed| {
            profile_id(typed).map(|_| ())
        })?;
        let expires = match kind {
            CredentialType::Token if prompt::confirm("Does this token expire?", false)? => {
                let check = |typed: &str| time_arg::lifetime(typed).map(|_| ());
                let typed = prompt::text("Expires in (duration)", Some("365d"), check)?;
                let lifetime = time_arg::lifetime(&typed).map_err(Failure::BadArgument)?;
                Some(context.clock.now() + lifetime)
            }
            _ => None,
        };
        let paste = Paste {
            agent: &agent,
            provider: &provider,
            id: &ProfileId::new(id),
            kind,
            expires,
            means,
            id_option: super::checks::ID_OPTION,
        };
        paste.check(context, &vault)?;
        let secret = paste.ask()?;
        paste.store(context, &mut vault, &secret)
    }
}

fn ask_provider() -> Result<ProviderId, Failure> {
    let known = ["anthropic", "custom (type provider id)"];
    if prompt::choose("Token provider", &known)? == 0 {
        return Ok(ProviderId::new(known[0]));
    }
    let typed = prompt::text("Provider id", None, |typed| {
        ids::typed_provider(typed).map(|_| ())
    })?;
    Ok(ProviderId::new(&typed))
}

fn ask_method(provider: &ProviderId) -> Result<Method, Failure> {
    let setup = format!("setup-token (runs {CLAUDE_SETUP})");
    let mut methods = vec![
        (Method::Token, "paste token"),
        (Method::ApiKey, "paste API key"),
    ];
    if provider.as_str() == "anthropic" {
        methods.insert(0, (Method::SetupToken, setup.as_str()));
    }
    let labels: Vec<&str> = methods.iter().map(|(_, label)| *label).collect();
    let chosen = prompt::choose("Method", &labels)?;
    Ok(methods[chosen].0)
}
