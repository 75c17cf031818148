//! Why a call of a client fails.

use std::path::PathBuf;

use super::kind::ErrorKind;
use super::request::Request;
use super::system::{SystemCause, SystemError};
use crate::domain::{ProfileId, ProviderId, Seq, VaultId, escaped};
use crate::health::PassedOver;
use crate::sync::NotRefreshed;

/// Why a call of a client failed. Nothing was handed out then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The vault, its files, the settings or the record cannot be used.
    #[error(transparent)]
    System(SystemError),
    /// A use cannot be recorded, since the vault can only be read.
    #[error("no credential was handed out: its use cannot be recorded")]
    Unrecorded(#[source] SystemError),
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
         copy was put back, or its end was cut off",
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
    /// What keeps the head of this vault's record is not a head of it, so that a missing end would
    /// not show.
    #[error("{} is not {}: it cannot show whether the end of the record was cut off",
        path.display(), match other {
            Some(other) => format!("the head of this vault, but of {other}"),
            None => "a head".to_owned(),
        })]
    DamagedHead {
        /// The file.
        path: PathBuf,
        /// The vault whose head it is, if it is one.
        other: Option<VaultId>,
    },
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
    #[error(
        "no credential can be used for {}{}",
        escaped(wanted.name()),
        listed(passed_over)
    )]
    NoCredential {
        /// The request.
        wanted: Request,
        /// The credentials that there are, and why each cannot be used: a name, as in the record.
        passed_over: Vec<(ProfileId, &'static str)>,
    },
    /// An argument is not valid.
    #[error("{0}")]
    BadArgument(String),
    /// The process forked after the client was opened. Open another client in the child.
    #[error("this process was forked after the client was opened")]
    Forked,
}

impl ClientError {
    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::System(error) | Self::Unrecorded(error) => error.kind(),
            Self::Unopened { .. } | Self::BadHead { .. } | Self::DamagedHead { .. } => {
                ErrorKind::Damaged
            }
            Self::OlderVault { .. } | Self::TwoVaults { .. } => ErrorKind::OtherVault,
            Self::UnknownProvider { .. } => ErrorKind::UnknownProvider,
            Self::UnknownProfile { .. } => ErrorKind::UnknownProfile,
            Self::OtherProvider { .. } => ErrorKind::BadArgument,
            Self::NoCredential { passed_over, .. } => {
                let unavailable = NotRefreshed::RefreshUnavailable.as_str();
                match passed_over.iter().any(|(_, why)| *why == unavailable) {
                    true => ErrorKind::RefreshUnavailable,
                    false => ErrorKind::NoCredential,
                }
            }
            Self::BadArgument(_) => ErrorKind::BadArgument,
            Self::Forked => ErrorKind::Forked,
        }
    }

    /// Whether there is no vault.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::System(error) if error.is_absent())
    }

    /// The error of a call that hands out credentials: a vault that can only be read cannot record
    /// that.
    pub(super) fn of_use(self) -> Self {
        match self {
            Self::System(error) if error.is_read_only() => Self::Unrecorded(error),
            other => other,
        }
    }
}

impl<E> From<E> for ClientError
where
    SystemCause: From<E>,
{
    fn from(error: E) -> Self {
        Self::System(SystemError(error.into()))
    }
}

/// The credentials that were passed over and why, as the end of a sentence.
fn listed(passed_over: &[(ProfileId, &'static str)]) -> String {
    if passed_over.is_empty() {
        return String::new();
    }
    let each = passed_over.iter().map(|(id, why)| {
        let why = match *why == PassedOver::InCooldown.as_str() {
            true => "in cooldown".to_owned(),
            false => why.replace('-', " "),
        };
        format!("{} ({why})", escaped(id.as_str()))
    });
    format!(": {}", each.collect::<Vec<_>>().join(", "))
}
