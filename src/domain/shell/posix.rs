//! Words as a POSIX shell takes them.

use std::path::Path;

use crate::domain::is_hidden;

pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:+,=%".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain) {
        return word.to_owned();
    }
    always_quoted(word)
}

pub(super) fn quoted_path(path: &Path) -> String {
    if let Some(text) = path.to_str() {
        return quoted(text);
    }
    let mut out = String::from("$'");
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        push_spelt(&mut out, chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('\'');
    out
}

pub(super) fn shown_path(path: &Path) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-~@:+,=".contains(c);
    match path.to_str() {
        Some(text) if text.chars().all(is_plain) => text.to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', "'\\''")),
        None => quoted_path(path),
    }
}

pub(super) fn short_path(short: &str, path: &Path) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-~@:+,=%".contains(c);
    if short.chars().all(is_plain) {
        return short.to_owned();
    }
    match path.to_str() {
        Some(text) => always_quoted(text),
        None => quoted_path(path),
    }
}

pub(super) fn always_quoted(word: &str) -> String {
    if !word.contains(is_hidden) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    // What is shown is one line without hidden characters: those are spelt.
    let mut out = String::from("$'");
    push_spelt(&mut out, word);
    out.push('\'');
    out
}

/// Adds text as it stands between `$'` and `'`.
fn push_spelt(out: &mut String, text: &str) {
    for c in text.chars() {
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
}
