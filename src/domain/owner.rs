//! The programs that keep logins: everything that is known of each, in one table.

use std::path::Path;

use super::credential::CredentialType;
use super::credential_file::CredentialFile;
use super::credential_files as files;

/// The profile that Claude Code's login is synced into. Source: `spec/compat.md`, Sync.
pub const CLAUDE_CLI: &str = "anthropic:claude-cli";

/// The profile that Codex's API key becomes.
pub const CODEX_KEY: &str = "openai:codex-cli";

/// The command that makes a long-lived token of Claude Code.
pub const CLAUDE_SETUP: &str = "claude setup-token";

/// The command that logs in to Codex CLI. It writes the file that is read here.
const CODEX_LOGIN: &str = "codex login";

/// The program that may refresh a credential. Source: `spec/oauth.md`, Owned and borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
    /// OpenClaw owns it; clawkeep never refreshes it.
    OpenClaw,
    /// Crush owns it; clawkeep never refreshes it.
    Crush,
    /// Goose owns it.
    Goose,
    /// aider owns it.
    Aider,
    /// `llm` owns it.
    Llm,
    /// Continue owns it; clawkeep never refreshes it.
    Continue,
    /// Copilot's plug-ins and command line own it.
    GithubCopilot,
    /// `mcp-remote` owns it; clawkeep never refreshes it.
    McpRemote,
    /// The SDKs of Anthropic own it; clawkeep never refreshes it.
    AnthropicSdk,
    /// A gateway, whose stores are synced: what is in them becomes ours.
    Gateway,
    /// Another program's, which is not known by name: never refreshed here.
    OtherProgram,
    /// A program that only tests know: a third mirrored source.
    #[cfg(test)]
    Example,
}

/// A program that keeps logins. Whatever asks which programs there are, where each keeps its logins
/// and what a person does about them reads [`PROGRAMS`].
#[derive(Debug)]
pub struct Program {
    /// The program as the owner of its logins.
    pub owner: Owner,
    /// Its name in the vault and in the audit record.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// The command that starts it.
    pub command: &'static str,
    /// The ends of the paths of its files that `import` knows by their path; a variable can move
    /// the directory above.
    pub files: &'static [&'static str],
    /// The files in which it keeps credentials.
    pub credentials: &'static [CredentialFile],
    /// How its login is mirrored; `None` if only `import` reads its files.
    pub mirror: Option<Mirror>,
}

/// How a program's login is mirrored: every load reads it and stores it in a profile of its own.
/// The reader is in `sources::READERS`.
#[derive(Debug)]
pub struct Mirror {
    /// The profile that mirrors the login.
    pub profile: &'static str,
    /// The provider of the login, as the profile names it.
    pub provider: &'static str,
    /// The provider, and the type if one is needed, of other credentials that serve what the
    /// program is used for.
    pub served_by: (&'static str, Option<CredentialType>),
    /// The profile that the program's API key becomes, if `import` reads one from its file.
    pub key_profile: Option<&'static str>,
    /// The file with the login, in the home directory.
    pub file: &'static str,
    /// The variable that names another directory for the file.
    pub variable: &'static str,
    /// Whether the variable is taken as it is set, without trimming and without `~`.
    pub is_verbatim: bool,
    /// The name of the file that names the account: in the variable's directory, or else in the
    /// home directory itself.
    pub account_file: Option<&'static str>,
    /// Whether the file notes when the login expires. Otherwise the token says so itself, or the
    /// time of the file does.
    pub is_expiry_noted: bool,
    /// Whether the program refreshes its login whenever it starts. Otherwise it does so in use.
    pub is_refreshed_at_start: bool,
    /// The command that logs in and stores the login where it is read here.
    pub log_in: &'static str,
    /// The command that logs out.
    pub log_out: &'static str,
    /// The command that the reference's doctor names for logging in again.
    pub hint: &'static str,
    /// How the vault gets a login of its own at the same provider.
    pub own_login: OwnLogin,
}

/// How the vault gets a login of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnLogin {
    /// The program's own command makes a long-lived token.
    SetupToken,
    /// A person logs in in the browser.
    Browser,
}

/// What [`Owner::OtherProgram`] is named in the vault and in the audit record.
const OTHER_PROGRAM: &str = "other-program";

/// Every program that is known by name; the last entries are kinds of programs. Mirrored logins are
/// read in this order.
pub static PROGRAMS: &[Program] = &[
    Program {
        owner: Owner::ClaudeCode,
        id: "claude-code",
        name: "Claude Code",
        command: "claude",
        files: &[".credentials.json"],
        credentials: files::CLAUDE_CODE,
        mirror: Some(Mirror {
            profile: CLAUDE_CLI,
            provider: "anthropic",
            served_by: ("anthropic", None),
            key_profile: None,
            file: ".claude/.credentials.json",
            variable: "CLAUDE_CONFIG_DIR",
            is_verbatim: true,
            account_file: Some(".claude.json"), // source: Claude Code 2.1
            is_expiry_noted: true,
            is_refreshed_at_start: true,
            // Unlike `CLAUDE_SETUP`, it stores the login.
            log_in: "claude auth login",
            log_out: "claude /logout",
            hint: CLAUDE_SETUP,
            own_login: OwnLogin::SetupToken,
        }),
    },
    Program {
        owner: Owner::CodexCli,
        id: "codex-cli",
        name: "Codex CLI",
        command: "codex",
        files: &[".codex/auth.json"],
        credentials: files::CODEX_CLI,
        mirror: Some(Mirror {
            profile: "openai-codex:codex-cli",
            provider: "openai-codex",
            served_by: ("openai", Some(CredentialType::ApiKey)),
            key_profile: Some(CODEX_KEY),
            file: ".codex/auth.json",
            variable: "CODEX_HOME",
            is_verbatim: false,
            account_file: None,
            is_expiry_noted: false,
            is_refreshed_at_start: false,
            log_in: CODEX_LOGIN,
            log_out: "codex logout",
            hint: CODEX_LOGIN,
            own_login: OwnLogin::Browser,
        }),
    },
    Program {
        owner: Owner::OpenCode,
        id: "opencode",
        name: "opencode",
        command: "opencode",
        files: &["opencode/auth.json"],
        credentials: files::OPENCODE,
        mirror: None,
    },
    Program {
        owner: Owner::Pi,
        id: "pi",
        name: "pi",
        command: "pi",
        files: &[".pi/agent/auth.json", ".pi/auth.json"],
        credentials: files::PI,
        mirror: None,
    },
    Program {
        owner: Owner::GeminiCli,
        id: "gemini-cli",
        name: "Gemini CLI",
        command: "gemini",
        files: &[".gemini/oauth_creds.json"],
        credentials: files::GEMINI_CLI,
        mirror: None,
    },
    Program {
        owner: Owner::QwenCode,
        id: "qwen-code",
        name: "Qwen Code",
        command: "qwen",
        files: &[".qwen/oauth_creds.json"],
        credentials: files::QWEN_CODE,
        mirror: None,
    },
    Program {
        owner: Owner::OpenClaw,
        id: "openclaw",
        name: "OpenClaw",
        command: "openclaw",
        files: &["state/openclaw.sqlite", "openclaw-agent.sqlite"],
        credentials: files::OPENCLAW,
        mirror: None,
    },
    Program {
        owner: Owner::Crush,
        id: "crush",
        name: "Crush",
        command: "crush",
        files: &[],
        credentials: files::CRUSH,
        mirror: None,
    },
    Program {
        owner: Owner::Goose,
        id: "goose",
        name: "Goose",
        command: "goose",
        files: &[],
        credentials: files::GOOSE,
        mirror: None,
    },
    Program {
        owner: Owner::Aider,
        id: "aider",
        name: "aider",
        command: "aider",
        files: &[],
        credentials: files::AIDER,
        mirror: None,
    },
    Program {
        owner: Owner::Llm,
        id: "llm",
        name: "llm",
        command: "llm",
        files: &[],
        credentials: files::LLM,
        mirror: None,
    },
    Program {
        owner: Owner::Continue,
        id: "continue",
        name: "Continue",
        command: "cn",
        files: &[],
        credentials: files::CONTINUE,
        mirror: None,
    },
    Program {
        owner: Owner::GithubCopilot,
        id: "github-copilot",
        name: "GitHub Copilot",
        command: "copilot",
        files: &[],
        credentials: files::GITHUB_COPILOT,
        mirror: None,
    },
    Program {
        owner: Owner::McpRemote,
        id: "mcp-remote",
        name: "mcp-remote",
        command: "mcp-remote",
        files: &[],
        credentials: files::MCP_REMOTE,
        mirror: None,
    },
    Program {
        owner: Owner::AnthropicSdk,
        id: "anthropic-sdk",
        name: "Anthropic SDK",
        command: "ant",
        files: &[],
        credentials: files::ANTHROPIC_SDK,
        mirror: None,
    },
    Program {
        owner: Owner::Gateway,
        id: "gateway",
        name: "gateway",
        command: "clawdbot",
        files: &[],
        credentials: files::GATEWAY,
        mirror: None,
    },
    Program {
        owner: Owner::OtherProgram,
        id: OTHER_PROGRAM,
        name: "any program",
        command: "",
        files: &[],
        credentials: files::ANY_PROGRAM,
        mirror: None,
    },
    #[cfg(test)]
    Program {
        owner: Owner::Example,
        id: "example",
        name: "Example CLI",
        command: "example",
        files: &[".example/login.json"],
        credentials: &[],
        mirror: Some(Mirror {
            profile: "example:cli",
            provider: "example",
            served_by: ("example", None),
            key_profile: None,
            file: ".example/login.json",
            variable: "EXAMPLE_HOME",
            is_verbatim: false,
            account_file: None,
            is_expiry_noted: true,
            is_refreshed_at_start: false,
            log_in: "example login",
            log_out: "example logout",
            hint: "example login",
            own_login: OwnLogin::Browser,
        }),
    },
];

impl Owner {
    /// The owners whose login is mirrored, each with how.
    pub fn mirrored() -> impl DoubleEndedIterator<Item = (Self, &'static Mirror)> {
        let programs = PROGRAMS.iter();
        programs.filter_map(|program| Some((program.owner, program.mirror.as_ref()?)))
    }

    /// Returns the owner that a profile id implies: the ids of mirrored logins are borrowed however
    /// they arrive. Logins that were imported as borrowed have any id;
    /// [`Borrowed`](super::borrowed::Borrowed) names their owner.
    #[must_use]
    pub fn of(profile: &str) -> Self {
        let mut mirrored = Self::mirrored();
        let found = mirrored.find(|(_, mirror)| mirror.profile == profile);
        found.map_or(Self::Vault, |(owner, _)| owner)
    }

    /// Finds the program whose file is at a path, by the end of the path.
    #[must_use]
    pub fn by_path(path: &Path) -> Option<Self> {
        let is_its = |program: &&Program| program.files.iter().any(|end| path.ends_with(end));
        let program = PROGRAMS.iter().find(is_its);
        program.map(|program| program.owner)
    }

    /// The program of that name in the vault; one that is not known is another program.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let program = PROGRAMS.iter().find(|program| program.id == name);
        program.map_or(Self::OtherProgram, |program| program.owner)
    }

    /// Returns what is known of the program; `None` for the vault and for a program without a name.
    fn known(self) -> Option<&'static Program> {
        let mut named = PROGRAMS.iter().filter(|it| it.id != OTHER_PROGRAM);
        named.find(|program| program.owner == self)
    }

    /// Returns how the program's login is mirrored, if it is.
    #[must_use]
    pub fn mirror(self) -> Option<&'static Mirror> {
        self.known()?.mirror.as_ref()
    }

    /// Returns the name in the vault and in the audit record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            owner => owner.known().map_or(OTHER_PROGRAM, |program| program.id),
        }
    }

    /// Returns the value of the column `profiles.owner`. The schema allows the owners of its first
    /// version alone, and only the vault's is distinct: a program that came later has Codex's.
    #[must_use]
    pub fn column(self) -> &'static str {
        match self {
            Self::Vault | Self::ClaudeCode => self.as_str(),
            _ => Self::CodexCli.as_str(),
        }
    }

    /// The program's name, for people.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Vault => "clawkeep",
            owner => owner
                .known()
                .map_or("another program", |program| program.name),
        }
    }

    /// The command that starts the program, where that is known.
    #[must_use]
    pub fn command(self) -> Option<&'static str> {
        self.known().map(|program| program.command)
    }

    /// The command that logs in to the program, where its login is mirrored.
    #[must_use]
    pub fn log_in(self) -> &'static str {
        self.mirror().map_or("", |mirror| mirror.log_in)
    }

    /// Returns how to log in to the program again, a sentence. For a mirrored login the command
    /// that stores one, which the hint of the reference's doctor need not be.
    #[must_use]
    pub fn how_to_log_in(self) -> String {
        match self.mirror() {
            Some(mirror) => format!("Run `{}`.", mirror.log_in),
            None if self == Self::OtherProgram => {
                "Log in again with the program that keeps it.".to_owned()
            }
            None => format!("Log in again with {}.", self.program()),
        }
    }

    /// Returns how to have the program refresh its login, a sentence.
    #[must_use]
    pub fn how_to_refresh(self) -> String {
        let program = self.program();
        let Some(command) = self.command() else {
            return "Start the program that owns it.".to_owned();
        };
        match self.mirror() {
            Some(mirror) if mirror.is_refreshed_at_start => {
                format!("Start `{command}` once on this host, which refreshes it.")
            }
            Some(mirror) => format!(
                "Start `{command}` on this host, which refreshes it. If that does not help, run \
                 `{}` there.",
                mirror.log_in
            ),
            None => format!("Start {program} (`{command}`), which refreshes it."),
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
