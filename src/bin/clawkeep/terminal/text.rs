//! Text as it is shown: times, ids and texts from outside on one line, JSON as it is printed.

use std::io;

use chrono::Local;
use clawkeep::internal::domain::{Span, Unavailability, UnixMs, calendar, escaped, escaped_lines};
use zeroize::Zeroizing;

use super::palette::escapes;

pub(crate) fn local_minute(at: UnixMs) -> String {
    local(at, "%Y-%m-%d %H:%M")
}

pub(crate) fn local_second(at: UnixMs) -> String {
    local(at, "%Y-%m-%d %H:%M:%S")
}

/// An instant in the reader's zone, without its year, to the minute.
pub(crate) fn local_short(at: UnixMs) -> String {
    local(at, "%m-%d %H:%M")
}

fn local(at: UnixMs, format: &str) -> String {
    match calendar(at) {
        Some(utc) => utc.with_timezone(&Local).format(format).to_string(),
        None => format!("at {} ms, beyond the calendar", at.0),
    }
}

/// Escapes text from outside, such as ids and paths: it must not move the cursor, reverse the text,
/// be invisible, or pass for a line of ours. See [`clawkeep::internal::domain::is_hidden`].
pub(crate) fn one_line(text: &str) -> String {
    escaped(text).into_owned()
}

/// A value as the JSON that is printed, with what is hidden written out, which means the same.
pub(crate) fn json_text(value: &impl serde::Serialize) -> io::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(escaped_lines(&text).into_owned())
}

/// As [`json_text`], on one line, without its end.
pub(crate) fn json_line(value: &serde_json::Value) -> String {
    escaped(&value.to_string()).into_owned()
}

/// JSON that holds secrets, as it is printed: see [`json_text`].
pub(crate) fn json_shown(json: &str) -> Zeroizing<String> {
    Zeroizing::new(escaped_lines(json).into_owned())
}

/// An id, or other text from outside, in a line of ours: one line, at most 128 characters.
pub(crate) fn shown_id(text: &str) -> String {
    const ID_MAX: usize = 128;
    let line = one_line(text);
    if line.chars().count() <= ID_MAX {
        return line;
    }
    line.chars().take(ID_MAX - 1).chain(['…']).collect()
}

/// A comma-separated list of ids.
pub(crate) fn shown_ids<'i>(ids: impl IntoIterator<Item = &'i str>) -> String {
    let shown: Vec<String> = ids.into_iter().map(shown_id).collect();
    shown.join(", ")
}

/// Text of several lines for people, made of parts that others may have written. Of escape
/// sequences only the colours of this program are let through, and only where it may use colour.
pub(crate) fn shown(text: &str, colour: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split('\u{1b}').enumerate() {
        let ours = escapes().find_map(|code| {
            let rest = part.strip_prefix(&code[1..])?;
            (colour && at > 0).then_some((code, rest))
        });
        match ours {
            Some((code, rest)) => {
                out.push_str(code);
                out.push_str(&escaped_lines(rest));
            }
            None if at > 0 => out.push_str(&escaped_lines(&format!("\u{1b}{part}"))),
            None => out.push_str(&escaped_lines(part)),
        }
    }
    out
}

/// Why and how long a profile is not to be used: `cooldown 5m`, `disabled:billing 5h`.
pub(crate) fn shown_unavailability(unavailability: &Unavailability<'_>) -> String {
    let state = shown_id(&unavailability.state());
    let left = Span::from_f64(unavailability.left_ms).short();
    format!("{state} {left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_moves_the_cursor() {
        let found = one_line("a\u{1b}[2Jb\nc\u{202e}d\u{7}");
        assert_eq!(found, r"a\u001b[2Jb\u000ac\u202ed\u0007");
        let found = shown("a\u{1b}[32mok\u{1b}[0m\n\u{1b}]0;x", true);
        assert_eq!(found, "a\u{1b}[32mok\u{1b}[0m\n\\u001b]0;x");
        assert_eq!(shown("\u{1b}[32mok", false), r"\u001b[32mok");
        assert_eq!(shown("[32mok\u{200b}", true), r"[32mok\u200b");
        assert_eq!(shown("é\u{9b}2J", true), r"é\u009b2J");
    }
}
