//! How a secret is shown: enough to tell two apart, not enough to use.

/// What stands for a secret too short to show parts of.
const HIDDEN: &str = "********";
/// Secrets of this many characters or fewer are hidden whole, where the reference prints them: a deliberate difference.
/// Characters are UTF-16 units, as in the reference. Source: `spec/compat.md`, Deliberate differences.
const HIDDEN_WHOLE_UP_TO: usize = 16;
/// How many characters are shown at either end of a longer one. Source: the `status` conformance cases.
const SHOWN: usize = 8;

/// A secret as people and logs may see it: `sk-key-u...GWgROnnc`; `missing` when there is nothing but space.
pub(crate) fn masked(secret: &str) -> String {
    let secret = secret.trim();
    if secret.is_empty() {
        return "missing".to_owned();
    }
    if secret.encode_utf16().count() <= HIDDEN_WHOLE_UP_TO {
        return HIDDEN.to_owned();
    }
    let head: String = up_to(secret.chars(), SHOWN).collect();
    let tail: Vec<char> = up_to(secret.chars().rev(), SHOWN).collect();
    format!("{head}...{}", tail.into_iter().rev().collect::<String>())
}

/// Characters as long as they come to no more than `units` UTF-16 units; one is never cut in half.
fn up_to(chars: impl Iterator<Item = char>, units: usize) -> impl Iterator<Item = char> {
    let with_total = chars.scan(0, |total, c| {
        *total += c.len_utf16();
        Some((*total, c))
    });
    with_total
        .take_while(move |(total, _)| *total <= units)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_secrets_are_hidden_whole() {
        assert_eq!(masked("sk-0123456789abc"), "********", "16 characters");
        assert_eq!(
            masked(" sk-0123456789abcd\n"),
            "sk-01234...6789abcd",
            "17 characters"
        );
        assert_eq!(
            (masked("x").as_str(), masked(" \t").as_str()),
            ("********", "missing")
        );
    }

    #[test]
    fn characters_outside_ascii_are_not_cut() {
        assert_eq!(masked(&"é".repeat(20)), format!("{0}...{0}", "é".repeat(8)));
        assert_eq!(masked(&"🔑".repeat(8)), "********", "16 units");
        assert_eq!(
            masked(&format!("a{}", "🔑".repeat(9))),
            format!("a{}...{}", "🔑".repeat(3), "🔑".repeat(4))
        );
    }
}
