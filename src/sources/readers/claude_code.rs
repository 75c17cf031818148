//! Claude Code's login: `.credentials.json`, or on macOS the Keychain item with the same JSON.
//!
//! Only the access token and its expiry are read. The refresh token belongs to Claude Code, and
//! redeeming it elsewhere would log the user out there: `OauthSection` has no place for it.

use icu_normalizer::ComposingNormalizerBorrowed;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::domain::{Expiry, ExpiryFault, Owner};
use crate::sources::login::{Login, Place, Reader};
use crate::sources::login_keychain::{KeychainReading, LoginKeychain};
use crate::sources::wanted::{Shape, object, read};
use crate::sources::{FileReading, LoggedOut, Reading, SourceFault};

/// The Keychain item's service. Source: `spec/compat.md`, Sync.
const KEYCHAIN_SERVICE: &str = "Claude Code-credentials";
/// How many bytes of the hash of `CLAUDE_CONFIG_DIR` the service's suffix shows (8 hex digits).
/// Source: `spec/compat.md`, Sync.
const SUFFIX_BYTES: usize = 4;

/// How Claude Code's login is read.
pub const READER: Reader = Reader {
    owner: Owner::ClaudeCode,
    keys: &["claudeAiOauth"],
    find: |inputs| {
        let service = macos_service_name(inputs.dir);
        read_claude_code(inputs.keychain, &service, inputs.user, inputs.file)
    },
    parse: |bytes, _| parse(bytes),
    account,
    api_key: |_| Ok(None),
};

/// Reads Claude Code's login: the keychain first where there is one. The file counts only when the
/// item is confirmed absent; it may be years old where the Keychain is in use, so an item that
/// cannot be read is no news and the file is not even opened.
pub fn read_claude_code(
    keychain: Option<&dyn LoginKeychain>,
    service: &str,
    account: &str,
    read_file: impl FnOnce() -> FileReading,
) -> (Place, Reading<Login>) {
    match keychain.map(|keychain| keychain.read(service, account)) {
        Some(KeychainReading::Item(json)) => (
            Place::Keychain(service.to_owned()),
            parse(json.expose_secret().as_bytes()),
        ),
        Some(KeychainReading::Unavailable(fault)) => (
            Place::Keychain(service.to_owned()),
            Reading::Damaged(SourceFault::Keychain(fault)),
        ),
        Some(KeychainReading::ConfirmedAbsent) | None => (
            Place::File,
            read_file().understood(|content| parse(&content.bytes)),
        ),
    }
}

/// Understands the JSON of the file or the item. Needs a non-blank `claudeAiOauth.accessToken` and
/// an `expiresAt` above 0 (milliseconds since the epoch); JSON without them is a logged-out Claude
/// Code, text that is not JSON a damaged source.
#[must_use]
pub fn parse(bytes: &[u8]) -> Reading<Login> {
    let login = match read::<CredentialsFile>(bytes) {
        Ok(file) => file.and_then(|file| file.login),
        Err(fault) => return Reading::Damaged(fault),
    };
    let Some(login) = login else {
        return Reading::LoggedOut(LoggedOut::NoLogin);
    };
    let Some(access) = login
        .access_token
        .filter(|token| !token.expose_secret().trim().is_empty())
    else {
        return Reading::LoggedOut(LoggedOut::NoAccessToken);
    };
    let positive = |ms: Option<f64>| ms.filter(|ms| *ms > 0.0).and_then(Expiry::from_ms);
    let noted = login.expires_at;
    let Some(expires) = positive(noted.as_ref().and_then(|noted| noted.0)) else {
        return Reading::LoggedOut(LoggedOut::NoExpiry(match noted {
            None => ExpiryFault::Missing,
            Some(FoundExpiry(None)) => ExpiryFault::NotANumber,
            Some(FoundExpiry(Some(ms))) if ms < 0.0 => ExpiryFault::Negative,
            Some(_) => ExpiryFault::Zero,
        }));
    };
    // Source: Claude Code 2.1.332, tried; earlier versions name none.
    let account = Account {
        uuid: login.account,
        email: None,
        organization: login.organization,
    };
    Reading::Found(Login {
        access,
        refresh: None,
        expires,
        login_expires: positive(login.login_expires_at),
        account: account.name(),
    })
}

/// Returns the account that Claude Code notes in its configuration, `.claude.json`:
/// `oauthAccount.accountUuid`, else its e-mail address, with the organization. `None` where the
/// file names none. Source: Claude Code 2.1.197, tried.
#[must_use]
pub fn account(bytes: &[u8]) -> Option<String> {
    read::<ConfigFile>(bytes).ok()??.oauth_account?.name()
}

impl Account {
    /// The person, by UUID or e-mail address, and the organization after a blank.
    fn name(self) -> Option<String> {
        let named = |text: Option<SecretString>| {
            let text = text?.expose_secret().trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let person = named(self.uuid).or_else(|| named(self.email))?;
        // One person may belong to several organizations, each with a subscription of its own.
        match named(self.organization) {
            Some(organization) => Some(format!("{person} {organization}")),
            None => Some(person),
        }
    }
}

object!(ConfigFile { "oauthAccount" => oauth_account: Account });

object!(Account {
    "accountUuid" => uuid: SecretString,
    "emailAddress" => email: SecretString,
    "organizationUuid" => organization: SecretString,
});

/// An expiry as it was found: a number, or text.
struct FoundExpiry(Option<f64>);

impl Shape for FoundExpiry {
    fn from_text(_text: &str) -> Option<Self> {
        Some(Self(None))
    }

    fn from_number(number: f64) -> Option<Self> {
        Some(Self(Some(number)))
    }
}

/// The Keychain item's service name. With `CLAUDE_CONFIG_DIR` set it ends in `-` and the first 8
/// hexadecimal digits of the SHA-256 of the raw value in NFC: neither expanded nor made absolute.
/// An empty value is an unset one, as it is for Claude Code.
#[must_use]
pub fn macos_service_name(claude_config_dir: Option<&str>) -> String {
    match claude_config_dir.filter(|dir| !dir.is_empty()) {
        None => KEYCHAIN_SERVICE.to_owned(),
        Some(dir) => {
            let composed = ComposingNormalizerBorrowed::new_nfc().normalize(dir);
            let digest = Sha256::digest(composed.as_bytes());
            let suffix: String = digest
                .iter()
                .take(SUFFIX_BYTES)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            format!("{KEYCHAIN_SERVICE}-{suffix}")
        }
    }
}

object!(CredentialsFile { "claudeAiOauth" => login: OauthSection });

object!(
    /// The login. The refresh token beside these has no place here.
    OauthSection {
        "accessToken" => access_token: SecretString,
        "expiresAt" => expires_at: FoundExpiry,
        "refreshTokenExpiresAt" => login_expires_at: f64,
        "accountUuid" => account: SecretString,
        "organizationUuid" => organization: SecretString,
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cases;
    use crate::sources::FileContent;
    use crate::sources::login_keychain::KeychainFault;
    use proptest::prelude::*;
    use std::time::SystemTime;
    use zeroize::Zeroizing;

    const LOGIN: &str = r#"{"mcpOAuth": {"srv|a": {"accessToken": "mcp"}}, "claudeAiOauth":
        {"accessToken": "sk-ant-oat01-a", "refreshToken": "sk-ant-ort01-r",
        "expiresAt": 1700000000000.5}}"#;

    fn shown(reading: &Reading<Login>) -> String {
        match reading {
            Reading::Absent => "absent".to_owned(),
            Reading::LoggedOut(why) => why.as_str().to_owned(),
            Reading::Damaged(fault) => fault.to_string(),
            Reading::Found(login) => {
                let token = login.access.expose_secret();
                let ends = login.expires.ms();
                format!("{token} until {ends}")
            }
        }
    }

    #[test]
    fn a_login_is_read_and_the_rest_is_not() {
        let reading = parse(LOGIN.as_bytes());
        assert_eq!(shown(&reading), "sk-ant-oat01-a until 1700000000000.5");
        let debug = format!("{reading:?}");
        assert!(!debug.contains("sk-ant"), "{debug}");
    }

    #[test]
    fn the_account_is_read_from_the_configuration() {
        for (json, want) in cases(
            r#"
            {"oauthAccount": {"accountUuid": "u-1", "emailAddress": "a@b"}} => u-1
            {"x": [1], "oauthAccount": {"organizationUuid": "o-1", "accountUuid": "u-1"}} => u-1 o-1
            {"oauthAccount": {"emailAddress": " a@b "}} => a@b
            {"oauthAccount": {"accountUuid": ""}} => none
            {"oauthAccount": null} => none
            {"oauthAccount => none
            "#,
        ) {
            let found = account(json.as_bytes());
            assert_eq!(found.as_deref().unwrap_or("none"), want, "{json}");
        }
    }

    #[test]
    fn the_expiry_of_the_login_is_read_beside_that_of_the_token() {
        let json = LOGIN.replace(
            "\"expiresAt\"",
            "\"refreshTokenExpiresAt\": 1800000000000, \"expiresAt\"",
        );
        let Reading::Found(login) = parse(json.as_bytes()) else {
            panic!("no login");
        };
        let got = login.login_expires.map(Expiry::ms);
        assert_eq!(got, Some(1_800_000_000_000.0));
    }

    #[test]
    fn what_is_wrong_with_an_expiry_is_known() {
        for (expiry, want) in [
            ("0", ExpiryFault::Zero),
            ("-5", ExpiryFault::Negative),
            ("\"1700000000000\"", ExpiryFault::NotANumber),
            ("null", ExpiryFault::Missing),
        ] {
            let json =
                format!(r#"{{"claudeAiOauth": {{"accessToken": "a", "expiresAt": {expiry}}}}}"#);
            match parse(json.as_bytes()) {
                Reading::LoggedOut(LoggedOut::NoExpiry(fault)) => assert_eq!(fault, want),
                other => panic!("{expiry}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_login() {
        for (json, want) in cases(
            r#"
            [] => no-login
            null => no-login
            "sk-ant" => no-login
            {} => no-login
            {"claudeAiOauth": null} => no-login
            {"claudeAiOauth": "x"} => no-login
            {"claudeAiOauth": {}} => no-access-token
            {"claudeAiOauth": {"accessToken": "", "expiresAt": 0}} => no-access-token
            {"claudeAiOauth": {"accessToken": " ", "expiresAt": 5}} => no-access-token
            {"claudeAiOauth": {"accessToken": ["a"], "expiresAt": 5}} => no-access-token
            {"claudeAiOauth": {"accessToken": "a"}} => no-expiry
            {"claudeAiOauth": {"accessToken": "a", "expiresAt": 0}} => no-expiry
            {"claudeAiOauth": {"accessToken": "a", "expiresAt": -5}} => no-expiry
            {"claudeAiOauth": {"accessToken": "a", "expiresAt": "5"}} => no-expiry
            {"claudeAiOauth": {"accessToken": "a", "expiresAt": {"x": [1]}}} => no-expiry
            {"claudeAiOauth": {"accessToken": "sk => it is cut short at line 1, column 37
            {"claudeAiOauth": {"accessToken": "a", "expiresAt": 1e999}} => no-expiry
            {"claudeAiOauth": {"accessToken": "a", "expiresAt": 5}, "claudeAiOauth": 1} => no-login
            "#,
        ) {
            assert_eq!(shown(&parse(json.as_bytes())), want, "{json}");
        }
        // The last of two equal keys counts, as in JavaScript.
        let twice = r#"{"claudeAiOauth": {"accessToken": "a", "accessToken": "b",
            "expiresAt": 18446744073709551616}}"#;
        let found = shown(&parse(twice.as_bytes()));
        assert_eq!(found, "b until 18446744073709552000");
    }

    #[test]
    fn deep_nesting_beside_or_in_place_of_the_login_is_harmless() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let beside = LOGIN.replacen("{\"srv", &format!("{{\"x\": {deep}, \"srv"), 1);
        let got = shown(&parse(beside.as_bytes()));
        assert_eq!(got, "sk-ant-oat01-a until 1700000000000.5");
        let instead = LOGIN.replace("\"sk-ant-oat01-a\"", &deep);
        assert_eq!(shown(&parse(instead.as_bytes())), "no-access-token");
    }

    #[test]
    fn the_service_name_follows_the_raw_config_dir() {
        assert_eq!(macos_service_name(None), "Claude Code-credentials");
        assert_eq!(macos_service_name(Some("")), "Claude Code-credentials");
        // printf %s /home/tester/.claude-work | sha256sum
        let got = macos_service_name(Some("/home/tester/.claude-work"));
        assert_eq!(got, "Claude Code-credentials-a3ceb436");
        // printf '/home/j\u00fcrgen' | sha256sum, composed and decomposed
        let got = macos_service_name(Some("/home/j\u{fc}rgen"));
        assert_eq!(got, "Claude Code-credentials-8b1488cb");
        let got = macos_service_name(Some("/home/ju\u{308}rgen"));
        assert_eq!(got, macos_service_name(Some("/home/j\u{fc}rgen")));
    }

    struct Answer(fn() -> KeychainReading);

    impl LoginKeychain for Answer {
        fn read(&self, service: &str, account: &str) -> KeychainReading {
            assert_eq!((service, account), ("service", "tester"));
            (self.0)()
        }
    }

    fn file() -> FileReading {
        FileReading::Content(FileContent {
            bytes: Zeroizing::new(LOGIN.replace("oat01-a", "oat01-file").into_bytes()),
            modified: SystemTime::UNIX_EPOCH,
        })
    }

    fn keychain() -> Place {
        Place::Keychain("service".to_owned())
    }

    fn never() -> FileReading {
        panic!("the file was opened")
    }

    fn through(answer: fn() -> KeychainReading, file: fn() -> FileReading) -> (Place, String) {
        let (place, reading) = read_claude_code(Some(&Answer(answer)), "service", "tester", file);
        (place, shown(&reading))
    }

    #[test]
    fn the_keychain_comes_first_and_the_file_counts_only_without_an_item() {
        let item = || KeychainReading::Item(SecretString::from(LOGIN));
        let (place, reading) = through(item, never);
        assert_eq!((place, reading.contains("oat01-a ")), (keychain(), true));

        let out = || KeychainReading::Item(SecretString::from("{}"));
        assert_eq!(through(out, never), (keychain(), "no-login".to_owned()));

        let locked = || KeychainReading::Unavailable(KeychainFault::Locked);
        assert_eq!(
            through(locked, never),
            (
                keychain(),
                "its keychain item cannot be read: the keychain is locked".to_owned()
            )
        );

        let (place, reading) = through(|| KeychainReading::ConfirmedAbsent, file);
        assert_eq!((place, reading.contains("oat01-file")), (Place::File, true));
        let absent = through(|| KeychainReading::ConfirmedAbsent, || FileReading::Absent);
        assert_eq!(absent, (Place::File, "absent".to_owned()));
    }

    #[test]
    fn without_a_keychain_the_file_is_the_source() {
        let denied = || FileReading::Unreadable(std::io::ErrorKind::PermissionDenied);
        let (_, reading) = read_claude_code(None, "service", "tester", denied);
        assert_eq!(shown(&reading), "it cannot be read: permission denied");
    }

    proptest! {
        #[test]
        fn a_file_cut_anywhere_gives_no_login_and_no_panic(cut in 0..LOGIN.len()) {
            let reading = parse(&LOGIN.as_bytes()[..cut]);
            prop_assert!(matches!(reading, Reading::Damaged(_)));
            let debug = format!("{reading:?}");
            prop_assert!(!debug.contains("sk-ant"));
        }

        #[test]
        fn one_wrong_byte_never_shows_the_token(at in 0..LOGIN.len(), byte in any::<u8>()) {
            let mut bytes = LOGIN.as_bytes().to_vec();
            bytes[at] = byte;
            if let Reading::Damaged(fault) = parse(&bytes) {
                let said = format!("{fault} {fault:?}");
                prop_assert!(!said.contains("ant"));
            }
        }
    }
}
