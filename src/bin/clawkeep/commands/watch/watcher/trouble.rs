//! Alerts about the watcher itself: agents that keep failing, settings that cannot be used.

use std::sync::mpsc::Sender;

use clawkeep::internal::config::AgentRef;

use super::log;
use super::state::Wake;
use crate::commands::watch::alerting::{Alerting, NotifyArg, Trouble};
use crate::context::Context;
use crate::failure::Failure;

/// Why the notification targets are unknown.
pub(crate) fn notify_fault(context: &Context) -> Option<String> {
    let own = context.own().ok()?;
    let why = log::in_a_line(&own.notify_fault.as_ref()?.error().into());
    Some(format!("{why} Until then, the earlier targets apply."))
}

/// Alerts that wake a watcher when they are delivered.
pub(crate) fn alerting(context: &Context, notify: &[NotifyArg], sender: &Sender<Wake>) -> Alerting {
    let sender = sender.clone();
    Alerting::unless_mistyped(context, notify, move || {
        // No receiver is left while the process exits.
        let _ = sender.send(Wake::Delivered);
    })
}

/// Failures of agents to report in alerts, without those that resolve by themselves.
pub(crate) fn lasting(
    failures: &[(AgentRef, Failure)],
    mut lasts: impl FnMut(&AgentRef, &Failure) -> bool,
) -> Vec<Trouble> {
    let lasting = failures
        .iter()
        .filter(|(agent, failure)| lasts(agent, failure));
    let trouble = |(agent, failure): &(AgentRef, Failure)| Trouble {
        key: format!("agent:{}", agent.name),
        title: format!("Agent {} is not in sync", agent.name),
        body: log::in_a_line(failure),
    };
    lasting.map(trouble).collect()
}
