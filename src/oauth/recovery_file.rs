//! What a refresh brought, kept in a file beside the vault from the moment it came until it is in
//! the vault: a full disk or the end of the process in between must not cost a login.
//!
//! The file is made, with room in it, before anything is sent. It is sealed with the vault's key,
//! bound to the grant and to the very refresh: it opens for that one, and is taken in once.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::answer::Tokens;
use super::lease::grant_name;
use crate::domain::{
    AgentName, Endpoint, Expiry, Fingerprint, ProfileId, SecretJson, UnixMs, file_stamp,
    json_number,
};
use crate::platform::{
    Access, FileError, create_private_dir, create_private_file, exists, read_own,
    remove_if_present, rename_durably, sync_dir, sync_file, sync_file_data,
};
use crate::vault::{Grant, GrantState, UnlockedVault, VaultError};

/// How the file begins. The refresh's fence and the length of what follows, big-endian in eight and
/// four bytes, and the sealed tokens come after it.
const MAGIC: &[u8] = b"clawkeep rescue 1\n";
/// What the name of one that does not open ends in, before the time.
const UNOPENED: &str = ".unopened-";
/// The room that is made for it, in bytes: tokens have a few thousand.
const ROOM: usize = 64 << 10;
/// The largest that is read, in bytes: an answer has a mebibyte at most.
const FILE_MAX: u64 = 4 << 20;

/// The file of a refresh that is under way.
#[derive(Debug)]
pub struct RecoveryFile {
    path: PathBuf,
    file: File,
    has_tokens: bool,
}

/// Why a refresh token is not sent any more where an answer does not open, in the record's words.
pub const ANSWER_UNOPENED: &str = "answer-unopened";

/// Whether a grant is lost because the answer to its last refresh cannot be decrypted.
#[must_use]
pub fn is_answer_unopened(grant: &Grant) -> bool {
    grant.state == GrantState::Dead && grant.failed.as_deref() == Some(ANSWER_UNOPENED)
}

/// What an interrupted refresh left behind.
#[derive(Debug)]
pub enum Left {
    /// No file, or an incomplete one: the process was killed before it wrote the answer.
    Nothing,
    /// The tokens that the refresh brought.
    Brought {
        /// The refresh that brought it.
        fence: i64,
        /// What.
        brought: Box<Brought>,
    },
    /// A complete file that cannot be decrypted: there was an answer, so the refresh token is used
    /// up, and the new tokens are unavailable.
    Unopened {
        /// The refresh that it says it is of. Nothing vouches for that.
        fence: i64,
    },
}

/// What a refresh brought, and for whom it was done.
#[derive(Debug)]
pub struct Brought {
    /// The agent that has the login.
    pub agent: AgentName,
    /// The profile that has the login.
    pub profile: ProfileId,
    /// The endpoint that issued the tokens.
    pub endpoint: Endpoint,
    /// The tokens that the refresh brought.
    pub tokens: Tokens,
}

fn path_of(dir: &Path, grant: Fingerprint) -> PathBuf {
    dir.join(format!("{}.rescue", grant_name(grant)))
}

impl RecoveryFile {
    /// Makes the file, with room in it, in place of what an earlier refresh left. The caller has
    /// the lease, and has taken in what was there.
    pub fn prepare(dir: &Path, grant: Fingerprint) -> Result<Self, FileError> {
        create_private_dir(dir)?;
        let path = path_of(dir, grant);
        remove_if_present(&path)?;
        let mut file = create_private_file(&path)?;
        let made = file
            .write_all(&[0; ROOM])
            .and_then(|()| file.rewind())
            .and_then(|()| sync_file_data(&file));
        if let Err(error) = made {
            let _ = remove_if_present(&path); // the first error is the one to report
            return Err(FileError::io("make room in", &path)(error));
        }
        Ok(Self {
            path,
            file,
            has_tokens: false,
        })
    }

    /// Stores the new tokens in the recovery file, durably. A file that was written stays, even if
    /// it cannot be made durable; another call tries that again.
    ///
    /// # Errors
    /// When it cannot be sealed, written or made durable.
    pub fn keep(
        &mut self,
        vault: &UnlockedVault,
        grant: Fingerprint,
        fence: i64,
        brought: &Brought,
    ) -> Result<(), VaultError> {
        if !self.has_tokens {
            let blob = vault.seal_recovery_file(grant, fence, &as_json(brought))?;
            let mut bytes = MAGIC.to_vec();
            bytes.extend_from_slice(&fence.to_be_bytes());
            bytes.extend_from_slice(&u32::try_from(blob.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(&blob);
            let mut file = &self.file;
            let written = file.rewind().and_then(|()| file.write_all(&bytes));
            written.map_err(FileError::io("write", &self.path))?;
            self.has_tokens = true;
        }
        sync_file(&self.file).map_err(FileError::io("write", &self.path))?;
        Ok(sync_dir(self.path.parent().unwrap_or(Path::new(".")))?)
    }

    /// Whether what came is in the file, durably or not.
    #[must_use]
    pub(crate) fn has_tokens(&self) -> bool {
        self.has_tokens
    }

    /// Returns the path of the recovery file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file: what it had is in the vault.
    ///
    /// # Errors
    /// When the system refuses. A file that stays is of another refresh than the next, and is not
    /// taken in.
    pub fn remove(dir: &Path, grant: Fingerprint) -> Result<(), FileError> {
        remove_if_present(&path_of(dir, grant)).map(|_| ())
    }

    /// What a refresh of `grant` left.
    ///
    /// # Errors
    /// When the file is there and cannot be read or trusted.
    pub fn read(dir: &Path, vault: &UnlockedVault, grant: Fingerprint) -> Result<Left, FileError> {
        let Some(contents) = read_own(&path_of(dir, grant), Access::Secret, FILE_MAX)? else {
            return Ok(Left::Nothing);
        };
        let Some((fence, blob)) = Self::sealed_part(&contents.bytes) else {
            return Ok(Left::Nothing);
        };
        let opened = vault.open_recovery_file(grant, fence, blob);
        Ok(match opened.as_ref().and_then(from_json) {
            Some(brought) => Left::Brought {
                fence,
                brought: Box::new(brought),
            },
            None => Left::Unopened { fence },
        })
    }

    /// Where a file that does not open is to be kept: a name beside it that nothing has.
    #[must_use]
    pub(crate) fn name_aside(dir: &Path, grant: Fingerprint, now: UnixMs) -> PathBuf {
        let name = format!("{}.rescue{UNOPENED}{}", grant_name(grant), file_stamp(now));
        let others = (2..).map(|n| dir.join(format!("{name}-{n}")));
        std::iter::once(dir.join(&name))
            .chain(others)
            .find(|path| !exists(path))
            .unwrap_or_else(|| dir.join(&name))
    }

    /// Keeps a file that does not open as `aside`, which nothing has yet. The caller has the lease.
    ///
    /// # Errors
    /// When the system refuses; the file stays where it is then.
    pub fn set_aside(dir: &Path, grant: Fingerprint, aside: &Path) -> Result<(), FileError> {
        let path = path_of(dir, grant);
        // A link is not made over what is there. Where there are no links, the name was free a
        // moment ago, and the lease is ours.
        match std::fs::hard_link(&path, aside) {
            Ok(()) => remove_if_present(&path).map(|_| ())?,
            Err(_) if !exists(aside) => rename_durably(&path, aside)?,
            Err(error) => return Err(FileError::io("keep", aside)(error)),
        }
        sync_dir(dir)
    }

    /// The files that were kept aside since they do not open.
    #[must_use]
    pub fn kept_aside(dir: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let is_one = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("grant-") && name.contains(UNOPENED)
        };
        let mut kept: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_one).collect();
        kept.sort();
        kept
    }

    /// The fence and the sealed part of a file that was written to its end.
    #[doc(hidden)]
    #[must_use]
    pub fn sealed_part(bytes: &[u8]) -> Option<(i64, &[u8])> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (fence, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let blob = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        Some((i64::from_be_bytes(*fence), blob))
    }
}

fn as_json(brought: &Brought) -> SecretJson {
    let Brought {
        agent,
        profile,
        endpoint,
        tokens,
    } = brought;
    let text =
        |token: &Option<SecretString>| token.as_ref().map(|token| token.expose_secret().to_owned());
    SecretJson::new(json!({
        "agent": agent.as_str(),
        "profile": profile.as_str(),
        "origin": endpoint.origin,
        "clientId": endpoint.client_id,
        "access": tokens.access.expose_secret(),
        "refresh": text(&tokens.refresh),
        "idToken": text(&tokens.id_token),
        "expires": json_number(tokens.expires.ms()),
    }))
}

fn from_json(brought: &SecretJson) -> Option<Brought> {
    let brought = brought.expose_secret();
    let text = |name: &str| brought.get(name)?.as_str();
    let secret = |name: &str| text(name).map(SecretString::from);
    Some(Brought {
        agent: AgentName::from_stored(text("agent")?.to_owned()),
        profile: ProfileId::new(text("profile")?),
        endpoint: Endpoint {
            origin: text("origin")?.to_owned(),
            client_id: text("clientId")?.to_owned(),
        },
        tokens: Tokens {
            access: secret("access")?,
            refresh: secret("refresh"),
            id_token: secret("idToken"),
            expires: Expiry::from_json(brought.get("expires"))?,
        },
    })
}

impl Drop for RecoveryFile {
    /// Frees the room that was not needed.
    fn drop(&mut self) {
        if !self.has_tokens {
            let _ = remove_if_present(&self.path); // of no harm: the next refresh makes it anew
        }
    }
}
