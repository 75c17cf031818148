//! The remedy for each cause on Windows, in that system's words and commands.

use clawkeep::internal::domain::shell_shown_path;
use clawkeep::internal::platform::Cause;

use crate::failure::another::{move_away, name_what_is_there};

pub(super) fn remedy_of(cause: &Cause) -> String {
    match cause {
        Cause::InUse { path } => format!(
            "Another program holds the file open: a gateway, an editor, a virus scanner. Close \
             that program and run the command again. To see which one it is: resmon, tab CPU, \
             Associated Handles, search for {}",
            shell_shown_path(path.file_name().map_or(path, AsRef::as_ref))
        ),
        Cause::Denied { path } => format!("See who may use it: icacls {}", shell_shown_path(path)),
        Cause::NoSpace { mount, .. } => format!(
            "{} is full. Remove what is not needed there and run the command again.",
            shell_shown_path(mount)
        ),
        Cause::Quota { mount } => format!(
            "Your quota on {} is used up. Remove files of yours there, or ask the administrator \
             for a larger one.",
            shell_shown_path(mount)
        ),
        Cause::OpenFiles { .. } => {
            "Too many files are open. End other programs and run the command again.".to_owned()
        }
        Cause::ReadOnly { mount } => format!(
            "{} is write-protected. Name a place elsewhere, or remove the protection.",
            shell_shown_path(mount)
        ),
        Cause::Directory { path } => format!("A directory is there. {}", move_away(path)),
        Cause::NotADirectory { path } => format!(
            "{} is a file, where a directory is needed. {}",
            shell_shown_path(path),
            move_away(path)
        ),
        Cause::NameTooLong => {
            "Name a place with a shorter path, and without < > : \" | ? * in its names.".to_owned()
        }
        Cause::Stale { mount } => format!(
            "The network does not answer at {}. Connect to it and run the command again.",
            shell_shown_path(mount)
        ),
        Cause::Device { mount } => format!(
            "The drive {} does not answer. Connect it, or name a place elsewhere.",
            shell_shown_path(mount)
        ),
        Cause::NoMemory => {
            "There is not enough memory. End other programs and run the command again.".to_owned()
        }
        Cause::OtherFileSystem { .. } => "Name a place on the same drive.".to_owned(),
        Cause::Exists { path } => format!("Something is there. {}", move_away(path)),
        Cause::NotFound { path } => name_what_is_there(path),
        // Windows reports none of the others.
        _ => "Correct what the system refuses, and run the command again.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_file_in_use_is_reported_and_nothing_names_a_command_of_unix() {
        let path = || PathBuf::from("store.json");
        let mount = || PathBuf::from("C:");
        let in_use = remedy_of(&Cause::InUse { path: path() });
        assert!(in_use.contains("Another program holds the file open"));
        assert!(in_use.ends_with("search for store.json"), "{in_use}");
        let denied = remedy_of(&Cause::Denied { path: path() });
        assert_eq!(denied, "See who may use it: icacls store.json");
        for cause in [
            Cause::NoSpace {
                mount: mount(),
                free: None,
            },
            Cause::OpenFiles {
                limit: None,
                maximum: None,
            },
            Cause::ReadOnly { mount: mount() },
            Cause::Stale { mount: mount() },
            Cause::Device { mount: mount() },
            Cause::NameTooLong,
            Cause::NoMemory,
        ] {
            let remedy = remedy_of(&cause);
            let words = [
                "ulimit",
                "df ",
                "chmod",
                "journalctl",
                "mount at",
                "Correct",
            ];
            assert!(!words.iter().any(|word| remedy.contains(word)), "{remedy}");
        }
    }
}
