//! Tables that become cards where the page is narrow.

use maud::{Markup, html};

/// Rows that are open: what is beyond them is folded away.
pub(super) const OPEN_MAX: usize = 60;

#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    Words(&'static str),
    /// Of numbers, set to the right.
    Numbers(&'static str),
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Words(name) | Self::Numbers(name) => name,
        }
    }

    fn class(self) -> Option<&'static str> {
        match self {
            Self::Words(_) => None,
            Self::Numbers(_) => Some("num"),
        }
    }
}

/// A table with a row a profile, which its first cell names.
pub(super) fn table<const N: usize>(
    caption: &str,
    columns: [Column; N],
    rows: &[[Markup; N]],
) -> Markup {
    let (open, folded) = rows.split_at(rows.len().min(OPEN_MAX));
    html! {
        (block(caption, columns, open))
        @if !folded.is_empty() {
            details {
                summary { (folded.len()) " more" }
                (block(&format!("{caption} (continued)"), columns, folded))
            }
        }
    }
}

/// The roles repeat what the elements say: browsers forget it where the style makes cards of them.
fn block<const N: usize>(caption: &str, columns: [Column; N], rows: &[[Markup; N]]) -> Markup {
    html! {
        // Scrolls by itself should it be too wide, and the page does not.
        div.scroll {
            table.cards role="table" {
                caption { (caption) }
                thead role="rowgroup" {
                    tr role="row" {
                        @for column in columns {
                            th scope="col" role="columnheader" class=[column.class()] {
                                (column.name()) }
                        }
                    }
                }
                tbody role="rowgroup" {
                    @for row in rows {
                        tr role="row" { (cells(columns, row)) }
                    }
                }
            }
        }
    }
}

fn cells<const N: usize>(columns: [Column; N], row: &[Markup; N]) -> Markup {
    html! {
        @for (place, (column, cell)) in columns.into_iter().zip(row).enumerate() {
            @if place == 0 {
                th scope="row" role="rowheader" { (cell) }
            } @else {
                td role="cell" class=[column.class()] data-label=(column.name()) { div { (cell) } }
            }
        }
    }
}
