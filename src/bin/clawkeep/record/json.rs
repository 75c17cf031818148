//! Events and their sums as JSON. Absent fields are left out. Source: `spec/cli.md`, The record.

use std::io::{self, Write};

use clawkeep::internal::audit::{Doer, Event, Origin, ProfileRef, Refreshes, Uses};
use clawkeep::internal::domain::{Fingerprint, UnixMs};
use serde_json::{Map, Value, json};

use crate::terminal::text::json_text;

pub(crate) fn event(event: &Event) -> Value {
    let actor = &event.actor;
    let who = fields([
        ("program", text(&actor.program)),
        ("pid", Some(json!(actor.pid))),
        ("uid", Some(json!(actor.uid))),
        ("host", text(&actor.host)),
        ("parent", actor.parent.as_ref().and_then(text)),
    ]);
    let token = fields([
        ("before", print(event.token_before.as_deref())),
        ("after", print(event.token_after.as_deref())),
    ]);
    let expires = fields([
        ("before", event.expires_before.map(Value::from)),
        ("after", event.expires_after.map(Value::from)),
    ]);
    let detail = event.detail.as_deref();
    fields([
        ("seq", Some(json!(event.seq.0))),
        ("at", Some(json!(event.at.rfc3339_millis()))),
        ("agent", event.agent.as_ref().and_then(text)),
        ("profile", event.profile.as_ref().and_then(text)),
        ("provider", event.provider.as_ref().and_then(text)),
        ("kind", text(&event.kind)),
        ("outcome", text(&event.outcome)),
        ("origin", text(&event.origin)),
        ("actor", Some(who)),
        ("session", event.session.as_ref().and_then(text)),
        ("generation", event.generation.map(Value::from)),
        ("token", unless_empty(token)),
        ("expires", unless_empty(expires)),
        (
            "detail",
            detail.and_then(|detail| serde_json::from_str(detail).ok()),
        ),
        (
            "mac",
            Some(json!(data_encoding::HEXLOWER.encode(&event.mac))),
        ),
    ])
}

pub(crate) fn uses(uses: &Uses) -> Value {
    let by = uses.by.iter().map(|(doer, count)| {
        let mut by = doer_fields(doer);
        if let Value::Object(by) = &mut by {
            by.insert("count".to_owned(), json!(count));
        }
        by
    });
    let span = uses
        .span
        .map(|(first, last)| (first.rfc3339_millis(), last.rfc3339_millis()));
    let (first, last) = span.unzip();
    let failure = uses.last_failure.as_ref();
    of_profile(
        &uses.profile,
        uses.provider.as_deref(),
        [
            ("count", Some(json!(uses.count))),
            ("failed", Some(json!(uses.failed))),
            ("first", first.map(Value::from)),
            ("last", last.map(Value::from)),
            (
                "lastFailure",
                failure.map(|failure| json!(failure.at.rfc3339_millis())),
            ),
            (
                "lastFailureReason",
                failure
                    .and_then(|failure| failure.reason.clone())
                    .map(Value::from),
            ),
            ("by", Some(by.collect())),
            (
                "programs",
                Some(json!(uses.program_names())).filter(|_| !uses.programs.is_empty()),
            ),
        ],
    )
}

pub(crate) fn refreshes(refreshes: &Refreshes) -> Value {
    let time = |at: Option<UnixMs>| at.map(|at| json!(at.rfc3339_millis()));
    let failure = refreshes.last_failure.as_ref();
    of_profile(
        &refreshes.profile,
        refreshes.provider.as_deref(),
        [
            ("succeeded", Some(json!(refreshes.succeeded))),
            ("failed", Some(json!(refreshes.failed))),
            (
                "meanLifetimeMs",
                refreshes.mean_lifetime_ms.map(Value::from),
            ),
            ("last", time(refreshes.last)),
            ("due", time(refreshes.due)),
            ("lastFailure", time(failure.map(|failure| failure.at))),
            (
                "lastFailureReason",
                failure
                    .and_then(|failure| failure.reason.clone())
                    .map(Value::from),
            ),
        ],
    )
}

pub(crate) fn of_profile<const N: usize>(
    whose: &ProfileRef,
    provider: Option<&str>,
    more: [(&str, Option<Value>); N],
) -> Value {
    let head = [
        ("agent", whose.agent.as_deref().map(Value::from)),
        ("profile", Some(json!(&*whose.id))),
        ("provider", provider.map(Value::from)),
    ];
    fields(head.into_iter().chain(more))
}

/// The actor of an event. For another program's change, only its origin: clawkeep's process that
/// noticed it did not make it.
pub(crate) fn doer_fields(doer: &Doer) -> Value {
    let is_ours = *doer.origin == *Origin::Clawkeep.as_str();
    let ours = |value: Option<Value>| value.filter(|_| is_ours);
    fields([
        ("origin", text(&doer.origin)),
        ("program", ours(text(&doer.program))),
        ("parent", ours(doer.parent.as_ref().and_then(text))),
        ("host", text(&doer.host)),
        ("uid", ours(Some(json!(doer.uid)))),
    ])
}

/// An object of those fields that are there.
pub(crate) fn fields<'n>(all: impl IntoIterator<Item = (&'n str, Option<Value>)>) -> Value {
    let there = all
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<String, Value>>())
}

fn unless_empty(object: Value) -> Option<Value> {
    Some(object).filter(|object| object.as_object().is_some_and(|fields| !fields.is_empty()))
}

fn text(text: &std::sync::Arc<str>) -> Option<Value> {
    Some(Value::from(&**text))
}

pub(crate) fn print(bytes: Option<&[u8]>) -> Option<Value> {
    let print = bytes.and_then(Fingerprint::from_bytes);
    print.map(|print| Value::from(print.to_string()))
}

/// Writes `{"NAME": [ITEM…]}` as it is printed elsewhere, an item at a time.
pub(crate) struct List<'w> {
    out: &'w mut dyn Write,
    is_empty: bool,
}

impl<'w> List<'w> {
    pub(crate) fn begin(out: &'w mut dyn Write, name: &str) -> io::Result<Self> {
        // The vault was read without its key.
        write!(
            out,
            "{{\n  \"verified\": false,\n  {}: [",
            Value::from(name)
        )?;
        Ok(Self {
            out,
            is_empty: true,
        })
    }

    pub(crate) fn item(&mut self, item: &Value) -> io::Result<()> {
        let text = json_text(item)?;
        self.out
            .write_all(if self.is_empty { b"\n" } else { b",\n" })?;
        self.is_empty = false;
        for (n, line) in text.lines().enumerate() {
            let newline = if n == 0 { "" } else { "\n" };
            write!(self.out, "{newline}    {line}")?;
        }
        Ok(())
    }

    pub(crate) fn end(self) -> io::Result<()> {
        let close: &[u8] = if self.is_empty {
            b"]\n}\n"
        } else {
            b"\n  ]\n}\n"
        };
        self.out.write_all(close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_written_as_a_whole_document_would_be() {
        for items in [vec![], vec![json!({"a": [1, {"b": "x\ny"}]}), json!({})]] {
            let mut out = Vec::new();
            let mut list = List::begin(&mut out, "events").unwrap();
            items.iter().for_each(|item| list.item(item).unwrap());
            list.end().unwrap();
            let whole =
                serde_json::to_string_pretty(&json!({"verified": false, "events": items})).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("{whole}\n"));
        }
    }
}
