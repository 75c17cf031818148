//! Recognises the files in which credentials come by their content: names and places differ from
//! machine to machine.
//!
//! Only the keys of the top level are read, so that no token of a file becomes a value before its
//! owner is known.

use std::collections::BTreeSet;

use serde::de::{IgnoredAny, MapAccess};

use super::SourceFault;
use super::readers::READERS;
use super::wanted::{self, Shape};
use crate::domain::Owner;

/// The kind of a credential file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A store of an agent: `auth-profiles.json`.
    Store,
    /// The file of a program whose login is mirrored.
    Source(Owner),
    /// Gemini CLI's or Qwen Code's login.
    OAuthCreds,
    /// A store of before that: `auth.json` or `oauth.json`, providers as its keys.
    Legacy,
}

impl FileKind {
    /// The name in the record and for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "auth-profiles.json",
            Self::Source(owner) => owner.as_str(),
            Self::OAuthCreds => "oauth_creds.json",
            Self::Legacy => "auth.json",
        }
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
    let mut readers = READERS.iter();
    let reader = readers.find(|reader| reader.keys.iter().any(|key| has(key)));
    Ok(match reader {
        _ if has("profiles") => Some(FileKind::Store),
        Some(reader) => Some(FileKind::Source(reader.owner)),
        None if has("access_token") => Some(FileKind::OAuthCreds),
        None if keys.is_empty() => None,
        None => Some(FileKind::Legacy),
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

    #[test]
    fn files_are_known_by_their_keys() {
        for (text, want) in [
            (r#"{"version": 1, "profiles": {}}"#, Some(FileKind::Store)),
            ("\u{feff}{\"profiles\": 3}", Some(FileKind::Store)),
            (
                r#"{"mcpOAuth": {}, "claudeAiOauth": null}"#,
                Some(FileKind::Source(Owner::ClaudeCode)),
            ),
            (
                r#"{"OPENAI_API_KEY": null, "tokens": {}}"#,
                Some(FileKind::Source(Owner::CodexCli)),
            ),
            (
                r#"{"auth_mode": "apikey", "OPENAI_API_KEY": "k"}"#,
                Some(FileKind::Source(Owner::CodexCli)),
            ),
            (
                r#"{"access_token": "a", "expiry_date": 1}"#,
                Some(FileKind::OAuthCreds),
            ),
            (r#"{"openai": {"type": "api_key"}}"#, Some(FileKind::Legacy)),
            ("{}", None),
            ("[{}]", None),
            ("\"sk-x\"", None),
        ] {
            assert_eq!(recognise(text.as_bytes()).unwrap(), want, "{text}");
        }
        let marked = recognise("\u{feff}{\"profiles\": 3}".as_bytes());
        assert_eq!(marked.unwrap(), Some(FileKind::Store));
        assert!(recognise(b"{\"tokens\": sk-secret}").is_err());
        assert!(recognise(b"").is_err());
    }
}
