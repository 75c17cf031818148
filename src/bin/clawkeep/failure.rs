//! Everything that can end a command, each with its exit status and its remedy, in one place.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use crate::ui::one_line;
use clawkeep::audit::{ChainFault, UnknownKind};
use clawkeep::config::{ConfigEditError, ConfigError, OwnSettingsError, PathError};
use clawkeep::platform::{FileError, LockError};
use clawkeep::sync::SyncError;
use clawkeep::sync::import::ImportFault;
use clawkeep::vault::{BackupError, KEYCHAIN, KeyProblem, VaultError};

/// Exit statuses. Source: `spec/cli.md`.
const FAILED: u8 = 1;
const USAGE: u8 = 64;
const DAMAGED: u8 = 65;
const BUSY: u8 = 75;
const NO_KEY: u8 = 77;

/// What ended a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Usage(clap::Error),
    #[error("{0}")]
    BadArgument(String),
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    OwnSettings(#[from] OwnSettingsError),
    #[error(transparent)]
    Sync(#[from] SyncError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Backup(BackupError),
    /// Rows of a backup that do not open.
    #[error("{} in the backup {} not open", rows.join(", "), if rows.len() == 1 { "does" } else { "do" })]
    BackupRows { rows: Vec<String> },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot write the answer")]
    Output(#[source] io::Error),
    #[error("cannot read from stdin")]
    Input(#[source] io::Error),
    #[error("{} cannot be imported: {fault}", path.display())]
    Import { path: PathBuf, fault: ImportFault },
    /// What was done in the vault; the configuration does not say so.
    #[error("{done}, but the configuration could not be changed")]
    ConfigEdit {
        done: String,
        source: ConfigEditError,
    },
    /// A file that was named to be imported.
    #[error(transparent)]
    ImportFile(FileError),
    /// A request that makes no sense for what is stored.
    #[error("{what}")]
    Refused { what: String, next: String },
    /// Rows that do not open; the rest was shown.
    #[error("{} in the vault {} not open; everything else is shown", rows.join(", "), if rows.len() == 1 { "does" } else { "do" })]
    Unopened { rows: Vec<String> },
    /// The answer was given; the store is behind it.
    #[error(
        "the vault has everything, but the store could not be written; the next command tries again"
    )]
    NotWritten(#[source] FileError),
    /// The answer was given; no store was written or removed.
    #[error("the vault has everything, but whether there is to be a store is not known")]
    Undecided(#[source] OwnSettingsError),
    /// The answer was given; a store that is not to be there still is.
    #[error(
        "the vault has everything, but the store could not be removed; the next command tries again"
    )]
    NotRemoved(#[source] FileError),
    #[error("the record does not hold: {0}")]
    Chain(ChainFault),
    #[error("the kept head {} is not a head", path.display())]
    BadHead { path: PathBuf },
    /// A record that was exported is not the one that is there.
    #[error("{} is not what is in the record: {how}", path.display())]
    ExportDiffers { path: PathBuf, how: String },
    /// `exec` could not run the program.
    #[error("cannot run {program}")]
    NotRun {
        program: String,
        status: u8,
        source: io::Error,
    },
    /// Another process watches the vault.
    #[error("{what}")]
    Watched { what: String },
    /// `--check` found something: the report has said what.
    #[error("check failed")]
    Check(u8),
    /// The command has printed its finding as its answer.
    #[error("damaged")]
    SaidDamaged,
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}

/// An error and what caused it, each once: some say their cause themselves.
pub(crate) fn chain(error: Option<&(dyn Error + 'static)>) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut next = error;
    while let Some(error) = next {
        next = error.source();
        let said = error.to_string();
        if !told.iter().any(|earlier| earlier.contains(&said)) {
            told.push(said);
        }
    }
    told
}

impl Failure {
    /// The exit status.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(error) if !error.use_stderr() => 0,
            Self::Usage(_) | Self::BadArgument(_) | Self::Kind(_) => USAGE,
            Self::Check(status) | Self::NotRun { status, .. } => *status,
            Self::Import {
                fault: ImportFault::LoggedOut(_),
                ..
            } => FAILED,
            Self::Backup(error) => match error {
                BackupError::Vault(error) => of_vault(error),
                BackupError::File(error) => of_file(error),
                BackupError::OtherVault { .. } | BackupError::Itself { .. } => FAILED,
                _ => DAMAGED,
            },
            Self::Unopened { .. }
            | Self::BackupRows { .. }
            | Self::Chain(_)
            | Self::BadHead { .. }
            | Self::ExportDiffers { .. }
            | Self::Import { .. }
            | Self::SaidDamaged => DAMAGED,
            Self::Config(ConfigError::File(error))
            | Self::OwnSettings(OwnSettingsError::File(error))
            | Self::Undecided(OwnSettingsError::File(error)) => of_file(error),
            Self::OwnSettings(_) | Self::Undecided(_) => DAMAGED,
            Self::Watched { .. } => BUSY,
            Self::Config(ConfigError::AgentDirs { .. }) => FAILED,
            Self::Config(_) => DAMAGED,
            Self::Path(_) | Self::Output(_) | Self::Input(_) | Self::Refused { .. } => FAILED,
            Self::ConfigEdit { source, .. } => match source {
                ConfigEditError::Unreadable(ConfigError::File(error))
                | ConfigEditError::File(error) => of_file(error),
                ConfigEditError::Unreadable(_) | ConfigEditError::Unsure { .. } => DAMAGED,
                ConfigEditError::Contended { .. } => BUSY,
                ConfigEditError::Lock(error) => of_lock(error),
                _ => FAILED,
            },
            Self::File(error)
            | Self::NotWritten(error)
            | Self::NotRemoved(error)
            | Self::ImportFile(error) => of_file(error),
            Self::Vault(error) => of_vault(error),
            Self::Sync(error) => match error {
                SyncError::Vault(error) => of_vault(error),
                SyncError::File(error) => of_file(error),
                SyncError::Lock(error) => of_lock(error),
                SyncError::DamagedStore { .. } | SyncError::Unopened { .. } => DAMAGED,
                SyncError::Contended { .. }
                | SyncError::RefreshBusy { .. }
                | SyncError::SpentMeanwhile { .. } => BUSY,
                _ => FAILED,
            },
        }
    }

    /// Whether it is to be had later.
    pub(crate) fn is_busy(&self) -> bool {
        self.exit_status() == BUSY
    }

    /// Whether stdout has said it already.
    pub(crate) fn is_said(&self) -> bool {
        matches!(self, Self::Check(_) | Self::SaidDamaged)
    }

    /// What failed, and why, a line each: at most two.
    pub(crate) fn lines(&self) -> Vec<String> {
        let causes = chain(self.source());
        let mut lines = vec![one_line(&self.to_string())];
        if !causes.is_empty() {
            lines.push(one_line(&format!("  because: {}", causes.join(": "))));
        }
        lines
    }

    /// What a person can do about what a process that goes on by itself met.
    pub(crate) fn remedy_unattended(&self) -> Option<String> {
        match self {
            _ if self.is_busy() => Some("It is tried again.".to_owned()),
            Self::Vault(VaultError::Absent { .. }) => Some(
                "It is waited for, and not made anew: put it back, or end this and begin without it"
                    .to_owned(),
            ),
            Self::Undecided(_) | Self::OwnSettings(_) | Self::Config(_) => {
                Some("Mend the file.".to_owned())
            }
            _ => self.remedy(),
        }
    }

    /// What to do next.
    pub(crate) fn remedy(&self) -> Option<String> {
        let advice = match self {
            Self::Vault(error) | Self::Sync(SyncError::Vault(error)) => vault_remedy(error)?,
            Self::File(error)
            | Self::NotWritten(error)
            | Self::NotRemoved(error)
            | Self::Sync(SyncError::File(error)) => {
                file_remedy(error)?
            }
            Self::Sync(SyncError::Lock(error)) => lock_remedy(error)?,
            Self::Backup(error) => backup_remedy(error)?,
            Self::BackupRows { .. } => {
                "Use another backup. To put this one back all the same: clawkeep backup restore FILE --force".to_owned()
            }
            Self::Refused { next, .. } => next.clone(),
            Self::Sync(SyncError::Contended { .. }) => {
                "Run the command again once the other program is done.".to_owned()
            }
            Self::Sync(SyncError::RefreshBusy { .. } | SyncError::SpentMeanwhile { .. }) => {
                "Run the command again.".to_owned()
            }
            Self::Sync(SyncError::Rescued { .. }) => {
                "Make room on the disk and run any command: it takes them in. Do not remove that file.".to_owned()
            }
            Self::Sync(SyncError::TokensLost { .. }) => {
                "Make room on the disk, then log in again: the old tokens may be refused.".to_owned()
            }
            Self::Sync(SyncError::DamagedStore { path, .. }) => {
                format!(
                    "Mend the file, or move it away to start without it: mv {0} {0}.damaged",
                    quoted(path)
                )
            }
            Self::Sync(SyncError::Unopened { .. }) | Self::Unopened { .. } => {
                "It was changed past clawkeep. The store file still has its copy; put back a backup of the vault, or move it away to import the file anew.".to_owned()
            }
            Self::Config(ConfigError::File(_) | ConfigError::AgentDirs { .. }) => {
                "Check what is there and its permissions.".to_owned()
            }
            Self::OwnSettings(OwnSettingsError::File(error))
            | Self::Undecided(OwnSettingsError::File(error)) => file_remedy(error)?,
            Self::Undecided(_) => "Mend the file and run the command again.".to_owned(),
            Self::Config(_) | Self::OwnSettings(_) => {
                "Mend the file; nothing was changed.".to_owned()
            }
            Self::ConfigEdit { source, .. } => match source {
                ConfigEditError::Unsure { by_hand, .. } => {
                    format!("Change it by hand: {by_hand}")
                }
                ConfigEditError::File(error) => file_remedy(error)?,
                ConfigEditError::Lock(error) => lock_remedy(error)?,
                _ => "Run the command again once that is mended.".to_owned(),
            },
            Self::ImportFile(_) => "Nothing was changed. Name another file.".to_owned(),
            Self::Import { .. } => "Nothing was changed. Name another file, or mend this one.".to_owned(),
            Self::ExportDiffers { .. } => {
                "The record itself holds, so that file was changed after it was written, or is of another time.".to_owned()
            }
            Self::Chain(ChainFault::ForeignHead { .. }) => {
                "Give a head of this vault, with --head FILE: one that `clawkeep audit head` printed.".to_owned()
            }
            Self::Chain(_) => {
                "Keep this file as evidence and compare it with a backup; newer events cannot be trusted either.".to_owned()
            }
            Self::Watched { .. } => "One is enough. See what it does with: clawkeep monitor status".to_owned(),
            Self::BadHead { .. } => "Give a file that `clawkeep audit head` printed, with --head FILE.".to_owned(),
            Self::BadArgument(_) | Self::Kind(_) => format!("See: {} --help", crate::args::command_words()),
            _ => return None,
        };
        Some(one_line(&format!("  {advice}")))
    }
}

fn of_file(error: &FileError) -> u8 {
    if error.is_bad_state() {
        DAMAGED
    } else {
        FAILED
    }
}

fn of_lock(error: &LockError) -> u8 {
    match error {
        LockError::File(error) => of_file(error),
        _ => BUSY,
    }
}

fn of_vault(error: &VaultError) -> u8 {
    match error {
        VaultError::KeyNotKept(
            KeyProblem::NotShown
            | KeyProblem::InTheWay { .. }
            | KeyProblem::InUse { .. }
            | KeyProblem::Provided { .. },
        ) => FAILED,
        VaultError::NoKey { .. } | VaultError::KeyNotKept(_) => NO_KEY,
        VaultError::Busy { .. } | VaultError::Rekeyed | VaultError::RefreshUnderWay => BUSY,
        VaultError::Damaged { .. }
        | VaultError::Foreign { .. }
        | VaultError::Newer { .. }
        | VaultError::Unopened { .. } => DAMAGED,
        VaultError::File(error) => of_file(error),
        VaultError::Lock(error) => of_lock(error),
        _ => FAILED,
    }
}

fn vault_remedy(error: &VaultError) -> Option<String> {
    Some(match error {
        VaultError::Absent { .. } => "Make one with: clawkeep init".to_owned(),
        VaultError::Damaged { .. } => {
            "Nothing was changed. Put back a copy (clawkeep backup restore FILE), or move the file and its -wal away; auth-profiles.json is then imported anew."
                .to_owned()
        }
        VaultError::Foreign { .. } => "Nothing was changed. Name the vault with --vault FILE, or move that file away.".to_owned(),
        VaultError::Newer { .. } => "Nothing was changed. Install the version of clawkeep that made it, or a later one.".to_owned(),
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
        VaultError::KeyNotKept(_) => {
            "Nothing was made. Choose another place for the key: clawkeep init --key keyfile, or clawkeep key add keyfile (CLAWKEEP_KEY_FILE names the file)".to_owned()
        }
        VaultError::SlotsFull => "Remove one first: clawkeep key status, clawkeep key remove SLOT".to_owned(),
        VaultError::NoSlot { .. } => "See which there are: clawkeep key status".to_owned(),
        VaultError::LastSlot { .. } => "Nothing was changed. Add another first: clawkeep key add".to_owned(),
        VaultError::Rekeyed | VaultError::Busy { .. } | VaultError::RefreshUnderWay => "Run the command again.".to_owned(),
        VaultError::Storage { .. } => "Check that the disk has room and that the directory can be written.".to_owned(),
        VaultError::File(error) => file_remedy(error)?,
        VaultError::Lock(error) => lock_remedy(error)?,
        VaultError::Unopened { .. } => "It was changed past clawkeep. Put back a backup of the vault.".to_owned(),
        _ => return None,
    })
}

fn backup_remedy(error: &BackupError) -> Option<String> {
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

fn key_remedy(vault: &str, problems: &[KeyProblem]) -> String {
    let any = |test: fn(&KeyProblem) -> bool| problems.iter().any(test);
    if let Some(KeyProblem::File(error)) = problems
        .iter()
        .find(|problem| matches!(problem, KeyProblem::File(_)))
        && let Some(remedy) = file_remedy(error)
    {
        return remedy;
    }
    if any(|problem| matches!(problem, KeyProblem::RecoveryCode(_))) {
        return "Look at that group on paper, and give the code once more.".to_owned();
    }
    if any(|problem| matches!(problem, KeyProblem::WrongSecret)) {
        return "Give the right one, or any other key that the vault has: clawkeep key status"
            .to_owned();
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
        return "The vault was changed past clawkeep. Use another of its keys, or put back a backup.".to_owned();
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

fn file_remedy(error: &FileError) -> Option<String> {
    Some(match error {
        FileError::TooOpen {
            path,
            remedy: Some(mode),
            ..
        } => {
            format!("Mend it with: chmod {mode} {}", quoted(path))
        }
        FileError::TooOpen { .. } => {
            "That directory is meant for everybody; use one of your own.".to_owned()
        }
        FileError::ForeignOwner { owner, .. } => {
            format!("Run the command as the owner: sudo -u '#{owner}' clawkeep …")
        }
        FileError::Symlink { path } => {
            format!("Name the file itself instead of {}.", path.display())
        }
        FileError::NotRegular { path } | FileError::TooLarge { path, .. } => {
            format!(
                "Nothing was changed. Move it away: mv {0} {0}.aside",
                quoted(path)
            )
        }
        FileError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            "Name a file that is there, in a directory that is there.".to_owned()
        }
        FileError::Io { path, source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            let dir = path.parent().unwrap_or(path);
            format!(
                "See who owns it and who may use it: ls -ld {} {}",
                quoted(dir),
                quoted(path)
            )
        }
        FileError::NoRuntimeDir { .. } => {
            "Set XDG_RUNTIME_DIR to a directory of yours in memory, or choose another clawkeep.export in clawkeep.toml: \"file\" or \"off\"."
                .to_owned()
        }
        FileError::Io { .. } => {
            "Check that the disk has room and that the directory can be written.".to_owned()
        }
        _ => return None,
    })
}

/// A path as a shell takes it.
fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-~@:+,=".contains(c);
    if text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn lock_remedy(error: &LockError) -> Option<String> {
    match error {
        LockError::Busy { path } if path.is_dir() => Some(
            "Run the command again. If no program is running that uses it, remove it.".to_owned(),
        ),
        // Our own, which the system frees with its holder: removing it would let two in.
        LockError::Busy { .. } => Some("Run the command again.".to_owned()),
        LockError::File(error) => file_remedy(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clawkeep::domain::Seq;

    #[test]
    fn exit_statuses_are_those_of_the_table() {
        let path = PathBuf::from("/v");
        let io = || io::Error::from(io::ErrorKind::StorageFull);
        let busy = || LockError::Busy { path: "/l".into() };
        let cases: Vec<(Failure, u8)> = vec![
            (Failure::BadArgument("x".into()), 64),
            (
                Failure::Refused {
                    what: "x".into(),
                    next: "y".into(),
                },
                1,
            ),
            (Failure::Check(2), 2),
            (Failure::Check(1), 1),
            (Failure::Output(io()), 1),
            (Failure::Path(PathError::NoHome), 1),
            (
                VaultError::NoKey {
                    vault: "v".into(),
                    problems: vec![],
                }
                .into(),
                77,
            ),
            (
                VaultError::Damaged {
                    path: path.clone(),
                    what: "x".into(),
                }
                .into(),
                65,
            ),
            (VaultError::Foreign { path: path.clone() }.into(), 65),
            (
                VaultError::Newer {
                    path: path.clone(),
                    found: 2,
                    known: 1,
                }
                .into(),
                65,
            ),
            (VaultError::Busy { path: path.clone() }.into(), 75),
            (VaultError::Absent { path: path.clone() }.into(), 1),
            (
                VaultError::Storage {
                    action: "write",
                    path: path.clone(),
                    source: Box::new(io()),
                }
                .into(),
                1,
            ),
            (VaultError::Lock(busy()).into(), 75),
            (SyncError::Lock(busy()).into(), 75),
            (SyncError::Vault(VaultError::Rekeyed).into(), 75),
            (
                SyncError::RefreshBusy {
                    profile: clawkeep::domain::ProfileId::new("p:a"),
                }
                .into(),
                75,
            ),
            (
                SyncError::Rescued {
                    profile: clawkeep::domain::ProfileId::new("p:a"),
                    path: path.clone(),
                    source: Box::new(SyncError::Lock(busy())),
                }
                .into(),
                1,
            ),
            (SyncError::Unopened { row: "r".into() }.into(), 65),
            (FileError::NotRegular { path: path.clone() }.into(), 65),
            (
                FileError::Io {
                    action: "write",
                    path,
                    source: io(),
                }
                .into(),
                1,
            ),
            (Failure::Chain(ChainFault::Altered { seq: Seq(3) }), 65),
        ];
        for (failure, status) in cases {
            assert_eq!(failure.exit_status(), status, "{failure:?}");
            assert!(failure.lines().len() <= 2, "{failure:?}");
        }
    }
}
