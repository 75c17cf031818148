//! The third step of a load: what other programs' logins change in the merged document.

use super::borrowed::{Update, borrowed_updates};
use super::findings::Findings;
use super::logins::{SourcePlan, plan_sources};
use super::merge::StoreMerge;
use super::survey::Survey;
use crate::domain::{Section, StoreDoc};
use crate::sync::context::{LoadContext, SyncedAgent};
use crate::sync::logins::planned::Planned;
use crate::vault::UnlockedVault;

/// What other programs' logins change in a document.
pub(crate) struct LoginPlan {
    /// What the sources say of the merged document.
    pub(crate) sources: SourcePlan,
    /// What the files of borrowed logins have that is newer.
    pub(crate) updates: Vec<Update>,
    /// The document with these logins; `None` if every profile is kept.
    pub(crate) doc: Option<StoreDoc>,
}

/// Decides what other programs' logins change in the document after `merge`. The survey's own plan
/// does not count: it was made without what another program wrote into the file.
pub(crate) fn plan_logins(
    vault: &UnlockedVault,
    context: &LoadContext<'_>,
    findings: &Findings,
    SyncedAgent { agent, mode }: SyncedAgent<'_>,
    survey: &Survey,
    merge: &StoreMerge,
) -> LoginPlan {
    let state = &survey.state;
    let merged = merge.doc.as_deref().unwrap_or(&state.doc);
    let mut sources = plan_sources(vault, context, findings, agent, &survey.notes, merged);
    let (now, notices) = (context.clock.now(), &mut sources.notices);
    let mut updates = borrowed_updates(merged, &state.borrowed, mode, now, notices);
    updates.retain(|one| !state.damage.profiles.contains_key(&one.profile));
    let planned = &mut sources.planned;
    planned.retain(|planned| !state.damage.profiles.contains_key(planned.profile));
    LoginPlan {
        doc: planned_doc(merged, planned, &updates),
        sources,
        updates,
    }
}

/// The document after what was planned; `None` if every profile is kept.
fn planned_doc(doc: &StoreDoc, planned: &[Planned], updates: &[Update]) -> Option<StoreDoc> {
    let mut changing = planned.iter().filter(|planned| !planned.keeps()).peekable();
    if changing.peek().is_none() && updates.is_empty() {
        return None;
    }
    let mut doc = doc.clone();
    changing.for_each(|planned| planned.apply(&mut doc));
    for update in updates {
        let entry = update.entry.expose_secret().clone();
        doc.set(Section::Profiles, &update.profile, entry);
    }
    Some(doc)
}
