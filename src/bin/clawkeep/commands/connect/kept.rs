//! What a program's settings were before it was connected: a copy, sealed with the vault's key,
//! since settings may hold secrets. It is a file of its own, so the vault's schema stays.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clawkeep::internal::config::CONNECTIONS;
use clawkeep::internal::domain::{Owner, SecretJson};
use clawkeep::internal::platform::{
    Access, FileError, create_private_dir, persist, read_own, remove_if_present, sync_dir,
    sync_file, temporary_in,
};
use clawkeep::internal::vault::UnlockedVault;
use data_encoding::BASE64;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::failure::Failure;

/// How the file begins; what is sealed comes after it.
const MAGIC: &[u8] = b"clawkeep copy 1\n";
/// The largest copy, in bytes: two settings files in base64.
const COPY_MAX: u64 = 8 << 20;

/// What was kept when a program was connected.
pub(super) struct Kept {
    /// The settings before; `None` if there was no file.
    pub(super) before: Option<Zeroizing<Vec<u8>>>,
    /// The settings as they were written.
    pub(super) after: Zeroizing<Vec<u8>>,
    /// The value that was replaced.
    pub(super) previous: Option<String>,
}

impl Kept {
    pub(super) fn to_json(&self) -> SecretJson {
        let before = self.before.as_ref().map(|bytes| BASE64.encode(bytes));
        SecretJson::new(json!({
            "before": before,
            "after": BASE64.encode(&self.after),
            "previous": self.previous,
        }))
    }

    pub(super) fn from_json(copy: &SecretJson) -> Option<Self> {
        let copy = copy.expose_secret();
        Some(Self {
            before: copy.get("before").and_then(bytes_of),
            after: copy.get("after").and_then(bytes_of)?,
            previous: copy
                .get("previous")
                .and_then(Value::as_str)
                .map(str::to_owned),
        })
    }
}

/// Bytes that a copy has as base64.
pub(super) fn bytes_of(value: &Value) -> Option<Zeroizing<Vec<u8>>> {
    let text = value.as_str()?.as_bytes();
    BASE64.decode(text).ok().map(Zeroizing::new)
}

/// Where the copy of a program's settings is.
pub(super) fn file(context: &Context, owner: Owner) -> PathBuf {
    context.layout.connected_dir().join(owner.as_str())
}

/// Keeps a copy, durably.
pub(super) fn keep(
    context: &Context,
    vault: &UnlockedVault,
    owner: Owner,
    copy: &SecretJson,
) -> Result<(), Failure> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(vault.seal_copy(owner.as_str(), copy)?);
    let path = file(context, owner);
    let dir = context.layout.connected_dir();
    create_private_dir(&dir)?;
    let written = || -> std::io::Result<()> {
        let mut file = temporary_in(&dir)?;
        file.write_all(&bytes)?;
        sync_file(file.as_file())?;
        persist(file, &path)
    };
    written().map_err(|source| FileError::Io {
        action: "write",
        path: path.clone(),
        source,
    })?;
    Ok(sync_dir(&dir)?)
}

/// Reads the copy; `None` if there is none, or it does not open with the vault's present key.
pub(super) fn read(
    context: &Context,
    vault: &UnlockedVault,
    owner: Owner,
) -> Result<Option<SecretJson>, Failure> {
    let contents = read_own(&file(context, owner), Access::Secret, COPY_MAX)?;
    Ok(contents.and_then(|contents| {
        let sealed = contents.bytes.strip_prefix(MAGIC)?;
        vault.open_copy(owner.as_str(), sealed)
    }))
}

/// The copies that open now, each with its program: what a rotation of the data key is to reseal.
pub(crate) fn read_all(
    context: &Context,
    vault: &UnlockedVault,
) -> Result<Vec<(Owner, SecretJson)>, Failure> {
    let known = CONNECTIONS.iter().map(|connection| connection.owner);
    let mut copies = Vec::new();
    for owner in known.chain([Owner::OpenClaw]) {
        let copy = read(context, vault, owner)?;
        copies.extend(copy.map(|copy| (owner, copy)));
    }
    Ok(copies)
}

/// Seals copies again with the vault's new data key.
pub(crate) fn reseal(context: &Context, vault: &UnlockedVault, copies: &[(Owner, SecretJson)]) {
    for (owner, copy) in copies {
        if let Err(failure) = keep(context, vault, *owner, copy) {
            context.ui.warn(&format!(
                "Warning: the settings of {} from before clawkeep connect are lost: {}",
                owner.program(),
                failure.lines().join(" ")
            ));
        }
    }
}

pub(super) fn forget(context: &Context, owner: Owner) -> Result<(), Failure> {
    let path = file(context, owner);
    remove_if_present(&path)?;
    let dir = path.parent().filter(|dir| dir.is_dir());
    Ok(dir.map_or(Ok(()), |dir: &Path| sync_dir(dir))?)
}
