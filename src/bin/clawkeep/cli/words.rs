//! The words of the command that this process was called with.

use super::args;

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
