//! The credentials of AI programs on this machine, whichever program keeps them: found and never
//! changed.
//!
//! What is known of each program is in `PROGRAMS` (`domain::owner`): where its files are, and what
//! of each is read. A file is opened as other programs' files always are: by whom it can have been
//! changed is checked, links are followed one checked step at a time, a FIFO is not waited for, and
//! no file is larger than is read. What cannot be read is named, and the rest goes on.
//!
//! A secret stays in a [`Discovered`], to be compared. Nothing here shows one; a name that looks
//! like a secret is left out.

mod advice;
mod compare;
mod document;
mod entry;
mod lines;
mod places;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

pub use self::advice::{AdviceContext, TakeIn};
pub use self::compare::{InVault, VaultSecrets};
use self::document::read_entries;
use self::entry::Entry;
use self::lines::{Line, read_lines, read_models};
use crate::config::{Env, Layout, parse_value};
use crate::domain::{
    CredentialFile, CredentialType, Expiry, FileFormat, Owner, PROGRAMS, Program, SecretJson,
    TakenIn, is_own_reference, known_secret_in,
};
use crate::platform::{Permissions, is_same_file};
use crate::sources::codex_cli::is_in_keyring;
use crate::sources::{FileReading, SourceFault, read_json};
use crate::sync::read_source;
use crate::vault::{ForeignDatabase, ForeignFault};

/// A credential of a program.
#[derive(Debug)]
pub struct Discovered {
    /// The program that keeps it.
    pub program: &'static Program,
    /// The file in which it is; for one in the keyring, the file that says so.
    pub path: PathBuf,
    /// Its name there: a provider's, a profile's, a server's, a variable's.
    pub name: String,
    /// The provider that it is for, if it is known.
    pub provider: Option<String>,
    /// Whether it is for a server of the Model Context Protocol, not for a provider of models.
    pub is_for_server: bool,
    /// The account, if the file names it.
    pub account: Option<String>,
    /// The type of the credential.
    pub kind: CredentialType,
    /// When it expires, if that is known.
    pub expires: Option<Expiry>,
    /// When the login itself expires, so that a person has to log in again.
    pub login_expires: Option<Expiry>,
    /// How it is kept.
    pub kept: Kept,
    /// The permissions of the file, where files have any.
    pub permissions: Option<Permissions>,
    /// The mode that the program gives the file; 0 if it leaves that to the umask.
    pub expected_mode: u32,
    taken_in: TakenIn,
    secret: Option<SecretString>,
    refresh: Option<SecretString>,
}

/// How a credential is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In plain text.
    Plain,
    /// The file has a command or the name of a variable in its place.
    Elsewhere,
    /// The file has a command in its place that asks clawkeep for it.
    Clawkeep,
    /// In the system's keyring.
    Keyring,
}

impl Kept {
    /// Returns the name in what is printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Elsewhere => "elsewhere",
            Self::Clawkeep => "clawkeep",
            Self::Keyring => "keyring",
        }
    }
}

impl Discovered {
    /// The program that refreshes it; `None` if nothing does.
    #[must_use]
    pub fn refreshed_by(&self) -> Option<Owner> {
        let is_refreshed = self.refresh.is_some() || self.kept == Kept::Keyring;
        let owner = match self.program.owner {
            Owner::Gateway => Owner::of(&self.name),
            owner => owner,
        };
        is_refreshed.then_some(owner)
    }

    /// Whether users other than its owner can read it in plain text.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let can_read = |permissions: Permissions| permissions.others & 0o044 != 0;
        self.kept == Kept::Plain
            && self.permissions.is_some_and(can_read)
            && is_reachable_by_others(&self.path)
    }

    /// Whether it is in a gateway's store, of which clawkeep itself writes copies.
    #[must_use]
    pub fn is_in_store(&self) -> bool {
        self.program.owner == Owner::Gateway
    }

    /// Whether it is a login, with a refresh token that one program alone may redeem.
    #[must_use]
    pub fn is_login(&self) -> bool {
        self.refresh.is_some()
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The credentials, by program in the order of the table.
    pub credentials: Vec<Discovered>,
    /// The files that cannot be read.
    pub skipped: Vec<Skipped>,
}

impl Found {
    /// Notes what cannot be read, once.
    fn skip(&mut self, owner: Owner, path: &Path, why: String) {
        let path = path.to_owned();
        let skipped = Skipped { owner, path, why };
        if !self.skipped.contains(&skipped) {
            self.skipped.push(skipped);
        }
    }
}

/// A file with credentials that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The program that keeps it.
    pub owner: Owner,
    /// The file.
    pub path: PathBuf,
    /// Why, as a sentence about it without its end. Never quotes the file.
    pub why: String,
}

/// Finds the credentials of every program that is known.
#[must_use]
pub fn discover(layout: &Layout, env: &Env) -> Found {
    let mut found = Found::default();
    for program in PROGRAMS {
        discover_of(program, layout, env, &mut found);
    }
    found
}

fn discover_of(program: &'static Program, layout: &Layout, env: &Env, found: &mut Found) {
    let before = found.credentials.len();
    // The files that settings name: one that is in the table, too, is read once.
    let mut named: Vec<PathBuf> = Vec::new();
    for file in program.credentials {
        let dir = layout.program_dir(env, &file.dir);
        let expanded = places::expand(&dir, file.name);
        for (path, why) in expanded.skipped {
            found.skip(program.owner, &path, why);
        }
        // A gateway's directory may be OpenClaw's.
        let known = &found.credentials;
        let is_known = |path: &Path| known.iter().any(|credential| credential.path == path);
        let is_new = |path: &PathBuf| program.owner != Owner::Gateway || !is_known(path);
        let paths: Vec<_> = expanded.paths.into_iter().filter(is_new).collect();
        for path in paths {
            if named.iter().any(|named| is_same_file(named, &path)) {
                continue;
            }
            let reader = FileReader {
                program,
                file,
                path: &path,
                layout,
            };
            for other in reader.read(found) {
                let is_known = named.iter().any(|named| is_same_file(named, &other));
                if is_known || is_same_file(&path, &other) {
                    continue;
                }
                let reader = FileReader {
                    path: &other,
                    ..reader
                };
                // What such a file names in turn is no setting of the program.
                reader.read(found);
                named.push(other);
            }
        }
    }
    if program.owner == Owner::CodexCli
        && let Some(login) = layout.login(program.owner)
        && let Some(config) = keyring_settings(login)
    {
        // A file beside it is an older login, which Codex does not use any more.
        let mut index = 0;
        found.credentials.retain(|credential| {
            index += 1;
            index <= before || credential.path != login
        });
        found.credentials.push(in_keyring(program, config));
    }
}

/// Codex CLI's settings, if they say that its login is in the keyring.
fn keyring_settings(login: &Path) -> Option<PathBuf> {
    let path = login.with_file_name("config.toml");
    match read_source(&path) {
        FileReading::Content(content) if is_in_keyring(&content.bytes) => Some(path),
        _ => None,
    }
}

fn in_keyring(program: &'static Program, path: PathBuf) -> Discovered {
    let provider = program.mirror.as_ref().map(|mirror| mirror.provider);
    Discovered {
        program,
        permissions: Permissions::of(&path),
        path,
        name: provider.unwrap_or(program.id).to_owned(),
        provider: provider.map(str::to_owned),
        is_for_server: false,
        account: None,
        kind: CredentialType::OAuth,
        expires: None,
        login_expires: None,
        kept: Kept::Keyring,
        expected_mode: 0,
        taken_in: TakenIn::Nothing,
        secret: None,
        refresh: None,
    }
}

struct FileReader<'f> {
    program: &'static Program,
    file: &'static CredentialFile,
    path: &'f Path,
    layout: &'f Layout,
}

impl FileReader<'_> {
    /// Reads the file, and returns the files that it names.
    fn read(&self, found: &mut Found) -> Vec<PathBuf> {
        let mut named = Vec::new();
        match self.entries(&mut named, found) {
            Ok(entries) => {
                let permissions = Permissions::of(self.path);
                let made = entries
                    .into_iter()
                    .map(|entry| self.made(entry, permissions));
                found.credentials.extend(made);
            }
            Err(why) => found.skip(self.program.owner, self.path, why),
        }
        named
    }

    fn entries(&self, named: &mut Vec<PathBuf>, found: &mut Found) -> Result<Vec<Entry>, String> {
        match fs::symlink_metadata(self.path) {
            Err(error) if places::is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(format!("it cannot be read: {}", error.kind())),
            Ok(_) => {}
        }
        if let FileFormat::Database(texts) = self.file.format {
            let read = self.of_database(texts);
            let (entries, left_out) = read.map_err(|fault| fault.to_string())?;
            if left_out > 0 {
                let rows = if left_out == 1 {
                    "row has"
                } else {
                    "rows have"
                };
                let why = format!("{left_out} {rows} another form and nothing of it is read");
                found.skip(self.program.owner, self.path, why);
            }
            return Ok(entries);
        }
        let content = match read_source(self.path) {
            FileReading::Content(content) => content,
            FileReading::Absent => return Ok(Vec::new()),
            FileReading::Unreadable(kind) => return Err(format!("it cannot be read: {kind}")),
            FileReading::Untrusted(refusal) => return Err(refusal.to_string()),
        };
        let text = || String::from_utf8_lossy(&content.bytes);
        let read = match self.file.format {
            FileFormat::Json(entries) => {
                let document = self.document(&content.bytes)?;
                let origin = self.origin(content.modified);
                let reader = entries.iter();
                reader
                    .flat_map(|entries| read_entries(&document, entries, &origin))
                    .collect()
            }
            FileFormat::Models => read_models(&text()),
            FileFormat::Variables { files } => {
                let mut read = Vec::new();
                for line in read_lines(&text(), files) {
                    match line {
                        Line::Entry(entry) => read.push(*entry),
                        Line::File(path) => named.push(self.layout.user_path(Path::new(&path))),
                    }
                }
                read
            }
            FileFormat::Database(_) => Vec::new(),
        };
        Ok(read)
    }

    /// The document, also if it has comments where people write the file.
    fn document(&self, bytes: &[u8]) -> Result<SecretJson, String> {
        read_json(bytes).or_else(|fault| {
            let is_commented = matches!(fault, SourceFault::NotJson { .. }) && self.file.mode == 0;
            let text = std::str::from_utf8(bytes).ok().filter(|_| is_commented);
            let value = text.and_then(|text| parse_value(text, self.path).ok());
            value.map(SecretJson::new).ok_or_else(|| fault.to_string())
        })
    }

    fn origin(&self, modified: SystemTime) -> document::Origin<'_> {
        let is_one_of_several = self.file.name.contains('*');
        let stem = self.path.file_stem().filter(|_| is_one_of_several);
        let stem = stem.unwrap_or_default().to_string_lossy();
        document::Origin {
            account_file: self.account_file(),
            path: self.path,
            name: stem.trim_end_matches("_tokens").to_owned(),
            modified,
        }
    }

    /// The file that names the account of a login that is mirrored.
    fn account_file(&self) -> Option<&Path> {
        let files = self.layout.logins.iter();
        let own = files.filter(|files| files.owner == self.program.owner);
        own.filter_map(|files| files.account.as_deref()).next()
    }

    /// What is in the database, and how many rows have another form.
    fn of_database(
        &self,
        texts: &[crate::domain::Texts],
    ) -> Result<(Vec<Entry>, usize), ForeignFault> {
        let (mut read, mut left_out) = (Vec::new(), 0);
        let database = match ForeignDatabase::open(self.path) {
            Err(ForeignFault::Absent) => return Ok((read, left_out)),
            database => database?,
        };
        for wanted in texts {
            let rows = database.texts(wanted.query)?;
            left_out += rows.without_text;
            for (name, text) in rows.texts {
                match wanted.entries {
                    None => read.extend(lines::variable(&name, &text)),
                    Some(entries) => {
                        let Ok(document) = read_json(text.as_bytes()) else {
                            left_out += 1;
                            continue;
                        };
                        let origin = self.origin(SystemTime::UNIX_EPOCH);
                        let entries = entries.iter();
                        read.extend(
                            entries.flat_map(|entries| read_entries(&document, entries, &origin)),
                        );
                    }
                }
            }
        }
        Ok((read, left_out))
    }

    fn made(&self, entry: Entry, permissions: Option<Permissions>) -> Discovered {
        let secrets = [Some(&entry.secret), entry.refresh.as_ref()];
        let shown = |name: String| harmless(name, secrets);
        Discovered {
            program: self.program,
            path: self.path.to_owned(),
            name: shown(entry.name).unwrap_or_else(|| "(hidden)".to_owned()),
            provider: entry.provider.and_then(shown),
            is_for_server: entry.is_for_server,
            account: entry.account.and_then(shown),
            kind: entry.kind,
            expires: entry.expires,
            login_expires: entry.login_expires,
            kept: match entry.is_reference {
                true if is_own_reference(entry.secret.expose_secret()) => Kept::Clawkeep,
                true => Kept::Elsewhere,
                false => Kept::Plain,
            },
            permissions,
            expected_mode: self.file.mode,
            taken_in: self.file.taken_in,
            secret: (!entry.is_reference).then_some(entry.secret),
            refresh: entry.refresh,
        }
    }
}

/// A name from a file, unless a secret is in it, or it is a large part of its own secret.
fn harmless(name: String, secrets: [Option<&SecretString>; 2]) -> Option<String> {
    const LONGEST: usize = 200;
    const PART: usize = 16;
    let folded = Zeroizing::new(name.to_ascii_lowercase());
    let is_like = |secret: &SecretString| {
        let secret = Zeroizing::new(secret.expose_secret().to_ascii_lowercase());
        let is_in_name = secret.len() >= 8 && folded.contains(&**secret);
        is_in_name || folded.len() >= PART && secret.contains(&**folded)
    };
    let is_harmless = known_secret_in(&name).is_none()
        && name.len() <= LONGEST
        && !secrets.into_iter().flatten().any(is_like);
    is_harmless.then_some(name)
}

/// Whether every directory above a file lets others through.
fn is_reachable_by_others(path: &Path) -> bool {
    let real = path.canonicalize();
    let real = real.as_deref().unwrap_or(path);
    real.ancestors()
        .skip(1)
        .all(|dir| Permissions::of(dir).is_none_or(|permissions| permissions.others & 0o011 != 0))
}
