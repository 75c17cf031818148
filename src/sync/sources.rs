//! The logins of other programs, read and decided about for one agent.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::notice::Notice;
use super::plan::{Decision, KeepReason, plan_claude_code, plan_codex_cli_beside};
use super::renew::Owned;
use crate::audit::{EventKind, Origin};
use crate::domain::{
    CLAUDE_CLI, CODEX_CLI, Credential, Owner, Section, StoreDoc, UnixMs, normalize_provider,
};
use crate::platform::{Access, FileError, read_trusted};
use crate::sources::claude_code::{ClaudeCodeLogin, Place, macos_service_name, read_claude_code};
use crate::sources::codex_cli::{CodexLogin, read_codex_cli};
use crate::sources::legacy::{LegacyEntry, parse_auth, parse_oauth};
use crate::sources::{FileContent, FileReading, LoginKeychain, Reading, SourceFault};
use crate::vault::ChangeNote;

/// The largest credential file read, in bytes. Claude Code keeps its MCP servers' logins in the same file.
const SOURCE_LIMIT: u64 = 16 << 20;
/// A file that was changed within that time may be half of what it was and half of what it will be, and make sense all the same.
const MOMENT: Duration = Duration::from_millis(20);
/// One that was changed within that time and makes no sense may still be being written.
const FRESH: Duration = Duration::from_secs(1);
/// For how long such a one is looked at again where it makes no sense, and how often.
const WRITING: Duration = Duration::from_millis(100);
const LOOK_AGAIN: Duration = Duration::from_millis(4);
/// An agent's store before `auth-profiles.json`. Source: `spec/compat.md`, Paths.
pub(super) const LEGACY_STORE: &str = "auth.json";

/// Where the other programs keep their logins.
pub struct LoginSources<'a> {
    /// Claude Code's file.
    pub claude_file: PathBuf,
    /// `CLAUDE_CONFIG_DIR` as it is set, which macOS's Keychain item is named after.
    pub claude_config_dir: Option<String>,
    /// The user's name: the Keychain item's account.
    pub user: String,
    /// The Keychain, where there is one.
    pub keychain: Option<&'a dyn LoginKeychain>,
    /// Codex CLI's file.
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

/// What is to be done with one mirroring profile.
#[derive(Debug)]
pub struct Planned {
    /// The profile.
    pub profile: &'static str,
    /// Whose login it mirrors.
    pub origin: Origin,
    /// What to do.
    pub decision: Decision,
}

/// What older stores hold.
#[derive(Debug, Default)]
pub(super) struct Legacy {
    /// Profile ids and entries.
    pub(super) entries: Vec<LegacyEntry>,
    /// The agent's own older store was there and could be read.
    pub(super) has_own: bool,
}

impl Planned {
    /// Whether the profile, or its absence, is left as it is.
    pub(super) fn keeps(&self) -> bool {
        matches!(self.decision, Decision::Keep { .. })
    }

    /// Does it to a document.
    pub(super) fn apply(&self, doc: &mut StoreDoc) {
        if let Decision::Insert { entry } | Decision::Replace { entry, .. } = &self.decision {
            doc.set(
                Section::Profiles,
                self.profile,
                entry.expose_secret().clone(),
            );
        }
    }

    /// What to record.
    pub(super) fn note(&self) -> ChangeNote {
        let (_, why) = self.verdict();
        ChangeNote::new(EventKind::SyncApplied, self.origin).detail("why", json!(why))
    }

    /// Whether there is nothing to decide: the other program is not in use here.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let why = KeepReason::SourceAbsent;
        matches!(&self.decision, Decision::Keep { why: found } if *found == why)
    }

    /// The decision and its reason, in the words of the record.
    #[must_use]
    pub fn verdict(&self) -> (&'static str, &'static str) {
        match &self.decision {
            Decision::Insert { .. } => ("inserted", "absent"),
            Decision::Replace { why, .. } => ("replaced", why.as_str()),
            Decision::Keep { why } => ("kept", why.as_str()),
        }
    }
}

impl LoginSources<'_> {
    /// Reads every source and decides about its profile in `doc`.
    pub(super) fn plan(
        &self,
        doc: &StoreDoc,
        now: UnixMs,
        notices: &mut Vec<Notice>,
    ) -> Vec<Planned> {
        let stored = |profile: &str| doc.get(Section::Profiles, profile);
        let claude = Planned {
            profile: CLAUDE_CLI,
            origin: Origin::ClaudeCode,
            decision: self.claude_code(stored(CLAUDE_CLI), now, notices),
        };
        let codex = self.read_codex_cli();
        let place = || self.codex_file.display().to_string();
        tell(&codex, place, (CODEX_CLI, stored(CODEX_CLI)), notices);
        let others = doc
            .entries(Section::Profiles)
            .filter(|(id, _)| *id != CODEX_CLI)
            .map(|(_, entry)| entry);
        let decision = plan_codex_cli_beside(others, stored(CODEX_CLI), &codex, now);
        vec![
            claude,
            Planned {
                profile: CODEX_CLI,
                origin: Origin::CodexCli,
                decision,
            },
        ]
    }

    /// What the stores of before `auth-profiles.json` hold for the agent in `dir`: its own first, then of the shared one
    /// what its own does not have.
    pub(super) fn legacy(&self, dir: &Path, notices: &mut Vec<Notice>) -> Legacy {
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
        let read = match read_source(path) {
            FileReading::Absent => return None,
            FileReading::Unreadable(kind) => Err(SourceFault::Unreadable(kind)),
            FileReading::Untrusted(refusal) => Err(SourceFault::Untrusted(refusal)),
            FileReading::Content(content) => parse(&content.bytes),
        };
        read.map_err(|fault| {
            let place = path.display().to_string();
            notices.push(Notice::SourceDamaged { place, fault });
        })
        .ok()
    }

    /// Whose logins are, as the sources say now; each is read once, when it is first asked for.
    pub(super) fn owners(&self) -> Owners<'_> {
        Owners {
            sources: self,
            claude: OnceCell::new(),
            codex: OnceCell::new(),
        }
    }

    fn read_claude_code(&self) -> (Place, Reading<ClaudeCodeLogin>) {
        let service = macos_service_name(self.claude_config_dir.as_deref());
        let is_unfinished = |(place, reading): &(Place, Reading<ClaudeCodeLogin>)| matches!((place, reading), (Place::File, Reading::Damaged(fault)) if fault.may_pass());
        once_written(&self.claude_file, is_unfinished, || {
            read_claude_code(self.keychain, &service, &self.user, || {
                read_source(&self.claude_file)
            })
        })
    }

    fn read_codex_cli(&self) -> Reading<CodexLogin> {
        let is_unfinished = |reading: &Reading<CodexLogin>| matches!(reading, Reading::Damaged(fault) if fault.may_pass());
        once_written(&self.codex_file, is_unfinished, || {
            read_codex_cli(read_source(&self.codex_file))
        })
    }

    fn claude_code(
        &self,
        stored: Option<&Value>,
        now: UnixMs,
        notices: &mut Vec<Notice>,
    ) -> Decision {
        let service = macos_service_name(self.claude_config_dir.as_deref());
        let (place, reading) = self.read_claude_code();
        let place = || match place {
            Place::Keychain => format!("the keychain item \"{service}\""),
            Place::File => self.claude_file.display().to_string(),
        };
        tell(&reading, place, (CLAUDE_CLI, stored), notices);
        plan_claude_code(stored, &reading, now)
    }
}

/// Whose logins are.
pub(super) struct Owners<'s> {
    sources: &'s LoginSources<'s>,
    claude: OnceCell<Reading<ClaudeCodeLogin>>,
    codex: OnceCell<Reading<CodexLogin>>,
}

impl Owners<'_> {
    /// Whether another program is logged in with that very login just now, under whatever id it is stored: its refresh token is that
    /// program's to redeem. Where that one's own login cannot be read, it may be. Source: `spec/compat.md`, Sync.
    pub(super) fn of(&self, credential: &Credential<'_>) -> Owned {
        fn owned<L>(reading: &Reading<L>, owner: Owner, is_same: impl Fn(&L) -> bool) -> Owned {
            match reading {
                Reading::Found(login) if is_same(login) => Owned::Anothers(owner),
                Reading::Damaged(_) => Owned::Unknown(owner),
                _ => Owned::Ours,
            }
        }
        match normalize_provider(credential.provider).as_str() {
            "anthropic" => {
                let reading = self
                    .claude
                    .get_or_init(|| self.sources.read_claude_code().1);
                owned(reading, Owner::ClaudeCode, |login| {
                    credential.expose_secret() == Some(login.access.expose_secret())
                })
            }
            "openai-codex" => {
                let reading = self.codex.get_or_init(|| self.sources.read_codex_cli());
                owned(reading, Owner::CodexCli, |login| {
                    credential.expose_refresh() == Some(login.refresh.expose_secret())
                })
            }
            _ => Owned::Ours,
        }
    }
}

/// Reads what is in a file, again and again for a while if it may be being written: it was changed in this very moment, or just now and
/// makes no sense.
pub(super) fn once_written<R>(
    path: &Path,
    is_unfinished: impl Fn(&R) -> bool,
    read: impl Fn() -> R,
) -> R {
    let end = Instant::now() + WRITING;
    loop {
        let reading = read();
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|at| at.elapsed().ok());
        let is_younger = |than: Duration| age.is_some_and(|age| age < than);
        let may_change = is_younger(MOMENT) || (is_younger(FRESH) && is_unfinished(&reading));
        if !may_change || Instant::now() >= end {
            return reading;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Reads a source's file as far as it may be read. What is in one that somebody else can have changed is not this user's login.
pub(super) fn read_source(path: &Path) -> FileReading {
    match read_trusted(path, Access::Read, SOURCE_LIMIT) {
        Err(FileError::Untrusted(refusal)) => FileReading::Untrusted(refusal),
        Ok(None) => FileReading::Absent,
        Ok(Some(contents)) => FileReading::Content(FileContent {
            bytes: contents.bytes,
            modified: contents.modified,
        }),
        Err(FileError::Io { source, .. }) => FileReading::Unreadable(source.kind()),
        Err(FileError::TooLarge { .. }) => {
            FileReading::Unreadable(std::io::ErrorKind::FileTooLarge)
        }
        Err(_) => FileReading::Unreadable(std::io::ErrorKind::InvalidInput),
    }
}

/// A damaged source is always worth a line; a logged-out one only where its login is stored.
fn tell<L>(
    reading: &Reading<L>,
    place: impl Fn() -> String,
    (profile, stored): (&'static str, Option<&Value>),
    notices: &mut Vec<Notice>,
) {
    match reading {
        Reading::Damaged(fault) => notices.push(Notice::SourceDamaged {
            place: place(),
            fault: fault.clone(),
        }),
        Reading::LoggedOut(_) if stored.is_some() => notices.push(Notice::SourceLoggedOut {
            place: place(),
            profile,
        }),
        _ => {}
    }
}
