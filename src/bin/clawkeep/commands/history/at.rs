//! `history at TIME`: which credentials were there then, and which was last used. Needs no key.

use clap::Args;
use clawkeep::internal::audit::InForce;
use clawkeep::internal::domain::{Fingerprint, UnixMs};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::options::time_arg::{self, TimeArg};
use crate::record::ask::SubjectArgs;
use crate::record::names::name;
use crate::record::notes::{note_pruning, note_unknown_names};
use crate::record::shape::PagingArgs;
use crate::record::{json as shown, text};
use crate::terminal::table::table;
use crate::terminal::text::local_minute;

/// Show which credentials existed at a time, and which one was last used.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep history at '2026-01-09 14:30' --provider anthropic\n  \
        clawkeep history at 7d --json   a week ago"
)]
pub(crate) struct HistoryAt {
    /// A time, as for --since
    #[arg(value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    at: TimeArg,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paging: PagingArgs,
}

impl HistoryAt {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let (asked, now) = (self.at.resolve(context.clock.now()), context.clock.now());
        let at = asked.min(now);
        let vault = match self.json {
            true => context.locked()?,
            false => context.unverified()?,
        };
        let filter = self.subject.filter();
        let found = vault.in_force(at, &filter)?;
        if asked > now {
            context
                .ui
                .note("Note: that time is in the future; this is the state now.");
        }
        note_pruning(context, &vault, Some(at))?;
        if found.is_empty() {
            note_unknown_names(context, &vault, &filter)?;
        }
        let last = last_used(&found);
        if self.json {
            let credentials: Vec<Value> = found
                .iter()
                .map(|credential| to_json(credential, at, last))
                .collect();
            return context.ui.json(
                &json!({"verified": false, "at": at.rfc3339_millis(), "credentials": credentials}),
            );
        }
        if found.is_empty() {
            context.ui.note(&format!(
                "The record has no credential at {}.",
                local_minute(at)
            ));
        }
        let rows: Vec<[String; 7]> = found
            .iter()
            .map(|credential| cells(credential, at, last))
            .collect();
        let header = [
            "PROFILE",
            "PROVIDER",
            "STATE",
            "SINCE",
            "EXPIRES",
            "TOKEN",
            "LAST USED",
        ];
        let text = table(header, &rows, context.ui.width());
        context.ui.answer_long(&text, self.paging.paging())
    }
}

/// Of each provider's credentials, the one that was used last: the time of that use.
fn last_used(found: &[InForce]) -> impl Fn(&InForce) -> bool + Copy {
    move |credential| {
        let used = |other: &InForce| other.last_used.as_ref().map(|(at, _)| *at);
        let of_provider = found
            .iter()
            .filter(|other| other.provider == credential.provider);
        used(credential).is_some() && of_provider.map(used).max() == Some(used(credential))
    }
}

/// The credential's state. Expired takes precedence over a cooldown.
fn state(credential: &InForce, at: UnixMs) -> &'static str {
    let has_ended = credential
        .expires
        .is_some_and(|expires| expires > 0 && expires <= at.0);
    match credential.cooldown_until {
        _ if has_ended => "expired",
        Some(_) => "resting", // a value in JSON, which stays
        None => "valid",
    }
}

fn cells(credential: &InForce, at: UnixMs, is_last: impl Fn(&InForce) -> bool) -> [String; 7] {
    let state = match (state(credential, at), credential.cooldown_until) {
        ("resting", Some(until)) => format!("in cooldown until {}", local_minute(until)),
        (state, _) => state.to_owned(),
    };
    let print = credential
        .token
        .as_deref()
        .and_then(Fingerprint::from_bytes);
    let used = match &credential.last_used {
        Some((used, doer)) => {
            let mark = if is_last(credential) {
                " (last of its provider)"
            } else {
                ""
            };
            let used_at = local_minute(*used);
            let user = text::actor_name(doer);
            format!("{used_at} by {user}{mark}")
        }
        None => "-".to_owned(),
    };
    [
        name(&credential.profile),
        crate::terminal::text::one_line(credential.provider.as_deref().unwrap_or("-")),
        state,
        local_minute(credential.since),
        credential
            .expires
            .map_or("-".to_owned(), |at| local_minute(UnixMs::from_ms(at))),
        print.map_or("-".to_owned(), |print| print.to_string()),
        used,
    ]
}

fn to_json(credential: &InForce, at: UnixMs, is_last: impl Fn(&InForce) -> bool) -> Value {
    let used = credential.last_used.as_ref();
    shown::of_profile(
        &credential.profile,
        credential.provider.as_deref(),
        [
            ("since", Some(json!(credential.since.rfc3339_millis()))),
            ("token", shown::print(credential.token.as_deref())),
            ("expires", credential.expires.map(Value::from)),
            ("state", Some(json!(state(credential, at)))),
            (
                "restsUntil",
                credential
                    .cooldown_until
                    .map(|until| json!(until.rfc3339_millis())),
            ),
            ("lastUsed", used.map(|(at, _)| json!(at.rfc3339_millis()))),
            ("lastUsedBy", used.map(|(_, doer)| shown::doer_fields(doer))),
            ("lastUsedOfProvider", Some(json!(is_last(credential)))),
        ],
    )
}
