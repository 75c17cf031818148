//! Text from outside in a message: it must neither pass for ours nor change the meaning.

use crate::domain::{escaped, escaped_lines};

/// The longest name in a message, in characters.
const NAME_MAX: usize = 128;
/// The longest text of what is wrong with the host, in characters.
const PARAGRAPH_MAX: usize = 1_000;

/// A name, on one line and not long.
pub(super) fn named(text: &str) -> String {
    let name = cut(&line(text.trim()), NAME_MAX);
    if name.is_empty() {
        "(no name)".to_owned()
    } else {
        name
    }
}

pub(super) fn line(text: &str) -> String {
    escaped(text).into_owned()
}

/// Text of several lines, not long.
pub(super) fn paragraph(text: &str) -> String {
    cut(&escaped_lines(text.trim()), PARAGRAPH_MAX)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

pub(super) fn cut_to_bytes(text: &str, most: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub(MARK.len()));
    format!("{}{MARK}", text.get(..end).unwrap_or_default())
}

/// For Slack: no links, mentions or entities. Source: Slack's documentation, Formatting text.
pub(super) fn for_slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// For Discord: nothing in it is markup, a link or a mention. Source: Discord's documentation,
/// Message formatting.
pub(super) fn for_discord(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '\\' | '*'
                | '_'
                | '~'
                | '`'
                | '|'
                | '<'
                | '>'
                | '#'
                | '['
                | ']'
                | '('
                | ')'
                | '@'
                | ':'
                | '-'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_turn_a_message_around() {
        let found = named("a\u{202e}b\u{2028}c\u{1b}[31m\n");
        assert_eq!(found, r"a\u202eb\u2028c\u001b[31m");
        assert_eq!(named(" "), "(no name)");
        assert_eq!(named(&"ä".repeat(140_000)).chars().count(), NAME_MAX);
        assert_eq!(paragraph(" one\ntwo\u{2066} "), "one\ntwo\\u2066");
        assert!(paragraph(&"x".repeat(5_000)).chars().count() <= PARAGRAPH_MAX);
    }

    #[test]
    fn a_cut_is_between_characters() {
        assert_eq!(cut_to_bytes("ääää", 8), "ääää");
        assert_eq!(cut_to_bytes("ääää", 7), "ää…");
        assert_eq!(cut_to_bytes("ä", 1), "…");
    }

    #[test]
    fn in_a_chat_names_are_names() {
        assert_eq!(for_slack("<!channel> & x"), "&lt;!channel&gt; &amp; x");
        assert_eq!(for_discord("**@a** [x](y)"), r"\*\*\@a\*\* \[x\]\(y\)");
    }
}
