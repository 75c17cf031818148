//! A login on another device (RFC 8628): the person confirms a code there, and this program asks
//! until they have.

use std::thread;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use url::Url;

use super::device_answer::{DeviceAnswer, understand_device};
use super::error::{LoginError, REQUEST_MAX};
use super::pkce::{METHOD, Pkce};
use super::polling::{Next, Over, next};
use crate::domain::Endpoint;
use crate::oauth::answer::{Refusal, Tokens, understand};
use crate::oauth::fields::Fields;
use crate::oauth::http::post;
use crate::oauth::providers::Provider;
use crate::platform::Clock;

/// Source: RFC 8628 section 3.4.
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How often is asked where the provider does not say. Source: RFC 8628 section 3.2.
const INTERVAL: Duration = Duration::from_secs(5);
/// Never more often than that, whatever the provider says.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The lifetime of a code if the provider does not state it, though it has to; also the longest
/// lifetime that is accepted.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
const LIFETIME_MAX: Duration = Duration::from_secs(60 * 60);

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

impl<'p> DeviceLogin<'p> {
    /// Asks the provider for a code. A proof key is sent along: some providers ask for one, the
    /// others pass over it.
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

    /// Returns the address at which the user types the code.
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
