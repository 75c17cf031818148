//! The exit status of each failure.

use clawkeep::internal::client::ClientError;
use clawkeep::internal::config::{ConfigEditError, ConfigError, OwnSettingsError};
use clawkeep::internal::platform::{FileError, LockError};
use clawkeep::internal::sync::SyncError;
use clawkeep::internal::sync::import::ImportFault;
use clawkeep::internal::vault::{BackupError, KeyProblem, VaultError};

use super::{BUSY, DAMAGED, FAILED, Failure, NO_KEY, USAGE};

impl Failure {
    /// The status that the command ends with.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(error) if !error.use_stderr() => 0,
            Self::Usage(_)
            | Self::BadArgument(_)
            | Self::SecretArgument
            | Self::Kind(_)
            | Self::UnknownName { .. } => USAGE,
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
            | Self::ExportDiffers { .. }
            | Self::Import { .. }
            | Self::ReportedDamaged => DAMAGED,
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
            Self::Vault(error) | Self::Unrecorded(error) => of_vault(error),
            Self::Client(
                ClientError::BadHead { .. }
                | ClientError::DamagedHead { .. }
                | ClientError::OlderVault { .. }
                | ClientError::TwoVaults { .. },
            ) => DAMAGED,
            Self::Client(_) => FAILED,
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
        LockError::Unusable { .. } => DAMAGED,
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
        VaultError::Busy { .. }
        | VaultError::LogInUse { .. }
        | VaultError::Rekeyed
        | VaultError::RefreshUnderWay
        | VaultError::MovedAway { .. } => BUSY,
        VaultError::Damaged { .. }
        | VaultError::Foreign { .. }
        | VaultError::Newer { .. }
        | VaultError::Unopened { .. } => DAMAGED,
        VaultError::File(error) => of_file(error),
        VaultError::Lock(error) => of_lock(error),
        _ => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::path::PathBuf;

    use clawkeep::internal::audit::ChainFault;
    use clawkeep::internal::config::PathError;
    use clawkeep::internal::domain::Seq;

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
                    profile: clawkeep::internal::domain::ProfileId::new("p:a"),
                }
                .into(),
                75,
            ),
            (
                SyncError::KeptInRecoveryFile {
                    profile: clawkeep::internal::domain::ProfileId::new("p:a"),
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
            (Failure::Chain(ChainFault::Altered { seq: Seq::new(3) }), 65),
        ];
        for (failure, status) in cases {
            assert_eq!(failure.exit_status(), status, "{failure:?}");
            assert!(failure.lines().len() <= 2, "{failure:?}");
        }
    }
}
