//! A refresh token exchanged for new tokens: one request, and another one only where the first
//! cannot have been the last that the token was good for.

use std::thread;
use std::time::{Duration, Instant};

use super::answer::{FailureClass, Refusal, Tokens, understand};
use super::fields::Fields;
use super::http::post;
use super::providers::Provider;
use crate::domain::Endpoint;
use crate::platform::Clock;

/// How long all tries together may take. Source: `spec/oauth.md`, One refresh.
const ALL_TRIES: Duration = Duration::from_secs(60);
/// How long to wait before the second and third try. Source: `spec/oauth.md`, the table of answers.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// The longest that a provider is waited for. Source: `spec/oauth.md`, the table of answers.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// How often a token may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tries {
    /// Again where it cannot have been taken.
    AsNeeded,
    /// Sends the token exactly once: it may be spent afterwards.
    One,
}

/// A refresh that brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the last answer was.
    pub refusal: Refusal,
    /// How often the token was sent, or tried to be.
    pub tries: u32,
}

/// Exchanges a refresh token for new tokens.
///
/// # Errors
/// What the last answer was, if none brought tokens.
pub fn exchange(
    provider: &Provider,
    endpoint: &Endpoint,
    refresh_token: &str,
    allowed: Tries,
    clock: Clock,
) -> Result<(Tokens, u32), Refused> {
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
        ("client_id", endpoint.client_id.as_str()),
    ];
    let fields = Fields::encoded(provider.encoding, &fields);
    let ends = Instant::now() + ALL_TRIES;
    let mut tries = 0;
    loop {
        tries += 1;
        let budget = ends.saturating_duration_since(Instant::now());
        let answer = match post(&provider.token_url, &fields, budget) {
            Ok(reply) => understand(&reply, provider.margin_ms, clock.now()),
            Err(why) => Err(Refusal::no_reply(why)),
        };
        let refusal = match answer {
            Ok(tokens) => return Ok((tokens, tries)),
            Err(refusal) => refusal,
        };
        let again = pause(&refusal, tries).filter(|_| allowed == Tries::AsNeeded);
        match again {
            Some(pause) if Instant::now() + pause < ends => thread::sleep(pause),
            _ => return Err(Refused { refusal, tries }),
        }
    }
}

/// How long to wait for another try; nothing where there is to be none.
fn pause(refusal: &Refusal, tries: u32) -> Option<Duration> {
    let own = PAUSES.get(usize::try_from(tries).ok()?.checked_sub(1)?)?;
    match refusal.class {
        FailureClass::Transient => Some(*own),
        FailureClass::Limited => match refusal.retry_after {
            Some(after) if after > RETRY_AFTER_MAX => None,
            Some(after) => Some(after.max(*own)),
            None => Some(*own),
        },
        FailureClass::Uncertain | FailureClass::Dead | FailureClass::Misconfigured => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RefreshFault;

    #[test]
    fn what_is_tried_again_and_when() {
        let of = |class, retry_after: Option<u64>| Refusal {
            class,
            fault: RefreshFault::Other,
            code: None,
            status: None,
            retry_after: retry_after.map(Duration::from_secs),
            cause: None,
        };
        let transient = of(FailureClass::Transient, None);
        assert_eq!(pause(&transient, 1), Some(Duration::from_millis(500)));
        assert_eq!(pause(&transient, 2), Some(Duration::from_secs(2)));
        assert_eq!(pause(&transient, 3), None);
        let limited = |after| pause(&of(FailureClass::Limited, after), 1);
        assert_eq!(limited(None), Some(Duration::from_millis(500)));
        assert_eq!(limited(Some(0)), Some(Duration::from_millis(500)));
        assert_eq!(limited(Some(30)), Some(Duration::from_secs(30)));
        assert_eq!(limited(Some(31)), None);
        for class in [
            FailureClass::Uncertain,
            FailureClass::Dead,
            FailureClass::Misconfigured,
        ] {
            assert_eq!(pause(&of(class, Some(1)), 1), None);
        }
    }
}
