//! The command line: names, flags and help. Parsing validates; what a flag leads to is the
//! context's business.

use clap::{Arg, Args as _, CommandFactory as _, Parser, Subcommand};

use crate::commands::auth::Auth;
use crate::commands::everyday::{self, Everyday};
use crate::commands::hand_out::{exec, refresh, secretref, session, token};
use crate::commands::key::init;
use crate::commands::{
    audit, backup, completions, doctor, export, history, import, key, man, monitor, report, status,
    sync, watch,
};
use crate::context::global::Global;
use crate::terminal::program_name::is_called_as_gateway;

/// An encrypted, audited vault for the credentials of AI model providers.
#[derive(Debug, Parser)]
#[command(
    name = "clawkeep",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  clawkeep status\n  clawkeep add openai\n  clawkeep run openai -- \
        python3 job.py"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Everyday(Everyday),
    #[command(flatten)]
    Tree(Tree),
}

/// An encrypted, audited vault for the credentials of AI model providers.
///
/// The command line under the gateway's name: without the everyday commands.
#[derive(Debug, Parser)]
#[command(
    name = "clawkeep",
    long_about = None,
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  clawkeep models status           sync, then show every credential \
        and its expiry\n  clawkeep models status --check   exit 1 when one has expired or is \
        missing, 2 when one is expiring\n  clawkeep history --since 7d      what happened to \
        which credential\n  clawkeep audit verify            verify that the record was not altered"
)]
struct GatewayCli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Tree,
}

/// Options that have the same short form in every command.
const SHORT: [(&str, char); 4] = [
    ("provider", 'p'),
    ("agent", 'a'),
    ("limit", 'n'),
    ("json", 'j'),
];

/// Commands, with those below them, that have no answer for JSON: they run a program, or print
/// another format.
const WITHOUT_JSON: &str = "exec run env secretref watch completions man setup-token metrics";

/// The command line of this process, by the name that it was called by.
pub(crate) fn command() -> clap::Command {
    match is_called_as_gateway() {
        true => as_gateway(GatewayCli::command()),
        // They are in the overview and in `--help`.
        false => with_short_options(with_json(
            Cli::command().mut_args(|arg| arg.hide_short_help(true)),
        )),
    }
}

/// Gives each command with an answer the option for JSON. Those whose text is more than what they
/// did have it by themselves; the others answer by `Ui::done`.
fn with_json(command: clap::Command) -> clap::Command {
    let has_json = command.get_arguments().any(|arg| arg.get_id() == "json");
    let mut without = WITHOUT_JSON.split(' ');
    if has_json || without.any(|name| name == command.get_name()) {
        return command;
    }
    if command.has_subcommands() {
        return command.mut_subcommands(with_json);
    }
    let json = Arg::new("json").long("json").help("Print JSON");
    command.arg(json.action(clap::ArgAction::SetTrue))
}

/// The commands that other programs call often.
const OFTEN: [&str; 11] = [
    "token",
    "exec",
    "run",
    "secretref",
    "refresh",
    "status",
    "ls",
    "history",
    "log",
    "doctor",
    "models",
];

/// The command line with no other command than the one that the first word names, one of
/// [`OFTEN`]: defining all commands is a third of what `token` does otherwise. It
/// parses what the whole one parses. What it does not parse, and help, is for the whole one.
pub(crate) fn command_of(first: &str) -> Option<clap::Command> {
    let name = *OFTEN.iter().find(|name| **name == first)?;
    let command = clap::Command::new(name);
    let command = match name {
        "token" => token::Token::augment_args(command),
        "exec" | "run" => exec::Exec::augment_args(command),
        "secretref" => secretref::SecretRef::augment_args(command),
        "refresh" => refresh::Refresh::augment_args(command),
        "status" => everyday::status::Status::augment_args(command),
        "ls" => everyday::ls::Ls::augment_args(command),
        "history" | "log" => history::History::augment_args(command),
        "doctor" => doctor::Doctor::augment_args(command),
        "models" => Models::augment_subcommands(command),
        _ => return None,
    };
    let whole = Global::augment_args(clap::Command::new("clawkeep").propagate_version(true));
    let whole = whole.mut_args(|arg| arg.hide_short_help(true));
    let whole = whole.version("-").subcommand(command);
    Some(with_short_options(with_json(whole)))
}

fn with_short_options(command: clap::Command) -> clap::Command {
    let short = |arg: Arg| {
        let mut known = SHORT.iter();
        let found = known.find(|(id, _)| arg.get_id() == id && arg.get_long() == Some(id));
        match found {
            Some((_, short)) => arg.short(*short),
            None => arg,
        }
    };
    command.mut_args(short).mut_subcommands(with_short_options)
}

/// Takes away what only clawkeep's own command line has. clap cannot remove an argument, so it
/// becomes an option that nobody types.
fn as_gateway(command: clap::Command) -> clap::Command {
    let name = command.get_name().to_owned();
    let hide = |arg: Arg| match (name.as_str(), arg.get_id().as_str()) {
        (_, "named") => arg.index(None).long("\u{0}").hide(true),
        ("history", "follow") => arg.short(None::<char>).long("\u{0}f").hide(true),
        ("history", "columns") => arg.long("\u{0}c").hide(true),
        (_, "no_pager") => arg.long("\u{0}p").hide(true),
        ("exec", "variable") | ("status", "probe") => arg.long("\u{0}").hide(true),
        ("exec", "command") => arg
            .allow_hyphen_values(true)
            .help("The program and its arguments"),
        ("refresh", "ids") => arg.help("The profiles"),
        (_, "state_dir") => {
            arg.help("The state directory [default: $CLAWDBOT_STATE_DIR, else ~/.clawdbot]")
        }
        _ => arg,
    };
    command.mut_args(hide).mut_subcommands(as_gateway)
}

/// The commands that both names have.
#[derive(Debug, Subcommand)]
pub(crate) enum Tree {
    /// Make the vault and its key (the first command that needs them does it too)
    Init(init::Init),
    /// Import other programs' logins for every agent, and export
    Sync(sync::Sync),
    /// Keep everything in sync in the background: sync, refresh and export as needed
    Watch(watch::Watch),
    /// Run `clawkeep watch` unattended: install, status, uninstall
    #[command(subcommand)]
    Monitor(monitor::Monitor),
    /// Credentials of model providers
    #[command(subcommand)]
    Models(Models),
    /// Print the secret of the next credential of a provider
    Token(token::Token),
    /// Run a program with the secret of a credential in its provider's variable
    Exec(exec::Exec),
    /// Hand keys and tokens to OpenClaw, as its exec secret provider
    #[command(name = "secretref")]
    SecretRef(secretref::SecretRef),
    /// Refresh logins; concurrent callers share one request
    Refresh(refresh::Refresh),
    /// Which profile a session uses
    #[command(subcommand)]
    Session(session::Session),
    /// Find problems, and repair what can be repaired safely
    Doctor(doctor::Doctor),
    /// What opens the vault: show, add, remove and rotate its keys
    #[command(subcommand)]
    Key(key::Key),
    /// Copies of the vault: create, verify and restore
    #[command(subcommand)]
    Backup(backup::Backup),
    /// What happened to which credential
    History(history::History),
    /// The audit record: verify it, print its head, export it, prune it
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Write a page on the state and history of the credentials
    Report(report::Report),
    /// Write the agent's auth-profiles.json, or print it
    Export(export::Export),
    /// Import the credentials of a file
    Import(import::Import),
    /// Print the script that lets a shell complete commands, options and ids
    Completions(completions::Completions),
    /// Print the manual page, or write those of every command
    Man(man::Man),
}

impl Command {
    /// How many of the last words are another program's.
    pub(crate) fn handed_on(&self) -> usize {
        match self {
            Self::Tree(Tree::Exec(exec)) | Self::Everyday(Everyday::Run(exec)) => exec.handed_on(),
            _ => 0,
        }
    }
}

/// `models …`
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  clawkeep models status")]
pub(crate) enum Models {
    /// Show models, credentials and expiry
    Status(status::Status),
    /// Credentials and their order
    #[command(subcommand)]
    Auth(Auth),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
        as_gateway(GatewayCli::command()).debug_assert();
    }

    #[test]
    fn a_command_alone_takes_what_it_takes_beside_the_others() {
        fn options(command: &clap::Command, path: &str, into: &mut Vec<String>) {
            let path = format!("{path} {}", command.get_name());
            let args = command.get_arguments();
            into.extend(args.map(|arg| format!("{path}: {arg:?}")));
            command
                .get_subcommands()
                .for_each(|sub| options(sub, &path, into));
        }
        for name in OFTEN {
            let (mut alone, mut whole) = (command_of(name).unwrap(), command());
            alone.build();
            whole.build();
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            options(alone.find_subcommand(name).unwrap(), "", &mut found);
            options(whole.find_subcommand(name).unwrap(), "", &mut expected);
            let differs = found
                .iter()
                .zip(&expected)
                .find(|(one, other)| one != other);
            assert_eq!(differs, None, "{name}");
            assert_eq!(found.len(), expected.len(), "{name}");
        }
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            // The same commands under another name.
            let path = path.replace("clawkeep log ", "clawkeep history ");
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
        check(&command(), "");
    }
}
