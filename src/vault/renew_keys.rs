//! New keys for the slots that a vault has, since the old ones may have become known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::error::{KeyProblem, VaultError};
use super::file::lock;
use super::find_key::{from_file, from_files, renewed};
use super::keep_key::{Kept, as_code, from_passphrase, keep_in_keychain, keep_in_new_file};
use super::key_changes::AddedKey;
use super::unlock::KeySources;
use super::{UnlockedVault, key_slots};
use crate::crypto::{SlotKind, SlotRecord};
use crate::domain::VaultId;
use crate::platform::{FileError, exists, remove_if_present, rename_durably, sync_dir};

/// A slot's new key, kept beside the old one until the vault is sealed under it.
pub(super) struct Renewed {
    pub(super) slot: i64,
    pub(super) kept: Kept,
    /// Where its key file belongs.
    place: Option<PathBuf>,
}

impl Renewed {
    /// The slot as it will be; what is wrapped in it is still to come.
    pub(super) fn record(&self, vault: VaultId) -> SlotRecord {
        SlotRecord {
            slot: self.slot,
            kind: self.kept.kind,
            key_id: self.kept.key_id,
            check: self.kept.key.check_value(vault),
            kdf: self.kept.kdf.clone(),
            wrapped: Vec::new(),
        }
    }

    /// Puts the new key file in the old one's place.
    pub(super) fn finish(&self, vault_file: &Path, vault: VaultId) {
        if let Some(place) = &self.place {
            finish_keyfile(vault_file, vault, &self.record(vault), place);
        }
    }

    pub(super) fn into_added(self) -> AddedKey {
        AddedKey {
            slot: self.slot,
            kind: self.kept.kind,
            keyfile: self.place,
            code: self.kept.code,
        }
    }
}

/// Makes a new key for every slot and keeps it, the old one still being there.
pub(super) fn renew(
    vault: &UnlockedVault,
    sources: &KeySources<'_>,
    passphrases: &BTreeMap<i64, SecretString>,
) -> Result<Vec<Renewed>, VaultError> {
    let (slots, others) = key_slots::read_all(&vault.conn, &vault.path)?;
    if let Some(other) = others.into_iter().next() {
        return Err(VaultError::KeyNotKept(other));
    }
    let mut done: Vec<Renewed> = Vec::new();
    for slot in &slots {
        match renew_one(vault.id, slot, sources, passphrases) {
            Ok(new) => done.push(new),
            Err(error) => {
                let all = done.iter();
                all.for_each(|new| new.kept.discard(sources, vault.id));
                return Err(error);
            }
        }
    }
    Ok(done)
}

fn renew_one(
    vault: VaultId,
    slot: &SlotRecord,
    sources: &KeySources<'_>,
    passphrases: &BTreeMap<i64, SecretString>,
) -> Result<Renewed, VaultError> {
    let mut place = None;
    let kept = match slot.kind {
        SlotKind::Keychain => keep_in_keychain(sources.keychain, vault)
            .map_err(|error| VaultError::KeyNotKept(error.into()))?,
        SlotKind::Keyfile => {
            let found = from_files(sources, vault, slot).map_err(VaultError::KeyNotKept)?;
            if sources.credential_keyfile.as_ref() == Some(&found.place) {
                let path = found.place;
                return Err(VaultError::KeyNotKept(KeyProblem::Provided { path }));
            }
            let new = renewed(&found.place);
            if !found.is_renewed {
                remove_if_present(&new)?; // of a rotation that was killed before it counted
            }
            let kept = keep_in_new_file(&new, vault)?;
            place = Some(found.place);
            kept
        }
        SlotKind::Passphrase => {
            let none = VaultError::KeyNotKept(KeyProblem::NoSecret);
            from_passphrase(passphrases.get(&slot.slot).ok_or(none)?)?
        }
        SlotKind::Recovery => as_code()?,
    };
    Ok(Renewed {
        slot: slot.slot,
        kept,
        place,
    })
}

/// Puts the key file that takes the place of the one at `place` there, if it is the slot's; the old one stays beside it, since it
/// opens older copies of the vault. Whoever finds it undone does it; where it cannot be done, the vault opens with the new one
/// where it is.
pub(super) fn finish_keyfile(vault_file: &Path, vault: VaultId, slot: &SlotRecord, place: &Path) {
    let finish = || -> Result<(), VaultError> {
        let _lock = lock(vault_file)?;
        let is_right = |path: &Path| {
            let key = from_file(path, 0o077).ok().flatten();
            key.is_some_and(|key| slot.accepts(vault, &key))
        };
        let new = renewed(place);
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
            std::fs::hard_link(place, &aside).map_err(FileError::io("keep", &aside))?;
        }
        rename_durably(&new, place)?;
        sync_dir(place.parent().unwrap_or(Path::new(".")))?;
        Ok(())
    };
    let _: Result<(), VaultError> = finish();
}
