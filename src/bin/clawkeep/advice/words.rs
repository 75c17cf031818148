//! How advice names files and words in a command for a shell.

use std::path::Path;

use clawkeep::internal::config::Layout;
use clawkeep::internal::domain::{shell_quoted, shell_short_path};

/// A path as a shell takes it: with `~` where nothing in it needs quotes.
#[must_use]
pub(crate) fn shell_path(layout: &Layout, path: &Path) -> String {
    shell_short_path(&layout.shorten_home(path), path)
}

/// A word as a shell takes it.
#[must_use]
pub(crate) fn shell_word(word: &str) -> String {
    shell_quoted(word)
}

#[cfg(all(test, not(windows)))] // Windows' quotes: `domain::shell`
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
    }
}
