//! Which profiles are tried for a provider, and in what order.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::{
    CredentialType, ProfileId, ProviderId, Section, StoreDoc, Unavailability, UnixMs,
    unavailability,
};

/// What the configuration says of a provider's profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// Its explicit order (`auth.order`), if it has one. Counts where the store has none.
    pub order: Option<Vec<ProfileId>>,
    /// The profiles it names for the provider (`auth.profiles`), in the order written.
    pub configured: Vec<ProfileId>,
}

/// The profiles to try for `provider`, first choice first, each once; `prefer` first if it is among
/// them. An id may have no stored profile: orders can name any.
#[must_use]
pub fn candidates(
    doc: &StoreDoc,
    preferences: &Preferences,
    provider: &ProviderId,
    prefer: Option<&ProfileId>,
    now: UnixMs,
) -> Vec<ProfileId> {
    in_turn(doc, preferences, provider, prefer, |id| {
        unavailability(doc, id, now)
    })
}

/// The same order as if no profile were in cooldown.
#[must_use]
pub fn candidates_ignoring_cooldowns(
    doc: &StoreDoc,
    preferences: &Preferences,
    provider: &ProviderId,
    prefer: Option<&ProfileId>,
) -> Vec<ProfileId> {
    in_turn(doc, preferences, provider, prefer, |_| None)
}

fn in_turn<'d>(
    doc: &'d StoreDoc,
    preferences: &Preferences,
    provider: &ProviderId,
    prefer: Option<&ProfileId>,
    unavailability: impl Fn(&str) -> Option<Unavailability<'d>>,
) -> Vec<ProfileId> {
    let explicit = doc
        .order_for(provider.as_str())
        .or_else(|| preferences.order.clone());
    let is_explicit = explicit.is_some();
    let base = explicit.unwrap_or_else(|| match preferences.configured.as_slice() {
        [] => doc.profiles_of(provider.as_str()),
        configured => configured.to_vec(),
    });

    let (mut ready, mut cooling) = (Vec::new(), Vec::new());
    for id in eligible(doc, provider, base) {
        match unavailability(id.as_str()) {
            Some(unavailability) => cooling.push((unavailability.until.ms(), id)),
            None => ready.push(id),
        }
    }
    if !is_explicit {
        ready.sort_by(|a, b| {
            turn(doc, a)
                .partial_cmp(&turn(doc, b))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
    }
    cooling.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    ready.extend(cooling.into_iter().map(|(_, id)| id));

    if let Some(at) = prefer.and_then(|preferred| ready.iter().position(|id| id == preferred)) {
        ready[..=at].rotate_right(1);
    }
    ready
}

/// Drops what belongs to another provider and what was there before. An entry that cannot be read
/// belongs to nobody, so its id stays, like one without an entry.
fn eligible(doc: &StoreDoc, provider: &ProviderId, ids: Vec<ProfileId>) -> Vec<ProfileId> {
    let mut kept = Vec::with_capacity(ids.len());
    let mut known = BTreeSet::new();
    for id in ids {
        let is_anothers = doc.credential(id.as_str()).is_some_and(|credential| {
            credential.is_readable() && !credential.is_for(provider.as_str())
        });
        if !is_anothers && known.insert(id.clone()) {
            kept.push(id);
        }
    }
    kept
}

/// What decides whose turn it is: logins, tokens, keys, the unknown; then the longest unused.
fn turn(doc: &StoreDoc, id: &ProfileId) -> (u8, f64) {
    let rank = match doc
        .credential(id.as_str())
        .map(|credential| credential.kind)
    {
        Some(CredentialType::OAuth) => 0,
        Some(CredentialType::Token) => 1,
        Some(CredentialType::ApiKey) => 2,
        Some(CredentialType::Unreadable) | None => 3,
    };
    let last_used = doc
        .get(Section::Usage, id.as_str())
        .and_then(|usage| usage.get("lastUsed"));
    (rank, last_used.and_then(Value::as_f64).unwrap_or(0.0))
}
