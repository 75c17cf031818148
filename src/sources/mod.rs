//! Other programs' logins: Claude Code's and Codex CLI's, read and never written.
//!
//! What lives here: turning the bytes of their files (or the Keychain item) into a [`Reading`].
//! What does not: opening files (`platform`), deciding what to store (`sync::plan`).
//!
//! Fields that are not asked for are skipped by the parser and never become a value of ours: that
//! is how Claude Code's refresh token stays out of this program. No error quotes its input.

pub mod legacy;
mod login;
mod login_keychain;
pub mod other_programs;
mod readers;
pub mod recognise;
#[cfg(unix)]
mod security_tool;
mod wanted;

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::domain::{ExpiryFault, SecretJson, debug_as, named};
use crate::platform::Refusal;

pub use login::{Inputs, Login, Place, Reader};
pub use login_keychain::{KeychainFault, KeychainReading, LoginKeychain};
pub use readers::{READERS, claude_code, codex_cli, reader_of};
#[cfg(unix)]
pub use security_tool::{SecurityTool, keychain_account};

/// The result of reading a source. `L` is the login that this source can provide.
#[derive(Clone, Debug)]
pub enum Reading<L> {
    /// There is no such file and no such item: the other program is not in use here.
    Absent,
    /// The other program is there and holds no login that could be used.
    LoggedOut(LoggedOut),
    /// The source has a login.
    Found(L),
    /// The source cannot be read or understood. No news: what is stored stays.
    Damaged(SourceFault),
}

impl<L> Reading<L> {
    /// The login, if the source has one.
    pub fn found(&self) -> Option<&L> {
        match self {
            Self::Found(found) => Some(found),
            _ => None,
        }
    }
}

named! {
    /// Why a source that can be read holds no usable login.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum LoggedOut {
        /// The part that would hold the login is missing or is not an object.
        NoLogin = "no-login",
        /// The access token is missing, blank, or not text.
        NoAccessToken = "no-access-token",
        /// The refresh token is missing, blank, or not text. Codex CLI only.
        NoRefreshToken = "no-refresh-token",
        /// The expiry is missing, not a number, or not above 0. Claude Code only.
        NoExpiry(ExpiryFault) = "no-expiry",
        /// The program uses an API key instead of a login. Codex CLI only.
        ApiKeyMode = "api-key-mode",
        /// The program keeps its login in the system's keyring. Codex CLI only.
        InKeyring = "in-keyring",
    }
}

named! {
    /// Why a source is no news. Says where, never what stands there or in which file.
    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    #[non_exhaustive]
    pub enum SourceFault {
        /// The file is empty: a writer has truncated it and not written yet.
        #[error("it is empty")]
        Empty = "empty",
        /// JSON up to its end, which comes too early: half-written.
        #[error("it is cut short at line {line}, column {column}")]
        CutShort {
            /// Line, from 1.
            line: usize,
            /// Column in bytes, as serde_json counts it.
            column: usize,
        } = "cut-short",
        /// The file is not JSON.
        #[error("it is not JSON at line {line}, column {column}")]
        NotJson {
            /// Line, from 1.
            line: usize,
            /// Column in bytes, as serde_json counts it.
            column: usize,
        } = "not-json",
        /// The file is not UTF-8.
        #[error("it is not UTF-8 at line {line}, column {column}")]
        NotUtf8 {
            /// Line, from 1.
            line: usize,
            /// Column in bytes, from 1.
            column: usize,
        } = "not-utf-8",
        /// The file is there and the system would not give it.
        #[error("it cannot be read: {0}")]
        Unreadable(io::ErrorKind) = "unreadable",
        /// Somebody else can have put another login there, which is not for this user to use.
        #[error("{0}")]
        Untrusted(Arc<Refusal>) = "untrusted",
        /// The keychain gave no answer either way.
        #[error("its keychain item cannot be read: {0}")]
        Keychain(KeychainFault) = "keychain-unavailable",
    }
}

impl SourceFault {
    /// Whether reading again in a moment may give something else: a file that is being written.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::Untrusted(_))
    }
}

/// Reads a whole JSON document. It is wiped when dropped.
///
/// # Errors
/// When it is not JSON: where, and never what stands there.
pub fn read_json(bytes: &[u8]) -> Result<SecretJson, SourceFault> {
    wanted::deserialize(bytes).map(SecretJson::new)
}

/// What came of opening a source's file; the caller opens it, with a bound on its size.
#[derive(Debug)]
pub enum FileReading {
    /// No such file, or no such directory.
    Absent,
    /// The file could not be opened or read, is no file, or is too large.
    Unreadable(io::ErrorKind),
    /// Somebody else can have changed the file; it was not used.
    Untrusted(Arc<Refusal>),
    /// The whole content of the file.
    Content(FileContent),
}

/// The content of a source's file; wiped when dropped.
pub struct FileContent {
    /// Every byte of the file.
    pub bytes: Zeroizing<Vec<u8>>,
    /// When it was last written. Codex's login has no other expiry.
    pub modified: SystemTime,
}

debug_as!(FileContent, "FileContent({} bytes)", it => it.bytes.len());

impl FileReading {
    /// Understands the file, if there is one, by `parse`.
    fn understood<L>(self, parse: impl FnOnce(&FileContent) -> Reading<L>) -> Reading<L> {
        match self {
            Self::Absent => Reading::Absent,
            Self::Unreadable(kind) => Reading::Damaged(SourceFault::Unreadable(kind)),
            Self::Untrusted(refusal) => Reading::Damaged(SourceFault::Untrusted(refusal)),
            Self::Content(content) => parse(&content),
        }
    }
}
