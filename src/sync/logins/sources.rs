//! The logins of other programs, read and decided about for one agent.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::audit::{EventKind, Origin};
use crate::domain::{
    AgentName, CLAUDE_CLI, CODEX_CLI, Credential, CredentialType, Expiry, ExpiryFault, Owner,
    SecretJson, Section, StoreDoc, UnixMs, from_outside, normalize_provider, owner_by_path,
    path_of_text, path_text,
};
use crate::platform::{Access, Cause, FileError, canonicalize, read_trusted};
use crate::sources::claude_code::{
    ClaudeCodeLogin, Place, account, macos_service_name, read_claude_code,
};
use crate::sources::codex_cli::{CodexLogin, read_codex_cli};
use crate::sources::legacy::{LegacyEntry, parse_auth, parse_oauth};
use crate::sources::other_programs::CODEX_KEY;
use crate::sources::{FileContent, FileReading, LoggedOut, LoginKeychain, Reading, SourceFault};
use crate::sync::logins::report::{LoginReport, LoginState, SourceNote};
use crate::sync::notice::Notice;
use crate::sync::plan::{
    Decision, KeepReason, Relation, ReplaceReason, after_logout, by_account, by_expiry, chosen,
    claude_code_entry, codex_cli_entry, plan_claude_code, plan_codex_cli_beside,
};
use crate::sync::refresh::Owned;
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
/// Codex's settings, beside its file.
const CODEX_CONFIG: &str = "config.toml";
/// Claude Code writes its configuration and its login one after the other; one that was written within that time is read again.
const ACCOUNT_FRESH: Duration = Duration::from_secs(60);
/// An agent's store before `auth-profiles.json`. Source: `spec/compat.md`, Paths.
pub(crate) const LEGACY_STORE: &str = "auth.json";

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
    /// Claude Code's configuration, `.claude.json`, which names the account.
    pub claude_account_file: PathBuf,
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
    /// The path of the source's file, also where the login was in the keychain.
    pub place: String,
    /// A keyed fingerprint of its account, where that was asked for and is known.
    pub(crate) account: Option<String>,
}

/// What the sources said when they were first asked, for as long as one step takes.
#[derive(Default)]
pub(crate) struct Readings {
    claude: OnceCell<(Place, Reading<ClaudeCodeLogin>)>,
    claude_account: OnceCell<Option<String>>,
    codex: OnceCell<Reading<CodexLogin>>,
}

/// What older stores hold.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    /// Profile ids and entries.
    pub(crate) entries: Vec<LegacyEntry>,
    /// The agent's own older store was there and could be read.
    pub(crate) has_own: bool,
}

impl Planned {
    /// Whether the profile, or its absence, is left as it is.
    pub(crate) fn keeps(&self) -> bool {
        matches!(self.decision, Decision::Keep { .. })
    }

    /// Does it to a document.
    pub(crate) fn apply(&self, doc: &mut StoreDoc) {
        if let Decision::Insert { entry } | Decision::Replace { entry, .. } = &self.decision {
            doc.set(
                Section::Profiles,
                self.profile,
                entry.expose_secret().clone(),
            );
        }
    }

    /// What to record.
    pub(crate) fn note(&self) -> ChangeNote {
        let (_, why) = self.verdict();
        // `sync.applied` with another token is a refresh by the login's owner; this is none.
        if self.changes_account() {
            return ChangeNote::new(EventKind::ProfileUpdated, self.origin)
                .detail("by", json!(why))
                .detail("place", json!(from_outside(&self.place)));
        }
        ChangeNote::new(EventKind::SyncApplied, self.origin).detail("why", json!(why))
    }

    /// Whether a login takes the place of one that is, or may be, another account's.
    #[must_use]
    pub fn changes_account(&self) -> bool {
        matches!(
            &self.decision,
            Decision::Replace {
                why: ReplaceReason::OtherAccount
                    | ReplaceReason::OtherPlace
                    | ReplaceReason::Chosen,
                ..
            }
        )
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
    /// Reads every source and decides about its profile in `doc`; what became of each login comes with it.
    pub(crate) fn plan(
        &self,
        doc: &StoreDoc,
        planning: &Planning<'_>,
    ) -> (Vec<Planned>, Vec<LoginReport>) {
        let claude = self.claude_code(doc, planning);
        let codex = self.codex_cli(doc, planning);
        let mut planned = Vec::new();
        let mut reports = Vec::new();
        for (decided, report) in [claude, codex] {
            if planning.rules == Rules::Own {
                let elsewhere = planning.elsewhere(&decided, doc);
                reports.extend(report);
                reports.extend(elsewhere);
            } else {
                let is_the_reference_s = |report: &LoginReport| match report.state {
                    LoginState::NotReadable(_) => true,
                    LoginState::LoggedOut { is_gone } => !is_gone,
                    _ => false,
                };
                reports.extend(report.filter(is_the_reference_s));
            }
            planned.push(decided);
        }
        (planned, reports)
    }

    /// What the stores of before `auth-profiles.json` hold for the agent in `dir`: its own first, then of the shared one
    /// what its own does not have.
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

    /// Whose logins are, as the sources say now; each is read once, when it is first asked for.
    pub(crate) fn owners(&self) -> Owners<'_> {
        Owners {
            sources: self,
            claude: OnceCell::new(),
            codex: OnceCell::new(),
        }
    }

    /// Claude Code's login.
    fn read_claude_code(&self) -> (Place, Reading<ClaudeCodeLogin>) {
        let service = macos_service_name(self.claude_config_dir.as_deref());
        let is_unfinished = |(place, reading): &(Place, Reading<ClaudeCodeLogin>)| matches!((place, reading), (Place::File, Reading::Damaged(fault)) if fault.may_pass());
        once_written(&self.claude_file, is_unfinished, || {
            read_claude_code(self.keychain, &service, &self.user, || {
                read_source(&self.claude_file)
            })
        })
    }

    fn read_codex_cli(&self, rules: Rules) -> Reading<CodexLogin> {
        let is_unfinished = |reading: &Reading<CodexLogin>| matches!(reading, Reading::Damaged(fault) if fault.may_pass());
        let config = self.codex_file.with_file_name(CODEX_CONFIG);
        let read_config = || match rules {
            Rules::Own => read_source(&config),
            Rules::Reference => FileReading::Absent,
        };
        once_written(&self.codex_file, is_unfinished, || {
            read_codex_cli(read_source(&self.codex_file), read_config)
        })
    }

    /// The account that Claude Code notes in its configuration, as the vault keeps it.
    fn claude_account(&self, planning: &Planning<'_>) -> Option<String> {
        let read = || match read_source(&self.claude_account_file) {
            FileReading::Content(content) => account(&content.bytes),
            _ => None,
        };
        let account = planning.readings.claude_account.get_or_init(read);
        account.as_deref().map(planning.account)
    }

    fn claude_code(
        &self,
        doc: &StoreDoc,
        planning: &Planning<'_>,
    ) -> (Planned, Option<LoginReport>) {
        let service = macos_service_name(self.claude_config_dir.as_deref());
        let read = || self.read_claude_code();
        let (place, reading) = planning.readings.claude.get_or_init(read);
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
        let account = named.or_else(|| is_asked.then(|| self.claude_account(planning)).flatten());
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

    fn codex_cli(&self, doc: &StoreDoc, planning: &Planning<'_>) -> (Planned, Option<LoginReport>) {
        let read = || self.read_codex_cli(planning.rules);
        let reading = planning.readings.codex.get_or_init(read);
        let others = doc
            .entries(Section::Profiles)
            .filter(|(id, _)| *id != CODEX_CLI)
            .map(|(_, entry)| entry);
        let stored = doc.get(Section::Profiles, CODEX_CLI);
        let decision = plan_codex_cli_beside(others, stored, reading, planning.now);
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

/// Which rules decide about another program's login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// The reference's alone (`spec/compat.md`, Sync), as under the name `clawdbot`.
    Reference,
    /// This program's: the reference's, and no other account's login passes for a refresh.
    Own,
}

/// What deciding about sources goes by, besides what they say.
pub(crate) struct Planning<'p> {
    pub(crate) readings: &'p Readings,
    pub(crate) agent: &'p AgentName,
    pub(crate) notes: &'p BTreeMap<String, SourceNote>,
    /// Makes the fingerprint of an account.
    pub(crate) account: &'p dyn Fn(&str) -> String,
    pub(crate) rules: Rules,
    /// The profile for which the user chose the source's login.
    pub(crate) adopts: Option<&'p str>,
    pub(crate) now: UnixMs,
}

/// What is the matter with a source that holds no usable login.
enum SourceTrouble {
    Absent,
    LoggedOut(LoggedOut),
    Damaged(SourceFault),
}

fn trouble<L>(reading: &Reading<L>) -> Option<SourceTrouble> {
    match reading {
        Reading::Absent => Some(SourceTrouble::Absent),
        Reading::LoggedOut(why) => Some(SourceTrouble::LoggedOut(*why)),
        Reading::Damaged(fault) => Some(SourceTrouble::Damaged(fault.clone())),
        Reading::Found(_) => None,
    }
}

/// A source that was read.
struct Source {
    profile: &'static str,
    origin: Origin,
    /// What distinguishes it from others: its file's path.
    place: String,
    /// Where its login was found, for a person: the file, or the keychain item.
    shown: String,
    account: Option<String>,
    /// The entry that its login is stored as.
    entry: Option<SecretJson>,
    /// Whether the agent has another credential for what the program is used for.
    is_served: bool,
    /// Whether the program's API key was imported. Codex CLI only.
    is_key_imported: bool,
    /// When the token and the login itself expire, where the source says so.
    expiry: Option<(Expiry, Option<Expiry>)>,
    trouble: Option<SourceTrouble>,
}

impl Planning<'_> {
    fn note(&self, profile: &str) -> Option<&SourceNote> {
        self.notes.get(profile)
    }

    /// Whether the account has to be known: the login differs from the stored one, or it is not
    /// known yet whose the stored one is.
    fn asks_for_account(&self, profile: &str, place: &str, decision: &Decision) -> bool {
        let is_same = matches!(
            decision,
            Decision::Keep {
                why: KeepReason::Same | KeepReason::SameLogin
            }
        );
        let from = self.note(profile).and_then(|note| note.from.as_ref());
        let is_known = from.is_some_and(|from| from.place != place || from.account.is_some());
        !is_same || !is_known
    }

    /// How a source's login relates to the stored one.
    fn relation(&self, source: &Source) -> Relation {
        let from = self
            .note(source.profile)
            .and_then(|note| note.from.as_ref());
        let Some(from) = from else {
            return Relation::Same;
        };
        let is_here = from.place == source.place;
        match is_same_account(from.account.as_deref(), source.account.as_deref()) {
            Some(true) => Relation::Same,
            Some(false) if is_here => Relation::OtherAccount,
            Some(false) => Relation::OtherAccountElsewhere {
                is_origin_there: path_of_text(&from.place).exists(),
            },
            None if is_here => Relation::Same,
            None => Relation::Unknown,
        }
    }

    /// Whether the stored login came from a source that was logged out when it was read last.
    fn is_back(&self, source: &Source) -> bool {
        self.note(source.profile)
            .is_some_and(|note| note.is_from(&source.place) && note.is_logged_out(&source.place))
    }

    /// What is wrong with the expiry that a source notes.
    fn expiry_fault(&self, source: &Source) -> Option<ExpiryFault> {
        let (expires, _) = source.expiry?;
        ExpiryFault::of_ms(expires.ms(), self.now)
    }

    fn decide(
        &self,
        mut source: Source,
        stored: Option<&Value>,
        decision: Decision,
    ) -> (Planned, Option<LoginReport>) {
        let decision = match self.rules {
            Rules::Reference => decision,
            Rules::Own if self.adopts == Some(source.profile) => {
                let is_stored_already = matches!(
                    decision,
                    Decision::Keep {
                        why: KeepReason::Same | KeepReason::SameLogin
                    }
                );
                let rejected = source.entry.take().filter(|_| !is_stored_already);
                chosen(decision, rejected)
            }
            Rules::Own => {
                let faults = (
                    stored.and_then(|stored| ExpiryFault::of(&Credential::of(stored), self.now)),
                    self.expiry_fault(&source),
                );
                let entry = source.entry.take();
                let decision = match self.is_back(&source) && faults.1.is_none() {
                    true => after_logout(decision, entry),
                    false => by_expiry(decision, faults, entry),
                };
                by_account(decision, self.relation(&source))
            }
        };
        let report = self.report(&source, stored, &decision);
        let planned = Planned {
            profile: source.profile,
            origin: source.origin,
            decision,
            place: source.place,
            account: source.account,
        };
        (planned, report)
    }

    /// What became of a source's login; nothing where the program is not in use and never was.
    fn report(
        &self,
        source: &Source,
        stored: Option<&Value>,
        decision: &Decision,
    ) -> Option<LoginReport> {
        let note = self.note(source.profile);
        let was_here = note.is_some_and(|note| note.is_from(&source.place));
        let has_stored = stored.is_some();
        let state = match (&source.trouble, decision) {
            (Some(SourceTrouble::Damaged(fault)), _) => LoginState::NotReadable(fault.clone()),
            (Some(SourceTrouble::Absent), _) if was_here && has_stored => {
                LoginState::LoggedOut { is_gone: true }
            }
            (Some(SourceTrouble::Absent), _) => return None,
            (Some(SourceTrouble::LoggedOut(why)), _) => match why {
                LoggedOut::NoExpiry(fault) => LoginState::OddExpiry(*fault),
                LoggedOut::NoRefreshToken => LoginState::NoRefreshToken,
                LoggedOut::ApiKeyMode if source.is_key_imported => return None,
                LoggedOut::ApiKeyMode => LoginState::ApiKeyMode,
                LoggedOut::InKeyring => LoginState::InKeyring,
                // A stub in another directory is no logout of the login that is stored.
                _ if has_stored && (was_here || note.is_none_or(|note| note.from.is_none())) => {
                    LoginState::LoggedOut { is_gone: false }
                }
                _ if !has_stored && !source.is_served => LoginState::NoLogin,
                _ => return None,
            },
            (None, decision) => {
                let fault = self.expiry_fault(source);
                let unannounced = note.and_then(|note| note.unannounced.as_deref());
                match (fault, decision) {
                    (Some(fault), _) => LoginState::OddExpiry(fault),
                    (None, Decision::Keep { why }) => match (why, unannounced) {
                        (KeepReason::OtherAccount, _) => LoginState::OtherAccount,
                        (KeepReason::OtherPlace, _) => LoginState::OtherPlace,
                        (KeepReason::StoredLater, _) => LoginState::EarlierExpiry,
                        (_, Some(why)) if has_stored => LoginState::AccountChanged {
                            is_known: why == ReplaceReason::OtherAccount.as_str(),
                        },
                        _ => LoginState::Usable,
                    },
                    (None, _) => LoginState::Usable,
                }
            }
        };
        let is_kept = match decision {
            Decision::Keep { why } => note.is_some_and(|note| {
                note.is_kept(&source.place, why.as_str(), source.account.as_ref())
            }),
            _ => false,
        };
        let is_in_use = matches!(
            state,
            LoginState::Usable | LoginState::AccountChanged { .. } | LoginState::OddExpiry(_)
        );
        let login_expires = source.expiry.and_then(|(_, login)| login);
        let is_change = matches!(state, LoginState::AccountChanged { .. });
        Some(LoginReport {
            is_kept,
            is_warned: is_change && note.is_some_and(|note| note.is_warned),
            is_elsewhere: false,
            is_served: source.is_served,
            login_expires: login_expires
                .filter(|_| is_in_use)
                .map(|at| UnixMs(at.floor_ms())),
            ..self.blank(source.profile, &source.shown, state, stored)
        })
    }

    fn blank(
        &self,
        profile: &'static str,
        place: &str,
        state: LoginState,
        stored: Option<&Value>,
    ) -> LoginReport {
        let until = stored.and_then(|stored| Credential::of(stored).expiry());
        LoginReport {
            agent: self.agent.clone(),
            profile,
            place: place.to_owned(),
            state,
            stored_until: until
                .filter(|at| at.ms() > 0.0)
                .map(|at| UnixMs(at.floor_ms())),
            is_stored: stored.is_some(),
            is_kept: false,
            is_warned: false,
            is_elsewhere: true,
            is_served: false,
            login_expires: None,
        }
    }

    /// What is noted of the other places where the same program was found logged in.
    fn elsewhere(&self, planned: &Planned, doc: &StoreDoc) -> Vec<LoginReport> {
        let stored = doc.get(Section::Profiles, planned.profile);
        let Some(note) = self.note(planned.profile).filter(|_| stored.is_some()) else {
            return Vec::new();
        };
        let others = note.elsewhere(&planned.place);
        let report = |(place, state, is_kept): (&str, LoginState, bool)| LoginReport {
            is_kept,
            ..self.blank(planned.profile, place, state, stored)
        };
        others.map(report).collect()
    }
}

/// Whether two accounts are one, by the fingerprints of the person and, where both name one, of the
/// organization; `None` where one is not known, or they were made with different keys.
pub(crate) fn is_same_account(one: Option<&str>, other: Option<&str>) -> Option<bool> {
    let key = |print: &str| Some(print.split_once(':')?.0.to_owned());
    let (one, other) = (one?, other?);
    let mut is_same = true;
    for (one, other) in one.split(' ').zip(other.split(' ')) {
        if key(one) != key(other) {
            return None;
        }
        is_same &= one == other;
    }
    Some(is_same)
}

/// Whose logins are.
pub(crate) struct Owners<'s> {
    sources: &'s LoginSources<'s>,
    claude: OnceCell<Reading<ClaudeCodeLogin>>,
    codex: OnceCell<Reading<CodexLogin>>,
}

impl Owners<'_> {
    /// Whether another program is logged in with that very login just now, under whatever id it is stored: its refresh token is that
    /// program's to redeem. Where that one's own login cannot be read, it may be. Source: `spec/compat.md`, Sync.
    pub(crate) fn of(&self, credential: &Credential<'_>) -> Owned {
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
                let reading = self.codex.get_or_init(|| {
                    // Whatever the settings say, a login in the file may be Codex's.
                    self.sources.read_codex_cli(Rules::Reference)
                });
                owned(reading, Owner::CodexCli, |login| {
                    credential.expose_refresh() == Some(login.refresh.expose_secret())
                })
            }
            _ => Owned::Ours,
        }
    }
}

/// Reads what is in a file, again and again for a while if it may be being written: it was changed in this very moment, or just now and
/// makes no sense. Of a file that is rewritten all the time, the last reading that made sense counts.
pub(crate) fn once_written<R>(
    path: &Path,
    is_unfinished: impl Fn(&R) -> bool,
    read: impl Fn() -> R,
) -> R {
    let end = Instant::now() + WRITING;
    let mut whole = None;
    loop {
        let reading = read();
        let is_unfinished = is_unfinished(&reading);
        let may_change = is_younger(path, MOMENT) || (is_younger(path, FRESH) && is_unfinished);
        if !may_change {
            return reading;
        }
        if Instant::now() >= end {
            return match whole {
                Some(whole) if is_unfinished => whole,
                _ => reading,
            };
        }
        if !is_unfinished {
            whole = Some(reading);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Whether a file was changed within that time.
fn is_younger(path: &Path, than: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age < than)
}

/// Whether a file cannot be read while another program holds it open, as happens on Windows.
fn is_in_use(error: &std::io::Error, path: &Path) -> bool {
    cfg!(windows) && matches!(Cause::of(error, path), Some(Cause::InUse { .. }))
}

/// Reads a source's file as far as it may be read. What is in one that somebody else can have changed is not this user's login.
pub(crate) fn read_source(path: &Path) -> FileReading {
    match read_trusted(path, Access::Read, SOURCE_LIMIT) {
        Err(FileError::Untrusted(refusal)) => FileReading::Untrusted(refusal),
        Ok(None) => FileReading::Absent,
        Ok(Some(contents)) => FileReading::Content(FileContent {
            bytes: contents.bytes,
            modified: contents.modified,
        }),
        Err(FileError::Io { source, path, .. }) if is_in_use(&source, &path) => {
            FileReading::Unreadable(std::io::ErrorKind::ResourceBusy)
        }
        Err(FileError::Io { source, .. }) => FileReading::Unreadable(source.kind()),
        Err(FileError::TooLarge { .. }) => {
            FileReading::Unreadable(std::io::ErrorKind::FileTooLarge)
        }
        Err(_) if path.is_dir() => FileReading::Unreadable(std::io::ErrorKind::IsADirectory),
        Err(_) => FileReading::Unreadable(std::io::ErrorKind::InvalidInput),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::{is_same_account, once_written};

    #[test]
    fn of_a_file_that_is_rewritten_all_the_time_the_last_whole_reading_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("login");
        let count = Cell::new(0);
        let read_until = |last_whole: u32| {
            count.set(0);
            once_written(&path, Result::is_err, || {
                fs::write(&path, "").unwrap();
                count.set(count.get() + 1);
                (count.get() <= last_whole)
                    .then(|| count.get())
                    .ok_or(count.get())
            })
        };
        assert_eq!(read_until(2), Ok(2));
        assert!(count.get() > 2, "it was read again");
        assert_eq!(read_until(0), Err(count.get()));
    }

    #[test]
    fn accounts_are_compared_as_far_as_they_are_known() {
        for (one, other, want) in [
            (Some("1:a"), Some("1:a"), Some(true)),
            (Some("1:a"), Some("1:b"), Some(false)),
            (Some("1:a"), Some("2:b"), None),
            (Some("1:a"), None, None),
            (Some("1:a"), Some("1:a 1:o"), Some(true)),
            (Some("1:a 1:o"), Some("1:a 1:p"), Some(false)),
        ] {
            assert_eq!(is_same_account(one, other), want, "{one:?} {other:?}");
        }
    }
}
