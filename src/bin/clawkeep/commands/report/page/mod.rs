//! The page that `report` writes: the state of the credentials, what happened to them, who used
//! them, and the record.
//!
//! One HTML file that loads nothing and runs nothing, for a screen of any width and for paper.
//! Values in, text out: nothing here reads a file, a key or a clock. There is no secret in what it
//! is made of.

mod days;
pub(crate) mod facts;
mod health;
mod lane;
mod lanes;
mod proof;
mod refreshes;
pub(crate) mod scale;
mod table;
mod text;
mod uses;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::facts::Page;
use self::text::{outside, when, zone};
use crate::terminal::palette::style_sheet;

/// Blocks all loading, even if a bug let a reference in; the style sheet is in the page.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The generator that a page names: a page with this name may be replaced by a newer one.
pub(crate) const GENERATOR: &str = "clawkeep report";
/// The number of parts of the page's time: as fine as a wide screen shows, coarser for many
/// profiles, so that the page stays small.
pub(crate) fn timeline_parts(profiles: usize) -> usize {
    match profiles {
        0..=24 => 168,
        25..=80 => 120,
        _ => 72,
    }
}

pub(crate) fn page(page: &Page) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(page))
            body {
                (header(page))
                main {
                    (health::section(page))
                    @if !page.is_empty() {
                        (lanes::section(page))
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
            style { (PreEscaped(style_sheet())) (PreEscaped(include_str!("style.css"))) }
        }
    }
}

/// The head of the page: its subject, the verdict, and links to the sections.
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
                li { a href="#health" { "Every login" } }
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
                " from vault " code { (outside(&page.vault)) } ". It holds no secret, but it \
                    names profiles, programs and hosts."
            }
        }
    }
}

#[cfg(test)]
mod tests;
