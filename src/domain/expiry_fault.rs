//! What is wrong with an expiry that other programs wrote.

use serde_json::Value;

use super::credential::{Credential, CredentialType, is_endless};
use super::named::named;
use super::time::UnixMs;

/// Below this many milliseconds since 1970 (March 1973) a value is taken to be in seconds: as
/// seconds it is the year 5138.
const SECONDS_BELOW: f64 = 1e11;
/// An expiry further ahead than this, 20 years in milliseconds, is no date of a provider's.
const FAR_AHEAD_MS: f64 = 20.0 * 365.25 * 86_400_000.0;

named! {
    /// Why an expiry cannot be used. It is expected in milliseconds since 1970.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ExpiryFault {
        /// It is missing or null.
        Missing = "missing",
        /// It is 0, where the provider's tokens do expire.
        Zero = "zero",
        /// The expiry is below 0.
        Negative = "negative",
        /// It is text, a list or another value that is no number.
        NotANumber = "not-a-number",
        /// It counts seconds instead of milliseconds.
        Seconds = "seconds",
        /// The expiry is decades ahead.
        FarAhead = "far-ahead",
    }
}

impl ExpiryFault {
    /// Returns what is wrong with the number `ms`, if anything.
    #[must_use]
    pub(crate) fn of_ms(ms: f64, now: UnixMs) -> Option<Self> {
        match ms {
            0.0 => Some(Self::Zero),
            _ if ms < 0.0 => Some(Self::Negative),
            _ if ms < SECONDS_BELOW => Some(Self::Seconds),
            _ if ms - now.as_f64() > FAR_AHEAD_MS => Some(Self::FarAhead),
            _ => None,
        }
    }

    /// Returns what is wrong with the expiry of a stored credential, if anything. An API key has
    /// none; a token may have none.
    #[must_use]
    pub fn of(credential: &Credential<'_>, now: UnixMs) -> Option<Self> {
        let is_oauth = match credential.kind {
            CredentialType::ApiKey | CredentialType::Unreadable => return None,
            CredentialType::Token => false,
            CredentialType::OAuth => true,
        };
        let may_be_zero =
            !is_oauth || is_endless(credential.kind, credential.provider, credential.expiry());
        let fault = match credential.stored_expiry() {
            None | Some(Value::Null) => is_oauth.then_some(Self::Missing),
            Some(value) => match value.as_f64().filter(|ms| ms.is_finite()) {
                Some(ms) => Self::of_ms(ms, now),
                None => Some(Self::NotANumber),
            },
        };
        fault.filter(|fault| *fault != Self::Zero || !may_be_zero)
    }

    /// Whether there is no expiry, rather than one that cannot be relied on.
    #[must_use]
    pub fn is_absent(self) -> bool {
        matches!(self, Self::Missing | Self::Zero)
    }

    /// What is wrong, as the end of a sentence that begins with "its expiry".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::Zero => "is 0",
            Self::Negative => "is below 0",
            Self::NotANumber => "is not a number",
            Self::Seconds => "is in seconds, not in milliseconds",
            Self::FarAhead => "is decades ahead",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_fault_is_recognised() {
        let now = UnixMs(1_768_000_000_000);
        let of = |kind: &str, provider: &str, expires: Value| {
            let entry = json!({"type": kind, "provider": provider, "expires": expires});
            ExpiryFault::of(&Credential::of(&entry), now).map(ExpiryFault::as_str)
        };
        for (kind, provider, expires, want) in [
            ("oauth", "p", json!(now.0 + 5), None),
            ("oauth", "p", json!(now.0 - 5), None),
            ("oauth", "p", json!(86_400), Some("seconds")),
            ("token", "p", json!(1_768_086_400), Some("seconds")),
            (
                "token",
                "p",
                json!("2020-01-01T00:00:00Z"),
                Some("not-a-number"),
            ),
            ("token", "p", json!("1768000000000"), Some("not-a-number")),
            (
                "token",
                "p",
                json!(9_000_000_000_000_000_u64),
                Some("far-ahead"),
            ),
            ("token", "p", json!(null), None),
            ("token", "p", json!(0), None),
            ("oauth", "p", json!(0), Some("zero")),
            ("oauth", "p", json!(-1), Some("negative")),
            ("oauth", "p", json!(null), Some("missing")),
            ("oauth", "github-copilot", json!(0), None),
            ("oauth", "github-copilot", json!(-1), Some("negative")),
            ("api_key", "p", json!("text"), None),
        ] {
            let found = of(kind, provider, expires.clone());
            assert_eq!(found, want, "{kind} {expires}");
        }
    }
}
