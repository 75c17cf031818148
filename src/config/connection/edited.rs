//! A change of a program's settings, and why one is not made.

use zeroize::Zeroizing;

use crate::domain::{Owner, recognise_secret};

/// Changes the settings of one program.
#[derive(Debug)]
pub struct Connection {
    /// The program whose settings are changed.
    pub owner: Owner,
    /// The name of the settings file, in the directory of the program's login.
    pub file: &'static str,
    /// The provider that the program gets a key of; `None` if it takes keys of any.
    pub provider: Option<&'static str>,
    /// Whether the program takes the words of a command, and not a line for a shell.
    pub takes_words: bool,
    /// Makes the settings ask for the key by a command.
    pub connect: fn(&str, &KeyCommand<'_>) -> Result<Edited, SettingsFault>,
    /// Takes out what `connect` put there, and puts the value that it replaced back.
    pub disconnect: fn(&str, Option<&str>) -> Result<Edited, SettingsFault>,
    /// The command line by which the settings ask clawkeep for the key, if they do.
    pub command: fn(&str) -> Result<Option<String>, SettingsFault>,
}

/// The command that prints a key.
#[derive(Clone, Copy, Debug)]
pub struct KeyCommand<'a> {
    /// The provider of the key.
    pub provider: &'a str,
    /// The words of the command, quoted if the program takes a line.
    pub words: &'a [String],
}

/// Settings after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The whole text.
    pub text: Zeroizing<String>,
    /// The value that was replaced, if there was one.
    pub previous: Option<String>,
    /// The change for people, a line each, beginning with `+` or `-`. Nothing secret.
    pub lines: Vec<String>,
}

/// Why settings are not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsFault {
    /// They are damaged, or of a format that is not known.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// They are in a form that cannot be changed without losing something.
    #[error("cannot be changed: {0}")]
    Unchangeable(&'static str),
}

/// A text without the byte-order mark that some editors put in front.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// A value of somebody else's settings, for people: hidden if it may be a secret.
pub(super) fn shown_value(value: &str) -> String {
    let mut words = value.split(|c: char| c.is_whitespace() || "'\"=".contains(c));
    match words.any(|word| recognise_secret(word).is_some()) {
        true => "(hidden: it may hold a secret)".to_owned(),
        false => format!("{value:?}"),
    }
}
