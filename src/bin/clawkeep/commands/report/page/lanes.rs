//! The credentials over time: a lane each, with what was valid, what happened, and how much it was
//! used.
//!
//! Nothing in a lane is scaled but along the time: positions are parts of the width, and marks and
//! letters keep their size at every width. The lanes are rows of a table, so that the axis comes
//! again on every printed page.

use std::collections::HashMap;

use clawkeep::internal::audit::{Lane, ProfileRef};
use maud::{Markup, html};

use super::facts::Page;
use super::lane;
use super::scale::{Scale, TICKS_MAX};
use super::table::OPEN_MAX;
use super::text::percent;

/// Tooltips of all lanes together, about 100 bytes each. The lanes after those that use them up
/// have their numbers in words only, so that the page stays below 2 MB.
const TOOLTIPS_MAX: usize = 4_000;
/// The section with the lanes, sorted by the health of the credentials: problems come first.
pub(super) fn section(page: &Page) -> Markup {
    let places: HashMap<ProfileRef, usize> = (page.logins.iter().enumerate())
        .flat_map(|(place, login)| login.profiles().map(move |whose| (whose, place)))
        .collect();
    let mut lanes: Vec<&Lane> = page.timeline.lanes.iter().collect();
    lanes.sort_by_key(|lane| places.get(&lane.profile).copied().unwrap_or(usize::MAX));
    html! {
        section #timeline {
            h2 { "Over time" }
            @match Scale::new(page).filter(|_| !lanes.is_empty()) {
                Some(scale) => (drawn(&scale, &lanes)),
                None => p.empty { "Nothing happened to a credential in this time." },
            }
        }
    }
}

fn drawn(scale: &Scale, lanes: &[&Lane]) -> Markup {
    let mut tooltips = TOOLTIPS_MAX;
    let rows: Vec<Markup> = lanes
        .iter()
        .map(|lane| lane::row(scale, lane, &mut tooltips))
        .collect();
    let (open, folded) = rows.split_at(rows.len().min(OPEN_MAX));
    html! {
        (shapes())
        (legend())
        (block("What happened to each credential", scale, open))
        @if !folded.is_empty() {
            details {
                summary { (folded.len()) " more" }
                (block("What happened to each credential (continued)", scale, folded))
            }
        }
    }
}

fn block(caption: &str, scale: &Scale, rows: &[Markup]) -> Markup {
    html! {
        table.lanes role="table" {
            caption.unseen { (caption) }
            thead role="rowgroup" {
                tr role="row" {
                    th scope="col" role="columnheader" { span.unseen { "Profile" } }
                    th scope="col" role="columnheader" { (axis(scale)) }
                }
            }
            tbody role="rowgroup" { @for row in rows { (row) } }
        }
    }
}

/// What the drawings refer to. Not hidden by style: browsers then draw nothing of it.
fn shapes() -> Markup {
    html! {
        svg.shapes width="0" height="0" aria-hidden="true" {
            defs {
                pattern #gap width="5" height="5" patternUnits="userSpaceOnUse"
                    patternTransform="rotate(45)" {
                    rect.gap-ground width="5" height="5" {}
                    rect.gap-line width="2" height="5" {}
                }
                pattern #rest width="6" height="6" patternUnits="userSpaceOnUse" {
                    rect.rest-ground width="6" height="6" {}
                    rect.rest-line width="3" height="6" {}
                }
                g #fail {
                    path.halo d="M-3.5-3.5L3.5 3.5M-3.5 3.5L3.5-3.5" {}
                    path.cross d="M-3.5-3.5L3.5 3.5M-3.5 3.5L3.5-3.5" {}
                }
            }
        }
    }
}

fn legend() -> Markup {
    html! {
        ul.legend {
            li { svg width="28" height="12" aria-hidden="true" { rect.valid y="1" width="28"
                height="10" rx="1" {} } " valid" }
            li { svg width="28" height="12" aria-hidden="true" { rect.gap x=".5" y="1.5" width="27"
                height="9" {} } " not valid" }
            li { svg width="28" height="12" aria-hidden="true" {
                rect.valid y="1" width="28" height="10" rx="1" {}
                rect.rest x=".5" y="1.5" width="27" height="9" {}
            } " in cooldown or disabled" }
            li { svg width="28" height="12" aria-hidden="true" {
                rect.valid y="1" width="28" height="10" rx="1" {}
                rect.future x="10" width="18" height="12" {}
                line.now x1="10" x2="10" y1="0" y2="12" {}
            } " until it expires" }
            li {
                svg width="12" height="18" aria-hidden="true" {
                    rect.valid y="4" width="12" height="10" {}
                    path.refresh d="M6 0V9" {}
                }
                " refresh"
            }
            li { svg width="12" height="12" aria-hidden="true" { use href="#fail" x="6" y="6" {} }
                " failure" }
            li {
                svg width="18" height="12" aria-hidden="true" { path.use d="M0 12V8h4V12M5 \
                    12V3h4V12M10 12V6h4V12" {} }
                " uses, against the busiest part of the lane"
            }
        }
    }
}

/// Ticks, their labels, and `now` above them.
fn axis(scale: &Scale) -> Markup {
    let every_other = scale.ticks.len() > TICKS_MAX.div_ceil(2);
    html! {
        svg.axis width="100%" height="34" aria-hidden="true" {
            @for (place, tick) in scale.ticks.iter().enumerate() {
                @let along = scale.along(tick.at);
                g.odd[every_other && place % 2 == 1] {
                    line x1=(percent(along)) x2=(percent(along)) y1="29" y2="34" {}
                    text x=(percent(along)) y="26" text-anchor=(anchor(along)) { (tick.label) }
                }
            }
            @if let Some(along) = scale.now_along() {
                text.now-word x=(percent(along)) y="11" text-anchor=(anchor(along)) { "now" }
                line.now x1=(percent(along)) x2=(percent(along)) y1="14" y2="34" {}
            }
        }
    }
}

/// Labels at the ends turn inwards.
fn anchor(along: u32) -> &'static str {
    match along {
        0..=600 => "start",
        9_400.. => "end",
        _ => "middle",
    }
}
