//! `session pin|unpin|list`: which profile a session uses.

use clap::{Args, Subcommand};
use clawkeep::internal::domain::{ProfileId, ProviderId};
use clawkeep::internal::vault::Pin;
use serde_json::{Value, json};

use crate::commands::auth::checks;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::options::named::Names;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::table::table;
use crate::terminal::text::{local_minute, one_line, shown_id};

/// Which profile a session uses.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  clawkeep session pin telegram:42 anthropic:work\n  clawkeep \
        session list"
)]
pub(crate) enum Session {
    /// Make a session use a profile before any other of its provider
    #[command(
        after_help = "Example:\n  clawkeep session pin telegram:42 anthropic:work   then: \
            clawkeep token --provider anthropic --session telegram:42"
    )]
    Pin(PinSession),
    /// Remove a session's pins
    #[command(
        after_help = "Examples:\n  clawkeep session unpin telegram:42\n  clawkeep session unpin \
            telegram:42 --provider anthropic"
    )]
    Unpin(UnpinSession),
    /// Show which sessions are pinned
    #[command(after_help = "Example:\n  clawkeep session list --json")]
    List(ListSessions),
}

/// `pin`
#[derive(Debug, Args)]
pub(crate) struct PinSession {
    /// The session's name in the program that runs it
    #[arg(value_name = "SESSION", value_parser = ids::session)]
    session: String,
    /// The profile
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    agent: AgentOption,
}

/// `unpin`
#[derive(Debug, Args)]
pub(crate) struct UnpinSession {
    /// The session
    #[arg(value_name = "SESSION", value_parser = ids::session)]
    session: String,
    /// Only for this provider
    #[arg(long, value_name = "NAME", value_parser = ids::provider)]
    provider: Option<ProviderId>,
    #[command(flatten)]
    agent: AgentOption,
}

/// `list`
#[derive(Debug, Args)]
pub(crate) struct ListSessions {
    #[command(flatten)]
    agent: AgentOption,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Session {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Pin(command) => command.run(context),
            Self::Unpin(command) => command.run(context),
            Self::List(command) => command.run(context),
        }
    }
}

impl PinSession {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let mut vault = context.vault()?;
        let loaded = context.load(&mut vault, &agent)?;
        let typed = ids::id_in(&loaded.doc, &self.id);
        let whole = match loaded.doc.credential(typed) {
            None if !is_called_as_gateway() => Names::of_store(&loaded.doc).find_id(typed)?,
            _ => None,
        };
        let id = ProfileId::new(whole.as_deref().unwrap_or(typed));
        let credential = checks::existing_of(&loaded, &agent, id.as_str())?;
        let provider = ProviderId::new(credential.provider);
        let pins = vault.pins(&agent.name)?;
        let is_known = pins.iter().any(|pin| {
            (&pin.session, &pin.provider, &pin.profile) == (&self.session, &provider, &id)
        });
        if !is_known {
            context.with_engine(&mut vault, |engine| {
                let mut tx = engine.vault.begin(&context.actor, context.clock)?;
                tx.pin_session(&agent.name, &self.session, &provider, &id)?;
                Ok::<_, Failure>(tx.commit()?)
            })?;
        }
        let text = format!(
            "Session {} uses {} for {provider}.\n",
            shown_id(&self.session),
            shown_id(id.as_str())
        );
        let pinned = json!({
            "session": self.session,
            "provider": provider.as_str(),
            "profile": id.as_str(),
        });
        context.ui.done(&text, &pinned)?;
        context.verdict(loaded)
    }
}

impl UnpinSession {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let mut vault = context.vault()?;
        let is_wanted = |pin: &Pin| {
            pin.session == self.session
                && self
                    .provider
                    .as_ref()
                    .is_none_or(|provider| *provider == pin.provider)
        };
        let pins: Vec<Pin> = vault
            .pins(&agent.name)?
            .into_iter()
            .filter(is_wanted)
            .collect();
        let shown = shown_id(&self.session);
        let providers: Vec<&str> = pins.iter().map(|pin| pin.provider.as_str()).collect();
        let unpinned = json!({"session": self.session, "providers": providers});
        if pins.is_empty() {
            let text = format!("Session {shown} is not pinned.\n");
            return context.ui.done(&text, &unpinned);
        }
        context.with_engine(&mut vault, |engine| {
            let mut tx = engine.vault.begin(&context.actor, context.clock)?;
            for pin in &pins {
                tx.unpin_session(&agent.name, pin)?;
            }
            Ok::<_, Failure>(tx.commit()?)
        })?;
        let providers = providers.join(", ");
        let text = format!("Session {shown} is not pinned any more for {providers}.\n");
        context.ui.done(&text, &unpinned)
    }
}

impl ListSessions {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let vault = match self.json {
            true => context.locked()?,
            false => context.unverified()?,
        };
        let pins = vault.unverified_pins(&agent.name)?;
        if self.json {
            let pins: Vec<Value> = pins.iter().map(to_json).collect();
            return context.ui.json(&json!({"verified": false, "pins": pins}));
        }
        if pins.is_empty() {
            context.ui.note("No session is pinned.");
        }
        let rows: Vec<[String; 4]> = pins
            .iter()
            .map(|pin| {
                let cells = [
                    pin.session.clone(),
                    pin.provider.as_str().to_owned(),
                    pin.profile.as_str().to_owned(),
                    local_minute(pin.pinned_at),
                ];
                cells.map(|cell| one_line(&cell))
            })
            .collect();
        let header = ["SESSION", "PROVIDER", "PROFILE", "SINCE"];
        context.ui.answer(&table(header, &rows, context.ui.width()))
    }
}

fn to_json(pin: &Pin) -> Value {
    json!({
        "session": pin.session,
        "provider": pin.provider.as_str(),
        "profile": pin.profile.as_str(),
        "pinnedAt": pin.pinned_at.rfc3339_millis(),
    })
}
