//! The options that every command takes.

use std::path::PathBuf;

use clap::Args;

use crate::terminal::colour::ColourChoice;

/// Refuses any descriptor: Windows has none with numbers.
#[cfg(windows)]
fn no_descriptor(_: &str) -> Result<u32, String> {
    Err(
        "Windows has no numbered descriptors; use --passphrase-file FILE, or - for stdin"
            .to_owned(),
    )
}

/// The options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The gateway's state directory [default: $CLAWDBOT_STATE_DIR, else ~/.clawdbot where a
    #[cfg_attr(not(windows), doc = " gateway is, else ~/.local/share/clawkeep]")]
    #[cfg_attr(windows, doc = r" gateway is, else %LOCALAPPDATA%\clawkeep]")]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The vault [default: $CLAWKEEP_VAULT, else the one there is, else vault.db in the state
    /// directory]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) vault: Option<PathBuf>,
    /// Open the vault with the passphrase or recovery code in FILE (- for stdin)
    /// [env: CLAWKEEP_PASSPHRASE_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Open the vault with the passphrase or recovery code that descriptor N gives
    #[arg(
        long,
        global = true,
        value_name = "N",
        conflicts_with = "passphrase_file"
    )]
    #[cfg_attr(windows, arg(hide = true, value_parser = no_descriptor))]
    pub(crate) passphrase_fd: Option<u32>,
    /// Do not import logins from Claude Code and Codex
    #[arg(long, global = true)]
    pub(crate) no_sync: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = ColourChoice::Auto,
        value_name = "WHEN")]
    pub(crate) color: ColourChoice,
    /// Print more on stderr
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Print only errors on stderr
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}
