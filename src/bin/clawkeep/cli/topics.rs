//! Help that is not about one command: the overview of all, and `help TOPIC`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::error::ErrorKind;

use super::words::command_words;
use crate::failure::Failure;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::ui::write_answer;

/// A group of commands: what they are for, and each with what it does.
type Group = (&'static str, &'static [(&'static str, &'static str)]);

/// The commands, by what a person wants. Fits a terminal of 24 lines.
const GROUPS: [Group; 5] = [
    (
        "Every day",
        &[
            ("status", "what works, what needs you"),
            ("token", "print a secret"),
            ("ls", "list the credentials"),
            ("run", "run with a secret (exec)"),
            ("log", "what happened (history)"),
            ("env", "a secret as shell lines"),
        ],
    ),
    (
        "Credentials",
        &[
            ("add", "store an API key or a token"),
            ("use", "use one before the others"),
            ("login", "log in at a provider"),
            ("rm", "remove one"),
            ("restore", "get it back, or an older one"),
            ("refresh", "refresh logins now"),
            ("discover", "find other programs' keys"),
            ("import", "import from a file"),
            ("sync", "import programs' logins"),
            ("models", "the gateway's own commands"),
            ("session", "pin one to a session"),
        ],
    ),
    (
        "Checks and record",
        &[
            ("doctor", "find and repair problems"),
            ("audit", "verify, export, prune it"),
            ("report", "write a page about it"),
            ("metrics", "its numbers, for Prometheus"),
        ],
    ),
    (
        "Keys and backups",
        &[
            ("init", "make the vault"),
            ("key", "what opens the vault"),
            ("backup", "copies of the vault"),
            ("export", "write auth-profiles.json"),
        ],
    ),
    (
        "Unattended, and settings",
        &[
            ("watch", "sync and refresh everything"),
            ("monitor", "install that as a service"),
            ("connect", "feed a program (disconnect)"),
            ("secretref", "hand secrets to OpenClaw"),
            ("config", "the settings"),
        ],
    ),
];

/// The last lines of the overview.
const MORE: &str = "Also: completions, man, version. Options of every command: clawkeep --help
Help: clawkeep help COMMAND, exit-codes, environment, files, formatting
";

/// The overview, in place of the list of all commands and options that clap makes; that is the
/// answer of `--help`.
pub(super) fn overview(error: &clap::Error) -> Option<StyledStr> {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let words = command_words();
    let is_top = words == "clawkeep" || words == "clawkeep help";
    let is_long = std::env::args_os().any(|word| word == "--help");
    (is_help && is_top && !is_long && !is_called_as_gateway()).then(|| overview_text().into())
}

/// Of the two commands of a line: columns of the name, and of what it does.
const WIDTHS: [(usize, usize); 2] = [(10, 30), (11, 27)];

fn overview_text() -> String {
    let mut text = String::from("Usage: clawkeep COMMAND …\n");
    for (title, commands) in GROUPS {
        text.push_str(&format!("\u{1b}[1m{title}\u{1b}[0m\n"));
        for pair in commands.chunks(2) {
            let cells = pair.iter().zip(WIDTHS);
            let line: String = cells
                .map(|((name, what), (first, second))| format!("{name:<first$}{what:<second$}"))
                .collect();
            text.push_str(&format!("  {}\n", line.trim_end()));
        }
    }
    text + MORE
}

/// The topics of `help`, each with its text.
const TOPICS: [(&str, &str); 4] = [
    ("exit-codes", EXIT_CODES),
    ("environment", ENVIRONMENT),
    ("files", FILES),
    ("formatting", FORMATTING),
];

const EXIT_CODES: &str = "\
Exit statuses:
  0    done
  1    failed, or refused; with --check: a credential cannot be used
  2    with --check: a credential will stop working unless you act
  64   the command line is wrong, or a name means nothing or several things
  65   something is damaged, or was modified outside clawkeep: clawkeep doctor
  75   another process has what is needed; a retry may succeed
  77   no key opens the vault: clawkeep key status
  126  exec: the program cannot be run
  127  exec: the program is not there
Otherwise exec and run end as the program does.
";

const ENVIRONMENT: &str = "\
Environment variables:
  CLAWKEEP_VAULT            the vault, as --vault
  CLAWKEEP_KEY_FILE         a file with the vault's key
  CLAWKEEP_PASSPHRASE_FILE  a file with the passphrase, as --passphrase-file
  CLAWKEEP_KEYCHAIN         off: do not use the system's keychain
  CLAWKEEP_PAGER, PAGER     the program that long answers go through; empty: none
  CLAWKEEP_TRUSTED          users and groups that may write clawkeep's files
  CREDENTIALS_DIRECTORY     a service's credentials, with clawkeep.key among them
  CLAWDBOT_STATE_DIR        the gateway's state directory, as --state-dir
  CLAWDBOT_AGENT_DIR        the agent that commands are about, by its directory
  CLAUDE_CONFIG_DIR         where Claude Code keeps its login
  CODEX_HOME                where Codex keeps its login
  NO_COLOR, TERM, CLICOLOR, CLICOLOR_FORCE, FORCE_COLOR   whether to use colour
  VISUAL, EDITOR            the editor of `clawkeep config edit`
exec and run set the provider's variable, for example OPENAI_API_KEY.
";

const FILES: &str = "\
Files, in the state directory (a gateway's ~/.clawdbot, else ~/.local/share/clawkeep):
  vault.db                            the vault: credentials and record, encrypted
  clawkeep.toml                       the settings: clawkeep config
  clawdbot.json                       the gateway's configuration
  agents/ID/agent/auth-profiles.json  an agent's store, in plain text for a gateway
Elsewhere:
  ~/.config/clawkeep/*.key            the vault's key, where no keychain keeps it
  ~/.local/state/clawkeep/heads       the last event of each record
Paths that are in use here: clawkeep config path, clawkeep key status, clawkeep doctor
";

const FORMATTING: &str = "\
Output:
  stdout has the answer, stderr everything else. Tables are for people and change.
  --json (-j) prints one JSON document; times are milliseconds since 1970, or RFC 3339.
  With --json, an error is one JSON object, the last line of stderr:
    {\"error\":{\"code\":\"no-key\",\"message\":…,\"exitStatus\":77}}
Useful with jq:
  clawkeep status -j | jq -r '.logins[] | select(.fix) | \"\\(.profileId): \\(.fix)\"'
  clawkeep log -j --since 24h | jq -r '.events[] | select(.outcome == \"failed\") | .profile'
  clawkeep token openai -j | jq .expires
history also has --csv and --jsonl.
";

/// Answers `help TOPIC`, and `--version` alone, which need no definition of all commands; `None`
/// for every other line.
pub(crate) fn answer() -> Option<Result<ExitCode, Failure>> {
    if is_called_as_gateway() {
        return None;
    }
    let words: Vec<OsString> = std::env::args_os().skip(1).take(3).collect();
    let words: Vec<&str> = words.iter().map_while(|word| word.to_str()).collect();
    let text = match words.as_slice() {
        ["--version" | "-V"] => concat!("clawkeep ", env!("CARGO_PKG_VERSION"), "\n"),
        ["help", topic, ..] => TOPICS.iter().find(|(name, _)| name == topic)?.1,
        _ => return None,
    };
    Some(write_answer(text).map(|()| ExitCode::SUCCESS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args;

    #[test]
    fn the_overview_has_every_command_and_fits_a_terminal() {
        let text = overview_text();
        let shown = text.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        assert!(shown.lines().count() <= 24, "{shown}");
        assert!(
            shown.lines().all(|line| line.chars().count() <= 80),
            "{shown}"
        );
        let words: Vec<&str> = shown
            .split(|c: char| !c.is_alphanumeric() && c != '-')
            .collect();
        for command in args::command()
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set())
        {
            assert!(
                words.contains(&command.get_name()),
                "{}",
                command.get_name()
            );
        }
        for (_, commands) in GROUPS {
            for (at, (name, what)) in commands.iter().enumerate() {
                assert!(args::command().find_subcommand(name).is_some(), "{name}");
                let (first, second) = WIDTHS[at % 2];
                assert!(name.len() + 2 <= first, "{name}");
                assert!(at % 2 == 1 || what.len() + 2 <= second, "{what}");
            }
        }
        for (topic, text) in TOPICS {
            assert!(MORE.contains(topic));
            assert!(text.lines().count() < 24 && text.lines().all(|line| line.len() <= 100));
        }
    }
}
