//! The readers of the logins that are mirrored, one file a program.

pub mod claude_code;
pub mod codex_cli;
#[cfg(test)]
mod example;

use super::login::Reader;
use crate::domain::Owner;

/// One reader for each program whose login is mirrored.
pub static READERS: &[Reader] = &[
    claude_code::READER,
    codex_cli::READER,
    #[cfg(test)]
    example::READER,
];

/// Finds the reader of a program's login.
#[must_use]
pub fn reader_of(owner: Owner) -> Option<&'static Reader> {
    READERS.iter().find(|reader| reader.owner == owner)
}
