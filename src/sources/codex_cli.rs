//! Codex CLI's login: `auth.json`.
//!
//! Both tokens are read, since the gateway's profile carries both; the refresh token stays
//! Codex's to redeem. Nothing else of the file is kept, as in the reference.

use std::time::{SystemTime, UNIX_EPOCH};

use secrecy::{ExposeSecret, SecretString};
use serde::de::{IgnoredAny, MapAccess};

use super::wanted::{Shape, Wanted, read};
use super::{FileReading, LoggedOut, Reading};
use crate::domain::{Expiry, ExpiryFault, jwt_expiry};

/// How long after the file was written its login is taken to last, in milliseconds, where the
/// access token does not say. Source: `spec/compat.md`, Sync.
const LIFETIME_MS: f64 = 3_600_000.0;

/// The login of Codex CLI.
#[derive(Clone, Debug)]
pub struct CodexLogin {
    /// The access token, which is not blank.
    pub access: SecretString,
    /// The refresh token, not blank. It belongs to Codex: clawkeep never sends it anywhere.
    pub refresh: SecretString,
    /// When the access token ends: its own `exp`, else an hour after the file was written.
    pub expires: Expiry,
    /// The account that the file names, `tokens.account_id`.
    pub account: Option<String>,
}

/// Reads Codex's login from what came of opening its file. `read_config` opens Codex's
/// `config.toml`, which says whether the login is kept elsewhere: an older file stays then, and is
/// not Codex's login any more (tried with Codex CLI 0.171).
#[must_use]
pub fn read_codex_cli(
    file: FileReading,
    read_config: impl FnOnce() -> FileReading,
) -> Reading<CodexLogin> {
    match read_config() {
        FileReading::Content(config) if is_in_keyring(&config.bytes) => {
            Reading::LoggedOut(LoggedOut::InKeyring)
        }
        _ => file.understood(|content| parse(&content.bytes, content.modified)),
    }
}

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
pub fn parse(bytes: &[u8], modified: SystemTime) -> Reading<CodexLogin> {
    let file = match read::<AuthFile>(bytes) {
        Ok(file) => file.unwrap_or_default(),
        Err(fault) => return Reading::Damaged(fault),
    };
    let has_key = file.has_api_key;
    let Some(tokens) = file.tokens else {
        return Reading::LoggedOut(match has_key {
            true => LoggedOut::ApiKeyMode,
            false => LoggedOut::NoLogin,
        });
    };
    let not_blank = |token: &SecretString| !token.expose_secret().trim().is_empty();
    let Some(access) = tokens.access.filter(not_blank) else {
        return Reading::LoggedOut(LoggedOut::NoAccessToken);
    };
    let Some(refresh) = tokens.refresh.filter(not_blank) else {
        return Reading::LoggedOut(LoggedOut::NoRefreshToken);
    };
    let expires = jwt_expiry(access.expose_secret())
        .or_else(|| Expiry::from_ms(unix_ms(modified) + LIFETIME_MS));
    match expires {
        Some(expires) => Reading::Found(CodexLogin {
            access,
            refresh,
            expires,
            account: tokens.account.filter(|account| !account.trim().is_empty()),
        }),
        None => Reading::LoggedOut(LoggedOut::NoExpiry(ExpiryFault::Missing)),
    }
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

#[derive(Default)]
struct AuthFile {
    tokens: Option<Tokens>,
    has_api_key: bool,
}

impl Shape for AuthFile {
    fn from_object<'de, A: MapAccess<'de>>(mut fields: A) -> Result<Option<Self>, A::Error> {
        let mut file = Self::default();
        while let Some(key) = fields.next_key::<String>()? {
            match key.as_str() {
                "tokens" => file.tokens = fields.next_value::<Wanted<Tokens>>()?.0,
                "OPENAI_API_KEY" => {
                    let key = fields.next_value::<Wanted<SecretString>>()?.0;
                    file.has_api_key =
                        key.is_some_and(|key| !key.expose_secret().trim().is_empty());
                }
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Some(file))
    }
}

#[derive(Default)]
struct Tokens {
    access: Option<SecretString>,
    refresh: Option<SecretString>,
    account: Option<String>,
}

impl Shape for Tokens {
    fn from_object<'de, A: MapAccess<'de>>(mut fields: A) -> Result<Option<Self>, A::Error> {
        let mut tokens = Self::default();
        while let Some(key) = fields.next_key::<String>()? {
            match key.as_str() {
                "access_token" => tokens.access = fields.next_value::<Wanted<_>>()?.0,
                "refresh_token" => tokens.refresh = fields.next_value::<Wanted<_>>()?.0,
                "account_id" => tokens.account = fields.next_value::<Wanted<_>>()?.0,
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Some(tokens))
    }
}

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
                login.refresh.expose_secret(),
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
    fn a_file_from_before_the_epoch_is_no_crash() {
        let found = unix_ms(UNIX_EPOCH - Duration::from_millis(1500)).to_string();
        assert_eq!(found, "-1500");
        let file = FileReading::Unreadable(std::io::ErrorKind::IsADirectory);
        let config = || FileReading::Absent;
        assert!(matches!(read_codex_cli(file, config), Reading::Damaged(_)));
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
