//! The fourth step of a load: the command's own change, applied to the document with the logins.

use std::sync::Arc;

use super::merge::StoreMerge;
use super::plan::LoginPlan;
use super::spent::check_nothing_spent;
use super::survey::Survey;
use crate::domain::{Section, StoreDoc};
use crate::sync::edited::Edited;
use crate::sync::error::SyncError;
use crate::vault::UnlockedVault;

/// The documents a load goes through, from the vault's to its last. An idle step has none.
pub(crate) struct DocumentSteps {
    /// After what other programs wrote.
    pub(crate) merge: StoreMerge,
    /// After what the sources say.
    pub(crate) synced: Option<StoreDoc>,
    /// After the command's own change.
    pub(crate) edited: Edited,
}

/// Applies a command's change to the document after `merge` and `plan`. What the survey says of the
/// sources becomes what the plan says.
pub(crate) fn edit_document<E: From<SyncError>>(
    vault: &UnlockedVault,
    survey: &mut Survey,
    merge: StoreMerge,
    plan: LoginPlan,
    edit: impl Fn(&StoreDoc) -> Result<Edited, E>,
) -> Result<DocumentSteps, E> {
    let merged = merge.doc.as_deref().unwrap_or(&survey.state.doc);
    let base = plan.doc.as_ref().unwrap_or(merged);
    let mut edited = edit(base)?;
    edited.doc = edited.doc.filter(|doc| doc != base);
    let is_whole = survey.state.unopened.is_empty();
    if let Some(doc) = edited.doc.as_ref().filter(|_| !is_whole) {
        // What is lost of a credential's use is not begun anew.
        let mut lost = survey.state.damage.usage.iter();
        if lost.any(|id| doc.get(Section::Usage, id).is_some()) {
            return Err(survey.state.unopened_error().into());
        }
    }
    check_nothing_spent(vault, base, &edited)?;
    survey.planned = plan.sources.planned;
    survey.borrowed = plan.updates;
    survey.logins = plan.sources.logins;
    survey.notices.retain(|notice| !notice.is_about_sources());
    survey.notices.extend(plan.sources.notices);
    Ok(DocumentSteps {
        merge,
        synced: plan.doc,
        edited,
    })
}

/// The edit of a load that changes nothing itself.
pub(crate) fn unchanged(_doc: &StoreDoc) -> Result<Edited, SyncError> {
    Ok(Edited::nothing())
}

impl DocumentSteps {
    /// Whether anything of the vault changes with it.
    pub(crate) fn changes_something(&self) -> bool {
        self.merge.doc.is_some()
            || self.synced.is_some()
            || self.edited.doc.is_some()
            || !self.edited.events.is_empty()
            || !self.edited.borrowed.is_empty()
    }

    /// The last document, where the first is `stored`.
    pub(crate) fn target<'c>(&'c self, stored: &'c StoreDoc) -> &'c StoreDoc {
        let merged = self.merge.doc.as_deref();
        let changed = self.edited.doc.as_ref().or(self.synced.as_ref());
        changed.or(merged).unwrap_or(stored)
    }

    /// The last document, if it is another one than the first.
    pub(crate) fn into_target(self) -> Option<StoreDoc> {
        let merged = self.merge.doc;
        let changed = self.edited.doc.or(self.synced);
        changed.or_else(|| merged.map(Arc::unwrap_or_clone))
    }
}
