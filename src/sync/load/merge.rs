//! The second step of a load: what another program wrote into the store file, or what an older
//! store holds, merged into the document of the vault.
//!
//! Refresh tokens that are used up are never merged in again, wherever they turn up.

use std::sync::Arc;

use serde_json::Value;

use super::old_copy::{self, OldCopy};
use super::shared::{Exchanged, is_same_account, with_tokens_of};
use super::spent::successor_of;
use super::step::Step;
use super::survey::Survey;
use crate::domain::{AgentName, Credential, Owner, ProfileId, SecretJson, Section, StoreDoc};
use crate::export::StoreReading;
use crate::sync::error::SyncError;
use crate::sync::merge::{Change, Place, Side, changes_of_file, merge};
use crate::sync::notice::{Notice, Writer};
use crate::vault::UnlockedVault;

/// A document that another program's changes were merged into, or an older store's content.
pub(crate) struct StoreMerge {
    /// The result, where it is not what the vault has; often the file's own document.
    pub(crate) doc: Option<Arc<StoreDoc>>,
    /// Credentials of the file that gave way to the vault's: kept as versions.
    pub(crate) lost: Vec<(ProfileId, SecretJson)>,
    /// What changed on which side.
    pub(crate) changes: Vec<Change>,
    /// Where the changes came from.
    pub(crate) step: Step<'static>,
    /// Profiles that stay as the vault has them, since the file's refresh token is used up.
    pub(crate) spent: Vec<String>,
    /// The file is an old copy: its profiles and orders were not merged.
    pub(crate) old_copy: Option<OldCopy>,
}

impl StoreMerge {
    pub(crate) fn nothing() -> Self {
        Self::of(None, Step::Merge { first: false })
    }

    fn of(doc: Option<Arc<StoreDoc>>, step: Step<'static>) -> Self {
        Self {
            doc,
            lost: Vec::new(),
            changes: Vec::new(),
            step,
            spent: Vec::new(),
            old_copy: None,
        }
    }
}

/// Merges what the store file says, or what an older store holds.
pub(crate) fn merge_store(vault: &UnlockedVault, survey: &Survey) -> Result<StoreMerge, SyncError> {
    // What the vault lacks must not be mistaken for removed, nor what only the file has for new.
    if !survey.state.unopened.is_empty() {
        return Ok(StoreMerge::nothing());
    }
    match &survey.file {
        StoreReading::Parsed { doc: file, .. } => merge_file(vault, survey, file),
        _ => settle_tokens(vault, merge_legacy(survey), &survey.state.doc),
    }
}

/// Merges what another program made of the document that was last known to be in the file.
pub(crate) fn merge_file(
    vault: &UnlockedVault,
    survey: &Survey,
    theirs: &Arc<StoreDoc>,
) -> Result<StoreMerge, SyncError> {
    settle_tokens(vault, merge_documents(survey, theirs), &survey.state.doc)
}

/// Keeps refresh tokens that are used up out of a merge, and gives new ones to all profiles of the
/// agent that share a login.
fn settle_tokens(
    vault: &UnlockedVault,
    merge: StoreMerge,
    ours: &StoreDoc,
) -> Result<StoreMerge, SyncError> {
    let merge = without_spent(vault, merge, ours)?;
    Ok(spread(vault, merge, ours))
}

fn merge_legacy(survey: &Survey) -> StoreMerge {
    let ours = &survey.state.doc;
    let mut doc = (!survey.legacy.entries.is_empty()).then(|| ours.clone());
    for (id, entry) in &survey.legacy.entries {
        if let Some(doc) = &mut doc {
            doc.set(Section::Profiles, id, entry.expose_secret().clone());
        }
    }
    StoreMerge::of(doc.filter(|doc| doc != ours).map(Arc::new), Step::Legacy)
}

fn merge_documents(survey: &Survey, theirs: &Arc<StoreDoc>) -> StoreMerge {
    let ours = &survey.state.doc;
    let step = Step::Merge {
        first: survey.record.is_none(),
    };
    let old_copy = find_old_copy(survey, theirs);
    let base = match survey.is_written_as_is() {
        true => None,
        false => Some(survey.base()),
    };
    let without_content = old_copy.is_some().then(|| {
        let base = base.as_ref().unwrap_or(ours);
        Arc::new(old_copy::with_content_of(theirs, base, ours))
    });
    let theirs = without_content.as_ref().unwrap_or(theirs);
    if survey.is_written_as_is() {
        return StoreMerge {
            changes: changes_of_file(theirs, ours),
            old_copy,
            ..StoreMerge::of(Some(Arc::clone(theirs)).filter(|doc| **doc != *ours), step)
        };
    }
    let merged = merge(&base.unwrap_or_default(), theirs, ours);
    let lost = merged
        .lost
        .into_iter()
        .filter(|lost| lost.side == Side::File);
    StoreMerge {
        lost: lost.map(|lost| (lost.id, lost.entry)).collect(),
        changes: merged.changes,
        old_copy,
        ..StoreMerge::of(
            Some(merged.doc).filter(|doc| doc != ours).map(Arc::new),
            step,
        )
    }
}

/// The old copy that a document which another program wrote is, if it is one.
fn find_old_copy(survey: &Survey, theirs: &StoreDoc) -> Option<OldCopy> {
    // A store that is read for the first time is imported, whatever it says.
    survey.record.as_ref()?;
    if survey.state.superseded.is_empty() || survey.is_known_elsewhere {
        return None;
    }
    let (ours, past) = (&survey.state.doc, &survey.state.superseded);
    if survey.is_written_as_is() {
        return old_copy::find(past, (ours, theirs, ours), survey.now);
    }
    old_copy::find(past, (&survey.base(), theirs, ours), survey.now)
}

/// The merge without refresh tokens that are used up: a program that had read the store before a
/// refresh writes the old one back, and copies of it turn up. Where the vault has a better one for
/// the profile, that stays; else the token that replaced it is put in, if any profile has it; else
/// the entry comes without a refresh token: its access token can be used.
fn without_spent(
    vault: &UnlockedVault,
    mut merge: StoreMerge,
    ours: &StoreDoc,
) -> Result<StoreMerge, SyncError> {
    if merge.doc.is_none() || !vault.has_spent_grants()? {
        return Ok(merge);
    }
    let Some(doc) = merge.doc.take() else {
        return Ok(merge);
    };
    let mut replaced = Vec::new();
    for (id, entry) in doc.entries(Section::Profiles) {
        let credential = Credential::of(entry);
        let stored = ours.get(Section::Profiles, id);
        let known = stored.map(Credential::of);
        let is_as_stored =
            known.is_some_and(|known| known.expose_refresh() == credential.expose_refresh());
        if is_as_stored || !vault.is_spent(&credential)? {
            continue;
        }
        let entry = match known {
            Some(known) if !vault.is_spent(&known)? => stored.cloned().map(SecretJson::new),
            _ => Some(successor_of(vault, &SecretJson::new(entry.clone()))?),
        };
        replaced.extend(entry.map(|entry| (id.to_owned(), entry)));
    }
    if replaced.is_empty() {
        merge.doc = Some(doc);
        return Ok(merge);
    }
    let mut doc = Arc::unwrap_or_clone(doc);
    for (id, entry) in &replaced {
        doc.set(Section::Profiles, id, entry.expose_secret().clone());
    }
    let spent: Vec<String> = replaced.into_iter().map(|(id, _)| id).collect();
    merge.changes.retain(|change| match &change.place {
        Place::Entry {
            section: Section::Profiles,
            key,
        } => !spent.contains(key) || ours.get(Section::Profiles, key).is_none(),
        _ => true,
    });
    merge
        .lost
        .retain(|(id, _)| !spent.iter().any(|spent| spent == id.as_str()));
    merge.doc = Some(doc).filter(|doc| doc != ours).map(Arc::new);
    merge.spent = spent;
    Ok(merge)
}

/// The logins that a merge brings a new refresh token and a later expiry for, of the same account
/// as far as is known.
pub(crate) fn exchanged(
    vault: &UnlockedVault,
    stored: &StoreDoc,
    merge: &StoreMerge,
) -> Vec<Exchanged> {
    let (Some(after), Step::Merge { first: false }) = (&merge.doc, &merge.step) else {
        return Vec::new();
    };
    let changed = |(id, entry): (&str, &Value)| {
        let before = stored.get(Section::Profiles, id)?;
        let (old, new) = (Credential::of(before), Credential::of(entry));
        let (old_refresh, new_refresh) = (old.expose_refresh()?, new.expose_refresh()?);
        let is_exchanged = old_refresh != new_refresh
            && is_same_account(before, entry)
            && !new.is_marker()
            && Owner::of(id) == Owner::Vault
            && old.expiry() < new.expiry()
            && !merge.spent.iter().any(|spent| spent == id);
        is_exchanged.then(|| Exchanged {
            grant: vault.fingerprint(old_refresh),
            successor: vault.fingerprint(new_refresh),
            entry: SecretJson::new(entry.clone()),
        })
    };
    after
        .entries(Section::Profiles)
        .filter_map(changed)
        .collect()
}

/// Gives what another program got for a profile to the agent's others that hold the grant.
fn spread(vault: &UnlockedVault, mut merge: StoreMerge, stored: &StoreDoc) -> StoreMerge {
    let exchanged = exchanged(vault, stored, &merge);
    let Some(doc) = merge.doc.take_if(|_| !exchanged.is_empty()) else {
        return merge;
    };
    let mut after = Arc::unwrap_or_clone(doc);
    for one in &exchanged {
        let behind: Vec<(String, SecretJson)> = after
            .entries(Section::Profiles)
            .filter(|(_, entry)| {
                let refresh = Credential::of(entry).expose_refresh();
                refresh.is_some_and(|refresh| vault.fingerprint(refresh) == one.grant)
                    && is_same_account(entry, one.entry.expose_secret())
            })
            .map(|(id, entry)| {
                let entry = SecretJson::new(entry.clone());
                (id.to_owned(), with_tokens_of(&entry, &one.entry))
            })
            .collect();
        for (id, entry) in behind {
            after.set(Section::Profiles, &id, entry.expose_secret().clone());
        }
    }
    merge.doc = Some(Arc::new(after));
    merge
}

/// Reports what other programs did to the store that a person has to know of.
pub(crate) fn report_other_writers(survey: &mut Survey, agent: &AgentName, merge: &StoreMerge) {
    let path = || survey.place.path().to_owned();
    let notice = match &merge.old_copy {
        _ if survey.leaves_file => Some(Notice::OldCopyLeft {
            agent: agent.clone(),
            path: path(),
            writer: Writer::find(),
        }),
        Some(old) => Some(Notice::OldCopy {
            path: path(),
            undoes: old.undoes.clone(),
            writer: Writer::find(),
        }),
        None => vanished(&survey.state.doc, merge).map(|profiles| Notice::Vanished {
            agent: agent.clone(),
            path: path(),
            profiles,
            writer: Writer::find(),
        }),
    };
    survey.notices.extend(notice);
}

/// The profiles that another program removed from the store at once: several, or all.
fn vanished(before: &StoreDoc, merge: &StoreMerge) -> Option<Vec<String>> {
    let (Some(after), Step::Merge { first: false }) = (&merge.doc, &merge.step) else {
        return None;
    };
    let ids = before.entries(Section::Profiles);
    let gone = ids.filter(|(id, _)| after.get(Section::Profiles, id).is_none());
    let gone: Vec<String> = gone.map(|(id, _)| id.to_owned()).collect();
    let is_empty = after.entries(Section::Profiles).next().is_none();
    (gone.len() > 1 || (gone.len() == 1 && is_empty)).then_some(gone)
}
