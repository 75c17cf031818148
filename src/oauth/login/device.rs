//! A login on another device (RFC 8628): the person confirms a code there, and this program asks until they have.

use std::thread;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use url::Url;

use super::pkce::{METHOD, Pkce};
use super::{LoginError, REQUEST_MAX};
use crate::domain::Endpoint;
use crate::oauth::answer::{
    DeviceAnswer, FailureClass, Refusal, Tokens, understand, understand_device,
};
use crate::oauth::http::{Fields, post};
use crate::oauth::providers::Provider;
use crate::platform::Clock;

/// Source: RFC 8628 section 3.4.
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How often is asked where the provider does not say. Source: RFC 8628 section 3.2.
const INTERVAL: Duration = Duration::from_secs(5);
/// Never more often than that, whatever the provider says.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// How much longer to wait after `slow_down`, each time. Source: RFC 8628 section 3.5.
const SLOWER: Duration = Duration::from_secs(5);
/// How long a code is good for where the provider does not say, though it has to; and the longest that is believed.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
const LIFETIME_MAX: Duration = Duration::from_secs(60 * 60);
/// How often in a row there may be no answer that makes sense.
const FAILURES_MAX: u32 = 5;

/// A login that was begun and waits to be confirmed.
#[derive(Debug)]
pub struct DeviceLogin<'p> {
    provider: &'p Provider,
    client_id: String,
    pkce: Pkce,
    answer: DeviceAnswer,
    /// Until when the code is good.
    ends: Instant,
    lifetime: Duration,
}

/// What to do after an answer that brought no tokens.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Ask again after so long.
    After(Duration),
    /// It is over.
    Over(Over),
}

#[derive(Debug, PartialEq, Eq)]
enum Over {
    Denied,
    Expired,
    Refused,
}

impl<'p> DeviceLogin<'p> {
    /// Asks the provider for a code. A proof key is sent along: some providers ask for one, the others pass over it.
    ///
    /// # Errors
    /// When the provider's entry says no `device_url`, or the provider does not give a code.
    pub fn begin(
        provider: &'p Provider,
        endpoint: &Endpoint,
        clock: Clock,
    ) -> Result<Self, LoginError> {
        let url = provider.device_url.as_ref();
        let url = url.ok_or_else(|| LoginError::Lacks {
            provider: provider.id.clone(),
            setting: "device_url",
        })?;
        let pkce = Pkce::generate()?;
        let mut fields = vec![
            ("client_id", endpoint.client_id.as_str()),
            ("code_challenge", &pkce.challenge),
            ("code_challenge_method", METHOD),
        ];
        let scopes = provider.scopes.trim();
        if !scopes.is_empty() {
            fields.push(("scope", scopes));
        }
        let fields = Fields::encoded(provider.encoding, &fields);
        let begun = Instant::now();
        let answer = match post(url, &fields, REQUEST_MAX) {
            Ok(reply) => understand_device(&reply, clock.now()),
            Err(why) => Err(Refusal::no_reply(why)),
        };
        let answer = answer.map_err(LoginError::NoDeviceCode)?;
        let lifetime = answer.expires_in.unwrap_or(LIFETIME).min(LIFETIME_MAX);
        Ok(Self {
            provider,
            client_id: endpoint.client_id.clone(),
            pkce,
            ends: begun + lifetime,
            lifetime,
            answer,
        })
    }

    /// What the person types on the other device.
    #[must_use]
    pub fn user_code(&self) -> &str {
        &self.answer.user_code
    }

    /// Where they type it.
    #[must_use]
    pub fn verification_uri(&self) -> &Url {
        &self.answer.verification_uri
    }

    /// The same with the code in it, if the provider has such a one.
    #[must_use]
    pub fn verification_uri_complete(&self) -> Option<&Url> {
        self.answer.verification_uri_complete.as_ref()
    }

    /// How long the code is good for.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Waits until the person has confirmed the login.
    ///
    /// # Errors
    /// When they decline, do not come in time, or the provider refuses otherwise.
    pub fn wait(self, clock: Clock) -> Result<Tokens, LoginError> {
        let fields = [
            ("grant_type", GRANT_TYPE),
            ("device_code", self.answer.device_code.expose_secret()),
            ("client_id", &self.client_id),
            ("code_verifier", self.pkce.verifier.expose_secret()),
        ];
        let fields = Fields::encoded(self.provider.encoding, &fields);
        let mut interval = self.answer.interval.unwrap_or(INTERVAL).max(INTERVAL_MIN);
        let mut failures = 0;
        loop {
            let left = self.ends.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LoginError::DeviceExpired);
            }
            thread::sleep(interval.min(left)); // at the code's end is asked once more
            let answer = match post(&self.provider.token_url, &fields, REQUEST_MAX) {
                Ok(reply) => understand(&reply, self.provider.margin_ms, clock.now()),
                Err(why) => Err(Refusal::no_reply(why)),
            };
            let refusal = match answer {
                Ok(tokens) => return Ok(tokens),
                Err(refusal) => refusal,
            };
            match next(&refusal, interval, &mut failures) {
                Next::After(after) => interval = after,
                Next::Over(Over::Denied) => {
                    return Err(LoginError::Denied {
                        code: "access_denied",
                    });
                }
                Next::Over(Over::Expired) => return Err(LoginError::DeviceExpired),
                Next::Over(Over::Refused) => return Err(LoginError::NoTokens(refusal)),
            }
        }
    }
}

/// Source: RFC 8628 section 3.5; of other answers, those that may be different in a moment are waited out, ever longer.
fn next(refusal: &Refusal, interval: Duration, failures: &mut u32) -> Next {
    match refusal.code {
        Some("authorization_pending") => {
            *failures = 0;
            return Next::After(interval);
        }
        Some("slow_down") => {
            *failures = 0;
            return Next::After(interval.saturating_add(SLOWER));
        }
        Some("access_denied") => return Next::Over(Over::Denied),
        Some("expired_token") => return Next::Over(Over::Expired),
        _ => {}
    }
    *failures += 1;
    let may_pass = match (refusal.class, refusal.status) {
        (FailureClass::Dead | FailureClass::Misconfigured, _) => false,
        (FailureClass::Limited, _) => true,
        (FailureClass::Transient | FailureClass::Uncertain, status) => {
            status.is_none_or(|status| status >= 500)
        }
    };
    if !may_pass || *failures >= FAILURES_MAX {
        return Next::Over(Over::Refused);
    }
    let after = interval.saturating_mul(2);
    Next::After(refusal.retry_after.unwrap_or(after).max(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(class: FailureClass, status: Option<u16>, code: Option<&'static str>) -> Refusal {
        Refusal {
            class,
            code,
            status,
            retry_after: None,
            cause: None,
        }
    }

    #[test]
    fn when_is_asked_again() {
        let five = Duration::from_secs(5);
        let of = |class, status, code| next(&refusal(class, status, code), five, &mut 0);
        let (transient, uncertain) = (FailureClass::Transient, FailureClass::Uncertain);
        let after = |seconds| Next::After(Duration::from_secs(seconds));
        for (class, status, code, want) in [
            (
                transient,
                Some(400),
                Some("authorization_pending"),
                after(5),
            ),
            (
                transient,
                Some(428),
                Some("authorization_pending"),
                after(5),
            ),
            (transient, Some(400), Some("slow_down"), after(10)),
            (
                FailureClass::Limited,
                Some(429),
                Some("slow_down"),
                after(10),
            ),
            (FailureClass::Limited, Some(429), None, after(10)),
            (transient, None, None, after(10)),
            (uncertain, None, None, after(10)),
            (transient, Some(503), None, after(10)),
            (uncertain, Some(502), None, after(10)),
            (
                transient,
                Some(400),
                Some("access_denied"),
                Next::Over(Over::Denied),
            ),
            (
                transient,
                Some(400),
                Some("expired_token"),
                Next::Over(Over::Expired),
            ),
            (
                transient,
                Some(400),
                Some("other"),
                Next::Over(Over::Refused),
            ),
            (transient, Some(404), None, Next::Over(Over::Refused)),
            (uncertain, Some(200), None, Next::Over(Over::Refused)),
            (uncertain, Some(302), None, Next::Over(Over::Refused)),
            (
                FailureClass::Dead,
                Some(400),
                Some("invalid_grant"),
                Next::Over(Over::Refused),
            ),
            (
                FailureClass::Misconfigured,
                Some(401),
                Some("invalid_client"),
                Next::Over(Over::Refused),
            ),
        ] {
            assert_eq!(
                of(class, status, code),
                want,
                "{class:?} {status:?} {code:?}"
            );
        }
    }

    #[test]
    fn silence_is_waited_out_but_not_for_ever() {
        let silent = refusal(FailureClass::Uncertain, None, None);
        let pending = refusal(
            FailureClass::Transient,
            Some(400),
            Some("authorization_pending"),
        );
        let mut failures = 0;
        for _ in 1..FAILURES_MAX {
            let again = next(&silent, INTERVAL, &mut failures);
            assert!(matches!(again, Next::After(_)));
        }
        let mut other = failures;
        assert_eq!(
            next(&silent, INTERVAL, &mut failures),
            Next::Over(Over::Refused)
        );
        next(&pending, INTERVAL, &mut other);
        assert_eq!(other, 0, "an answer begins the count anew");
    }
}
