//! What a call of a client needs and cannot use: the vault, its files, the settings.

use super::kind::ErrorKind;
use crate::audit::ChainFault;
use crate::config::{ConfigError, OwnSettingsError, PathError};
use crate::platform::{FileError, LockError};
use crate::sync::SyncError;
use crate::vault::{KeyProblem, VaultError};

/// Why the vault, its files, the settings or the record cannot be used. It says so for people;
/// [`ClientError::kind`](super::ClientError::kind) is for programs.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SystemError(pub(super) SystemCause);

/// What cannot be used, with its own error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SystemCause {
    /// The paths cannot be worked out.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The gateway's configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The settings of clawkeep cannot be used.
    #[error(transparent)]
    OwnSettings(#[from] OwnSettingsError),
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The vault cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The agent cannot be loaded or changed.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The audit record was altered.
    #[error("the record does not hold: {0}")]
    Chain(ChainFault),
}

/// Returns what cannot be used, with its own error.
#[must_use]
pub fn cause_of(error: SystemError) -> SystemCause {
    error.0
}

impl SystemError {
    pub(super) fn kind(&self) -> ErrorKind {
        match &self.0 {
            SystemCause::Path(_) => ErrorKind::Settings,
            SystemCause::Config(ConfigError::File(error) | ConfigError::AgentsUntrusted(error))
            | SystemCause::OwnSettings(OwnSettingsError::File(error))
            | SystemCause::File(error) => of_file(error),
            SystemCause::Config(ConfigError::AgentDirs { .. }) => ErrorKind::Storage,
            SystemCause::Config(_) | SystemCause::OwnSettings(_) => ErrorKind::Settings,
            SystemCause::Vault(error) => of_vault(error),
            SystemCause::Sync(error) => of_sync(error),
            SystemCause::Chain(_) => ErrorKind::Damaged,
        }
    }

    /// Whether there is no vault.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self.0, SystemCause::Vault(VaultError::Absent { .. }))
    }

    /// Whether the vault can only be read.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(
            self.0,
            SystemCause::Vault(VaultError::ReadOnly { .. })
                | SystemCause::Sync(SyncError::Vault(VaultError::ReadOnly { .. }))
        )
    }
}

fn of_vault(error: &VaultError) -> ErrorKind {
    match error {
        VaultError::Absent { .. } | VaultError::MovedAway { .. } => ErrorKind::Absent,
        VaultError::Damaged { .. } | VaultError::Foreign { .. } | VaultError::Unopened { .. } => {
            ErrorKind::Damaged
        }
        VaultError::Newer { .. } => ErrorKind::Newer,
        VaultError::ReadOnly { .. } | VaultError::SharedStorage { .. } => ErrorKind::ReadOnly,
        VaultError::NoKey { problems, .. } => of_keys(problems),
        VaultError::Busy { .. }
        | VaultError::LogInUse { .. }
        | VaultError::Rekeyed
        | VaultError::RefreshUnderWay => ErrorKind::Busy,
        VaultError::File(error) | VaultError::KeyNotKept(KeyProblem::File(error)) => of_file(error),
        VaultError::Lock(error) => of_lock(error),
        _ => ErrorKind::Storage,
    }
}

/// A key that is lost is worse than one that is locked, and is what a person must know of, unless
/// a secret was given: then the caller meant that one.
fn of_keys(problems: &[KeyProblem]) -> ErrorKind {
    let is_tried = |problem: &KeyProblem| {
        matches!(
            problem,
            KeyProblem::WrongSecret
                | KeyProblem::RecoveryCode(_)
                | KeyProblem::TooCostly { .. }
                | KeyProblem::NoMemory { .. }
                | KeyProblem::Keychain(_)
        )
    };
    let is_lost = |problem: &KeyProblem| {
        matches!(
            problem,
            KeyProblem::NoKeyFile { .. }
                | KeyProblem::NotAKeyFile { .. }
                | KeyProblem::WrongKey { .. }
                | KeyProblem::NotInKeychain { .. }
        )
    };
    if problems.iter().any(is_tried) {
        return ErrorKind::Locked;
    }
    let file = problems.iter().find_map(|problem| match problem {
        KeyProblem::File(error) => Some(of_file(error)),
        _ => None,
    });
    match (problems.iter().any(is_lost), file) {
        (_, Some(kind)) => kind,
        (true, None) => ErrorKind::MissingKey,
        (false, None)
            if problems
                .iter()
                .any(|one| matches!(one, KeyProblem::NoSecret)) =>
        {
            ErrorKind::Locked
        }
        (false, None) => ErrorKind::Damaged,
    }
}

fn of_sync(error: &SyncError) -> ErrorKind {
    match error {
        SyncError::Vault(error) => of_vault(error),
        SyncError::File(error) => of_file(error),
        SyncError::Lock(error) => of_lock(error),
        SyncError::DamagedStore { .. } | SyncError::Unopened { .. } => ErrorKind::Damaged,
        SyncError::Contended { .. }
        | SyncError::RefreshBusy { .. }
        | SyncError::SpentMeanwhile { .. } => ErrorKind::Busy,
        SyncError::OpenClaws { .. } => ErrorKind::BadArgument,
        _ => ErrorKind::Storage,
    }
}

fn of_lock(error: &LockError) -> ErrorKind {
    match error {
        LockError::Busy { .. } | LockError::Held { .. } => ErrorKind::Busy,
        LockError::File(error) => of_file(error),
        LockError::Unusable { .. } => ErrorKind::Storage,
    }
}

fn of_file(error: &FileError) -> ErrorKind {
    match error {
        FileError::Untrusted(_) => ErrorKind::Untrusted,
        _ => ErrorKind::Storage,
    }
}
