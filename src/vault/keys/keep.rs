//! Keeping a new slot's key where its kind says, before anything is sealed under it.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::find::{from_file, new_key_file};
use super::sources::{KeySources, account};
use crate::crypto::{
    Argon2id, RecoveryCode, SlotKey, SlotKind, SlotRecord, keyfile_text, random_bytes,
};
use crate::domain::{KeyId, VaultId};
use crate::platform::{
    Access, FileError, Keychain, KeychainError, check_trusted, create_private_dir, exists,
    persist_noclobber, remove_if_present, rename_durably, sync_dir, sync_file, temporary_in,
};
use crate::vault::error::{KeyProblem, VaultError};
use crate::vault::file::paths::lock;

/// A key for a new slot.
#[derive(Clone, Debug)]
pub enum NewKey {
    /// A random one, in the keychain.
    Keychain,
    /// A random one, in a key file: the one that the user named, or this program's own of the
    /// vault. A key file that the user or the service manager provides is used as it is.
    Keyfile,
    /// One derived from a passphrase, checked by [`crate::crypto::check_passphrase`].
    Passphrase(SecretString),
    /// A random one, shown once as a recovery code.
    Recovery,
}

/// A slot's key that is kept where its kind says.
pub(in crate::vault) struct Kept {
    pub(in crate::vault) key: SlotKey,
    pub(in crate::vault) key_id: KeyId,
    pub(in crate::vault) kind: SlotKind,
    /// The parameters of a passphrase.
    pub(in crate::vault) kdf: Option<String>,
    pub(in crate::vault) keyfile: Option<PathBuf>,
    /// The key file was there before.
    provided: bool,
    /// What is to be shown once.
    pub(in crate::vault) code: Option<RecoveryCode>,
}

impl Kept {
    fn new(kind: SlotKind, key: SlotKey) -> Result<Self, VaultError> {
        Ok(Self {
            key,
            key_id: KeyId(random_bytes()?),
            kind,
            kdf: None,
            keyfile: None,
            provided: false,
            code: None,
        })
    }

    /// Takes back a key that nothing was sealed under after all. A key that was provided stays.
    pub(in crate::vault) fn discard(&self, sources: &KeySources<'_>, vault: VaultId) {
        // The error that led here is the one to report; a key left behind opens nothing.
        match (self.kind, &self.keyfile) {
            (SlotKind::Keychain, _) => {
                let _ = sources.keychain.delete(&account(vault, self.key_id));
            }
            (SlotKind::Keyfile, Some(path)) if !self.provided => {
                let _ = remove_if_present(path);
            }
            _ => {}
        }
    }
}

/// Makes a new slot's key and keeps it.
pub(in crate::vault) fn keep(
    new: &NewKey,
    sources: &KeySources<'_>,
    vault: VaultId,
) -> Result<Kept, VaultError> {
    match new {
        NewKey::Keychain => keep_in_keychain(sources.keychain, vault)
            .map_err(|error| VaultError::KeyNotKept(error.into())),
        NewKey::Keyfile => keep_in_file(sources, vault),
        NewKey::Passphrase(passphrase) => from_passphrase(passphrase),
        NewKey::Recovery => as_code(),
    }
}

/// Why the keychain did not keep a key; whatever else goes wrong counts as the keychain's too.
pub(in crate::vault) fn keep_in_keychain(
    keychain: &dyn Keychain,
    vault: VaultId,
) -> Result<Kept, KeychainError> {
    let made = || Kept::new(SlotKind::Keychain, SlotKey::generate()?);
    // Without random numbers nothing else would work either.
    let kept = made().map_err(|_: VaultError| KeychainError::NotKept)?;
    // It is read back before the keychain says yes.
    keychain.set(&account(vault, kept.key_id), kept.key.expose_secret())?;
    Ok(kept)
}

pub(in crate::vault) fn from_passphrase(passphrase: &SecretString) -> Result<Kept, VaultError> {
    let kdf = Argon2id::generate()?;
    let kept = Kept::new(SlotKind::Passphrase, kdf.derive(passphrase)?)?;
    Ok(Kept {
        kdf: Some(kdf.to_string()),
        ..kept
    })
}

pub(in crate::vault) fn as_code() -> Result<Kept, VaultError> {
    let key = SlotKey::generate()?;
    let code = Some(RecoveryCode::of(&key));
    Ok(Kept {
        code,
        ..Kept::new(SlotKind::Recovery, key)?
    })
}

/// A provided key file is used as it is; else a new one is written.
fn keep_in_file(sources: &KeySources<'_>, vault: VaultId) -> Result<Kept, VaultError> {
    for path in sources
        .named_keyfile
        .iter()
        .chain(&sources.credential_keyfile)
    {
        if let Some(key) = from_file(path).map_err(VaultError::KeyNotKept)? {
            return Ok(Kept {
                keyfile: Some(path.clone()),
                provided: true,
                ..Kept::new(SlotKind::Keyfile, key)?
            });
        }
    }
    let path = sources
        .named_keyfile
        .clone()
        .unwrap_or_else(|| sources.own_keyfile(vault));
    keep_in_new_file(&path, vault)
}

/// A new key, in a file that was not there.
pub(in crate::vault) fn keep_in_new_file(path: &Path, vault: VaultId) -> Result<Kept, VaultError> {
    let kept = Kept::new(SlotKind::Keyfile, SlotKey::generate()?)?;
    into_file(path, vault, &kept.key).map_err(|error| match &error {
        FileError::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
            let path = path.to_owned();
            VaultError::KeyNotKept(KeyProblem::InTheWay { path })
        }
        _ => VaultError::KeyNotKept(error.into()),
    })?;
    Ok(Kept {
        keyfile: Some(path.to_owned()),
        ..kept
    })
}

/// Writes a key file that was not there, whole and durably: half a key file, left by a killed
/// process, would stand in the way of every later try.
fn into_file(path: &Path, vault: VaultId, key: &SlotKey) -> Result<(), FileError> {
    use std::io::Write as _;
    let dir = path.parent().unwrap_or(Path::new("."));
    create_private_dir(dir)?;
    let mut file = temporary_in(dir).map_err(FileError::io("create a file in", dir))?;
    if cfg!(windows) {
        // Whether its access-control list could be set shows in reading it back alone.
        check_trusted(file.path(), Access::Secret)?;
    }
    file.write_all(keyfile_text(vault, key).as_bytes())
        .and_then(|()| sync_file(file.as_file()))
        .map_err(FileError::io("write", path))?;
    persist_noclobber(file, path).map_err(FileError::io("create", path))?;
    sync_dir(dir).inspect_err(|_| {
        // It may not last, so nothing is sealed under it. The first error is the one to report.
        let _ = remove_if_present(path);
    })
}

/// Names a key file that was not right; used by the callers that add one.
pub(in crate::vault) fn taken(slot: i64) -> VaultError {
    VaultError::KeyNotKept(KeyProblem::InUse { slot })
}

/// Completes the replacement of a key file whose process was interrupted: see [`put_in_place`]. If
/// that fails, the vault opens with the new file where it is.
pub(super) fn finish_keyfile(vault_file: &Path, vault: VaultId, slot: &SlotRecord, place: &Path) {
    let finish = || {
        let _lock = lock(vault_file)?;
        put_in_place(vault, slot, place)
    };
    let _: Result<(), VaultError> = finish();
}

/// Puts the new key file in place of the one at `place`, if it is the slot's. The old one stays
/// beside it, for older copies of the vault. To be called under the vault's lock.
pub(in crate::vault) fn put_in_place(
    vault: VaultId,
    slot: &SlotRecord,
    place: &Path,
) -> Result<(), VaultError> {
    let is_right = |path: &Path| {
        let key = from_file(path).ok().flatten();
        key.is_some_and(|key| slot.accepts(vault, &key))
    };
    let new = new_key_file(place);
    if is_right(place) || !is_right(&new) {
        return Ok(());
    }
    let beside = |n: u32| {
        let mut name = place.as_os_str().to_owned();
        name.push(format!(".replaced-{n}"));
        PathBuf::from(name)
    };
    let aside = (1..).map(beside).find(|path| !exists(path));
    if let Some(aside) = aside.filter(|_| exists(place)) {
        // Where there are no links, there is no key file at its place for a moment; the new one is
        // found beside it then.
        std::fs::hard_link(place, &aside)
            .or_else(|_| std::fs::rename(place, &aside))
            .map_err(FileError::io("keep", &aside))?;
    }
    rename_durably(&new, place)?;
    sync_dir(place.parent().unwrap_or(Path::new(".")))?;
    Ok(())
}
