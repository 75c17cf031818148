//! How deep JSON5 text nests, found before it is parsed.

use json5::Position;

/// Deepest nesting read, as in `serde_json`. The parser recurses without a limit, and deep nesting
/// would end the process for want of stack; configurations nest less than ten levels.
pub(super) const NESTING_MAX: usize = 128;

/// Where brackets outside strings and comments first nest deeper than [`NESTING_MAX`].
///
/// Until the first syntax error, where the parser stops, this takes the same characters for strings
/// and comments as the parser does, so the parser never goes deeper than what is counted here.
pub(super) fn too_deep_at(text: &str) -> Option<Position> {
    let mut depth = 0_usize;
    let mut inside = Inside::Nothing;
    let mut chars = text.char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        let next = chars.peek().map(|&(_, next)| next);
        inside = match (inside, c) {
            (Inside::Nothing, '[' | '{') if depth == NESTING_MAX => {
                return Some(Position::from_offset(offset, text));
            }
            (Inside::Nothing, '[' | '{') => {
                depth += 1;
                Inside::Nothing
            }
            (Inside::Nothing, ']' | '}') => {
                depth = depth.saturating_sub(1);
                Inside::Nothing
            }
            (Inside::Nothing, '"' | '\'') => Inside::String(c),
            (Inside::Nothing, '/') if next == Some('/') => Inside::LineComment,
            (Inside::Nothing, '/') if next == Some('*') => {
                chars.next(); // or `/*/` would end as soon as it began
                Inside::BlockComment
            }
            (Inside::String(quote), c) if c == quote => Inside::Nothing,
            (Inside::String(quote), '\\') => {
                chars.next(); // whatever is escaped does not end the string
                Inside::String(quote)
            }
            (Inside::LineComment, '\n' | '\r' | '\u{2028}' | '\u{2029}') => Inside::Nothing,
            (Inside::BlockComment, '*') if next == Some('/') => {
                chars.next();
                Inside::Nothing
            }
            (unchanged, _) => unchanged,
        };
    }
    None
}

/// What a character of JSON5 text belongs to.
#[derive(Clone, Copy)]
enum Inside {
    Nothing,
    String(char),
    LineComment,
    BlockComment,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn depth(value: &Value) -> usize {
        let inner = match value {
            Value::Array(items) => items.iter().map(depth).max(),
            Value::Object(fields) => fields.values().map(depth).max(),
            _ => return 0,
        };
        1 + inner.unwrap_or(0)
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let many = "[".repeat(500);
        for text in [
            format!("'{many}'"),
            format!("\"\\\"{many}\""),
            format!("/*/{many}*/ 1"),
            format!("//{many}\n1"),
            "[]".repeat(500),
        ] {
            assert_eq!(too_deep_at(&text), None, "{}", &text[..20]);
        }
        let place = too_deep_at(&format!("// it's\n'\\'' {many}")).unwrap();
        assert_eq!((place.line, place.column), (1, 5 + 128));
    }

    proptest! {
        #[test]
        fn what_passes_parses_to_no_more_than_the_limit(text in "[\\[\\]{}:a,'\"/*\\\\\n]{0,60}",
            levels in 100_usize..160) {
            let text = format!("{}{text}{}", "[".repeat(levels), "]".repeat(levels));
            if too_deep_at(&text).is_none() && let Ok(value) = json5::from_str::<Value>(&text) {
                prop_assert!(depth(&value) <= NESTING_MAX);
            }
        }
    }
}
