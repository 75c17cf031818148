//! Rows of text under a header, for people.

/// Characters of a cell that are shown, but for the last of a row: ids can be of any length.
const CELL_MAX: usize = 64;

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
    let last = N.saturating_sub(1);
    let cut = |(place, cell): (usize, &String)| match place {
        _ if place == last => cell.clone(),
        _ => fitting(cell, Some(CELL_MAX)),
    };
    let rows: Vec<Vec<String>> = std::iter::once(&header)
        .chain(rows)
        .map(|row| row.iter().enumerate().map(cut).collect())
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            let blanks = width.saturating_sub(cell.chars().count()) + 2;
            line.extend(std::iter::repeat_n(' ', blanks));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_any_length_stay_in_columns() {
        let long = "x".repeat(70_000);
        let rows = [
            [long.clone(), "b".to_owned(), long],
            ["a".to_owned(), String::new(), "c".to_owned()],
        ];
        let text = table(["A", "B", "C"], &rows, None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find('C'), lines[2].find('c'));
        assert!(lines[1].starts_with(&"x".repeat(63)) && lines[1].contains("…  b  xxx"));
        let narrow = table(["A", "B", "C"], &rows, Some(20));
        assert!(narrow.lines().all(|line| line.chars().count() <= 20));
        assert_eq!(table(["A"], &[], None), "");
    }
}
