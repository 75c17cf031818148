//! The name this program is called by: under the gateway's name it prints what the gateway prints.

use std::ffi::OsStr;
use std::path::Path;

use crate::advice::Commands;

/// The name of the gateway's program. Source: `spec/cli.md`.
pub(crate) const GATEWAY: &str = "clawdbot";

/// Whether this program was called by the gateway's name, and answers as that one does.
pub(crate) fn is_called_as_gateway() -> bool {
    let name = std::env::args_os().next().unwrap_or_default();
    Path::new(&name).file_stem() == Some(OsStr::new(GATEWAY))
}

/// The commands that advice names: the everyday ones, which the gateway's name does not have.
pub(crate) fn commands() -> Commands {
    match is_called_as_gateway() {
        true => Commands::Tree,
        false => Commands::Everyday,
    }
}

/// The words of a command: the everyday ones, or those of the tree under the gateway's name.
pub(crate) fn everyday_or(everyday: &'static str, tree: &'static str) -> &'static str {
    match commands() {
        Commands::Everyday => everyday,
        Commands::Tree => tree,
    }
}

/// The words of the command that puts an earlier version of a credential back.
pub(crate) fn restore_command() -> &'static str {
    everyday_or("clawkeep restore", "clawkeep models auth restore")
}

/// This program's name in the record.
pub(crate) const PROGRAM: &str = "clawkeep";
