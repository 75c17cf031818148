//! Commands in other programs' settings that ask clawkeep for a key.

/// Whether a command line is one that asks clawkeep for a key.
#[must_use]
pub fn is_token_command(line: &str) -> bool {
    let program = line
        .split_once(" token ")
        .map(|(program, _)| program.trim_matches('\''));
    let names = ["clawkeep", "clawkeep.exe"];
    program.is_some_and(|program| names.iter().any(|name| program.ends_with(name)))
}

/// Whether the value in a key's place is a command that asks clawkeep for the key, as `connect`
/// writes it: `!/usr/bin/clawkeep token -q --profile openai:manual`.
#[must_use]
pub fn is_own_reference(value: &str) -> bool {
    let line = value.trim_start().strip_prefix('!');
    line.is_some_and(is_token_command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_clawkeep_is_recognised() {
        for (value, want) in [
            ("!/usr/bin/clawkeep token -q --profile openai:manual", true),
            ("!'/home/a b/clawkeep' token -q --profile x:y", true),
            ("!C:/bin/clawkeep.exe token -q --provider openai", true),
            ("!pass show openai", false),
            ("!pass token clawkeep", false),
            ("/usr/bin/clawkeep token -q", false),
            ("sk-test", false),
        ] {
            assert_eq!(is_own_reference(value), want, "{value}");
        }
    }
}
