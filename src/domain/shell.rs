//! Words of a command as a shell takes them.

use std::path::Path;

use super::{AgentName, is_hidden};

/// Returns a word as a shell takes it, in quotes where it needs them.
#[must_use]
pub fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:+,=%".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain) {
        return word.to_owned();
    }
    always_shell_quoted(word)
}

/// Returns a path as a shell takes it, byte for byte: what is not UTF-8 is spelt within `$'…'`, as bash, zsh and
/// POSIX 2024 read it.
#[must_use]
pub fn shell_quoted_path(path: &Path) -> String {
    if let Some(text) = path.to_str() {
        return shell_quoted(text);
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

/// Returns the argument that names an agent to a command: nothing for `main`, or for one that no
/// id leads to.
#[must_use]
pub fn of_agent(agent: &AgentName) -> String {
    if *agent == AgentName::default() || agent.as_str().contains('/') {
        return String::new();
    }
    format!(" --agent {}", shell_quoted(agent.as_str()))
}

/// Returns a word in the quotes of a shell.
#[must_use]
pub fn always_shell_quoted(word: &str) -> String {
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
