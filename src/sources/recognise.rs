//! Recognises the files in which credentials come by their content: names and places differ from
//! machine to machine.
//!
//! Only the keys of the top level are read, so that no token of a file becomes a value before its
//! owner is known.

use std::collections::BTreeSet;

use serde::de::{IgnoredAny, MapAccess};

use crate::domain::named;

use super::SourceFault;
use super::wanted::{self, Shape};

named! {
    /// The kind of a credential file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum FileKind {
        /// A store of an agent: `auth-profiles.json`.
        Store = "auth-profiles.json",
        /// The login file of Claude Code.
        ClaudeCode = "claude-code",
        /// The login file of Codex CLI.
        CodexCli = "codex-cli",
        /// Gemini CLI's or Qwen Code's login.
        OAuthCreds = "oauth_creds.json",
        /// A store of before that: `auth.json` or `oauth.json`, providers as its keys.
        Legacy = "auth.json",
    }
}

/// Recognises the kind of a file.
///
/// # Errors
/// When it is no JSON. `None` when it is JSON of a shape in which no credentials come.
pub fn recognise(bytes: &[u8]) -> Result<Option<FileKind>, SourceFault> {
    let Some(Keys(keys)) = wanted::read(bytes)? else {
        return Ok(None);
    };
    let has = |key: &str| keys.contains(key);
    Ok(match () {
        () if has("profiles") => Some(FileKind::Store),
        () if has("claudeAiOauth") => Some(FileKind::ClaudeCode),
        () if has("tokens") || has("OPENAI_API_KEY") || has("auth_mode") => {
            Some(FileKind::CodexCli)
        }
        () if has("access_token") => Some(FileKind::OAuthCreds),
        () if keys.is_empty() => None,
        () => Some(FileKind::Legacy),
    })
}

struct Keys(BTreeSet<String>);

impl Shape for Keys {
    fn from_object<'de, A: MapAccess<'de>>(mut fields: A) -> Result<Option<Self>, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some((key, IgnoredAny)) = fields.next_entry()? {
            keys.insert(key);
        }
        Ok(Some(Self(keys)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cases;

    #[test]
    fn files_are_known_by_their_keys() {
        for (text, want) in cases(
            r#"
            {"version": 1, "profiles": {}} => auth-profiles.json
            {"mcpOAuth": {}, "claudeAiOauth": null} => claude-code
            {"OPENAI_API_KEY": null, "tokens": {}} => codex-cli
            {"auth_mode": "apikey", "OPENAI_API_KEY": "k"} => codex-cli
            {"access_token": "a", "expiry_date": 1} => oauth_creds.json
            {"openai": {"type": "api_key"}} => auth.json
            {} => none
            [{}] => none
            "sk-x" => none
            "#,
        ) {
            let kind = recognise(text.as_bytes()).unwrap().map(FileKind::as_str);
            assert_eq!(kind.unwrap_or("none"), want, "{text}");
        }
        let marked = recognise("\u{feff}{\"profiles\": 3}".as_bytes());
        assert_eq!(marked.unwrap(), Some(FileKind::Store));
        assert!(recognise(b"{\"tokens\": sk-secret}").is_err());
        assert!(recognise(b"").is_err());
    }
}
