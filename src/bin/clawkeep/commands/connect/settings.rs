//! The settings file of another program: read and replaced with the care that its owner expects.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clawkeep::internal::config::Connection;
use clawkeep::internal::domain::{Owner, PROGRAMS};
use clawkeep::internal::platform::{
    Access, FileError, check_trusted, create_private_dir, persist, read_trusted, remove_if_present,
    resolve_link, sync_dir, sync_file, temporary_in,
};
use zeroize::Zeroizing;

use super::openclaw::program::COMMAND;
use crate::context::Context;
use crate::failure::Failure;

/// The largest settings that are read, in bytes.
const SETTINGS_MAX: u64 = 1 << 20;

/// A program's settings as they are on disk.
pub(super) struct Settings {
    /// The path by its name.
    pub(super) path: PathBuf,
    /// The path with links resolved: what is replaced.
    pub(super) real: PathBuf,
    /// The bytes; `None` if there is no file.
    pub(super) bytes: Option<Zeroizing<Vec<u8>>>,
    permissions: Option<Permissions>,
}

impl Settings {
    /// The path of a program's settings, beside its login.
    pub(super) fn path(context: &Context, connection: &Connection) -> PathBuf {
        let logins = &context.layout.logins;
        let login = logins.iter().find(|files| files.owner == connection.owner);
        if let Some(dir) = login.and_then(|files| files.login.parent()) {
            return dir.join(connection.file);
        }
        let layout = &context.layout;
        let known = PROGRAMS
            .iter()
            .find(|program| program.owner == connection.owner);
        let file = known.and_then(|program| program.credentials.first());
        let dir = file.map(|file| layout.program_dir(&context.env, &file.dir));
        dir.unwrap_or_else(|| layout.home.clone())
            .join(connection.file)
    }

    /// Reads them. Nobody else may write them, or a directory on the way.
    pub(super) fn read(path: PathBuf) -> Result<Self, Failure> {
        let real = resolve_link(&path)?;
        let contents = read_trusted(&path, Access::Read, SETTINGS_MAX)?;
        let permissions = match &contents {
            Some(_) => Some(own_permissions(&real)?),
            None => None,
        };
        Ok(Self {
            path,
            real,
            bytes: contents.map(|contents| contents.bytes),
            permissions,
        })
    }

    pub(super) fn text(&self) -> Result<&str, Failure> {
        let bytes = self
            .bytes
            .as_ref()
            .map_or(&[][..], |bytes| bytes.as_slice());
        std::str::from_utf8(bytes).map_err(|_| damaged(&self.path, "it is not UTF-8"))
    }

    /// The command line by which they ask clawkeep for a key, or why that is not known.
    pub(super) fn command(&self, connection: &Connection) -> Result<Option<String>, String> {
        let bytes = self.bytes.as_deref().map_or(&[][..], Vec::as_slice);
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
        (connection.command)(text).map_err(|fault| fault.to_string())
    }

    /// Replaces them if they still are what was read; with `None` there is no file any more.
    /// Owner and mode stay; a link stays a link.
    pub(super) fn replace(&self, bytes: Option<&[u8]>) -> Result<(), Failure> {
        let failed = |source: io::Error| FileError::Io {
            action: "write",
            path: self.real.clone(),
            source,
        };
        let dir = self.real.parent().unwrap_or(Path::new("."));
        let Some(bytes) = bytes else {
            self.check_unchanged()?;
            remove_if_present(&self.real)?;
            return Ok(sync_dir(dir)?);
        };
        if !dir.is_dir() {
            create_private_dir(dir)?;
        }
        check_trusted(dir, Access::CreateIn)?;
        let mut file = temporary_in(dir).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        if let Some(permissions) = &self.permissions {
            file.as_file()
                .set_permissions(permissions.clone())
                .map_err(failed)?;
        }
        sync_file(file.as_file()).map_err(failed)?;
        self.check_unchanged()?;
        persist(file, &self.real).map_err(failed)?;
        Ok(sync_dir(dir)?)
    }

    fn check_unchanged(&self) -> Result<(), Failure> {
        let now = read_trusted(&self.real, Access::Read, SETTINGS_MAX)?;
        let is_same = now.as_ref().map(|now| now.bytes.as_slice())
            == self.bytes.as_ref().map(|bytes| bytes.as_slice());
        if is_same {
            return Ok(());
        }
        Err(Failure::Refused {
            what: format!(
                "{} was changed by another program meanwhile",
                self.path.display()
            ),
            next: "Nothing was written. Run the command again.".to_owned(),
        })
    }
}

/// The permissions of a file that belongs to this user: a new file in its place would not belong to
/// another.
fn own_permissions(path: &Path) -> Result<Permissions, Failure> {
    let meta = fs::metadata(path).map_err(|source| FileError::Io {
        action: "examine",
        path: path.to_owned(),
        source,
    })?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if meta.uid() != clawkeep::internal::platform::effective_uid() {
            return Err(Failure::Refused {
                what: format!("{} belongs to another user", path.display()),
                next: "Run the command as the user whose settings they are.".to_owned(),
            });
        }
    }
    Ok(meta.permissions())
}

pub(super) fn damaged(path: &Path, why: &str) -> Failure {
    Failure::Refused {
        what: format!("{} was not changed: {why}", path.display()),
        next: "Repair the file, or set the program up by hand; see docs/guide/connect.md."
            .to_owned(),
    }
}

/// The failure for settings that are read only: `why` is half a sentence.
pub(super) fn unreadable(path: &Path, why: &str) -> Failure {
    Failure::Refused {
        what: format!("{} {why}", path.display()),
        next: "Repair the file; see docs/guide/connect.md.".to_owned(),
    }
}

/// What can be connected.
pub(super) enum Connectable {
    /// OpenClaw, which changes its own settings.
    OpenClaw,
    /// A program whose settings file is changed.
    Settings(&'static Connection),
}

/// Finds what can be connected by the name of a program or of its command.
pub(super) fn find(word: &str) -> Result<Connectable, Failure> {
    use clawkeep::internal::config::CONNECTIONS;
    if word == COMMAND {
        return Ok(Connectable::OpenClaw);
    }
    let is_meant = |connection: &&Connection| {
        let owner = connection.owner;
        owner.as_str() == word || owner.command() == Some(word)
    };
    let found = CONNECTIONS.iter().find(is_meant).map(Connectable::Settings);
    found.ok_or_else(|| {
        if let Some(way) = other_way(word) {
            return Failure::Refused {
                what: format!("{word} cannot take a key from a command"),
                next: way.to_owned(),
            };
        }
        let names = CONNECTIONS.iter().map(|known| name(known.owner));
        let names: Vec<&str> = [COMMAND].into_iter().chain(names).collect();
        Failure::UnknownName {
            what: format!(
                "{} cannot be connected",
                crate::terminal::text::shown_id(word)
            ),
            next: format!(
                "Known: {}. For other programs see docs/guide/connect.md.",
                names.join(", ")
            ),
        }
    })
}

/// The word by which a program is connected.
pub(super) fn name(owner: Owner) -> &'static str {
    owner.command().unwrap_or_else(|| owner.as_str())
}

/// How a program gets a key that takes none from a command. Source: opencode 1.18, Gemini CLI 0.61,
/// Qwen Code 0.24, `llm` 0.36; their documentation.
fn other_way(word: &str) -> Option<&'static str> {
    Some(match word {
        "opencode" => "It reads variables: clawkeep run openai -- opencode",
        "gemini" | "gemini-cli" => "It reads GEMINI_API_KEY: clawkeep run google -- gemini",
        "qwen" | "qwen-code" => "It reads OPENAI_API_KEY: clawkeep run openai -- qwen",
        "llm" => "It reads variables: clawkeep run openai -- llm PROMPT",
        "aider" => "It reads variables: clawkeep run anthropic -- aider",
        "goose" => "It reads variables: clawkeep run openai -- goose",
        "crush" => "It reads variables: clawkeep run openai -- crush",
        _ => return None,
    })
}
