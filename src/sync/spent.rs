//! Refresh tokens that another one has taken the place of: never merged in again, wherever they turn up.

use std::sync::Arc;

use super::engine::Engine;
use super::error::SyncError;
use super::merge::Place;
use super::survey::Takeover;
use crate::domain::{Section, StoreDoc};

impl Engine<'_> {
    /// What is taken over, without the credentials whose refresh token is spent where the vault has one that is not: a program that
    /// had read the store before a refresh writes the old one back.
    pub(super) fn without_spent(
        &self,
        mut takeover: Takeover,
        ours: &StoreDoc,
    ) -> Result<Takeover, SyncError> {
        let Some(doc) = takeover.doc.take() else {
            return Ok(takeover);
        };
        let mut spent = Vec::new();
        for (id, credential) in doc.credentials() {
            let Some(stored) = ours.credential(id) else {
                continue;
            };
            if credential.expose_refresh() != stored.expose_refresh()
                && self.vault.is_spent(&credential)?
                && !self.vault.is_spent(&stored)?
            {
                spent.push(id.to_owned());
            }
        }
        if spent.is_empty() {
            takeover.doc = Some(doc);
            return Ok(takeover);
        }
        let mut doc = Arc::unwrap_or_clone(doc);
        for id in &spent {
            if let Some(entry) = ours.get(Section::Profiles, id) {
                doc.set(Section::Profiles, id, entry.clone());
            }
        }
        takeover.changes.retain(|change| match &change.place {
            Place::Entry {
                section: Section::Profiles,
                key,
            } => !spent.contains(key),
            _ => true,
        });
        takeover
            .lost
            .retain(|(id, _)| !spent.iter().any(|spent| spent == id.as_str()));
        takeover.doc = Some(doc).filter(|doc| doc != ours).map(Arc::new);
        takeover.spent = spent;
        Ok(takeover)
    }
}
