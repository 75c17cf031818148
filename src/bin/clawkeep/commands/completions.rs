//! `completions`: prints the script that lets a shell complete commands, options and ids.

use std::io;
use std::path::Path;

use clap::{Args, ValueEnum};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::context::Context;
use crate::failure::Failure;

/// Print the script that lets a shell complete this program's commands, options and ids.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  clawkeep completions bash > \
        ~/.local/share/bash-completion/completions/clawkeep\n  clawkeep completions zsh > \
        ~/.zfunc/_clawkeep       with fpath+=(~/.zfunc) before compinit in ~/.zshrc\n  clawkeep \
        completions fish > ~/.config/fish/completions/clawkeep.fish\n  clawkeep completions \
        elvish > ~/.config/elvish/lib/clawkeep.elv    and: use clawkeep, in rc.elv\n  clawkeep \
        completions powershell >> profile.ps1   the file that $PROFILE names\n\nWhile you type, \
        the script asks the program, and that looks into the vault without its key.")]
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

/// The name to complete: this program's, or the name that it was called by.
fn called() -> &'static str {
    let name = std::env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_stem() {
        Some(name) if name == crate::terminal::program_name::GATEWAY => {
            crate::terminal::program_name::GATEWAY
        }
        _ => "clawkeep",
    }
}

/// The variable by which a shell's script asks; its value is the shell's name.
pub(crate) const VARIABLE: &str = "CLAWKEEP_COMPLETE";

/// The shells, each with the way to report completions to it.
pub(crate) const SHELLS: [&dyn EnvCompleter; 5] = [&Bash, &Zsh, &Fish, &Elvish, &Powershell];

pub(crate) fn write_script(
    shell: &dyn EnvCompleter,
    program: &str,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    if shell.is("bash") {
        return write!(out, "{}", BASH.replace("PROGRAM", program));
    }
    shell.write_registration(VARIABLE, program, program, program, out)?;
    if shell.is("zsh") {
        // In a directory of `fpath` the file is the function: the first call makes it, and must
        // answer too.
        writeln!(
            out,
            "[[ $funcstack[1] == _{program} ]] && _clap_dynamic_completer_{program} \"$@\""
        )?;
    }
    Ok(())
}

/// Instead of clap's own script: bash breaks words at colons, which profile ids have, and clap's
/// would complete each part alone.
const BASH: &str = r#"_PROGRAM() {
    local line=${COMP_LINE:0:COMP_POINT} words=() word gap i
    # Joins what bash broke at a colon or an equals sign: parts without a blank between them.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        gap=${line%%[![:space:]]*}
        line=${line#"$gap"}
        [[ $line == "$word"* ]] || word=$line # the cursor is within it
        line=${line#"$word"}
        if ((i > 0)) && [[ -z $gap ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
    done
    local last=$((${#words[@]} - 1))
    local typed=${words[last]} before=
    # What is before the last place where bash breaks a word stays on the line.
    case $typed in
    *:*) [[ $COMP_WORDBREAKS != *:* ]] || before=${typed%"${typed##*:}"} ;;
    --*=*) [[ $COMP_WORDBREAKS != *=* ]] || before=${typed%%=*}= ;;
    esac
    COMPREPLY=()
    while IFS= read -r word; do
        [[ -z $word ]] || COMPREPLY+=("${word#"$before"}")
    done < <(_CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$last CLAWKEEP_COMPLETE=bash \
        PROGRAM -- "${words[@]}" 2>/dev/null && echo)
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[/=] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o nosort -F _PROGRAM PROGRAM 2>/dev/null || complete -F _PROGRAM PROGRAM
"#;
