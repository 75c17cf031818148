//! Which program refreshes a login.

/// The profile that Claude Code's login is synced into. Source: `spec/compat.md`, Sync.
pub const CLAUDE_CLI: &str = "anthropic:claude-cli";

/// The profile that Codex's login is synced into. Source: `spec/compat.md`, Sync.
pub const CODEX_CLI: &str = "openai-codex:codex-cli";

/// The command that makes a long-lived token of Claude Code.
pub const CLAUDE_SETUP: &str = "claude setup-token";

/// The command that logs in to Claude Code. Unlike [`CLAUDE_SETUP`], it stores the login.
pub const CLAUDE_LOGIN: &str = "claude auth login";

/// The command that logs in to Codex CLI. It writes the file that is read here.
pub const CODEX_LOGIN: &str = "codex login";

/// The program that may refresh a credential. Source: `spec/oauth.md`, Owned and borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Logged in here, pasted here, or imported: ours to refresh.
    Vault,
    /// Claude Code owns it; clawkeep never refreshes it.
    ClaudeCode,
    /// Codex CLI owns it; clawkeep never refreshes it.
    CodexCli,
    /// opencode owns it; clawkeep never refreshes it.
    OpenCode,
    /// pi owns it; clawkeep never refreshes it.
    Pi,
    /// Gemini CLI owns it; clawkeep never refreshes it.
    GeminiCli,
    /// Qwen Code owns it; clawkeep never refreshes it.
    QwenCode,
    /// Another program's, which is not known by name: never refreshed here.
    OtherProgram,
}

impl Owner {
    /// Every owner but the vault.
    pub const PROGRAMS: [Self; 7] = [
        Self::ClaudeCode,
        Self::CodexCli,
        Self::OpenCode,
        Self::Pi,
        Self::GeminiCli,
        Self::QwenCode,
        Self::OtherProgram,
    ];

    /// Returns the owner that a profile id implies: the two CLI ids are borrowed however they
    /// arrive. Logins that were imported as borrowed have any id;
    /// [`Borrowed`](super::borrowed::Borrowed) names their owner.
    #[must_use]
    pub fn of(profile: &str) -> Self {
        match profile {
            CLAUDE_CLI => Self::ClaudeCode,
            CODEX_CLI => Self::CodexCli,
            _ => Self::Vault,
        }
    }

    /// Returns the name in the vault. The column `profiles.owner` knows the first three, which an
    /// id implies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::ClaudeCode => "claude-code",
            Self::CodexCli => "codex-cli",
            Self::OpenCode => "opencode",
            Self::Pi => "pi",
            Self::GeminiCli => "gemini-cli",
            Self::QwenCode => "qwen-code",
            Self::OtherProgram => "other-program",
        }
    }

    /// The program of that name in the vault; one that is not known is another program.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let mut programs = Self::PROGRAMS.into_iter();
        programs
            .find(|program| program.as_str() == name)
            .unwrap_or(Self::OtherProgram)
    }

    /// The program's name, for people.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Vault => "clawkeep",
            Self::ClaudeCode => "Claude Code",
            Self::CodexCli => "Codex CLI",
            Self::OpenCode => "opencode",
            Self::Pi => "pi",
            Self::GeminiCli => "Gemini CLI",
            Self::QwenCode => "Qwen Code",
            Self::OtherProgram => "another program",
        }
    }

    /// The command that starts the program, where that is known.
    #[must_use]
    pub fn command(self) -> Option<&'static str> {
        match self {
            Self::ClaudeCode => Some("claude"),
            Self::CodexCli => Some("codex"),
            Self::OpenCode => Some("opencode"),
            Self::Pi => Some("pi"),
            Self::GeminiCli => Some("gemini"),
            Self::QwenCode => Some("qwen"),
            Self::Vault | Self::OtherProgram => None,
        }
    }

    /// The command that logs in to the program, where a login of it is mirrored.
    #[must_use]
    pub fn login_command(self) -> Option<&'static str> {
        match self {
            Self::ClaudeCode => Some(CLAUDE_LOGIN),
            Self::CodexCli => Some(CODEX_LOGIN),
            _ => None,
        }
    }

    /// Returns the name in reports. Source: the `source` field of the reference's `models status
    /// --json`.
    #[must_use]
    pub fn reported(self) -> &'static str {
        match self {
            Self::Vault => "store",
            Self::ClaudeCode => "claude-cli",
            owner => owner.as_str(),
        }
    }
}
