//! What in the environment leads to a vault's key, and is therefore no other program's business.

use std::path::Path;
use std::process::Command;

/// The environment variable that names the key file.
pub const KEY_FILE_VARIABLE: &str = "CLAWKEEP_KEY_FILE";
/// Names the file with a passphrase or recovery code.
pub const PASSPHRASE_FILE_VARIABLE: &str = "CLAWKEEP_PASSPHRASE_FILE";
/// Names the directory of a service's credentials. Source: systemd.exec(5).
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// Our files in that directory: a key, and a passphrase or recovery code.
pub const OWN_CREDENTIALS: [&str; 2] = ["clawkeep.key", "clawkeep.passphrase"];

/// Removes the variables that lead to a vault's key from the environment of a program.
/// `credentials_dir` is the value of the variable of that name; it stays if that directory holds a
/// file of another program, which may be this one's.
///
/// Every program that clawkeep starts gets this treatment. It can still search the default places
/// for key files: this only keeps what was named for clawkeep from being handed on, and is no
/// barrier.
pub fn withhold_key_variables(command: &mut Command, credentials_dir: Option<&Path>) {
    for name in [KEY_FILE_VARIABLE, PASSPHRASE_FILE_VARIABLE] {
        command.env_remove(name);
    }
    if credentials_dir.is_some_and(holds_nothing_but_ours) {
        command.env_remove(CREDENTIALS_VARIABLE);
    }
}

fn holds_nothing_but_ours(dir: &Path) -> bool {
    let is_ours = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            OWN_CREDENTIALS
                .iter()
                .any(|ours| entry.file_name() == *ours)
        })
    };
    std::fs::read_dir(dir).is_ok_and(|entries| {
        let mut entries = entries.map(is_ours).peekable();
        entries.peek().is_some() && entries.all(|is_ours| is_ours)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_credentials_is_withheld_where_all_in_it_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let is_withheld = || {
            let mut command = Command::new("true");
            withhold_key_variables(&mut command, Some(dir.path()));
            command
                .get_envs()
                .any(|(name, value)| name == CREDENTIALS_VARIABLE && value.is_none())
        };
        assert!(!is_withheld(), "empty");
        std::fs::write(dir.path().join("clawkeep.key"), "k").unwrap();
        assert!(is_withheld());
        std::fs::write(dir.path().join("tls.pem"), "p").unwrap();
        assert!(!is_withheld());
    }
}
