//! A login that several profiles hold: whoever refreshes it, all of them get the result.
//!
//! This is for what another program refreshed in one agent's store; what is refreshed here goes to everybody in one transaction
//! (`renew`).

use std::sync::Arc;

use serde_json::Value;

use super::change::Step;
use super::engine::Engine;
use super::error::SyncError;
use super::survey::Takeover;
use crate::audit::{EventKind, Origin};
use crate::config::AgentRef;
use crate::domain::{
    AgentName, Credential, Fingerprint, Owner, ProfileId, SecretJson, Section, StoreDoc,
    from_outside, normalize_provider,
};
use crate::export::render;
use crate::vault::{AgentState, ChangeNote, Grant, GrantState, Tx};

/// What tells one account from another, as far as an entry says. Source: `spec/compat.md`, auth-profiles.json.
const IDENTITY: [&str; 4] = ["email", "accountId", "enterpriseUrl", "projectId"];

/// A login that another program refreshed in a store.
pub(super) struct Exchanged {
    /// The grant that it had.
    grant: Fingerprint,
    /// The one that it has.
    successor: Fingerprint,
    entry: SecretJson,
}

/// Whether two entries are of one account as far as they say: a field that one of them lacks is no difference.
pub(super) fn is_same_account(a: &Value, b: &Value) -> bool {
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

/// An entry with the tokens of another one; everything else of it stays.
pub(super) fn with_tokens_of(entry: &SecretJson, other: &SecretJson) -> SecretJson {
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

impl Engine<'_> {
    /// The logins that a merge brings a new refresh token and a later end for, of the same account as far as can be told.
    pub(super) fn exchanged(&self, stored: &StoreDoc, takeover: &Takeover) -> Vec<Exchanged> {
        let (Some(after), Step::Merge { first: false }) = (&takeover.doc, &takeover.step) else {
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
                && !takeover.spent.iter().any(|spent| spent == id);
            is_exchanged.then(|| Exchanged {
                grant: self.vault.fingerprint(old_refresh),
                successor: self.vault.fingerprint(new_refresh),
                entry: SecretJson::new(entry.clone()),
            })
        };
        after
            .entries(Section::Profiles)
            .filter_map(changed)
            .collect()
    }

    /// Gives what another program got for one profile of an agent to its others that hold the same grant.
    pub(super) fn spread(&self, mut takeover: Takeover, stored: &StoreDoc) -> Takeover {
        let exchanged = self.exchanged(stored, &takeover);
        let Some(doc) = takeover.doc.take_if(|_| !exchanged.is_empty()) else {
            return takeover;
        };
        let mut after = Arc::unwrap_or_clone(doc);
        for one in &exchanged {
            let behind: Vec<(String, SecretJson)> = after
                .entries(Section::Profiles)
                .filter(|(_, entry)| {
                    let refresh = Credential::of(entry).expose_refresh();
                    refresh.is_some_and(|refresh| self.vault.fingerprint(refresh) == one.grant)
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
        takeover.doc = Some(Arc::new(after));
        takeover
    }

    /// The other agents that hold one of those grants, as they are.
    pub(super) fn sharing(
        &self,
        agent: &AgentRef,
        exchanged: &[Exchanged],
    ) -> Result<Vec<(AgentName, AgentState)>, SyncError> {
        let mut sharing = Vec::new();
        if exchanged.is_empty() {
            return Ok(sharing);
        }
        for other in self.vault.agents()? {
            if other == agent.name {
                continue;
            }
            let state = self.vault.agent(&other)?;
            let holds = state.doc.credentials().any(|(_, credential)| {
                let refresh = credential.expose_refresh();
                refresh.is_some_and(|refresh| {
                    let grant = self.vault.fingerprint(refresh);
                    exchanged.iter().any(|one| one.grant == grant)
                })
            });
            if holds && !state.damage.frame {
                sharing.push((other, state));
            }
        }
        Ok(sharing)
    }
}

/// Gives what another program got for one profile to the others that hold the same grant, in the transaction that merges it, and
/// notes what took the grant's place. The stores of other agents follow when they are loaded.
pub(super) fn share(
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
