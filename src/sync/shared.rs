//! A login that several agents hold: whoever refreshes it, all of them get the result.
//!
//! This is for what another program refreshed in one agent's store; what is refreshed here goes to everybody in one transaction
//! (`renew`).

use super::change::Step;
use super::engine::Engine;
use super::error::SyncError;
use super::survey::{Course, Survey};
use crate::audit::{EventKind, Origin};
use crate::config::AgentRef;
use crate::domain::{
    Credential, Fingerprint, Owner, ProfileId, SecretJson, Section, from_outside,
    normalize_provider,
};
use crate::export::render;
use crate::vault::ChangeNote;

/// What tells one account from another, as far as an entry says. Source: `spec/compat.md`, auth-profiles.json.
const IDENTITY: [&str; 4] = ["email", "accountId", "enterpriseUrl", "projectId"];

/// A login that another program refreshed in a store.
pub(super) struct Exchanged {
    profile: ProfileId,
    /// The grant that it had.
    grant: Fingerprint,
    entry: SecretJson,
}

impl Engine<'_> {
    /// The logins that a merge brings a new refresh token and a later end for, of the same account as far as can be told.
    pub(super) fn exchanged(&self, survey: &Survey, course: &Course) -> Vec<Exchanged> {
        let (Some(after), Step::Merge { first: false }) =
            (&course.takeover.doc, &course.takeover.step)
        else {
            return Vec::new();
        };
        let mut exchanged = Vec::new();
        for (id, entry) in after.entries(Section::Profiles) {
            let Some(before) = survey.state.doc.get(Section::Profiles, id) else {
                continue;
            };
            let (old, new) = (Credential::of(before), Credential::of(entry));
            let (Some(old_refresh), Some(new_refresh)) =
                (old.expose_refresh(), new.expose_refresh())
            else {
                continue;
            };
            let is_same_account = normalize_provider(old.provider)
                == normalize_provider(new.provider)
                && IDENTITY
                    .iter()
                    .all(|field| before.get(field) == entry.get(field));
            if old_refresh != new_refresh
                && is_same_account
                && !new.is_marker()
                && Owner::of(id) == Owner::Vault
                && old.expiry() < new.expiry()
            {
                exchanged.push(Exchanged {
                    profile: ProfileId::new(id),
                    grant: self.vault.fingerprint(old_refresh),
                    entry: SecretJson::new(entry.clone()),
                });
            }
        }
        exchanged
    }

    /// Gives what another program got for one agent to the others that hold the same login under the same id. Their stores follow when
    /// they are loaded.
    pub(super) fn share(
        &mut self,
        agent: &AgentRef,
        exchanged: &[Exchanged],
    ) -> Result<(), SyncError> {
        for one in exchanged {
            for other in self.vault.agents()? {
                if other == agent.name {
                    continue;
                }
                let state = self.vault.agent(&other)?;
                if !state.unopened.is_empty() {
                    continue; // nothing of it is written until that is mended
                }
                let holds = |entry: &SecretJson| {
                    let refresh = Credential::of(entry.expose_secret()).expose_refresh();
                    refresh.is_some_and(|refresh| self.vault.fingerprint(refresh) == one.grant)
                };
                let stored = state.doc.get(Section::Profiles, one.profile.as_str());
                let stored = stored.map(|entry| SecretJson::new(entry.clone()));
                let Some(stored) = stored.filter(holds) else {
                    continue;
                };
                let entry = with_tokens_of(&stored, &one.entry);
                let note = ChangeNote::new(EventKind::ProfileUpdated, Origin::StoreFile)
                    .detail("by", "shared")
                    .detail("of", from_outside(agent.name.as_str()));
                let mut tx = self.vault.begin(self.actor, self.clock)?;
                if tx.revision(&other)? != state.revision {
                    continue; // changed just now; it is refreshed when it is due
                }
                tx.keep_snapshots(&other, None, || render(&state.doc))?;
                tx.put_profile(&other, &one.profile, entry.expose_secret(), note)?;
                tx.commit()?;
            }
        }
        Ok(())
    }
}

/// An entry with the tokens of another one; everything else of it stays.
fn with_tokens_of(entry: &SecretJson, other: &SecretJson) -> SecretJson {
    let mut entry = entry.expose_secret().clone();
    for field in ["access", "refresh", "expires"] {
        if let Some(value) = other.expose_secret().get(field) {
            entry[field] = value.clone();
        }
    }
    SecretJson::new(entry)
}
