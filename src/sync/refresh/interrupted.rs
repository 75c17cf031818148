//! Interrupted refreshes: begun by a process that died.

use super::grant::{Begun, Holder, give_up, holders};
use super::tokens::commit_tokens;
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::domain::{Credential, Fingerprint, from_outside, normalize_provider, path_text};
use crate::oauth::{
    ANSWER_UNOPENED, Lease, Left, RecoveryFile, grants_with_files, is_answer_unopened,
};
use crate::sync::context::LoadContext;
use crate::sync::error::SyncError;
use crate::sync::notice::Notice;
use crate::vault::{Grant, GrantState, Tx, UnlockedVault};

/// Recovers refreshes that were begun by a process that died: their leases are free. A failure is
/// reported and does not stop the caller: what the refresh brought stays in its file.
pub(crate) fn recover_interrupted_refreshes(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    notices: &mut Vec<Notice>,
) -> Result<(), SyncError> {
    for (grant, _) in vault.started_refreshes()? {
        let ended = Lease::try_take(&context.lock_dir, grant)
            .map_err(SyncError::from)
            .and_then(|lease| {
                let Some(lease) = lease else { return Ok(()) };
                let ended = end_interrupted(vault, context, notices, grant);
                give_up(vault, lease, grant);
                ended
            });
        if let Err(error) = ended {
            let error = error.to_string();
            notices.push(Notice::RefreshUnfinished { error });
        }
    }
    Ok(())
}

/// Removes the files of other grants' killed refreshes that are of no use any more. A file that
/// cannot be removed does no harm.
pub(crate) fn sweep(vault: &UnlockedVault, context: &LoadContext<'_>, own: Fingerprint) {
    for grant in grants_with_files(&context.lock_dir).unwrap_or_default() {
        if grant == own {
            continue;
        }
        // The holder of the lease may have made room for an answer, and not yet begun.
        let Ok(Some(lease)) = Lease::try_take(&context.lock_dir, grant) else {
            continue;
        };
        if let (Ok(known), Ok(left)) = (
            vault.grant(grant),
            RecoveryFile::read(&context.lock_dir, vault, grant),
        ) {
            let is_over = known.state != GrantState::Started;
            let _ = match left {
                Left::Brought { fence, .. } | Left::Unopened { fence }
                    if !is_over || fence > known.fence =>
                {
                    Ok(())
                }
                Left::Unopened { .. } if is_answer_unopened(&known) => {
                    let now = context.clock.now();
                    let aside = RecoveryFile::name_aside(&context.lock_dir, grant, now);
                    RecoveryFile::set_aside(&context.lock_dir, grant, &aside)
                }
                _ if is_over => RecoveryFile::remove(&context.lock_dir, grant),
                _ => Ok(()),
            };
        }
        give_up(vault, lease, grant);
    }
}

/// Under the lease: stores what an interrupted refresh has brought, or marks its grant uncertain.
/// An answer that the vault does not know of at all, since an older copy of it was restored, is
/// stored, too.
///
/// A whole file that does not open shows that there was an answer: the refresh token is used up,
/// and is not sent again. The file is kept aside. That holds for the refresh that the vault knows
/// to be under way, and for a later one; a file of a completed refresh says nothing.
pub(crate) fn end_interrupted(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    notices: &mut Vec<Notice>,
    grant: Fingerprint,
) -> Result<(), SyncError> {
    // The file would not open under a replaced key. From here on no refresh of the grant begins,
    // and while one has begun no key is replaced.
    vault.reload_keys()?;
    let known = vault.grant(grant)?;
    let is_begun = known.state == GrantState::Started;
    match RecoveryFile::read(&context.lock_dir, vault, grant)? {
        Left::Brought { fence, brought }
            if (is_begun && fence == known.fence) || fence > known.fence =>
        {
            let begun = Begun {
                grant,
                fence,
                before: known.state,
            };
            commit_tokens(vault, context, &begun, &brought, None)?;
            let profile = brought.profile;
            notices.push(Notice::RefreshRecovered { profile });
        }
        Left::Unopened { fence }
            if is_begun || fence > known.fence || is_answer_unopened(&known) =>
        {
            return keep_unopened(vault, context, notices, grant, &known);
        }
        _ if is_begun => mark_uncertain(vault, context, notices, grant, known.fence)?,
        _ => return Ok(()),
    }
    Ok(RecoveryFile::remove(&context.lock_dir, grant)?)
}

/// Keeps an answer that does not open aside, once it is committed that its refresh token is not
/// sent again: if the process is killed in between, the file is found again.
fn keep_unopened(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    notices: &mut Vec<Notice>,
    grant: Fingerprint,
    known: &Grant,
) -> Result<(), SyncError> {
    let aside = RecoveryFile::name_aside(&context.lock_dir, grant, context.clock.now());
    let holders = holders(vault, grant)?;
    let can_be_sent = matches!(
        known.state,
        GrantState::Free | GrantState::Started | GrantState::Uncertain
    );
    if can_be_sent && (known.state == GrantState::Started || !holders.is_empty()) {
        let first = holders.first();
        let mut tx = vault.begin(context.actor, context.clock)?;
        if tx.grant(grant)? != *known {
            return Ok(()); // the process that began it has completed it
        }
        let over = Grant {
            state: GrantState::Dead,
            fence: known.fence,
            failed: Some(ANSWER_UNOPENED.to_owned()),
            ..Grant::default()
        };
        tx.set_grant(grant, &over)?;
        let path = from_outside(&path_text(&aside));
        let event = interrupted(&tx, first, grant, known.fence)?
            .detail("why", ANSWER_UNOPENED)
            .detail("path", path);
        tx.append(first.map(|holder| &holder.agent), event)?;
        tx.commit()?;
    }
    RecoveryFile::set_aside(&context.lock_dir, grant, &aside)?;
    let profile = holders.first().map(|holder| holder.profile.clone());
    notices.push(Notice::RefreshUnopened { profile, aside });
    Ok(())
}

fn mark_uncertain(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    notices: &mut Vec<Notice>,
    grant: Fingerprint,
    fence: i64,
) -> Result<(), SyncError> {
    let holders = holders(vault, grant)?;
    let first = holders.first();
    let mut tx = vault.begin(context.actor, context.clock)?;
    let known = tx.grant(grant)?;
    if known.state != GrantState::Started || known.fence != fence {
        return Ok(());
    }
    let state = GrantState::Uncertain;
    tx.set_grant(grant, &Grant { state, ..known })?;
    let event = interrupted(&tx, first, grant, fence)?;
    tx.append(first.map(|holder| &holder.agent), event)?;
    tx.commit()?;
    let profile = first.map(|holder| holder.profile.clone());
    let notice = profile.map(|profile| Notice::RefreshInterrupted { profile });
    notices.extend(notice);
    Ok(())
}

/// The event of an interrupted refresh, about the first profile that holds the grant.
fn interrupted(
    tx: &Tx<'_>,
    holder: Option<&Holder>,
    grant: Fingerprint,
    fence: i64,
) -> Result<EventDraft, SyncError> {
    let event = EventDraft::new(EventKind::RefreshInterrupted, Origin::Clawkeep)
        .outcome(Outcome::Failed)
        .detail("grant", grant.to_string())
        .detail("fence", fence);
    let Some(holder) = holder else {
        return Ok(event);
    };
    let stored = tx.credential(&holder.agent, &holder.profile)?;
    let provider = stored.map_or_else(String::new, |(entry, _)| {
        normalize_provider(Credential::of(entry.expose_secret()).provider)
    });
    Ok(event.profile(&holder.profile, &provider))
}
