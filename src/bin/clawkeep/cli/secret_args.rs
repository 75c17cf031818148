//! Secrets in arguments. None is accepted there, and no error repeats one.
//!
//! Hidden are, whatever the command: words that begin as secrets do, and where an error says that
//! something is not known, words that could be secrets. Where the command takes a secret: also words
//! that are as random as keys, an argument that clap did not expect, and a value that clap refused
//! and that is as long as a passphrase.

use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clawkeep::internal::config::provider_variables;
use clawkeep::internal::crypto::PASSPHRASE_MIN;
use clawkeep::internal::domain::{
    ProviderId, begins_as_secret, could_be_secret, is_random, known_secret_in, recognise_secret,
};

use super::words::command_words;
use crate::failure::Failure;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::text::{one_line, shown_id};

/// The text that replaces a secret in an error.
const HIDDEN: &str = "[hidden]";
/// The commands that take a secret, or the groups of such commands.
const TAKING: [&str; 4] = ["models auth", "add", "init", "key"];
/// The commands whose words are names of files.
const FILES: [&str; 2] = ["backup", "import"];
/// The commands that store a new name of a credential or a provider. Programs choose the names of
/// their sessions, also random ones: those are not judged.
const NAMING: [&str; 5] = [
    "add",
    "models auth add",
    "models auth paste-api-key",
    "models auth paste-token",
    "models auth setup-token",
];
/// The commands that report a name that they do not know in a way of their own.
const REPORTING: [&str; 5] = [
    "login",
    "models auth login",
    "models auth restore",
    "restore",
    "session pin",
];
/// Parts of the names that people give to an option for a secret.
const NAMES: [&str; 5] = ["key", "token", "secret", "pass", "code"];

/// The arguments of this process.
pub(crate) struct Arguments {
    /// The command's words, without the program's.
    command: String,
    words: Vec<String>,
}

impl Arguments {
    pub(crate) fn of_process() -> Self {
        let command = command_words();
        let command = command.split_once(' ').map_or("", |(_, words)| words);
        Self::of_command(command.to_owned())
    }

    /// The arguments of this process, which was called with that command.
    pub(crate) fn of_command(command: String) -> Self {
        let words = std::env::args_os().skip(1);
        Self {
            command,
            words: words
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
        }
    }

    /// Refuses a secret that would be stored, recorded or shown in the place of an id. The last
    /// `handed_on` words are another program's.
    pub(crate) fn check(&self, handed_on: usize) -> Result<(), Failure> {
        let ours = Self {
            command: self.command.clone(),
            words: self.words[..self.words.len().saturating_sub(handed_on)].to_vec(),
        };
        let names_file = FILES.iter().any(|files| self.command.starts_with(files));
        let is_secret = match names_file {
            // a file may be named `sk-old.json`
            true => |part: &str| secret_inside(part).is_some(),
            false => is_known_secret,
        };
        let stores_name = NAMING.contains(&self.command.as_str());
        let mut parts = ours.parts();
        match parts.any(|part| is_secret(part) || (stores_name && could_be_secret(part))) {
            true => Err(Failure::SecretArgument),
            false => Ok(()),
        }
    }

    /// A failure's text without the secrets in it, and with what to do about them.
    pub(crate) fn hide_secrets(&self, text: &str, failure: &Failure) -> String {
        let clap = match failure {
            Failure::Usage(error) => Some(error),
            _ => None,
        };
        let may_be_random = self.takes_secret() || self.names_passphrase();
        let is_sure = |part: &str| is_known_secret(part) || (may_be_random && is_random(part));
        let is_unknown = match failure {
            Failure::Usage(_) | Failure::UnknownName { .. } | Failure::BadArgument(_) => true,
            _ => REPORTING.contains(&self.command.as_str()),
        };
        let is_secret = |part: &&str| is_sure(part) || (is_unknown && could_be_secret(part));
        // Also arguments for another program: no error shows them.
        let inside = self.words.iter().filter_map(|word| secret_inside(word));
        let known: Vec<&str> = parts_of(&self.words)
            .filter(is_secret)
            .chain(inside)
            .collect();
        let quoted = clap.and_then(|error| self.refused_by_clap(error));
        let mut shown = text.to_owned();
        for secret in known.iter().copied().chain(quoted.as_deref()) {
            shown = hide(&shown, secret);
        }
        let is_why = match clap {
            Some(error) => self.parts().any(is_sure) || self.names_secret(error),
            None => matches!(failure, Failure::SecretArgument),
        };
        if shown == text && !is_why {
            return shown;
        }
        let what = shown.lines().next().unwrap_or_default();
        let is_sure = known.iter().copied().any(is_sure);
        let which = match is_sure {
            true => "The secret",
            false => "If that is a secret, it",
        };
        let next = match failure {
            Failure::Usage(_) | Failure::SecretArgument => self.right_form(),
            _ if is_sure => self.right_form(),
            _ => shown
                .lines()
                .skip(1)
                .map(str::trim)
                .collect::<Vec<_>>()
                .join(" "),
        };
        format!(
            "{what}\n  {which} is now in the shell's history and was visible in the process list. \
             If others use this machine, replace it.\n  {next}"
        )
    }

    /// The parts of this program's words: those behind the `--` of `exec` or `run` are another
    /// program's.
    fn parts(&self) -> impl Iterator<Item = &str> {
        let hands_on = ["exec", "run"].contains(&self.command.as_str());
        let ours = |word: &String| !hands_on || word != "--";
        let end = self.words.iter().position(|word| !ours(word));
        parts_of(&self.words[..end.unwrap_or(self.words.len())])
    }

    fn takes_secret(&self) -> bool {
        TAKING.iter().any(|taking| {
            let rest = self.command.strip_prefix(taking);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
    }

    fn names_passphrase(&self) -> bool {
        let mut words = self.words.iter();
        words.any(|word| word.starts_with("--passphrase") || word.starts_with("--new-passphrase"))
    }

    /// What clap quotes and may be a secret.
    fn refused_by_clap(&self, error: &clap::Error) -> Option<String> {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.as_str()),
            _ => None,
        };
        let is_for_passphrase =
            text(ContextKind::InvalidArg).is_some_and(|arg| arg.contains("passphrase"));
        if !self.takes_secret() && !is_for_passphrase {
            return None;
        }
        let is_long = |text: &&str| text.chars().count() >= PASSPHRASE_MIN;
        let is_provider = |text: &str| !provider_variables(&ProviderId::new(text)).is_empty();
        let quoted = match error.kind() {
            ErrorKind::UnknownArgument => text(ContextKind::InvalidArg)
                .filter(|text| !text.starts_with('-') && !is_provider(text)),
            ErrorKind::InvalidSubcommand => text(ContextKind::InvalidSubcommand)
                .filter(is_long)
                .filter(|_| error.get(ContextKind::SuggestedSubcommand).is_none()),
            _ => text(ContextKind::InvalidValue).filter(is_long),
        };
        quoted.map(ToOwned::to_owned)
    }

    /// Whether clap does not know an option that by its name was given a secret, or a command such
    /// as `key unlock`.
    fn names_secret(&self, error: &clap::Error) -> bool {
        if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) {
            return self.command == "key" && self.words.last() != Some(word);
        }
        let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
            return false;
        };
        let has_value = |at: usize| {
            let next = self.words.get(at + 1);
            self.words[at].contains('=') || next.is_some_and(|next| !next.starts_with('-'))
        };
        let mut words = self.words.iter();
        let at = words.position(|word| word.split('=').next() == Some(option));
        error.kind() == ErrorKind::UnknownArgument
            && self.takes_secret()
            && NAMES.iter().any(|name| option.contains(name))
            && at.is_some_and(has_value)
    }

    /// How the command takes a secret.
    fn right_form(&self) -> String {
        let file = match self.command.as_str() {
            "init" => Some("clawkeep init --key passphrase --passphrase-file FILE".to_owned()),
            "key add" => Some("clawkeep key add passphrase --new-passphrase-file FILE".to_owned()),
            "key remove" => Some("clawkeep key remove SLOT --passphrase-file FILE".to_owned()),
            command if command.starts_with("key ") => {
                Some(format!("clawkeep {command} --passphrase-file FILE"))
            }
            "key" => Some("clawkeep sync --passphrase-file FILE".to_owned()),
            command if self.names_passphrase() => {
                Some(format!("clawkeep {command} --passphrase-file FILE"))
            }
            _ => None,
        };
        if let Some(file) = file {
            return format!("Give it in a file, or on stdin (-): {file}");
        }
        let (verb, command) = self.storing_command();
        if cfg!(windows) {
            return format!("{verb} stdin: type FILE | {command}"); // in both shells
        }
        format!("{verb} stdin: {command} < FILE, or: printenv VARIABLE | {command}")
    }

    /// The command that stores the secret, behind the words that say how it gets it.
    fn storing_command(&self) -> (&'static str, String) {
        if self.command.starts_with("models auth") || is_called_as_gateway() {
            let paste = match self.command.as_str() {
                "models auth paste-token" | "models auth setup-token" => "paste-token",
                _ => "paste-api-key",
            };
            let provider = self.provider();
            let command = format!("clawkeep models auth {paste} --provider {provider}");
            return ("Give it on", command);
        }
        let verb = match self.takes_secret() {
            true => "Give it on",
            false => "Store it from",
        };
        let of_secret = || {
            let mut found =
                parts_of(&self.words).filter_map(|part| recognise_secret(part)?.provider);
            found.next()
        };
        let is_provider = |word: &&str| !provider_variables(&ProviderId::new(word)).is_empty();
        let mut words = self.words.iter().map(String::as_str);
        let named = words.find(is_provider).or_else(of_secret);
        (
            verb,
            format!("clawkeep add {}", named.unwrap_or("PROVIDER")),
        )
    }

    fn provider(&self) -> String {
        let mut words = self.words.iter();
        let value = words.find_map(|word| word.strip_prefix("--provider"));
        let value = match value {
            Some("") => words.next().map(String::as_str),
            Some(value) => value.strip_prefix('='),
            None => None,
        };
        let is_plain = |value: &&str| {
            !value.is_empty()
                && !is_known_secret(value)
                && value
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                && value.len() < 32
        };
        value.filter(is_plain).unwrap_or("PROVIDER").to_owned()
    }
}

/// The words, what follows a `=` in them, and what follows the hyphens of an option.
fn parts_of(words: &[String]) -> impl Iterator<Item = &str> {
    words.iter().flat_map(|word| {
        let value = word.split_once('=').map(|(_, value)| value);
        [Some(word.trim_start_matches('-')), value]
            .into_iter()
            .flatten()
    })
}

/// Whether a word begins as known secrets do, in any case, or has one in it: ids are stored and
/// shown in lower case.
fn is_known_secret(word: &str) -> bool {
    begins_as_secret(word)
        || begins_as_secret(&word.to_ascii_lowercase())
        || secret_inside(word).is_some()
}

/// The known secret in a word, also between the slashes of an address or a path. A file may be named
/// as a secret is: that is what a path means that is there.
fn secret_inside(word: &str) -> Option<&str> {
    let is_path = word.contains(std::path::is_separator);
    match is_path && !Path::new(word).exists() {
        true => word
            .split(std::path::is_separator)
            .find_map(known_secret_in),
        false => known_secret_in(word),
    }
}

/// Hides a word in a text that quotes it as it is, escaped, or cut off.
fn hide(text: &str, secret: &str) -> String {
    if secret.chars().count() < 4 {
        return text.replace(&format!("'{secret}'"), &format!("'{HIDDEN}'"));
    }
    let (line, id) = (one_line(secret), shown_id(secret));
    [secret, &line, &id]
        .into_iter()
        .fold(text.to_owned(), |text, form| replace(&text, form))
}

/// Hides a word in any case.
fn replace(text: &str, secret: &str) -> String {
    let (lower, secret) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let mut shown = String::new();
    let mut from = 0;
    for (at, found) in lower.match_indices(&secret) {
        shown.push_str(&text[from..at]);
        shown.push_str(HIDDEN);
        from = at + found.len();
    }
    shown + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(command: &str, words: &[&str], text: &str) -> String {
        let arguments = Arguments {
            command: command.to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        arguments.hide_secrets(text, &Failure::BadArgument(String::new()))
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_quoted() {
        let long = format!("eyJ{}", "a1".repeat(200));
        for (word, quoted) in [
            ("sk-proj-0123", "sk-proj-0123".to_owned()),
            ("--key=sk-proj-0123", "sk-proj-0123".to_owned()),
            ("KEY=sk-proj-0123", "sk-proj-0123".to_owned()),
            ("--sk-proj-0123", "sk-proj-0123".to_owned()),
            (&long, shown_id(&long)),
            ("SK-Proj-0123", "sk-proj-0123".to_owned()),
            ("sk-a\u{1b}bcd", "sk-a\\u001bbcd".to_owned()),
        ] {
            let text = format!("Error: there is no {quoted}\nSee the others");
            let shown = hidden("token", &["token", word], &text);
            let lines: Vec<&str> = shown.lines().collect();
            assert_eq!(lines[0], "Error: there is no [hidden]", "{word}");
            assert!(lines[1].contains("history"), "{shown}");
            assert_eq!(lines.len(), 3, "{shown}");
        }
    }

    #[test]
    fn the_command_that_stores_a_secret_is_named() {
        let arguments = |command: &str, words: &[&str]| Arguments {
            command: command.to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        for (command, words, right) in [
            (
                "add",
                &["add", "openai", "sk-x"][..],
                "Give it on stdin: ADD openai",
            ),
            (
                "add",
                &["add", "sk-proj-0123"],
                "Give it on stdin: ADD openai",
            ),
            ("add", &["add", "zzz"], "Give it on stdin: ADD PROVIDER"),
            (
                "run",
                &["run", "sk-ant-api03-a", "true"],
                "Store it from stdin: ADD anthropic",
            ),
            (
                "models auth paste-token",
                &[
                    "models",
                    "auth",
                    "paste-token",
                    "--provider",
                    "groq",
                    "gsk_0",
                ],
                "Give it on stdin: clawkeep models auth paste-token --provider groq",
            ),
        ] {
            let form = arguments(command, words).right_form();
            let right = right.replace("ADD", "clawkeep add");
            let (verb, stores) = right.split_once(": ").unwrap_or_default();
            assert!(form.starts_with(verb) && form.contains(stores), "{form}");
        }
    }

    #[test]
    fn other_words_stay() {
        let id = "anthropic:work-0123456789abcdef";
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        let text = "error: unexpected argument";
        let words = ["exec", "--", "curl", "sk-proj-0123"];
        assert_eq!(hidden("exec", &words, text), text);
        for word in [id, uuid, "sk-", "/home/me/sk-0123456789.txt", "openai"] {
            let text = format!("Error: there is no {word}");
            assert_eq!(hidden("models auth remove", &[word], &text), text);
        }
    }
}
