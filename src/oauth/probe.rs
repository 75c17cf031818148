//! A probe: one cheap request with a credential to its provider, to see whether it is accepted.
//! Only on demand: it tells the provider that the credential is in use here.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use super::http::get_status;
use crate::config::ProviderSettings;
use crate::domain::{CredentialType, ProviderId, UnixMs, named};

/// How long a provider may take.
pub const PROBE_MAX: Duration = Duration::from_secs(10);

/// How a secret is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    /// `Authorization: Bearer`.
    Bearer,
    /// A header of this name, with the secret alone.
    Named(&'static str),
}

/// What is asked of a provider: its list of models, or the facts of a key. Neither costs anything.
/// Accepted is each status from 200 to 299.
struct Probe {
    provider: &'static str,
    url: &'static str,
    header: Header,
    /// Headers that every request needs.
    also: &'static [(&'static str, &'static str)],
    /// The status of a refused secret, beside 401 and 403.
    refused: &'static [u16],
}

/// The providers that can be asked.
static PROBES: &[Probe] = &[
    // source: OpenAI's API reference, Models, List models
    Probe::bearer("openai", "https://api.openai.com/v1/models"),
    // source: Anthropic's API reference, Models, List models
    Probe {
        header: Header::Named("x-api-key"),
        also: &[("anthropic-version", "2023-06-01")],
        ..Probe::bearer("anthropic", "https://api.anthropic.com/v1/models?limit=1")
    },
    // source: Google's Gemini API reference, models.list; a key that is not valid is a 400
    Probe {
        header: Header::Named("x-goog-api-key"),
        refused: &[400],
        ..Probe::bearer(
            "google",
            "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1",
        )
    },
    // source: OpenRouter's API reference, Get current API key. Its list of models asks for no key.
    Probe::bearer("openrouter", "https://openrouter.ai/api/v1/key"),
    // source: Groq's API reference, List models
    Probe::bearer("groq", "https://api.groq.com/openai/v1/models"),
    // source: Mistral's API reference, List models
    Probe::bearer("mistral", "https://api.mistral.ai/v1/models"),
    // source: xAI's API reference, List models
    Probe::bearer("xai", "https://api.x.ai/v1/models"),
    // source: DeepSeek's API reference, Lists models
    Probe::bearer("deepseek", "https://api.deepseek.com/models"),
];

impl Probe {
    const fn bearer(provider: &'static str, url: &'static str) -> Self {
        Self {
            provider,
            url,
            header: Header::Bearer,
            also: &[],
            refused: &[],
        }
    }
}

named! {
    /// What a probe found. The words are those of later gateways.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Verdict {
        /// The provider accepted the secret.
        Accepted = "ok",
        /// The provider refused the secret.
        Refused = "auth",
        /// The provider asks for a pause; whether it accepts the secret is not known.
        RateLimited = "rate_limit",
        /// The account has no credit left.
        Billing = "billing",
        /// No answer came in time.
        TimedOut = "timeout",
        /// An answer that says nothing of the secret, or none.
        Unknown = "unknown",
    }
}

/// The answer to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What was found.
    pub verdict: Verdict,
    /// The status of the answer, if one came.
    pub status: Option<u16>,
    /// Why none came, in words that name no address.
    pub why: Option<String>,
    /// The pause that the provider asks for.
    pub retry_after: Option<Duration>,
}

/// A request that is ready to be sent.
pub struct ProbeRequest {
    url: Url,
    headers: Vec<(&'static str, Zeroizing<String>)>,
    refused: &'static [u16],
}

impl ProbeRequest {
    /// The request for a credential; `None` if nothing is known that its provider could be asked.
    /// `probe_url` of the provider's settings takes the place of the table, and gets a bearer
    /// token; addresses in the table keep their own header.
    #[must_use]
    pub fn of(
        settings: &BTreeMap<ProviderId, ProviderSettings>,
        provider: &ProviderId,
        kind: CredentialType,
        secret: &str,
    ) -> Option<Self> {
        let set = settings
            .get(provider)
            .and_then(|set| set.probe_url.as_deref());
        let known = PROBES
            .iter()
            .find(|probe| probe.provider == provider.as_str());
        let url = Url::parse(set.or(known.map(|probe| probe.url))?).ok()?;
        let mut headers = Vec::new();
        let mut add = |name, value: &str| headers.push((name, Zeroizing::new(value.to_owned())));
        let is_key = kind == CredentialType::ApiKey;
        match known.map(|probe| probe.header) {
            Some(Header::Named(name)) if is_key => add(name, secret),
            _ => {
                let bearer = Zeroizing::new(format!("Bearer {secret}"));
                add("authorization", &bearer);
            }
        }
        for (name, value) in known.map_or(&[][..], |probe| probe.also) {
            add(name, value);
        }
        if provider.as_str() == "anthropic" && !is_key {
            add("anthropic-beta", "oauth-2025-04-20"); // source: Claude Code 2.1
        }
        Some(Self {
            url,
            headers,
            refused: known.map_or(&[], |probe| probe.refused),
        })
    }

    /// Sends it, once.
    #[must_use]
    pub fn send(self, now: UnixMs) -> Probed {
        let answer = match get_status(self.url, self.headers, PROBE_MAX, now) {
            Ok(answer) => answer,
            Err(failure) => {
                return Probed {
                    verdict: match failure.is_timeout {
                        true => Verdict::TimedOut,
                        false => Verdict::Unknown,
                    },
                    status: None,
                    why: Some(failure.why),
                    retry_after: None,
                };
            }
        };
        let verdict = match answer.status {
            200..=299 => Verdict::Accepted,
            401 | 403 => Verdict::Refused,
            402 => Verdict::Billing,
            429 => Verdict::RateLimited,
            status if self.refused.contains(&status) => Verdict::Refused,
            _ => Verdict::Unknown,
        };
        Probed {
            verdict,
            status: Some(answer.status),
            why: None,
            retry_after: answer.retry_after,
        }
    }
}
