//! Codex CLI's login: `auth.json`.
//!
//! Both tokens are read, since the gateway's profile carries both; the refresh token stays
//! Codex's to redeem. Nothing else of the file is kept, as in the reference.

use std::time::{SystemTime, UNIX_EPOCH};

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::domain::{CODEX_KEY, Expiry, ExpiryFault, Owner, SecretJson, jwt_expiry};
use crate::sources::legacy::LegacyEntry;
use crate::sources::login::{Login, Place, Reader};
use crate::sources::wanted::{object, read};
use crate::sources::{FileReading, LoggedOut, Reading, SourceFault};

/// How long after the file was written its login is taken to last, in milliseconds, where the
/// access token does not say. Source: `spec/compat.md`, Sync.
const LIFETIME_MS: f64 = 3_600_000.0;

/// Codex's settings, beside its file.
const CONFIG: &str = "config.toml";

/// How Codex CLI's login is read.
pub const READER: Reader = Reader {
    owner: Owner::CodexCli,
    keys: &["tokens", "OPENAI_API_KEY", "auth_mode"],
    find: |inputs| {
        let file = (inputs.file)();
        // A login that is kept elsewhere may leave an older file, which is not Codex's login any
        // more (tried with Codex CLI 0.171).
        let reading = match (inputs.beside)(CONFIG) {
            FileReading::Content(config) if is_in_keyring(&config.bytes) => {
                Reading::LoggedOut(LoggedOut::InKeyring)
            }
            _ => file.understood(|content| parse(&content.bytes, content.modified)),
        };
        (Place::File, reading)
    },
    parse,
    account: |_| None, // the file names it
    api_key,
};

/// Whether `config.toml` says that the login is in the keyring: `cli_auth_credentials_store =
/// "keyring"` among the keys before the first table. With `"auto"` the login may be there too;
/// nothing says so, and it does not count.
#[must_use]
pub fn is_in_keyring(config: &[u8]) -> bool {
    let text = String::from_utf8_lossy(config);
    let keys = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with('['));
    let store = keys.filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let is_named = key.trim().trim_matches(['"', '\'']) == "cli_auth_credentials_store";
        is_named.then(|| value.split('#').next().unwrap_or_default().trim())
    });
    store
        .last()
        .is_some_and(|value| value.trim_matches(['"', '\'']) == "keyring")
}

/// Understands `auth.json`, last written at `modified`. Needs non-blank `tokens.access_token` and
/// `tokens.refresh_token`; JSON without them is a logged-out Codex (or one with an API key), text
/// that is not JSON a damaged source.
#[must_use]
pub fn parse(bytes: &[u8], modified: SystemTime) -> Reading<Login> {
    let file = match read::<AuthFile>(bytes) {
        Ok(file) => file.unwrap_or_default(),
        Err(fault) => return Reading::Damaged(fault),
    };
    let Some(tokens) = file.tokens else {
        return Reading::LoggedOut(match file.api_key.filter(is_not_blank) {
            Some(_) => LoggedOut::ApiKeyMode,
            None => LoggedOut::NoLogin,
        });
    };
    let Some(access) = tokens.access.filter(is_not_blank) else {
        return Reading::LoggedOut(LoggedOut::NoAccessToken);
    };
    let Some(refresh) = tokens.refresh.filter(is_not_blank) else {
        return Reading::LoggedOut(LoggedOut::NoRefreshToken);
    };
    let expires = jwt_expiry(access.expose_secret())
        .or_else(|| Expiry::from_ms(unix_ms(modified) + LIFETIME_MS));
    match expires {
        Some(expires) => Reading::Found(Login {
            access,
            refresh: Some(refresh),
            // The token's own `exp`, else an hour after the file was written.
            expires,
            login_expires: None,
            account: tokens.account.filter(|account| !account.trim().is_empty()),
        }),
        None => Reading::LoggedOut(LoggedOut::NoExpiry(ExpiryFault::Missing)),
    }
}

/// Understands `auth.json` in API-key mode; `None` where it is in another mode.
fn api_key(bytes: &[u8]) -> Result<Option<LegacyEntry>, SourceFault> {
    let file = read::<AuthFile>(bytes)?.unwrap_or_default();
    let is_key_mode = match file.mode {
        Some(mode) => mode.to_lowercase().replace(['_', '-'], "") == "apikey",
        None => file.tokens.is_none(),
    };
    let key = file.api_key.filter(is_not_blank).filter(|_| is_key_mode);
    Ok(key.map(|key| {
        let key = key.expose_secret();
        let entry = json!({"type": "api_key", "provider": "openai", "key": key});
        (CODEX_KEY.to_owned(), SecretJson::new(entry))
    }))
}

fn is_not_blank(token: &SecretString) -> bool {
    !token.expose_secret().trim().is_empty()
}

/// Milliseconds since the epoch, with the fraction that the file system has. Computed as Node's
/// `mtimeMs` is: a gateway beside us must get the very same number, or each would replace the
/// other's.
#[expect(
    clippy::cast_precision_loss,
    reason = "seconds stay below 2^53 for 285 million years"
)]
fn unix_ms(time: SystemTime) -> f64 {
    let (sign, distance) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (1.0, after),
        Err(before) => (-1.0, before.duration()),
    };
    sign * (distance.as_secs() as f64 * 1000.0 + f64::from(distance.subsec_nanos()) / 1_000_000.0)
}

object!(AuthFile {
    "auth_mode" => mode: String,
    "tokens" => tokens: Tokens,
    "OPENAI_API_KEY" => api_key: SecretString,
});

object!(Tokens {
    "access_token" => access: SecretString,
    "refresh_token" => refresh: SecretString,
    "account_id" => account: String,
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cases;
    use data_encoding::BASE64URL_NOPAD;
    use proptest::prelude::*;
    use std::time::Duration;

    fn written() -> SystemTime {
        UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789)
    }

    fn shown(json: &str) -> String {
        match parse(json.as_bytes(), written()) {
            Reading::Absent => "absent".to_owned(),
            Reading::LoggedOut(why) => why.as_str().to_owned(),
            Reading::Damaged(fault) => fault.to_string(),
            Reading::Found(login) => format!(
                "{} {} until {}",
                login.access.expose_secret(),
                login.refresh.unwrap().expose_secret(),
                login.expires.ms()
            ),
        }
    }

    fn with_access(access: &str) -> String {
        shown(&format!(
            r#"{{"tokens": {{"id_token": "i", "access_token": "{access}", "refresh_token": "r"}}}}"#
        ))
    }

    fn jwt(claims: &str) -> String {
        let part = |json: &str| BASE64URL_NOPAD.encode(json.as_bytes());
        format!("{}.{}.c2ln", part(r#"{"alg":"none"}"#), part(claims))
    }

    #[test]
    fn a_plain_token_lasts_an_hour_from_the_file_to_the_fraction() {
        // Node: fs.statSync(path).mtimeMs + 3600e3, the file touched at 1700000000.123456789
        assert_eq!(with_access("cx-a"), "cx-a r until 1700003600123.4568");
    }

    #[test]
    fn a_jwt_says_itself_when_it_ends() {
        for (claims, want) in [
            (r#"{"exp": 1800000000, "sub": "x"}"#, "1800000000000"),
            (r#"{"exp": 1.5}"#, "1500"),
            (r#"{"exp": 0}"#, "1700003600123.4568"),
            (r#"{"exp": -1}"#, "1700003600123.4568"),
            (r#"{"exp": "1800000000"}"#, "1700003600123.4568"),
            (r#"{"exp": 1e308}"#, "1700003600123.4568"),
            (r#"{"sub": "x"}"#, "1700003600123.4568"),
            ("[]", "1700003600123.4568"),
            ("{", "1700003600123.4568"),
        ] {
            let token = jwt(claims);
            let found = with_access(&token);
            assert_eq!(found, format!("{token} r until {want}"), "{claims}");
        }
        let four_parts = format!("{}.x", jwt(r#"{"exp": 1800000000}"#));
        assert!(with_access(&four_parts).ends_with("until 1700003600123.4568"));
    }

    #[test]
    fn what_is_no_login() {
        for (json, want) in cases(
            r#"
            [] => no-login
            {"OPENAI_API_KEY": "sk-x"} => api-key-mode
            {"OPENAI_API_KEY": "sk-x", "tokens": null} => api-key-mode
            {"OPENAI_API_KEY": null} => no-login
            {"tokens": null} => no-login
            {"tokens": {"refresh_token": "r"}} => no-access-token
            {"tokens": {"access_token": "", "refresh_token": "r"}} => no-access-token
            {"tokens": {"access_token": "a"}} => no-refresh-token
            {"tokens": {"access_token": "a", "refresh_token": 5}} => no-refresh-token
            {"tokens": => it is cut short at line 1, column 10
            "#,
        ) {
            assert_eq!(shown(json), want, "{json}");
        }
    }

    #[test]
    fn codex_in_api_key_mode_is_an_api_key() {
        for (text, want) in [
            (r#"{"auth_mode": "apikey", "OPENAI_API_KEY": "k"}"#, true),
            (r#"{"OPENAI_API_KEY": "k", "tokens": null}"#, true),
            (
                r#"{"auth_mode": "ApiKey", "OPENAI_API_KEY": "k", "tokens": {}}"#,
                true,
            ),
            (
                r#"{"auth_mode": "chatgpt", "OPENAI_API_KEY": "k", "tokens": {}}"#,
                false,
            ),
            (r#"{"OPENAI_API_KEY": "k", "tokens": {}}"#, false),
            (r#"{"auth_mode": "apikey", "OPENAI_API_KEY": " "}"#, false),
            ("[]", false),
        ] {
            let found = api_key(text.as_bytes()).unwrap();
            let want = want.then(|| {
                r#"openai:codex-cli {"type":"api_key","provider":"openai","key":"k"}"#.to_owned()
            });
            let found = found.map(|(id, entry)| format!("{id} {}", entry.expose_secret()));
            assert_eq!(found, want, "{text}");
        }
    }

    #[test]
    fn a_file_from_before_the_epoch_is_no_crash() {
        let found = unix_ms(UNIX_EPOCH - Duration::from_millis(1500)).to_string();
        assert_eq!(found, "-1500");
    }

    #[test]
    fn a_login_in_the_keyring_is_recognised() {
        let in_section = "[profiles.x]\ncli_auth_credentials_store = \"keyring\"";
        let among_others = "model = 'x'\ncli_auth_credentials_store='keyring' # here\n[x]";
        for (config, want) in [
            ("cli_auth_credentials_store = \"keyring\"", true),
            (among_others, true),
            ("cli_auth_credentials_store = \"file\"", false),
            ("cli_auth_credentials_store = \"auto\"", false),
            (in_section, false),
            ("# cli_auth_credentials_store = \"keyring\"", false),
            ("", false),
        ] {
            assert_eq!(is_in_keyring(config.as_bytes()), want, "{config}");
        }
    }

    proptest! {
        #[test]
        fn any_token_is_a_jwt_or_is_not(token in "[A-Za-z0-9._=-]{1,80}") {
            let _ = jwt_expiry(&token);
        }
    }
}
