//! Why a refresh failed, as the record has it.

use serde_json::Value;

use super::event::{Event, EventKind};
use crate::domain::RefreshFault;

/// Why a refresh failed, in words; `None` of an event that is no failed refresh. Events of earlier
/// versions have only the class, and the status and error code of an answer. A cause of a later
/// version is shown in that version's own words.
#[must_use]
pub fn refresh_failure_reason(event: &Event) -> Option<String> {
    if *event.kind == *EventKind::RefreshInterrupted.as_str() {
        return Some("it was interrupted before an answer arrived".to_owned());
    }
    if *event.kind != *EventKind::RefreshFailed.as_str() {
        return None;
    }
    let detail = event.detail.as_deref().unwrap_or_default();
    let detail: Value = serde_json::from_str(detail).unwrap_or_default();
    let status = detail["status"].as_u64();
    let status = status.and_then(|status| u16::try_from(status).ok());
    let code = detail["error"].as_str();
    let cause = detail["cause"].as_str();
    let fault = cause.and_then(RefreshFault::from_name);
    if let (Some(_), None, Some(why)) = (cause, fault, detail["why"].as_str()) {
        return Some(why.to_owned());
    }
    let fault = fault.or_else(|| Some(RefreshFault::of_answer(status?, code)));
    Some(match (fault, detail["class"].as_str()) {
        (Some(fault), _) => fault.describe(status, code),
        (None, Some("uncertain")) => "no answer".to_owned(),
        (None, Some("transient")) => RefreshFault::Connection.describe(None, None),
        (None, _) => RefreshFault::Other.describe(None, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::tests::sample;

    #[test]
    fn the_reason_of_new_and_old_events() {
        let of = |detail: &str| {
            let mut event = sample(1);
            event.kind = "refresh.failed".into();
            event.detail = Some(detail.to_owned());
            refresh_failure_reason(&event).unwrap()
        };
        let found = of(r#"{"class":"transient","cause":"dns"}"#);
        assert_eq!(found, "the provider's host name was not resolved (DNS)");
        let found = of(r#"{"class":"dead","status":400,"error":"invalid_grant"}"#);
        assert_eq!(found, "HTTP 400, invalid_grant");
        assert_eq!(of(r#"{"class":"transient","status":500}"#), "HTTP 500");
        assert_eq!(of(r#"{"class":"uncertain"}"#), "no answer");
        let found = of(r#"{"class":"transient","cause":"of a later version"}"#);
        assert_eq!(found, "no connection to the provider");
        let found = of(r#"{"class":"transient","cause":"quota","why":"the quota is used up"}"#);
        assert_eq!(found, "the quota is used up");
        assert_eq!(of("no JSON"), "the request failed");
        assert_eq!(refresh_failure_reason(&sample(1)), None);
    }
}
