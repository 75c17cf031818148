//! Events and their sums as comma-separated values (RFC 4180), with a header.

use std::io::Write;

use clawkeep::internal::audit::{Event, Refreshes, Uses};
use clawkeep::internal::domain::{Fingerprint, UnixMs};

use super::text::actor_name;
use crate::failure::Failure;
use crate::terminal::text::one_line;

pub(crate) const EVENT: [&str; 21] = [
    "seq",
    "at",
    "agent",
    "profile",
    "provider",
    "kind",
    "outcome",
    "origin",
    "program",
    "pid",
    "uid",
    "host",
    "parent",
    "session",
    "generation",
    "token_before",
    "token_after",
    "expires_before",
    "expires_after",
    "detail",
    "mac",
];

pub(crate) const USES: [&str; 11] = [
    "agent",
    "profile",
    "provider",
    "count",
    "failed",
    "first",
    "last",
    "last_failure",
    "last_failure_reason",
    "by",
    "programs",
];

pub(crate) const REFRESHES: [&str; 10] = [
    "agent",
    "profile",
    "provider",
    "succeeded",
    "failed",
    "mean_lifetime_ms",
    "last",
    "due",
    "last_failure",
    "last_failure_reason",
];

pub(crate) struct Rows<'w> {
    csv: csv::Writer<&'w mut dyn Write>,
}

impl<'w> Rows<'w> {
    pub(crate) fn begin<const N: usize>(
        out: &'w mut dyn Write,
        header: [&str; N],
    ) -> Result<Self, Failure> {
        let mut csv = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .from_writer(out);
        csv.write_record(header).map_err(failed)?;
        Ok(Self { csv })
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: &[String; N]) -> Result<(), Failure> {
        let cells = cells.iter().map(|cell| harmless(cell));
        self.csv.write_record(cells).map_err(failed)
    }

    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.csv.flush().map_err(Failure::Output)
    }
}

fn failed(error: csv::Error) -> Failure {
    Failure::Output(match error.into_kind() {
        csv::ErrorKind::Io(error) => error, // as it is: a closed pipe is no failure
        other => std::io::Error::other(format!("{other:?}")),
    })
}

/// Ids come from outside. A spreadsheet takes a cell that begins so for a formula: an apostrophe
/// makes it a text. And a terminal that it is printed on must not take a part of it for a command.
fn harmless(cell: &str) -> String {
    let cell = one_line(cell);
    if cell.starts_with(['=', '+', '-', '@']) && cell.parse::<i64>().is_err() {
        return format!("'{cell}");
    }
    cell
}

pub(crate) fn event(event: &Event) -> [String; 21] {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    let print = |bytes: Option<&[u8]>| {
        let print = bytes.and_then(Fingerprint::from_bytes);
        print.map(|print| print.to_string()).unwrap_or_default()
    };
    [
        event.seq.to_string(),
        event.at.rfc3339_millis(),
        text(event.agent.as_deref()),
        text(event.profile.as_deref()),
        text(event.provider.as_deref()),
        text(Some(&event.kind)),
        text(Some(&event.outcome)),
        text(Some(&event.origin)),
        text(Some(&event.actor.program)),
        event.actor.pid.to_string(),
        event.actor.uid.to_string(),
        text(Some(&event.actor.host)),
        text(event.actor.parent.as_deref()),
        text(event.session.as_deref()),
        number(event.generation),
        print(event.token_before.as_deref()),
        print(event.token_after.as_deref()),
        number(event.expires_before),
        number(event.expires_after),
        text(event.detail.as_deref()),
        data_encoding::HEXLOWER.encode(&event.mac),
    ]
}

fn time(at: Option<UnixMs>) -> String {
    at.map(UnixMs::rfc3339_millis).unwrap_or_default()
}

pub(crate) fn uses(uses: &Uses) -> [String; 11] {
    let (first, last) = uses.span.unzip();
    let by = uses
        .by
        .iter()
        .map(|(doer, count)| format!("{} {count}", actor_name(doer)));
    [
        uses.profile.agent.as_deref().unwrap_or_default().to_owned(),
        uses.profile.id.to_string(),
        uses.provider.as_deref().unwrap_or_default().to_owned(),
        uses.count.to_string(),
        uses.failed.to_string(),
        time(first),
        time(last),
        time(uses.last_failure.as_ref().map(|failure| failure.at)),
        uses.last_failure
            .as_ref()
            .and_then(|failure| failure.reason.clone())
            .unwrap_or_default(),
        by.collect::<Vec<_>>().join("; "),
        uses.program_names().join("; "),
    ]
}

pub(crate) fn refreshes(refreshes: &Refreshes) -> [String; 10] {
    let failure = refreshes.last_failure.as_ref();
    [
        refreshes
            .profile
            .agent
            .as_deref()
            .unwrap_or_default()
            .to_owned(),
        refreshes.profile.id.to_string(),
        refreshes.provider.as_deref().unwrap_or_default().to_owned(),
        refreshes.succeeded.to_string(),
        refreshes.failed.to_string(),
        refreshes
            .mean_lifetime_ms
            .map(|ms| ms.to_string())
            .unwrap_or_default(),
        time(refreshes.last),
        time(refreshes.due),
        time(failure.map(|failure| failure.at)),
        failure
            .and_then(|failure| failure.reason.clone())
            .unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formula() {
        let mut out: Vec<u8> = Vec::new();
        let mut rows = Rows::begin(&mut out, ["a", "b"]).unwrap();
        for cells in [["x,\"y\"\u{1b}", "=1+2"], ["-5", "@sum"], ["-x", "1"]] {
            rows.row(&cells.map(str::to_owned)).unwrap();
        }
        rows.end().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "a,b\r\n\"x,\"\"y\"\"\\u001b\",'=1+2\r\n-5,'@sum\r\n'-x,1\r\n"
        );
    }
}
