//! Why the configuration or this program's own settings cannot be read or changed.

use std::io;
use std::path::PathBuf;

use crate::platform::{FileError, LockError};

/// Why the configuration, or the agents it speaks of, cannot be read. Nothing of its text is shown:
/// API keys may be in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is there and is unreadable, no regular file, or larger than any configuration.
    #[error("the configuration cannot be used")]
    File(#[from] FileError),
    /// The agents of the state directory cannot be listed.
    #[error("cannot list the agents in {}", path.display())]
    AgentDirs {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else can have put a directory there that would be taken for an agent.
    #[error("the agents of the state directory cannot be used")]
    AgentsUntrusted(#[source] FileError),
    /// The text is no JSON5.
    #[error("the configuration {} is not valid JSON5 at line {line}, column {column}",
        path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What the parser expected.
        parser: json5::Error,
    },
    /// Brackets nest deeper than any configuration's.
    #[error("the configuration {} nests deeper than {limit} levels at line {line}, column \
        {column}", path.display())]
    TooDeep {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The limit in levels.
        limit: usize,
    },
}

/// Why the configuration was not changed. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigEditError {
    /// The configuration cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ConfigError),
    /// The configuration cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process of ours changes it, and does not end.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It is written in a way that cannot be changed with certainty.
    #[error("the configuration {} is written in a way that cannot be changed without risk",
        path.display())]
    Unsure {
        /// The configuration.
        path: PathBuf,
        /// What to write into it by hand, a JSON pointer and its value for each place.
        by_hand: String,
    },
    /// Another program changed it meanwhile.
    #[error("the configuration {} was changed by another program meanwhile", path.display())]
    Contended {
        /// The configuration.
        path: PathBuf,
    },
}

/// Why the settings cannot be used. No text that is set in them is shown, only names, and words
/// that had to be one of a few.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnSettingsError {
    /// The file is there and is unreadable, no regular file, or larger than any settings.
    #[error("the settings cannot be used")]
    File(#[from] FileError),
    /// The file is UTF-16, as PowerShell 5 and some editors write it. TOML is UTF-8.
    #[error(
        "the settings {} are not valid: the file is encoded as UTF-16. Save it as UTF-8",
        path.display()
    )]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// The text is no TOML, or says what means nothing.
    #[error("the settings {} are not valid at line {line}: {what}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}
