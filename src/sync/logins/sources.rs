//! The logins of other programs, read and decided about for one agent.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decide::{Planning, Rules, Source};
use super::planned::Planned;
use super::report::{LoginReport, LoginState};
use super::whole_file::{is_younger, read_once_written, read_source};
use crate::config::LoginFiles;
use crate::domain::{Mirror, Owner, Section, StoreDoc, path_text};
use crate::platform::canonicalize;
use crate::sources::legacy::{LegacyEntry, parse_auth, parse_oauth};
use crate::sources::{
    FileReading, Inputs, Login, LoginKeychain, Place, Reading, SourceFault, reader_of,
};
use crate::sync::notice::Notice;
use crate::sync::plan::plan_login_among;

/// Claude Code writes its configuration and its login one after the other; one that was written
/// within that time is read again.
const ACCOUNT_FRESH: Duration = Duration::from_secs(60);
/// An agent's store before `auth-profiles.json`. Source: `spec/compat.md`, Paths.
pub(crate) const LEGACY_STORE: &str = "auth.json";

/// Where the other programs keep their logins.
pub struct LoginSources<'a> {
    /// The files of the programs whose logins are mirrored.
    pub logins: Vec<LoginFiles>,
    /// The user's name: the account of a keychain item.
    pub user: String,
    /// The Keychain, where there is one.
    pub keychain: Option<&'a dyn LoginKeychain>,
    /// `oauth.json`, which all agents shared before `auth-profiles.json`.
    pub legacy_oauth_file: PathBuf,
}

impl std::fmt::Debug for LoginSources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LoginSources({:?})", self.logins)
    }
}

/// What the sources said when they were first read, for as long as one step takes.
#[derive(Default)]
pub(crate) struct Readings(OnceCell<Vec<Cells>>);

/// What one source said.
#[derive(Default)]
pub(super) struct Cells {
    pub(super) login: OnceCell<(Place, Reading<Login>)>,
    account: OnceCell<Option<String>>,
}

impl Readings {
    /// The programs' files, each with what they said.
    pub(super) fn of<'r>(
        &'r self,
        sources: &'r LoginSources<'_>,
    ) -> impl Iterator<Item = (&'r LoginFiles, &'r Cells)> {
        let blank = || sources.logins.iter().map(|_| Cells::default()).collect();
        sources.logins.iter().zip(self.0.get_or_init(blank))
    }
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
        let mut planned = Vec::new();
        let mut reports = Vec::new();
        for (files, cells) in readings.of(self) {
            let Some(mirror) = files.owner.mirror() else {
                continue;
            };
            let (decided, report) = self.decide((files, mirror), (doc, cells), planning);
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
        if Owner::by_path(path).or(Owner::by_path(&real)).is_some() {
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

    /// Reads the login of a program from its file or the keychain.
    pub(super) fn read(&self, files: &LoginFiles, rules: Rules) -> (Place, Reading<Login>) {
        let Some(reader) = reader_of(files.owner) else {
            return (Place::File, Reading::Absent);
        };
        let inputs = Inputs {
            file: &|| read_source(&files.login),
            beside: &|name| match rules {
                Rules::Own => read_source(&files.login.with_file_name(name)),
                Rules::Reference => FileReading::Absent,
            },
            keychain: self.keychain,
            user: &self.user,
            dir: files.dir.as_deref(),
        };
        let is_unfinished = |(place, reading): &(Place, Reading<Login>)| {
            let is_partial = matches!(reading, Reading::Damaged(fault) if fault.may_pass());
            *place == Place::File && is_partial
        };
        read_once_written(&files.login, is_unfinished, || (reader.find)(&inputs))
    }

    fn decide(
        &self,
        (files, mirror): (&LoginFiles, &'static Mirror),
        (doc, cells): (&StoreDoc, &Cells),
        planning: &Planning<'_>,
    ) -> (Planned, Option<LoginReport>) {
        let read = || self.read(files, planning.rules);
        let (place, reading) = cells.login.get_or_init(read);
        let path = path_text(&files.login).into_owned();
        let stored = doc.get(Section::Profiles, mirror.profile);
        let others = doc
            .entries(Section::Profiles)
            .filter(|(id, _)| *id != mirror.profile)
            .map(|(_, entry)| entry);
        let decision = plan_login_among(others, mirror, stored, reading, planning.now);
        let login = reading.found();
        let named = login.and_then(|login| login.account.as_deref());
        let noted = || {
            let file = files.account.as_deref()?;
            let is_asked = login.is_some()
                && planning.asks_for_account(mirror.profile, &path, &decision)
                || is_younger(file, ACCOUNT_FRESH);
            let noted = is_asked.then(|| cells.account.get_or_init(|| account(files.owner, file)));
            noted?.as_deref()
        };
        let (served_by, kind) = mirror.served_by;
        let source = Source {
            owner: files.owner,
            mirror,
            reading,
            shown: match place {
                Place::Keychain(service) => format!("the keychain item \"{service}\""),
                Place::File => path.clone(),
            },
            account: named.or_else(noted).map(planning.account),
            // Both belong to one directory of the program's, which the file's path stands for.
            place: path,
            is_served: doc.credentials().any(|(id, credential)| {
                id != mirror.profile
                    && credential.is_for(served_by)
                    && kind.is_none_or(|kind| kind == credential.kind)
            }),
            is_key_imported: (mirror.key_profile).is_some_and(|id| doc.credential(id).is_some()),
        };
        planning.decide(source, stored, decision)
    }
}

/// The account that a program notes in its account file.
fn account(owner: Owner, file: &Path) -> Option<String> {
    match read_source(file) {
        FileReading::Content(content) => (reader_of(owner)?.account)(&content.bytes),
        _ => None,
    }
}
