//! Profiles that are skipped for a while: why, until when, and how long after a failure.

use serde_json::Value;

use crate::domain::{Expiry, Section, StoreDoc, UnixMs, from_outside};

/// Cooldowns after the first, second and third failure in a row, milliseconds. Source:
/// `spec/compat.md`, Selection.
const COOLDOWNS_MS: [i64; 3] = [60_000, 5 * 60_000, 25 * 60_000];

/// The cooldown after every further failure, milliseconds. Source: as above.
const LONGEST_COOLDOWN_MS: i64 = 60 * 60_000;

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
    /// `cooldown`, `disabled` or `disabled:billing`, on one line. Source: the reference's doctor.
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
    let to_come = |field| Expiry::from_json(usage.get(field)).filter(|end| end.ms() > now.as_f64());
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
        left_ms: until.ms() - now.as_f64(),
        why,
    })
}

/// The cooldown after the `failures`-th failure in a row, in milliseconds: 1, 5, 25, 60 minutes.
#[must_use]
pub fn cooldown_ms(failures: u32) -> i64 {
    let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    COOLDOWNS_MS
        .get(index)
        .copied()
        .unwrap_or(LONGEST_COOLDOWN_MS)
}
