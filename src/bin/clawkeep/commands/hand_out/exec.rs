//! `exec`: a program with a credential in its environment.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Args;
use clawkeep::internal::client::{Request, Token};
use clawkeep::internal::domain::{
    ProviderId, begins_as_secret, is_random, known_secret_in, shell_quoted,
};
use clawkeep::internal::platform::program_command;
use secrecy::ExposeSecret as _;

use super::naming::{default_request, is_name, requests_for};
use super::opened::OpenedVault;
use super::pick::SelectionArgs;
use super::variables::{AS, Variables, check_variable, note_base_url, variable_name};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::{ids, provider};
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::signals;
use crate::terminal::text::one_line;

/// What separates names from the program.
const SEPARATOR: &str = "--";
/// Exit status when the program does not exist. Source: POSIX, env(1).
const NOT_FOUND: u8 = 127;
/// Exit status when the program cannot be run. Source: as above.
const NOT_RUN: u8 = 126;

/// Exit status when no program is named: that of other usage errors.
const NO_PROGRAM: u8 = 64;

/// Run a program with the secret of a credential in its provider's variable.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep exec --provider openai -- python3 job.py          with \
        OPENAI_API_KEY\n  clawkeep exec --provider anthropic --provider openai -- ./agent\n\nThe \
        program replaces this process: exit status and signals are the program's. Other variables \
        of those providers are taken out of its environment, and so are those that lead to the \
        vault's key: CLAWKEEP_KEY_FILE, CLAWKEEP_PASSPHRASE_FILE, and CREDENTIALS_DIRECTORY where \
        it holds nothing else."
)]
pub(crate) struct Exec {
    /// A provider; may be given more than once [default: that of the configured default
    /// model, or the only one with a credential]
    #[arg(long, value_name = "NAME", value_parser = ids::provider)]
    provider: Vec<ProviderId>,
    /// This profile and no other of its provider
    #[arg(long, value_name = "ID", value_parser = ids::profile)]
    profile: Option<String>,
    /// Put the secret into this variable, not into those of its provider
    #[arg(long = AS, value_name = "VAR", value_parser = variable_name)]
    variable: Option<String>,
    /// Leave CLAWKEEP_KEY_FILE, CLAWKEEP_PASSPHRASE_FILE and CREDENTIALS_DIRECTORY in the program's
    /// environment, for a gateway that calls clawkeep itself
    #[arg(long)]
    pass_key_variables: bool,
    #[command(flatten)]
    selection: SelectionArgs,
    /// The program and its arguments. Words before -- are providers, or credentials by a part of
    /// their ids: openai anthropic -- CMD
    #[arg(value_name = "CMD", trailing_var_arg = true, required = true)]
    command: Vec<OsString>,
}

/// What the words of the command line are: names, then the program and its arguments.
struct Words<'w> {
    names: &'w [OsString],
    program: &'w [OsString],
}

impl<'w> Words<'w> {
    /// The words before the first `--` are names, unless another `--` came before all of them, or
    /// no name is known and the first word is a program: that program's own `--` follows.
    fn of(words: &'w [OsString]) -> Self {
        let all = Self {
            names: &[],
            program: words,
        };
        // clap leaves out a `--` that stands before the first word.
        let typed: Vec<OsString> = std::env::args_os().collect();
        let before = typed.len().checked_sub(words.len() + 1);
        let is_escaped = before.is_some_and(|at| typed[at] == SEPARATOR);
        let separator = words.iter().position(|word| word == SEPARATOR);
        match separator.filter(|_| !is_escaped && !is_called_as_gateway()) {
            Some(at) => Self {
                names: &words[..at],
                program: &words[at + 1..],
            },
            None => all,
        }
    }
}

impl Exec {
    /// How many words are the program's, its name included.
    pub(crate) fn handed_on(&self) -> usize {
        Words::of(&self.command).program.len()
    }

    pub(crate) fn run(mut self, context: &Context) -> Result<(), Failure> {
        let words = std::mem::take(&mut self.command);
        let mut vault = OpenedVault::default();
        let Words { names, program } = self.words(context, &mut vault, &words)?;
        let mut wanted: Vec<Request> = self.profile.into_iter().map(Request::Profile).collect();
        for provider in self.provider {
            add(&mut wanted, Request::Provider(provider));
        }
        let names = names.iter().map(|name| name.to_string_lossy());
        for request in requests_for(context, &mut vault, names, &mut self.selection.agent)? {
            add(&mut wanted, request);
        }
        let is_default = wanted.is_empty();
        let mut words = program.iter();
        let program = words.next().cloned().unwrap_or_default();
        let not_run = |vault: &mut _, error| match is_default {
            true => not_run_alone(context, vault, &program, error),
            false => not_run(&program, error),
        };
        let command = program_command(&program, |name| context.env.raw(name));
        let mut command = command.map_err(|error| not_run(&mut vault, error))?; // before a vault is opened
        if is_default {
            wanted.push(default_request(
                context,
                &mut vault,
                &mut self.selection.agent,
            )?);
        }
        if self.variable.is_some() && wanted.len() > 1 {
            return Err(Failure::BadArgument(
                "--as names a variable for one secret, and several are asked for".to_owned(),
            ));
        }
        let naming = self.variable.as_deref();
        let takes = |provider: &ProviderId| check_variable(context, provider, naming);
        for wanted in &wanted {
            if let Request::Provider(provider) = wanted {
                let near = provider::mistyped(context, provider);
                takes(provider).map_err(|failure| match near {
                    Some(near) if !is_called_as_gateway() => {
                        provider::unknown(provider, format!("Did you mean {near}?"))
                    }
                    _ => failure,
                })?; // before a vault is opened
            }
        }
        let accept = |token: &Token| takes(token.provider());
        let recorded = recorded_name(&program);
        let handing = ("exec", recorded.as_deref());
        let picked = self
            .selection
            .pick(context, &mut vault, &wanted, handing, accept)?;
        command.args(words);
        if !self.pass_key_variables {
            context.withhold_keys(&mut command);
        }
        context.withhold_stdin(&mut command);
        for picked in &picked {
            let variables = Variables::of(context, picked, naming)?;
            for name in &variables.removed {
                command.env_remove(name);
            }
            for name in &variables.set {
                command.env(name, picked.secret().expose_secret());
            }
        }
        for picked in &picked {
            note_base_url(context, picked.provider());
        }
        drop(picked);
        let become_it = || signals::become_program(command);
        let error = context.mask.put_back_for(become_it);
        Err(not_run(&mut vault, error))
    }

    fn words<'w>(
        &self,
        context: &Context,
        vault: &mut OpenedVault,
        words: &'w [OsString],
    ) -> Result<Words<'w>, Failure> {
        let found = Words::of(words);
        let (Some(first), false) = (words.first(), found.names.is_empty()) else {
            return Ok(found);
        };
        let is_program = || program_command(first, |name| context.env.raw(name)).is_ok();
        if !is_name(context, vault, &first.to_string_lossy())? && is_program() {
            return Ok(Words {
                names: &[],
                program: words,
            });
        }
        let is_option = |word: &OsString| word.to_string_lossy().starts_with('-');
        if let Some(at) = found.names.iter().position(is_option) {
            let (providers, options) = found.names.split_at(at);
            let words = options
                .iter()
                .chain(providers)
                .map(|word| word.to_string_lossy());
            return Err(Failure::BadArgument(format!(
                "options go before the provider: clawkeep run {} -- …",
                one_line(&words.collect::<Vec<_>>().join(" "))
            )));
        }
        if found.program.is_empty() {
            return Err(Failure::BadArgument(
                "no program is named after --".to_owned(),
            ));
        }
        Ok(found)
    }
}

fn add(wanted: &mut Vec<Request>, request: Request) {
    if !wanted.contains(&request) {
        wanted.push(request);
    }
}

/// The name of the program's file, for the record; `None` if it may be a secret.
fn recorded_name(program: &OsStr) -> Option<String> {
    let name = Path::new(program).file_name()?.to_string_lossy();
    let is_secret = begins_as_secret(&name)
        || begins_as_secret(&name.to_ascii_lowercase())
        || known_secret_in(&name).is_some()
        || is_random(&name);
    (!is_secret).then(|| name.into_owned())
}

/// Commands that cmd.exe has no program for. Source: Microsoft's documentation, Windows commands.
const OF_CMD: [&str; 24] = [
    "assoc", "call", "cd", "chdir", "cls", "copy", "date", "del", "dir", "echo", "erase", "for",
    "if", "md", "mkdir", "mklink", "move", "rd", "ren", "rename", "rmdir", "set", "start", "type",
];

/// The command to type in place of a name that Windows does not run directly.
fn windows_remedy(program: &str, kind: std::io::ErrorKind) -> Option<String> {
    let lower = program.to_lowercase();
    if OF_CMD.contains(&lower.as_str()) {
        return Some(format!(
            "it is a command of cmd.exe, run by: cmd /c {lower}"
        ));
    }
    if lower.ends_with(".ps1") {
        let script = shell_quoted(program);
        return Some(format!("PowerShell runs it: powershell -File {script}"));
    }
    // std's words are "batch file arguments are invalid".
    (kind == std::io::ErrorKind::InvalidInput)
        .then(|| "a batch file takes no argument with a line break".to_owned())
}

/// The failure of a program that does not run.
fn not_run(program: &OsString, source: std::io::Error) -> Failure {
    let word = program.to_string_lossy();
    let remedy = windows_remedy(&word, source.kind()).filter(|_| cfg!(windows));
    let source = match remedy {
        Some(remedy) => std::io::Error::new(source.kind(), format!("{source}; {remedy}")),
        None => source,
    };
    Failure::NotRun {
        what: format!("cannot run {word}"),
        status: match source.kind() {
            std::io::ErrorKind::NotFound => NOT_FOUND,
            _ => NOT_RUN,
        },
        source: Some(source),
        next: None,
    }
}

/// As [`not_run`], where nothing else is requested: then the name of a provider or of a credential
/// was most likely meant as one.
fn not_run_alone(
    context: &Context,
    vault: &mut OpenedVault,
    program: &OsString,
    source: std::io::Error,
) -> Failure {
    let word = program.to_string_lossy();
    let is_absent = source.kind() == std::io::ErrorKind::NotFound;
    if !is_absent || is_called_as_gateway() || !is_name(context, vault, &word).unwrap_or(false) {
        return not_run(program, source);
    }
    let word = one_line(&word);
    Failure::NotRun {
        what: format!("{word} names a credential, and no program comes after it with --"),
        status: NO_PROGRAM,
        source: None,
        next: Some(format!(
            "Put -- before the program: clawkeep run {word} -- PROGRAM"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_program_is_recorded_by_the_name_of_its_file_unless_that_may_be_a_secret() {
        for (program, expected) in [
            ("python3", Some("python3")),
            ("/usr/bin/python3", Some("python3")),
            ("./agent", Some("agent")),
            ("/tmp/sk-proj-0123456789abcdef", None),
            ("SK-ANT-0123456789abcdef", None),
            ("./gsk_0123", None),
            ("/tmp/9f86d081884c7d659a2feaa0c55ad015", None),
            ("..", None),
        ] {
            let name = recorded_name(OsStr::new(program));
            assert_eq!(name.as_deref(), expected, "{program}");
        }
    }

    #[test]
    fn what_windows_does_not_run_by_itself_is_named_with_what_runs_it() {
        for (program, kind, expected) in [
            ("Echo", ErrorKind::NotFound, Some("cmd /c echo")),
            (
                r".\a.PS1",
                ErrorKind::Other,
                Some(r"powershell -File .\a.PS1"),
            ),
            ("npm.cmd", ErrorKind::InvalidInput, Some("a line break")),
            ("agent", ErrorKind::NotFound, None),
        ] {
            let remedy = windows_remedy(program, kind);
            // The quotes are those of the system that this runs on.
            let remedy = remedy.map(|text| text.replace('\'', ""));
            let is_expected = match (&remedy, expected) {
                (Some(remedy), Some(expected)) => remedy.ends_with(expected),
                (remedy, expected) => remedy.is_none() && expected.is_none(),
            };
            assert!(is_expected, "{program}: {remedy:?}");
        }
    }
}
