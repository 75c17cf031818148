//! How a secret is shown: enough to tell two apart, not enough to use.

/// The text in place of a secret too short to show parts of.
const HIDDEN: &str = "********";
/// Secrets of this many characters or fewer are hidden whole, where the reference prints them: a
/// deliberate difference. Characters are UTF-16 units, as in the reference. Source:
/// `spec/compat.md`, Deliberate differences.
const HIDDEN_WHOLE_UP_TO: usize = 16;
/// Characters shown at either end of a long secret, of which at most half is shown. Source: the
/// `status` conformance cases, whose secrets have 40 characters or more.
const SHOWN: usize = 8;
const LONG_FROM: usize = 32;
/// Of a shorter one at most a third is shown, half of that at either end: a sixth.
const SHORT_PART: usize = 6;

/// A secret as people and logs may see it: `sk-key-u...GWgROnnc`; `missing` for blanks alone.
pub(crate) fn masked(secret: &str) -> String {
    let secret = secret.trim();
    if secret.is_empty() {
        return "missing".to_owned();
    }
    let length = secret.encode_utf16().count();
    if length <= HIDDEN_WHOLE_UP_TO {
        return HIDDEN.to_owned();
    }
    let shown = match length {
        LONG_FROM.. => SHOWN,
        _ => length / SHORT_PART,
    };
    let head: String = up_to(secret.chars(), shown).collect();
    let tail: Vec<char> = up_to(secret.chars().rev(), shown).collect();
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
            (masked("x").as_str(), masked(" \t").as_str()),
            ("********", "missing")
        );
    }

    #[test]
    fn of_a_secret_below_32_characters_at_most_a_third_is_shown() {
        for (length, want) in [
            (17, "01...fg"),
            (18, "012...fgh"),
            (31, "01234...qrstu"),
            (32, "01234567...opqrstuv"),
            (36, "01234567...stuvwxyz"),
        ] {
            let secret = &"0123456789abcdefghijklmnopqrstuvwxyz"[..length];
            assert_eq!(masked(&format!(" {secret}\n")), want, "{length}");
        }
        for length in 1..100 {
            let secret = "s".repeat(length);
            let shown = masked(&secret).chars().filter(|c| *c == 's').count();
            let most = if length < 32 { length / 3 } else { 16 };
            assert!(shown <= most, "{length}: {shown}");
        }
    }

    #[test]
    fn characters_outside_ascii_are_not_cut() {
        assert_eq!(masked(&"é".repeat(32)), format!("{0}...{0}", "é".repeat(8)));
        assert_eq!(masked(&"🔑".repeat(8)), "********", "16 units");
        let found = masked(&format!("a{}", "🔑".repeat(16)));
        assert_eq!(found, format!("a{}...{}", "🔑".repeat(3), "🔑".repeat(4)));
    }
}
