//! Decides whether output has colour.

use std::ffi::OsString;

use clap::ValueEnum;

use super::program_name;

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColourChoice {
    /// On a terminal, unless `NO_COLOR`, `CLICOLOR=0` or `TERM=dumb` is set; `CLICOLOR_FORCE` and
    /// `FORCE_COLOR` mean always
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColourChoice {
    /// For failures before the arguments are understood: the last `--color` that makes sense.
    pub(crate) fn from_process() -> Self {
        let words: Vec<_> = std::env::args_os().skip(1).collect();
        let choice = |at: usize| {
            let word = words.get(at)?.to_str()?;
            let value = match word.strip_prefix("--color=") {
                Some(value) => value,
                None if word == "--color" => words.get(at + 1)?.to_str()?,
                None => return None,
            };
            Self::from_str(value, false).ok()
        };
        (0..words.len())
            .rev()
            .find_map(choice)
            .unwrap_or(Self::Auto)
    }

    /// Whether there is colour, where the environment may leave it to the terminal.
    pub(crate) fn on(self, is_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let variable = |name: &str| std::env::var_os(name);
                is_colour_wanted(variable, program_name::is_called_as_gateway())
                    .unwrap_or(is_terminal)
            }
        }
    }
}

/// What the environment says about colour; `None` where the terminal decides.
///
/// `NO_COLOR` first, as no-color.org has it; only under the gateway's name `FORCE_COLOR` comes
/// before it, as there.
fn is_colour_wanted(variable: impl Fn(&str) -> Option<OsString>, is_gateway: bool) -> Option<bool> {
    let value = |name| variable(name).filter(|value| !value.is_empty());
    let is_on = |name| value(name).map(|value| value != "0" && value != "false");
    let forced = is_on("FORCE_COLOR");
    match () {
        () if is_gateway && forced == Some(true) => Some(true),
        () if value("NO_COLOR").is_some() => Some(false),
        () if forced.is_some() => forced,
        () if is_on("CLICOLOR_FORCE") == Some(true) => Some(true),
        () if is_on("CLICOLOR") == Some(false) => Some(false),
        () if is_dumb_terminal(variable) => Some(false),
        () => None,
    }
}

/// Whether the terminal takes no escape sequences.
pub(crate) fn is_dumb_terminal(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    variable("TERM").is_some_and(|term| term == "dumb")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Off,
    On,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_whether_there_is_colour() {
        for (variables, ours, gateways) in [
            (&[][..], None, None),
            (&["TERM=xterm", "CLICOLOR=1", "NO_COLOR="], None, None),
            (&["NO_COLOR=0"], Some(false), Some(false)),
            (&["CLICOLOR=0"], Some(false), Some(false)),
            (&["TERM=dumb"], Some(false), Some(false)),
            (&["TERM=dumb", "CLICOLOR_FORCE=1"], Some(true), Some(true)),
            (
                &["CLICOLOR=0", "CLICOLOR_FORCE=0"],
                Some(false),
                Some(false),
            ),
            (
                &["NO_COLOR=1", "CLICOLOR_FORCE=1"],
                Some(false),
                Some(false),
            ),
            (&["NO_COLOR=1", "FORCE_COLOR=1"], Some(false), Some(true)),
            (
                &["CLICOLOR_FORCE=1", "FORCE_COLOR=0"],
                Some(false),
                Some(false),
            ),
        ] {
            let variable = |name: &str| {
                let mut pairs = variables.iter().filter_map(|pair| pair.split_once('='));
                pairs
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value.into())
            };
            assert_eq!(is_colour_wanted(variable, false), ours, "{variables:?}");
            assert_eq!(is_colour_wanted(variable, true), gateways, "{variables:?}");
        }
    }
}
