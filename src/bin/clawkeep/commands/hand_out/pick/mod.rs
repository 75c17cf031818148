//! Choosing the credential that a command hands out.

mod explain;
mod report;

use crate::doctor::removed_elsewhere;
use clap::Args;
use clawkeep::internal::client::{Chosen, Hooks, Request, Token, TokenOptions};
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::Span;
use clawkeep::internal::vault::UnlockedVault;

use self::explain::{ChoiceContext, none, note_passed_over, warn_not_refreshed, warn_unavailable};
use self::report::{described, note_announced, report};
use crate::commands::hand_out::opened::OpenedVault;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::options::time_arg::span;
use crate::terminal::text::shown_id;

/// Options that control which credential is chosen.
#[derive(Debug, Args)]
pub(crate) struct SelectionArgs {
    #[command(flatten)]
    pub(crate) agent: AgentOption,
    /// The session: its pinned profile goes first, and the record names it
    #[arg(long, value_name = "SESSION", value_parser = ids::session)]
    session: Option<String>,
    /// Require at least this much remaining lifetime; refreshes first if needed: 5m, 1h
    #[arg(long, value_name = "SPAN", value_parser = span)]
    min_valid: Option<Span>,
    /// The first choice or nothing, never another account
    /// [default: clawkeep.fallback in clawkeep.toml]
    #[arg(long)]
    strict: bool,
}

impl SelectionArgs {
    /// Chooses a credential for each request, records the uses, and reports which others were
    /// passed over. Only then may the credentials be handed out. `program` is the one that gets
    /// them, if the command runs one.
    pub(crate) fn pick(
        &self,
        context: &Context,
        vault: &mut OpenedVault,
        wanted: &[Request],
        (command, program): (&'static str, Option<&str>),
        accept: impl Fn(&Token) -> Result<(), Failure>,
    ) -> Result<Vec<Token>, Failure> {
        context.settings()?; // invalid settings are reported before a vault is created
        if !self.strict {
            context.own()?;
        }
        let agent = self.agent.resolve(context)?;
        context.places.check_single()?;
        let vault = vault.unlock(context)?;
        let chosen = self.hand_out(
            context,
            vault,
            (&agent, wanted),
            (command, program),
            &accept,
        )?;
        report(context, &chosen);
        let Chosen { loaded, picks, .. } = &chosen;
        let is_missing = picks.iter().any(|pick| pick.choice.chosen.is_none());
        let removed = match is_missing {
            true => removed_elsewhere(vault, &agent.name, &loaded.doc, context.clock.now()),
            false => Vec::new(),
        };
        let found = ChoiceContext {
            context,
            vault,
            agent: &agent,
            chosen: &chosen,
            removed: &removed,
        };
        let tokens = picks.iter().map(|pick| {
            let token = chosen.token(pick, context);
            token.ok_or_else(|| none(&found, pick))
        });
        let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
        for (pick, token) in picks.iter().zip(&tokens) {
            note_passed_over(&found, pick);
            warn_not_refreshed(&found, token);
            warn_unavailable(&found, token);
        }
        for token in &tokens {
            note_announced(context, vault, &agent, loaded, token)?;
            context.ui.detail(&described(token, context.clock.now()));
        }
        Ok(tokens)
    }

    fn hand_out(
        &self,
        context: &Context,
        vault: &mut UnlockedVault,
        (agent, wanted): (&AgentRef, &[Request]),
        (command, program): (&'static str, Option<&str>),
        accept: &dyn Fn(&Token) -> Result<(), Failure>,
    ) -> Result<Chosen, Failure> {
        let mut options = TokenOptions::default().min_lifetime(self.min_valid.unwrap_or_default());
        if self.strict {
            options = options.strict();
        }
        if let Some(session) = &self.session {
            options = options.session(session);
        }
        let mode = context.mode_for(vault, agent)?;
        let hooks = Hooks {
            command,
            program,
            accept,
            refresh: &|engine, id, when| {
                let what = format!("Refreshing {}", shown_id(id.as_str()));
                let _progress = context.ui.progress(&what);
                // Loaded only here, so that a command without a refresh does not pay for it.
                let agents = context.every_agent(engine.vault)?;
                context.with_refresher(&agents, |refresher| {
                    Ok(engine.refresh(&refresher, agent, mode, id, when)?)
                })
            },
        };
        context.with_engine(vault, |engine| {
            context.hand_out(engine, (agent, mode), (wanted, &options), &hooks)
        })
    }
}
