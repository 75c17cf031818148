//! What comes over the network: a provider's answers, and the browser that comes back.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::domain::UnixMs;
use crate::oauth::{
    DeviceAnswer, FailureClass, LoginError, Refusal, Reply, Tokens, code_in_request, understand,
    understand_device,
};

const NOW: UnixMs = UnixMs(1_800_000_000_000);
/// The longest lifetime of a token that is accepted, in milliseconds. Source: `spec/oauth.md`.
const LONGEST_MS: f64 = 400.0 * 86_400_000.0;
const STATUSES: [u16; 16] = [
    200, 201, 204, 299, 300, 302, 400, 401, 403, 404, 429, 500, 502, 503, 504, 99,
];

/// The first line is the status (a letter), what `Retry-After` says, and the rest the body.
pub fn token_answer(data: &[u8]) {
    let (line, body) = match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (&[][..], data),
    };
    let (first, header) = line.split_first().unwrap_or((&0, &[]));
    let reply = Reply {
        status: STATUSES[usize::from(*first) % STATUSES.len()],
        retry_after: Some(String::from_utf8_lossy(header).into_owned()),
        body: Zeroizing::new(body.to_vec()),
        is_whole: first & 0x80 == 0,
    };
    match understand(&reply, 60_000, NOW) {
        Ok(tokens) => check_tokens(&reply, &tokens),
        Err(refusal) => check_refusal(&reply, &refusal),
    }
    match understand_device(&reply, NOW) {
        Ok(answer) => check_device(&reply, &answer),
        Err(refusal) => check_refusal(&reply, &refusal),
    }
}

fn check_tokens(reply: &Reply, tokens: &Tokens) {
    assert!(reply.is_whole && (200..300).contains(&reply.status));
    let access = tokens.access.expose_secret();
    let all = [
        Some(&tokens.access),
        tokens.refresh.as_ref(),
        tokens.id_token.as_ref(),
    ];
    for token in all.into_iter().flatten().map(|token| token.expose_secret()) {
        assert!(!token.is_empty() && token.trim() == token && !token.contains(char::is_control));
    }
    let lasts = tokens.expires.ms() - NOW.as_f64();
    assert!((0.0..=LONGEST_MS).contains(&lasts), "it lasts {lasts}");
    let body: Value = serde_json::from_slice(&reply.body).expect("tokens come in JSON");
    assert_eq!(body["access_token"].as_str().map(str::trim), Some(access));
}

fn check_refusal(reply: &Reply, refusal: &Refusal) {
    assert_eq!(
        (refusal.status, &refusal.cause),
        (Some(reply.status), &None)
    );
    let is_code =
        |code: &str| code == "other" || String::from_utf8_lossy(&reply.body).contains("error");
    assert!(refusal.code.is_none_or(is_code));
    let may_be_over =
        matches!(reply.status, 400 | 401 | 403) && refusal.code.is_some() && reply.is_whole;
    assert!(
        refusal.class != FailureClass::Dead || may_be_over,
        "a login was dropped without a reason"
    );
    let is_answered = (200..300).contains(&reply.status);
    assert!(
        !is_answered || refusal.class == FailureClass::Uncertain,
        "a token may be spent"
    );
    let seconds = reply
        .retry_after
        .as_deref()
        .and_then(|header| header.trim().parse().ok());
    assert!(
        seconds.is_none_or(|seconds| refusal.retry_after == Some(Duration::from_secs(seconds)))
    );
}

fn check_device(reply: &Reply, answer: &DeviceAnswer) {
    assert!(reply.is_whole && (200..300).contains(&reply.status));
    assert!(!answer.device_code.expose_secret().trim().is_empty());
    assert!(!answer.user_code.is_empty() && !answer.user_code.contains(char::is_control));
    for url in [
        Some(&answer.verification_uri),
        answer.verification_uri_complete.as_ref(),
    ] {
        let is_opened =
            |url: &Url| matches!(url.scheme(), "https" | "http") && url.host_str().is_some();
        assert!(url.is_none_or(is_opened), "a browser is sent elsewhere");
    }
}

const STATE: &str = "the-state";

/// Only the browser that comes back from this very login brings a code.
pub fn callback(data: &[u8]) {
    let uri = Url::parse("http://localhost:1455/auth/callback").expect("an address");
    let Some(brought) = code_in_request(data, &uri, STATE) else {
        return;
    };
    let head = std::str::from_utf8(data).expect("a request that is understood is text");
    let (line, fields) = head
        .split_once("\r\n")
        .expect("a request with a host has lines");
    let target = line.strip_prefix("GET ").expect("it is a GET");
    let target = target.rsplit_once(" HTTP/1.").expect("it is HTTP/1").0;
    assert!(fields.to_ascii_lowercase().contains("localhost:1455"));
    // Read by other means: as the address that the browser was at.
    let at = uri.join(target).expect("an address");
    assert_eq!((at.origin(), at.path()), (uri.origin(), uri.path()));
    let value = |name: &str| {
        let mut all = at.query_pairs().filter(|(known, _)| known == name);
        let first = all.next().map(|(_, value)| value.into_owned());
        assert!(
            first.is_none() || name == "error" || all.next().is_none(),
            "{name} twice"
        );
        first
    };
    assert_eq!(value("state").as_deref(), Some(STATE));
    match brought {
        Ok(code) => {
            let code = code.expose_secret();
            assert!(code.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            assert_eq!(value("code").as_deref(), Some(code));
        }
        Err(error) => {
            assert!(matches!(error, LoginError::Denied { .. }));
            assert!(value("error").is_some());
        }
    }
}
