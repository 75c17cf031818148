//! The section of uses: per day, and per profile with who used it.

use std::collections::HashMap;

use clawkeep::internal::audit::{Doer, Uses};
use clawkeep::internal::domain::UnixMs;
use maud::{Markup, html};

use super::days;
use super::facts::Page;
use super::table::{Column, table};
use super::text::{bar, counted, none, number, outside, share, shown_name, when};
use crate::record::text::actor_name;

/// Who used a profile, as many as are named.
const DOERS_MAX: usize = 3;

pub(super) fn section(page: &Page) -> Markup {
    let mut all: Vec<&Uses> = page.uses.iter().collect();
    all.sort_by(|a, b| {
        b.count
            .cmp(&a.count)
            .then_with(|| a.profile.cmp(&b.profile))
    });
    let most = all.first().map_or(0, |uses| uses.count);
    let columns = [
        Column::Words("Profile"),
        Column::Numbers("Uses"),
        Column::Numbers("Failures"),
        Column::Words("First and last"),
        Column::Words("By"),
    ];
    let rows: Vec<_> = all.iter().map(|uses| cells(uses, most)).collect();
    html! {
        section #use {
            h2 { "Use" }
            (days::drawing(&page.days))
            @if !rows.is_empty() {
                (table(&format!("Uses of {}", counted(rows.len() as u64, "profile")), columns,
                    &rows))
            }
        }
    }
}

fn cells(uses: &Uses, most: u64) -> [Markup; 5] {
    let failures = if uses.failed == 0 {
        none()
    } else {
        html! { span.bad { (number(uses.failed)) } (last_refusal(uses)) }
    };
    [
        shown_name(&uses.profile),
        html! { (number(uses.count)) " " (bar(share(uses.count, most), "amount")) },
        failures,
        uses.span.map_or_else(none, between),
        doers(&uses.by),
    ]
}

/// When it was last refused, and the reason.
fn last_refusal(uses: &Uses) -> Markup {
    html! {
        @if let Some(last) = &uses.last_failure {
            " " span.far {
                "last "
                @if let Some(reason) = &last.reason { bdi { (outside(reason)) } ", " }
                (when(last.at))
            }
        }
    }
}

/// A use that is the only one has one time.
fn between((first, last): (UnixMs, UnixMs)) -> Markup {
    html! {
        span.one { (when(first)) @if first < last { " – " (when(last)) } }
    }
}

/// Who used it: the program that ran clawkeep if known, else the program itself, and the host.
fn doers(by: &[(Doer, u64)]) -> Markup {
    let mut counts: HashMap<(String, &str), u64> = HashMap::new();
    for (doer, count) in by {
        let sum = counts.entry((actor_name(doer), &doer.host)).or_default();
        *sum = sum.saturating_add(*count);
    }
    let mut ranked: Vec<((String, &str), u64)> = counts.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let (named, others) = ranked.split_at(ranked.len().min(DOERS_MAX));
    if named.is_empty() {
        return none();
    }
    html! {
        ul.doers {
            @for ((program, host), count) in named {
                li { (number(*count)) "× " bdi { (outside(program)) } span.far { " on " bdi {
                    (outside(host)) } } }
            }
            @if !others.is_empty() { li.far { "and " (counted(others.len() as u64, "other")) } }
        }
    }
}
