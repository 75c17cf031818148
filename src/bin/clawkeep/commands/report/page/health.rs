//! The state of the credentials: a few numbers and a table, worst first.

use clawkeep::internal::domain::{UnixMs, plural};
use clawkeep::internal::health::Status;
use maud::{Markup, html};

use super::facts::{HealthRow, Page, VAULT};
use super::table::{Column, table};
use super::text::{counted, none, number, outside, shown_name, when_from};
use crate::terminal::text::local_minute;

/// The rows, worst first; among equals, the one that expires first.
pub(super) fn worst_first(rows: &[HealthRow], now: UnixMs) -> Vec<&HealthRow> {
    let mut rows: Vec<&HealthRow> = rows.iter().collect();
    rows.sort_by_cached_key(|row| {
        let end = row.expires.map_or(i64::MAX, |at| at.0);
        (
            severity(row.status),
            !is_in_cooldown(row, now),
            end,
            row.whose.clone(),
        )
    });
    rows
}

fn severity(status: Status) -> u8 {
    match status {
        Status::Expired => 0,
        Status::Missing => 1,
        Status::Expiring => 2,
        Status::Ok => 3,
        _ => 4,
    }
}

fn is_in_cooldown(row: &HealthRow, now: UnixMs) -> bool {
    row.cooldown_until.is_some_and(|until| until > now)
}

/// The verdict, in a sentence and in numbers.
pub(super) fn summary(page: &Page) -> Markup {
    let of = |status: Status| {
        page.health
            .iter()
            .filter(|row| row.status == status)
            .count()
    };
    let in_cooldown = page
        .health
        .iter()
        .filter(|row| is_in_cooldown(row, page.generated))
        .count();
    let failed_uses: u64 = page.uses.iter().map(|uses| uses.failed).sum();
    let failed_refreshes: u64 = page
        .refreshes
        .iter()
        .map(|refreshes| refreshes.failed)
        .sum();
    let failures = failed_uses.saturating_add(failed_refreshes);
    // Zero of these is shown only where readers expect the number.
    let tiles = [
        (of(Status::Expired), "expired", "expired", true),
        (of(Status::Missing), "missing", "missing", false),
        (of(Status::Expiring), "expiring", "expiring", true),
        (in_cooldown, "in cooldown", "cooldown", true),
        (of(Status::Ok), "ok", "ok", true),
        (of(Status::Static), "no end", "static", false),
    ];
    html! {
        p.verdict { (verdict(of(Status::Expired), of(Status::Missing), page.health.len())) }
        @if !page.is_empty() {
            ul.tiles {
                @for (count, word, class, always) in tiles {
                    @if always || count > 0 {
                        li class=(class) data-zero[count == 0] { strong { (count) } " " span {
                            (word) } }
                    }
                }
                li.failures data-zero[failures == 0] {
                    strong { (number(failures)) } " "
                    span { (plural(failures, "failure")) " in this time" }
                }
            }
        }
    }
}

fn verdict(expired: usize, missing: usize, all: usize) -> String {
    let of = |count: usize| match (count, all) {
        (1, 1) => "The credential".to_owned(),
        _ => format!("{count} of {all} credentials"),
    };
    let have = if expired == 1 { "has" } else { "have" };
    let are = if missing == 1 { "is" } else { "are" };
    match (expired, missing) {
        _ if all == 0 => "No credential is stored.".to_owned(),
        (0, 0) => "No credential has expired or is missing.".to_owned(),
        (_, 0) => format!("{} {have} expired.", of(expired)),
        (0, _) => format!("{} {are} missing.", of(missing)),
        _ => format!("{} {have} expired, {missing} {are} missing.", of(expired)),
    }
}

pub(super) fn section(page: &Page, rows: &[&HealthRow]) -> Markup {
    let columns = [
        Column::Words("Profile"),
        Column::Words("State"),
        Column::Words("Provider"),
        Column::Words("Kind"),
        Column::Words("Ends"),
        Column::Words("Last used"),
    ];
    let rows: Vec<_> = rows.iter().map(|row| cells(row, page.generated)).collect();
    html! {
        section #health {
            h2 { "Health now" }
            @if rows.is_empty() {
                p.empty {
                    "There is no credential yet. Store one with " code { "clawkeep models auth \
                        add" }
                    ", or import the logins of Claude Code and Codex with " code { "clawkeep \
                        sync" } "."
                }
            } @else {
                (table(&counted(rows.len() as u64, "credential"), columns, &rows))
            }
        }
    }
}

fn cells(row: &HealthRow, now: UnixMs) -> [Markup; 6] {
    let ends = match (row.expires, row.status) {
        (Some(at), _) => when_from(at, now),
        (None, Status::Static) => html! { span.none { "never" } },
        (None, _) => html! { span.none { "unknown" } },
    };
    [
        shown_name(&row.whose),
        state(row, now),
        html! { (outside(&row.provider)) },
        kind(row),
        ends,
        row.last_used.map_or_else(none, |at| when_from(at, now)),
    ]
}

/// The credential's kind, and its owner if that is not this vault.
fn kind(row: &HealthRow) -> Markup {
    html! {
        div.kind { (row.kind) @if row.keeper != VAULT { span.soft { ", kept by " (row.keeper) } } }
    }
}

/// The state in a shape, a word and a colour.
fn state(row: &HealthRow, now: UnixMs) -> Markup {
    let (sign, word, class) = match row.status {
        Status::Expired => ("✕", "expired", "expired"),
        Status::Missing => ("?", "missing", "missing"),
        Status::Expiring => ("▲", "expiring", "expiring"),
        Status::Ok => ("●", "ok", "ok"),
        _ => ("■", "no end", "static"),
    };
    html! {
        span class={ "state " (class) } { span aria-hidden="true" { (sign) } " " (word) }
        @if let Some(until) = row.cooldown_until.filter(|_| is_in_cooldown(row, now)) {
            span.state.in_cooldown title={ "until " (local_minute(until)) } {
                span aria-hidden="true" { "‖" } " in cooldown, "
                    ((until - now).short()) " left"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_a_sentence() {
        assert_eq!(verdict(0, 0, 0), "No credential is stored.");
        assert_eq!(verdict(0, 0, 3), "No credential has expired or is missing.");
        assert_eq!(verdict(1, 0, 1), "The credential has expired.");
        assert_eq!(verdict(0, 2, 3), "2 of 3 credentials are missing.");
        let found = verdict(2, 1, 9);
        assert_eq!(found, "2 of 9 credentials have expired, 1 is missing.");
    }
}
