//! `models auth mark`: records the result of using a credential.

use clap::{Args, ValueEnum};
use clawkeep::audit::{EventDraft, EventKind, Origin, Outcome};
use clawkeep::domain::{
    CooldownRules, ProfileId, ProviderId, Section, StoreDoc, UnixMs, normalize_provider,
    unavailability,
};
use clawkeep::selection::{FailureReason, after_clearing, after_failure, after_use};
use clawkeep::sync::Edited;
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
            Ok(self.result.marked(doc, id, rules, now))
        })?;
        let id = ids::id_in(&loaded.doc, &self.id);
        let state = unavailability(&loaded.doc, id, now).map_or_else(
            || "ready".to_owned(),
            |unavailability| text::shown_unavailability(&unavailability),
        );
        context.ui.answer(&format!("{}: {state}\n", shown_id(id)))?;
        context.verdict(loaded)
    }
}

impl UseResult {
    fn marked(&self, doc: &StoreDoc, id: &str, rules: &CooldownRules, now: UnixMs) -> Edited {
        let provider = doc
            .credential(id)
            .map(|credential| ProviderId::new(credential.provider))
            .unwrap_or_else(|| ProviderId::new(""));
        let event = |kind| {
            EventDraft::new(kind, Origin::Clawkeep).profile(&ProfileId::new(id), provider.as_str())
        };
        let usage = doc.get(Section::Usage, id);
        let mut after = doc.clone();
        let mut events = Vec::new();
        if let Some(reason) = self.failed.map(FailureReason::from) {
            let failed = after_failure(usage, reason, &provider, rules, now);
            events.push(
                event(EventKind::CredentialFailed)
                    .outcome(Outcome::Failed)
                    .detail("reason", reason.as_str())
                    .detail("failures", failed.failures),
            );
            events.push(
                event(EventKind::CooldownSet)
                    .detail("until", failed.until.0)
                    .detail("reason", reason.as_str()),
            );
            after.set(Section::Usage, id, failed.usage);
        } else if self.used {
            let was_in_cooldown = unavailability(doc, id, now).is_some();
            after.set(Section::Usage, id, after_use(usage, now));
            after.set(Section::LastGood, &last_good_key(doc, &provider), json!(id));
            events.push(event(EventKind::CredentialUsed));
            if was_in_cooldown {
                events.push(event(EventKind::CooldownCleared).detail("by", "use"));
            }
        } else if let Some(cleared) = after_clearing(usage) {
            after.set(Section::Usage, id, cleared);
            events.push(event(EventKind::CooldownCleared));
        }
        Edited::to(after, events)
    }
}

/// The provider's key in `lastGood`: the existing one, however it is spelled.
fn last_good_key(doc: &StoreDoc, provider: &ProviderId) -> String {
    doc.entries(Section::LastGood)
        .map(|(key, _)| key)
        .find(|key| normalize_provider(key) == provider.as_str())
        .unwrap_or(provider.as_str())
        .to_owned()
}
