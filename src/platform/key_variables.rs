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

/// Takes what leads to a vault's key out of the environment that a program gets. `credentials_dir` is what the variable of that name says;
/// it stays where that directory holds something of another program's, which may be this one's.
///
/// Every program that is started goes through here. It can still look for key files where they lie by default: this keeps what was
/// named for clawkeep from being handed on, and is no wall.
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
