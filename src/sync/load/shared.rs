//! A login that several profiles hold: all of them get what one program got for it.
//!
//! This is for what another program refreshed in one agent's store; what clawkeep refreshes goes to
//! all holders in one transaction (`refresh`).

use serde_json::Value;

use crate::audit::{EventKind, Origin};
use crate::config::AgentRef;
use crate::domain::{
    AgentName, Credential, Fingerprint, ProfileId, SecretJson, StoreDoc, from_outside,
    normalize_provider,
};
use crate::export::render;
use crate::sync::error::SyncError;
use crate::vault::{AgentState, ChangeNote, Grant, GrantState, Tx, UnlockedVault};

/// The fields by which accounts are distinguished, where an entry has them. Source:
/// `spec/compat.md`, auth-profiles.json.
const IDENTITY: [&str; 4] = ["email", "accountId", "enterpriseUrl", "projectId"];

/// A login that another program refreshed in a store.
pub(crate) struct Exchanged {
    /// The grant that it had.
    pub(crate) grant: Fingerprint,
    /// The one that it has.
    pub(crate) successor: Fingerprint,
    /// The profile's entry with the new tokens.
    pub(crate) entry: SecretJson,
}

/// Whether two entries are of one account; a field that one lacks is no difference.
pub(crate) fn is_same_account(a: &Value, b: &Value) -> bool {
    let provider = |entry| normalize_provider(Credential::of(entry).provider);
    provider(a) == provider(b)
        && IDENTITY
            .iter()
            .all(|field| match (a.get(field), b.get(field)) {
                (None | Some(Value::Null), _) | (_, Some(Value::Null)) => true,
                (Some(a), Some(b)) => a == b,
                _ => true,
            })
}

/// Returns an entry with the tokens of another one; everything else of it stays.
pub(crate) fn with_tokens_of(entry: &SecretJson, other: &SecretJson) -> SecretJson {
    let mut entry = entry.expose_secret().clone();
    if let Some(fields) = entry.as_object_mut() {
        for field in ["access", "refresh", "expires"] {
            if let Some(value) = other.expose_secret().get(field) {
                fields.insert(field.to_owned(), value.clone());
            }
        }
    }
    SecretJson::new(entry)
}

/// Finds the other agents that hold one of those grants, as they are.
pub(crate) fn sharing(
    vault: &UnlockedVault,
    agent: &AgentRef,
    exchanged: &[Exchanged],
) -> Result<Vec<(AgentName, AgentState)>, SyncError> {
    let mut sharing = Vec::new();
    if exchanged.is_empty() {
        return Ok(sharing);
    }
    for other in vault.agents()? {
        if other == agent.name {
            continue;
        }
        let state = vault.agent(&other)?;
        let holds = state.doc.credentials().any(|(_, credential)| {
            let refresh = credential.expose_refresh();
            refresh.is_some_and(|refresh| {
                let grant = vault.fingerprint(refresh);
                exchanged.iter().any(|one| one.grant == grant)
            })
        });
        if holds && !state.damage.frame {
            sharing.push((other, state));
        }
    }
    Ok(sharing)
}

/// Gives what another program got for one profile to the others that hold the grant, in the
/// transaction that merges it, and notes the successor. Other agents' stores follow when loaded.
pub(crate) fn share(
    tx: &mut Tx<'_>,
    agent: &AgentRef,
    exchanged: &[Exchanged],
    sharing: &[(AgentName, AgentState)],
) -> Result<(), SyncError> {
    for one in exchanged {
        let known = tx.grant(one.grant)?;
        if known.state == GrantState::Borrowed {
            continue;
        }
        let spent = Grant {
            state: GrantState::Spent,
            successor: Some(one.successor),
            failed: None,
            not_before: None,
            fence: known.fence,
        };
        tx.set_grant(one.grant, &spent)?;
        for (other, state) in sharing {
            for id in holding(tx, &state.doc, one.grant) {
                // As it is by now: the merge itself has changed some.
                let Some((stored, _)) = tx.credential(other, &id)? else {
                    continue;
                };
                let refresh = Credential::of(stored.expose_secret()).expose_refresh();
                if refresh.is_none_or(|refresh| tx.fingerprint(refresh) != one.grant)
                    || !is_same_account(stored.expose_secret(), one.entry.expose_secret())
                {
                    continue;
                }
                let note = ChangeNote::new(EventKind::ProfileUpdated, Origin::StoreFile)
                    .detail("by", "shared")
                    .detail("of", from_outside(agent.name.as_str()));
                if tx.revision(other)? == state.revision {
                    tx.keep_snapshots(other, None, || render(&state.doc))?;
                }
                let entry = with_tokens_of(&stored, &one.entry);
                tx.put_refreshed(other, &id, entry.expose_secret(), note, one.grant)?;
            }
        }
    }
    Ok(())
}

/// The profiles of a document that hold a grant.
fn holding(tx: &Tx<'_>, doc: &StoreDoc, grant: Fingerprint) -> Vec<ProfileId> {
    let holds = |(id, credential): (&str, Credential<'_>)| {
        let refresh = credential.expose_refresh()?;
        (tx.fingerprint(refresh) == grant).then(|| ProfileId::new(id))
    };
    doc.credentials().filter_map(holds).collect()
}
