//! The phrases that messages are made of: places, causes and times.

use std::collections::BTreeSet;

use super::surveyed::SurveyedCredential;
use super::text::named;
use crate::domain::{AgentName, UnixMs, calendar};
use crate::health::{Loss, Outlook, RefreshedBy};

/// How many places a message names; the rest is counted.
pub(super) const NAMES_MAX: usize = 6;

/// Whether other credentials are usable, as a sentence with a space before it.
pub(super) fn others(all: &[&SurveyedCredential]) -> String {
    let provider = all.first().map(|first| named(first.provider.as_str()));
    let provider = provider.unwrap_or_default();
    let without = |status: &&&SurveyedCredential| !status.has_others;
    let alone: BTreeSet<String> = all
        .iter()
        .filter(without)
        .map(|status| named(status.agent.as_str()))
        .collect();
    match alone.len() {
        0 => format!(" Other credentials for {provider} can be used."),
        _ if all.iter().all(|status| !status.has_others) => {
            format!(" There is no other credential for {provider} that can be used.")
        }
        1 => format!(
            " Agent {} has no other credential for {provider} that can be used.",
            listed(&alone)
        ),
        _ => format!(
            " Agents {} have no other credential for {provider} that can be used.",
            listed(&alone)
        ),
    }
}

pub(super) fn lost(loss: Loss, name: &str, who: &str) -> (String, String) {
    match loss {
        Loss::Dead => (
            format!("The login {name} is over"),
            format!("{who} cannot be refreshed: its provider rejects the refresh token."),
        ),
        Loss::Unopened => (
            format!("The login {name} is over"),
            format!(
                "{who} cannot be refreshed: the answer to its last refresh does not open, and its \
                 refresh token is used up."
            ),
        ),
        Loss::Spent => (
            format!("{name} cannot be refreshed"),
            format!("{who} cannot be refreshed: its refresh token was replaced by a newer one."),
        ),
        Loss::Moved => (
            format!("{name} is not refreshed"),
            format!(
                "{who} is not refreshed: the settings name another token endpoint or client than \
                 the one it belongs to."
            ),
        ),
        Loss::Uncertain => (
            format!("{name} may be lost"),
            format!("{who} may have lost its refresh token: a refresh had no answer."),
        ),
    }
}

pub(super) fn not_refreshed(status: &SurveyedCredential) -> String {
    match (status.outlook, &status.failed) {
        (Outlook::Refreshed(RefreshedBy::Program(owner), _), _) => {
            format!("{} has not refreshed it", owner.program())
        }
        (Outlook::Refreshed(RefreshedBy::Clawkeep, _), Some(failed)) => {
            format!(
                "could not be refreshed: the last refresh failed ({})",
                named(failed)
            )
        }
        _ => "has not been refreshed".to_owned(),
    }
}

/// Names a login and its agents: `openai:work (agents main, ops)`.
pub(super) fn places(all: &[&SurveyedCredential]) -> String {
    let ids: BTreeSet<String> = all
        .iter()
        .map(|status| named(status.profile.as_str()))
        .collect();
    let agents: BTreeSet<String> = all
        .iter()
        .map(|status| named(status.agent.as_str()))
        .collect();
    let is_main = agents.len() == 1 && agents.contains(AgentName::default().as_str());
    let ids = match ids.len() {
        1 => listed(&ids),
        _ => format!("The login {}", listed(&ids)),
    };
    match agents.len() {
        _ if is_main => ids,
        1 => format!("{ids} (agent {})", listed(&agents)),
        _ => format!("{ids} (agents {})", listed(&agents)),
    }
}

pub(super) fn listed(names: &BTreeSet<String>) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_MAX).cloned().collect();
    in_words(&shown, names.len())
}

pub(super) fn in_words(shown: &[String], count: usize) -> String {
    let more = count.saturating_sub(shown.len());
    let rest = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{rest}", shown.join(", "))
}

pub(super) fn day(at: UnixMs) -> String {
    let at = calendar(at).unwrap_or_default();
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}
