//! `models auth order get|set|clear`: an agent's explicit order of a provider's credentials.

use clap::{Args, Subcommand};
use clawkeep::internal::audit::{EventKind, Filter, KindFilter};
use clawkeep::internal::client::{ClientError, order_cleared, order_set, preferences_of};
use clawkeep::internal::config::{AgentRef, order_agent};
use clawkeep::internal::domain::{ProfileId, ProviderId, StoreDoc, path_text};
use clawkeep::internal::selection::candidates_ignoring_cooldowns;
use clawkeep::internal::sync::{Edited, Loaded};
use clawkeep::internal::vault::UnlockedVault;
use serde_json::{Value, json};

use super::{checks, edit};
use crate::advice::shell_word;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::ids;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::text::{shown_id, shown_ids};

/// Changes of orders that are searched for a removed credential's place.
const CHANGES_MAX: u64 = 256;

/// What the event of an order says of the command that set it, if others follow at its end.
const MEANS: &str = "means";
const USE: &str = "use";

/// The order in which an agent tries a provider's credentials.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  clawkeep models auth order get --provider anthropic\n  clawkeep \
        models auth order set --provider anthropic anthropic:claude-cli anthropic:work"
)]
pub(crate) enum Order {
    /// Show the override, if there is one
    #[command(after_help = "Example:\n  clawkeep models auth order get --provider anthropic")]
    Get(Get),
    /// Set the override: only these are tried, in this order
    #[command(
        after_help = "Example:\n  clawkeep models auth order set --provider anthropic \
            anthropic:claude-cli anthropic:work"
    )]
    Set(Set),
    /// Remove the override
    #[command(after_help = "Example:\n  clawkeep models auth order clear --provider anthropic")]
    Clear(Clear),
}

/// The provider and the agent of an order.
#[derive(Debug, Args)]
pub(crate) struct OrderTarget {
    /// The provider, for example anthropic
    #[arg(long, value_name = "NAME", value_parser = ids::provider)]
    provider: ProviderId,
    /// The agent [default: the configured default agent]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

/// `get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    #[command(flatten)]
    target: OrderTarget,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `set`
#[derive(Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    target: OrderTarget,
    /// Profile ids, the first to be tried first
    #[arg(required = true, value_name = "IDS")]
    ids: Vec<String>,
}

/// `clear`
#[derive(Debug, Args)]
pub(crate) struct Clear {
    #[command(flatten)]
    target: OrderTarget,
}

impl OrderTarget {
    fn agent(&self, context: &Context) -> Result<AgentRef, Failure> {
        let settings = context.settings()?;
        Ok(order_agent(
            &context.layout,
            settings,
            self.agent.as_deref(),
        ))
    }
}

impl Order {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Get(command) => command.run(context),
            Self::Set(command) => command.run(context),
            Self::Clear(command) => command.run(context),
        }
    }
}

/// The override as stored in the file, whatever its strings are.
fn override_of(doc: &StoreDoc, provider: &ProviderId) -> Option<Vec<String>> {
    let ids = doc.order_for(provider.as_str())?;
    Some(ids.iter().map(|id| id.as_str().to_owned()).collect())
}

impl Get {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.target.agent(context)?;
        let mut vault = context.vault_to_read()?;
        let loaded = context.load(&mut vault, &agent)?;
        let order = override_of(&loaded.doc, &self.target.provider);
        let store = context.layout.shorten_home(&agent.store_file());
        if self.json {
            context.ui.json(&json!({
                "agentId": agent.name.as_str(),
                "agentDir": path_text(&agent.dir).into_owned(),
                "provider": self.target.provider.as_str(),
                "authStorePath": store,
                "order": order,
            }))?;
        } else {
            let order = order.map_or_else(
                || "(none)".to_owned(),
                |ids| shown_ids(ids.iter().map(String::as_str)),
            );
            context.ui.answer(&format!(
                "Agent: {}\nProvider: {}\nAuth file: {store}\nOrder override: {order}\n",
                shown_id(agent.name.as_str()),
                self.target.provider
            ))?;
        }
        context.verdict(loaded)
    }
}

impl Set {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.target.agent(context)?;
        let provider = &self.target.provider;
        let mut ids: Vec<&str> = Vec::new();
        for id in self
            .ids
            .iter()
            .map(|id| id.trim())
            .filter(|id| !id.is_empty())
        {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        if ids.is_empty() {
            return Err(Failure::BadArgument(
                "Missing profile ids. Provide one or more profile ids.".to_owned(),
            ));
        }
        let mut vault = context.vault()?;
        let loaded = edit::edit_store(context, &mut vault, &agent, |doc| {
            set_order(doc, &agent, provider, &ids)
        })?;
        let text = format!(
            "Agent: {}\nProvider: {provider}\nOrder override: {}\n",
            shown_id(agent.name.as_str()),
            shown_ids(ids.iter().copied())
        );
        context
            .ui
            .done(&text, &order_json(&agent, provider, Some(&ids)))?;
        context.verdict(loaded)
    }
}

impl Clear {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.target.agent(context)?;
        let provider = &self.target.provider;
        let mut vault = context.vault()?;
        let loaded = edit::edit_store(context, &mut vault, &agent, |doc| {
            Ok(order_cleared(doc, provider))
        })?;
        let text = format!(
            "Agent: {}\nProvider: {provider}\nCleared per-agent order override.\n",
            shown_id(agent.name.as_str())
        );
        context
            .ui
            .done(&text, &order_json(&agent, provider, None))?;
        context.verdict(loaded)
    }
}

fn order_json(agent: &AgentRef, provider: &ProviderId, order: Option<&[&str]>) -> Value {
    json!({"agentId": agent.name.as_str(), "provider": provider.as_str(), "order": order})
}

/// Puts a credential before the others of its provider in an agent's order. Returns the provider,
/// the order, and what was loaded: the caller answers.
pub(crate) fn put_first(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: &AgentRef,
    id: &str,
) -> Result<(ProviderId, Vec<ProfileId>, Loaded), Failure> {
    let settings = context.settings()?;
    let ordered = |doc: &StoreDoc| {
        let credential = checks::existing(doc, agent, id)?;
        let provider = ProviderId::new(credential.provider);
        let preferences = preferences_of(settings, &provider);
        let before = candidates_ignoring_cooldowns(doc, &preferences, &provider, None);
        let others = before.into_iter().filter(|other| other.as_str() != id);
        // An order may name only what the store has.
        let stored = others.filter(|other| {
            let other = doc.credential(other.as_str());
            other.is_some_and(|other| other.is_readable() && other.is_for(provider.as_str()))
        });
        let ids: Vec<ProfileId> = [ProfileId::new(id)].into_iter().chain(stored).collect();
        Ok::<_, Failure>((provider, ids))
    };
    let loaded = edit::edit_store(context, vault, agent, |doc| {
        let (provider, ids) = ordered(doc)?;
        let ids: Vec<&str> = ids.iter().map(ProfileId::as_str).collect();
        set_order(doc, agent, &provider, &ids).map(open_ended)
    })?;
    let (provider, ids) = ordered(&loaded.doc)?;
    Ok((provider, ids, loaded))
}

/// The same edit, whose orders are recorded as set by `use`: credentials that are added later follow
/// at their ends.
fn open_ended(mut edited: Edited) -> Edited {
    let events = edited.events.into_iter();
    edited.events = events.map(|event| event.detail(MEANS, USE)).collect();
    edited
}

/// The order of a provider if `clawkeep use` set it last, as far as the record has it; `None` of an
/// order that was set otherwise, which stays exact, and under the gateway's name.
pub(crate) fn open_order(
    vault: &UnlockedVault,
    agent: &AgentRef,
    provider: &ProviderId,
) -> Result<Option<Vec<String>>, Failure> {
    if is_called_as_gateway() {
        return Ok(None);
    }
    let kinds = [EventKind::OrderSet, EventKind::OrderCleared];
    let filter = Filter::default()
        .agent(agent.name.as_str().to_owned())
        .kinds(kinds.map(KindFilter::only).to_vec())
        .limit(CHANGES_MAX);
    for event in vault.history(&filter)? {
        let event = event?;
        if event.provider.as_deref() == Some(provider.as_str()) {
            let detail = event.detail.as_deref().unwrap_or_default();
            let detail: Value = serde_json::from_str(detail).unwrap_or_default();
            let is_open = detail[MEANS] == USE;
            return Ok(is_open.then(|| ids_in(&detail["order"])));
        }
    }
    Ok(None)
}

/// Adds credentials that an edit stores at the end of their provider's order, if that is still the
/// `open` one.
pub(crate) fn follow(
    mut edited: Edited,
    provider: &ProviderId,
    ids: &[&str],
    open: Option<&[String]>,
) -> Edited {
    let (Some(doc), Some(open)) = (&edited.doc, open) else {
        return edited;
    };
    let is_new = |id: &&&str| open.iter().all(|known| known != **id);
    let new: Vec<&str> = ids.iter().filter(is_new).copied().collect();
    if new.is_empty() || override_of(doc, provider).as_deref() != Some(open) {
        return edited;
    }
    let order: Vec<&str> = open.iter().map(String::as_str).chain(new).collect();
    if let Ok(ordered) = order_set(doc, provider, &order) {
        let ordered = open_ended(ordered);
        edited.events.extend(ordered.events);
        edited.doc = ordered.doc.or(edited.doc);
    }
    edited
}

/// Reports where a credential that was just stored is in its provider's order: last since then, or
/// left out. Nothing without an order in the store, and under the gateway's name.
pub(crate) fn note_place(
    context: &Context,
    agent: &AgentRef,
    loaded: &Loaded,
    (id, provider): (&str, &ProviderId),
) {
    let order = |doc: &StoreDoc| doc.order_for(provider.as_str());
    let Some(now) = order(&loaded.doc).filter(|_| !is_called_as_gateway()) else {
        return;
    };
    let is_in = |ids: &[ProfileId]| ids.iter().any(|listed| listed.as_str() == id);
    let before = loaded.before.as_ref().and_then(order);
    if !is_in(&now) {
        note_left_out(context, agent, (id, provider));
    } else if before.is_some_and(|before| !is_in(&before)) {
        context.ui.note(&format!(
            "Note: {} follows at the end of the order of {provider}: {}. To use it first: clawkeep \
             use {}{}",
            shown_id(id),
            shown_ids(now.iter().map(ProfileId::as_str)),
            shell_word(id),
            checks::agent_option(agent)
        ));
    }
}

/// Reports that a stored credential is not in the order of its provider.
pub(super) fn note_left_out(
    context: &Context,
    agent: &AgentRef,
    (id, provider): (&str, &ProviderId),
) {
    context.ui.note(&format!(
        "Note: {} is not in the order of {provider}, so it is used only where it is named. To use \
         it first: clawkeep use {}{}",
        shown_id(id),
        shell_word(id),
        checks::agent_option(agent)
    ));
}

/// The order of a provider with `id` at the place that it had when it was removed, as far as the
/// record has it; `None` where it had none, or the order was cleared since.
pub(super) fn with_place_back(
    vault: &UnlockedVault,
    agent: &AgentRef,
    doc: &StoreDoc,
    (id, provider): (&str, &ProviderId),
) -> Result<Option<Vec<String>>, Failure> {
    let of_agent = |kinds: &[EventKind]| {
        let kinds = kinds.iter().copied().map(KindFilter::only).collect();
        let filter = Filter::default().agent(agent.name.as_str().to_owned());
        filter.kinds(kinds).limit(CHANGES_MAX)
    };
    let removals = of_agent(&[EventKind::ProfileRemoved]).profile(id.to_owned());
    let Some(removed) = vault.history(&removals)?.next().transpose()? else {
        return Ok(None);
    };
    let now = doc.order_for(provider.as_str());
    let changes = of_agent(&[EventKind::OrderSet, EventKind::OrderCleared]);
    for event in vault.history(&changes)? {
        let event = event?;
        if event.provider.as_deref() != Some(provider.as_str()) {
            continue;
        }
        if event.at != removed.at {
            if event.at < removed.at || now.is_none() {
                break;
            }
            continue;
        }
        let detail = event.detail.as_deref().unwrap_or_default();
        let detail: Value = serde_json::from_str(detail).unwrap_or_default();
        let before = ids_in(&detail["before"]);
        let Some(place) = before.iter().position(|known| known == id) else {
            break;
        };
        let now = now.unwrap_or_default();
        let mut ids: Vec<String> = now.iter().map(|id| id.as_str().to_owned()).collect();
        if !ids.iter().any(|known| known == id) {
            let is_later = |known: &String| before[place..].contains(known);
            let at = ids.iter().position(is_later).unwrap_or(ids.len());
            ids.insert(at, id.to_owned());
        }
        return Ok(Some(ids));
    }
    Ok(None)
}

/// The ids of an order in the record.
fn ids_in(order: &Value) -> Vec<String> {
    let ids = order.as_array().into_iter().flatten();
    ids.filter_map(|id| Some(id.as_str()?.to_owned())).collect()
}

fn set_order(
    doc: &StoreDoc,
    agent: &AgentRef,
    provider: &ProviderId,
    ids: &[&str],
) -> Result<Edited, Failure> {
    order_set(doc, provider, ids).map_err(|error| {
        let what = match error {
            ClientError::UnknownProfile { profile } => format!(
                "Auth profile \"{profile}\" not found in {}.",
                agent.dir.display()
            ),
            ClientError::OtherProvider { profile, found } => {
                format!("Auth profile \"{profile}\" is for {found}, not {provider}.")
            }
            other => return other.into(),
        };
        let next = checks::list_hint(agent);
        Failure::Refused { what, next }
    })
}
