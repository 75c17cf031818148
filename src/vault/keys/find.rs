//! Finding a slot's key: in key files, in the keychain, in what a person types.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::sources::{KeySources, account};
use crate::crypto::{
    Argon2id, SlotKey, SlotKind, SlotRecord, has_recovery_code_form, parse_keyfile,
    parse_recovery_code,
};
use crate::domain::{VaultId, shown_path};
use crate::platform::{Access, Keychain, read_secret};
use crate::vault::error::{KEYCHAIN, KeyProblem};

/// A key file is three short lines.
const KEYFILE_LIMIT: u64 = 4096;
/// How much work one passphrase may cost, over all slots: as much as the one slot that asks for the
/// most that is taken. Without it, slots that somebody planted could make each try take minutes.
/// The slots that this program makes are the cheapest that are taken, and are tried first: 16 of
/// them are a fifth of this.
const WORK_MAX: u64 = Argon2id::WORK_MAX;
/// What the name of a key file ends in that replaces another once the vault is sealed.
const NEW_SUFFIX: &str = ".new";

/// Reads the key file at `path`; `None` if there is none. A link is refused, since a replaced key
/// takes the place of the file, unless it leads to a mounted secret.
pub(super) fn from_file(path: &Path) -> Result<Option<SlotKey>, KeyProblem> {
    let Some(contents) = read_secret(path, Access::Secret, KEYFILE_LIMIT)? else {
        return Ok(None);
    };
    let not_one = || KeyProblem::NotAKeyFile {
        path: path.to_owned(),
    };
    parse_keyfile(&contents.bytes).map(Some).ok_or_else(not_one)
}

/// Where the key file lies that is to take the place of the one at `path`.
pub(in crate::vault) fn new_key_file(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(NEW_SUFFIX);
    name.into()
}

/// A key file that opens a slot.
pub(in crate::vault) struct FoundFile {
    pub(in crate::vault) key: SlotKey,
    /// Where a key file of its kind belongs.
    pub(in crate::vault) place: PathBuf,
    /// Whether this is a new key whose process was killed before it replaced the old file.
    pub(in crate::vault) is_new: bool,
}

/// Reads the slot's key from the first place that has a key file.
pub(in crate::vault) fn from_files(
    sources: &KeySources<'_>,
    vault: VaultId,
    slot: &SlotRecord,
) -> Result<FoundFile, KeyProblem> {
    for place in sources.keyfiles(vault) {
        let is_right = |key: &SlotKey| slot.accepts(vault, key);
        let mut is_there = false;
        // At its place once more: another process may have put the new file there after the first
        // look and before the second.
        for is_new in [false, true, false] {
            let found = match is_new {
                true => from_file(&new_key_file(&place)).unwrap_or(None),
                false => from_file(&place)?,
            };
            is_there |= found.is_some() && !is_new;
            if let Some(key) = found.filter(is_right) {
                return Ok(FoundFile { key, place, is_new });
            }
        }
        if is_there {
            let place = shown_path(&place).into_owned();
            return Err(KeyProblem::WrongKey { place });
        }
    }
    let path = sources
        .named_keyfile
        .clone()
        .unwrap_or_else(|| sources.own_keyfile(vault));
    Err(KeyProblem::NoKeyFile { path })
}

/// Reads the slot's key from the keychain. An item that is not 32 bytes is not its key.
pub(super) fn from_keychain(
    keychain: &dyn Keychain,
    vault: VaultId,
    slot: &SlotRecord,
) -> Result<SlotKey, KeyProblem> {
    let found = keychain.get(&account(vault, slot.key_id))?;
    let bytes: Zeroizing<Vec<u8>> = found.ok_or(KeyProblem::NotInKeychain {
        key_id: slot.key_id,
    })?;
    let wrong = || KeyProblem::WrongKey {
        place: KEYCHAIN.to_owned(),
    };
    SlotKey::from_bytes(&bytes)
        .filter(|key| slot.accepts(vault, key))
        .ok_or_else(wrong)
}

/// The slot that a passphrase or recovery code opens, and its key.
pub(super) fn from_secret<'s>(
    secret: &SecretString,
    vault: VaultId,
    slots: &'s [SlotRecord],
) -> Result<(&'s SlotRecord, SlotKey), KeyProblem> {
    let of = |kind| slots.iter().filter(move |slot| slot.kind == kind);
    let mut problem = KeyProblem::WrongSecret;
    let is_code = has_recovery_code_form(secret) || of(SlotKind::Passphrase).next().is_none();
    if of(SlotKind::Recovery).next().is_some() && is_code {
        match parse_recovery_code(secret) {
            Ok(key) => {
                if let Some(slot) = of(SlotKind::Recovery).find(|slot| slot.accepts(vault, &key)) {
                    return Ok((slot, key));
                }
            }
            // or a passphrase of many words
            Err(fault) => problem = KeyProblem::RecoveryCode(fault),
        }
    }
    let mut derivations = Vec::new();
    for slot in of(SlotKind::Passphrase) {
        match slot.kdf.as_deref().and_then(Argon2id::parse) {
            Some(kdf) => derivations.push((kdf, slot)),
            None => problem = KeyProblem::BadParameters { slot: slot.slot },
        }
    }
    derivations.sort_by_key(|(kdf, _)| kdf.work());
    let mut work_left = WORK_MAX;
    for (at, (kdf, slot)) in derivations.iter().enumerate() {
        let Some(left) = work_left.checked_sub(kdf.work()) else {
            let not_tried = derivations.get(at..).unwrap_or_default();
            let slots = not_tried.iter().map(|(_, slot)| slot.slot).collect();
            return Err(KeyProblem::TooCostly { slots });
        };
        work_left = left;
        let key = kdf
            .derive(secret)
            .map_err(|_| KeyProblem::NoMemory { slot: slot.slot })?;
        if slot.accepts(vault, &key) {
            return Ok((slot, key));
        }
    }
    Err(problem)
}
