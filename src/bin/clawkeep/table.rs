//! Rows of text under a header, for people.

use std::fmt::Write as _;

/// A table, cut to the terminal's width where there is one; nothing without rows. Cells are lines: what comes from outside has
/// gone through [`crate::ui::one_line`].
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header = header.map(str::to_owned);
    let mut widths = [0; N];
    for row in std::iter::once(&header).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  "); // writing to a String cannot fail
        }
        let line = fitting(line.trim_end(), width);
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A line cut to the terminal's width, with a mark where it was cut.
fn fitting(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => line
            .chars()
            .take(width.saturating_sub(1))
            .chain(['…'])
            .collect(),
        _ => line.to_owned(),
    }
}
