//! How credentials stand: by the clock alone ([`assess`]), and with what is known of their login
//! ([`CredentialState`]).
//!
//! Pure: values in, values out. The binary formats summaries for a terminal or as JSON.

mod passed_over;
mod state;

pub use passed_over::PassedOver;
pub use state::{CredentialState, Loss, Outlook, RefreshedBy, is_due};

use crate::domain::{Credential, CredentialType, Expiry, Span, UnixMs, WARN_AFTER_MS, is_endless};

/// When a verdict is made, and by which rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf {
    /// The time that expiries are compared with.
    pub now: UnixMs,
    /// A credential that expires within this time is expiring.
    pub expiring_within: Span,
    /// Whether the verdicts are the reference's: a login that never expires is missing, and no
    /// program is known to refresh its own.
    pub(crate) is_reference: bool,
}

impl AsOf {
    /// How long before its expiry a credential is expiring by default: 24 hours.
    pub const EXPIRING_WITHIN: Span = Span::from_ms(WARN_AFTER_MS);

    /// The verdicts of clawkeep at `now`.
    #[must_use]
    pub fn new(now: UnixMs, expiring_within: Span) -> Self {
        Self {
            now,
            expiring_within,
            is_reference: false,
        }
    }

    /// The verdicts of clawkeep at `now`, with the default for what is expiring.
    #[must_use]
    pub fn at(now: UnixMs) -> Self {
        Self::new(now, Self::EXPIRING_WITHIN)
    }

    /// The verdicts of the reference at `now`.
    #[must_use]
    pub fn of_reference(now: UnixMs) -> Self {
        Self {
            is_reference: true,
            ..Self::at(now)
        }
    }
}

/// How a credential, or a provider as a whole, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It expires later than [`AsOf::expiring_within`] from now.
    Ok,
    /// It expires within [`AsOf::expiring_within`].
    Expiring,
    /// It has expired and is not usable.
    Expired,
    /// There is none, or an OAuth login whose expiry is unknown.
    Missing,
    /// It has no expiry, so it stays valid.
    Static,
}

impl Status {
    /// The word in the JSON report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Missing => "missing",
            Self::Static => "static",
        }
    }
}

/// How one credential, or one provider, stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Health {
    /// The verdict on the credential.
    pub status: Status,
    /// When it ends, as stored; also where that makes no sense (an OAuth login with 0 or less).
    pub expires_at: Option<Expiry>,
    /// Milliseconds left, negative once it has ended; absent where the verdict is not about time.
    pub remaining_ms: Option<f64>,
}

impl Health {
    /// Returns the lifetime left, in whole milliseconds.
    #[must_use]
    pub fn left(&self) -> Option<Span> {
        self.remaining_ms.map(Span::from_f64)
    }

    fn timeless(status: Status, expires_at: Option<Expiry>) -> Self {
        Self {
            status,
            expires_at,
            remaining_ms: None,
        }
    }
}

/// How a credential stands by the clock. An unreadable entry is [`Status::Missing`].
#[must_use]
pub fn assess(credential: &Credential<'_>, as_of: AsOf) -> Health {
    if credential.is_marker() {
        return Health::timeless(Status::Missing, credential.expiry());
    }
    let (kind, provider) = (credential.kind, credential.provider);
    assess_plain(kind, provider, credential.expiry(), as_of)
}

/// Assesses a credential by its type, provider and expiry, without reading its secret.
fn assess_plain(
    kind: CredentialType,
    provider: &str,
    expires_at: Option<Expiry>,
    as_of: AsOf,
) -> Health {
    match (kind, expires_at.filter(|expiry| expiry.ms() > 0.0)) {
        (CredentialType::ApiKey, _) | (CredentialType::Token, None) => {
            Health::timeless(Status::Static, None)
        }
        (CredentialType::OAuth, None)
            if is_endless(kind, provider, expires_at) && !as_of.is_reference =>
        {
            Health::timeless(Status::Static, None)
        }
        (CredentialType::OAuth, None) => Health::timeless(Status::Missing, expires_at),
        (CredentialType::Unreadable, _) => Health::timeless(Status::Missing, None),
        (CredentialType::Token | CredentialType::OAuth, Some(expiry)) => timed(expiry, as_of),
    }
}

/// How a provider stands, given its readable credentials: without any it is missing, with API keys
/// alone static; else the earliest end counts, and one that has ended or is missing makes the whole
/// expired.
#[must_use]
pub fn assess_provider(credentials: &[(CredentialType, Health)], now: UnixMs) -> Health {
    let expirable = || {
        let ends =
            |kind: CredentialType| matches!(kind, CredentialType::OAuth | CredentialType::Token);
        credentials
            .iter()
            .filter(move |(kind, _)| ends(*kind))
            .map(|(_, health)| health)
    };
    if expirable().next().is_none() {
        let status = if credentials.is_empty() {
            Status::Missing
        } else {
            Status::Static
        };
        return Health::timeless(status, None);
    }
    let any = |wanted: &[Status]| expirable().any(|health| wanted.contains(&health.status));
    let status = if any(&[Status::Expired, Status::Missing]) {
        Status::Expired
    } else if any(&[Status::Expiring]) {
        Status::Expiring
    } else {
        Status::Ok
    };
    let expires_at = expirable()
        .filter_map(|health| health.expires_at)
        .min_by(|a, b| a.ms().total_cmp(&b.ms()));
    Health {
        status,
        expires_at,
        remaining_ms: expires_at.map(|expiry| expiry.left_at(now)),
    }
}

fn timed(expiry: Expiry, as_of: AsOf) -> Health {
    let remaining = expiry.left_at(as_of.now);
    let status = if expiry.is_over_at(as_of.now) {
        Status::Expired
    } else if remaining <= UnixMs(as_of.expiring_within.ms()).as_f64() {
        Status::Expiring
    } else {
        Status::Ok
    };
    Health {
        status,
        expires_at: Some(expiry),
        remaining_ms: Some(remaining),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: UnixMs = UnixMs(1_768_000_000_000);

    fn of(entry: &Value) -> Health {
        assess(&Credential::of(entry), AsOf::at(NOW))
    }

    fn oauth(expires: &Value) -> Value {
        json!({"type": "oauth", "provider": "p", "access": "a", "expires": expires})
    }

    fn token(expires: &Value) -> Value {
        json!({"type": "token", "provider": "p", "token": "t", "expires": expires})
    }

    #[test]
    fn the_border_between_two_verdicts_belongs_to_the_worse() {
        for (from_now, want) in [
            (-1, Status::Expired),
            (0, Status::Expired),
            (1, Status::Expiring),
            (WARN_AFTER_MS, Status::Expiring),
            (WARN_AFTER_MS + 1, Status::Ok),
        ] {
            for entry in [
                oauth(&json!(NOW.0 + from_now)),
                token(&json!(NOW.0 + from_now)),
            ] {
                let health = of(&entry);
                assert_eq!(
                    (health.status, health.remaining_ms),
                    (want, Some(UnixMs(from_now).as_f64())),
                    "{from_now}"
                );
            }
        }
    }

    #[test]
    fn an_end_that_makes_no_sense_is_missing_for_a_login_and_none_for_a_token() {
        for odd in [json!(null), json!("soon"), json!(0), json!(-5)] {
            let login = of(&oauth(&odd));
            assert_eq!(
                (login.status, login.remaining_ms),
                (Status::Missing, None),
                "{odd}"
            );
            assert_eq!(
                login.expires_at.map(Expiry::ms),
                odd.as_f64(),
                "shown as stored"
            );
            assert_eq!(
                of(&token(&odd)),
                Health::timeless(Status::Static, None),
                "{odd}"
            );
        }
        let key = json!({"type": "api_key", "provider": "p", "key": "k", "expires": NOW.0});
        assert_eq!(of(&key), Health::timeless(Status::Static, None));
        assert_eq!(
            of(&json!({"type": "odd", "provider": "p"})).status,
            Status::Missing
        );
    }

    #[test]
    fn a_refresh_marker_is_no_token() {
        let mut entry = oauth(&json!(NOW.0 + 2 * WARN_AFTER_MS));
        entry["access"] = json!("openclaw-oauth-refresh-fence:v1:abc");
        assert_eq!(of(&entry).status, Status::Missing);
    }

    #[test]
    fn a_provider_is_as_good_as_its_worst_credential() {
        let key = (
            CredentialType::ApiKey,
            Health::timeless(Status::Static, None),
        );
        let plain = (CredentialType::Token, of(&token(&json!(0))));
        let at = |from_now: i64| (CredentialType::OAuth, of(&oauth(&json!(NOW.0 + from_now))));
        let missing = (CredentialType::OAuth, of(&oauth(&json!(0))));
        let late = at(3 * WARN_AFTER_MS);
        let verdict = |list: &[_]| {
            let health = assess_provider(list, NOW);
            (health.status, health.remaining_ms)
        };
        assert_eq!(verdict(&[]), (Status::Missing, None));
        assert_eq!(verdict(&[key]), (Status::Static, None));
        assert_eq!(
            verdict(&[key, plain]),
            (Status::Ok, None),
            "a token without an end is fine"
        );
        assert_eq!(
            verdict(&[late, at(5), plain]),
            (Status::Expiring, Some(5.0))
        );
        assert_eq!(
            verdict(&[late, at(5), at(-7)]),
            (Status::Expired, Some(-7.0))
        );
        assert_eq!(
            verdict(&[late, missing]),
            (Status::Expired, Some(-NOW.as_f64())),
            "0 is the earliest end there is"
        );
    }
}
