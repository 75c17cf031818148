//! `models auth setup-token`: runs `claude setup-token` on the terminal, then imports the login.

use std::ffi::OsStr;

use crate::advice::Commands;
use clap::Args;
use clawkeep::internal::config::{AgentRef, ConfigEdit};
use clawkeep::internal::domain::{
    CLAUDE_CLI, CLAUDE_SETUP, CredentialType, ProfileId, ProviderId, Section, StoreDoc,
};
use clawkeep::internal::platform::program_command;
use clawkeep::internal::vault::UnlockedVault;
use serde_json::Value;

use super::paste::{Paste, default_id};
use super::{checks, edit};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::terminal::program_name::commands;
use crate::terminal::{prompt, signals};

const CLAUDE: &str = "claude";

/// Run `claude setup-token` on this terminal and import the login.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep models auth setup-token\n  clawkeep models auth \
        setup-token --yes   without asking first"
)]
pub(crate) struct SetupToken {
    /// The provider; only anthropic has it
    #[arg(long, value_name = "NAME", default_value = "anthropic")]
    provider: String,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
}

impl SetupToken {
    /// The command as chosen in `models auth add` or `login`.
    pub(crate) fn asked_for() -> Self {
        Self {
            provider: "anthropic".to_owned(),
            yes: false,
        }
    }

    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let provider = ProviderId::new(&self.provider);
        let add = match commands() {
            Commands::Everyday => format!("clawkeep add {provider} --token"),
            Commands::Tree => format!("clawkeep models auth paste-token --provider {provider}"),
        };
        let paste_instead = format!("Give a token on stdin instead: {add} < file");
        let refused = |what: &str| Failure::Refused {
            what: what.to_owned(),
            next: paste_instead.clone(),
        };
        if provider.as_str() != "anthropic" {
            return Err(refused(&format!(
                "Only --provider anthropic is supported for setup-token (uses `{CLAUDE_SETUP}`)."
            )));
        }
        if !prompt::is_possible() {
            return Err(refused("setup-token requires an interactive TTY."));
        }
        let agent = AgentOption::DEFAULT.resolve(context)?;
        let mut vault = context.vault()?;
        checks::check_known(context, &vault, &agent)?;
        let before = login(&context.load(&mut vault, &agent)?.doc);
        if !self.yes && !prompt::confirm(&format!("Run `{CLAUDE_SETUP}` now?"), true)? {
            return Ok(());
        }
        run_claude(context)?;
        let loaded = context.load(&mut vault, &agent)?;
        let after = login(&loaded.doc);
        if after.is_none() || after == before {
            return paste_printed(context, &mut vault, &agent, after.is_some());
        }
        let edit = ConfigEdit::Put {
            id: ProfileId::new(CLAUDE_CLI),
            provider,
            mode: CredentialType::OAuth, // as the reference records it; `oauth` accepts a token
        };
        let recorded = edit::record_in_config(context, &edit, &format!("{CLAUDE_CLI} is stored"));
        edit::note_agent(context, &agent)?;
        edit::conclude(context, loaded, recorded, |updated| {
            let text = format!("{updated}Auth profile: {CLAUDE_CLI} (anthropic/oauth)\n");
            context.ui.answer(&text)
        })
    }
}

/// The profile as which Claude Code's login was imported.
fn login(doc: &StoreDoc) -> Option<clawkeep::internal::domain::SecretJson> {
    let entry: Option<&Value> = doc.get(Section::Profiles, CLAUDE_CLI);
    entry
        .cloned()
        .map(clawkeep::internal::domain::SecretJson::new)
}

fn run_claude(context: &Context) -> Result<(), Failure> {
    let not_run = |error: std::io::Error| Failure::Refused {
        what: format!("cannot run `{CLAUDE_SETUP}`: {error}"),
        next: "Install Claude Code, so that `claude` is on the PATH, and run the command again."
            .to_owned(),
    };
    let found = program_command(OsStr::new(CLAUDE), |name| context.env.raw(name));
    let mut command = found.map_err(not_run)?;
    command.arg("setup-token");
    context.withhold_keys(&mut command);
    let run = || signals::wait_for_program(&mut command);
    let status = context.mask.put_back_for(run).map_err(not_run)?;
    if status.success() {
        return Ok(());
    }
    let how = match status.code() {
        Some(code) => format!("exit {code}"),
        None => "ended by a signal".to_owned(),
    };
    Err(Failure::Refused {
        what: format!("{CLAUDE_SETUP} failed ({how})"),
        next: "What is stored stays as it is. Run the command again.".to_owned(),
    })
}

/// Newer versions of Claude Code print the token and store nothing.
fn paste_printed(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: &AgentRef,
    has_login: bool,
) -> Result<(), Failure> {
    let found = if has_login {
        "Claude Code's login is the one it had before."
    } else {
        "No Claude Code CLI credentials found after setup-token."
    };
    context.ui.note(&format!("Note: {found}"));
    if !prompt::confirm("Did it print a token to paste here?", !has_login)? {
        if has_login {
            return Ok(());
        }
        return Err(Failure::Refused {
            what: format!("{found} Expected auth profile {CLAUDE_CLI}."),
            next: "Run the command again, and paste the token that claude prints.".to_owned(),
        });
    }
    let provider = ProviderId::new("anthropic");
    let paste = Paste {
        agent,
        provider: &provider,
        id: &default_id(&provider),
        kind: CredentialType::Token,
        expires: None,
        means: "setup-token",
        id_option: checks::ID_OPTION,
    };
    let secret = paste.ask()?;
    paste.store(context, vault, &secret)
}
