//! One profile's entry in the store, read: what kind it is, whose, until when.
//!
//! The entry itself (with every field we do not know) stays as it came; this is a view of it.

use std::fmt;

use serde_json::Value;

use super::{Expiry, normalize_provider};

/// The profile that Claude Code's login is synced into. Source: `spec/compat.md`, Sync.
pub const CLAUDE_CLI: &str = "anthropic:claude-cli";
/// The profile that Codex's login is synced into. Source: `spec/compat.md`, Sync.
pub const CODEX_CLI: &str = "openai-codex:codex-cli";

/// What OpenClaw leaves in place of a token while it is being refreshed. Source: `spec/compat.md`, auth-profiles.json.
const REFRESH_FENCE: &str = "openclaw-oauth-refresh-fence:v1:";

/// What a credential is. `Unreadable` entries are kept and exported, and skipped everywhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialType {
    /// A key that does not expire.
    ApiKey,
    /// A bearer token that nobody here can refresh.
    Token,
    /// An OAuth login: access and refresh token.
    OAuth,
    /// An entry of a type we do not know, or without a provider.
    Unreadable,
}

impl CredentialType {
    /// The name in the store (and in the vault's column).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Token => "token",
            Self::OAuth => "oauth",
            Self::Unreadable => "unreadable",
        }
    }

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

/// Who may refresh a credential. Source: `spec/oauth.md`, Owned and borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Logged in here, pasted here, or imported: ours to refresh.
    Vault,
    /// Claude Code's: never refreshed here.
    ClaudeCode,
    /// Codex CLI's: never refreshed here.
    CodexCli,
}

impl Owner {
    /// The owner of a profile id: the two CLI ids are borrowed however they arrive.
    #[must_use]
    pub fn of(profile: &str) -> Self {
        match profile {
            CLAUDE_CLI => Self::ClaudeCode,
            CODEX_CLI => Self::CodexCli,
            _ => Self::Vault,
        }
    }

    /// The name in the vault's column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::ClaudeCode => "claude-code",
            Self::CodexCli => "codex-cli",
        }
    }

    /// The name in reports. Source: the `source` field of the reference's `models status --json`.
    #[must_use]
    pub fn reported(self) -> &'static str {
        match self {
            Self::Vault => "store",
            Self::ClaudeCode => "claude-cli",
            Self::CodexCli => "codex-cli",
        }
    }
}

/// A view of one entry. `Debug` shows its kind and provider only.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    /// What it is.
    pub kind: CredentialType,
    /// Its provider as written; empty only when unreadable.
    pub provider: &'a str,
    entry: &'a Value,
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({} of {})", self.kind.as_str(), self.provider)
    }
}

impl<'a> Credential<'a> {
    /// Reads an entry. Every entry can be read; what makes no sense is [`CredentialType::Unreadable`].
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
        self.is_readable() && normalize_provider(self.provider) == provider
    }

    /// When it ends: `expires` of a token or OAuth login. API keys have none.
    #[must_use]
    pub fn expiry(&self) -> Option<Expiry> {
        match self.kind {
            CredentialType::Token | CredentialType::OAuth => {
                Expiry::from_json(self.entry.get("expires"))
            }
            CredentialType::ApiKey | CredentialType::Unreadable => None,
        }
    }

    /// The value of `expires` as it is stored, whatever it is.
    #[must_use]
    pub fn stored_expiry(&self) -> Option<&'a Value> {
        self.entry.get("expires")
    }

    /// What stands for the end of an OAuth login where that is no number: nothing to go by, shown as it stands.
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
    pub fn is_marker(&self) -> bool {
        let is_marker =
            |token: Option<&str>| token.is_some_and(|token| token.starts_with(REFRESH_FENCE));
        self.kind == CredentialType::OAuth
            && (is_marker(self.expose_secret()) || is_marker(self.expose_refresh()))
    }

    /// The refresh token of an OAuth login, in the clear; `None` where there is none, or a marker in its place.
    #[must_use]
    pub fn expose_refresh(&self) -> Option<&'a str> {
        if self.kind != CredentialType::OAuth {
            return None;
        }
        let token = self.entry.get("refresh")?.as_str()?;
        (!token.trim().is_empty()).then_some(token)
    }

    /// The client id that it was given to, where the entry says.
    #[must_use]
    pub fn client_id(&self) -> Option<&'a str> {
        let id = self.entry.get("clientId")?.as_str()?.trim();
        (!id.is_empty()).then_some(id)
    }

    /// The secret itself, in the clear; `None` when the entry has none.
    #[must_use]
    pub fn expose_secret(&self) -> Option<&'a str> {
        let field = match self.kind {
            CredentialType::ApiKey => "key",
            CredentialType::Token => "token",
            CredentialType::OAuth => "access",
            CredentialType::Unreadable => return None,
        };
        self.entry.get(field)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_read_as_the_reference_reads_them() {
        for (entry, kind) in [
            (
                json!({"type": "api_key", "provider": "p", "key": "k"}),
                CredentialType::ApiKey,
            ),
            (
                json!({"type": "token", "provider": "p", "token": "t"}),
                CredentialType::Token,
            ),
            (
                json!({"type": "oauth", "provider": "p", "access": "a"}),
                CredentialType::OAuth,
            ),
            (
                json!({"type": "token", "provider": ""}),
                CredentialType::Unreadable,
            ),
            (
                json!({"type": "sso", "provider": "p"}),
                CredentialType::Unreadable,
            ),
            (
                json!({"type": 3, "provider": "p"}),
                CredentialType::Unreadable,
            ),
            (json!("text"), CredentialType::Unreadable),
            (json!(null), CredentialType::Unreadable),
        ] {
            assert_eq!(Credential::of(&entry).kind, kind, "{entry}");
        }
    }

    #[test]
    fn a_view_prints_no_secret() {
        let entry = json!({"type": "token", "provider": "p", "token": "sk-secret"});
        assert!(!format!("{:?}", Credential::of(&entry)).contains("sk-secret"));
    }
}
