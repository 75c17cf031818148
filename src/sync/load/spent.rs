//! Refresh tokens that another one has taken the place of: never merged in again, wherever they turn up.

use std::sync::Arc;

use crate::domain::{Credential, Fingerprint, ProfileId, SecretJson, Section, StoreDoc};
use crate::sync::edited::Edited;
use crate::sync::engine::{Engine, LOGIN};
use crate::sync::error::SyncError;
use crate::sync::load::shared::{is_same_account, with_tokens_of};
use crate::sync::load::survey::Takeover;
use crate::sync::merge::Place;

impl Engine<'_> {
    /// What is taken over, without refresh tokens that are spent: a program that had read the store before a refresh writes the old one
    /// back, and copies of it turn up. Where the vault has a better one for the profile, that stays; else what took the token's place is
    /// put in, if anybody has it; else the entry comes without: what is left of it can be used.
    pub(crate) fn without_spent(
        &self,
        mut takeover: Takeover,
        ours: &StoreDoc,
    ) -> Result<Takeover, SyncError> {
        if takeover.doc.is_none() || !self.vault.has_spent_grants()? {
            return Ok(takeover);
        }
        let Some(doc) = takeover.doc.take() else {
            return Ok(takeover);
        };
        let mut mended = Vec::new();
        for (id, entry) in doc.entries(Section::Profiles) {
            let credential = Credential::of(entry);
            let stored = ours.get(Section::Profiles, id);
            let known = stored.map(Credential::of);
            let is_as_stored =
                known.is_some_and(|known| known.expose_refresh() == credential.expose_refresh());
            if is_as_stored || !self.vault.is_spent(&credential)? {
                continue;
            }
            let entry = match known {
                Some(known) if !self.vault.is_spent(&known)? => {
                    stored.cloned().map(SecretJson::new)
                }
                _ => Some(self.successor_of(&SecretJson::new(entry.clone()))?),
            };
            mended.extend(entry.map(|entry| (id.to_owned(), entry)));
        }
        if mended.is_empty() {
            takeover.doc = Some(doc);
            return Ok(takeover);
        }
        let mut doc = Arc::unwrap_or_clone(doc);
        for (id, entry) in &mended {
            doc.set(Section::Profiles, id, entry.expose_secret().clone());
        }
        let spent: Vec<String> = mended.into_iter().map(|(id, _)| id).collect();
        takeover.changes.retain(|change| match &change.place {
            Place::Entry {
                section: Section::Profiles,
                key,
            } => !spent.contains(key) || ours.get(Section::Profiles, key).is_none(),
            _ => true,
        });
        takeover
            .lost
            .retain(|(id, _)| !spent.iter().any(|spent| spent == id.as_str()));
        takeover.doc = Some(doc).filter(|doc| doc != ours).map(Arc::new);
        takeover.spent = spent;
        Ok(takeover)
    }

    /// An entry whose refresh token is spent, with what has taken that token's place; without one where nobody has it.
    fn successor_of(&self, entry: &SecretJson) -> Result<SecretJson, SyncError> {
        let refresh = Credential::of(entry.expose_secret()).expose_refresh();
        let grant = self.vault.fingerprint(refresh.unwrap_or_default());
        if let Some(found) = self.holder_of_successor(grant, entry)? {
            return Ok(with_tokens_of(entry, &found));
        }
        let mut entry = entry.expose_secret().clone();
        if let Some(fields) = entry.as_object_mut() {
            fields.insert("refresh".to_owned(), "".into());
        }
        Ok(SecretJson::new(entry))
    }

    /// Somebody's entry with the grant that took a spent one's place, of the same account as far as can be told.
    pub(crate) fn holder_of_successor(
        &self,
        grant: Fingerprint,
        entry: &SecretJson,
    ) -> Result<Option<SecretJson>, SyncError> {
        let successor = self.vault.successor(grant)?;
        if successor == grant {
            return Ok(None);
        }
        for agent in self.vault.agents()? {
            let state = self.vault.agent(&agent)?;
            for (_, other) in state.doc.entries(Section::Profiles) {
                let refresh = Credential::of(other).expose_refresh();
                if refresh.is_some_and(|refresh| self.vault.fingerprint(refresh) == successor)
                    && is_same_account(entry.expose_secret(), other)
                {
                    return Ok(Some(SecretJson::new(other.clone())));
                }
            }
        }
        Ok(None)
    }

    /// A command may have read a credential before a refresh replaced its token, and bring it after that.
    pub(crate) fn check_nothing_spent(
        &self,
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
            if credential.expose_refresh() != before && self.vault.is_spent(&credential)? {
                let profile = ProfileId::new(id);
                return Err(SyncError::SpentMeanwhile { profile });
            }
        }
        Ok(())
    }
}
