//! The section of the record itself: how much there is, and how to prove that it is whole.

use maud::{Markup, html};

use super::facts::{Page, RecordFacts};
use super::text::{counted, number, when};
use crate::terminal::text::one_line;

pub(super) fn section(page: &Page) -> Markup {
    let record = &page.record;
    html! {
        section #record {
            h2 { "The record" }
            dl {
                dt { "Events" }
                dd { (number(record.events)) }
                @if let Some((first, last)) = record.range {
                    dt { "From" } dd { (when(first)) }
                    dt { "To" } dd { (when(last)) }
                }
                @if let Some((removed, last)) = record.pruned {
                    dt { "Pruned" }
                    dd { (counted(removed, "event")) ", up to number " (last) }
                }
                dt { "Kept head" }
                dd {
                    @match record.kept_head {
                        Some(seq) => { "event " (seq) },
                        None => "none on this machine",
                    }
                }
                @if let Some(head) = &record.head {
                    dt { "Head" }
                    dd { code.head { (one_line(head)) } }
                }
            }
            (verification(record))
        }
    }
}

fn verification(record: &RecordFacts) -> Markup {
    html! {
        @if record.head.is_some() {
            p {
                strong { "Unverified: making this page did not verify the record. " }
                "It takes no key, and the proof does. To prove that no event up to this page's \
                 head was altered, "
                "dropped, inserted or reordered, save the line above \
                 as " code { "page.head" } " and run:"
            }
            pre { code { "clawkeep audit verify --head page.head" } }
        } @else {
            p.empty { "Nothing is recorded yet. The first command that changes a credential \
                begins the record." }
        }
    }
}
