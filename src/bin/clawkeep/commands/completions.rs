//! `completions`: the script that lets a shell complete commands, options and ids.

use std::path::Path;

use clap::{Args, ValueEnum};

use crate::cli::completion::{SHELLS, write_script};
use crate::context::Context;
use crate::failure::Failure;

/// Print the script that lets a shell complete this program's commands, options and ids.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep completions bash > ~/.local/share/bash-completion/completions/clawkeep\n  clawkeep completions zsh > ~/.zfunc/_clawkeep       with fpath+=(~/.zfunc) before compinit in ~/.zshrc\n  clawkeep completions fish > ~/.config/fish/completions/clawkeep.fish\n  clawkeep completions elvish > ~/.config/elvish/lib/clawkeep.elv    and: use clawkeep, in rc.elv\n  clawkeep completions powershell >> profile.ps1   the file that $PROFILE names\n\nWhile you type, the script asks the program, and that looks into the vault without its key."
)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

impl Completions {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let [bash, zsh, fish, elvish, powershell] = SHELLS;
        let shell = match self.shell {
            Shell::Bash => bash,
            Shell::Zsh => zsh,
            Shell::Fish => fish,
            Shell::Elvish => elvish,
            Shell::Powershell => powershell,
        };
        context
            .ui
            .stream(|mut out| write_script(shell, called(), &mut out).map_err(Failure::Output))
    }
}

/// The name to complete: this program's, or the one that it stands in for.
fn called() -> &'static str {
    let name = std::env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_stem() {
        Some(name) if name == crate::terminal::program_name::GATEWAY => {
            crate::terminal::program_name::GATEWAY
        }
        _ => "clawkeep",
    }
}
