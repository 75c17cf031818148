//! What to do next, where a vault, a backup, a key, a file or a lock is what failed.

use std::path::Path;

use clawkeep::platform::{Cause, FileError, KeychainError, LockError};
use clawkeep::sync::SyncError;
use clawkeep::vault::{BackupError, KEYCHAIN, KeyProblem, VaultError};

use super::causes::remedy_of;

pub(super) fn vault_remedy(error: &VaultError) -> Option<String> {
    Some(match error {
        VaultError::Absent { .. } => "Make one with: clawkeep init".to_owned(),
        VaultError::Damaged { .. } => {
            "Nothing was changed. Put back a copy (clawkeep backup restore FILE), or move the file and its -wal away; auth-profiles.json is then imported anew."
                .to_owned()
        }
        VaultError::Foreign { .. } => "Nothing was changed. Name the vault with --vault FILE, or move that file away.".to_owned(),
        VaultError::Newer { .. } => "Nothing was changed. Install the version of clawkeep that made it, or a later one.".to_owned(),
        VaultError::MovedAway { .. } => "Run the command again. If --vault or CLAWKEEP_VAULT names that path, name the new one; clawkeep doctor shows it.".to_owned(),
        VaultError::Occupied { path } => format!(
            "Nothing was changed. Look at it with: clawkeep --vault {} models auth list",
            quoted(path)
        ),
        VaultError::NetworkFileSystem { .. } => "Put it on a local disk, with --vault FILE or CLAWKEEP_VAULT.".to_owned(),
        VaultError::NoKey { vault, problems } => key_remedy(vault, problems),
        VaultError::KeyNotKept(KeyProblem::InUse { .. }) => {
            "Nothing was changed. Name another file with CLAWKEEP_KEY_FILE.".to_owned()
        }
        VaultError::KeyNotKept(KeyProblem::InTheWay { .. }) => {
            "Nothing was changed. Name another file with CLAWKEEP_KEY_FILE; or, if no vault needs that one, move it away.".to_owned()
        }
        VaultError::KeyNotKept(KeyProblem::NoSecret) => {
            "Nothing was changed. Run it at a terminal, or give the new passphrase with --new-passphrase-file FILE.".to_owned()
        }
        VaultError::KeyNotKept(
            KeyProblem::Provided { .. } | KeyProblem::NoKeyFile { .. } | KeyProblem::WrongKey { .. },
        ) => {
            "Nothing was changed. Remove that slot first, and add one anew afterwards: clawkeep key remove SLOT".to_owned()
        }
        VaultError::KeyNotKept(KeyProblem::UnknownKind { .. }) => {
            "Nothing was changed. Use the version of clawkeep that added it.".to_owned()
        }
        VaultError::KeyNotKept(KeyProblem::NotShown) => {
            "Nothing was changed. Run it where its answer can be read.".to_owned()
        }
        VaultError::KeyNotKept(problem) if is_at_limit(problem) => RAISE_LIMIT.to_owned(),
        VaultError::KeyNotKept(KeyProblem::File(error @ FileError::Io { .. })) => format!(
            "Nothing was made. {} To put the key elsewhere: CLAWKEEP_KEY_FILE names the file.",
            file_remedy(error)?
        ),
        VaultError::KeyNotKept(_) => {
            "Nothing was made. Choose another place for the key: clawkeep init --key keyfile, or clawkeep key add keyfile (CLAWKEEP_KEY_FILE names the file)".to_owned()
        }
        VaultError::SlotsFull => "Remove one first: clawkeep key status, clawkeep key remove SLOT".to_owned(),
        VaultError::NoSlot { .. } => "See which there are: clawkeep key status".to_owned(),
        VaultError::LastSlot { .. } => "Nothing was changed. Add another first: clawkeep key add".to_owned(),
        VaultError::Rekeyed | VaultError::Busy { .. } | VaultError::RefreshUnderWay => "Run the command again.".to_owned(),
        VaultError::Storage { path, .. } => match error.system_error() {
            Some(error) => file_remedy(error)?,
            None => look_at(path),
        },
        VaultError::File(error) => file_remedy(error)?,
        VaultError::Lock(error) => lock_remedy(error)?,
        VaultError::Unopened { .. } => "It is damaged or was modified outside clawkeep. To see how to repair it: clawkeep doctor".to_owned(),
        _ => return None,
    })
}

pub(super) fn backup_remedy(error: &BackupError) -> Option<String> {
    Some(match error {
        BackupError::Vault(VaultError::Unopened { .. }) => {
            "Nothing was changed. Use another backup, or put this one back all the same with --force.".to_owned()
        }
        BackupError::Vault(VaultError::Damaged { .. } | VaultError::Foreign { .. }) => {
            "Nothing was changed. Use another backup.".to_owned()
        }
        BackupError::Vault(error) => vault_remedy(error)?,
        BackupError::File(FileError::NotRegular { .. } | FileError::TooLarge { .. }) => {
            "Nothing was changed. Name a file that backup create wrote.".to_owned()
        }
        BackupError::File(error) => file_remedy(error)?,
        BackupError::Chain(_) => {
            "Nothing was changed. Keep it as evidence, and use another backup.".to_owned()
        }
        BackupError::OtherVault { .. } => {
            "Nothing was changed. To put it in this one's place all the same: --force".to_owned()
        }
        BackupError::Itself { .. } => "Name a backup of it.".to_owned(),
        BackupError::NoVaultThere { .. } => {
            "Nothing was changed. If it is what was left of the vault: --force. It is kept beside it.".to_owned()
        }
        BackupError::HasLog { .. } => {
            "Nothing was changed. Make a backup with: clawkeep backup create FILE".to_owned()
        }
        _ => return None,
    })
}

/// Where a limit keeps the keychain from being asked.
const RAISE_LIMIT: &str = "Raise that limit where clawkeep is started: ulimit -u, ulimit -n (TasksMax=, LimitNOFILE= in a unit)";

fn is_at_limit(problem: &KeyProblem) -> bool {
    matches!(
        problem,
        KeyProblem::Keychain(KeychainError::LimitReached(_))
    )
}

fn key_remedy(vault: &str, problems: &[KeyProblem]) -> String {
    let any = |test: fn(&KeyProblem) -> bool| problems.iter().any(test);
    if let Some(KeyProblem::File(error)) = problems
        .iter()
        .find(|problem| matches!(problem, KeyProblem::File(_)))
        && let Some(remedy) = file_remedy(error)
    {
        return remedy;
    }
    if any(is_at_limit) {
        return RAISE_LIMIT.to_owned();
    }
    if any(|problem| matches!(problem, KeyProblem::RecoveryCode(_))) {
        return "Look at that group on paper, and give the code once more.".to_owned();
    }
    if any(|problem| matches!(problem, KeyProblem::WrongSecret)) {
        return "Give the right one, or any other key that the vault has: clawkeep key status"
            .to_owned();
    }
    if let Some(slot) = problems.iter().find_map(|problem| match problem {
        KeyProblem::TooCostly { slots } => slots.last(),
        _ => None,
    }) {
        return format!(
            "Give the right one. clawkeep makes no slot that costs so much: it was planted, or is of another version. Open the vault with another of its keys, and remove it: clawkeep key remove {slot}"
        );
    }
    if any(|problem| matches!(problem, KeyProblem::NoSuchSlot)) {
        return "Leave --passphrase-file out. To give the vault one: clawkeep key add passphrase"
            .to_owned();
    }
    if any(|problem| matches!(problem, KeyProblem::NoMemory { .. })) {
        return "Run it where there is more memory, or use another of the vault's keys.".to_owned();
    }
    if any(|problem| {
        matches!(
            problem,
            KeyProblem::BadParameters { .. } | KeyProblem::AlteredSlot { .. }
        )
    }) {
        return "The vault was modified outside clawkeep. Use another of its keys, or put back a backup.".to_owned();
    }
    if any(|problem| matches!(problem, KeyProblem::NoSecret)) {
        return "Run it at a terminal, or give the passphrase or a recovery code with --passphrase-file FILE (or CLAWKEEP_PASSPHRASE_FILE). A key file or keychain that the vault has will do too."
            .to_owned();
    }
    if any(|problem| match problem {
        KeyProblem::NotInKeychain { .. } => true,
        KeyProblem::WrongKey { place } => place == KEYCHAIN,
        _ => false,
    }) {
        return "Unlock the keychain that holds it, or put its item back from a copy. No new key can open this vault."
            .to_owned();
    }
    if any(|problem| matches!(problem, KeyProblem::Keychain(_))) {
        return "Unlock the keychain (log in to the desktop session that holds it) and run the command again.".to_owned();
    }
    format!(
        "Put the key file {vault}.key back from a copy, or name it with CLAWKEEP_KEY_FILE. No new key can open this vault."
    )
}

pub(crate) fn file_remedy(error: &FileError) -> Option<String> {
    Some(match error {
        FileError::Untrusted(refusal) => refusal.remedy(),
        FileError::Symlink { path } => {
            format!("Name the file itself instead of {}.", path.display())
        }
        FileError::NotRegular { path } | FileError::TooLarge { path, .. } => {
            format!(
                "Nothing was changed. Move it away: mv {0} {0}.aside",
                quoted(path)
            )
        }
        FileError::MountedFile { path } => {
            let path = path.to_owned();
            remedy_of(&Cause::MountedFile { path })
        }
        FileError::NoRuntimeDir { .. } => {
            "Set XDG_RUNTIME_DIR to a directory of yours in memory, or choose another clawkeep.export in clawkeep.toml: \"file\" or \"off\"."
                .to_owned()
        }
        FileError::Io { path, source, .. } => match Cause::of(source, path) {
            Some(cause) => remedy_of(&cause),
            None => look_at(path),
        },
        _ => return None,
    })
}

/// Where no cause is known: what people can find out themselves.
fn look_at(path: &Path) -> String {
    let dir = path.parent().unwrap_or(path);
    format!("See what is there: ls -la {0}; df -h {0}", quoted(dir))
}

/// What to do where a sync failed for what the system refuses; `None` where it did not.
pub(super) fn system_remedy(error: &SyncError) -> Option<String> {
    match error {
        SyncError::Vault(error) => file_remedy(error.system_error()?),
        SyncError::File(error) | SyncError::Lock(LockError::File(error)) => file_remedy(error),
        _ => None,
    }
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-~@:+,=".contains(c);
    if text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

pub(super) fn lock_remedy(error: &LockError) -> Option<String> {
    match error {
        LockError::Busy { path } if path.is_dir() => Some(
            "Run the command again. If no program is running that uses it, remove it.".to_owned(),
        ),
        // Our own, which the system frees with its holder: removing it would let two in.
        LockError::Busy { .. } => Some("Run the command again.".to_owned()),
        LockError::Held { path, pid } => Some(format!(
            "Run the command again. If process {pid} does not run, here or in a container: rm {}",
            quoted(path)
        )),
        LockError::Unusable { path, .. } => Some(format!(
            "Nothing was changed. If no gateway that made it is running: rm {}",
            quoted(path)
        )),
        LockError::File(error) => file_remedy(error),
        _ => None,
    }
}
