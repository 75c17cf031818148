//! Rows of text under a header, for people.

/// Characters of a cell that are shown, but for the last of a row: ids can be of any length.
const CELL_MAX: usize = 64;
/// Blanks between columns.
const GAP: usize = 2;
/// To this many characters, at least, a column is narrowed to fit the terminal.
const NARROWEST: usize = 8;
/// This many characters, at least, the last column has; else it is left out with what does not fit.
const LAST: usize = 12;

/// A table, fitted to the terminal's width where there is one; nothing without rows. Cells are
/// lines: what comes from outside has gone through [`crate::terminal::text::one_line`].
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let columns = Columns::of(header, rows, width);
    if let Some(width) = width.filter(|width| *width < NARROW && N > 3 && !columns.fit()) {
        return rows.iter().map(|row| stacked(header, row, width)).collect();
    }
    let rows = rows.iter().map(|row| columns.line(row));
    std::iter::once(columns.line(&header)).chain(rows).collect()
}

/// A row on a terminal too narrow for columns: its first cell, and below it the others by name.
fn stacked<const N: usize>(header: [&str; N], row: &[String; N], width: usize) -> String {
    let mut out = String::new();
    for (place, (name, cell)) in header.iter().zip(row).enumerate() {
        let line = match place {
            0 => cell.clone(),
            _ => format!("  {}: {cell}", name.to_lowercase()),
        };
        out.push_str(fitting(&line, Some(width)).trim_end());
        out.push('\n');
    }
    out
}

/// On a terminal narrower than this, a table whose columns do not fit is printed one cell per line.
const NARROW: usize = 60;

/// How wide the columns of a table are.
pub(crate) struct Columns<const N: usize> {
    widths: [usize; N],
    /// As wide as they would be with room.
    needed: [usize; N],
    /// Columns of the terminal.
    terminal: Option<usize>,
}

impl<const N: usize> Columns<N> {
    /// As wide as a header and some rows need, and as the terminal lets them be.
    pub(crate) fn of(header: [&str; N], rows: &[[String; N]], terminal: Option<usize>) -> Self {
        let mut widths = header.map(chars);
        let last = N.saturating_sub(1);
        for row in rows {
            for (place, (width, cell)) in widths.iter_mut().zip(row).enumerate() {
                let shown = if place == last {
                    chars(cell)
                } else {
                    chars(cell).min(CELL_MAX)
                };
                *width = shown.max(*width);
            }
        }
        let mut columns = Self {
            widths,
            needed: widths,
            terminal,
        };
        if let Some(terminal) = terminal {
            columns.narrow(terminal);
        }
        columns
    }

    /// Whether there is room for all of every cell.
    fn fit(&self) -> bool {
        let needed: usize = self.needed.iter().map(|width| width + GAP).sum();
        self.terminal
            .is_none_or(|terminal| needed <= terminal + GAP)
    }

    /// Takes from the widest column, one character after the other, until there is room for the
    /// last.
    fn narrow(&mut self, terminal: usize) {
        let Some((last, others)) = self.widths.split_last_mut() else {
            return;
        };
        let for_last = (*last).min(LAST);
        while others.iter().map(|width| width + GAP).sum::<usize>() + for_last > terminal {
            let widest = others.iter_mut().max_by_key(|width| **width);
            match widest.filter(|width| **width > NARROWEST) {
                Some(width) => *width -= 1,
                None => return,
            }
        }
    }

    /// A row as a line.
    pub(crate) fn line(&self, row: &[impl AsRef<str>; N]) -> String {
        let last = N.saturating_sub(1);
        let mut line = String::new();
        for (place, (cell, width)) in row.iter().zip(self.widths).enumerate() {
            let cell = cell.as_ref();
            if place == last {
                line.push_str(cell);
                continue;
            }
            let cut = if self.terminal.is_some() {
                width
            } else {
                CELL_MAX
            };
            let cell = fitting(cell, Some(cut));
            line.push_str(&cell);
            let blanks = width.saturating_sub(chars(&cell)) + GAP;
            line.extend(std::iter::repeat_n(' ', blanks));
        }
        let line = fitting(line.trim_end(), self.terminal);
        format!("{}\n", line.trim_end())
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// A text cut to a width, with a mark where it was cut.
pub(crate) fn fitting(text: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if chars(text) > width => text
            .chars()
            .take(width.saturating_sub(1))
            .chain(['…'])
            .collect(),
        _ => text.to_owned(),
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

    #[test]
    fn a_narrow_terminal_takes_from_the_widest_column_first() {
        let rows = [[
            "2026-11-25".to_owned(),
            "anthropic:claude-cli".to_owned(),
            "took it over".to_owned(),
        ]];
        assert_eq!(
            table(["TIME", "PROFILE", "WHAT"], &rows, Some(40)),
            "TIME        PROFILE         WHAT\n\
             2026-11-25  anthropic:cla…  took it over\n"
        );
        assert_eq!(
            table(["TIME", "PROFILE", "WHAT"], &rows, Some(80)),
            "TIME        PROFILE               WHAT\n\
             2026-11-25  anthropic:claude-cli  took it over\n"
        );
    }
}
