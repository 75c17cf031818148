//! What the browser brings back: a code, or the provider's refusal, and to which login it belongs.

use secrecy::SecretString;
use url::{Position, Url};

use super::error::LoginError;
use crate::crypto::constant_time_eq;
use crate::oauth::answer::known_code;

/// The longest code that is taken, in bytes; those of providers have some hundred.
pub(super) const CODE_MAX: usize = 4096;

/// The code that a request brings to `redirect_uri`, or the refusal; `None` for other requests.
pub(crate) fn code_in_request(
    head: &[u8],
    redirect_uri: &Url,
    state: &str,
) -> Option<Result<SecretString, LoginError>> {
    let (path, query) = target(head, redirect_uri)?;
    if path != redirect_uri.path() {
        return None;
    }
    match code_in_query(query, state) {
        Ok(code) => Some(Ok(code)),
        Err(denied @ LoginError::Denied { .. }) => Some(Err(denied)),
        Err(_) => None,
    }
}

/// Whether a request asks for the page at `start`, an address that only the browser here knows.
pub(super) fn is_request_for(head: &[u8], start: &Url) -> bool {
    let is_it = |(path, query): (&str, &str)| {
        query.is_empty() && constant_time_eq(path.as_bytes(), start.path().as_bytes())
    };
    target(head, start).is_some_and(is_it)
}

/// Path and query of a browser's request at the host of `ours`; `None` if no browser would ask so.
fn target<'h>(head: &'h [u8], ours: &Url) -> Option<(&'h str, &'h str)> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let mut request = lines.next()?.split(' ');
    let (method, target) = (request.next()?, request.next()?);
    let is_http = request.next()?.starts_with("HTTP/1.") && request.next().is_none();
    // RFC 9112 section 3.2: no browser sends others, and readers could differ about them.
    let is_target = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !target.bytes().all(is_target) {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut hosts = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then_some(value.trim())
    });
    // By another name, this machine may have been made somebody else's (DNS rebinding).
    let host = &ours[Position::BeforeHost..Position::AfterPort];
    let is_ours = hosts.next()?.eq_ignore_ascii_case(host) && hosts.next().is_none();
    (method == "GET" && is_http && is_ours).then_some((path, query))
}

/// The code in the query of the address, if it answers the login with `state`.
pub(super) fn code_in_query(query: &str, state: &str) -> Result<SecretString, LoginError> {
    // RFC 6749 section 3.1: none may be there twice. Of two it would not be known which one counts.
    let once = |name: &str, missing: LoginError| {
        let mut values = url::form_urlencoded::parse(query.as_bytes())
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(missing),
        }
    };
    check_state(&once("state", LoginError::NoState)?, state)?;
    if let Ok(error) = once("error", LoginError::NoCode) {
        return Err(LoginError::Denied {
            code: known_code(&error),
        });
    }
    checked_code(&once("code", LoginError::NoCode)?)
}

/// Whether an answer is to the login that `state` was sent for.
pub(super) fn check_state(received: &str, state: &str) -> Result<(), LoginError> {
    match received {
        "" => Err(LoginError::NoState),
        received if constant_time_eq(received.as_bytes(), state.as_bytes()) => Ok(()),
        _ => Err(LoginError::WrongState),
    }
}

/// A code, if it can be one. Source of the characters: RFC 6749 appendix A.11.
pub(super) fn checked_code(code: &str) -> Result<SecretString, LoginError> {
    let is_code = !code.is_empty()
        && code.len() <= CODE_MAX
        && code.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    is_code
        .then(|| SecretString::from(code))
        .ok_or(LoginError::NoCode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn what_is_waited_for_and_what_is_not() {
        let uri = Url::parse("http://localhost:1455/auth/callback").unwrap();
        let of = |request: &str| match code_in_request(request.as_bytes(), &uri, "s") {
            None => "foreign".to_owned(),
            Some(Ok(code)) => code.expose_secret().to_owned(),
            Some(Err(error)) => error.to_string(),
        };
        let good =
            "GET /auth/callback?code=c&state=s HTTP/1.1\r\nhost: LocalHost:1455\r\nX: y\r\n\r\n";
        assert_eq!(of(good), "c");
        for (was, is) in [
            ("GET", "POST"),
            ("GET", "HEAD"),
            ("/auth/callback", "/auth/callback/"),
            ("/auth/callback", "/"),
            ("/auth/callback", "http://localhost:1455/auth/callback"),
            ("LocalHost:1455", "127.0.0.1:1455"),
            ("LocalHost:1455", "localhost"),
            ("LocalHost:1455", "localhost:1456"),
            ("LocalHost:1455", "evil.example:1455"),
            ("X: y", "Host: localhost:1455"),
            ("host: LocalHost:1455\r\n", ""),
            ("code=c", "code=c#"),
            ("code=c", "code=c&code\r"),
            ("code=c", "code=\u{e4}"),
            ("state=s", "state=t"),
            ("state=s", "state="),
            ("&state=s", ""),
            ("code=c&", ""),
            ("code=c&state=s", "error=access_denied&state=t"),
            (" HTTP/1.1", ""),
            ("HTTP/1.1", "HTTP/2"),
            ("HTTP/1.1", "HTTP/1.1 x"),
        ] {
            assert_eq!(of(&good.replace(was, is)), "foreign", "{was} {is}");
        }
        let denied = good.replace("code=c", "error=access_denied");
        assert_eq!(of(&denied), "the provider refused the login: access_denied");
        let without_port = Url::parse("http://127.0.0.1:80/cb").unwrap();
        let request = b"GET /cb?code=c&state=s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        assert!(code_in_request(request, &without_port, "s").is_some());
    }

    #[test]
    fn only_a_known_error_code_is_reported() {
        for (error, want) in [("access_denied", "access_denied"), ("sk-x", "other")] {
            let query = format!("state=s&error={error}&error_description=sk-y");
            let error = code_in_query(&query, "s").unwrap_err();
            let found = error.to_string();
            assert_eq!(found, format!("the provider refused the login: {want}"));
        }
    }
}
