//! Why a call of a client fails.

use std::path::PathBuf;

use super::request::Request;
use crate::audit::ChainFault;
use crate::config::{ConfigError, OwnSettingsError, PathError};
use crate::domain::{ProfileId, ProviderId, Seq, escaped};
use crate::health::PassedOver;
use crate::platform::{FileError, LockError};
use crate::sync::{NotRefreshed, SyncError};
use crate::vault::{KeyProblem, VaultError};

/// Why a call of a client failed. Nothing was handed out then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
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
    /// A use cannot be recorded, since the vault can only be read.
    #[error("no credential was handed out: its use cannot be recorded")]
    Unrecorded(#[source] VaultError),
    /// Some rows of the vault are damaged or were modified outside clawkeep.
    #[error("{} in the vault {} not open", rows.join(", "),
        if rows.len() == 1 { "does" } else { "do" })]
    Unopened {
        /// The rows.
        rows: Vec<String>,
    },
    /// An older copy of the vault was put back, or the end of its record was cut off.
    #[error(
        "the record of the vault {} ends before event {seq}, whose head is kept in {}: an older \
         copy \
         was put back, or its end was cut off",
        vault.display(), head.display()
    )]
    OlderVault {
        /// The vault.
        vault: PathBuf,
        /// The event that is not in it.
        seq: Seq,
        /// The file with the kept head.
        head: PathBuf,
    },
    /// The file that keeps the head of the record has no head in it.
    #[error("the kept head {} is not a head", path.display())]
    BadHead {
        /// The file.
        path: PathBuf,
    },
    /// The audit record was altered.
    #[error("the record does not hold: {0}")]
    Chain(ChainFault),
    /// There are two vaults in possible places: a login in both would be refreshed twice.
    #[error("there are two vaults, {} and {}: refreshing a login in one would log out the other",
        vaults[0].display(), vaults[1].display())]
    TwoVaults {
        /// The paths of the vaults.
        vaults: [PathBuf; 2],
    },
    /// No credential, setting or built-in entry is of that provider.
    #[error("no provider {provider} is known")]
    UnknownProvider {
        /// The provider.
        provider: ProviderId,
    },
    /// The agent has no profile of that id.
    #[error("there is no profile {}", escaped(profile))]
    UnknownProfile {
        /// The profile, as it was named.
        profile: String,
    },
    /// A profile is of another provider than the one that it was named for.
    #[error("the profile {} is for {found}", escaped(profile))]
    OtherProvider {
        /// The profile.
        profile: String,
        /// Its provider.
        found: ProviderId,
    },
    /// No credential can be used for the request.
    #[error("no credential can be used for {}", escaped(name_of(wanted)))]
    NoCredential {
        /// The request.
        wanted: Request,
        /// The credentials that there are, and why each cannot be used.
        passed_over: Vec<(ProfileId, PassedOver)>,
        /// Why logins among them were not refreshed.
        not_refreshed: Vec<(ProfileId, NotRefreshed)>,
    },
    /// An argument is not valid.
    #[error("{0}")]
    BadArgument(&'static str),
    /// The process forked after the client was opened. Open another client in the child.
    #[error("this process was forked after the client was opened")]
    Forked,
}

/// The kind of a [`ClientError`], for programs. Names stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no vault, or it was moved away.
    Absent,
    /// The vault's key exists and cannot be used now: a passphrase is missing or wrong, or the
    /// keychain is locked.
    Locked,
    /// The vault's key is not where it was kept.
    MissingKey,
    /// Another process is in the way; a retry may succeed.
    Busy,
    /// The vault, its record or a store is damaged, or was modified outside clawkeep.
    Damaged,
    /// A later version of clawkeep made or changed the vault.
    Newer,
    /// The vault can only be read.
    ReadOnly,
    /// An older copy of the vault was put back, or there are two vaults.
    OtherVault,
    /// No provider of that name is known.
    UnknownProvider,
    /// The agent has no profile of that id.
    UnknownProfile,
    /// No credential can be used for the request.
    NoCredential,
    /// A login must be refreshed, and this build cannot: it lacks the feature `oauth`.
    RefreshUnavailable,
    /// The configuration or the settings are not valid.
    Settings,
    /// Another user can have changed a file.
    Untrusted,
    /// A file or the system failed.
    Storage,
    /// An argument is not valid.
    BadArgument,
    /// The process forked after the client was opened.
    Forked,
}

impl ErrorKind {
    /// The name of the kind, in lower case with underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Locked => "locked",
            Self::MissingKey => "missing_key",
            Self::Busy => "busy",
            Self::Damaged => "damaged",
            Self::Newer => "newer",
            Self::ReadOnly => "read_only",
            Self::OtherVault => "other_vault",
            Self::UnknownProvider => "unknown_provider",
            Self::UnknownProfile => "unknown_profile",
            Self::NoCredential => "no_credential",
            Self::RefreshUnavailable => "refresh_unavailable",
            Self::Settings => "settings",
            Self::Untrusted => "untrusted",
            Self::Storage => "storage",
            Self::BadArgument => "bad_argument",
            Self::Forked => "forked",
        }
    }
}

impl ClientError {
    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Path(_) => ErrorKind::Settings,
            Self::Config(ConfigError::File(error) | ConfigError::AgentsUntrusted(error))
            | Self::OwnSettings(OwnSettingsError::File(error))
            | Self::File(error) => of_file(error),
            Self::Config(ConfigError::AgentDirs { .. }) => ErrorKind::Storage,
            Self::Config(_) | Self::OwnSettings(_) => ErrorKind::Settings,
            Self::Vault(error) | Self::Unrecorded(error) => of_vault(error),
            Self::Sync(error) => of_sync(error),
            Self::Unopened { .. } | Self::BadHead { .. } | Self::Chain(_) => ErrorKind::Damaged,
            Self::OlderVault { .. } | Self::TwoVaults { .. } => ErrorKind::OtherVault,
            Self::UnknownProvider { .. } => ErrorKind::UnknownProvider,
            Self::UnknownProfile { .. } => ErrorKind::UnknownProfile,
            Self::OtherProvider { .. } => ErrorKind::BadArgument,
            Self::NoCredential { not_refreshed, .. } => {
                let is_unavailable =
                    |(_, why): &(_, NotRefreshed)| matches!(why, NotRefreshed::RefreshUnavailable);
                match not_refreshed.iter().any(is_unavailable) {
                    true => ErrorKind::RefreshUnavailable,
                    false => ErrorKind::NoCredential,
                }
            }
            Self::BadArgument(_) => ErrorKind::BadArgument,
            Self::Forked => ErrorKind::Forked,
        }
    }

    /// The error of a call that hands out credentials: a vault that can only be read cannot record
    /// that.
    #[must_use]
    pub fn of_use(self) -> Self {
        match self {
            Self::Vault(error @ VaultError::ReadOnly { .. })
            | Self::Sync(SyncError::Vault(error @ VaultError::ReadOnly { .. })) => {
                Self::Unrecorded(error)
            }
            other => other,
        }
    }
}

fn name_of(wanted: &Request) -> &str {
    match wanted {
        Request::Provider(provider) => provider.as_str(),
        Request::Profile(id) => id,
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
