//! One profile's entry in the store, read: what kind it is, whose, until when.
//!
//! The entry itself (with every field we do not know) stays as it came; this is a view of it.

use serde_json::Value;

use super::debug_as::debug_as;
use super::ids::{is_spelling_of, normalize_provider};
use super::named::named;
use super::secret_rules::{SecretFault, check_secret};
use super::time::Expiry;

/// What OpenClaw leaves in place of a token while it is being refreshed. Source: `spec/compat.md`,
/// auth-profiles.json.
const REFRESH_FENCE: &str = "openclaw-oauth-refresh-fence:v1:";

/// Providers whose clients need an OAuth entry, and take the token together with its project.
/// Source: `spec/compat.md`, Resolving a secret for a provider.
pub const WITH_PROJECT: [&str; 2] = ["google-gemini-cli", "google-antigravity"];

named! {
    /// The type of a credential. `Unreadable` entries are kept, exported, and otherwise skipped.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum CredentialType {
        /// A key that does not expire.
        ApiKey = "api_key",
        /// A bearer token that nobody here can refresh.
        Token = "token",
        /// An OAuth login: access token and refresh token.
        OAuth = "oauth",
        /// An entry of a type we do not know, or without a provider.
        Unreadable = "unreadable",
    }
}

impl CredentialType {
    /// The type of that name; a name that we do not know is no type we can read.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "api_key" => Self::ApiKey,
            "token" => Self::Token,
            "oauth" => Self::OAuth,
            _ => Self::Unreadable,
        }
    }
}

/// Whether a credential is a login of a provider whose tokens do not expire, with 0 in the expiry's
/// place: GitHub Copilot's, where the token is its own refresh token.
pub(crate) fn is_endless(kind: CredentialType, provider: &str, expiry: Option<Expiry>) -> bool {
    kind == CredentialType::OAuth
        && expiry.is_some_and(|expiry| expiry.ms() == 0.0)
        && normalize_provider(provider) == "github-copilot"
}

/// A view of one entry. `Debug` shows its kind and provider only.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    /// The type of the credential.
    pub kind: CredentialType,
    /// Its provider as written; empty only when unreadable.
    pub provider: &'a str,
    entry: &'a Value,
}

debug_as!(Credential<'_>, "Credential({} of {})", it => it.kind.as_str(), it.provider);

impl<'a> Credential<'a> {
    /// Reads a profile's entry. An invalid one is [`CredentialType::Unreadable`].
    #[must_use]
    pub fn of(entry: &'a Value) -> Self {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let provider = text("provider");
        let kind = match text("type") {
            _ if provider.is_empty() => CredentialType::Unreadable,
            name => CredentialType::from_name(name),
        };
        Self {
            kind,
            provider,
            entry,
        }
    }

    /// Whether anything but keeping and exporting may be done with it.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.kind != CredentialType::Unreadable
    }

    /// Whether it belongs to `provider`, compared normalised.
    #[must_use]
    pub fn is_for(&self, provider: &str) -> bool {
        self.is_readable() && is_spelling_of(self.provider, provider)
    }

    /// Returns the expiry: `expires` of a token or OAuth login. API keys have none.
    #[must_use]
    pub fn expiry(&self) -> Option<Expiry> {
        match self.kind {
            CredentialType::Token | CredentialType::OAuth => {
                Expiry::from_json(self.entry.get("expires"))
            }
            CredentialType::ApiKey | CredentialType::Unreadable => None,
        }
    }

    /// Whether it is a login that does not expire: see [`is_endless`].
    #[must_use]
    pub(crate) fn never_expires(&self) -> bool {
        is_endless(self.kind, self.provider, self.expiry()) && self.expose_secret().is_some()
    }

    /// The value of `expires` as it is stored, whatever it is.
    #[must_use]
    pub fn stored_expiry(&self) -> Option<&'a Value> {
        self.entry.get("expires")
    }

    /// What stands for the end of an OAuth login where that is no number, shown as it stands.
    #[must_use]
    pub fn odd_expiry(&self) -> Option<&'a Value> {
        let stored = self.entry.get("expires")?;
        (self.kind == CredentialType::OAuth && !stored.is_number()).then_some(stored)
    }

    /// The e-mail address it carries, trimmed, if any.
    #[must_use]
    pub fn email(&self) -> Option<&'a str> {
        let email = self.entry.get("email")?.as_str()?.trim();
        (!email.is_empty()).then_some(email)
    }

    /// Whether its token is no token but a marker that another program left while it refreshes.
    #[must_use]
    pub(crate) fn is_marker(&self) -> bool {
        let is_marker =
            |token: Option<&str>| token.is_some_and(|token| token.starts_with(REFRESH_FENCE));
        self.kind == CredentialType::OAuth
            && (is_marker(self.expose_secret()) || is_marker(self.expose_refresh()))
    }

    /// The refresh token of an OAuth login, in the clear; `None` for none, or a marker.
    #[must_use]
    pub fn expose_refresh(&self) -> Option<&'a str> {
        if self.kind != CredentialType::OAuth {
            return None;
        }
        let token = self.entry.get("refresh")?.as_str()?;
        (!token.trim().is_empty()).then_some(token)
    }

    /// Returns the id of the client that it was issued to, if the entry has it.
    #[must_use]
    pub fn client_id(&self) -> Option<&'a str> {
        let id = self.entry.get("clientId")?.as_str()?.trim();
        (!id.is_empty()).then_some(id)
    }

    /// The secret itself, in the clear; `None` when the entry has none.
    #[must_use]
    pub fn expose_secret(&self) -> Option<&'a str> {
        self.entry.get(self.secret_field()?)?.as_str()
    }

    /// Where another program keeps the secret, if the entry only refers to it: a `keyRef` or
    /// `tokenRef` of a newer store, or a key that is a command (`!pass show x`). The program that
    /// wrote the entry looks it up; clawkeep keeps the entry as it is.
    #[must_use]
    pub fn reference(&self) -> Option<SecretReference<'a>> {
        let field = match self.kind {
            CredentialType::ApiKey => "key",
            CredentialType::Token => "token",
            CredentialType::OAuth | CredentialType::Unreadable => return None,
        };
        let inline = self.entry.get(field);
        let text = inline.and_then(Value::as_str).unwrap_or_default().trim();
        if text.len() > 1 && text.starts_with('!') {
            return Some(SecretReference {
                field,
                target: inline?,
            });
        }
        let field = match self.kind {
            CredentialType::ApiKey => "keyRef",
            _ => "tokenRef",
        };
        let target = self.entry.get(field).filter(|target| !target.is_null());
        let is_object = inline.filter(|inline| inline.is_object()); // `"key": {"source": …}`
        match (target, is_object) {
            (Some(target), _) if text.is_empty() => Some(SecretReference { field, target }),
            (None, Some(target)) => Some(SecretReference { field, target }),
            _ => None,
        }
    }

    /// What is wrong with its secret, or with an OAuth login's refresh token. Nothing for an entry
    /// that holds none, or a reference.
    #[must_use]
    pub(crate) fn secret_fault(&self) -> Option<SecretFault> {
        if self.is_marker() || self.reference().is_some() {
            return None;
        }
        let fault = |secret: Option<&str>| {
            let secret = secret.map(str::trim).filter(|secret| !secret.is_empty())?;
            if secret.starts_with('\u{feff}') {
                // of a file it is skipped, of a secret it would be sent
                return Some(SecretFault::Invisible);
            }
            check_secret(secret.as_bytes()).err()
        };
        if self.has_odd_secret() {
            return Some(SecretFault::NotText);
        }
        fault(self.expose_secret()).or_else(|| fault(self.expose_refresh()))
    }

    /// The field of the secret, by the type.
    fn secret_field(&self) -> Option<&'static str> {
        match self.kind {
            CredentialType::ApiKey => Some("key"),
            CredentialType::Token => Some("token"),
            CredentialType::OAuth => Some("access"),
            CredentialType::Unreadable => None,
        }
    }

    /// Whether something that is no text is in the place of the secret.
    fn has_odd_secret(&self) -> bool {
        let value = self.secret_field().and_then(|field| self.entry.get(field));
        value.is_some_and(|value| !value.is_string() && !value.is_null())
    }

    /// Why the entry cannot be used at all, whatever the clock says. A login without an access
    /// token can be used where it has a refresh token.
    #[must_use]
    pub fn entry_fault(&self) -> Option<EntryFault<'a>> {
        if let Some(reference) = self.reference() {
            return Some(EntryFault::Reference(reference));
        }
        if let Some(misnamed) = self.misnamed() {
            return Some(EntryFault::Misnamed(misnamed));
        }
        if !self.is_readable() {
            return Some(EntryFault::Unreadable);
        }
        if let Some(fault) = self.secret_fault() {
            return Some(EntryFault::BadSecret(fault));
        }
        let is_empty = self
            .expose_secret()
            .is_none_or(|secret| secret.trim().is_empty());
        (is_empty && self.expose_refresh().is_none()).then_some(EntryFault::Empty)
    }

    /// The type or field that is written under another name, where that makes the entry useless.
    #[must_use]
    pub fn misnamed(&self) -> Option<Misnamed<'a>> {
        let written = self.entry.get("type").and_then(Value::as_str);
        if let Some(written) = written
            && CredentialType::from_name(written) == CredentialType::Unreadable
        {
            let plain = plain(written);
            let right = TYPES.iter().find(|(names, _)| names.contains(&&*plain))?.1;
            return Some(Misnamed {
                what: "type",
                written,
                right,
            });
        }
        if written.is_none() {
            let fields = self.entry.as_object()?.iter();
            let mut named = fields.filter_map(|(name, value)| Some((name, value.as_str()?)));
            let is_type = |value: &str| {
                let plain = plain(value);
                CredentialType::from_name(value) != CredentialType::Unreadable
                    || TYPES.iter().any(|(names, _)| names.contains(&&*plain))
            };
            let (name, _) = named.find(|(name, value)| {
                ["mode", "kind", "credentialtype"].contains(&&*plain(name)) && is_type(value)
            })?;
            return Some(Misnamed {
                what: "field",
                written: name,
                right: "type",
            });
        }
        let (right, names): (_, &[&str]) = match self.kind {
            CredentialType::ApiKey => (
                "key",
                &["apikey", "token", "secret", "value", "accesstoken"],
            ),
            CredentialType::Token => (
                "token",
                &["key", "apikey", "accesstoken", "access", "secret", "value"],
            ),
            CredentialType::OAuth => ("access", &["accesstoken", "token"]),
            CredentialType::Unreadable => return None,
        };
        let is_blank = |value: Option<&Value>| {
            value.is_none_or(|value| value.as_str().is_some_and(|text| text.trim().is_empty()))
        };
        if !is_blank(self.entry.get(right)) || self.reference().is_some() {
            return None;
        }
        let mut fields = self.entry.as_object()?.iter();
        let (written, _) = fields.find(|(name, value)| {
            names.contains(&&*plain(name)) && value.is_string() && !is_blank(Some(value))
        })?;
        Some(Misnamed {
            what: "field",
            written,
            right,
        })
    }
}

/// Other names of the types, without case, `-` and `_`.
const TYPES: [(&[&str], &str); 3] = [
    (&["apikey", "api", "key"], "api_key"),
    (
        &["bearer", "bearertoken", "accesstoken", "setuptoken"],
        "token",
    ),
    (&["oauth2", "oauthlogin", "login"], "oauth"),
];

/// A name as it compares: without case, `-` and `_`.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', '_'], "")
}

/// A secret that stands elsewhere.
#[derive(Clone, Copy)]
pub struct SecretReference<'a> {
    /// The field that says where.
    pub field: &'static str,
    target: &'a Value,
}

impl SecretReference<'_> {
    /// Where the secret is, for people: `keyRef env:OPENAI_API_KEY`. Of a command, the first word
    /// alone: the others may be secret.
    #[must_use]
    pub fn describe(&self) -> String {
        let part = |name: &str| self.target.get(name).and_then(Value::as_str);
        let place = match self.target {
            Value::String(command) if command.trim_start().starts_with('!') => {
                let command = command.trim_start().trim_start_matches('!');
                let program = command.split_whitespace().next().unwrap_or_default();
                format!("command {program}")
            }
            Value::Object(_) => match (part("source"), part("id")) {
                (Some(source), Some(id)) => format!("{source}:{id}"),
                (Some(source), None) => source.to_owned(),
                (None, _) => "reference".to_owned(),
            },
            _ => "reference".to_owned(),
        };
        format!("{} {place}", self.field)
    }
}

debug_as!(SecretReference<'_>, "SecretReference({})", it => it.field);

named! {
    /// Why an entry cannot be used.
    #[derive(Clone, Copy, Debug)]
    pub enum EntryFault<'a> {
        /// The secret is stored elsewhere; this refers to it.
        Reference(SecretReference<'a>) = "reference",
        /// Its type, or the field of its secret, has another name than the one that is read.
        Misnamed(Misnamed<'a>) = "misnamed",
        /// Its secret cannot be sent as it is.
        BadSecret(SecretFault) = "malformed",
        /// The entry holds no secret.
        Empty = "empty",
        /// Its type is not known, or it has no provider.
        Unreadable = "unreadable",
    }
}

/// A name in an entry that is not the one that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misnamed<'a> {
    /// The kind of the wrong name: `field` or `type`.
    pub what: &'static str,
    /// The name as it is written.
    pub written: &'a str,
    /// The name that is read.
    pub right: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cases;
    use serde_json::json;

    fn entries(table: &'static str) -> impl Iterator<Item = (Value, &'static str)> {
        cases(table).map(|(entry, want)| (serde_json::from_str(entry).expect(entry), want))
    }

    #[test]
    fn entries_read_as_the_reference_reads_them() {
        for (entry, kind) in entries(
            r#"
            {"type": "api_key", "provider": "p", "key": "k"} => api_key
            {"type": "token", "provider": "p", "token": "t"} => token
            {"type": "oauth", "provider": "p", "access": "a"} => oauth
            {"type": "token", "provider": ""} => unreadable
            {"type": "sso", "provider": "p"} => unreadable
            {"type": 3, "provider": "p"} => unreadable
            "text" => unreadable
            null => unreadable
            "#,
        ) {
            assert_eq!(Credential::of(&entry).kind.as_str(), kind, "{entry}");
        }
    }

    #[test]
    fn references_are_known_and_described() {
        for (entry, want) in entries(
            r#"
            {"type":"api_key","provider":"p","keyRef":{"source":"file","id":"/a"}} => keyRef file:/a
            {"type":"token","provider":"p","token":" ","tokenRef":{"source":"env"}} => tokenRef env
            {"type": "api_key", "provider": "p", "key": "!pass show groq"} => key command pass
            {"type":"api_key","provider":"p","key":{"source":"exec","id":"x"}} => keyRef exec:x
            {"type": "api_key", "provider": "p", "keyRef": "p/x"} => keyRef reference
            {"type": "api_key", "provider": "p", "key": "k", "keyRef": {"source": "env"}} => none
            {"type": "api_key", "provider": "p", "keyRef": null} => none
            {"type": "api_key", "provider": "p", "tokenRef": {"source": "env"}} => none
            "#,
        ) {
            let found = Credential::of(&entry).reference();
            let described = found.map_or_else(|| "none".to_owned(), |found| found.describe());
            assert_eq!(described, want, "{entry}");
        }
    }

    #[test]
    fn wrong_names_are_reported_with_the_right_one() {
        for (entry, want) in entries(
            r#"
            {"type": "api_key", "provider": "p", "api_key": "k"} => field api_key for key
            {"type": "api_key", "provider": "p", "key": "", "apiKey": "k"} => field apiKey for key
            {"type": "token", "provider": "p", "accessToken": "t"} => field accessToken for token
            {"type": "apiKey", "provider": "p", "key": "k"} => type apiKey for api_key
            {"type": "API-KEY", "key": "k"} => type API-KEY for api_key
            {"type": "api_key", "provider": "p", "key": "k", "apiKey": "l"} => none
            {"mode": "api_key", "provider": "p", "key": "k"} => field mode for type
            {"mode": "x", "provider": "p"} => none
            {"type": "api_key", "provider": "p"} => none
            {"type": "wellknown", "key": "X"} => none
            "#,
        ) {
            let found = match Credential::of(&entry).misnamed() {
                Some(found) => format!("{} {} for {}", found.what, found.written, found.right),
                None => "none".to_owned(),
            };
            assert_eq!(found, want, "{entry}");
        }
    }

    #[test]
    fn a_view_prints_no_secret() {
        let entry = json!({"type": "token", "provider": "p", "token": "sk-secret"});
        assert!(!format!("{:?}", Credential::of(&entry)).contains("sk-secret"));
    }
}
