//! What a refresh brought, kept in a file beside the vault from the moment it came until it is in the vault: a full disk or the end
//! of the process in between must not cost a login.
//!
//! The file is made, with room in it, before anything is sent. It is sealed with the vault's key, bound to the grant and to the very
//! refresh: it opens for that one, and is taken in once.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::answer::Tokens;
use super::lease::grant_name;
use crate::domain::{AgentName, Endpoint, Expiry, Fingerprint, ProfileId, SecretJson, json_number};
use crate::platform::{
    Access, FileError, create_private_dir, create_private_file, read_own, remove_if_present,
    sync_dir,
};
use crate::vault::{UnlockedVault, VaultError};

/// How the file begins. The refresh's fence and the length of what follows, big-endian in eight and four bytes, and the sealed tokens
/// come after it.
const MAGIC: &[u8] = b"clawkeep rescue 1\n";
/// The room that is made for it, in bytes: tokens have a few thousand.
const ROOM: usize = 64 << 10;
/// The largest that is read, in bytes: an answer has a mebibyte at most.
const FILE_MAX: u64 = 4 << 20;

/// The file of a refresh that is under way.
#[derive(Debug)]
pub struct Rescue {
    path: PathBuf,
    file: File,
    has_tokens: bool,
}

/// What a refresh brought, and for whom it was done.
#[derive(Debug)]
pub struct Brought {
    /// Whose.
    pub agent: AgentName,
    /// Which profile.
    pub profile: ProfileId,
    /// Who gave them out.
    pub endpoint: Endpoint,
    /// The tokens.
    pub tokens: Tokens,
}

fn path_of(dir: &Path, grant: Fingerprint) -> PathBuf {
    dir.join(format!("{}.rescue", grant_name(grant)))
}

impl Rescue {
    /// Makes the file, with room in it, in place of what an earlier refresh left. The caller has the lease, and has taken in what
    /// was there.
    ///
    /// # Errors
    /// When the system refuses, for want of room too.
    pub fn prepare(dir: &Path, grant: Fingerprint) -> Result<Self, FileError> {
        create_private_dir(dir)?;
        let path = path_of(dir, grant);
        remove_if_present(&path)?;
        let mut file = create_private_file(&path)?;
        let made = file
            .write_all(&[0; ROOM])
            .and_then(|()| file.rewind())
            .and_then(|()| file.sync_data());
        if let Err(error) = made {
            let _ = remove_if_present(&path); // the first error is the one to tell
            return Err(FileError::io("make room in", &path)(error));
        }
        Ok(Self {
            path,
            file,
            has_tokens: false,
        })
    }

    /// Keeps what came, durably. What was once written stays, also where it cannot be made durable; keeping it again tries that again.
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
            let blob = vault.seal_rescue(grant, fence, &as_json(brought))?;
            let mut bytes = MAGIC.to_vec();
            bytes.extend_from_slice(&fence.to_be_bytes());
            bytes.extend_from_slice(&u32::try_from(blob.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(&blob);
            let mut file = &self.file;
            let written = file.rewind().and_then(|()| file.write_all(&bytes));
            written.map_err(FileError::io("write", &self.path))?;
            self.has_tokens = true;
        }
        self.file
            .sync_all()
            .map_err(FileError::io("write", &self.path))?;
        Ok(sync_dir(self.path.parent().unwrap_or(Path::new(".")))?)
    }

    /// Whether what came is in the file, durably or not.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        self.has_tokens
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file: what it had is in the vault.
    ///
    /// # Errors
    /// When the system refuses. A file that stays is of another refresh than the next, and is not taken in.
    pub fn remove(dir: &Path, grant: Fingerprint) -> Result<(), FileError> {
        remove_if_present(&path_of(dir, grant)).map(|_| ())
    }

    /// What a refresh of `grant` left, and its fence; nothing if nothing was brought to an end.
    ///
    /// # Errors
    /// When the file is there and cannot be read or trusted.
    pub fn read(
        dir: &Path,
        vault: &UnlockedVault,
        grant: Fingerprint,
    ) -> Result<Option<(i64, Brought)>, FileError> {
        let Some(contents) = read_own(&path_of(dir, grant), Access::Secret, FILE_MAX)? else {
            return Ok(None);
        };
        let opened = Self::sealed_part(&contents.bytes).and_then(|(fence, blob)| {
            let brought = vault.open_rescue(grant, fence, blob)?;
            Some((fence, from_json(&brought)?))
        });
        Ok(opened)
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

impl Drop for Rescue {
    /// Room that was not needed is given back.
    fn drop(&mut self) {
        if !self.has_tokens {
            let _ = remove_if_present(&self.path); // of no harm: the next refresh makes it anew
        }
    }
}
