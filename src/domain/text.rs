//! Text from outside, made fit for the record and for one line of a terminal.

/// Longest text from outside, in characters. Source: `spec/vault.md`, The audit record.
const OUTSIDE_MAX: usize = 128;

/// Text from a file, a system or another program: trimmed, cut to 128 characters, control characters made `?`.
#[must_use]
pub fn from_outside(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '?' } else { c };
    text.trim().chars().take(OUTSIDE_MAX).map(visible).collect()
}

/// A character as it may be shown to a person: those that control something, break lines or change the direction of writing become `?`.
#[must_use]
pub fn visible(c: char) -> char {
    // Source of the ranges: Unicode Standard Annex 9, explicit directional formatting characters.
    let turns = matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    if c.is_control() || turns || breaks {
        '?'
    } else {
        c
    }
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
