//! New keys for the slots that a vault has, since the old ones may have become known.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;

use super::add_remove::AddedKey;
use crate::crypto::{SlotKey, SlotKind, SlotRecord};
use crate::domain::{KeyId, VaultId};
use crate::platform::{QueueLock, check_replaceable, is_mounted_secret, remove_if_present};
use crate::vault::error::{KeyProblem, VaultError};
use crate::vault::file::journal::LogState;
use crate::vault::file::paths::lock;
use crate::vault::keys::find::{from_files, new_key_file};
use crate::vault::keys::keep::{
    Kept, as_code, from_passphrase, keep_in_keychain, keep_in_new_file, put_in_place,
};
use crate::vault::keys::slots;
use crate::vault::keys::sources::{KeySources, RotationScope};
use crate::vault::keys::unlocked::UnlockedVault;

/// A slot's new key, kept beside the old one until the vault is sealed under it.
pub(in crate::vault) struct NewSlotKey {
    pub(in crate::vault) slot: i64,
    /// Names the key in whose place it comes.
    before: KeyId,
    pub(in crate::vault) kept: Kept,
    /// Where its key file belongs.
    place: Option<PathBuf>,
}

impl NewSlotKey {
    /// The slot as it will be; what is wrapped in it is still to come.
    pub(in crate::vault) fn record(&self, vault: VaultId) -> SlotRecord {
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
    pub(in crate::vault) fn finish(&self, vault: VaultId) {
        if let Some(place) = &self.place {
            let _: Result<(), VaultError> = put_in_place(vault, &self.record(vault), place);
        }
    }

    pub(super) fn into_added(self, log: LogState) -> AddedKey {
        AddedKey {
            slot: self.slot,
            kind: self.kept.kind,
            keyfile: self.place,
            code: self.kept.code,
            log,
        }
    }
}

/// The new keys of the slots, made before a rotation: each is kept where its kind says, beside the
/// old one. Dropping this removes them, unless the vault may be sealed under them by then.
///
/// Meanwhile no other process adds, removes or replaces a slot: two processes that replace a key
/// file would each take the other's for a leftover.
pub(crate) struct Prepared<'r> {
    vault: VaultId,
    scope: RotationScope<'r>,
    new_keys: Vec<NewSlotKey>,
    may_count: bool,
    _lock: QueueLock,
}

impl UnlockedVault {
    /// Makes new keys for the slots, if they are to get some, and shows those that are to be shown.
    /// Fails when one cannot be kept or shown, or another process replaced the keys so that this
    /// one cannot follow. Nothing is left of the others then.
    pub(crate) fn prepare<'r>(
        &mut self,
        scope: RotationScope<'r>,
    ) -> Result<Prepared<'r>, VaultError> {
        self.require_writable()?;
        let mut prepared = Prepared {
            _lock: lock(&self.path)?,
            vault: self.id,
            scope,
            new_keys: Vec::new(),
            may_count: false,
        };
        self.reload_keys()?;
        let RotationScope::Everything {
            sources,
            passphrases,
            show,
        } = scope
        else {
            return Ok(prepared);
        };
        let (slots, others) = slots::read_all(&self.conn, &self.path)?;
        if let Some(other) = others.into_iter().next() {
            return Err(VaultError::KeyNotKept(other));
        }
        for slot in &slots {
            let new = make_new_key(self.id, slot, sources, passphrases)?;
            prepared.new_keys.push(new);
        }
        for new in &prepared.new_keys {
            if let Some(code) = &new.kept.code {
                show(new.slot, code).map_err(|_| VaultError::KeyNotKept(KeyProblem::NotShown))?;
            }
        }
        Ok(prepared)
    }
}

impl Prepared<'_> {
    /// Whether the slots' own keys are replaced, and the record's.
    pub(super) fn is_everything(&self) -> bool {
        matches!(self.scope, RotationScope::Everything { .. })
    }

    pub(in crate::vault) fn of(&self, slot: &SlotRecord) -> Option<&NewSlotKey> {
        let mut new_keys = self.new_keys.iter();
        new_keys.find(|new| new.slot == slot.slot && new.before == slot.key_id)
    }

    pub(super) fn key_of(&self, slot: i64) -> Option<&SlotKey> {
        let new = self.new_keys.iter().find(|new| new.slot == slot)?;
        Some(&new.kept.key)
    }

    /// From here on the vault may be sealed under the new keys.
    pub(super) fn may_count(&mut self) {
        self.may_count = true;
    }

    pub(super) fn take_new_keys(&mut self) -> Vec<NewSlotKey> {
        std::mem::take(&mut self.new_keys)
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if let (RotationScope::Everything { sources, .. }, false) = (self.scope, self.may_count) {
            for new in &self.new_keys {
                new.kept.discard(sources, self.vault);
            }
        }
    }
}

fn make_new_key(
    vault: VaultId,
    slot: &SlotRecord,
    sources: &KeySources<'_>,
    passphrases: &BTreeMap<i64, SecretString>,
) -> Result<NewSlotKey, VaultError> {
    let mut place = None;
    let kept = match slot.kind {
        SlotKind::Keychain => keep_in_keychain(sources.keychain, vault)
            .map_err(|error| VaultError::KeyNotKept(error.into()))?,
        SlotKind::Keyfile => {
            let found = from_files(sources, vault, slot).map_err(VaultError::KeyNotKept)?;
            let is_credential = sources.credential_keyfile.as_ref() == Some(&found.place);
            if is_credential || is_mounted_secret(&found.place) {
                let path = found.place;
                return Err(VaultError::KeyNotKept(KeyProblem::Provided { path }));
            }
            // The new one could never take its place.
            check_replaceable(&found.place)?;
            let new = new_key_file(&found.place);
            if !found.is_new {
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
    Ok(NewSlotKey {
        slot: slot.slot,
        before: slot.key_id,
        kept,
        place,
    })
}
