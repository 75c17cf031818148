//! The files in which other programs keep their logins, and whose a file is: by its path, else by
//! what is in it.
//!
//! Each becomes entries of a store. A login with a refresh token is redeemed by one program only:
//! [`lend`] takes the refresh token out of an entry that stays another program's.

use std::path::Path;

use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::legacy::{LegacyEntry, typed};
use super::{SourceFault, wanted};
use crate::domain::{Credential, CredentialType, Owner, SecretJson, WITH_PROJECT};

/// What a file of another program holds.
#[derive(Debug, Default)]
pub struct Found {
    /// Profile ids and their entries, refresh tokens included.
    pub entries: Vec<LegacyEntry>,
    /// Entries without a credential: the name in the file, and the reason, as half a sentence.
    pub dropped: Vec<(String, &'static str)>,
}

/// Whether a path is that of an agent's own older store: `agents/ID/agent/auth.json`,
/// `credentials/oauth.json` and, of the single-agent layout, `agent/auth.json`.
#[must_use]
pub fn is_own_legacy_file(path: &Path, state_dir: &Path) -> bool {
    let names: Vec<&str> = path.iter().filter_map(std::ffi::OsStr::to_str).collect();
    match names.as_slice() {
        [.., "agents", _, "agent", "auth.json"] | [.., "credentials", "oauth.json"] => true,
        _ => path == state_dir.join("agent/auth.json"),
    }
}

/// The program whose file it is, by what is in it; `None` where several write such files.
#[must_use]
pub fn owner_by_format(bytes: &[u8]) -> Option<Owner> {
    let Ok(Value::Object(fields)) = wanted::deserialize::<Value>(bytes) else {
        return None;
    };
    let has_type = |wanted: &[&str]| {
        let mut entries = fields.values();
        entries.any(|entry| wanted.contains(&entry["type"].as_str().unwrap_or_default()))
    };
    match () {
        () if fields.contains_key("access_token") && fields.contains_key("resource_url") => {
            Some(Owner::QwenCode)
        }
        () if fields.contains_key("access_token") => Some(Owner::GeminiCli),
        () if has_type(&["api", "wellknown"]) => Some(Owner::OpenCode),
        () => None,
    }
}

/// Understands Gemini CLI's and Qwen Code's `oauth_creds.json`.
pub fn oauth_creds(bytes: &[u8], owner: Owner) -> Result<Found, SourceFault> {
    let mut found = Found::default();
    let Value::Object(fields) = wanted::deserialize(bytes)? else {
        return Ok(found);
    };
    let provider = match owner {
        Owner::QwenCode => "qwen-portal",
        _ => "google-gemini-cli",
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let Some(access) = text("access_token").filter(|access| !access.trim().is_empty()) else {
        let why = "has no access token: its program is logged out";
        found.dropped.push((provider.to_owned(), why));
        return Ok(found);
    };
    let mut entry = json!({"type": "oauth", "provider": provider, "access": access});
    if let Some(refresh) = text("refresh_token") {
        entry["refresh"] = json!(refresh);
    }
    if let Some(expires) = fields.get("expiry_date") {
        entry["expires"] = expires.clone();
    }
    if let Some(url) = fields.get("resource_url") {
        entry["resourceUrl"] = url.clone();
    }
    let id = format!("{provider}:default");
    found.entries.push((id, SecretJson::new(entry)));
    Ok(found)
}

/// Understands a file with a credential for each provider: `auth.json` of an agent, of opencode and
/// of pi, and `oauth.json`.
pub fn by_provider(bytes: &[u8]) -> Result<Found, SourceFault> {
    let mut found = Found::default();
    let Value::Object(fields) = wanted::deserialize(bytes)? else {
        return Ok(found);
    };
    for (name, entry) in fields {
        let Value::Object(entry) = entry else {
            continue;
        };
        match understand(&name, entry) {
            Ok((name, entry)) => {
                let id = format!("{name}:default");
                found.entries.push((id, SecretJson::new(entry)));
            }
            Err(why) => found.dropped.push((name, why)),
        }
    }
    Ok(found)
}

/// The name that becomes part of the id, and the entry: type and provider first.
fn understand(name: &str, fields: Map<String, Value>) -> Result<(String, Value), &'static str> {
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    let has = |field: &str| text(field).is_some_and(|text| !text.trim().is_empty());
    let own = text("provider")
        .map(str::trim)
        .filter(|own| !own.is_empty());
    let (mut name, mut provider) = (name, own.unwrap_or(name).to_owned());
    let kind = match text("type") {
        Some("api") => CredentialType::ApiKey, // opencode's
        Some(kind) => CredentialType::from_name(kind),
        None if has("access") && fields.get("refresh").is_some_and(Value::is_string) => {
            CredentialType::OAuth // `oauth.json`
        }
        None => CredentialType::Unreadable,
    };
    let is_login = kind == CredentialType::OAuth;
    if kind == CredentialType::Unreadable {
        return Err(match text("type") {
            Some("wellknown") => "is of the type \"wellknown\", which only opencode itself can use",
            _ => "holds no credential",
        });
    }
    if is_login && !has("access") && !has("refresh") {
        return Err("has blank tokens: its program is logged out");
    }
    // opencode calls the login of ChatGPT by the name of the API.
    if is_login && provider == "openai" {
        provider = "openai-codex".to_owned();
        name = "openai-codex";
    }
    let entry = typed(Value::from(kind.as_str()), provider, fields);
    Ok((name.to_owned(), entry))
}

/// An entry as it is kept where its tokens do not expire: a token. Any other as it is.
#[must_use]
pub fn simplified(entry: &SecretJson) -> SecretJson {
    match Credential::of(entry.expose_secret()).never_expires() {
        true => lend(entry).0,
        false => entry.clone(),
    }
}

/// An entry as it is kept while it is another program's, without the refresh token, which only that
/// program may redeem; and that refresh token. The login becomes a token, as Claude Code's does, so
/// that no gateway tries to refresh it either.
#[must_use]
pub fn lend(entry: &SecretJson) -> (SecretJson, Option<SecretString>) {
    let value = entry.expose_secret();
    let credential = Credential::of(value);
    let Value::Object(fields) = value else {
        return (entry.clone(), None);
    };
    if credential.kind != CredentialType::OAuth {
        return (entry.clone(), None);
    }
    let never_expires = credential.never_expires();
    let refresh = credential
        .expose_refresh()
        .filter(|_| !never_expires)
        .map(SecretString::from);
    let stays_login = WITH_PROJECT.contains(&credential.provider);
    let mut lent = Map::new();
    for (name, value) in fields {
        match name.as_str() {
            "refresh" => {}
            "type" if !stays_login => drop(lent.insert("type".to_owned(), json!("token"))),
            "access" if !stays_login => drop(lent.insert("token".to_owned(), value.clone())),
            "expires" if never_expires => {}
            _ => drop(lent.insert(name.clone(), value.clone())),
        }
    }
    (SecretJson::new(Value::Object(lent)), refresh)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cases;

    #[test]
    fn own_files_are_known_by_where_they_lie() {
        let state = Path::new("/h/.clawdbot");
        for (path, want) in [
            ("/h/.clawdbot/agents/ops/agent/auth.json", true),
            ("/old/credentials/oauth.json", true),
            ("/h/.clawdbot/agent/auth.json", true),
            ("/h/.pi/agent/auth.json", false),
            ("/h/auth.json", false),
        ] {
            assert_eq!(is_own_legacy_file(Path::new(path), state), want, "{path}");
        }
    }

    #[test]
    fn files_are_known_by_what_is_in_them() {
        for (text, want) in cases(
            r#"
            {"openai": {"type": "api", "key": "k"}} => opencode
            {"https://x": {"type": "wellknown"}} => opencode
            {"access_token": "a", "scope": "s"} => gemini-cli
            {"access_token": "a", "resource_url": "u"} => qwen-code
            {"openai": {"type": "api_key", "key": "k"}} => none
            [] => none
            { => none
            "#,
        ) {
            let owner = owner_by_format(text.as_bytes()).map(Owner::as_str);
            assert_eq!(owner.unwrap_or("none"), want, "{text}");
        }
    }

    fn shown(found: &Found) -> Vec<String> {
        let entries = found.entries.iter();
        let entries = entries.map(|(id, entry)| format!("{id} {}", entry.expose_secret()));
        let dropped = found.dropped.iter();
        entries
            .chain(dropped.map(|(name, why)| format!("{name} {why}")))
            .collect()
    }

    #[test]
    fn the_forms_that_files_have() {
        let opencode = br#"{"openai": {"type": "api", "key": "k", "metadata": {"x": 1}},
            "anthropic": {"type": "oauth", "access": "a", "refresh": "r", "expires": 5},
            "xai": {"type": "oauth", "access": "", "refresh": "", "expires": 0},
            "https://x": {"type": "wellknown", "key": "K", "token": "t"},
            "odd": {"x": 1}, "n": 1}"#;
        assert_eq!(
            shown(&by_provider(opencode).unwrap()),
            [
                concat!(
                    r#"openai:default {"type":"api_key","provider":"openai","key":"k","#,
                    r#""metadata":{"x":1}}"#
                ),
                concat!(
                    r#"anthropic:default {"type":"oauth","provider":"anthropic","#,
                    r#""access":"a","refresh":"r","expires":5}"#
                ),
                "xai has blank tokens: its program is logged out",
                "https://x is of the type \"wellknown\", which only opencode itself can use",
                "odd holds no credential",
            ]
        );
        let chatgpt =
            br#"{"openai": {"type": "oauth", "access": "a", "refresh": "r", "expires": 5}}"#;
        assert_eq!(
            shown(&by_provider(chatgpt).unwrap()),
            [concat!(
                r#"openai-codex:default {"type":"oauth","provider":"openai-codex","#,
                r#""access":"a","refresh":"r","expires":5}"#
            )]
        );
        let qwen = br#"{"access_token": "a", "refresh_token": "r", "token_type": "Bearer",
            "resource_url": "u", "expiry_date": 5}"#;
        assert_eq!(
            shown(&oauth_creds(qwen, Owner::QwenCode).unwrap()),
            [concat!(
                r#"qwen-portal:default {"type":"oauth","provider":"qwen-portal","#,
                r#""access":"a","refresh":"r","expires":5,"resourceUrl":"u"}"#
            )]
        );
        let out = oauth_creds(br#"{"access_token": ""}"#, Owner::GeminiCli).unwrap();
        assert_eq!(
            shown(&out),
            ["google-gemini-cli has no access token: its program is logged out"]
        );
    }

    #[test]
    fn what_is_lent_has_no_refresh_token() {
        use secrecy::ExposeSecret as _;
        for (entry, want, refresh) in [
            (
                json!({"type": "oauth", "provider": "anthropic", "access": "a", "refresh": "r",
                    "expires": 5, "x": 1}),
                r#"{"type":"token","provider":"anthropic","token":"a","expires":5,"x":1}"#,
                Some("r"),
            ),
            (
                json!({"type": "oauth", "provider": "google-gemini-cli", "access": "a",
                    "refresh": "r", "expires": 5}),
                r#"{"type":"oauth","provider":"google-gemini-cli","access":"a","expires":5}"#,
                Some("r"),
            ),
            (
                json!({"type": "oauth", "provider": "github-copilot", "access": "g",
                    "refresh": "g", "expires": 0}),
                r#"{"type":"token","provider":"github-copilot","token":"g"}"#,
                None,
            ),
            (
                json!({"type": "api_key", "provider": "p", "key": "!pass show x"}),
                r#"{"type":"api_key","provider":"p","key":"!pass show x"}"#,
                None,
            ),
        ] {
            let (lent, taken) = lend(&SecretJson::new(entry));
            assert_eq!(lent.expose_secret().to_string(), want);
            assert_eq!(taken.as_ref().map(|taken| taken.expose_secret()), refresh);
        }
    }
}
