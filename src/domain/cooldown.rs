//! Profiles that are skipped for a while: why, until when, and the rules for how long.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ids::ProviderId;
use super::store::{Section, StoreDoc};
use super::text::from_outside;
use super::time::{Expiry, UnixMs};

/// The length of cooldowns after failures: `auth.cooldowns` of the configuration. The defaults are
/// the reference's.
#[derive(Clone, Debug, PartialEq)]
pub struct CooldownRules {
    /// The first rest after a failure for want of money, in hours; doubled with each further one.
    pub billing_backoff_hours: f64,
    /// The same for single providers.
    pub billing_backoff_hours_by_provider: BTreeMap<ProviderId, f64>,
    /// The longest rest for want of money, in hours.
    pub billing_max_hours: f64,
    /// Failures longer ago than this, in hours, are forgotten at the next one.
    pub failure_window_hours: f64,
}

impl Default for CooldownRules {
    fn default() -> Self {
        Self {
            billing_backoff_hours: 5.0,
            billing_backoff_hours_by_provider: BTreeMap::new(),
            billing_max_hours: 24.0,
            failure_window_hours: 24.0,
        }
    }
}

/// Why a profile is skipped for now, and until when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unavailability<'d> {
    /// The end of the cooldown or of being disabled, whichever is later.
    pub until: Expiry,
    /// How long until then, milliseconds; positive.
    pub left_ms: f64,
    /// Why the profile is skipped.
    pub why: UnavailableReason<'d>,
}

/// Why a profile is skipped for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnavailableReason<'d> {
    /// It cools down after failures.
    Cooldown,
    /// It is disabled, for a reason if the store gives one.
    Disabled(Option<&'d str>),
}

impl Unavailability<'_> {
    /// `cooldown`, `disabled` or `disabled:billing`, on one line. Source of the words: the
    /// reference's doctor.
    #[must_use]
    pub fn state(&self) -> String {
        match self.why {
            UnavailableReason::Cooldown => "cooldown".to_owned(),
            UnavailableReason::Disabled(None) => "disabled".to_owned(),
            UnavailableReason::Disabled(Some(reason)) => {
                format!("disabled:{}", from_outside(reason))
            }
        }
    }
}

/// The cooldown of a profile at `now`; `None` if it may be used.
#[must_use]
pub fn unavailability<'d>(doc: &'d StoreDoc, id: &str, now: UnixMs) -> Option<Unavailability<'d>> {
    let usage = doc.get(Section::Usage, id)?;
    let to_come = |field| Expiry::from_json(usage.get(field)).filter(|end| !end.is_over_at(now));
    let (cooldown, disabled) = (to_come("cooldownUntil"), to_come("disabledUntil"));
    let until = [cooldown, disabled]
        .into_iter()
        .flatten()
        .max_by(|a, b| a.ms().total_cmp(&b.ms()))?;
    let why = match disabled {
        None => UnavailableReason::Cooldown,
        Some(_) => UnavailableReason::Disabled(usage.get("disabledReason").and_then(Value::as_str)),
    };
    Some(Unavailability {
        until,
        left_ms: until.left_at(now),
        why,
    })
}
