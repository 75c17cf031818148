//! The kinds of a client's errors.

/// The kind of a [`ClientError`](super::ClientError), for programs. Names stay.
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
