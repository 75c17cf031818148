//! What a caller learnt of a credential, as the store has it: used, failed, or fine again.
//!
//! Pure: a usage entry in, a usage entry out; fields we do not know stay.

use serde_json::{Map, Value, json};

use super::cooldown::cooldown_ms;
use crate::domain::{CooldownRules, ProviderId, UnixMs, named};

const HOUR_MS: f64 = 3_600_000.0;
/// Longest exponent of the doubling after failures for want of money. Source: the reference's
/// limit, beyond every maximum.
const DOUBLINGS_MAX: u32 = 10;
/// Shortest rest after a failure for want of money, milliseconds. Source: as above.
const SHORTEST_DISABLED_MS: f64 = 60_000.0;

named! {
    parsed
    /// Why a provider refused a credential. The names are the reference's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum FailureReason {
        /// The provider refused the credential.
        Auth = "auth",
        /// The request made no sense to the provider.
        Format = "format",
        /// The provider received too many requests.
        RateLimit = "rate_limit",
        /// The account has no money left: a longer rest.
        Billing = "billing",
        /// The provider did not answer in time.
        Timeout = "timeout",
        /// Any other reason for a failure.
        Unknown = "unknown",
    }
}

/// A counted failure: the usage entry with it, and its consequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    /// The usage entry after it.
    pub usage: Value,
    /// How many failures in a row there are now.
    pub failures: u32,
    /// Until when the credential is not to be used.
    pub until: UnixMs,
}

/// A usage entry after a use that went well: used now, and no failure any more.
#[must_use]
pub fn after_use(usage: Option<&Value>, now: UnixMs) -> Value {
    let mut fields = cleared(usage);
    fields.insert("lastUsed".to_owned(), json!(now.0));
    fields.insert("errorCount".to_owned(), json!(0));
    Value::Object(fields)
}

/// A usage entry with its cooldown lifted; `None` where there is nothing to lift.
#[must_use]
pub fn after_clearing(usage: Option<&Value>) -> Option<Value> {
    let mut fields = cleared(usage);
    if usage?.get("errorCount").is_some() {
        fields.insert("errorCount".to_owned(), json!(0));
    }
    let after = Value::Object(fields);
    (usage != Some(&after)).then_some(after)
}

/// A usage entry after a failure.
#[must_use]
pub fn after_failure(
    usage: Option<&Value>,
    reason: FailureReason,
    provider: &ProviderId,
    rules: &CooldownRules,
    now: UnixMs,
) -> Failed {
    let mut fields = entry(usage);
    let number = |name: &str| fields.get(name).and_then(Value::as_f64);
    let window = rules.failure_window_hours * HOUR_MS;
    let is_forgotten =
        number("lastFailureAt").is_some_and(|last| last > 0.0 && now.as_f64() - last > window);
    let before = if is_forgotten {
        0
    } else {
        number("errorCount").map_or(0, count)
    };
    let failures = before.saturating_add(1);
    let mut counts = match fields.get("failureCounts") {
        Some(Value::Object(counts)) if !is_forgotten => counts.clone(),
        _ => Map::new(),
    };
    let of_reason = counts
        .get(reason.as_str())
        .and_then(Value::as_f64)
        .map_or(0, count)
        .saturating_add(1);
    counts.insert(reason.as_str().to_owned(), json!(of_reason));

    let (field, rest) = match reason {
        FailureReason::Billing => ("disabledUntil", billing_ms(rules, provider, of_reason)),
        _ => ("cooldownUntil", cooldown_ms(failures)),
    };
    let until = UnixMs(now.0.saturating_add(rest));
    fields.insert("errorCount".to_owned(), json!(failures));
    fields.insert("failureCounts".to_owned(), Value::Object(counts));
    fields.insert("lastFailureAt".to_owned(), json!(now.0));
    fields.insert(field.to_owned(), json!(until.0));
    if reason == FailureReason::Billing {
        fields.insert("disabledReason".to_owned(), json!(reason.as_str()));
    }
    Failed {
        usage: Value::Object(fields),
        failures,
        until,
    }
}

fn entry(usage: Option<&Value>) -> Map<String, Value> {
    usage
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn cleared(usage: Option<&Value>) -> Map<String, Value> {
    let mut fields = entry(usage);
    let gone = [
        "cooldownUntil",
        "disabledUntil",
        "disabledReason",
        "failureCounts",
    ];
    gone.iter()
        .for_each(|name| drop(fields.shift_remove(*name)));
    fields
}

/// A count as the store has it: whole, not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is right for a count"
)]
fn count(number: f64) -> u32 {
    number.max(0.0) as u32
}

/// The rest after the n-th failure for want of money: doubled each time, up to the longest.
#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, and hours in milliseconds are far below 2^53"
)]
fn billing_ms(rules: &CooldownRules, provider: &ProviderId, failures: u32) -> i64 {
    let hours = rules
        .billing_backoff_hours_by_provider
        .get(provider)
        .copied()
        .unwrap_or(rules.billing_backoff_hours);
    let first = (hours * HOUR_MS).max(SHORTEST_DISABLED_MS);
    let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
    let longest = (rules.billing_max_hours * HOUR_MS).max(first);
    (first * f64::from(2_u32.pow(doublings))).min(longest) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_768_000_000_000);
    const MINUTE: i64 = 60_000;

    fn fail(usage: Option<&Value>, reason: FailureReason, now: UnixMs) -> Failed {
        let rules = CooldownRules::default();
        after_failure(usage, reason, &ProviderId::new("p"), &rules, now)
    }

    #[test]
    fn each_failure_in_a_row_lengthens_the_cooldown_and_a_use_ends_it() {
        let mut usage = json!({"x": "kept", "lastUsed": 1.5});
        for (n, minutes) in [(1, 1), (2, 5), (3, 25), (4, 60), (5, 60)] {
            let failed = fail(Some(&usage), FailureReason::RateLimit, NOW);
            assert_eq!(failed.failures, n);
            assert_eq!(failed.until.0 - NOW.0, minutes * MINUTE);
            assert_eq!(failed.usage["cooldownUntil"], failed.until.0);
            assert_eq!(failed.usage["failureCounts"], json!({"rate_limit": n}));
            usage = failed.usage;
        }
        assert_eq!(usage["lastUsed"], 1.5);
        assert_eq!(
            after_use(Some(&usage), NOW),
            json!({"x": "kept", "lastUsed": NOW.0, "errorCount": 0, "lastFailureAt": NOW.0})
        );
    }

    #[test]
    fn failures_of_another_day_are_forgotten() {
        let usage = fail(None, FailureReason::Auth, NOW).usage;
        let day = 24 * 60 * MINUTE;
        let within = fail(Some(&usage), FailureReason::Timeout, UnixMs(NOW.0 + day));
        assert_eq!(within.failures, 2);
        assert_eq!(
            within.usage["failureCounts"],
            json!({"auth": 1, "timeout": 1})
        );
        let later = fail(
            Some(&usage),
            FailureReason::Timeout,
            UnixMs(NOW.0 + day + 1),
        );
        assert_eq!(later.failures, 1);
        assert_eq!(later.usage["failureCounts"], json!({"timeout": 1}));
    }

    #[test]
    fn a_billing_failure_disables_for_hours() {
        let hour = 60 * MINUTE;
        let mut usage = None;
        for hours in [5, 10, 20, 24, 24] {
            let failed = fail(usage.as_ref(), FailureReason::Billing, NOW);
            assert_eq!(failed.until.0 - NOW.0, hours * hour);
            assert_eq!(failed.usage["disabledUntil"], failed.until.0);
            assert_eq!(failed.usage["disabledReason"], "billing");
            assert!(failed.usage.get("cooldownUntil").is_none());
            usage = Some(failed.usage);
        }
        let rules = CooldownRules {
            billing_backoff_hours_by_provider: [(ProviderId::new("Z.AI"), 0.0001)].into(),
            ..CooldownRules::default()
        };
        let failed = after_failure(
            None,
            FailureReason::Billing,
            &ProviderId::new("zai"),
            &rules,
            NOW,
        );
        assert_eq!(failed.until.0 - NOW.0, MINUTE, "never less than a minute");
    }

    #[test]
    fn clearing_lifts_every_cooldown_and_changes_nothing_else() {
        let usage = fail(
            Some(&json!({"lastUsed": 3, "y": []})),
            FailureReason::Billing,
            NOW,
        )
        .usage;
        assert_eq!(
            after_clearing(Some(&usage)),
            Some(json!({"lastUsed": 3, "y": [], "errorCount": 0, "lastFailureAt": NOW.0}))
        );
        assert_eq!(after_clearing(Some(&json!({"lastUsed": 3}))), None);
        assert_eq!(after_clearing(None), None);
    }

    #[test]
    fn nonsense_in_the_store_counts_as_nothing() {
        let odd = json!({"errorCount": -3, "failureCounts": [1], "lastFailureAt": "x"});
        let failed = fail(Some(&odd), FailureReason::Unknown, NOW);
        assert_eq!(failed.failures, 1);
        assert_eq!(fail(Some(&json!(7)), FailureReason::Auth, NOW).failures, 1);
        let many = json!({"errorCount": 1e300});
        let found = fail(Some(&many), FailureReason::Auth, NOW).until.0 - NOW.0;
        assert_eq!(found, 60 * MINUTE);
    }
}
