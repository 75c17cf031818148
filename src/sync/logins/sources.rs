//! The logins of other programs, read and decided about for one agent.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decide::{Planning, Rules, Source, trouble};
use super::planned::Planned;
use super::report::{LoginReport, LoginState};
use super::whole_file::{is_younger, read_once_written, read_source};
use crate::audit::Origin;
use crate::domain::{
    CLAUDE_CLI, CODEX_CLI, CredentialType, Section, StoreDoc, normalize_provider, owner_by_path,
    path_text,
};
use crate::platform::canonicalize;
use crate::sources::claude_code::{
    ClaudeCodeLogin, Place, account, macos_service_name, read_claude_code,
};
use crate::sources::codex_cli::{CodexLogin, read_codex_cli};
use crate::sources::legacy::{LegacyEntry, parse_auth, parse_oauth};
use crate::sources::other_programs::CODEX_KEY;
use crate::sources::{FileReading, LoginKeychain, Reading, SourceFault};
use crate::sync::notice::Notice;
use crate::sync::plan::{
    claude_code_entry, codex_cli_entry, plan_claude_code, plan_codex_cli_among,
};

/// Codex's settings, beside its file.
const CODEX_CONFIG: &str = "config.toml";
/// Claude Code writes its configuration and its login one after the other; one that was written
/// within that time is read again.
const ACCOUNT_FRESH: Duration = Duration::from_secs(60);
/// An agent's store before `auth-profiles.json`. Source: `spec/compat.md`, Paths.
pub(crate) const LEGACY_STORE: &str = "auth.json";

/// Where the other programs keep their logins.
pub struct LoginSources<'a> {
    /// The file with Claude Code's login.
    pub claude_file: PathBuf,
    /// `CLAUDE_CONFIG_DIR` as it is set, which macOS's Keychain item is named after.
    pub claude_config_dir: Option<String>,
    /// The user's name: the Keychain item's account.
    pub user: String,
    /// The Keychain, where there is one.
    pub keychain: Option<&'a dyn LoginKeychain>,
    /// Claude Code's configuration, `.claude.json`, which names the account.
    pub claude_account_file: PathBuf,
    /// The file with Codex CLI's login.
    pub codex_file: PathBuf,
    /// `oauth.json`, which all agents shared before `auth-profiles.json`.
    pub legacy_oauth_file: PathBuf,
}

impl std::fmt::Debug for LoginSources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "LoginSources({}, {})",
            self.claude_file.display(),
            self.codex_file.display()
        )
    }
}

/// What the sources said when they were first read, for as long as one step takes.
#[derive(Default)]
pub(crate) struct Readings {
    claude: OnceCell<(Place, Reading<ClaudeCodeLogin>)>,
    claude_account: OnceCell<Option<String>>,
    codex: OnceCell<Reading<CodexLogin>>,
}

/// The credentials of stores that are older than `auth-profiles.json`.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    /// The ids and entries of the profiles.
    pub(crate) entries: Vec<LegacyEntry>,
    /// The agent's own older store was there and could be read.
    pub(crate) has_own: bool,
}

impl LoginSources<'_> {
    /// Reads every source and decides about its profile in `doc`; returns what became of each
    /// login, too.
    pub(crate) fn plan(
        &self,
        doc: &StoreDoc,
        readings: &Readings,
        planning: &Planning<'_>,
    ) -> (Vec<Planned>, Vec<LoginReport>) {
        let claude = self.claude_code(doc, readings, planning);
        let codex = self.codex_cli(doc, readings, planning);
        let mut planned = Vec::new();
        let mut reports = Vec::new();
        for (decided, report) in [claude, codex] {
            if planning.rules == Rules::Own {
                let elsewhere = planning.elsewhere(&decided, doc);
                reports.extend(report);
                reports.extend(elsewhere);
            } else {
                let is_reported_by_reference = |report: &LoginReport| match report.state {
                    LoginState::NotReadable(_) => true,
                    LoginState::LoggedOut { is_gone } => !is_gone,
                    _ => false,
                };
                reports.extend(report.filter(is_reported_by_reference));
            }
            planned.push(decided);
        }
        (planned, reports)
    }

    /// Reads the stores that are older than `auth-profiles.json` for the agent in `dir`: its own
    /// first, then from the shared one what its own does not have.
    pub(crate) fn legacy(&self, dir: &Path, notices: &mut Vec<Notice>) -> Legacy {
        let own = self.legacy_file(&dir.join(LEGACY_STORE), parse_auth, notices);
        let shared = self.legacy_file(&self.legacy_oauth_file, parse_oauth, notices);
        let has_own = own.is_some();
        let mut entries = own.unwrap_or_default();
        for (id, entry) in shared.unwrap_or_default() {
            if entries.iter().all(|(known, _)| *known != id) {
                entries.push((id, entry));
            }
        }
        Legacy { entries, has_own }
    }

    /// `None` when there is none, or none that can be understood.
    fn legacy_file(
        &self,
        path: &Path,
        parse: fn(&[u8]) -> Result<Vec<LegacyEntry>, SourceFault>,
        notices: &mut Vec<Notice>,
    ) -> Option<Vec<LegacyEntry>> {
        // Pi's own directory can be an agent's, and a link can lead to another program's file.
        let real = canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if owner_by_path(path)
            .or_else(|| owner_by_path(&real))
            .is_some()
        {
            return None;
        }
        let read = match read_source(path) {
            FileReading::Absent => return None,
            FileReading::Unreadable(kind) => Err(SourceFault::Unreadable(kind)),
            FileReading::Untrusted(refusal) => Err(SourceFault::Untrusted(refusal)),
            FileReading::Content(content) => parse(&content.bytes),
        };
        read.map_err(|fault| {
            let place = path_text(path).into_owned();
            notices.push(Notice::SourceDamaged { place, fault });
        })
        .ok()
    }

    /// Reads Claude Code's login from its file or the keychain.
    pub(crate) fn read_claude_code(&self) -> (Place, Reading<ClaudeCodeLogin>) {
        let service = macos_service_name(self.claude_config_dir.as_deref());
        let is_unfinished = |(place, reading): &(Place, Reading<ClaudeCodeLogin>)| {
            let is_partial = matches!(reading, Reading::Damaged(fault) if fault.may_pass());
            matches!(place, Place::File) && is_partial
        };
        read_once_written(&self.claude_file, is_unfinished, || {
            read_claude_code(self.keychain, &service, &self.user, || {
                read_source(&self.claude_file)
            })
        })
    }

    pub(crate) fn read_codex_cli(&self, rules: Rules) -> Reading<CodexLogin> {
        let is_unfinished = |reading: &Reading<CodexLogin>| match reading {
            Reading::Damaged(fault) => fault.may_pass(),
            _ => false,
        };
        let config = self.codex_file.with_file_name(CODEX_CONFIG);
        let read_config = || match rules {
            Rules::Own => read_source(&config),
            Rules::Reference => FileReading::Absent,
        };
        read_once_written(&self.codex_file, is_unfinished, || {
            read_codex_cli(read_source(&self.codex_file), read_config)
        })
    }

    /// The account that Claude Code notes in its configuration, as the vault keeps it.
    fn claude_account(&self, readings: &Readings, planning: &Planning<'_>) -> Option<String> {
        let read = || match read_source(&self.claude_account_file) {
            FileReading::Content(content) => account(&content.bytes),
            _ => None,
        };
        let account = readings.claude_account.get_or_init(read);
        account.as_deref().map(planning.account)
    }

    fn claude_code(
        &self,
        doc: &StoreDoc,
        readings: &Readings,
        planning: &Planning<'_>,
    ) -> (Planned, Option<LoginReport>) {
        let service = macos_service_name(self.claude_config_dir.as_deref());
        let read = || self.read_claude_code();
        let (place, reading) = readings.claude.get_or_init(read);
        let file = path_text(&self.claude_file).into_owned();
        let shown = match place {
            Place::Keychain => format!("the keychain item \"{service}\""),
            Place::File => file.clone(),
        };
        let stored = doc.get(Section::Profiles, CLAUDE_CLI);
        let decision = plan_claude_code(stored, reading, planning.now);
        let (mut expiry, mut entry) = (None, None);
        if let Reading::Found(login) = reading {
            expiry = Some((login.expires, login.login_expires));
            entry = Some(claude_code_entry(login));
        }
        let named = match reading {
            Reading::Found(login) => login.account.as_deref().map(planning.account),
            _ => None,
        };
        let is_asked = named.is_none()
            && expiry.is_some()
            && planning.asks_for_account(CLAUDE_CLI, &file, &decision)
            || is_younger(&self.claude_account_file, ACCOUNT_FRESH);
        let account = named.or_else(|| {
            is_asked
                .then(|| self.claude_account(readings, planning))
                .flatten()
        });
        let source = Source {
            profile: CLAUDE_CLI,
            origin: Origin::ClaudeCode,
            // Both belong to one `CLAUDE_CONFIG_DIR`, which the file's path stands for.
            place: file,
            shown,
            account,
            entry,
            is_served: doc.credentials().any(|(id, credential)| {
                id != CLAUDE_CLI
                    && credential.is_readable()
                    && normalize_provider(credential.provider) == "anthropic"
            }),
            is_key_imported: false,
            expiry,
            trouble: trouble(reading),
        };
        planning.decide(source, stored, decision)
    }

    fn codex_cli(
        &self,
        doc: &StoreDoc,
        readings: &Readings,
        planning: &Planning<'_>,
    ) -> (Planned, Option<LoginReport>) {
        let read = || self.read_codex_cli(planning.rules);
        let reading = readings.codex.get_or_init(read);
        let others = doc
            .entries(Section::Profiles)
            .filter(|(id, _)| *id != CODEX_CLI)
            .map(|(_, entry)| entry);
        let stored = doc.get(Section::Profiles, CODEX_CLI);
        let decision = plan_codex_cli_among(others, stored, reading, planning.now);
        let (mut account, mut entry) = (None, None);
        if let Reading::Found(login) = reading {
            account = login.account.as_deref().map(planning.account);
            entry = Some(codex_cli_entry(login));
        }
        let source = Source {
            profile: CODEX_CLI,
            origin: Origin::CodexCli,
            place: path_text(&self.codex_file).into_owned(),
            shown: path_text(&self.codex_file).into_owned(),
            account,
            entry,
            is_served: doc.credentials().any(|(_, credential)| {
                credential.kind == CredentialType::ApiKey
                    && normalize_provider(credential.provider) == "openai"
            }),
            is_key_imported: doc.credential(CODEX_KEY).is_some(),
            // It is the token's own, or made here from the file's time.
            expiry: None,
            trouble: trouble(reading),
        };
        planning.decide(source, stored, decision)
    }
}
