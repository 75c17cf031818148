//! The page that `report` writes: how the credentials stand, what happened to them, who used them, and the record.
//!
//! One HTML file that loads nothing and runs nothing, for a screen of any width and for paper. Values in, text out:
//! nothing here reads a file, a key or a clock. There is no secret in what it is made of.

mod days;
mod health;
mod lane;
mod lanes;
mod proof;
mod refreshes;
mod table;
mod text;
mod uses;

use clawkeep::audit::{Refreshes, Timeline, Uses, Whose};
use clawkeep::domain::UnixMs;
use clawkeep::health::Status;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::text::{outside, when, zone};

/// Loads nothing, even where a fault let something in; the style sheet is in the page.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// What such a page says it was made by: one may be replaced by a newer one.
pub(crate) const GENERATOR: &str = "clawkeep report";
/// The keeper that goes without saying.
const VAULT: &str = "vault";

/// What the page is made of.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The vault's id, in hexadecimal.
    pub(crate) vault: String,
    /// This program's version.
    pub(crate) version: String,
    /// When it is made: the page's *now*.
    pub(crate) generated: UnixMs,
    /// From when on it tells what happened.
    pub(crate) since: UnixMs,
    /// Before when.
    pub(crate) until: UnixMs,
    /// The host that it is made on.
    pub(crate) host: String,
    /// The stored credentials, in any order.
    pub(crate) health: Vec<HealthRow>,
    /// What happened, in [`timeline_parts`] parts.
    pub(crate) timeline: Timeline,
    /// Uses per day.
    pub(crate) days: DailyUse,
    /// Refreshes in the time.
    pub(crate) refreshes: Vec<Refreshes>,
    /// Uses in the time.
    pub(crate) uses: Vec<Uses>,
    /// The record itself.
    pub(crate) record: RecordFacts,
}

impl Page {
    /// Whether there is nothing to tell of but the record.
    fn is_empty(&self) -> bool {
        self.health.is_empty()
            && self.timeline.lanes.is_empty()
            && self.uses.is_empty()
            && self.refreshes.is_empty()
    }
}

/// A stored credential as it stands.
#[derive(Clone, Debug)]
pub(crate) struct HealthRow {
    pub(crate) whose: Whose,
    pub(crate) provider: String,
    /// `API key`, `token`, `OAuth login`.
    pub(crate) kind: &'static str,
    /// Who renews it: `vault`, `Claude Code`, `Codex CLI`.
    pub(crate) keeper: &'static str,
    pub(crate) status: Status,
    /// When it ends.
    pub(crate) expires: Option<UnixMs>,
    /// Until when it is not to be used; one that is past counts as none.
    pub(crate) rests_until: Option<UnixMs>,
    pub(crate) last_used: Option<UnixMs>,
}

/// Uses per local day.
#[derive(Clone, Debug, Default)]
pub(crate) struct DailyUse {
    /// The days, `YYYY-MM-DD`, none left out.
    pub(crate) days: Vec<String>,
    /// A count a day, each profile's.
    pub(crate) series: Vec<(Whose, Vec<u64>)>,
}

/// The record itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordFacts {
    /// All events that it has, also before the page's time.
    pub(crate) events: u64,
    /// The times of the first and of the last.
    pub(crate) range: Option<(UnixMs, UnixMs)>,
    /// The head in its one line, `clawkeep-head-1 …`; none without events.
    pub(crate) head: Option<String>,
    /// How many events were pruned, and the number of the last of them.
    pub(crate) pruned: Option<(u64, i64)>,
    /// The number of the event that this machine keeps as head.
    pub(crate) kept_head: Option<i64>,
}

/// Into how many parts the page's time is to be cut: as fine as a wide screen shows it, coarser for many profiles, so that
/// the page stays small.
pub(crate) fn timeline_parts(profiles: usize) -> usize {
    match profiles {
        0..=24 => 168,
        25..=80 => 120,
        _ => 72,
    }
}

/// The page.
pub(crate) fn page(page: &Page) -> String {
    let health = health::worst_first(&page.health, page.generated);
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(page))
            body {
                (header(page))
                main {
                    (health::section(page, &health))
                    @if !page.is_empty() {
                        (lanes::section(page, &health))
                        (uses::section(page))
                        (refreshes::section(page))
                    }
                    (proof::section(page))
                }
                (footer(page))
            }
        }
    }
    .into_string()
}

fn head(page: &Page) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="referrer" content="no-referrer";
            meta name="color-scheme" content="light dark";
            meta name="robots" content="noindex";
            meta name="generator" content=(GENERATOR);
            title { "Credentials on " (outside(&page.host)) " – clawkeep" }
            style { (PreEscaped(include_str!("style.css"))) }
        }
    }
}

/// What the page is about, what matters, and where to find it.
fn header(page: &Page) -> Markup {
    html! {
        header {
            h1 { "Credentials on " bdi { (outside(&page.host)) } }
            p.period {
                (when(page.since)) " to " (when(page.until))
                span.far { " – times are local, " (zone(page.since, page.generated)) }
            }
            (health::summary(page))
            @if !page.is_empty() { (navigation()) }
        }
    }
}

fn navigation() -> Markup {
    html! {
        nav aria-label="Sections" {
            ul {
                li { a href="#health" { "Health" } }
                li { a href="#timeline" { "Over time" } }
                li { a href="#use" { "Use" } }
                li { a href="#refreshes" { "Refreshes" } }
                li { a href="#record" { "The record" } }
            }
        }
    }
}

fn footer(page: &Page) -> Markup {
    html! {
        footer {
            p {
                "Made " (when(page.generated)) " by clawkeep " (outside(&page.version))
                " from vault " code { (outside(&page.vault)) } ". It holds no secret, but it names profiles, programs and hosts."
            }
        }
    }
}

#[cfg(test)]
mod tests;
