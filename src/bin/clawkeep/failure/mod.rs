//! Every failure of a command, with its exit status and its remedy.

mod another;
pub(crate) mod causes;
mod exit_status;
mod keychain;
pub(crate) mod remedies;

use std::error::Error;
use std::io;
use std::path::PathBuf;

use clawkeep::internal::audit::{ChainFault, UnknownKind};
use clawkeep::internal::client::{ClientError, SystemCause, cause_of};
use clawkeep::internal::config::{ConfigEditError, ConfigError, OwnSettingsError, PathError};
use clawkeep::internal::domain::{escaped, move_aside_command, shell_shown_path};
use clawkeep::internal::platform::{Cause, FileError, Refusal};
use clawkeep::internal::sync::SyncError;
use clawkeep::internal::sync::import::ImportFault;
use clawkeep::internal::vault::{BackupError, VaultError};

use self::another::refusal_remedy;
use self::causes::remedy_of;
use self::remedies::{
    SETTINGS_REMEDY, backup_remedy, file_remedy, import_remedy, lock_remedy, system_remedy,
    vault_remedy,
};

/// Exit statuses. Source: `spec/cli.md`.
const FAILED: u8 = 1;
const USAGE: u8 = 64;
const DAMAGED: u8 = 65;
const BUSY: u8 = 75;
const NO_KEY: u8 = 77;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Usage(clap::Error),
    #[error("{0}")]
    BadArgument(String),
    /// A secret in the place of an id.
    #[error("an argument looks like a secret; clawkeep takes no secret from the command line")]
    SecretArgument,
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
    /// Some rows of a backup do not open.
    #[error("{} in the backup {} not open", rows.join(", "),
        if rows.len() == 1 { "does" } else { "do" })]
    BackupRows { rows: Vec<String> },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot write the answer")]
    Output(#[source] io::Error),
    #[error("cannot read from stdin")]
    Input(#[source] io::Error),
    #[error("{} cannot be imported: {fault}", path.display())]
    Import { path: PathBuf, fault: ImportFault },
    /// The vault was changed, and the configuration could not be.
    #[error("{done}, but the configuration could not be changed")]
    ConfigEdit {
        done: String,
        source: ConfigEditError,
    },
    /// A file that was named to be imported.
    #[error(transparent)]
    ImportFile(FileError),
    /// A word that names no credential, or more than one.
    #[error("{what}")]
    UnknownName { what: String, next: String },
    /// A request that is invalid for what is stored.
    #[error("{what}")]
    Refused { what: String, next: String },
    /// Some rows are damaged or were modified outside clawkeep.
    #[error("{} in the vault {} not open", rows.join(", "),
        if rows.len() == 1 { "does" } else { "do" })]
    Unopened { rows: Vec<String> },
    /// The answer was printed; the store could not be written.
    #[error(
        "the vault is up to date. auth-profiles.json could not be written; the next command tries \
         again"
    )]
    NotWritten(#[source] FileError),
    /// The answer was printed; no store was written or removed.
    #[error(
        "the settings in clawkeep.toml cannot be used, and no store is written until they can; the \
         vault is up to date"
    )]
    Undecided(#[source] OwnSettingsError),
    /// The answer was printed; a store could not be removed.
    #[error(
        "the vault is up to date. auth-profiles.json could not be removed; the next command tries \
         again"
    )]
    NotRemoved(#[source] FileError),
    /// A use cannot be recorded, since the vault can only be read.
    #[error("no credential was handed out: its use cannot be recorded")]
    Unrecorded(#[source] VaultError),
    /// What the other variants do not name.
    #[error(transparent)]
    Client(ClientError),
    #[error("the record does not hold: {0}")]
    Chain(ChainFault),
    /// An exported record differs from the vault's.
    #[error("{} is not what is in the record: {how}", path.display())]
    ExportDiffers { path: PathBuf, how: String },
    /// `exec` could not run the program.
    #[error("{what}")]
    NotRun {
        what: String,
        status: u8,
        source: Option<io::Error>,
        next: Option<String>,
    },
    /// Another process watches the vault.
    #[error("{what}")]
    Watched { what: String },
    /// `--check` found something, which the report shows.
    #[error("check failed")]
    Check(u8),
    /// The command has printed the damage as its answer.
    #[error("damaged")]
    ReportedDamaged,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::System(error) => match cause_of(error) {
                SystemCause::Path(error) => Self::Path(error),
                SystemCause::Config(error) => Self::Config(error),
                SystemCause::OwnSettings(error) => Self::OwnSettings(error),
                SystemCause::File(error) => Self::File(error),
                SystemCause::Vault(error) => Self::Vault(error),
                SystemCause::Sync(error) => Self::Sync(error),
                SystemCause::Chain(fault) => Self::Chain(fault),
                other => Self::Client(other.into()),
            },
            ClientError::Unopened { rows } => Self::Unopened { rows },
            other => Self::Client(other),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}

/// An error and its causes, each once: some repeat their cause.
pub(crate) fn chain(error: Option<&(dyn Error + 'static)>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut next = error;
    while let Some(error) = next {
        next = error.source();
        let text = error.to_string();
        if !lines.iter().any(|earlier| earlier.contains(&text)) {
            lines.push(text);
        }
    }
    lines
}

impl Failure {
    /// The failure of a command that hands out: a read-only vault cannot record that.
    pub(crate) fn of_use(failure: Self) -> Self {
        match failure {
            Self::Vault(error @ VaultError::ReadOnly { .. })
            | Self::Sync(SyncError::Vault(error @ VaultError::ReadOnly { .. })) => {
                Self::Unrecorded(error)
            }
            other => other,
        }
    }

    /// The failure's name in JSON. It stays the same from version to version.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) | Self::BadArgument(_) | Self::Kind(_) => "usage",
            Self::SecretArgument => "secret-argument",
            Self::UnknownName { .. } => "unknown-name",
            Self::Refused { .. } => "refused",
            Self::NotRun { .. } => "not-run",
            Self::Vault(VaultError::Absent { .. }) => "no-vault",
            Self::NotWritten(_) | Self::NotRemoved(_) | Self::Undecided(_) => "store-not-written",
            Self::Config(_) | Self::OwnSettings(_) | Self::ConfigEdit { .. } => "settings",
            _ => match self.exit_status() {
                NO_KEY => "no-key",
                BUSY => "busy",
                DAMAGED => "damaged",
                _ => "failed",
            },
        }
    }

    /// Whether a retry may succeed.
    pub(crate) fn is_busy(&self) -> bool {
        self.exit_status() == BUSY
    }

    /// Whether stdout has reported it already.
    pub(crate) fn is_reported(&self) -> bool {
        matches!(self, Self::Check(_) | Self::ReportedDamaged)
    }

    /// What failed, and why, a line each: at most two.
    pub(crate) fn lines(&self) -> Vec<String> {
        let causes = chain(self.source());
        let mut lines = vec![in_one_line(&self.to_string())];
        if !causes.is_empty() {
            lines.push(in_one_line(&format!("  because: {}", causes.join(": "))));
        }
        lines
    }

    /// The file that was refused because another user can have changed it, if that is why.
    fn refusal(&self) -> Option<&Refusal> {
        let mut next: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = next {
            if let Some(FileError::Untrusted(refusal)) = error.downcast_ref() {
                return Some(refusal);
            }
            next = error.source();
        }
        None
    }

    /// Whether the system refused to read a configuration, as opposed to an invalid content.
    fn is_of_the_system(&self) -> bool {
        matches!(
            self,
            Self::Config(ConfigError::File(FileError::Io { .. }) | ConfigError::AgentDirs { .. })
                | Self::OwnSettings(OwnSettingsError::File(FileError::Io { .. }))
                | Self::Undecided(OwnSettingsError::File(FileError::Io { .. }))
        )
    }

    /// The remedy for a background process. `command` is what it runs, as a person types it.
    pub(crate) fn remedy_unattended(&self, command: &str) -> Option<String> {
        match self {
            _ if self.is_busy() => Some("clawkeep tries again.".to_owned()),
            Self::Vault(VaultError::Absent { .. }) => Some(
                "clawkeep waits for it and creates no other one: put it back, or stop clawkeep \
                 watch and run clawkeep init"
                    .to_owned(),
            ),
            Self::Undecided(_) | Self::OwnSettings(_) | Self::Config(_)
                if self.refusal().is_none() && !self.is_of_the_system() =>
            {
                Some("Fix the file.".to_owned())
            }
            _ => self.remedy(command),
        }
    }

    /// The remedy, if there is one. `command` is the command that failed, as a person types it.
    pub(crate) fn remedy(&self, command: &str) -> Option<String> {
        if let Some(refusal) = self.refusal() {
            return Some(in_one_line(&format!("  {}", refusal_remedy(refusal))));
        }
        let advice = match self {
            Self::Vault(error) | Self::Unrecorded(error) | Self::Sync(SyncError::Vault(error)) => {
                vault_remedy(error)?
            }
            Self::File(error)
            | Self::NotWritten(error)
            | Self::NotRemoved(error)
            | Self::Sync(SyncError::File(error)) => file_remedy(error)?,
            Self::Sync(SyncError::Lock(error)) => lock_remedy(error)?,
            Self::Backup(error) => backup_remedy(error)?,
            Self::BackupRows { .. } => {
                "Use another backup. To restore this one anyway: clawkeep backup restore FILE \
                 --force"
                    .to_owned()
            }
            Self::Refused { next, .. } | Self::UnknownName { next, .. } => next.clone(),
            Self::NotRun { next, .. } => next.clone()?,
            Self::Sync(SyncError::OpenClaws { .. }) => {
                "Change it there: openclaw models auth --help".to_owned()
            }
            Self::Sync(SyncError::Contended { .. }) => {
                "Run the command again once the other program is done.".to_owned()
            }
            Self::Sync(SyncError::RefreshBusy { .. } | SyncError::SpentMeanwhile { .. }) => {
                "Run the command again.".to_owned()
            }
            Self::Sync(SyncError::KeptInRecoveryFile { source, .. }) => format!(
                "{} Then run any command: it imports them. Do not remove that file.",
                system_remedy(source).unwrap_or_default()
            ),
            Self::Sync(SyncError::TokensLost { source, .. }) => format!(
                "{} Then log in again: the old tokens may be refused.",
                system_remedy(source).unwrap_or_default()
            ),
            Self::Sync(SyncError::DamagedStore { path, .. }) => {
                let command = move_aside_command(path, "damaged");
                format!("Fix the file, or move it away to start without it: {command}")
            }
            Self::Sync(SyncError::Unopened { .. }) | Self::Unopened { .. } => {
                "It is damaged or was modified outside clawkeep, and auth-profiles.json is not \
                 updated until it is repaired. To see how: clawkeep doctor"
                    .to_owned()
            }
            Self::Config(ConfigError::File(error)) => file_remedy(error)?,
            Self::Config(ConfigError::AgentDirs { path, source }) => {
                remedy_of(&Cause::of(source, path)?)
            }
            Self::OwnSettings(OwnSettingsError::File(error))
            | Self::Undecided(OwnSettingsError::File(error)) => file_remedy(error)?,
            Self::Undecided(_) => SETTINGS_REMEDY.to_owned(),
            Self::OwnSettings(_) => format!("Nothing was changed. {SETTINGS_REMEDY}"),
            Self::Config(_) => "Fix the file; nothing was changed.".to_owned(),
            Self::ConfigEdit { source, .. } => match source {
                ConfigEditError::Unsure { by_hand, .. } => {
                    format!("Change it by hand: {by_hand}")
                }
                ConfigEditError::File(error) => file_remedy(error)?,
                ConfigEditError::Lock(error) => lock_remedy(error)?,
                _ => "Fix that, then run the command again.".to_owned(),
            },
            Self::ImportFile(error) if is_about_the_system(error) => file_remedy(error)?,
            Self::ImportFile(_) => "Nothing was changed. Name another file.".to_owned(),
            Self::Import { path, .. } => import_remedy(path),
            Self::ExportDiffers { .. } => {
                "The record itself holds, so the file was modified after it was written, or is \
                 from another time."
                    .to_owned()
            }
            Self::Chain(ChainFault::ForeignHead { .. }) => {
                "Give a head of this vault, with --head FILE: one that `clawkeep audit head` \
                 printed."
                    .to_owned()
            }
            Self::Client(ClientError::OlderVault { vault, .. }) => format!(
                "If you have the newer vault, put it back. To accept this one, without what came \
                 after it: cp {0} older.db && clawkeep backup restore older.db",
                shell_shown_path(vault)
            ),
            Self::Client(ClientError::TwoVaults { .. }) => {
                "Merge them with: clawkeep doctor --repair. To keep them apart, name one with \
                 --vault or CLAWKEEP_VAULT."
                    .to_owned()
            }
            Self::Chain(_) => {
                "Keep this file as evidence and compare it with a backup; newer events cannot be \
                 trusted either."
                    .to_owned()
            }
            Self::Watched { .. } => "One is enough. See its state with: clawkeep monitor \
                status"
                .to_owned(),
            Self::Client(ClientError::BadHead { .. }) => {
                "Give a file that `clawkeep audit head` printed, with --head FILE.".to_owned()
            }
            Self::Client(ClientError::DamagedHead { path, .. }) => remedies::damaged_head(path),
            Self::BadArgument(_) | Self::Kind(_) => format!("See: {} --help", command),
            _ => return None,
        };
        Some(in_one_line(&format!("  {advice}")))
    }
}

/// Escapes terminal control characters in a text from outside.
fn in_one_line(text: &str) -> String {
    escaped(text).into_owned()
}

/// Whether any other file would fail as well.
fn is_about_the_system(error: &FileError) -> bool {
    use Cause::{Device, Disconnected, NoMemory, OpenFiles, OpenFilesOfSystem, Stale};
    let FileError::Io { path, source, .. } = error else {
        return false;
    };
    matches!(
        Cause::of(source, path),
        Some(
            OpenFiles { .. }
                | OpenFilesOfSystem
                | NoMemory
                | Device { .. }
                | Disconnected { .. }
                | Stale { .. }
        )
    )
}
