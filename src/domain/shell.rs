//! Words of a command as a shell takes them: a POSIX shell, on Windows both `cmd.exe` and PowerShell.

use std::path::Path;

use super::{AgentName, escaped, is_hidden, shown_path};

/// Returns a word as a shell takes it, in quotes where it needs them.
#[must_use]
pub fn shell_quoted(word: &str) -> String {
    if cfg!(windows) {
        return windows_quoted(word);
    }
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
    if cfg!(windows) {
        return windows_quoted(&shown_path(path));
    }
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

/// Returns a path as a shell takes it and people read it: letters of every script and `~` are without quotes.
#[must_use]
pub fn shell_shown_path(path: &Path) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-~@:+,=".contains(c);
    match path.to_str() {
        Some(text) if !cfg!(windows) => match text.chars().all(is_plain) {
            true => text.to_owned(),
            false => format!("'{}'", text.replace('\'', "'\\''")),
        },
        _ => shell_quoted_path(path),
    }
}

/// Returns the argument that names an agent to a command: nothing for `main`, or for one that no
/// id leads to.
#[must_use]
pub fn of_agent(agent: &AgentName) -> String {
    if *agent == AgentName::default() || agent.is_path() {
        return String::new();
    }
    format!(" --agent {}", shell_quoted(agent.as_str()))
}

/// Returns a word in the quotes of a shell.
#[must_use]
pub fn always_shell_quoted(word: &str) -> String {
    if cfg!(windows) {
        return windows_always_quoted(word);
    }
    if !word.contains(is_hidden) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    // What is shown is one line without hidden characters: those are spelt.
    let mut out = String::from("$'");
    push_spelt(&mut out, word);
    out.push('\'');
    out
}

/// Returns a word as `cmd.exe` and PowerShell both take it, in quotes where it needs them.
fn windows_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || r"\/._-~@:+=".contains(c);
    // PowerShell gives `@` and `~` a meaning of their own at the beginning.
    if !word.is_empty() && !word.starts_with(['-', '@', '~']) && word.chars().all(is_plain) {
        return word.to_owned();
    }
    windows_always_quoted(word)
}

/// Returns a word in double quotes, which both shells know. PowerShell expands `$` and a backtick in them: a word that has one is in
/// PowerShell's single quotes, which `cmd.exe` does not know. It takes typographic quotes for plain ones. Source: Microsoft,
/// "about_Quoting_Rules", and "Parsing C command-line arguments" for the backslash before a quote.
fn windows_always_quoted(word: &str) -> String {
    // Neither shell can spell a hidden character.
    let word = escaped(word);
    if word.contains(['$', '`', '"', '\u{201c}', '\u{201d}', '\u{201e}']) {
        let mut out = String::from("'");
        for c in word.chars() {
            out.push(c);
            if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
                out.push(c);
            }
        }
        out.push('\'');
        return out;
    }
    let ends_with = word.len() - word.trim_end_matches('\\').len();
    format!("\"{word}{}\"", "\\".repeat(ends_with))
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
            ("a & b", "\"a & b\""),
            ("100%", "\"100%\""),
            ("@x", "\"@x\""),
            ("~", "\"~\""),
            ("it's", "\"it's\""),
            ("$(x)", "'$(x)'"),
            ("it's $x", "'it''s $x'"),
            ("a\"b", "'a\"b'"),
            ("a\nb", r#""a\u000ab""#),
        ] {
            assert_eq!(windows_quoted(word), want, "{word}");
        }
    }
}
