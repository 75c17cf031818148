//! Which profiles are tried for a provider, and in what order; how long a failed one rests.
//!
//! Pure: values in, values out. Whether a candidate's secret can be used is decided by whoever tries it.
//! Source: `spec/compat.md`, Selection, and the `select` conformance cases.

mod choice;
mod usage;

use serde_json::Value;

pub use choice::{Choice, Demand, PassedOver, choose, unusable};
pub use usage::{Failed, FailureReason, after_clearing, after_failure, after_use};

use crate::domain::{
    CredentialType, Expiry, ProfileId, ProviderId, Section, StoreDoc, UnixMs, from_outside,
};

/// Rest after the first, second and third failure in a row, milliseconds. Source: `spec/compat.md`, Selection.
const COOLDOWNS_MS: [i64; 3] = [60_000, 5 * 60_000, 25 * 60_000];
/// Rest after every further failure, milliseconds. Source: as above.
const LONGEST_COOLDOWN_MS: i64 = 60 * 60_000;

/// What the configuration says of a provider's profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// Its explicit order (`auth.order`), if it has one. Counts where the store has none of its own.
    pub order: Option<Vec<ProfileId>>,
    /// The profiles it names for the provider (`auth.profiles`), in the order written.
    pub configured: Vec<ProfileId>,
}

/// The profiles to try for `provider`, first choice first, each once. `prefer` goes first if it is among them.
/// An id may have no stored profile: the configuration and explicit orders can name any.
#[must_use]
pub fn candidates(
    doc: &StoreDoc,
    preferences: &Preferences,
    provider: &ProviderId,
    prefer: Option<&ProfileId>,
    now: UnixMs,
) -> Vec<ProfileId> {
    in_turn(doc, preferences, provider, prefer, |id| rest(doc, id, now))
}

/// The same as if none rested: the order in which they are meant to be used.
#[must_use]
pub fn candidates_if_rested(
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
    rest: impl Fn(&str) -> Option<Rest<'d>>,
) -> Vec<ProfileId> {
    let explicit = doc
        .order_for(provider.as_str())
        .or_else(|| preferences.order.clone());
    let is_explicit = explicit.is_some();
    let base = explicit.unwrap_or_else(|| match preferences.configured.as_slice() {
        [] => doc.profiles_of(provider.as_str()),
        configured => configured.to_vec(),
    });

    let (mut ready, mut resting) = (Vec::new(), Vec::new());
    for id in eligible(doc, provider, base) {
        match rest(id.as_str()) {
            Some(rest) => resting.push((rest.until.ms(), id)),
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
    resting.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    ready.extend(resting.into_iter().map(|(_, id)| id));

    if let Some(at) = prefer.and_then(|preferred| ready.iter().position(|id| id == preferred)) {
        ready[..=at].rotate_right(1);
    }
    ready
}

/// Why a profile is passed over for now, and how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rest<'d> {
    /// The end: of cooling down after failures or of being disabled, whichever is later.
    pub until: Expiry,
    /// How long until then, milliseconds; positive.
    pub left_ms: f64,
    /// Why.
    pub why: Why<'d>,
}

/// Why a profile rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'d> {
    /// It cools down after failures.
    Cooldown,
    /// It is disabled, for a reason if the store gives one.
    Disabled(Option<&'d str>),
}

impl Rest<'_> {
    /// `cooldown`, `disabled` or `disabled:billing`, on one line. Source of the words: the reference's doctor.
    #[must_use]
    pub fn state(&self) -> String {
        match self.why {
            Why::Cooldown => "cooldown".to_owned(),
            Why::Disabled(None) => "disabled".to_owned(),
            Why::Disabled(Some(reason)) => format!("disabled:{}", from_outside(reason)),
        }
    }
}

/// The rest of a profile at `now`; `None` if it may be used.
#[must_use]
pub fn rest<'d>(doc: &'d StoreDoc, id: &str, now: UnixMs) -> Option<Rest<'d>> {
    let usage = doc.get(Section::Usage, id)?;
    let to_come = |field| Expiry::from_json(usage.get(field)).filter(|end| end.ms() > now.as_f64());
    let (cooldown, disabled) = (to_come("cooldownUntil"), to_come("disabledUntil"));
    let until = [cooldown, disabled]
        .into_iter()
        .flatten()
        .max_by(|a, b| a.ms().total_cmp(&b.ms()))?;
    let why = match disabled {
        None => Why::Cooldown,
        Some(_) => Why::Disabled(usage.get("disabledReason").and_then(Value::as_str)),
    };
    Some(Rest {
        until,
        left_ms: until.ms() - now.as_f64(),
        why,
    })
}

/// How long a profile rests after its `failures`-th failure in a row, in milliseconds: 1, 5, 25, then 60 minutes.
#[must_use]
pub fn cooldown_ms(failures: u32) -> i64 {
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    COOLDOWNS_MS
        .get(index)
        .copied()
        .unwrap_or(LONGEST_COOLDOWN_MS)
}

/// Drops what belongs to another provider and what was there before. An entry that cannot be read belongs to nobody,
/// so its id stays, like one without an entry.
fn eligible(doc: &StoreDoc, provider: &ProviderId, ids: Vec<ProfileId>) -> Vec<ProfileId> {
    let mut kept = Vec::with_capacity(ids.len());
    for id in ids {
        let is_anothers = doc.credential(id.as_str()).is_some_and(|credential| {
            credential.is_readable() && !credential.is_for(provider.as_str())
        });
        if !is_anothers && !kept.contains(&id) {
            kept.push(id);
        }
    }
    kept
}

/// What decides whose turn it is: logins before tokens before keys before the unknown, then the longest unused.
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

#[cfg(test)]
mod tests;
