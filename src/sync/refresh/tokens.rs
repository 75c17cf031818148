//! What came of a refresh, brought into the vault: new tokens for all profiles that hold the grant,
//! or that there are none.

use std::thread;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::grant::{Begun, LEFT_ALONE_MAX_MS, holders};
use crate::audit::{EventDraft, EventKind, Origin, Outcome};
use crate::domain::{
    AgentName, Credential, ProfileId, SecretJson, UnixMs, json_number, normalize_provider,
};
use crate::export::render;
use crate::oauth::{Brought, FailureClass, Refused, Tokens};
use crate::sync::context::LoadContext;
use crate::sync::error::SyncError;
use crate::vault::{AgentState, ChangeNote, Grant, GrantState, Tx, UnlockedVault};

/// How often committing what came is tried, and how long between.
const COMMITS: u32 = 4;
const COMMIT_PAUSE: Duration = Duration::from_millis(250);
/// How long a provider is left alone that says it is asked too often, and not for how long.
const LIMITED_FOR: Duration = Duration::from_secs(60);

/// Commits new tokens for every profile that holds the grant, if this refresh is still the last
/// that was begun. A credential that a login or import has put in its place meanwhile stays; the
/// new tokens are kept as a version then.
pub(crate) fn commit_tokens(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    begun: &Begun,
    brought: &Brought,
    tries: Option<u32>,
) -> Result<(), SyncError> {
    let Begun { grant, fence, .. } = *begun;
    let Brought {
        agent,
        profile: id,
        endpoint,
        tokens,
    } = brought;
    let version = vault.data_version()?;
    let mut holders = holders(vault, grant)?;
    holders.sort_by_key(|holder| (&holder.agent, &holder.profile) != (agent, id));
    let mut before: Vec<(AgentName, AgentState)> = Vec::new();
    for agent in holders.iter().map(|holder| &holder.agent).chain([agent]) {
        if before.iter().all(|(known, _)| known != agent) {
            before.push((agent.clone(), vault.agent(agent)?));
        }
    }
    let mut tx = vault.begin(context.actor, context.clock)?;
    if tx.data_version()? != version {
        // Another process has committed since the holders were found, and may have added one. The
        // caller tries again.
        let path = context.lock_dir.clone();
        return Err(SyncError::Contended { path });
    }
    let known = tx.grant(grant)?;
    // An older copy of the vault does not know of that refresh, and has the token that it used up.
    let is_of_later = tries.is_none() && fence > known.fence;
    // With an unchanged fence, nobody has sent the token since, even if this refresh was reported
    // as interrupted.
    let is_open = matches!(known.state, GrantState::Started | GrantState::Uncertain);
    let is_ours = (known.fence == fence && is_open) || is_of_later;
    let next = tokens
        .refresh
        .as_ref()
        .map(|refresh| tx.fingerprint(refresh.expose_secret()))
        .filter(|next| *next != grant);
    let say = |kind| {
        let note = ChangeNote::new(kind, Origin::Clawkeep)
            .detail("grant", grant.to_string())
            .detail("fence", fence)
            .detail("endpoint", endpoint.origin.as_str());
        let note = match next {
            Some(next) => note.detail("next", next.to_string()),
            None => note,
        };
        match tries {
            Some(tries) => note.detail("tries", tries),
            None => note.detail("rescued", true),
        }
    };
    let mut was_said = false;
    for holder in holders.iter().filter(|_| is_ours) {
        let stored = tx.credential(&holder.agent, &holder.profile)?;
        let holds = |entry: &SecretJson| {
            let refresh = Credential::of(entry.expose_secret()).expose_refresh();
            refresh.is_some_and(|refresh| tx.fingerprint(refresh) == grant)
        };
        let Some((entry, _)) = stored.filter(|(entry, _)| holds(entry)) else {
            continue;
        };
        keep_snapshots(&mut tx, &before, &holder.agent)?;
        let entry = with_new_tokens(&entry, tokens);
        let (agent, profile) = (&holder.agent, &holder.profile);
        let note = if was_said {
            ChangeNote::new(EventKind::ProfileUpdated, Origin::Clawkeep)
                .detail("by", "refresh")
                .detail("grant", grant.to_string())
        } else {
            say(EventKind::RefreshSucceeded)
        };
        was_said = true;
        match next {
            Some(_) => tx.put_refreshed(agent, profile, entry.expose_secret(), note, grant)?,
            None => tx.put_profile(agent, profile, entry.expose_secret(), note)?,
        }
        let is_pinned = before
            .iter()
            .any(|(name, state)| name == agent && state.pins.contains_key(profile.as_str()));
        if !is_pinned {
            tx.pin_endpoint(agent, profile, endpoint)?;
        }
    }
    if !was_said {
        let note = say(EventKind::RefreshSuperseded);
        let stored = tx.credential(agent, id)?;
        let entry = stored.map_or_else(
            || json!({"type": "oauth"}),
            |(entry, _)| entry.expose_secret().clone(),
        );
        let entry = with_new_tokens(&SecretJson::new(entry), tokens);
        let mut event = EventDraft::new(note.kind, note.origin).outcome(Outcome::Skipped);
        event.detail = note.detail;
        keep_snapshots(&mut tx, &before, agent)?;
        tx.keep_as_version(agent, id, entry.expose_secret(), event)?;
        if next.is_some() {
            let provider = Credential::of(entry.expose_secret()).provider;
            tx.forget_versions(grant, &normalize_provider(provider))?;
        }
    }
    if let Some(next) = next {
        let known = tx.grant(next)?;
        // The provider just issued it, so an earlier verdict is void. While another process
        // refreshes it, that one decides.
        if matches!(known.state, GrantState::Uncertain | GrantState::Dead) {
            tx.set_grant(next, &Grant::free(known.fence))?;
        }
    }
    if is_ours {
        let ended = Grant {
            state: next.map_or(GrantState::Free, |_| GrantState::Spent),
            fence,
            successor: next,
            ..Grant::default()
        };
        tx.set_grant(grant, &ended)?;
    }
    Ok(tx.commit()?)
}

/// Records that a refresh failed, and what follows for the grant; returns until when its provider
/// is to be left alone. Tried a few times: unrecorded, the token would be sent once more.
pub(crate) fn keep_failure(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentName,
    id: &ProfileId,
    begun: &Begun,
    refused: &Refused,
    is_elsewhere: bool,
) -> Result<Option<UnixMs>, SyncError> {
    retried(|| record_failure(vault, context, agent, id, begun, refused, is_elsewhere))
}

/// Commits, and tries again a few times where that fails.
pub(crate) fn retried<T>(mut commit: impl FnMut() -> Result<T, SyncError>) -> Result<T, SyncError> {
    for _ in 1..COMMITS {
        if let Ok(committed) = commit() {
            return Ok(committed);
        }
        thread::sleep(COMMIT_PAUSE);
    }
    commit()
}

/// Records that a refresh failed, and what follows for the grant.
fn record_failure(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentName,
    id: &ProfileId,
    begun: &Begun,
    refused: &Refused,
    is_elsewhere: bool,
) -> Result<Option<UnixMs>, SyncError> {
    let refusal = &refused.refusal;
    let now = context.clock.now();
    let not_before = (refusal.class == FailureClass::Limited).then(|| {
        let after = refusal.retry_after.unwrap_or(LIMITED_FOR).as_millis();
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        UnixMs(now.0.saturating_add(after.min(LEFT_ALONE_MAX_MS)))
    });
    let mut tx = vault.begin(context.actor, context.clock)?;
    let known = tx.grant(begun.grant)?;
    let stored = tx.credential(agent, id)?;
    let provider = stored
        .as_ref()
        .map(|(entry, _)| normalize_provider(Credential::of(entry.expose_secret()).provider));
    let mut event = EventDraft::new(EventKind::RefreshFailed, Origin::Clawkeep)
        .outcome(Outcome::Failed)
        .profile(id, &provider.unwrap_or_default())
        .detail("class", refusal.class.as_str())
        .detail("cause", refusal.fault.as_str())
        .detail("why", refusal.describe())
        .detail("grant", begun.grant.to_string())
        .detail("fence", begun.fence)
        .detail("tries", refused.tries);
    if let Some(code) = refusal.code {
        event = event.detail("error", code);
    }
    if let Some(status) = refusal.status {
        event = event.detail("status", status);
    }
    if let Some(at) = not_before {
        event = event.detail("until", at.0);
    }
    if is_elsewhere {
        event = event.detail("exchanged", "elsewhere");
    }
    tx.append(Some(agent), event)?;
    let is_open = matches!(known.state, GrantState::Started | GrantState::Uncertain);
    if known.fence == begun.fence && is_open {
        let state = match (refusal.class, begun.before) {
            (FailureClass::Dead, _) => GrantState::Dead,
            (FailureClass::Uncertain, _) => GrantState::Uncertain,
            // A token that may have been used up before may be so still.
            (_, GrantState::Uncertain | GrantState::Started) => GrantState::Uncertain,
            _ => GrantState::Free,
        };
        let failed = Grant {
            state,
            fence: known.fence,
            failed: Some(refusal.class.as_str().to_owned()),
            not_before,
            successor: None,
        };
        tx.set_grant(begun.grant, &failed)?;
    }
    tx.commit()?;
    Ok(not_before)
}

/// Keeps a snapshot for stores that say what the agent has until now, before it is changed.
fn keep_snapshots(
    tx: &mut Tx<'_>,
    before: &[(AgentName, AgentState)],
    agent: &AgentName,
) -> Result<(), SyncError> {
    if let Some((_, state)) = before.iter().find(|(known, _)| known == agent)
        && tx.revision(agent)? == state.revision
    {
        tx.keep_snapshots(agent, None, || render(&state.doc))?;
    }
    Ok(())
}

/// Returns an entry with new tokens in it; everything else of it stays.
fn with_new_tokens(entry: &SecretJson, tokens: &Tokens) -> SecretJson {
    let mut entry = entry.expose_secret().clone();
    if let Value::Object(fields) = &mut entry {
        let text = |token: &secrecy::SecretString| Value::from(token.expose_secret());
        fields.insert("access".to_owned(), text(&tokens.access));
        if let Some(refresh) = &tokens.refresh {
            fields.insert("refresh".to_owned(), text(refresh));
        }
        fields.insert("expires".to_owned(), json_number(tokens.expires.ms()));
        if let Some(id_token) = &tokens.id_token
            && fields.contains_key("idToken")
        {
            fields.insert("idToken".to_owned(), text(id_token));
        }
    }
    SecretJson::new(entry)
}
