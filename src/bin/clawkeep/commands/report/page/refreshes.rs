//! The section of refreshes: how many succeeded, how long a token lasted, what is due.

use clawkeep::internal::audit::Refreshes;
use clawkeep::internal::domain::{Span, UnixMs};
use maud::{Markup, html};

use super::facts::Page;
use super::table::{Column, table};
use super::text::{bar, counted, none, number, outside, rate, share, shown_name, when, when_from};

pub(super) fn section(page: &Page) -> Markup {
    let mut all: Vec<&Refreshes> = page.refreshes.iter().collect();
    all.sort_by(|a, b| {
        b.failed
            .cmp(&a.failed)
            .then_with(|| a.profile.cmp(&b.profile))
    });
    let columns = [
        Column::Words("Profile"),
        Column::Numbers("Succeeded"),
        Column::Words("Failed"),
        Column::Numbers("Mean lifetime"),
        Column::Words("Last"),
        Column::Words("Next due"),
    ];
    let rows: Vec<_> = all
        .iter()
        .map(|refreshes| cells(refreshes, page.generated))
        .collect();
    html! {
        section #refreshes {
            h2 { "Refreshes" }
            @if rows.is_empty() {
                p.empty { "No token was refreshed in this time. API keys and tokens without a \
                    refresh token never are." }
            } @else {
                (table(&format!("Refreshes of {}", counted(rows.len() as u64, "profile")), columns,
                    &rows))
            }
        }
    }
}

fn cells(refreshes: &Refreshes, now: UnixMs) -> [Markup; 6] {
    let tries = refreshes.succeeded.saturating_add(refreshes.failed);
    let failed = match (refreshes.failed, &refreshes.last_failure) {
        (0, _) => none(),
        (count, None) => html! { span.bad { (number(count)) } },
        (count, Some(last)) => html! {
            span.one { span.bad { (number(count)) } span.far { ", last " (when(last.at)) } }
            @if let Some(reason) = &last.reason {
                div.far { bdi { (outside(reason)) } }
            }
        },
    };
    let succeeded = html! {
        (number(refreshes.succeeded))
        @if tries > 0 {
            " " span.far { "(" (rate(refreshes.succeeded, tries)) ")" } " "
            (bar(share(refreshes.succeeded, tries), "success"))
        }
    };
    [
        shown_name(&refreshes.profile),
        succeeded,
        failed,
        refreshes
            .mean_lifetime_ms
            .map_or_else(none, |ms| html! { (Span::from_ms(ms).short()) }),
        refreshes.last.map_or_else(none, |at| when_from(at, now)),
        refreshes.due.map_or_else(none, |at| due(at, now)),
    ]
}

/// A token that has expired since is overdue. Where it is refreshed only on use, that is no fault.
fn due(at: UnixMs, now: UnixMs) -> Markup {
    html! {
        @if at <= now {
            span.one { (when(at)) " " span.late { "overdue" } }
        } @else {
            (when_from(at, now))
        }
    }
}
