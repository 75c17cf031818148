//! The command line: names, flags and help. Parsing validates; what a flag leads to is the context's business.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{
    audit, auth_add, auth_candidates, auth_keep, auth_list, auth_login, auth_mark, auth_order,
    auth_paste, auth_remove, auth_restore, auth_setup_token, auth_trust, backup, completions,
    doctor, exec, export, history, import, init, key, man, models_status, monitor, refresh, report,
    secretref, session, sync, token, watch,
};
use crate::failure::Failure;
use crate::secret_args::Arguments;
use crate::stand_in;
use crate::ui::ColourChoice;

/// An encrypted, audited vault for the credentials of AI model providers.
#[derive(Debug, Parser)]
#[command(
    name = "clawkeep",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  clawkeep models status           sync, then show every credential and its expiry\n  clawkeep models status --check   exit 1 when one has expired or is missing, 2 when one is expiring\n  clawkeep history --since 7d      what happened to which credential\n  clawkeep audit verify            prove that the record was not altered"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Refuses any descriptor: Windows has none with numbers.
#[cfg(windows)]
fn no_descriptor(_: &str) -> Result<u32, String> {
    Err(
        "Windows has no numbered descriptors; use --passphrase-file FILE, or - for stdin"
            .to_owned(),
    )
}

/// What every command takes.
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
    /// Open the vault with the passphrase or recovery code in FILE (- for stdin) [env: CLAWKEEP_PASSPHRASE_FILE]
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
    /// Do not take over logins from Claude Code and Codex
    #[arg(long, global = true)]
    pub(crate) no_sync: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = ColourChoice::Auto, value_name = "WHEN")]
    pub(crate) color: ColourChoice,
    /// Say more on stderr
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the vault and its key (the first command that needs them does it too)
    Init(init::Init),
    /// Take over other programs' logins for every agent, and export
    Sync(sync::Sync),
    /// Keep everything in step without being asked: sync, refresh, export whenever it is time
    Watch(watch::Watch),
    /// Have `clawkeep watch` run unattended: install, look, uninstall
    #[command(subcommand)]
    Monitor(monitor::Monitor),
    /// Credentials of model providers
    #[command(subcommand)]
    Models(Models),
    /// Print the secret of the credential that is next for a provider
    Token(token::Token),
    /// Run a program with the secret of a credential in its provider's variable
    Exec(exec::Exec),
    /// Hand keys and tokens to OpenClaw, as its exec secret provider
    #[command(name = "secretref")]
    SecretRef(secretref::SecretRef),
    /// Refresh logins, once whoever else wants to
    Refresh(refresh::Refresh),
    /// Which profile a session uses
    #[command(subcommand)]
    Session(session::Session),
    /// Look for what is wrong, and mend what can be mended safely
    Doctor(doctor::Doctor),
    /// What opens the vault: show, add, remove and rotate its keys
    #[command(subcommand)]
    Key(key::Key),
    /// Copies of the vault: make, prove and put back
    #[command(subcommand)]
    Backup(backup::Backup),
    /// What happened to which credential
    History(history::History),
    /// The record: verify it, print its head, export it, prune it
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Write a page on how the credentials stand and what happened to them
    Report(report::Report),
    /// Write the agent's auth-profiles.json, or print it
    Export(export::Export),
    /// Take over the credentials of a file
    Import(import::Import),
    /// Print the script that lets a shell complete commands, options and ids
    Completions(completions::Completions),
    /// Print the manual page, or write those of every command
    Man(man::Man),
}

impl Command {
    /// How many of the last words are another program's.
    fn handed_on(&self) -> usize {
        match self {
            Self::Exec(exec) => exec.handed_on(),
            _ => 0,
        }
    }
}

/// `models …`
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  clawkeep models status")]
pub(crate) enum Models {
    /// Show models, credentials and expiry
    Status(models_status::Status),
    /// Credentials and their order
    #[command(subcommand)]
    Auth(Auth),
}

/// `models auth …`
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  clawkeep models auth list\n  clawkeep models auth candidates --provider anthropic"
)]
pub(crate) enum Auth {
    /// Show an agent's credentials, secrets masked
    List(auth_list::List),
    /// Add a credential, asked for step by step
    Add(auth_add::Add),
    /// Log in at a provider, in a browser
    Login(auth_login::Login),
    /// Run `claude setup-token` on this terminal and take over the login
    SetupToken(auth_setup_token::SetupToken),
    /// Store a token that is pasted or given on stdin
    PasteToken(auth_paste::PasteToken),
    /// Store an API key that is pasted or given on stdin
    PasteApiKey(auth_paste::PasteApiKey),
    /// Confirm where a login's tokens are sent, after the settings have changed
    Trust(auth_trust::Trust),
    /// Keep a stored login although its program is logged out or has another one
    Keep(auth_keep::Keep),
    /// Replace a stored login by the one that its program has now
    Adopt(auth_keep::Adopt),
    /// Remove a credential
    Remove(auth_remove::Remove),
    /// Put an earlier version of a credential back
    Restore(auth_restore::Restore),
    /// Say what came of using a credential
    Mark(auth_mark::Mark),
    /// Which credentials would be tried, in order
    Candidates(auth_candidates::Candidates),
    /// The order in which an agent tries a provider's credentials
    #[command(subcommand)]
    Order(auth_order::Order),
}

/// The command that this process was called with, as far as it is one: `clawkeep models auth order set`.
pub(crate) fn command_words() -> String {
    let mut command = Cli::command();
    let mut words = vec![command.get_name().to_owned()];
    for word in std::env::args_os().skip(1) {
        let known = word.to_str().and_then(|word| command.find_subcommand(word));
        let Some(known) = known.cloned() else {
            continue; // an option, or its value
        };
        words.push(known.get_name().to_owned());
        command = known;
    }
    words.join(" ")
}

/// Parses the process's arguments.
pub(crate) fn parse() -> Result<Cli, Failure> {
    let mut command = Cli::command();
    if stand_in::is_called_as_gateway() {
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let handed_on = "Called as clawdbot: every other command and option goes to the gateway's own clawdbot, the\nnext on the PATH; doctor runs here first, and then there.";
        command = command.after_help(format!("{help}\n\n{handed_on}"));
        // Handed on with the rest of the line once ours is done.
        let theirs = stand_in::DOCTOR_OPTIONS.map(|option| {
            let arg = Arg::new(option).long(option);
            arg.action(ArgAction::SetTrue).hide(true)
        });
        command = command.mut_subcommand("doctor", |doctor| doctor.args(theirs));
    }
    let cli = command
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(Failure::Usage)?;
    Arguments::of_process().check(cli.command.handed_on())?;
    Ok(cli)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            command.get_subcommands().for_each(|sub| check(sub, &path));
            if command.is_hide_set() {
                return;
            }
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                help.starts_with("Example") && help.contains(path.trim()),
                "{path} shows no example of itself: {help:?}"
            );
        }
        check(&Cli::command(), "");
    }
}
