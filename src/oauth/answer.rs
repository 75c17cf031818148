//! What a token endpoint's answer means. Pure. Source: `spec/oauth.md`, the table of answers.
//!
//! Nothing of a body leaves this module but the tokens, in types that do not print, and an `error`
//! code that is in a list.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::reply::{NoReply, Reply, retry_after};
use crate::domain::{Expiry, RefreshFault, SecretJson, UnixMs, jwt_expiry, named};

/// How long a token lasts where neither answer nor token says, in milliseconds: an hour.
const DEFAULT_LIFETIME_MS: f64 = 3_600_000.0;
/// The longest lifetime that is accepted, in milliseconds: 400 days.
const LONGEST_LIFETIME_MS: f64 = 400.0 * 24.0 * 3_600_000.0;

/// Codes that say the refresh token is of no use any more.
const DEAD: [&str; 4] = [
    "invalid_grant",
    "refresh_token_reused",
    "refresh_token_expired",
    "refresh_token_invalidated",
];
/// Codes that say the request itself is wrong.
const MISCONFIGURED: [&str; 3] = ["invalid_client", "unauthorized_client", "invalid_scope"];
/// Codes that may be recorded. Source: RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5.
const KNOWN: [&str; 9] = [
    "access_denied",
    "authorization_pending",
    "expired_token",
    "invalid_request",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unsupported_grant_type",
    "unsupported_response_type",
];

/// The name for an error code that is in no list.
const OTHER: &str = "other";

named! {
    parsed
    /// The class of a failed refresh.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum FailureClass {
        /// The token may be spent, and it is not known.
        Uncertain = "uncertain",
        /// The provider refuses the grant: the login is lost.
        Dead = "dead",
        /// The request is wrong, whatever the token.
        Misconfigured = "misconfigured",
        /// The provider asks for fewer requests.
        Limited = "limited",
        /// It may work in a moment.
        Transient = "transient",
    }
}

/// Tokens that a provider gave out. `Debug` shows none.
#[derive(Debug)]
pub struct Tokens {
    /// The access token, which is not blank.
    pub access: SecretString,
    /// The refresh token that takes the place of the one that was sent, if there is one.
    pub refresh: Option<SecretString>,
    /// The id token, if there is one.
    pub id_token: Option<SecretString>,
    /// When the access token counts as ended.
    pub expires: Expiry,
}

/// What an answer was, apart from tokens. Nothing of a body is in it but a code from the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The class of the failure, which decides what follows.
    pub class: FailureClass,
    /// The cause of the failure, for people to read.
    pub fault: RefreshFault,
    /// The `error` code, if it is a known one; `other` for one that is not.
    pub code: Option<&'static str>,
    /// The HTTP status, if there was a reply.
    pub status: Option<u16>,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
    /// What the system said where there was no reply.
    pub cause: Option<String>,
}

impl Refusal {
    /// Describes the failure in words that may be recorded.
    #[must_use]
    pub fn describe(&self) -> String {
        self.fault.describe(self.status, self.code)
    }

    /// Explains the failure on the terminal: what the system said, if there was no reply.
    #[must_use]
    pub fn explain(&self) -> String {
        self.cause.clone().unwrap_or_else(|| self.describe())
    }

    pub(super) fn no_reply(why: NoReply) -> Self {
        let (class, obstacle) = match why {
            NoReply::NotSent(obstacle) => (FailureClass::Transient, obstacle),
            NoReply::MaybeSent(obstacle) => (FailureClass::Uncertain, obstacle),
        };
        Self {
            class,
            fault: obstacle.fault,
            code: None,
            status: None,
            retry_after: None,
            cause: Some(obstacle.words),
        }
    }
}

/// Understands a reply that came at `now`.
pub(crate) fn understand(reply: &Reply, margin_ms: i64, now: UnixMs) -> Result<Tokens, Refusal> {
    understand_as(reply, now, |body| tokens(body, margin_ms, now))
}

/// An `error` code from elsewhere than a body, if known; `other` for one that is not.
pub(super) fn known_code(code: &str) -> &'static str {
    let mut all = DEAD.iter().chain(&MISCONFIGURED).chain(&KNOWN);
    all.find(|known| **known == code).copied().unwrap_or(OTHER)
}

/// Understands a reply that is to bring what `take` finds in its body.
pub(super) fn understand_as<T>(
    reply: &Reply,
    now: UnixMs,
    take: impl FnOnce(&SecretJson) -> Option<T>,
) -> Result<T, Refusal> {
    let body = match serde_json::from_slice(&reply.body) {
        Ok(Value::Object(fields)) if reply.is_whole => Some(SecretJson::new(Value::Object(fields))),
        _ => None,
    };
    let fields = body
        .as_ref()
        .and_then(|body| body.expose_secret().as_object());
    let code = fields.and_then(error_code);
    let class = match reply.status {
        200..=299 => match body.as_ref().and_then(take) {
            Some(taken) => return Ok(taken),
            None => FailureClass::Uncertain,
        },
        429 => FailureClass::Limited,
        400..=499 if code.is_some_and(|code| MISCONFIGURED.contains(&code)) => {
            FailureClass::Misconfigured
        }
        400 | 401 | 403 if code.is_some_and(|code| DEAD.contains(&code)) => FailureClass::Dead,
        400..=499 | 500 | 503 => FailureClass::Transient,
        _ => FailureClass::Uncertain,
    };
    Err(Refusal {
        class,
        fault: RefreshFault::of_answer(reply.status, code),
        code,
        status: Some(reply.status),
        retry_after: retry_after(reply.retry_after.as_deref(), now),
        cause: None,
    })
}

fn tokens(body: &SecretJson, margin_ms: i64, now: UnixMs) -> Option<Tokens> {
    let text = |name: &str| {
        // RFC 6749 appendix A: none of these has a control character in it.
        let text = body.expose_secret().get(name)?.as_str()?.trim();
        (!text.is_empty() && !text.contains(char::is_control)).then(|| SecretString::from(text))
    };
    let access = text("access_token")?;
    let expires = expiry(body, margin_ms, now);
    Some(Tokens {
        access,
        refresh: text("refresh_token"),
        id_token: text("id_token"),
        expires,
    })
}

/// The expiry of the access token: as the answer states it, else as the token itself does, else in
/// an hour; less the provider's margin, but never more than half of the lifetime: a token that
/// counts as expired when it arrives would be requested again at once.
fn expiry(body: &SecretJson, margin_ms: i64, now: UnixMs) -> Expiry {
    let body = body.expose_secret();
    let now = now.as_f64();
    let positive = |ms: f64| (ms.is_finite() && ms > 0.0).then_some(ms);
    let named = match body.get("expires_in") {
        Some(Value::Number(seconds)) => seconds.as_f64(),
        Some(Value::String(seconds)) => seconds.trim().parse().ok(),
        _ => None,
    };
    let named = named.and_then(|seconds: f64| {
        // A value too large for a number of milliseconds exceeds the limit as well.
        positive(seconds).map(|seconds| (seconds * 1000.0).min(LONGEST_LIFETIME_MS))
    });
    let token = body
        .get("access_token")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let own = || jwt_expiry(token.trim()).and_then(|ends| positive(ends.ms() - now));
    let lifetime = named.or_else(own).unwrap_or(DEFAULT_LIFETIME_MS);
    let lifetime = lifetime.min(LONGEST_LIFETIME_MS);
    let margin = UnixMs(margin_ms).as_f64().min(lifetime / 2.0);
    UnixMs::from_f64(now + lifetime - margin).into()
}

/// The `error` of an answer: a text, or an object with `code` or `type`. Only listed codes.
fn error_code(fields: &Map<String, Value>) -> Option<&'static str> {
    let known = |code: &str| Some(known_code(code)).filter(|code| *code != OTHER);
    match fields.get("error")? {
        Value::String(code) => Some(known_code(code)),
        Value::Object(error) => {
            let texts = ["code", "type"].into_iter();
            let mut texts = texts
                .filter_map(|name| error.get(name)?.as_str())
                .peekable();
            texts.peek()?;
            Some(texts.find_map(known).unwrap_or(OTHER))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cases;
    use secrecy::ExposeSecret as _;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    fn class(status: u16, body: &str) -> String {
        match understand(&Reply::whole(status, body), 0, NOW) {
            Ok(_) => "ok".to_owned(),
            Err(refusal) => match refusal.code {
                Some(code) => format!("{} {code}", refusal.class.as_str()),
                None => refusal.class.as_str().to_owned(),
            },
        }
    }

    #[test]
    fn every_row_of_the_table() {
        let whole = r#"{"access_token": "a"}"#;
        for (row, want) in cases(
            r#"
            200 {"access_token": "a"} => ok
            201 {"access_token": "a"} => ok
            200 {"access_token": " "} => uncertain
            200 {"access_token": 5} => uncertain
            200 {"refresh_token": "r"} => uncertain
            200 => uncertain
            200 {"access_token": "a" => uncertain
            200 <html> => uncertain
            200 ["a"] => uncertain
            400 {"error": "invalid_grant"} => dead invalid_grant
            401 {"error": "refresh_token_reused"} => dead refresh_token_reused
            403 {"error": {"code": "refresh_token_expired"}} => dead refresh_token_expired
            401 {"error":{"type":"refresh_token_expired","message":"m"}} => dead refresh_token_expired
            401 {"error":{"type":"x","code":"refresh_token_invalidated"}} => dead refresh_token_invalidated
            404 {"error": "invalid_grant"} => transient invalid_grant
            500 {"error": "invalid_grant"} => transient invalid_grant
            401 {"error": "invalid_client"} => misconfigured invalid_client
            400 {"error": "unauthorized_client"} => misconfigured unauthorized_client
            400 {"error": "invalid_scope"} => misconfigured invalid_scope
            429 {"error": "invalid_grant"} => limited invalid_grant
            429 => limited
            500 => transient
            503 <html> => transient
            403 <html>no robots</html> => transient
            404 => transient
            400 {"error": "sk-secret in a code"} => transient other
            400 {"error": {"code": 5}} => transient
            502 => uncertain
            504 <html> => uncertain
            302 => uncertain
            307 {"access_token": "a"} => uncertain
            522 => uncertain
            "#,
        ) {
            let (status, body) = row.split_once(' ').unwrap_or((row, ""));
            assert_eq!(class(status.parse().unwrap(), body), want, "{row}");
        }
        let mut cut = Reply::whole(200, whole);
        cut.is_whole = false;
        let found = understand(&cut, 0, NOW).unwrap_err().class;
        assert_eq!(found, FailureClass::Uncertain);
    }

    #[test]
    fn how_long_a_token_lasts() {
        let jwt = |exp: i64| {
            let claims = format!("{{\"exp\": {exp}}}");
            let claims = data_encoding::BASE64URL_NOPAD.encode(claims.as_bytes());
            format!("e30.{claims}.x")
        };
        let lasts = |expires_in: &str, access: &str, margin_ms| {
            let body = format!(r#"{{"access_token": "{access}"{expires_in}}}"#);
            let tokens = understand(&Reply::whole(200, &body), margin_ms, NOW).unwrap();
            tokens.expires.ms() - NOW.as_f64()
        };
        let hour = 3_600_000.0;
        for (expires_in, want) in [
            (r#", "expires_in": 7200"#, 2.0 * hour),
            (r#", "expires_in": "7200""#, 2.0 * hour),
            (r#", "expires_in": 0.5"#, 500.0),
            ("", hour),
            (r#", "expires_in": 0"#, hour),
            (r#", "expires_in": -5"#, hour),
            (r#", "expires_in": "soon""#, hour),
            (r#", "expires_in": null"#, hour),
            (r#", "expires_in": 1e300"#, LONGEST_LIFETIME_MS),
            (r#", "expires_in": 1e99999"#, hour),
        ] {
            assert!(
                (lasts(expires_in, "a", 0) - want).abs() < 1.0,
                "{expires_in}"
            );
        }
        let now = NOW.0 / 1000;
        assert!((lasts("", &jwt(now + 7200), 0) - 2.0 * hour).abs() < 1.0);
        assert!(
            (lasts("", &jwt(now - 7200), 0) - hour).abs() < 1.0,
            "one that has ended"
        );
        assert!((lasts(r#", "expires_in": 60"#, &jwt(now + 7200), 0) - 60_000.0).abs() < 1.0);
        // The margin, which never takes all of it.
        assert!((lasts(r#", "expires_in": 28800"#, "a", 300_000) - 7.9166 * hour).abs() < 1000.0);
        assert!((lasts(r#", "expires_in": 200"#, "a", 300_000) - 100_000.0).abs() < 1.0);
    }

    #[test]
    fn when_to_come_back() {
        let after = |header: &str| retry_after(Some(header), NOW).map(|after| after.as_secs());
        assert_eq!(after("7"), Some(7));
        assert_eq!(after(" 120 "), Some(120));
        assert_eq!(after("Fri, 15 Jan 2027 08:00:30 GMT"), Some(30));
        assert_eq!(after("Fri, 15 Jan 2027 07:00:00 GMT"), Some(0));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-5"), None);
        assert_eq!(retry_after(None, NOW), None);
    }

    #[test]
    fn tokens_are_taken_and_nothing_prints_them() {
        let body = r#"{"access_token": " sk-a ", "refresh_token": "sk-r", "id_token": "", "x": 1}"#;
        let tokens = understand(&Reply::whole(200, body), 0, NOW).unwrap();
        assert_eq!(tokens.access.expose_secret(), "sk-a");
        assert_eq!(tokens.refresh.as_ref().unwrap().expose_secret(), "sk-r");
        assert!(tokens.id_token.is_none());
        assert!(!format!("{tokens:?}").contains("sk-"), "{tokens:?}");
        let refused = understand(&Reply::whole(400, r#"{"error": "sk-a"}"#), 0, NOW).unwrap_err();
        assert!(!format!("{refused:?}").contains("sk-"), "{refused:?}");
    }
}
