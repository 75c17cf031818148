//! What expires when, by profile and by provider.

use std::cmp::Ordering;
use std::ops::Range;

use clawkeep::domain::{CredentialType, Owner, UnixMs};
use clawkeep::health::{Health, assess, assess_provider};
use clawkeep::vault::GrantState;
use serde_json::Value;

use super::{Inputs, Profile, auth::display_label};
use crate::collation::locale_cmp;

/// How one stored profile stands.
#[derive(Debug)]
pub(super) struct ProfileExpiry {
    pub(super) id: String,
    pub(super) provider: String,
    pub(super) kind: CredentialType,
    pub(super) health: Health,
    /// What stands in the place of its end and is no number.
    pub(super) odd_end: Option<Value>,
    /// Who keeps it: `store`, `claude-cli` or `codex-cli`.
    pub(super) source: &'static str,
    pub(super) label: String,
    /// How its grant stands, if that is not as it should be.
    pub(super) grant: Option<GrantState>,
}

/// How one provider stands.
#[derive(Debug)]
pub(super) struct ProviderExpiry {
    pub(super) provider: String,
    pub(super) health: Health,
    /// Where its profiles are in the list of all.
    pub(super) profiles: Range<usize>,
}

/// Every readable profile, sorted by provider, then id.
pub(super) fn of_profiles(inputs: &Inputs<'_>, readable: &[Profile<'_>]) -> Vec<ProfileExpiry> {
    let owner = |id: &str| {
        let from = inputs.borrowed.get(id);
        from.map_or(Owner::of(id), |from| from.owner)
    };
    let mut profiles: Vec<_> = readable
        .iter()
        .map(|(id, credential)| ProfileExpiry {
            id: (*id).to_owned(),
            provider: credential.provider.trim().to_owned(),
            kind: credential.kind,
            health: assess(credential, inputs.now),
            odd_end: credential.odd_expiry().cloned(),
            source: owner(id).reported(),
            label: match inputs.borrowed.get(*id) {
                Some(from) => format!(
                    "{} (borrowed from {})",
                    display_label(inputs.settings, id, credential),
                    from.owner.program()
                ),
                None => display_label(inputs.settings, id, credential),
            },
            grant: inputs.grants.get(*id).copied(),
        })
        .collect();
    profiles.sort_by(|a, b| {
        locale_cmp(&a.provider, &b.provider).then_with(|| locale_cmp(&a.id, &b.id))
    });
    profiles
}

/// Every provider of `names`, in that order. `profiles` are sorted as [`of_profiles`] sorts them.
pub(super) fn of_providers(
    names: &[String],
    profiles: &[ProfileExpiry],
    now: UnixMs,
) -> Vec<ProviderExpiry> {
    let entry = |name: &String| {
        let end_of = |order: fn(Ordering) -> bool| {
            profiles.partition_point(|profile| order(locale_cmp(&profile.provider, name)))
        };
        let own = end_of(Ordering::is_lt)..end_of(Ordering::is_le);
        let healths: Vec<_> = profiles[own.clone()]
            .iter()
            .map(|profile| (profile.kind, profile.health))
            .collect();
        ProviderExpiry {
            provider: name.clone(),
            health: assess_provider(&healths, now),
            profiles: own,
        }
    };
    names.iter().map(entry).collect()
}
