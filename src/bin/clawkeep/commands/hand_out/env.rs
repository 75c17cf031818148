//! `env`: a secret as lines that a shell evaluates.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use clawkeep::internal::client::{Request, Token};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::naming::{default_request, requests_for};
use super::opened::OpenedVault;
use super::pick::SelectionArgs;
use super::variables::{AS, Variables, check_variable, note_base_url, variable_name};
use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::shown_id;

/// Print a secret as shell lines that set its provider's variable.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  eval \"$(clawkeep env openai)\"             sh, bash, zsh, and .envrc of \
        direnv\n  clawkeep env openai --shell fish | cat   in fish: … | source\n\nThe lines also \
        unset the provider's other variables (OPENAI_ADMIN_KEY), so that no program uses another \
        account. A file with these lines is a plain copy of the secret. `clawkeep run` gives it to \
        one program only."
)]
pub(crate) struct EnvLines {
    /// Providers, or credentials by a part of their ids [default: the provider of the configured
    /// default model, or the only one with a credential]
    #[arg(value_name = "PROVIDER|ID")]
    named: Vec<String>,
    /// Set this variable, not those of the provider
    #[arg(long = AS, value_name = "VAR", value_parser = variable_name)]
    variable: Option<String>,
    /// The shell that reads the lines
    #[arg(long, value_enum, default_value_t = OF_SYSTEM, value_name = "SHELL")]
    shell: Shell,
    /// Print the secret although the output is a terminal
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    selection: SelectionArgs,
}

/// The shell that reads the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// sh, bash, zsh, dash, ksh, and direnv
    #[value(aliases = ["bash", "zsh", "dash", "ksh", "ash", "direnv"])]
    Sh,
    /// fish
    Fish,
    /// PowerShell
    #[value(alias = "pwsh")]
    Powershell,
}

/// The shell if none is named.
const OF_SYSTEM: Shell = if cfg!(windows) {
    Shell::Powershell
} else {
    Shell::Sh
};

impl EnvLines {
    pub(crate) fn run(mut self, context: &Context) -> Result<(), Failure> {
        if io::stdout().is_terminal() && !self.reveal {
            let example = match self.shell {
                Shell::Sh | Shell::Fish => "eval \"$(clawkeep env …)\"",
                Shell::Powershell => "clawkeep env … | Invoke-Expression",
            };
            return Err(Failure::BadArgument(format!(
                "the secret would be shown on the terminal; give the output to a shell: {example}, \
                 or pass --reveal"
            )));
        }
        let names = self.named.iter().map(|name| name.as_str().into());
        let mut vault = OpenedVault::default();
        let agent = &mut self.selection.agent;
        let mut wanted = requests_for(context, &mut vault, names, agent)?;
        if wanted.is_empty() {
            wanted.push(default_request(context, &mut vault, agent)?);
        }
        if self.variable.is_some() && wanted.len() > 1 {
            return Err(Failure::BadArgument(
                "--as names a variable for one secret, and several are asked for".to_owned(),
            ));
        }
        let naming = self.variable.as_deref();
        let takes = |provider: &_| check_variable(context, provider, naming);
        for wanted in &wanted {
            if let Request::Provider(provider) = wanted {
                takes(provider)?; // before a use is recorded
            }
        }
        let accept = |token: &Token| takes(token.provider()).and_then(|()| check_secret(token));
        let picked = self
            .selection
            .pick(context, &mut vault, &wanted, ("env", None), accept)?;
        let mut text = Zeroizing::new(String::new());
        for picked in &picked {
            let variables = Variables::of(context, picked, naming)?;
            for name in &variables.removed {
                if !variables.set.contains(name) {
                    text.push_str(&self.shell.without(name));
                }
            }
            for name in &variables.set {
                text.push_str(&self.shell.line(name, picked)?);
            }
            note_base_url(context, picked.provider());
        }
        context.ui.write(&text)
    }
}

/// Refuses a secret that no line of a shell can hold.
fn check_secret(token: &Token) -> Result<(), Failure> {
    match token.secret().expose_secret().contains(['\n', '\r', '\0']) {
        true => Err(Failure::Refused {
            what: format!(
                "the secret of {} has a line break or a NUL inside, which no variable can have",
                shown_id(token.profile().as_str())
            ),
            next: "Store it again: clawkeep add".to_owned(),
        }),
        false => Ok(()),
    }
}

impl Shell {
    fn without(self, name: &str) -> String {
        match self {
            Self::Sh => format!("unset {name}\n"),
            Self::Fish => format!("set -e {name}\n"),
            Self::Powershell => {
                format!("Remove-Item -ErrorAction Ignore Env:{name}\n")
            }
        }
    }

    fn line(self, name: &str, picked: &Token) -> Result<Zeroizing<String>, Failure> {
        let secret = picked.secret().expose_secret();
        check_secret(picked)?; // a refresh may have changed it
        let quoted = Zeroizing::new(self.quoted(secret));
        let before = match self {
            Self::Sh => format!("export {name}="),
            Self::Fish => format!("set -gx {name} "),
            Self::Powershell => format!("$Env:{name} = "),
        };
        Ok(Zeroizing::new(format!("{before}{}\n", *quoted)))
    }

    /// The text in single quotes, in which a shell expands nothing. Sources: POSIX, 2.2.2; fish's
    /// documentation, Quotes; PowerShell's, about_Quoting_Rules.
    fn quoted(self, text: &str) -> String {
        let inside = match self {
            Self::Sh => text.replace('\'', "'\\''"),
            Self::Fish => text.replace('\\', "\\\\").replace('\'', "\\'"),
            Self::Powershell => {
                let mut doubled = String::with_capacity(2 * text.len());
                for c in text.chars() {
                    doubled.push(c);
                    // It takes typographic quotes for plain ones.
                    if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
                        doubled.push(c);
                    }
                }
                doubled
            }
        };
        format!("'{inside}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_inside_its_quotes() {
        for (shell, quoted) in [
            (Shell::Sh, r"'a'\''b\c$(id)'"),
            (Shell::Fish, r"'a\'b\\c$(id)'"),
            (Shell::Powershell, r"'a''b\c$(id)'"),
        ] {
            assert_eq!(shell.quoted(r"a'b\c$(id)"), quoted, "{shell:?}");
        }
        let typographic = Shell::Powershell.quoted("a\u{2019}; b");
        assert_eq!(typographic, "'a\u{2019}\u{2019}; b'");
    }
}
