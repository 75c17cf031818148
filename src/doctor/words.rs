//! How findings name things.

use std::path::Path;

use crate::config::Layout;
use crate::domain::is_hidden;

/// A path as a shell takes it: with `~` where nothing in it needs quotes.
#[must_use]
pub fn shell_path(layout: &Layout, path: &Path) -> String {
    let short = layout.shorten_home(path);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-~@:+,=%".contains(c);
    if short.chars().all(is_plain) {
        return short;
    }
    quoted(&path.display().to_string())
}

/// A word as a shell takes it.
#[must_use]
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:+,=%".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain) {
        return word.to_owned();
    }
    quoted(word)
}

fn quoted(word: &str) -> String {
    if !word.contains(is_hidden) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    // What is shown is one line without hidden characters: those are spelt.
    let mut out = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            c if is_hidden(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    out.push_str(&format!("\\x{byte:02x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// `3 of them` in words: `1 event`, `2 events`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_safe_in_a_shell() {
        for (word, want) in [
            ("anthropic:me@x.y", "anthropic:me@x.y"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(x)", "'$(x)'"),
            ("it's", "'it'\\''s'"),
            ("~", "'~'"),
            ("a\nb'\\", "$'a\\x0ab\\'\\\\'"),
            ("a\u{202e}b", "$'a\\xe2\\x80\\xaeb'"),
        ] {
            assert_eq!(shell_word(word), want);
        }
        assert_eq!(
            (counted(1, "event"), counted(2, "event")),
            ("1 event".to_owned(), "2 events".to_owned())
        );
    }
}
