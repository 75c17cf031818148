//! What a person most likely wants who types a word that is no command. Only by meaning, or by a
//! mistype: letters that happen to be alike suggest nothing.

use super::args;
use crate::options::named::mistypes;

/// Words of other programs for the same thing, what they are for, and the command that does it.
/// Sources: the command words of gh 2.60, aws-vault 7.2, rbw 1.13, pass 1.7, op 2.30, vault 1.18,
/// atuin 18.3 (`tests/fixtures/words.tsv`).
const WORDS: &[(&str, &str)] = &[
    (
        "get show read print code view cat reveal secret secrets password value unwrap fetch \
         credential signing-key otp totp whisper gettoken get-token print-token access-token",
        "To print a secret: clawkeep token PROVIDER",
    ),
    (
        "list find search grep accounts account users user profiles profile credentials keys logins \
         vault vaults items item tree dir lookup ssh-key gpg-key kv group collection",
        "To list the credentials: clawkeep ls",
    ),
    (
        "insert write put set create new store save generate gen register enroll setup signup edit \
         update upgrade replace patch change document paste variable api-key apikey onboard",
        "To store or replace a secret: clawkeep add PROVIDER",
    ),
    (
        "remove delete del logout log-out signout sign-out revoke purge clear unset forget destroy \
         erase drop",
        "To remove a credential: clawkeep rm ID",
    ),
    (
        "auth signin sign-in authenticate oauth reauth relogin setup-git",
        "To log in: clawkeep login PROVIDER. The logins there are: clawkeep status",
    ),
    (
        "switch select prefer activate default choose order checkout",
        "To use a credential before others: clawkeep use ID",
    ),
    (
        "whoami who info stat stats state expiry expires list-expiring overview dashboard \
         unlocked summary wrapped",
        "To see every login's state: clawkeep status",
    ),
    (
        "start shell wrap inject with call spawn invoke ssh",
        "To run a program with a secret: clawkeep run PROVIDER -- CMD",
    ),
    (
        "eval printenv environment dotenv direnv shellenv",
        "To print a secret as shell lines: clawkeep env PROVIDER",
    ),
    (
        "renew lease reissue",
        "To refresh a login now: clawkeep refresh PROVIDER",
    ),
    (
        "rotate rekey unlock lock unseal seal passphrase recovery transit",
        "For the vault's keys: clawkeep key status. For a provider's secret: clawkeep add PROVIDER",
    ),
    (
        "undo rollback undelete",
        "For an earlier version of a credential: clawkeep restore ID. For a copy of the vault: \
         clawkeep backup restore FILE",
    ),
    (
        "version-history versions version-list revisions",
        "For the versions of a credential that are kept: clawkeep restore ID --list",
    ),
    (
        "mv rename move cp copy",
        "To store it under another id: clawkeep add PROVIDER --id ID. Then remove the old one: \
         clawkeep rm ID",
    ),
    (
        "events activity trail journal tail usage uses",
        "To see what happened: clawkeep log",
    ),
    (
        "check health debug fix repair diagnose diagnostics validate lint",
        "To find problems, and repair them: clawkeep doctor",
    ),
    (
        "snapshot dump git operator",
        "To write a copy of the vault: clawkeep backup create FILE",
    ),
    (
        "agent server daemon serve proxy service background cron stop-agent events-api schedule",
        "To keep logins refreshed in the background: clawkeep monitor install",
    ),
    (
        "settings setting preferences preference configure options default-config set-config",
        "For the settings: clawkeep config list",
    ),
    (
        "completion gen-completions autocomplete complete",
        "For completions: clawkeep completions SHELL",
    ),
    (
        "pull push migrate",
        "To import other programs' logins: clawkeep sync",
    ),
    ("uninstall", "To stop watching: clawkeep monitor uninstall"),
    ("manual docs", "To read the manual: clawkeep man"),
    (
        "pin unpin sessions",
        "To pin a credential to a session: clawkeep session pin SESSION ID",
    ),
];

/// Words for things that clawkeep has nothing of, and that begin as one of its commands.
const UNRELATED: [&str; 1] = ["repo"];

/// A line that names the command to type in place of `word`, below the command with these words.
pub(crate) fn pointer(path: &str, word: &str) -> Option<String> {
    let word = word.to_lowercase();
    let mut command = args::command();
    for name in path.split(' ').skip(1) {
        command = command.find_subcommand(name)?.clone();
    }
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .map(|sub| sub.get_name().to_owned())
        .collect();
    // Hands that mistype a word rarely mistype its first letter.
    let begins_alike = |name: &&String| name.chars().next() == word.chars().next();
    let mistyped = names
        .iter()
        .filter(begins_alike)
        .filter_map(|name| Some((mistypes(name, &word)?, name)))
        .min();
    let is_of_credentials = ["clawkeep", "clawkeep models", "clawkeep models auth"].contains(&path);
    if UNRELATED.contains(&word.as_str()) {
        return None;
    }
    let of_word = |is_it: &dyn Fn(&str) -> bool| {
        let mut words = WORDS.iter().filter(|_| is_of_credentials);
        let found = words.find(|(words, _)| words.split_whitespace().any(is_it));
        found.map(|(_, pointer)| (*pointer).to_owned())
    };
    let meant = of_word(&|known| known == word);
    // A short word is soon like another one: gist, git.
    let is_near = |known: &str| {
        known.len() > 4
            && known.chars().next() == word.chars().next()
            && mistypes(known, &word) == Some(1)
    };
    let nearly = || of_word(&is_near);
    let longer = || {
        let mut longer = names.iter().filter(|name| name.starts_with(&word));
        let only = longer.next().filter(|_| word.len() > 1);
        only.filter(|_| longer.next().is_none())
    };
    meant
        .or_else(|| {
            let name = mistyped.map(|(_, name)| name).or_else(longer)?;
            Some(format!("Did you mean: {path} {name}"))
        })
        .or_else(nearly)
        .or_else(|| {
            let listed = || format!("The commands of {path}: {}", names.join(", "));
            (!is_of_credentials).then(listed)
        })
        .or_else(|| {
            let found = deeper(&args::command(), "clawkeep", &word);
            (!found.is_empty()).then(|| format!("Did you mean: {}", found.join(", or ")))
        })
}

/// The commands of that name anywhere below.
fn deeper(command: &clap::Command, path: &str, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for sub in command.get_subcommands() {
        let path = format!("{path} {}", sub.get_name());
        if sub.get_name() == word {
            found.push(path.clone());
        }
        found.extend(deeper(sub, &path, word));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn letters_that_are_alike_suggest_nothing() {
        let pointed = |word: &str| pointer("clawkeep", word).unwrap_or_default();
        assert!(pointed("auth").contains("clawkeep login"));
        assert_eq!(pointed("statsu"), "Did you mean: clawkeep status");
        assert!(pointed("serach").ends_with("clawkeep ls"));
        assert_eq!(pointed("tokn"), "Did you mean: clawkeep token");
        assert_eq!(pointed("hist"), "Did you mean: clawkeep history");
        assert!(pointed("paste-token").ends_with("clawkeep models auth paste-token"));
        for word in [
            "gist",
            "match",
            "batch",
            "repo",
            "xyz",
            "no-such-command",
            "",
        ] {
            assert_eq!(pointed(word), "", "{word}");
        }
        assert_eq!(
            pointer("clawkeep models", "stat").as_deref(),
            Some("To see every login's state: clawkeep status")
        );
        let of_key = pointer("clawkeep key", "list").unwrap();
        assert!(of_key.contains("status, add, remove"), "{of_key}");
    }

    #[test]
    fn each_word_has_one_meaning_and_is_no_command() {
        let mut seen = BTreeSet::new();
        for (words, pointer) in WORDS {
            for word in words.split_whitespace() {
                assert!(seen.insert(word), "{word} is there twice");
                assert!(args::command().find_subcommand(word).is_none(), "{word}");
            }
            assert!(pointer.contains(": clawkeep "), "{pointer}");
        }
    }
}
