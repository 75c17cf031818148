//! Tables of test cases, one a line: what is given, ` => `, and what is expected of it.

/// Splits a table into its cases; blanks around the two sides do not count.
pub(crate) fn cases(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows = table.trim().lines();
    rows.map(|row| row.split_once(" => ").expect(row))
        .map(|(given, want)| (given.trim(), want.trim()))
}
