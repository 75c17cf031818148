//! Other programs' files, held against a reading of the same bytes by other means.

use std::time::{Duration, UNIX_EPOCH};

use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::domain::{
    Borrowed, Credential, Owner, StoreDoc, UnixMs, jwt_claims, jwt_expiry, without_bom,
};
use crate::sources::recognise::{FileKind, recognise};
use crate::sources::{Login, Reading, claude_code, codex_cli, legacy};
use crate::sync::import::ImportFile;

/// JSON is read as any JSON parser reads it, and what is read is fit to be used.
pub fn logins(data: &[u8]) {
    let value = serde_json::from_slice::<Value>(without_bom(data)).ok();
    check_claude_code(data, value.as_ref());
    check_codex(data, value.as_ref());
    check_legacy(data);
    check_lent(data);
    let kind = recognise(data);
    if let Some(value) = &value {
        let has = |key: &str| value.get(key).is_some();
        let want = match value.as_object().map(serde_json::Map::len) {
            None | Some(0) => None,
            Some(_) if has("profiles") => Some(FileKind::Store),
            Some(_) if has("claudeAiOauth") => Some(FileKind::Source(Owner::ClaudeCode)),
            Some(_) if has("tokens") || has("OPENAI_API_KEY") || has("auth_mode") => {
                Some(FileKind::Source(Owner::CodexCli))
            }
            Some(_) if has("access_token") => Some(FileKind::OAuthCreds),
            Some(_) => Some(FileKind::Legacy),
        };
        assert_eq!(kind.expect("it is JSON"), want);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        check_jwt(text.trim());
    }
}

fn text<'v>(value: Option<&'v Value>, pointer: &str) -> Option<&'v str> {
    let text = value?.pointer(pointer)?.as_str()?;
    (!text.trim().is_empty()).then_some(text)
}

fn check_claude_code(data: &[u8], value: Option<&Value>) {
    let access = text(value, "/claudeAiOauth/accessToken");
    let expires = value
        .and_then(|value| value.pointer("/claudeAiOauth/expiresAt")?.as_f64())
        .filter(|ms| *ms > 0.0);
    let reading = claude_code::parse(data);
    if let (Reading::Found(login), Some(_)) = (&reading, value) {
        assert_eq!(Some(login.expires.ms()), expires);
    }
    let is_whole = access.is_some() && expires.is_some();
    check_login(reading, value, (access, None), is_whole); // its refresh token is not read
}

fn check_codex(data: &[u8], value: Option<&Value>) {
    let access = text(value, "/tokens/access_token");
    let refresh = text(value, "/tokens/refresh_token");
    let modified = UNIX_EPOCH + Duration::from_millis(1_800_000_000_000);
    let is_whole = access.is_some() && refresh.is_some();
    let reading = codex_cli::parse(data, modified);
    check_login(reading, value, (access, refresh), is_whole);
}

fn check_login(
    reading: Reading<Login>,
    value: Option<&Value>,
    (access, refresh): (Option<&str>, Option<&str>),
    is_whole: bool,
) {
    match reading {
        Reading::Found(login) => {
            assert!(login.expires.ms() > 0.0 && login.expires.ms().is_finite());
            if value.is_some() {
                assert_eq!(Some(login.access.expose_secret()), access);
                let of_login = login
                    .refresh
                    .as_ref()
                    .map(|refresh| refresh.expose_secret());
                assert_eq!(of_login, refresh);
            }
        }
        Reading::LoggedOut(_) => assert!(!is_whole),
        Reading::Damaged(_) => assert!(value.is_none(), "JSON was refused"),
        Reading::Absent => unreachable!("bytes are never absent"),
    }
}

fn check_legacy(data: &[u8]) {
    for parsed in [legacy::parse_auth(data), legacy::parse_oauth(data)] {
        for (id, entry) in parsed.into_iter().flatten() {
            assert!(id.ends_with(":default"));
            let entry = entry.expose_secret();
            assert!(Credential::of(entry).is_readable());
            let first: Vec<&str> = entry
                .as_object()
                .expect("an entry is an object")
                .keys()
                .map(String::as_str)
                .take(2)
                .collect();
            assert_eq!(first, ["type", "provider"]);
        }
    }
}

/// Whatever a file holds: of what stays another program's, no refresh token comes in.
fn check_lent(data: &[u8]) {
    let Ok(file) = ImportFile::understand(data, UNIX_EPOCH) else {
        return;
    };
    let mirrored = file.is_mirrored();
    let file = file.lend(Borrowed {
        owner: Owner::OtherProgram,
        path: "/file".to_owned(),
    });
    let joined = file.join(&StoreDoc::default(), UnixMs(0));
    for (_, credential) in joined.doc.credentials() {
        assert!(mirrored || credential.expose_refresh().is_none());
    }
}

fn check_jwt(token: &str) {
    let claims = jwt_claims(token);
    assert!(claims.is_none() || token.matches('.').count() == 2);
    if let Some(expiry) = jwt_expiry(token) {
        assert!(expiry.ms() > 0.0 && expiry.ms().is_finite());
        assert!(claims.is_some_and(|claims| claims.contains_key("exp")));
    }
}
