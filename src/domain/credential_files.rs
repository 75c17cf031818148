//! Which files each program keeps credentials in. Part of the table `PROGRAMS`.
//!
//! Sources: the programs themselves, of November 2026 (Claude Code 2.1, Codex CLI 0.171, OpenClaw
//! 2026.9.6, opencode 1.18, pi 0.73, Gemini CLI 0.61, Qwen Code 0.24, `llm` 0.36, anthropic 2.14
//! for Python); the source text of Crush, Continue and mcp-remote. Those of Goose, aider
//! and Copilot are from memory and from other projects that name the same files: they were not
//! compared with these programs, but for aider's `env-file`.

use super::credential_file::{
    AccountField, Base, CredentialFile, Entries, ExpiryField, FileFormat, ProgramDir,
    ProviderField, TakenIn, Texts,
};

const PRIVATE: u32 = 0o600;

const VARIABLES: FileFormat = FileFormat::Variables { files: None };

const fn dir(
    variable: Option<(&'static str, &'static str)>,
    base: Base,
    path: &'static str,
) -> ProgramDir {
    ProgramDir {
        variable,
        base,
        path,
    }
}

const fn file(
    dir: ProgramDir,
    name: &'static str,
    format: FileFormat,
    taken_in: TakenIn,
) -> CredentialFile {
    CredentialFile {
        dir,
        name,
        format,
        mode: PRIVATE,
        taken_in,
    }
}

/// A file that people write themselves.
const fn settings(dir: ProgramDir, name: &'static str, format: FileFormat) -> CredentialFile {
    CredentialFile {
        mode: 0,
        ..file(dir, name, format, TakenIn::Add)
    }
}

/// The fields of variables in settings.
const fn variables(at: &'static [&'static str]) -> Entries {
    Entries::keys(at, "*")
}

const fn server_login(
    at: &'static [&'static str],
    tokens: (&'static str, &'static str),
    expires: ExpiryField,
    name: &'static str,
) -> Entries {
    Entries::logins(at, tokens, expires).from(ProviderField::Server(name))
}

const CLAUDE: ProgramDir = dir(Some(("CLAUDE_CONFIG_DIR", "")), Base::Home, ".claude");
/// Where `.claude.json` lies.
const CLAUDE_ABOVE: ProgramDir = dir(Some(("CLAUDE_CONFIG_DIR", "")), Base::Home, "");

pub(super) const CLAUDE_CODE: &[CredentialFile] = &[
    file(
        CLAUDE,
        ".credentials.json",
        FileFormat::Json(&[
            Entries {
                login_expires: Some("refreshTokenExpiresAt"),
                ..Entries::logins(
                    &["claudeAiOauth"],
                    ("accessToken", "refreshToken"),
                    ExpiryField::Ms("expiresAt"),
                )
                .from(ProviderField::Fixed("anthropic"))
                .of(AccountField::Beside(
                    ".claude.json",
                    &["oauthAccount", "emailAddress"],
                ))
            },
            server_login(
                &["mcpOAuth", "*"],
                ("accessToken", "refreshToken"),
                ExpiryField::Ms("expiresAt"),
                "serverName",
            ),
        ]),
        TakenIn::Mirrored,
    ),
    file(
        CLAUDE_ABOVE,
        ".claude.json",
        FileFormat::Json(&[
            Entries::keys(&[], "primaryApiKey").from(ProviderField::Fixed("anthropic")),
            variables(&["mcpServers", "*", "env"]),
        ]),
        TakenIn::Add,
    ),
    settings(
        CLAUDE,
        "settings.json",
        FileFormat::Json(&[variables(&["env"])]),
    ),
];

const CODEX: ProgramDir = dir(Some(("CODEX_HOME", "")), Base::Home, ".codex");

pub(super) const CODEX_CLI: &[CredentialFile] = &[
    file(
        CODEX,
        "auth.json",
        FileFormat::Json(&[
            Entries::logins(
                &["tokens"],
                ("access_token", "refresh_token"),
                ExpiryField::Jwt,
            )
            .from(ProviderField::Fixed("openai-codex"))
            .of(AccountField::Token("id_token")),
            Entries::keys(&[], "OPENAI_API_KEY").from(ProviderField::Fixed("openai")),
        ]),
        TakenIn::Mirrored,
    ),
    file(
        CODEX,
        ".credentials.json",
        FileFormat::Json(&[server_login(
            &["*"],
            ("access_token", "refresh_token"),
            ExpiryField::Ms("expires_at"),
            "server_name",
        )]),
        TakenIn::Nothing,
    ),
];

/// Entries of the form that opencode, pi and others have: keys and logins by provider.
const BY_PROVIDER: &[Entries] = &[
    Entries::keys(&["*"], "key"),
    Entries::logins(&["*"], ("access", "refresh"), ExpiryField::Ms("expires"))
        .of(AccountField::Field("email")),
];

const OPENCODE_DATA: ProgramDir = dir(None, Base::Data, "opencode");

pub(super) const OPENCODE: &[CredentialFile] = &[
    file(
        OPENCODE_DATA,
        "auth.json",
        FileFormat::Json(BY_PROVIDER),
        TakenIn::Import,
    ),
    file(
        OPENCODE_DATA,
        "mcp-auth.json",
        FileFormat::Json(&[server_login(
            &["*", "tokens"],
            ("accessToken", "refreshToken"),
            ExpiryField::Seconds("expiresAt"),
            "",
        )]),
        TakenIn::Nothing,
    ),
    settings(
        dir(None, Base::Config, "opencode"),
        "opencode.json*",
        FileFormat::Json(&[Entries::keys(&["provider", "*", "options"], "apiKey")]),
    ),
];

const PI_AGENT: ProgramDir = dir(Some(("PI_CODING_AGENT_DIR", "")), Base::Home, ".pi/agent");

pub(super) const PI: &[CredentialFile] = &[
    file(
        PI_AGENT,
        "auth.json",
        FileFormat::Json(BY_PROVIDER),
        TakenIn::Import,
    ),
    settings(
        PI_AGENT,
        "models.json",
        FileFormat::Json(&[Entries::keys(&["providers", "*"], "apiKey")]),
    ),
];

/// `oauth_creds.json` of Gemini CLI and of Qwen Code, which began as a copy of it.
const fn oauth_creds(provider: &'static str) -> Entries {
    Entries::logins(
        &[],
        ("access_token", "refresh_token"),
        ExpiryField::Ms("expiry_date"),
    )
    .from(ProviderField::Fixed(provider))
}

const MCP_TOKENS: &[Entries] = &[server_login(
    &["*", "token"],
    ("accessToken", "refreshToken"),
    ExpiryField::Ms("expiresAt"),
    "",
)];

const GEMINI: ProgramDir = dir(Some(("GEMINI_CLI_HOME", ".gemini")), Base::Home, ".gemini");

pub(super) const GEMINI_CLI: &[CredentialFile] = &[
    file(
        GEMINI,
        "oauth_creds.json",
        FileFormat::Json(&[oauth_creds("google-gemini-cli")
            .of(AccountField::Beside("google_accounts.json", &["active"]))]),
        TakenIn::Import,
    ),
    file(
        GEMINI,
        "mcp-oauth-tokens.json",
        FileFormat::Json(MCP_TOKENS),
        TakenIn::Nothing,
    ),
    settings(GEMINI, ".env", VARIABLES),
    settings(
        GEMINI,
        "settings.json",
        FileFormat::Json(&[variables(&["mcpServers", "*", "env"])]),
    ),
];

const QWEN: ProgramDir = dir(None, Base::Home, ".qwen");

pub(super) const QWEN_CODE: &[CredentialFile] = &[
    file(
        QWEN,
        "oauth_creds.json",
        FileFormat::Json(&[oauth_creds("qwen-portal")]),
        TakenIn::Import,
    ),
    file(
        QWEN,
        "mcp-oauth-tokens.json",
        FileFormat::Json(MCP_TOKENS),
        TakenIn::Nothing,
    ),
    settings(QWEN, ".env", VARIABLES),
    settings(
        QWEN,
        "settings.json",
        FileFormat::Json(&[
            Entries::keys(&["security", "auth"], "apiKey").from(ProviderField::Fixed("openai")),
            variables(&["env"]),
            variables(&["mcpServers", "*", "env"]),
        ]),
    ),
];

/// The entries of an `auth-profiles.json`.
const PROFILES: &[Entries] = &[
    Entries::keys(&["profiles", "*"], "key").from(ProviderField::Field("provider")),
    Entries {
        expires: ExpiryField::Ms("expires"),
        ..Entries::keys(&["profiles", "*"], "token")
            .from(ProviderField::Field("provider"))
            .of(AccountField::Field("email"))
    },
    Entries::logins(
        &["profiles", "*"],
        ("access", "refresh"),
        ExpiryField::Ms("expires"),
    )
    .from(ProviderField::Field("provider"))
    .of(AccountField::Field("email")),
];

const OPENCLAW_STATE: ProgramDir = dir(None, Base::OpenClaw, "");
const STATE_DATABASE: &str = "state/openclaw.sqlite";

pub(super) const OPENCLAW: &[CredentialFile] = &[
    file(
        OPENCLAW_STATE,
        STATE_DATABASE,
        FileFormat::Database(&[Texts {
            query: "SELECT state_key, value_json FROM config_machine_state \
                WHERE state_key = 'authProfiles.store'",
            entries: Some(PROFILES),
        }]),
        TakenIn::Followed,
    ),
    file(
        OPENCLAW_STATE,
        STATE_DATABASE,
        FileFormat::Database(&[Texts {
            query: "SELECT name, value FROM secret_store_entries \
                WHERE deleted_at_ms IS NULL",
            entries: None,
        }]),
        TakenIn::Add,
    ),
    file(
        OPENCLAW_STATE,
        "agents/*/agent/openclaw-agent.sqlite",
        FileFormat::Database(&[Texts {
            query: "SELECT store_key, store_json FROM auth_profile_store \
                WHERE store_key = 'primary'",
            entries: Some(PROFILES),
        }]),
        TakenIn::Followed,
    ),
    file(
        OPENCLAW_STATE,
        "agents/*/agent/auth-profiles.json",
        FileFormat::Json(PROFILES),
        TakenIn::Import,
    ),
    settings(
        OPENCLAW_STATE,
        "openclaw.json",
        FileFormat::Json(&[
            Entries::keys(&["models", "providers", "*"], "apiKey"),
            variables(&["env"]),
            variables(&["env", "vars"]),
            variables(&["mcp", "servers", "*", "env"]),
        ]),
    ),
    settings(OPENCLAW_STATE, ".env", VARIABLES),
];

const CRUSH_ENTRIES: &[Entries] = &[
    Entries::keys(&["providers", "*"], "api_key"),
    Entries::logins(
        &["providers", "*", "oauth"],
        ("access_token", "refresh_token"),
        ExpiryField::Seconds("expires_at"),
    )
    .of(AccountField::Field("account_id")),
    server_login(
        &["mcp", "*", "oauth"],
        ("access_token", "refresh_token"),
        ExpiryField::Seconds("expires_at"),
        "",
    ),
];

pub(super) const CRUSH: &[CredentialFile] = &[
    file(
        dir(Some(("CRUSH_GLOBAL_DATA", "")), Base::Data, "crush"),
        "crush.json",
        FileFormat::Json(CRUSH_ENTRIES),
        TakenIn::Add,
    ),
    settings(
        dir(Some(("CRUSH_GLOBAL_CONFIG", "")), Base::Config, "crush"),
        "crush.json",
        FileFormat::Json(CRUSH_ENTRIES),
    ),
];

pub(super) const GOOSE: &[CredentialFile] = &[file(
    dir(Some(("GOOSE_PATH_ROOT", "config")), Base::Config, "goose"),
    "secrets.yaml",
    VARIABLES,
    TakenIn::Add,
)];

const HOME: ProgramDir = dir(None, Base::Home, "");

pub(super) const AIDER: &[CredentialFile] = &[
    settings(
        HOME,
        ".aider.conf.yml",
        FileFormat::Variables {
            files: Some("ENV_FILE"), // source: aider's `generate_search_path_list`
        },
    ),
    settings(HOME, ".aider/oauth-keys.env", VARIABLES),
];

/// What several programs read, aider and Gemini CLI among them.
pub(super) const ANY_PROGRAM: &[CredentialFile] = &[settings(HOME, ".env", VARIABLES)];

pub(super) const GATEWAY: &[CredentialFile] = &[file(
    dir(None, Base::Gateway, ""),
    "agents/*/agent/auth-profiles.json",
    FileFormat::Json(PROFILES),
    TakenIn::Followed,
)];

pub(super) const LLM: &[CredentialFile] = &[file(
    dir(
        Some(("LLM_USER_PATH", "")),
        Base::Application,
        "io.datasette.llm",
    ),
    "keys.json",
    FileFormat::Json(&[Entries {
        secret: None,
        ..Entries::keys(&["*"], "").from(ProviderField::Alias)
    }]),
    TakenIn::Add,
)];

const CONTINUE_HOME: ProgramDir = dir(Some(("CONTINUE_GLOBAL_DIR", "")), Base::Home, ".continue");

pub(super) const CONTINUE: &[CredentialFile] = &[
    file(
        CONTINUE_HOME,
        "auth.json",
        FileFormat::Json(&[Entries::logins(
            &[],
            ("accessToken", "refreshToken"),
            ExpiryField::Ms("expiresAt"),
        )
        .from(ProviderField::Fixed("continue"))
        .of(AccountField::Field("userEmail"))]),
        TakenIn::Nothing,
    ),
    settings(CONTINUE_HOME, "config.yaml", FileFormat::Models),
    settings(
        CONTINUE_HOME,
        "config.json",
        FileFormat::Json(&[
            Entries::keys(&["models", "*"], "apiKey").from(ProviderField::Field("provider")),
            Entries::keys(&["tabAutocompleteModel"], "apiKey")
                .from(ProviderField::Field("provider")),
        ]),
    ),
    settings(CONTINUE_HOME, ".env", VARIABLES),
];

const COPILOT: ProviderField = ProviderField::Fixed("github-copilot");

/// The file of Copilot's plug-ins for editors; an older one and the present one.
const COPILOT_APPS: FileFormat = FileFormat::Json(&[Entries::keys(&["*"], "oauth_token")
    .from(COPILOT)
    .of(AccountField::Field("user"))]);

const COPILOT_CONFIG: ProgramDir = dir(None, Base::Config, "github-copilot");

pub(super) const GITHUB_COPILOT: &[CredentialFile] = &[
    file(COPILOT_CONFIG, "apps.json", COPILOT_APPS, TakenIn::Add),
    file(COPILOT_CONFIG, "hosts.json", COPILOT_APPS, TakenIn::Add),
    file(
        dir(Some(("COPILOT_HOME", "")), Base::Home, ".copilot"),
        "config.json",
        FileFormat::Json(&[Entries {
            secret: None,
            ..Entries::keys(&["copilot_tokens", "*"], "").from(COPILOT)
        }]),
        TakenIn::Add,
    ),
];

pub(super) const MCP_REMOTE: &[CredentialFile] = &[file(
    dir(Some(("MCP_REMOTE_CONFIG_DIR", "")), Base::Home, ".mcp-auth"),
    "mcp-remote-*/*_tokens.json",
    FileFormat::Json(&[server_login(
        &[],
        ("access_token", "refresh_token"),
        ExpiryField::MsElseAfterWritten("expires_at", "expires_in"),
        "issuer",
    )]),
    TakenIn::Nothing,
)];

pub(super) const ANTHROPIC_SDK: &[CredentialFile] = &[file(
    dir(
        Some(("ANTHROPIC_CONFIG_DIR", "")),
        Base::Home,
        ".config/anthropic",
    ),
    "credentials/*.json",
    FileFormat::Json(&[Entries::logins(
        &[],
        ("access_token", "refresh_token"),
        ExpiryField::Seconds("expires_at"),
    )
    .from(ProviderField::Fixed("anthropic"))]),
    TakenIn::Add,
)];
