//! Words of a command as a shell takes them: a POSIX shell; on Windows `cmd.exe` and PowerShell.

#[cfg(any(not(windows), test))]
#[cfg_attr(windows, allow(dead_code, reason = "other systems have that shell"))]
mod posix;
#[cfg(any(windows, test))]
#[cfg_attr(not(windows), allow(dead_code, reason = "its tests call it"))]
mod windows;

use std::path::Path;

#[cfg(not(windows))]
use self::posix as shell;
#[cfg(windows)]
use self::windows as shell;
use super::AgentName;

/// The command that removes a file.
pub const REMOVE_COMMAND: &str = if cfg!(windows) { "del" } else { "rm" };
/// The command that lists a directory.
pub const LIST_COMMAND: &str = if cfg!(windows) { "dir" } else { "ls -l" };
/// The command that moves a file.
pub const MOVE_COMMAND: &str = if cfg!(windows) { "move" } else { "mv" };

/// Returns the command that adds an extension to the name of a file.
#[must_use]
pub fn move_aside_command(path: &Path, extension: &str) -> String {
    let (from, to) = (path, path.with_added_extension(extension));
    let (from, to) = (shell_shown_path(from), shell_shown_path(&to));
    format!("{MOVE_COMMAND} {from} {to}")
}

/// Returns a word as a shell takes it, in quotes where it needs them.
#[must_use]
pub fn shell_quoted(word: &str) -> String {
    shell::quoted(word)
}

/// Returns a path as a shell takes it. A POSIX shell takes it byte for byte: what is not UTF-8 is
/// spelt within `$'…'`, as bash, zsh and POSIX 2024 read it.
#[must_use]
pub fn shell_quoted_path(path: &Path) -> String {
    shell::quoted_path(path)
}

/// Returns a path as a shell takes it and people read it: letters and `~` are without quotes.
#[must_use]
pub fn shell_shown_path(path: &Path) -> String {
    shell::shown_path(path)
}

/// Returns a path as a shell takes it: as `short`, the path with `~` for the home directory, where
/// nothing in that needs quotes and the shell knows `~`.
#[must_use]
pub fn shell_short_path(short: &str, path: &Path) -> String {
    shell::short_path(short, path)
}

/// Returns the argument that names an agent: nothing for `main`, or for one without an id.
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
    shell::always_quoted(word)
}
