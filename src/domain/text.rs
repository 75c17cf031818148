//! Text from outside, made fit for the record and for one line of a terminal.

/// Longest text from outside, in characters. Source: `spec/vault.md`, The audit record.
const OUTSIDE_MAX: usize = 128;

/// Text from a file, a system or another program: trimmed, cut to 128 characters, control characters made `?`.
#[must_use]
pub fn from_outside(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '?' } else { c };
    text.trim().chars().take(OUTSIDE_MAX).map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_one_short_line() {
        assert_eq!(from_outside(" a\u{1b}[31m\nb "), "a?[31m?b");
        assert_eq!(from_outside(&"x".repeat(500)).len(), 128);
    }
}
