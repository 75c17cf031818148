//! The order in which names are listed.

use std::cmp::Ordering;

/// ASCII punctuation and symbols in the order of the Unicode collation that JavaScript's `localeCompare` uses
/// (CLDR root): all before digits, digits before letters.
const PUNCTUATION: &str = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";

/// Compares names as the reference sorts them: regardless of case, punctuation before digits before letters;
/// where that makes no difference, lower case first. For names in ASCII this is JavaScript's `localeCompare`;
/// other characters go by their code point, after `z`.
pub(crate) fn locale_cmp(a: &str, b: &str) -> Ordering {
    let primary = |text: &str| {
        text.chars()
            .flat_map(char::to_lowercase)
            .map(rank)
            .collect::<Vec<_>>()
    };
    let is_upper = |text: &str| text.chars().map(char::is_uppercase).collect::<Vec<_>>();
    primary(a)
        .cmp(&primary(b))
        .then_with(|| is_upper(a).cmp(&is_upper(b)))
        .then_with(|| a.cmp(b))
}

fn rank(c: char) -> (u8, usize) {
    match PUNCTUATION.find(c) {
        Some(place) => (1, place),
        None if c.is_ascii_control() => (0, c as usize),
        None if c.is_ascii_digit() => (2, c as usize),
        None => (3, c as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_then_digits_then_letters_whatever_the_case() {
        let sorted = [
            "anthropic",
            "anthropic:a1",
            "anthropic:ana@example.com",
            "anthropic:ana1",
            "anthropic:backup",
            "anthropic:Backup",
            "Anthropic:zeta",
            "openai:a",
            "openai_a",
            "openai-codex",
            "openai1",
            "openaia",
            "zürich",
        ];
        // `:` comes after `-`, `_` before both.
        let mut want = sorted;
        want.swap(7, 8);
        want[8..10].reverse();
        let mut got = sorted;
        got.reverse();
        got.sort_by(|a, b| locale_cmp(a, b));
        assert_eq!(got, want);
    }

    #[test]
    fn every_ascii_mark_has_a_place() {
        for c in (b' '..=b'~')
            .map(char::from)
            .filter(|c| !c.is_ascii_alphanumeric())
        {
            assert!(PUNCTUATION.contains(c), "{c:?}");
        }
    }
}
