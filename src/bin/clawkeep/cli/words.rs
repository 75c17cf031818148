//! The words of the command that this process was called with.

use super::args;
use crate::terminal::program_name::is_called_as_gateway;

/// The command that this process was called with, as far as it is one:
/// `clawkeep models auth order set`.
pub(crate) fn command_words() -> String {
    let mut command = args::command();
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

/// Whether answers and errors are to be JSON: the command line asks for it.
pub(super) fn wants_json() -> bool {
    let is_flag = |word: &String| {
        let letters = word.strip_prefix('-').unwrap_or_default();
        word == "--json" || (letters.contains('j') && letters.chars().all(|c| "jqv".contains(c)))
    };
    let words = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned());
    let ours: Vec<String> = words.take_while(|word| word != "--").collect();
    let mut pairs = ours.windows(2);
    let is_log = pairs.any(|pair| pair == ["--log-format", "json"])
        || ours.iter().any(|word| word == "--log-format=json");
    // The words of the command are found by defining every command, a fifth of what `token` costs.
    let hands_on = || {
        let is_named = ours.iter().any(|word| word == "exec" || word == "run");
        is_named && ["clawkeep exec", "clawkeep run"].contains(&command_words().as_str())
    };
    !is_called_as_gateway() && (is_log || ours.iter().any(is_flag)) && !hands_on()
}
