//! `exec`: a program with a credential in its environment.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use clap::Args;
use clawkeep::client::{Request, Token};
use clawkeep::config::provider_variables;
use clawkeep::domain::{CredentialType, ProviderId, shell_quoted};
use clawkeep::platform::{program_command, withhold_key_variables};
use secrecy::ExposeSecret as _;

use super::pick::SelectionArgs;
use crate::context::Context;
use crate::context::passphrase::Named;
use crate::failure::Failure;
use crate::options::ids;
use crate::terminal::signals;

/// Exit status when the program does not exist. Source: POSIX, env(1).
const NOT_FOUND: u8 = 127;
/// Exit status when the program cannot be run. Source: as above.
const NOT_RUN: u8 = 126;

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
    /// A provider; may be given more than once [default: that of the configured default model]
    #[arg(long, value_name = "NAME", value_parser = ids::provider)]
    provider: Vec<ProviderId>,
    /// This profile and no other of its provider
    #[arg(long, value_name = "ID", value_parser = ids::profile)]
    profile: Option<String>,
    /// Leave CLAWKEEP_KEY_FILE, CLAWKEEP_PASSPHRASE_FILE and CREDENTIALS_DIRECTORY in the program's
    /// environment, for a gateway that calls clawkeep itself
    #[arg(long)]
    pass_key_variables: bool,
    #[command(flatten)]
    selection: SelectionArgs,
    /// The program and its arguments
    #[arg(
        value_name = "CMD",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true
    )]
    command: Vec<OsString>,
}

impl Exec {
    /// How many words are the program's, its name included.
    pub(crate) fn handed_on(&self) -> usize {
        self.command.len()
    }

    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut wanted: Vec<Request> = self.profile.into_iter().map(Request::Profile).collect();
        for provider in self.provider {
            let of = Request::Provider(provider);
            if !wanted.contains(&of) {
                wanted.push(of);
            }
        }
        if wanted.is_empty() {
            wanted.push(Request::Provider(
                context.settings()?.models.default_ref().provider,
            ));
        }
        for wanted in &wanted {
            if let Request::Provider(provider) = wanted {
                check_variable(context, provider)?; // before a vault is opened
            }
        }
        let takes = |provider: &ProviderId| check_variable(context, provider);
        let mut words = self.command.into_iter();
        let program = words.next().unwrap_or_default();
        let command = program_command(&program, |name| context.env.raw(name));
        // before a use is recorded
        let mut command = command.map_err(|error| not_run(&program, error))?;
        let picked = self.selection.pick(context, &wanted, "exec", takes)?;
        command.args(words);
        if !self.pass_key_variables {
            withhold_key_variables(&mut command, context.layout.credentials_dir());
        }
        // Credentials in that directory could be read again.
        if context
            .passphrases()
            .named
            .as_ref()
            .is_some_and(Named::is_stdin)
        {
            command.stdin(Stdio::null());
        }
        for picked in &picked {
            set_variable(
                &mut command,
                picked,
                &variables(context, picked.provider())?,
            );
        }
        for picked in &picked {
            note_base_url(context, picked.provider());
        }
        drop(picked);
        let become_it = || signals::become_program(command);
        Err(not_run(&program, context.mask.put_back_for(become_it)))
    }
}

/// Further variables in which clients of a provider look for a secret, before or beside those
/// above. Sources: Claude Code's settings; Google's, OpenAI's client libraries. They are taken out,
/// so that no other account's is used.
const OTHER_VARIABLES: [(&str, &[&str]); 3] = [
    (
        "anthropic",
        &["ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"],
    ),
    (
        "google",
        &["GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"],
    ),
    ("openai", &["OPENAI_ADMIN_KEY"]),
];

/// The variables in which programs expect a provider's secret: from the settings, else the known
/// ones.
fn variables(context: &Context, provider: &ProviderId) -> Result<Vec<String>, Failure> {
    if let Some(names) = context.providers()?.variables(provider) {
        return Ok(names.to_vec());
    }
    let known = provider_variables(provider).iter();
    Ok(known.map(|name| (*name).to_owned()).collect())
}

fn check_variable(context: &Context, provider: &ProviderId) -> Result<(), Failure> {
    if variables(context, provider)?.is_empty() {
        return Err(Failure::BadArgument(format!(
            "programs look for a secret of {provider} in no variable that is known here; name one \
             as env in [providers.{provider}] of clawkeep.toml, or hand it over with `clawkeep \
             token`"
        )));
    }
    Ok(())
}

/// Notes that a variable redirects the provider's requests, and the secret with them: setting it is
/// the caller's choice.
fn note_base_url(context: &Context, provider: &ProviderId) {
    let name = provider.as_str().to_uppercase().replace('-', "_");
    let name = format!("{name}_BASE_URL");
    if context.env.path(&name).is_some() {
        context.ui.note(&format!(
            "Note: {name} is set: the program sends the secret there."
        ));
    }
}

/// Sets the secret in the variables that programs of that provider read, and removes those of other
/// accounts.
fn set_variable(command: &mut Command, picked: &Token, names: &[String]) {
    let also = OTHER_VARIABLES
        .iter()
        .find(|(id, _)| *id == picked.provider().as_str());
    let also = also.map_or(&[][..], |(_, names)| names);
    for name in names.iter().map(String::as_str).chain(also.iter().copied()) {
        command.env_remove(name);
    }
    // Programs use the first variable that is set, and Anthropic's first is for logins.
    let is_key = picked.kind() == CredentialType::ApiKey;
    let is_for_keys = |name: &&String| !name.contains("OAUTH");
    let name = match names.iter().find(is_for_keys) {
        Some(name) if is_key => Some(name),
        _ => names.first(),
    };
    if let Some(name) = name {
        command.env(name, picked.secret().expose_secret());
    }
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

fn not_run(program: &OsString, source: std::io::Error) -> Failure {
    let remedy = windows_remedy(&program.to_string_lossy(), source.kind());
    let source = match remedy.filter(|_| cfg!(windows)) {
        Some(remedy) => std::io::Error::new(source.kind(), format!("{source}; {remedy}")),
        None => source,
    };
    let status = match source.kind() {
        std::io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_RUN,
    };
    Failure::NotRun {
        program: program.to_string_lossy().into_owned(),
        status,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

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
