//! `refresh`: refreshes logins before they expire.

use clap::Args;
use clawkeep::internal::client::Request;
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{Credential, Fingerprint, ProfileId, Span};
use clawkeep::internal::health::is_due;
use clawkeep::internal::sync::{
    DUE_BELOW_MS, NotRefreshed, RefreshOutcome, When, is_refreshed_here,
};
use clawkeep::internal::vault::UnlockedVault;
use serde_json::{Value, json};

use super::naming::request_for;
use super::opened::OpenedVault;
use super::refresh_failure;
use crate::commands::auth::checks;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::options::time_arg::span;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::text::shown_id;

/// Refresh logins.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep refresh openai-codex:default   now, whether or not it is \
        due\n  clawkeep refresh --due --within 1h      for cron: every agent's logins that expire \
        within an hour\n\nConcurrent callers share one request. clawkeep never refreshes another \
        program's login (Claude Code's, Codex's). Exit status 1 when a refresh fails."
)]
pub(crate) struct Refresh {
    /// The profiles, by a part of their ids; or a provider
    #[arg(
        value_name = "ID",
        required_unless_present = "due",
        conflicts_with = "due"
    )]
    ids: Vec<String>,
    /// Every login that is due and can be refreshed here, of every agent or of the one named
    #[arg(long)]
    due: bool,
    /// Logins that expire within this time: 5m, 1h [default: 60s]
    #[arg(long, value_name = "SPAN", value_parser = span, requires = "due", conflicts_with = "ids")]
    within: Option<Span>,
    #[command(flatten)]
    agent: AgentOption,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The outcome of refreshing one login.
struct Outcome {
    agent: AgentRef,
    id: String,
    result: Result<RefreshOutcome, Failure>,
    /// Its remaining lifetime and its expiry, both in milliseconds.
    ends: Option<(f64, i64)>,
    /// The fix if it was not refreshed.
    next: String,
}

impl Refresh {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        context.providers()?; // invalid settings are reported even if nothing is due
        context.places.check_single()?;
        let vault = context.vault()?;
        let agents = context.every_agent(&vault)?;
        let mut vault = OpenedVault::from(vault);
        let mut trouble = Vec::new();
        let wanted = self.wanted(context, &mut vault, &agents, &mut trouble)?;
        let vault = vault.unlock(context)?;
        let when = if self.due {
            When::LessLeftThan(self.least_ms())
        } else {
            When::Now
        };
        let mut outcomes = Vec::new();
        let mut done: Vec<(Fingerprint, Option<NotRefreshed>)> = Vec::new();
        for (agent, id) in wanted {
            // A login that several agents have is refreshed once.
            let grant = grant_of(vault, &agent, &id);
            let known = done.iter().find(|(known, _)| Some(*known) == grant);
            if let Some((_, not_refreshed)) = known.cloned() {
                let result =
                    not_refreshed.map_or(RefreshOutcome::StillValid, RefreshOutcome::NotRefreshed);
                outcomes.push(read_outcome(context, vault, agent, &id, Ok(result)));
                continue;
            }
            let outcome = refresh_login(context, vault, &agents, (agent, id), when);
            let not_refreshed = match &outcome.result {
                Ok(RefreshOutcome::NotRefreshed(why)) => Some(why.clone()),
                _ => None,
            };
            let now = grant_of(vault, &outcome.agent, &ProfileId::new(&outcome.id));
            if outcome.result.is_ok() {
                done.extend(
                    grant
                        .into_iter()
                        .chain(now)
                        .map(|grant| (grant, not_refreshed.clone())),
                );
            }
            outcomes.push(outcome);
        }
        if self.json {
            let rows: Vec<Value> = outcomes.iter().map(Outcome::to_json).collect();
            context.ui.json(&json!({"refreshed": rows}))?;
        } else if outcomes.is_empty() && trouble.is_empty() {
            context
                .ui
                .note("No login is due that can be refreshed here.");
        }
        conclude(context, outcomes, trouble, self.json)
    }

    /// Adds the login that a word names, or those of a provider.
    fn add_named(
        &self,
        context: &Context,
        vault: &mut OpenedVault,
        word: &str,
        wanted: &mut Vec<(AgentRef, ProfileId)>,
    ) -> Result<(), Failure> {
        let mut agent = self.agent.clone();
        let request = match request_for(context, vault, word, &mut agent) {
            // A whole id is one that is gone, and no name.
            Err(Failure::UnknownName { .. }) if word.contains(':') => {
                let holder = self.agent.resolve(context)?;
                let loaded = context.load_silently(vault.unlock(context)?, &holder)?;
                checks::existing_of(&loaded, &holder, word)?;
                return Ok(());
            }
            request => request?,
        };
        let holder = agent.resolve(context)?;
        let loaded = context.load_silently(vault.unlock(context)?, &holder)?;
        let ids: Vec<String> = match request {
            Request::Provider(provider) => {
                let of_provider = loaded.doc.credentials().filter(|(id, credential)| {
                    credential.is_for(provider.as_str())
                        && is_refreshed_here(context.providers().ok(), id, credential)
                });
                let ids: Vec<String> = of_provider.map(|(id, _)| id.to_owned()).collect();
                if ids.is_empty() {
                    return Err(Failure::Refused {
                        what: format!("clawkeep refreshes no login of {provider} here"),
                        next: "See what refreshes each login: clawkeep status".to_owned(),
                    });
                }
                ids
            }
            profile => vec![profile.name().to_owned()],
        };
        for id in ids {
            checks::existing_of(&loaded, &holder, &id)?;
            wanted.push((holder.clone(), ProfileId::new(&id)));
        }
        Ok(())
    }

    fn least_ms(&self) -> i64 {
        self.within.unwrap_or_default().ms().max(DUE_BELOW_MS)
    }

    /// The logins to refresh, each with its agent.
    fn wanted(
        &self,
        context: &Context,
        opened: &mut OpenedVault,
        agents: &[AgentRef],
        trouble: &mut Vec<Failure>,
    ) -> Result<Vec<(AgentRef, ProfileId)>, Failure> {
        let mut wanted = Vec::new();
        if !self.due {
            let agent = self.agent.resolve(context)?;
            let loaded = context.load(opened.unlock(context)?, &agent)?;
            for word in &self.ids {
                let id = ids::id_in(&loaded.doc, word);
                let is_stored = loaded.doc.credential(id).is_some();
                if is_stored || loaded.damage.hides(id, &loaded.doc) || is_called_as_gateway() {
                    checks::existing_of(&loaded, &agent, id)?;
                    wanted.push((agent.clone(), ProfileId::new(id)));
                } else {
                    self.add_named(context, opened, word, &mut wanted)?;
                }
            }
            return Ok(wanted);
        }
        let one = self.agent.is_named().then(|| self.agent.resolve(context));
        let one = one.transpose()?;
        let now = context.clock.now();
        let vault = opened.unlock(context)?;
        for agent in one.as_ref().map_or(agents, std::slice::from_ref) {
            // One agent's failure does not stop the others.
            let loaded = match context.load(vault, agent) {
                Ok(loaded) => loaded,
                Err(failure) => {
                    trouble.push(failure);
                    continue;
                }
            };
            let is_wanted = |id: &str, credential: &Credential<'_>| {
                is_due(credential, now, self.least_ms())
                    && is_refreshed_here(context.providers().ok(), id, credential)
            };
            for (id, credential) in loaded.doc.credentials() {
                if is_wanted(id, &credential) {
                    wanted.push((agent.clone(), ProfileId::new(id)));
                }
            }
        }
        Ok(wanted)
    }
}

fn refresh_login(
    context: &Context,
    vault: &mut UnlockedVault,
    agents: &[AgentRef],
    (agent, id): (AgentRef, ProfileId),
    when: When,
) -> Outcome {
    let _progress = context
        .ui
        .progress(&format!("Refreshing {}", shown_id(id.as_str())));
    let result = context.with_refresher(agents, |refresher| {
        let mode = context.mode_for(vault, &agent)?;
        let refresh = |engine: &mut clawkeep::internal::sync::Engine<'_>| {
            engine.refresh(&refresher, &agent, mode, &id, when)
        };
        Ok(context.with_engine(vault, refresh)?)
    });
    read_outcome(context, vault, agent, &id, result)
}

/// The state of a login after the attempt.
fn read_outcome(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: AgentRef,
    id: &ProfileId,
    result: Result<RefreshOutcome, Failure>,
) -> Outcome {
    let loaded = context.load(vault, &agent);
    let doc = loaded.map(|loaded| loaded.doc).unwrap_or_default();
    let now = context.clock.now();
    let expiry = doc
        .credential(id.as_str())
        .and_then(|credential| credential.expiry());
    let next = match &result {
        Ok(RefreshOutcome::NotRefreshed(why)) => {
            refresh_failure::fix(context, (&agent.name, &doc), id.as_str(), why)
        }
        _ => String::new(),
    };
    Outcome {
        ends: expiry.map(|ends| (ends.left_at(now), ends.floor_ms())),
        id: id.as_str().to_owned(),
        agent,
        result,
        next,
    }
}

impl Outcome {
    fn to_json(&self) -> Value {
        let mut row = json!({"agent": self.agent.name.as_str(), "profile": self.id});
        let (result, why) = match &self.result {
            Ok(RefreshOutcome::Refreshed(_)) => ("refreshed", None),
            Ok(RefreshOutcome::NotRefreshed(why)) => ("failed", Some(why.as_str().to_owned())),
            Ok(_) => ("lasts", None),
            Err(failure) => ("failed", Some(failure.lines().join(" "))),
        };
        row["result"] = json!(result);
        if let Some(why) = why {
            row["why"] = json!(why);
        }
        if let Some((_, ends)) = self.ends {
            row["expires"] = json!(ends);
        }
        row
    }
}

/// The grant of a stored login.
fn grant_of(vault: &UnlockedVault, agent: &AgentRef, id: &ProfileId) -> Option<Fingerprint> {
    let state = vault.agent(&agent.name).ok()?;
    let refresh = state.doc.credential(id.as_str())?.expose_refresh()?;
    Some(vault.fingerprint(refresh))
}

/// Reports each outcome; the worst failure ends the command.
fn conclude(
    context: &Context,
    outcomes: Vec<Outcome>,
    mut failures: Vec<Failure>,
    is_json: bool,
) -> Result<(), Failure> {
    let is_single = outcomes.len() + failures.len() == 1;
    let mut worst: Option<Failure> = None;
    let mut not_written = None;
    let mut text = String::new();
    for outcome in outcomes {
        let id = shown_id(&outcome.id);
        let of_agent = if outcome.agent.name == clawkeep::internal::domain::AgentName::default() {
            String::new()
        } else {
            format!(" of agent {}", shown_id(outcome.agent.name.as_str()))
        };
        let lasts = outcome.ends.map_or_else(String::new, |(left, _)| {
            format!("; it expires in {}", Span::from_f64(left).short())
        });
        match outcome.result {
            Ok(RefreshOutcome::Refreshed(trouble)) => {
                text.push_str(&format!("Refreshed {id}{of_agent}{lasts}.\n"));
                not_written = not_written.or(trouble.into_iter().next());
            }
            Ok(RefreshOutcome::NotRefreshed(why)) => failures.push(Failure::Refused {
                what: format!("{}{of_agent}", refresh_failure::reason(&outcome.id, &why)),
                next: outcome.next,
            }),
            Ok(_) => text.push_str(&format!(
                "{id}{of_agent} has been refreshed already{lasts}.\n"
            )),
            Err(failure) => failures.push(failure),
        }
    }
    if !is_json && !text.is_empty() {
        context.ui.answer(&text)?;
    }
    for failure in failures {
        let is_worse = worst
            .as_ref()
            .is_none_or(|worst| failure.exit_status() > worst.exit_status());
        let lesser = if is_worse {
            worst.replace(failure)
        } else {
            Some(failure)
        };
        if let Some(lesser) = lesser.filter(|_| !is_single) {
            context.ui.error(&lesser.lines().join(" "));
            if let Some(next) = lesser.remedy("clawkeep refresh") {
                context.ui.warn(&next);
            }
        }
    }
    match (worst, not_written) {
        (Some(failure), _) => Err(failure),
        (None, Some(error)) => Err(Failure::NotWritten(error)),
        (None, None) => Ok(()),
    }
}
