//! What a load finds and has not changed: credentials that come near their expiry, and sources that
//! were not imported. Recorded when first found.

use std::collections::BTreeMap;

use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::config::AgentRef;
use crate::domain::{
    AgentName, Credential, Owner, ProfileId, Section, StoreDoc, UnixMs, WARN_AFTER_MS, from_outside,
};
use crate::health::{AsOf, Status, assess};
use crate::sync::context::LoadContext;
use crate::sync::error::SyncError;
use crate::sync::loaded::Loaded;
use crate::sync::logins::note::{LoginOrigin, Notes, SourceNote, is_same_account};
use crate::sync::logins::owners::{Owned, Owners};
use crate::sync::logins::planned::Planned;
use crate::sync::notice::Notice;
use crate::sync::plan::{Decision, KeepReason, ReplaceReason};
use crate::vault::{ExpiryStage, GrantState, Tx, UnlockedVault, VaultError};

/// The reason of [`ReplaceReason::OtherAccount`] in the record.
const OTHER_ACCOUNT: &str = "other-account";

/// What a load has found and is to be recorded.
pub(crate) struct Observations<'d> {
    expiries: Vec<Expiring<'d>>,
    noted: Vec<Noted>,
    /// Refresh tokens that are another program's.
    borrowed: Vec<(ProfileId, &'d str)>,
}

/// A credential that expires soon or has expired, and since when.
struct Expiring<'d> {
    profile: ProfileId,
    credential: Credential<'d>,
    stage: (ExpiryStage, UnixMs),
}

/// What is to be noted of a profile's sources, and recorded.
pub(crate) struct Noted {
    profile: ProfileId,
    origin: Origin,
    note: Option<String>,
    /// That a place's login was not imported, and why; or that nothing is in its way any more.
    skipped: Option<(&'static str, Option<String>)>,
    /// Claude Code's configuration names another account for the login that is stored already.
    is_another_account: bool,
}

/// Records what a load has found. A busy vault or a full disk is no reason not to answer: what was
/// not recorded is found again.
pub(crate) fn observe(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentRef,
    loaded: &mut Loaded,
) -> Result<(), SyncError> {
    let noted = note_sources(loaded);
    let Some(found) = find_observations(vault, context, agent, loaded, noted)? else {
        return Ok(());
    };
    let recorded = vault
        .begin(context.actor, context.clock)
        .and_then(|mut tx| {
            record_observations(&mut tx, &agent.name, found)?;
            tx.commit()
        });
    match recorded {
        Err(error @ (VaultError::Busy { .. } | VaultError::Storage { .. })) => {
            let error = error.to_string();
            loaded.notices.push(Notice::NotRecorded { error });
            Ok(())
        }
        other => Ok(other?),
    }
}

/// Decides what to note of the sources, and adds what to report of that to the load's notices.
pub(crate) fn note_sources(loaded: &mut Loaded) -> Vec<Noted> {
    if loaded.damage.frame {
        return Vec::new();
    }
    let noted = match &loaded.notes {
        Notes::NotAsked => Vec::new(),
        Notes::Damaged(row) => {
            loaded.unopened.push(row.clone());
            Vec::new()
        }
        Notes::Of(notes) => noted(notes, &loaded.doc, &loaded.planned),
    };
    let late = noted.iter().filter(|noted| noted.is_another_account);
    for planned in late.filter_map(|noted| {
        let mut planned = loaded.planned.iter();
        planned.find(|planned| *planned.profile == *noted.profile.as_str())
    }) {
        loaded.notices.push(Notice::AccountChanged {
            profile: planned.profile,
            place: planned.place.clone(),
            why: OTHER_ACCOUNT,
        });
    }
    noted
}

/// Finds what of a load is to be recorded; `None` if nothing is.
pub(crate) fn find_observations<'d>(
    vault: &UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentRef,
    loaded: &'d Loaded,
    noted: Vec<Noted>,
) -> Result<Option<Observations<'d>>, SyncError> {
    if loaded.damage.frame {
        return Ok(None);
    }
    let found = Observations {
        expiries: find_expiring(vault, &agent.name, &loaded.doc, context.clock.now())?,
        noted,
        borrowed: find_borrowed(vault, context, loaded)?,
    };
    let is_empty = found.expiries.is_empty() && found.noted.is_empty() && found.borrowed.is_empty();
    Ok((!is_empty).then_some(found))
}

/// Finds the logins of other programs that are stored under an id of ours and are not noted as such
/// yet: once that program has another token, its file does not show it any more.
fn find_borrowed<'d>(
    vault: &UnlockedVault,
    context: &LoadContext<'_>,
    loaded: &'d Loaded,
) -> Result<Vec<(ProfileId, &'d str)>, SyncError> {
    let mut borrowed = Vec::new();
    if loaded.planned.is_empty() {
        return Ok(borrowed); // the sources are not asked
    }
    let owners = Owners::new(context.sources);
    for (id, credential) in loaded.doc.credentials() {
        let Some(refresh) = credential.expose_refresh() else {
            continue;
        };
        if Owner::of(id) == Owner::Vault
            && matches!(owners.of(&credential), Owned::OtherProgram(_))
            && vault.grant(vault.fingerprint(refresh))?.state != GrantState::Borrowed
        {
            borrowed.push((ProfileId::new(id), refresh));
        }
    }
    Ok(borrowed)
}

pub(crate) fn record_observations(
    tx: &mut Tx<'_>,
    agent: &AgentName,
    found: Observations<'_>,
) -> Result<(), VaultError> {
    for one in found.expiries {
        tx.note_expiry(agent, &one.profile, &one.credential, one.stage)?;
    }
    for noted in found.noted {
        let provider = noted.profile.provider_part();
        let is_new = tx.note_sources(agent, &noted.profile, noted.note.as_deref())?;
        if let Some((why, place)) = noted.skipped.filter(|_| is_new) {
            let event = EventDraft::new(EventKind::SyncSkipped, noted.origin)
                .outcome(Outcome::Skipped)
                .profile(&noted.profile, provider)
                .detail("why", why);
            let event = match place {
                Some(place) => event.detail("place", from_outside(&place)),
                None => event,
            };
            tx.append(Some(agent), event)?;
        }
        if noted.is_another_account && is_new {
            let event = EventDraft::new(EventKind::ProfileUpdated, noted.origin)
                .profile(&noted.profile, provider)
                .detail("by", OTHER_ACCOUNT);
            tx.append(Some(agent), event)?;
        }
    }
    for (profile, refresh) in found.borrowed {
        tx.mark_borrowed(refresh)?;
        // Without an event, the vault of before would pass for the one of now.
        let event = EventDraft::new(EventKind::CredentialBorrowed, Origin::Clawkeep)
            .profile(&profile, profile.provider_part())
            .detail("grant", tx.fingerprint(refresh).to_string());
        tx.append(Some(agent), event)?;
    }
    Ok(())
}

fn find_expiring<'d>(
    vault: &UnlockedVault,
    agent: &AgentName,
    doc: &'d StoreDoc,
    now: UnixMs,
) -> Result<Vec<Expiring<'d>>, VaultError> {
    let mut found = Vec::new();
    for (id, credential) in doc.credentials() {
        let Some(stage) = stage(&credential, now) else {
            continue;
        };
        let noted = vault.expiry_noted(agent, id)?;
        if noted.is_some_and(|noted| noted < stage.0) {
            let profile = ProfileId::new(id);
            found.push(Expiring {
                profile,
                credential,
                stage,
            });
        }
    }
    Ok(found)
}

/// The stage of its expiry that a credential has come to, and when it did.
fn stage(credential: &Credential<'_>, now: UnixMs) -> Option<(ExpiryStage, UnixMs)> {
    let expires = credential.expiry()?.floor_ms();
    match assess(credential, AsOf::at(now)).status {
        Status::Expiring => Some((
            ExpiryStage::Expiring,
            UnixMs(expires.saturating_sub(WARN_AFTER_MS)),
        )),
        Status::Expired => Some((ExpiryStage::Expired, UnixMs(expires))),
        _ => None,
    }
}

/// Decides what to note of each profile's sources after a load, where that is not noted yet.
fn noted(notes: &BTreeMap<String, SourceNote>, doc: &StoreDoc, planned: &[Planned]) -> Vec<Noted> {
    let of = |planned: &Planned| {
        let is_stored = doc.get(Section::Profiles, planned.profile).is_some();
        let before = notes.get(planned.profile).cloned().unwrap_or_default();
        let mut after = before.clone();
        let place = planned.place.as_str();
        after.forget_removed(place);
        // Another directory without a login is no logout.
        let is_others = before.from.is_some() && !before.is_from(place);
        let why = reason(&planned.decision, is_stored && !is_others);
        after.refuse(place, why, planned.account.as_ref());
        let mut is_another_account = false;
        let is_stored_here = match &planned.decision {
            Decision::Keep { why } => matches!(why, KeepReason::Same | KeepReason::SameLogin),
            _ => true,
        };
        if is_stored_here && is_stored {
            let known = before.from.as_ref();
            is_another_account = planned.keeps()
                && known.is_some_and(|from| {
                    let accounts = (from.account.as_deref(), planned.account.as_deref());
                    from.place == place && is_same_account(accounts.0, accounts.1) == Some(false)
                });
            // One that is known is not forgotten because it was not asked for.
            let is_new = known.is_none_or(|from| from.place == place || !planned.keeps());
            if is_new {
                let account = planned.account.clone();
                let before = known.filter(|from| from.place == place);
                let account = account.or_else(|| before?.account.clone());
                after.from = Some(LoginOrigin {
                    place: place.to_owned(),
                    account,
                });
            }
        }
        if !is_stored {
            after.from = None;
            after.unannounced = None;
        } else if is_another_account {
            after.unannounced = Some(OTHER_ACCOUNT.to_owned());
            after.is_warned = false;
        } else if let Decision::Replace { why, .. } = &planned.decision {
            // A refresh of the same login leaves the question open.
            if matches!(why, ReplaceReason::OtherAccount | ReplaceReason::OtherPlace) {
                after.unannounced = Some(why.as_str().to_owned());
                after.is_warned = false;
            }
        }
        let known = |note: &SourceNote| {
            let known = note.refused.get(place).or_else(|| note.refused.get(""));
            known.map(|refused| refused.why.clone())
        };
        let (was, is) = (known(&before), known(&after));
        let skipped = (was != is && planned.keeps())
            .then(|| (why.unwrap_or("same"), is_others.then(|| place.to_owned())));
        (after != before).then(|| Noted {
            profile: ProfileId::new(planned.profile),
            origin: planned.origin,
            note: after.to_row(),
            skipped,
            is_another_account,
        })
    };
    planned.iter().filter_map(of).collect()
}

/// Returns why a login is not imported, if that is worth recording: not that there is none and
/// never was, nor that it is stored.
fn reason(decision: &Decision, is_stored: bool) -> Option<&'static str> {
    let Decision::Keep { why } = decision else {
        return None;
    };
    let is_new = match why {
        KeepReason::Same | KeepReason::SameLogin => false,
        KeepReason::SourceAbsent | KeepReason::SourceLoggedOut => is_stored,
        KeepReason::SourceDamaged
        | KeepReason::SameLoginElsewhere
        | KeepReason::StoredLater
        | KeepReason::OddExpiry
        | KeepReason::OtherAccount
        | KeepReason::OtherPlace => true,
    };
    is_new.then(|| why.as_str())
}

/// The outcome of keeping a stored login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// So many states of its sources are not reported any more.
    Kept(usize),
    /// There was nothing that could be kept.
    NothingToKeep,
}

/// Keeps a stored login on purpose, whatever is noted of its sources; `loaded` is the agent after a
/// load. Fails when the notes are damaged, or cannot be written.
pub(crate) fn keep(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentRef,
    loaded: &Loaded,
    profile: &str,
) -> Result<Keeping, SyncError> {
    let rows = vault.sync_skips(&agent.name)?;
    let row = rows.into_iter().find(|(id, _)| id == profile);
    let mut note = row
        .map(|(_, row)| SourceNote::parse(&row))
        .unwrap_or_default();
    let mut count = 0;
    for refused in note.refused.values_mut().filter(|refused| !refused.is_kept) {
        refused.is_kept = true;
        count += 1;
    }
    count += usize::from(note.unannounced.is_some());
    let planned = loaded
        .planned
        .iter()
        .find(|planned| planned.profile == profile);
    let Some(planned) = planned.filter(|_| count > 0) else {
        return Ok(Keeping::NothingToKeep);
    };
    note.unannounced = None;
    note.is_warned = false;
    let profile = ProfileId::new(profile);
    let mut tx = vault.begin(context.actor, context.clock)?;
    tx.note_sources(&agent.name, &profile, note.to_row().as_deref())?;
    let (_, why) = planned.verdict();
    let event = EventDraft::new(EventKind::SyncSkipped, planned.origin)
        .outcome(Outcome::Skipped)
        .profile(&profile, profile.provider_part())
        .detail("why", why)
        .detail("kept", true);
    tx.append(Some(&agent.name), event)?;
    tx.commit()?;
    Ok(Keeping::Kept(count))
}

/// Takes the account change of a profile that no command which handed out its token has warned of;
/// see [`crate::sync::Engine::take_unannounced`].
pub(crate) fn take_unannounced(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentRef,
    profile: &ProfileId,
) -> Result<Option<String>, SyncError> {
    if Owner::of(profile.as_str()) == Owner::Vault {
        return Ok(None);
    }
    let rows = match vault.sync_skips(&agent.name) {
        Err(VaultError::Unopened { .. }) => return Ok(None), // the load reports it
        rows => rows?,
    };
    let row = rows.into_iter().find(|(id, _)| id == profile.as_str());
    let Some(mut note) = row.map(|(_, row)| SourceNote::parse(&row)) else {
        return Ok(None);
    };
    let Some(why) = note.unannounced.clone().filter(|_| !note.is_warned) else {
        return Ok(None);
    };
    note.is_warned = true;
    let mut tx = vault.begin(context.actor, context.clock)?;
    tx.note_sources(&agent.name, profile, note.to_row().as_deref())?;
    tx.commit()?;
    Ok(Some(why))
}
