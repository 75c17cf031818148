//! Events and their sums, for people.

use clawkeep::internal::audit::{Doer, Event, Origin, is_imported_refresh};
use clawkeep::internal::domain::{AgentName, Fingerprint, UnixMs};
use serde_json::{Map, Value};

use crate::terminal::text::{local_minute, one_line, shown_id};

/// Details that are times, in milliseconds since the epoch.
const TIMES: [&str; 6] = [
    "until",
    "lastUsed",
    "lastFailureAt",
    "since",
    "before",
    "retryAt",
];
/// Details that are not shown to people.
const PROOFS: [&str; 2] = ["mac", "keptMac"];

/// The kind of an event, and how it ended where that is not as asked.
pub(crate) fn kind(event: &Event) -> String {
    let says_so = event.kind.ends_with(&format!(".{}", event.outcome));
    if is_imported_refresh(event) {
        format!("{} (refresh)", event.kind)
    } else if *event.outcome == *"ok" || says_so {
        event.kind.to_string()
    } else {
        format!("{} {}", event.kind, event.outcome)
    }
}

/// What an event is about: a profile, with its agent unless that is `main`; else a provider.
pub(crate) fn subject(event: &Event) -> String {
    let about = event.profile.as_deref().or(event.provider.as_deref());
    let prefix = agent_prefix(event.agent.as_deref());
    let name = about.unwrap_or("-");
    shown_id(&format!("{prefix}{name}"))
}

fn agent_prefix(agent: Option<&str>) -> String {
    let main = AgentName::default();
    let other = agent.filter(|agent| *agent != main.as_str());
    other.map(|agent| format!("{agent}/")).unwrap_or_default()
}

/// The actor: the program whose file showed the change, or clawkeep and what started it.
pub(crate) fn by(event: &Event) -> String {
    if *event.origin != *Origin::Clawkeep.as_str() {
        return event.origin.to_string();
    }
    let program = format!("{}[{}]", event.actor.program, event.actor.pid);
    match &event.actor.parent {
        Some(parent) => format!("{parent}/{program}"),
        None => program,
    }
}

/// The actor without the process, for sums.
pub(crate) fn actor_name(doer: &Doer) -> String {
    if *doer.origin != *Origin::Clawkeep.as_str() {
        return one_line(&doer.origin);
    }
    one_line(doer.parent.as_deref().unwrap_or(&doer.program))
}

/// An event in a few words: expiry, tokens, and its own details.
pub(crate) fn description(event: &Event) -> String {
    let mut parts = Vec::new();
    parts.extend(
        event
            .session
            .as_ref()
            .map(|session| format!("session {session}")),
    );
    if let Some(expires) = event.expires_after {
        parts.push(format!(
            "expires {}",
            local_minute(UnixMs::from_ms(expires))
        ));
    }
    let print = |bytes: &Option<Vec<u8>>| bytes.as_deref().and_then(Fingerprint::from_bytes);
    match (print(&event.token_before), print(&event.token_after)) {
        (Some(before), Some(after)) if before != after => {
            parts.push(format!("token {before} -> {after}"));
        }
        (_, Some(token)) => parts.push(format!("token {token}")),
        (Some(token), None) => parts.push(format!("token {token} gone")),
        (None, None) => {}
    }
    let detail: Map<String, Value> = event
        .detail
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let shown = detail
        .into_iter()
        .filter(|(key, _)| !PROOFS.contains(&key.as_str()));
    for (key, value) in shown {
        parts.push(match value {
            Value::Number(ms) if TIMES.contains(&key.as_str()) => {
                let ms = ms.as_i64().unwrap_or_default();
                format!("{key} {}", local_minute(UnixMs::from_ms(ms)))
            }
            Value::String(text) => format!("{key} {text}"),
            Value::Array(items) => format!(
                "{key} {}",
                items.iter().map(plain).collect::<Vec<_>>().join(", ")
            ),
            Value::Object(fields) => format!("{key}: {}", listed(&fields)),
            Value::Null => format!("{key} none"),
            other => format!("{key} {other}"),
        });
    }
    parts.join("; ")
}

/// What a merge changed on one side: `profiles a, b; order p`.
fn listed(fields: &Map<String, Value>) -> String {
    let parts = fields
        .iter()
        .map(|(name, value)| format!("{name} {}", plain(value)));
    parts.collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
