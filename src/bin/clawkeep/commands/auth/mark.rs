//! `models auth mark`: records the result of using a credential.

use clap::{Args, ValueEnum};
use clawkeep::internal::client::{self, marked};
use clawkeep::internal::domain::{Unavailability, unavailability};
use clawkeep::internal::selection::FailureReason;
use serde_json::json;

use super::{checks, edit};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::terminal::text::{self, shown_id};

/// Report the result of using a credential.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep models auth mark anthropic:work --used\n  clawkeep models \
        auth mark anthropic:work --failed rate_limit   in cooldown for 1, 5, 25, then 60 \
        minutes\n  clawkeep models auth mark anthropic:work --clear"
)]
pub(crate) struct Mark {
    /// The profile
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    result: UseResult,
    #[command(flatten)]
    agent: AgentOption,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct UseResult {
    /// It worked
    #[arg(long)]
    used: bool,
    /// It was refused
    #[arg(long, value_enum, value_name = "REASON")]
    failed: Option<Reason>,
    /// Lift its cooldown
    #[arg(long)]
    clear: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reason {
    /// The credential was refused
    Auth,
    /// The request made no sense to the provider
    Format,
    /// Too many requests
    #[value(name = "rate_limit", alias = "rate-limit")]
    RateLimit,
    /// No money left: in cooldown for hours
    Billing,
    /// No answer in time
    Timeout,
    /// Anything else
    Unknown,
}

impl From<Reason> for FailureReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Auth => Self::Auth,
            Reason::Format => Self::Format,
            Reason::RateLimit => Self::RateLimit,
            Reason::Billing => Self::Billing,
            Reason::Timeout => Self::Timeout,
            Reason::Unknown => Self::Unknown,
        }
    }
}

impl Mark {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let (now, rules) = (context.clock.now(), &context.settings()?.cooldowns);
        let mut vault = context.vault()?;
        let loaded = edit::edit_store(context, &mut vault, &agent, |doc| {
            let id = ids::id_in(doc, &self.id);
            checks::existing(doc, &agent, id)?;
            Ok(marked(doc, id, self.result.mark(), rules, now)?)
        })?;
        let id = ids::id_in(&loaded.doc, &self.id);
        let found = unavailability(&loaded.doc, id, now);
        let ready = || "ready".to_owned();
        let shown = found.as_ref().map(text::shown_unavailability);
        let marked = json!({
            "profileId": id,
            "agentId": agent.name.as_str(),
            "state": found.as_ref().map_or_else(ready, Unavailability::state),
        });
        let text = format!("{}: {}\n", shown_id(id), shown.unwrap_or_else(ready));
        context.ui.done(&text, &marked)?;
        context.verdict(loaded)
    }
}

impl UseResult {
    fn mark(&self) -> client::Mark {
        match self.failed {
            Some(reason) => client::Mark::Failed(reason.into()),
            None if self.used => client::Mark::Used,
            None => client::Mark::Cleared,
        }
    }
}
