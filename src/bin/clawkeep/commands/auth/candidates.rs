//! `models auth candidates`: which credentials would be tried, in order.

use clap::Args;
use clawkeep::internal::client::preferences_of;
use clawkeep::internal::config::status_agent;
use clawkeep::internal::domain::{
    Credential, EntryFault, ProfileId, ProviderId, Section, StoreDoc, unavailability,
};
use clawkeep::internal::health::{AsOf, CredentialState, Status};
use clawkeep::internal::selection::candidates;
use clawkeep::internal::sync::Rules;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::{self, shown_id};

/// Which credentials would be tried, in order.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep models auth candidates --provider anthropic\n  clawkeep \
        models auth candidates --provider anthropic --prefer anthropic:work --json"
)]
pub(crate) struct Candidates {
    /// The provider, for example anthropic
    #[arg(long, value_name = "NAME")]
    provider: String,
    /// A profile to try first, if it is a candidate at all
    #[arg(long, value_name = "ID")]
    prefer: Option<String>,
    /// Choose as for this session: its pinned profile goes first
    #[arg(long, value_name = "SESSION", conflicts_with = "prefer")]
    session: Option<String>,
    /// The agent [default: $CLAWDBOT_AGENT_DIR, else main]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Candidates {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let settings = context.settings()?;
        let agent = status_agent(
            &context.layout,
            settings,
            &context.env,
            self.agent.as_deref(),
        );
        let provider = ProviderId::new(&self.provider);
        let mut vault = context.vault_to_read()?;
        let loaded = context.load(&mut vault, &agent)?;
        let preferences = preferences_of(settings, &provider);
        let pinned = match &self.session {
            Some(session) => {
                let mut pins = vault.pins(&agent.name)?.into_iter();
                pins.find(|pin| pin.session == session.trim() && pin.provider == provider)
                    .map(|pin| pin.profile)
            }
            None => None,
        };
        let prefer = self
            .prefer
            .map(|id| ProfileId::new(id.trim()))
            .or_else(|| pinned.clone());
        let now = context.clock.now();
        let ids = candidates(&loaded.doc, &preferences, &provider, prefer.as_ref(), now);
        if let Some(prefer) = prefer.as_ref().filter(|prefer| !ids.contains(prefer)) {
            let prefer = shown_id(prefer.as_str());
            context.ui.note(&format!(
                "Note: {prefer} is not among them, so it is not preferred."
            ));
        }
        if self.json {
            let ids: Vec<&str> = ids.iter().map(ProfileId::as_str).collect();
            context.ui.json(&json!({"candidates": ids}))?;
        } else {
            if ids.is_empty() {
                let none = format!("No credential of {provider} would be tried.");
                context.ui.note(&none);
            }
            let fault = |id: &ProfileId| {
                let credential = loaded.doc.credential(id.as_str());
                let fault = credential.as_ref().and_then(Credential::entry_fault);
                let is_own = context.rules == Rules::Own;
                fault.map(EntryFault::as_str).filter(|_| is_own)
            };
            let next = ids.iter().find(|id| fault(id).is_none());
            let line = |id: &ProfileId| {
                let marks = Marks {
                    is_next: next == Some(id),
                    is_pinned: pinned.as_ref() == Some(id),
                    fault: fault(id),
                };
                format!(
                    "{}\n",
                    line(&loaded.doc, &provider, id, marks, context.as_of(now))
                )
            };
            let lines: String = ids.iter().map(line).collect();
            context.ui.answer(&lines)?;
        }
        context.verdict(loaded)
    }
}

/// Facts about a candidate beside its store.
#[derive(Clone, Copy)]
struct Marks {
    is_next: bool,
    is_pinned: bool,
    /// Why it cannot be handed out, in one word.
    fault: Option<&'static str>,
}

fn line(
    doc: &StoreDoc,
    provider: &ProviderId,
    id: &ProfileId,
    marks: Marks,
    as_of: AsOf,
) -> String {
    let mut flags = Vec::new();
    if marks.is_next {
        flags.push("next".to_owned());
    }
    if marks.is_pinned {
        flags.push("pinned".to_owned());
    }
    if doc
        .get(Section::LastGood, provider.as_str())
        .and_then(serde_json::Value::as_str)
        == Some(id.as_str())
    {
        flags.push("lastGood".to_owned());
    }
    flags.extend(marks.fault.map(|fault| format!("unusable: {fault}")));
    flags.extend(
        unavailability(doc, id.as_str(), as_of.now)
            .map(|unavailability| text::shown_unavailability(&unavailability)),
    );
    match doc.credential(id.as_str()) {
        None => flags.push("missing".to_owned()),
        Some(credential) => {
            let health = CredentialState::of(&credential, as_of).health;
            match (health.status, health.left()) {
                (Status::Missing, _) => flags.push("missing".to_owned()),
                (Status::Expired, _) => flags.push("expired".to_owned()),
                (_, Some(left)) => flags.push(format!("exp {}", left.short())),
                (_, None) => {}
            }
        }
    }
    let id = shown_id(id.as_str());
    if flags.is_empty() {
        id
    } else {
        format!("{id} ({})", flags.join(", "))
    }
}
