//! `history`: what happened to which credential. Needs no key.

use chrono::{DateTime, Local, SecondsFormat, Utc};
use clap::Args;
use clawkeep::audit::{Direction, Event, Filter, KindFilter};
use clawkeep::domain::{AgentName, Fingerprint, ProviderId};
use clawkeep::export::StorePlace;
use clawkeep::vault::Vault;
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::table::table;
use crate::time_arg::{self, TimeArg};
use crate::ui::{local_minute, one_line};

/// Rows of the table unless `--limit` says otherwise: a screenful or two.
const TABLE_ROWS: u64 = 50;

/// What happened to which credential.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep history                                         the newest 50 events\n  clawkeep history --profile anthropic:claude-cli --since 7d\n  clawkeep history --kind refresh --json                   a group of kinds: refresh, sync, order, expiry, …"
)]
pub(crate) struct History {
    /// Only this profile
    #[arg(long, value_name = "ID")]
    profile: Option<String>,
    /// Only this provider
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only this agent
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Only this kind of event (order.set) or group (order); may be given more than once
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only since then: 30m, 12h, 7d, 2w, 2026-01-09, 2026-01-09 14:30 (local time), or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    since: Option<TimeArg>,
    /// Only before then
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    until: Option<TimeArg>,
    /// At most so many [default: 50 in the table, all in JSON; 0 means all]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl History {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let now = context.clock.now();
        let limit = match (self.limit, self.json) {
            (Some(0), _) | (None, true) => None,
            (Some(limit), _) => Some(limit),
            (None, false) => Some(TABLE_ROWS),
        };
        let filter = Filter {
            profile: self.profile,
            provider: self
                .provider
                .as_deref()
                .map(|raw| ProviderId::new(raw).as_str().to_owned()),
            // An agent without an id is known by its directory, which is no agent id.
            agent: self.agent.map(|raw| {
                if raw.contains('/') {
                    raw
                } else {
                    AgentName::from_id(&raw).as_str().to_owned()
                }
            }),
            kinds: self
                .kind
                .iter()
                .map(|kind| KindFilter::parse(kind))
                .collect::<Result<_, _>>()?,
            since: self.since.map(|time| time.resolve(now)),
            until: self.until.map(|time| time.resolve(now)),
            limit: limit.map(|limit| {
                if self.json {
                    limit
                } else {
                    limit.saturating_add(1)
                }
            }),
            direction: Direction::NewestFirst,
        };
        let vault = context.locked()?;
        tell_of_changed_stores(context, &vault)?;
        let mut events: Vec<Event> = vault.history(&filter)?.collect::<Result<_, _>>()?;
        if self.json {
            let events: Vec<Value> = events.iter().map(to_json).collect();
            return context.ui.json(&json!({"events": events}));
        }
        let more = limit.is_some_and(|limit| events.len() as u64 > limit);
        events.truncate(limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        }));
        if events.is_empty() {
            context.ui.note("No event matches.");
        }
        let rows: Vec<[String; 5]> = events.iter().map(cells).collect();
        let header = ["TIME", "EVENT", "PROFILE", "BY", "WHAT"];
        context
            .ui
            .answer(&table(header, &rows, context.ui.width()))?;
        if more {
            context.ui.note("There is more; see it with --limit 0.");
        }
        Ok(())
    }
}

/// A gateway's uses come into the record when its store is looked at, which needs the key that this command does not ask for.
fn tell_of_changed_stores(context: &Context, vault: &Vault) -> Result<(), Failure> {
    for (path, known) in vault.known_stores()? {
        let changed = StorePlace::of_file(&path).modified();
        if let Some(at) = changed.filter(|at| *at > known) {
            context.ui.note(&format!(
                "Note: {} was changed by another program at {}, after it was last looked at. To have its uses in the record: clawkeep sync",
                context.layout.shorten_home(&path),
                local_minute(at.0)
            ));
        }
    }
    Ok(())
}

/// An event as JSON; absent fields are left out. Source: `spec/cli.md`, The record.
fn to_json(event: &Event) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(key.to_owned(), value);
        }
    };
    put("seq", Some(json!(event.seq.0)));
    put("at", Some(json!(rfc3339(event))));
    put("agent", event.agent.clone().map(Value::from));
    put("profile", event.profile.clone().map(Value::from));
    put("provider", event.provider.clone().map(Value::from));
    put("kind", Some(json!(event.kind)));
    put("outcome", Some(json!(event.outcome)));
    put("origin", Some(json!(event.origin)));
    let actor = &event.actor;
    let who = [
        ("program", Some(json!(actor.program))),
        ("pid", Some(json!(actor.pid))),
        ("uid", Some(json!(actor.uid))),
        ("host", Some(json!(actor.host))),
        ("parent", actor.parent.clone().map(Value::from)),
    ];
    put("actor", object(who));
    put("session", event.session.clone().map(Value::from));
    put("generation", event.generation.map(Value::from));
    put(
        "token",
        object([
            ("before", print(event.token_before.as_ref())),
            ("after", print(event.token_after.as_ref())),
        ]),
    );
    put(
        "expires",
        object([
            ("before", event.expires_before.map(Value::from)),
            ("after", event.expires_after.map(Value::from)),
        ]),
    );
    put(
        "detail",
        event
            .detail
            .as_deref()
            .and_then(|detail| serde_json::from_str(detail).ok()),
    );
    put(
        "mac",
        Some(json!(data_encoding::HEXLOWER.encode(&event.mac))),
    );
    Value::Object(out)
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Option<Value> {
    let fields: Map<String, Value> = fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn print(bytes: Option<&Vec<u8>>) -> Option<Value> {
    bytes
        .and_then(|bytes| Fingerprint::from_bytes(bytes))
        .map(|print| Value::from(print.to_string()))
}

fn instant(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

fn rfc3339(event: &Event) -> String {
    instant(event.at.0).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn cells(event: &Event) -> [String; 5] {
    let when = instant(event.at.0)
        .with_timezone(&Local)
        .format("%Y-%m-%d %H:%M:%S")
        .to_string();
    let subject = match (&event.profile, &event.provider) {
        (Some(profile), _) => profile.clone(),
        (None, Some(provider)) => provider.clone(),
        (None, None) => "-".to_owned(),
    };
    let agent = event
        .agent
        .as_deref()
        .filter(|agent| *agent != "main")
        .map(|agent| format!("{agent}/"))
        .unwrap_or_default();
    let says_so = event.kind.ends_with(&format!(".{}", event.outcome));
    let kind = if event.outcome == "ok" || says_so {
        event.kind.clone()
    } else {
        format!("{} {}", event.kind, event.outcome)
    };
    let by = match event.origin.as_str() {
        "clawkeep" => format!("{}[{}]", event.actor.program, event.actor.pid),
        origin => origin.to_owned(),
    };
    [when, kind, format!("{agent}{subject}"), by, what(event)].map(|cell| one_line(&cell))
}

/// What there is to say in a few words: expiry, tokens, and the event's own details.
fn what(event: &Event) -> String {
    let mut parts = Vec::new();
    if let Some(expires) = event.expires_after {
        parts.push(format!("expires {}", local_minute(expires)));
    }
    let print = |bytes: &Option<Vec<u8>>| bytes.as_deref().and_then(Fingerprint::from_bytes);
    match (print(&event.token_before), print(&event.token_after)) {
        (Some(before), Some(after)) if before != after => {
            parts.push(format!("token {before} -> {after}"))
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
    for (key, value) in detail {
        parts.push(match value {
            Value::Number(ms) if TIMES.contains(&key.as_str()) => {
                let ms = ms.as_i64().unwrap_or_default();
                format!("{key} {}", local_minute(ms))
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

/// Details that are times, in milliseconds since the epoch.
const TIMES: [&str; 2] = ["until", "lastUsed"];

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
