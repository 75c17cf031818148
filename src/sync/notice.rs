//! What a load reports to a person. The binary puts it into words.

use std::fmt;
use std::path::PathBuf;

use crate::domain::{AgentName, Borrowed, ProfileId, shown_path};
use crate::export::FormatFault;
use crate::platform::openclaw::OpenClawDir;
use crate::platform::running_programs;
use crate::sources::SourceFault;
use crate::sync::load::old_copy::Undoes;
use crate::sync::logins::report::LoginReport;
use crate::vault::ReadOnlyReason;

/// Something worth a line on stderr.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A store older than `auth-profiles.json` cannot be read or understood: what is stored stays.
    SourceDamaged {
        /// Which: a file's path, or the keychain.
        place: String,
        /// What is wrong with it.
        fault: SourceFault,
    },
    /// Another program's login needs a person's attention.
    Login(Box<LoginReport>),
    /// Another program's login took the place of one that is, or may be, another account's.
    AccountChanged {
        /// The profile that mirrors it.
        profile: &'static str,
        /// Where the login came from.
        place: String,
        /// Why, in the word of the record.
        why: &'static str,
    },
    /// The file of a login that is another program's cannot be used: what is stored stays.
    BorrowedUnavailable {
        /// The profile of the login.
        profile: ProfileId,
        /// The program that owns it, and which file.
        from: Borrowed,
        /// Why it cannot be used.
        why: LendingFault,
    },
    /// A damaged store was moved aside and, if there is to be one, the vault's copy written.
    SetAside {
        /// The path of the store.
        path: PathBuf,
        /// Where the damaged file is now.
        aside: PathBuf,
        /// What was wrong with it.
        fault: FormatFault,
        /// There is to be a store in its place.
        is_exported: bool,
    },
    /// Stores older than `auth-profiles.json` were imported.
    Imported {
        /// How many profiles they brought.
        profiles: usize,
        /// The agent's own, which was removed after that.
        removed: Option<PathBuf>,
    },
    /// A deleted store was written again.
    Restored {
        /// The path of the store.
        path: PathBuf,
    },
    /// A store was imported and removed: the settings say that there is to be none.
    Removed {
        /// The path of the store.
        path: PathBuf,
    },
    /// The vault can only be read, and what it holds is not what the sources and the store say.
    NotSynced {
        /// Why the vault can only be read.
        reason: ReadOnlyReason,
    },
    /// Observations could not be recorded now; the next load makes them again.
    NotRecorded {
        /// Why they could not be recorded.
        error: String,
    },
    /// An interrupted refresh had brought new tokens, and they were recovered.
    RefreshRecovered {
        /// The profile of the login.
        profile: ProfileId,
    },
    /// A refresh was interrupted, and it is not known whether its refresh token is used up.
    RefreshInterrupted {
        /// The profile of the login.
        profile: ProfileId,
    },
    /// A refresh was interrupted, and its answer does not open: the refresh token is used up, and
    /// is not sent again.
    RefreshUnopened {
        /// The login, if one is known.
        profile: Option<ProfileId>,
        /// Where the answer is kept.
        aside: PathBuf,
    },
    /// An interrupted refresh could not be recovered now; the next command tries again.
    RefreshUnfinished {
        /// Why it could not be recovered.
        error: String,
    },
    /// Another program wrote an old copy of a store, and a command has changed the store since.
    /// What the command did stays, and the store was written again.
    OldCopy {
        /// The path of the store.
        path: PathBuf,
        /// What it would have undone.
        undoes: Undoes,
        /// Who may have written it.
        writer: Writer,
    },
    /// Another program keeps writing an old copy of a store. The vault keeps what commands changed
    /// since, and the file is left as it is.
    OldCopyLeft {
        /// The agent whose store it is.
        agent: AgentName,
        /// The path of the store.
        path: PathBuf,
        /// Who may have written it.
        writer: Writer,
    },
    /// Another program removed several profiles, or all, from a store.
    Vanished {
        /// The agent whose store it is.
        agent: AgentName,
        /// The path of the store.
        path: PathBuf,
        /// The ids of these profiles.
        profiles: Vec<String>,
        /// Who may have written it.
        writer: Writer,
    },
    /// No store is written there: the directory is OpenClaw's.
    Withheld {
        /// OpenClaw's directory, and what shows that it is one.
        openclaw: OpenClawDir,
    },
    /// A store was written for the first time, as a plain file where there was none.
    PlainCopy {
        /// The path of the store.
        path: PathBuf,
    },
}

/// Who may have written a store: the gateways of this user that run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    /// Their process ids and names.
    pub gateways: Vec<(u32, String)>,
}

impl Writer {
    pub(super) fn find() -> Self {
        Self {
            gateways: running_programs(&GATEWAYS, "gateway"),
        }
    }
}

/// What gateways that write `auth-profiles.json` are called.
const GATEWAYS: [&str; 3] = ["clawdbot", "moltbot", "openclaw"];

/// Why the file of a login that is another program's cannot be used, as half a sentence that begins
/// with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LendingFault {
    /// Its program is logged out there.
    LoggedOut(String),
    /// Anything else.
    Unusable(String),
}

impl fmt::Display for LendingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::LoggedOut(why) | Self::Unusable(why)) = self;
        f.write_str(why)
    }
}

impl Notice {
    /// The name for programs. Names stay.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::SourceDamaged { .. } => "source-damaged",
            Self::Login(_) => "login",
            Self::AccountChanged { .. } => "account-changed",
            Self::BorrowedUnavailable { .. } => "login-unavailable",
            Self::SetAside { .. } => "store-set-aside",
            Self::Imported { .. } => "imported",
            Self::Restored { .. } => "store-restored",
            Self::Removed { .. } => "store-removed",
            Self::NotSynced { .. } => "not-synced",
            Self::NotRecorded { .. } => "not-recorded",
            Self::RefreshRecovered { .. } => "refresh-recovered",
            Self::RefreshInterrupted { .. } => "refresh-interrupted",
            Self::RefreshUnopened { .. } => "refresh-unopened",
            Self::RefreshUnfinished { .. } => "refresh-unfinished",
            Self::OldCopy { .. } => "old-copy",
            Self::OldCopyLeft { .. } => "old-copy-left",
            Self::Vanished { .. } => "profiles-vanished",
            Self::Withheld { .. } => "store-withheld",
            Self::PlainCopy { .. } => "plain-copy",
        }
    }

    /// The file or the profile that it is about, or what failed.
    pub(crate) fn about(&self) -> Option<String> {
        Some(match self {
            Self::SourceDamaged { place, .. } | Self::AccountChanged { place, .. } => place.clone(),
            Self::BorrowedUnavailable { profile, .. }
            | Self::RefreshRecovered { profile }
            | Self::RefreshInterrupted { profile } => profile.as_str().to_owned(),
            Self::SetAside { path, .. }
            | Self::Restored { path }
            | Self::Removed { path }
            | Self::OldCopy { path, .. }
            | Self::OldCopyLeft { path, .. }
            | Self::Vanished { path, .. }
            | Self::PlainCopy { path } => shown_path(path).into_owned(),
            Self::RefreshUnopened { aside, .. } => shown_path(aside).into_owned(),
            Self::NotSynced { reason } => reason.to_string(),
            Self::NotRecorded { error } | Self::RefreshUnfinished { error } => error.clone(),
            Self::Login(_) | Self::Imported { .. } | Self::Withheld { .. } => return None,
        })
    }

    /// Whether it reports what a source says; such notices are made anew with every plan.
    pub(super) fn is_about_sources(&self) -> bool {
        matches!(
            self,
            Self::SourceDamaged { .. }
                | Self::Login(_)
                | Self::AccountChanged { .. }
                | Self::BorrowedUnavailable { .. }
        )
    }
}
