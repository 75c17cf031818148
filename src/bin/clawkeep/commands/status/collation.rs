//! The order in which names are listed.

use std::cmp::Ordering;
use std::sync::LazyLock;

/// ASCII punctuation and symbols in the order of the Unicode collation that JavaScript's
/// `localeCompare` uses (CLDR root): all before digits, digits before letters.
const PUNCTUATION: &str = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";

/// Compares names as the reference sorts them: regardless of case, punctuation before digits before
/// letters; where that makes no difference, lower case first. For names in ASCII this is
/// JavaScript's `localeCompare`; other characters go by their code point, after `z`.
pub(crate) fn locale_cmp(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    // What both begin with makes no difference, and in a long list it is most of every name.
    let (a, b) = without_common_start(a, b);
    let primary = |c: char| c.to_lowercase().map(rank);
    let primaries = a.chars().flat_map(primary).cmp(b.chars().flat_map(primary));
    let cases = || {
        a.chars()
            .map(char::is_uppercase)
            .cmp(b.chars().map(char::is_uppercase))
    };
    primaries.then_with(cases).then_with(|| a.cmp(b))
}

/// The place of each ASCII character, as [`rank`] orders them.
static ASCII_RANKS: LazyLock<[u8; 128]> = LazyLock::new(|| {
    let rank_of = |byte: u8| rank(char::from(byte.to_ascii_lowercase()));
    let ranks: Vec<_> = (0..128).map(rank_of).collect();
    std::array::from_fn(|byte| {
        let below = ranks.iter().filter(|other| **other < ranks[byte]);
        u8::try_from(below.count()).unwrap_or(u8::MAX)
    })
});

/// What a name is sorted by in a long list: compares as [`locale_cmp`] does, and mostly as bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CollationKey {
    /// The ranks of its letters, regardless of case.
    ranks: Vec<u8>,
    name: String,
}

impl CollationKey {
    pub(crate) fn of(name: &str) -> Self {
        let mut ranks = Vec::with_capacity(name.len());
        if name.is_ascii() {
            ranks.extend(name.bytes().map(|byte| ASCII_RANKS[usize::from(byte)]));
        } else {
            for c in name.chars().flat_map(char::to_lowercase) {
                match u8::try_from(c) {
                    Ok(byte) if byte.is_ascii() => ranks.push(ASCII_RANKS[usize::from(byte)]),
                    // After every letter of ASCII.
                    _ => {
                        ranks.push(u8::MAX);
                        ranks.extend(u32::from(c).to_be_bytes());
                    }
                }
            }
        }
        Self {
            ranks,
            name: name.to_owned(),
        }
    }
}

impl Ord for CollationKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_rank = self.ranks.cmp(&other.ranks);
        by_rank.then_with(|| locale_cmp(&self.name, &other.name))
    }
}

impl PartialOrd for CollationKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn without_common_start<'t>(a: &'t str, b: &'t str) -> (&'t str, &'t str) {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    // Two characters may begin with the same bytes; those are not passed over.
    let start = (0..=same)
        .rev()
        .find(|at| a.is_char_boundary(*at) && b.is_char_boundary(*at));
    let start = start.unwrap_or(0);
    (&a[start..], &b[start..])
}

fn rank(c: char) -> (u8, usize) {
    match c {
        'a'..='z' => (3, c as usize),
        '0'..='9' => (2, c as usize),
        _ if c.is_ascii_control() => (0, c as usize),
        _ => PUNCTUATION
            .find(c)
            .map_or((3, c as usize), |place| (1, place)),
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
    fn a_key_compares_as_its_name() {
        let marks = (0..0x80).map(|byte| char::from(byte).to_string());
        let longer = [
            "aB",
            "ab",
            "a",
            "",
            "zz",
            "é",
            "aé",
            "É",
            "a\u{e9}b",
            "z\u{10ffff}",
            "İ",
        ];
        let names: Vec<String> = marks.chain(longer.map(str::to_owned)).collect();
        for a in &names {
            for b in &names {
                let by_key = CollationKey::of(a).cmp(&CollationKey::of(b));
                assert_eq!(by_key, locale_cmp(a, b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_common_start_ends_between_characters() {
        assert_eq!(without_common_start("aé", "aè"), ("é", "è"));
        assert_eq!(without_common_start("ab", "abc"), ("", "c"));
        assert_eq!(locale_cmp("aBc", "abd"), Ordering::Less);
        assert_eq!(locale_cmp("aBc", "abc"), Ordering::Greater);
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
