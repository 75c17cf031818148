//! When to ask again whether a login on another device was confirmed. Pure.

use std::time::Duration;

use crate::oauth::answer::{FailureClass, Refusal};

/// How much longer to wait after `slow_down`, each time. Source: RFC 8628 section 3.5.
const SLOWER: Duration = Duration::from_secs(5);
/// How often in a row there may be no answer that makes sense.
const FAILURES_MAX: u32 = 5;

/// What to do after an answer that brought no tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask again after so long.
    After(Duration),
    /// The login on the other device ended.
    Over(Over),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    Denied,
    Expired,
    Refused,
}

/// What follows from an answer; `failures` counts those in a row that made no sense. Those that may
/// be different in a moment are waited out, ever longer. Source: RFC 8628 section 3.5.
pub(super) fn next(refusal: &Refusal, interval: Duration, failures: &mut u32) -> Next {
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
            let found = of(class, status, code);
            assert_eq!(found, want, "{class:?} {status:?} {code:?}");
        }
    }

    #[test]
    fn silence_is_waited_out_but_not_indefinitely() {
        let silent = refusal(FailureClass::Uncertain, None, None);
        let pending = refusal(
            FailureClass::Transient,
            Some(400),
            Some("authorization_pending"),
        );
        let mut failures = 0;
        for _ in 1..FAILURES_MAX {
            let again = next(&silent, Duration::from_secs(5), &mut failures);
            assert!(matches!(again, Next::After(_)));
        }
        let mut other = failures;
        let found = next(&silent, Duration::from_secs(5), &mut failures);
        assert_eq!(found, Next::Over(Over::Refused));
        next(&pending, Duration::from_secs(5), &mut other);
        assert_eq!(other, 0, "an answer begins the count anew");
    }
}
