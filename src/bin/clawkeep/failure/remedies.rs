//! Remedies for failures of a vault, a backup, a key, a file or a lock.

use std::io;
use std::path::Path;

use clawkeep::internal::domain::{REMOVE_COMMAND, move_aside_command, shell_shown_path};
use clawkeep::internal::platform::{
    Cause, FileError, KeychainError, LockError, Permissions, SharedBy, SharedStorage, Trust,
    removal_command,
};
use clawkeep::internal::sync::SyncError;
use clawkeep::internal::vault::{BackupError, KEYCHAIN, KeyProblem, ReadOnlyReason, VaultError};

use super::another::{move_away, named_by, refusal_remedy};
use super::causes::remedy_of;
use super::keychain::keychain_remedy;

pub(super) fn vault_remedy(error: &VaultError) -> Option<String> {
    Some(match error {
        VaultError::Absent { .. } => "Make one with: clawkeep init".to_owned(),
        VaultError::Damaged { .. } => {
            "Nothing was changed. Put back a copy (clawkeep backup restore FILE), or move the \
             file and its -wal away; auth-profiles.json is then imported anew."
                .to_owned()
        }
        VaultError::Foreign { .. } => "Nothing was changed. Name the vault with --vault FILE, or \
            move that file away."
            .to_owned(),
        VaultError::Newer { .. } => "Nothing was changed. Install the version of clawkeep that \
            made it, or a later one."
            .to_owned(),
        VaultError::MovedAway { .. } => "Run the command again. If --vault or CLAWKEEP_VAULT \
            names that path, name the new one; clawkeep doctor shows it."
            .to_owned(),
        VaultError::Occupied { path } => format!(
            "Nothing was changed. To see what is in it: clawkeep --vault {} models auth list",
            shell_shown_path(path)
        ),
        VaultError::SharedStorage { storage, .. } => shared_storage_remedy(storage, Place::New),
        VaultError::ReadOnly { path, reason } => read_only_remedy(path, reason),
        VaultError::NoKey { vault, problems } => key_remedy(vault, problems),
        VaultError::KeyNotKept(KeyProblem::InUse { .. }) => {
            "Nothing was changed. Name another file with CLAWKEEP_KEY_FILE.".to_owned()
        }
        VaultError::KeyNotKept(KeyProblem::InTheWay { .. }) => {
            "Nothing was changed. Name another file with CLAWKEEP_KEY_FILE; or, if no vault needs \
             that one, move it away."
                .to_owned()
        }
        VaultError::KeyNotKept(KeyProblem::NoSecret) => {
            "Nothing was changed. Run it at a terminal, or give the new passphrase with \
             --new-passphrase-file FILE."
                .to_owned()
        }
        VaultError::KeyNotKept(
            KeyProblem::Provided { .. }
            | KeyProblem::NoKeyFile { .. }
            | KeyProblem::WrongKey { .. },
        ) => "Nothing was changed. Remove that slot first, and add one anew afterwards: clawkeep \
             key remove SLOT"
            .to_owned(),
        VaultError::KeyNotKept(KeyProblem::UnknownKind { .. }) => {
            "Nothing was changed. Use the version of clawkeep that added it.".to_owned()
        }
        VaultError::KeyNotKept(KeyProblem::NotShown) => {
            "Nothing was changed. Run it where its answer can be read.".to_owned()
        }
        VaultError::KeyNotKept(problem) if is_at_limit(problem) => RAISE_LIMIT.to_owned(),
        VaultError::KeyNotKept(KeyProblem::File(error @ FileError::Io { .. })) => format!(
            "Nothing was created. {} To put the key elsewhere: CLAWKEEP_KEY_FILE names the file.",
            file_remedy(error)?
        ),
        VaultError::KeyNotKept(_) => {
            "Nothing was created. Choose another place for the key: clawkeep init --key keyfile, \
             or clawkeep key add keyfile (CLAWKEEP_KEY_FILE names the file)"
                .to_owned()
        }
        VaultError::SlotsFull => "Remove one first: clawkeep key status, clawkeep key remove \
            SLOT"
            .to_owned(),
        VaultError::NoSlot { .. } => "See which there are: clawkeep key status".to_owned(),
        VaultError::LastSlot { .. } => "Nothing was changed. Add another first: clawkeep key \
            add"
        .to_owned(),
        VaultError::LogInUse { .. } => "Restart clawkeep watch, or whatever has the vault open, \
            and run the command again."
            .to_owned(),
        VaultError::Rekeyed | VaultError::Busy { .. } | VaultError::RefreshUnderWay => "Run the \
            command again."
            .to_owned(),
        VaultError::Storage { path, .. } => match error.system_error() {
            Some(error) => file_remedy(error)?,
            None => inspect_command(path),
        },
        VaultError::File(error) => file_remedy(error)?,
        VaultError::Lock(error) => lock_remedy(error)?,
        VaultError::Unopened { .. } => "It is damaged or was modified outside clawkeep. To see \
            how to repair it: clawkeep doctor"
            .to_owned(),
        _ => return None,
    })
}

/// What repairs settings that are not valid.
pub(super) const SETTINGS_REMEDY: &str = "Correct them: clawkeep config edit; or go back to a default: \
    clawkeep config unset KEY";

/// The remedy for a file that keeps no head of its vault. It is moved, not removed: it may show
/// what happened.
pub(super) fn damaged_head(path: &Path) -> String {
    format!(
        "Verify the record against a head that you kept elsewhere: clawkeep audit verify --head \
         FILE. To accept the record as it is: {}",
        move_aside_command(path, "damaged")
    )
}

/// The two remedies for a vault on storage that another kernel may write.
pub(crate) fn shared_storage_remedy(storage: &SharedStorage, vault: Place) -> String {
    let place = match storage.by {
        SharedBy::Machines => "on a local disk",
        SharedBy::Windows => "on a disk of the Linux distribution",
        SharedBy::Wsl => "on a drive of Windows",
        SharedBy::DockerDesktop => "on a named volume",
    };
    let mount = match cfg!(windows) {
        true => "that share",
        false => "that mount",
    };
    let way = match vault {
        Place::New => format!("Name a file {place}, with --vault FILE or CLAWKEEP_VAULT."),
        Place::Existing => format!(
            "Reading works here. To write, move it to a file {place}, and use only that: clawkeep \
             backup create FILE, then --vault FILE or CLAWKEEP_VAULT."
        ),
    };
    format!(
        "{way} If only this system uses {mount}, and no other path leads to it, set \
         allow_shared_storage = true under [clawkeep] in clawkeep.toml."
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The vault was about to be created there.
    New,
    /// The vault exists there.
    Existing,
}

/// Suggests a copy, unless others write the vault: a login refreshed in the copy would be lost
/// there.
fn read_only_remedy(path: &Path, reason: &ReadOnlyReason) -> String {
    let dir = path.parent().unwrap_or(path);
    let copy = "If nothing else uses this vault, use a copy on another disk: clawkeep backup \
        create FILE, then --vault FILE.";
    match reason {
        ReadOnlyReason::Medium { mount: Some(mount) } => format!(
            "Reading works here. To write, mount {} without the option ro. {copy}",
            shell_shown_path(mount)
        ),
        ReadOnlyReason::Medium { mount: None } => format!("Reading works here. {copy}"),
        ReadOnlyReason::NoRoom { cause } => {
            format!("Reading works here. {}", remedy_of(cause))
        }
        ReadOnlyReason::Permission {
            cause: Some(cause), ..
        } if matches!(**cause, Cause::Attribute { .. }) => {
            format!("Reading works here. {}", remedy_of(cause))
        }
        ReadOnlyReason::Permission { path: place, .. } if cfg!(windows) => format!(
            "Reading works here. To write, run the command as the user who may: icacls {}. {copy}",
            shell_shown_path(place)
        ),
        ReadOnlyReason::Permission { path: place, .. } => format!(
            "Reading works here. To write, run the command as the user who may: ls -ld {} {}. \
             {copy}",
            shell_shown_path(dir),
            shell_shown_path(if place == dir { path } else { place })
        ),
        ReadOnlyReason::SharedStorage(storage) => shared_storage_remedy(storage, Place::Existing),
        _ => "Reading works here.".to_owned(),
    }
}

pub(super) fn backup_remedy(error: &BackupError) -> Option<String> {
    Some(match error {
        BackupError::Vault(VaultError::Unopened { .. }) => {
            "Nothing was changed. Use another backup, or restore this one anyway with \
             --force."
                .to_owned()
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
            "Nothing was changed. To replace this vault anyway: --force".to_owned()
        }
        BackupError::Itself { .. } => "Name a backup of it.".to_owned(),
        BackupError::NoVaultThere { .. } => {
            "Nothing was changed. If this is what remains of the vault: --force. The damaged file \
             is kept beside it."
                .to_owned()
        }
        BackupError::HasLog { .. } => {
            "Nothing was changed. Make a backup with: clawkeep backup create FILE".to_owned()
        }
        _ => return None,
    })
}

/// The remedy when a limit prevents access to the keychain.
const RAISE_LIMIT: &str = "Raise that limit where clawkeep is started: ulimit -u, ulimit -n \
    (TasksMax=, LimitNOFILE= in a unit)";

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
        return "Compare the group that is named above with your written copy, and enter the code again.".to_owned();
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
            "Give the right one. clawkeep creates no slot that costs so much: somebody else added \
             it, or another version did. Open the vault with another of its keys, and remove it: \
             clawkeep key remove {slot}"
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
        return "The vault was modified outside clawkeep. Use another of its keys, or put back a \
            backup."
            .to_owned();
    }
    if any(|problem| matches!(problem, KeyProblem::NoSecret)) {
        let has_file = any(|problem| matches!(problem, KeyProblem::NoKeyFile { .. }));
        let also = match has_file {
            true => "It has another key slot, for a passphrase or recovery code. ",
            false => "",
        };
        return format!(
            "{also}Run it at a terminal, or give the passphrase or a recovery code with \
             --passphrase-file FILE (or CLAWKEEP_PASSPHRASE_FILE). A key file or keychain of the \
             vault works too."
        );
    }
    if any(|problem| match problem {
        KeyProblem::NotInKeychain { .. } => true,
        KeyProblem::WrongKey { place } => place == KEYCHAIN,
        _ => false,
    }) {
        return "Unlock the keychain that holds it, or put its item back from a copy. No new key \
            can open this vault."
            .to_owned();
    }
    if let Some(error) = problems.iter().find_map(|problem| match problem {
        KeyProblem::Keychain(error) => Some(error),
        _ => None,
    }) {
        return keychain_remedy(error);
    }
    format!(
        "Put the key file {vault}.key back from a copy, or name it with CLAWKEEP_KEY_FILE. No new \
         key can open this vault{}.",
        match problems {
            [KeyProblem::NoKeyFile { .. } | KeyProblem::WrongKey { .. }] =>
                ", and it has no other key slot",
            _ => "",
        }
    )
}

/// Whether SQLite keeps what belongs to a vault under such a name beside it.
fn is_journal(path: &Path) -> bool {
    let name = path.to_string_lossy();
    ["-wal", "-shm", "-journal"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

pub(crate) fn file_remedy(error: &FileError) -> Option<String> {
    Some(match error {
        FileError::Untrusted(refusal) => refusal_remedy(refusal),
        FileError::Symlink { path } if is_journal(path) => format!(
            "See what it leads to. Nothing was changed. {}",
            move_away(path)
        ),
        FileError::Symlink { path } => {
            format!("Name the file itself instead of {}.", path.display())
        }
        FileError::NotRegular { path } | FileError::TooLarge { path, .. } => {
            format!("Nothing was changed. {}", move_away(path))
        }
        FileError::MountedFile { path } => {
            let path = path.to_owned();
            remedy_of(&Cause::MountedFile { path })
        }
        FileError::Io { path, source, .. }
            if source.kind() == io::ErrorKind::PermissionDenied && closed_home(path).is_some() =>
        {
            let home = closed_home(path)?;
            format!(
                "The home directory is {}, where this user can make no files. Name one of yours: \
                 HOME=DIR clawkeep …",
                shell_shown_path(home)
            )
        }
        FileError::NoRuntimeDir { .. } => {
            "Set XDG_RUNTIME_DIR to a directory of yours in memory, or choose another \
             clawkeep.export in clawkeep.toml: \"file\" or \"off\"."
                .to_owned()
        }
        FileError::Io { path, source, .. } => match Cause::of(source, path) {
            Some(cause) => remedy_of(&cause),
            None => inspect_command(path),
        },
        _ => return None,
    })
}

/// The remedy when the home directory is missing or another user's, as in a container with a user
/// without an account. Not for a path that the user named.
fn closed_home(path: &Path) -> Option<&'static Path> {
    let home = Trust::current().home()?;
    let is_ours = Permissions::of(home).is_some_and(|found| found.is_dir && found.is_ours);
    (path.starts_with(home) && !is_ours && named_by(path).is_none()).then_some(home)
}

/// The remedy for an unknown cause: how to examine it.
fn inspect_command(path: &Path) -> String {
    let dir = shell_shown_path(path.parent().unwrap_or(path));
    match cfg!(windows) {
        true => format!("See what is there: dir {dir}"),
        false => format!("See what is there: ls -la {dir}; df -h {dir}"),
    }
}

/// The remedy for a sync that the system refused; `None` for other failures.
pub(super) fn system_remedy(error: &SyncError) -> Option<String> {
    match error {
        SyncError::Vault(error) => file_remedy(error.system_error()?),
        SyncError::File(error) | SyncError::Lock(LockError::File(error)) => file_remedy(error),
        _ => None,
    }
}

pub(super) fn lock_remedy(error: &LockError) -> Option<String> {
    match error {
        LockError::Busy { path } if path.is_dir() => Some(
            "Run the command again. If no program is running that uses it, remove it.".to_owned(),
        ),
        // This lock is our own, and freed with its holder: removing it would let two processes in.
        LockError::Busy { .. } => Some("Run the command again.".to_owned()),
        LockError::Held { path, pid } => Some(format!(
            "Run the command again. If process {pid} does not run, here or in a container: \
             {REMOVE_COMMAND} {}",
            shell_shown_path(path)
        )),
        LockError::Unusable { path, .. } => Some(format!(
            "Nothing was changed. If no gateway that made it is running: {} {}",
            removal_command(path),
            shell_shown_path(path)
        )),
        LockError::File(error) => file_remedy(error),
        _ => None,
    }
}

/// What to do about a file that `import` does not understand.
pub(super) fn import_remedy(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ends = [".env", ".yml", ".yaml", ".toml", ".txt", "keys.json"];
    let in_openclaw = path.parent().is_some_and(|dir| dir.ends_with(".openclaw"));
    if in_openclaw || name.starts_with("openclaw") {
        return "Nothing was changed. To import what is in OpenClaw's own files: clawkeep connect \
                openclaw"
            .to_owned();
    }
    let is_list_of_keys = ends.iter().any(|end| name.ends_with(end)) || name.starts_with(".env");
    match is_list_of_keys {
        true => "Nothing was changed. Add each key of it by itself, with the name of its \
                 provider; the command asks for the key: clawkeep add PROVIDER"
            .to_owned(),
        false => "Nothing was changed. Name another file, or fix this one.".to_owned(),
    }
}
