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
    use crate::domain::RefreshFault;

    fn refusal(class: FailureClass, status: Option<u16>, code: Option<&'static str>) -> Refusal {
        Refusal {
            class,
            fault: RefreshFault::Other,
            code,
            status,
            retry_after: None,
            cause: None,
        }
    }

    #[test]
    fn when_is_asked_again() {
        use FailureClass::{Dead, Limited, Misconfigured, Transient, Uncertain};
        let five = Duration::from_secs(5);
        let of = |class, status, code| next(&refusal(class, status, code), five, &mut 0);
        let after = |seconds| Next::After(Duration::from_secs(seconds));
        let is = |over| Next::Over(over);
        for (class, status, code, want) in [
            (Transient, 400, "authorization_pending", after(5)),
            (Transient, 428, "authorization_pending", after(5)),
            (Transient, 400, "slow_down", after(10)),
            (Limited, 429, "slow_down", after(10)),
            (Transient, 400, "access_denied", is(Over::Denied)),
            (Transient, 400, "expired_token", is(Over::Expired)),
            (Transient, 400, "other", is(Over::Refused)),
            (Dead, 400, "invalid_grant", is(Over::Refused)),
            (Misconfigured, 401, "invalid_client", is(Over::Refused)),
        ] {
            let found = of(class, Some(status), Some(code));
            assert_eq!(found, want, "{class:?} {status} {code}");
        }
        for (class, status, want) in [
            (Limited, Some(429), after(10)),
            (Transient, None, after(10)),
            (Uncertain, None, after(10)),
            (Transient, Some(503), after(10)),
            (Uncertain, Some(502), after(10)),
            (Transient, Some(404), is(Over::Refused)),
            (Uncertain, Some(200), is(Over::Refused)),
            (Uncertain, Some(302), is(Over::Refused)),
        ] {
            assert_eq!(of(class, status, None), want, "{class:?} {status:?}");
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
