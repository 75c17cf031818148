//! The state of the logins: what needs a person and how to fix it, agents that cannot work, and a
//! table, worst first.

use std::collections::BTreeMap;

use clawkeep::internal::domain::{CredentialType, UnixMs, plural};
use maud::{Markup, html};

use super::facts::{Login, Page};
use super::table::{Column, OPEN_MAX, table};
use super::text::{counted, none, number, outside, shown_id, when_from};
use crate::commands::logins::rows::{Severity, verdict};

/// Programs that a fix may tell to run.
const PROGRAMS: [&str; 3] = ["clawkeep ", "claude ", "codex "];

/// The answers: the verdict, what to do, who cannot work, and a few numbers.
pub(super) fn summary(page: &Page) -> Markup {
    let rows: Vec<_> = page.logins.iter().map(|login| login.row.clone()).collect();
    let needing: Vec<&Login> = page
        .logins
        .iter()
        .filter(|login| login.row.needs_person())
        .collect();
    html! {
        p.verdict { (verdict(&rows)) }
        @if page.is_plain && !rows.is_empty() {
            p.soft {
                "Made without the vault key: whether a program refreshes a login is not known. \
                 With the key, " code { "clawkeep status" } " knows."
            }
        }
        @if !needing.is_empty() { (needs(&needing)) }
        (stopped(page))
        @if !page.is_empty() { (tiles(page)) }
    }
}

/// Each login that needs a person, and the command.
fn needs(needing: &[&Login]) -> Markup {
    let (open, more) = needing.split_at(needing.len().min(OPEN_MAX));
    html! {
        ul.needs {
            @for login in open {
                li class=(class(login.row.severity)) {
                    div { (shown_id(&login.row.id)) " " span.far { (agents(login)) } " "
                        (state(&login.row.state, login.row.severity)) }
                    @if let Some(fix) = &login.row.fix { (advice(fix)) }
                }
            }
            @if !more.is_empty() { li { "and " (counted(more.len() as u64, "other")) " below" } }
        }
    }
}

/// A fix, with its command as code.
fn advice(fix: &str) -> Markup {
    let begins = PROGRAMS
        .iter()
        .filter_map(|program| fix.find(program))
        .min();
    let (words, command) = fix.split_at(begins.unwrap_or(fix.len()));
    html! {
        div.fix {
            @if !words.is_empty() { (outside_long(words)) }
            @if !command.is_empty() { code { (outside_long(command)) } }
        }
    }
}

/// Text from outside that is not cut: a command is of no use in part.
fn outside_long(text: &str) -> String {
    crate::terminal::text::one_line(text)
}

/// Agents without a credential that can be used, of a provider or at all.
fn stopped(page: &Page) -> Markup {
    let mut agents: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for login in &page.logins {
        for agent in &login.row.agents {
            let providers = agents.entry(agent.as_str()).or_default();
            let works = providers.entry(&login.row.provider).or_default();
            *works |= login.row.is_usable();
        }
    }
    let stopped: Vec<(&str, String)> = agents
        .into_iter()
        .filter_map(|(agent, providers)| {
            let (good, bad): (Vec<_>, Vec<_>) = providers.iter().partition(|(_, works)| **works);
            let bad: Vec<String> = bad.iter().map(|(name, _)| outside(name)).collect();
            let bad = bad.join(", ");
            match (bad.is_empty(), good.is_empty()) {
                (true, _) => None,
                (_, true) => Some((agent, format!("has no credential that works ({bad})"))),
                (_, false) => Some((agent, format!("cannot use {bad}"))),
            }
        })
        .collect();
    html! {
        @if !stopped.is_empty() {
            p.lead { "Agents that cannot work now:" }
            ul.stopped {
                @for (agent, why) in stopped {
                    li { strong { bdi { (outside(agent)) } } " " (why) }
                }
            }
        }
    }
}

fn tiles(page: &Page) -> Markup {
    let of = |severity: Severity| {
        let rows = page.logins.iter().map(|login| &login.row);
        rows.filter(|row| row.severity == severity).count()
    };
    let failed_uses: u64 = page.uses.iter().map(|uses| uses.failed).sum();
    let refreshes = page.refreshes.iter();
    let failed_refreshes: u64 = refreshes.map(|refreshes| refreshes.failed).sum();
    let failures = failed_uses.saturating_add(failed_refreshes);
    let tiles = [
        (Severity::Unusable, "cannot be used"),
        (Severity::NeedsAttention, "will stop working"),
        (Severity::InCooldown, "in cooldown"),
        (Severity::Good, "ok"),
    ];
    html! {
        ul.tiles {
            @for (severity, word) in tiles {
                @let count = of(severity);
                li class=(class(severity)) data-zero[count == 0] {
                    strong { (count) } " " span { (word) }
                }
            }
            li.failures data-zero[failures == 0] {
                strong { (number(failures)) } " "
                span { (plural(failures, "failure")) " in this time" }
            }
        }
    }
}

pub(super) fn section(page: &Page) -> Markup {
    let columns = [
        Column::Words("Login"),
        Column::Words("State"),
        Column::Words("Agents"),
        Column::Words("Kind"),
        Column::Words("Expires"),
        Column::Words("Last used"),
    ];
    let rows: Vec<_> = page
        .logins
        .iter()
        .map(|login| cells(login, page.generated))
        .collect();
    html! {
        section #health {
            h2 { "Every login" }
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

fn cells(login: &Login, now: UnixMs) -> [Markup; 6] {
    let row = &login.row;
    let expires = row
        .expires
        .map_or_else(none, |expires| when_from(expires, now));
    let last_used = row
        .last_used
        .map_or_else(|| html! { span.none { "never" } }, |at| when_from(at, now));
    let marks = row.marks();
    let name = html! {
        (shown_id(&row.id))
        @if !marks.is_empty() { span.sums { (outside(&marks)) } }
    };
    [
        name,
        state(&row.state, row.severity),
        html! { bdi { (agents(login)) } },
        kind(login),
        expires,
        last_used,
    ]
}

fn agents(login: &Login) -> String {
    let names: Vec<String> = (login.row.agents.iter())
        .map(|agent| outside(agent.as_str()))
        .collect();
    names.join(", ")
}

/// The credential's kind, and its owner if that is not this vault.
fn kind(login: &Login) -> Markup {
    let kind = match login.row.kind {
        CredentialType::ApiKey => "API key",
        CredentialType::Token => "token",
        CredentialType::OAuth => "OAuth login",
        _ => "unknown",
    };
    html! {
        div.kind {
            (kind)
            @if let Some(keeper) = login.keeper { span.soft { ", kept by " (keeper) } }
        }
    }
}

fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Unusable => "unusable",
        Severity::NeedsAttention => "attention",
        Severity::InCooldown => "cooldown",
        Severity::Good => "good",
    }
}

/// The state in a shape, a word and a colour.
fn state(words: &str, severity: Severity) -> Markup {
    let sign = match severity {
        Severity::Unusable => "✕",
        Severity::NeedsAttention => "▲",
        Severity::InCooldown => "‖",
        Severity::Good => "●",
    };
    html! {
        span class={ "state " (class(severity)) } { span aria-hidden="true" { (sign) } "\u{a0}"
            (outside(words)) }
    }
}
