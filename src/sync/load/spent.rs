//! Refresh tokens that were replaced: by what, and that no command puts one back.

use super::shared::{is_same_account, with_tokens_of};
use crate::domain::{Credential, Fingerprint, ProfileId, SecretJson, Section, StoreDoc};
use crate::sync::edited::{Edited, LOGIN};
use crate::sync::error::SyncError;
use crate::vault::UnlockedVault;

/// An entry whose refresh token is used up, with the token that replaced it; without one where no
/// profile has that.
pub(crate) fn successor_of(
    vault: &UnlockedVault,
    entry: &SecretJson,
) -> Result<SecretJson, SyncError> {
    let refresh = Credential::of(entry.expose_secret()).expose_refresh();
    let grant = vault.fingerprint(refresh.unwrap_or_default());
    if let Some(found) = holder_of_successor(vault, grant, entry)? {
        return Ok(with_tokens_of(entry, &found));
    }
    let mut entry = entry.expose_secret().clone();
    if let Some(fields) = entry.as_object_mut() {
        fields.insert("refresh".to_owned(), "".into());
    }
    Ok(SecretJson::new(entry))
}

/// Any agent's entry with the grant that replaced a used-up one, of the same account.
pub(crate) fn holder_of_successor(
    vault: &UnlockedVault,
    grant: Fingerprint,
    entry: &SecretJson,
) -> Result<Option<SecretJson>, SyncError> {
    let successor = vault.successor(grant)?;
    if successor == grant {
        return Ok(None);
    }
    for agent in vault.agents()? {
        let state = vault.agent(&agent)?;
        for (_, other) in state.doc.entries(Section::Profiles) {
            let refresh = Credential::of(other).expose_refresh();
            if refresh.is_some_and(|refresh| vault.fingerprint(refresh) == successor)
                && is_same_account(entry.expose_secret(), other)
            {
                return Ok(Some(SecretJson::new(other.clone())));
            }
        }
    }
    Ok(None)
}

/// Refuses an edit that puts a used-up refresh token in: a command may have read a credential
/// before a refresh replaced its token.
pub(crate) fn check_nothing_spent(
    vault: &UnlockedVault,
    base: &StoreDoc,
    edited: &Edited,
) -> Result<(), SyncError> {
    let Some(doc) = edited
        .doc
        .as_ref()
        .filter(|_| edited.by.means != Some(LOGIN))
    else {
        return Ok(());
    };
    for (id, credential) in doc.credentials() {
        let before = base.credential(id);
        let before = before.and_then(|before| before.expose_refresh());
        if credential.expose_refresh() != before && vault.is_spent(&credential)? {
            let profile = ProfileId::new(id);
            return Err(SyncError::SpentMeanwhile { profile });
        }
    }
    Ok(())
}
