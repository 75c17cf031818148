//! Words as both `cmd.exe` and PowerShell take them.
//!
//! A word that only one of them would take is safe in the other one, too: what has a meaning there
//! and cannot be quoted is spelt as hidden characters are, `\u0026`. The command then names no
//! file that is there, and starts nothing.

use std::fmt::Write as _;
use std::path::Path;

use crate::domain::{escaped, shown_path as path_text};

/// What `cmd.exe` gives a meaning outside its quotes.
const OF_CMD: [char; 5] = ['&', '|', '<', '>', '^'];
/// What ends PowerShell's double quotes, or has a meaning in them. It takes typographic quotes for
/// plain ones.
const OF_POWERSHELL: [char; 5] = ['$', '`', '\u{201c}', '\u{201d}', '\u{201e}'];

pub(super) fn quoted(word: &str) -> String {
    // cmd.exe takes `=`, `,` and `;` for spaces.
    let is_plain = |c: char| c.is_alphanumeric() || r"\/._-~@:+".contains(c);
    // PowerShell gives `@` and `~` a meaning of their own at the beginning.
    if !word.is_empty() && !word.starts_with(['-', '@', '~']) && word.chars().all(is_plain) {
        return word.to_owned();
    }
    always_quoted(word)
}

pub(super) fn quoted_path(path: &Path) -> String {
    quoted(&path_text(path))
}

pub(super) fn shown_path(path: &Path) -> String {
    quoted_path(path)
}

/// See [`super::shell_short_path`]. `cmd.exe` does not know `~`.
pub(super) fn short_path(_short: &str, path: &Path) -> String {
    quoted_path(path)
}

/// Returns a word in double quotes, which both shells know, or in PowerShell's single quotes where
/// that shell would find a meaning in it. `cmd.exe` does not know those: the word has nothing then
/// that has a meaning there. `%` has one in its double quotes, too, and `"` ends them. Source:
/// Microsoft, "about_Quoting_Rules", and "Parsing C command-line arguments" for the backslash
/// before a quote.
pub(super) fn always_quoted(word: &str) -> String {
    // Neither shell can spell a hidden character.
    let word = escaped(word);
    let is_single = word.contains(OF_POWERSHELL);
    let mut out = String::from(if is_single { "'" } else { "\"" });
    for c in word.chars() {
        match c {
            '"' | '%' => push_spelt(&mut out, c),
            c if is_single && OF_CMD.contains(&c) => push_spelt(&mut out, c),
            '\'' | '\u{2018}'..='\u{201b}' if is_single => out.extend([c, c]),
            c => out.push(c),
        }
    }
    if is_single {
        out.push('\'');
        return out;
    }
    let trailing_backslashes = word.len() - word.trim_end_matches('\\').len();
    out.push_str(&"\\".repeat(trailing_backslashes));
    out.push('"');
    out
}

/// Adds a character as hidden ones are spelt.
fn push_spelt(out: &mut String, c: char) {
    let _ = write!(out, "\\u{:04x}", u32::from(c)); // writing to a String does not fail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_safe_in_both_shells_of_windows() {
        for (word, want) in [
            ("anthropic:me@x.y", "anthropic:me@x.y"),
            (r"C:\Users\Zoë\s.json", r"C:\Users\Zoë\s.json"),
            (r"C:\Program Files\x", r#""C:\Program Files\x""#),
            (r"C:\a b\", r#""C:\a b\\""#),
            ("", "\"\""),
            ("a,b", "\"a,b\""),
            ("a=b", "\"a=b\""),
            ("a & b", "\"a & b\""),
            ("(a|b)^<c>", "\"(a|b)^<c>\""),
            ("100%", r#""100\u0025""#),
            ("%PATH% & calc", r#""\u0025PATH\u0025 & calc""#),
            ("@x", "\"@x\""),
            ("~", "\"~\""),
            ("it's", "\"it's\""),
            ("$(x)", "'$(x)'"),
            ("it's $x", "'it''s $x'"),
            ("$(x) & calc", r"'$(x) \u0026 calc'"),
            ("`|<>^ %x%", r"'`\u007c\u003c\u003e\u005e \u0025x\u0025'"),
            ("\u{201c} & calc", "'\u{201c} \\u0026 calc'"),
            ("a\"b", r#""a\u0022b""#),
            ("a\" & calc", r#""a\u0022 & calc""#),
            ("\"$x\" & calc", r"'\u0022$x\u0022 \u0026 calc'"),
            ("a\nb", r#""a\u000ab""#),
        ] {
            assert_eq!(quoted(word), want, "{word}");
        }
    }

    #[test]
    fn nothing_in_a_word_ends_its_quotes_or_has_a_meaning_outside_them() {
        let parts = [
            "\"", "'", "$x", "`", "%P%", "&", "|", "<", ">", "^", "\u{201d}", "\u{2019}", " ",
        ];
        let words = parts.iter().flat_map(|a| {
            let pairs = parts.iter().map(move |b| [a, b]);
            pairs.flat_map(|[a, b]| parts.iter().map(move |c| format!("{a}{b}{c}")))
        });
        for word in words {
            let text = quoted(&word);
            let is_single = text.starts_with('\'');
            let inside = &text[1..text.len() - 1];
            assert!(!inside.contains(['"', '%']), "{text}");
            if is_single {
                assert!(!inside.contains(OF_CMD), "{text}");
            } else {
                assert!(!inside.contains(OF_POWERSHELL), "{text}");
            }
        }
    }
}
