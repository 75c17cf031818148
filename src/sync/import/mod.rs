//! A file that the user names, joined with what an agent has.
//!
//! Pure. Nothing is deleted. Where both have a profile, the one that is valid longer stays, one
//! without an expiry before all others and one that is expired or unreadable after them; else the
//! file's: the user named it.

pub(super) mod join;

use std::collections::BTreeMap;
use std::time::SystemTime;

use secrecy::SecretString;
use serde_json::Value;

pub use self::join::Imported;
use self::join::{join, planned};
use crate::domain::{
    Borrowed, Credential, CredentialType, Mirror, Owner, PROGRAMS, Program, SecretJson, Section,
    StoreDoc, UnixMs, is_own_reference,
};
use crate::export::{FormatFault, parse};
use crate::sources::legacy::LegacyEntry;
use crate::sources::other_programs::{
    Found, by_provider, lend, oauth_creds, owner_by_format, simplified,
};
use crate::sources::recognise::{FileKind, recognise};
use crate::sources::{LoggedOut, Login, Reading, SourceFault, reader_of};
use crate::sync::plan::plan_login;

/// Why a file cannot be imported. Never quotes it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportFault {
    /// Its content cannot be understood as credentials.
    #[error("{0}")]
    Source(SourceFault),
    /// It is a damaged store.
    #[error("{0}")]
    Store(FormatFault),
    /// It is JSON, but nothing that credentials come in.
    #[error(
        "it is no file that credentials come in: auth-profiles.json, auth.json, oauth.json, or \
         the login file of {}",
        importable_programs()
    )]
    Unknown,
    /// The other program is logged out.
    #[error("{}", logged_out(*.0))]
    LoggedOut(LoggedOut),
    /// Another program's file, which that program has logged out of.
    #[error("it holds no login: its program is logged out")]
    Blank,
}

/// The programs whose JSON files can be imported: "opencode, pi or Gemini CLI".
fn importable_programs() -> String {
    let is_importable = |program: &&Program| program.files.iter().any(|it| it.ends_with(".json"));
    let names: Vec<&str> = (PROGRAMS.iter().filter(is_importable))
        .map(|program| program.name)
        .collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// What a file lacks that holds no login, and how to log in.
fn logged_out(why: LoggedOut) -> String {
    match why {
        LoggedOut::NoRefreshToken => {
            format!(
                "it holds no login: its refresh token is empty; log in again with: {}",
                Owner::CodexCli.log_in()
            )
        }
        LoggedOut::NoAccessToken => {
            "it holds no login: its access token is empty, so its program is logged out".to_owned()
        }
        LoggedOut::NoExpiry(_) => {
            "it holds no login that can be used: its expiry is missing or 0".to_owned()
        }
        why => format!("it holds no login ({})", why.as_str()),
    }
}

/// A file whose content was understood.
#[derive(Debug)]
pub struct ImportFile {
    kind: FileKind,
    content: Content,
    dropped: Vec<(String, &'static str)>,
    spent: Vec<String>,
    from_clawkeep: Vec<String>,
    borrowed: Option<Borrowed>,
    lent: BTreeMap<String, SecretString>,
}

#[derive(Debug)]
enum Content {
    Store(StoreDoc),
    /// A login that goes into the profile that mirrors it.
    Mirrored(&'static Mirror, Reading<Login>),
}

impl ImportFile {
    /// Understands a file; `modified` is when it was last written.
    pub fn understand(bytes: &[u8], modified: SystemTime) -> Result<Self, ImportFault> {
        let kind = recognise(bytes).map_err(ImportFault::Source)?;
        let Some(kind) = kind else {
            return Err(match is_empty_object(bytes) {
                true => ImportFault::Blank,
                false => ImportFault::Unknown,
            });
        };
        let mut dropped = Vec::new();
        let content = match kind {
            FileKind::Store => Content::Store(parse(bytes).map_err(ImportFault::Store)?),
            FileKind::Source(owner) => {
                let (Some(reader), Some(mirror)) = (reader_of(owner), owner.mirror()) else {
                    return Err(ImportFault::Unknown);
                };
                match (reader.api_key)(bytes).map_err(ImportFault::Source)? {
                    Some(key) => Content::Store(doc_of(&[key])),
                    None => Content::Mirrored(mirror, usable((reader.parse)(bytes, modified))?),
                }
            }
            FileKind::OAuthCreds => {
                let owner = owner_by_format(bytes).unwrap_or(Owner::GeminiCli);
                let found = oauth_creds(bytes, owner).map_err(ImportFault::Source)?;
                Content::Store(of_found(found, &mut dropped)?)
            }
            FileKind::Legacy => {
                let found = by_provider(bytes).map_err(ImportFault::Source)?;
                Content::Store(of_found(found, &mut dropped)?)
            }
        };
        let file = Self {
            dropped,
            ..Self::of_content(kind, content)
        };
        Ok(file.without_own_references())
    }

    /// Without the entries whose program asks clawkeep for the key: there is nothing to import.
    fn without_own_references(mut self) -> Self {
        if let Content::Store(doc) = &mut self.content {
            let entries = doc.entries(Section::Profiles);
            let is_own = |entry: &Value| {
                let key = entry.get("key").and_then(Value::as_str);
                key.is_some_and(is_own_reference)
            };
            let own = entries.filter(|(_, entry)| is_own(entry));
            self.from_clawkeep = own.map(|(id, _)| id.to_owned()).collect();
            for id in &self.from_clawkeep {
                doc.remove(Section::Profiles, id);
            }
        }
        self
    }

    /// Profiles that were left out since their program asks clawkeep for the key.
    #[must_use]
    pub fn from_clawkeep(&self) -> &[String] {
        &self.from_clawkeep
    }

    fn of_content(kind: FileKind, content: Content) -> Self {
        Self {
            kind,
            content,
            dropped: Vec::new(),
            spent: Vec::new(),
            from_clawkeep: Vec::new(),
            borrowed: None,
            lent: BTreeMap::new(),
        }
    }

    /// The content of a store that was read already.
    #[must_use]
    pub fn of_store(doc: StoreDoc) -> Self {
        Self::of_content(FileKind::Store, Content::Store(doc))
    }

    /// Returns which kind of file it is.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Keys whose entries hold no credential, and why, as half a sentence: left out.
    #[must_use]
    pub fn dropped(&self) -> &[(String, &'static str)] {
        &self.dropped
    }

    /// Whether it holds a login that only one program may refresh.
    #[must_use]
    pub fn has_refresh_token(&self) -> bool {
        match &self.content {
            Content::Store(doc) => doc.credentials().any(|(_, credential)| {
                credential.expose_refresh().is_some() && !credential.never_expires()
            }),
            Content::Mirrored(..) => true,
        }
    }

    /// Whether its login goes into a profile that mirrors it anyway.
    #[must_use]
    pub fn is_mirrored(&self) -> bool {
        matches!(self.content, Content::Mirrored(..))
    }

    /// The same file, of a program that goes on using it: its refresh tokens stay there.
    #[must_use]
    pub fn lend(mut self, from: Borrowed) -> Self {
        if let Content::Store(doc) = &mut self.content {
            let entries: Vec<(String, SecretJson)> = doc
                .entries(Section::Profiles)
                .map(|(id, entry)| (id.to_owned(), SecretJson::new(entry.clone())))
                .collect();
            for (id, entry) in entries {
                if is_logged_out(entry.expose_secret()) {
                    doc.remove(Section::Profiles, &id);
                    let why = "has the expiry 0: its program is logged out, or has to refresh it";
                    self.dropped.push((id, why));
                    continue;
                }
                let (entry, refresh) = lend(&entry);
                doc.set(Section::Profiles, &id, entry.expose_secret().clone());
                if let Some(refresh) = refresh {
                    self.lent.insert(id, refresh);
                }
            }
            self.borrowed = Some(from);
        }
        self
    }

    /// The program that it belongs to, if it is another program's.
    #[must_use]
    pub fn borrowed(&self) -> Option<&Borrowed> {
        self.borrowed.as_ref()
    }

    #[must_use]
    pub(super) fn entry(&self, id: &str) -> Option<&Value> {
        match &self.content {
            Content::Store(doc) => doc.get(Section::Profiles, id),
            Content::Mirrored(..) => None,
        }
    }

    /// The refresh token of a profile that stays with its owner.
    #[must_use]
    pub fn lent(&self, id: &str) -> Option<SecretString> {
        self.lent.get(id).cloned()
    }

    /// Leaves out the profiles whose refresh token is used up (`is_spent`): none may come back.
    pub fn leave_out_spent<E>(
        &mut self,
        is_spent: impl Fn(&Credential<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let Content::Store(doc) = &mut self.content else {
            return Ok(()); // another program's login, which it refreshes itself
        };
        let mut spent = Vec::new();
        for (id, credential) in doc.credentials() {
            if is_spent(&credential)? {
                spent.push(id.to_owned());
            }
        }
        for id in &spent {
            doc.remove(Section::Profiles, id);
        }
        self.spent.extend(spent);
        Ok(())
    }

    /// Profiles that were left out since their refresh token is used up.
    #[must_use]
    pub fn spent(&self) -> &[String] {
        &self.spent
    }

    /// Joins it with what an agent has.
    #[must_use]
    pub fn join(&self, doc: &StoreDoc, now: UnixMs) -> Imported {
        match &self.content {
            Content::Store(theirs) => join(theirs, doc, now),
            Content::Mirrored(mirror, login) => {
                let stored = doc.get(Section::Profiles, mirror.profile);
                let decision = plan_login(mirror, stored, login, now);
                planned(mirror.profile, &decision, doc)
            }
        }
    }
}

/// Whether a file is `{}`: what a program leaves that has logged out of everything.
fn is_empty_object(bytes: &[u8]) -> bool {
    let value: Result<Value, _> = serde_json::from_slice(crate::domain::without_bom(bytes));
    value.is_ok_and(|value| value.as_object().is_some_and(serde_json::Map::is_empty))
}

/// Whether a login says that it has expired by an expiry of 0, which for a token means none.
fn is_logged_out(entry: &Value) -> bool {
    let credential = Credential::of(entry);
    credential.kind == CredentialType::OAuth
        && !credential.never_expires()
        && credential.expiry().is_some_and(|expiry| expiry.ms() == 0.0)
}

fn usable<L>(reading: Reading<L>) -> Result<Reading<L>, ImportFault> {
    match reading {
        Reading::Damaged(fault) => Err(ImportFault::Source(fault)),
        Reading::LoggedOut(why) => Err(ImportFault::LoggedOut(why)),
        found => Ok(found),
    }
}

/// What another program's file holds as a document, with what it holds beside that.
fn of_found(
    found: Found,
    dropped: &mut Vec<(String, &'static str)>,
) -> Result<StoreDoc, ImportFault> {
    let is_logged_out = !found.dropped.is_empty()
        && found
            .dropped
            .iter()
            .all(|(_, why)| why.contains("logged out"));
    dropped.extend(found.dropped);
    let doc = doc_of(&found.entries);
    match doc.is_blank() {
        true if is_logged_out => Err(ImportFault::Blank),
        true => Err(ImportFault::Unknown),
        false => Ok(doc),
    }
}

fn doc_of(found: &[LegacyEntry]) -> StoreDoc {
    let mut doc = StoreDoc::default();
    for (id, entry) in found {
        if doc.get(Section::Profiles, id).is_none() {
            let entry = simplified(entry).expose_secret().clone();
            doc.set(Section::Profiles, id, entry);
        }
    }
    doc
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: UnixMs = UnixMs(1_768_000_000_000);

    fn doc(value: Value) -> StoreDoc {
        StoreDoc::from_json(value).unwrap()
    }

    fn understand(value: &Value) -> Result<ImportFile, ImportFault> {
        ImportFile::understand(value.to_string().as_bytes(), SystemTime::UNIX_EPOCH)
    }

    /// A token that expires so many days from now.
    fn token(token: &str, days: i64) -> Value {
        let expires = NOW.0 + days * 86_400_000;
        json!({"type": "token", "provider": "p", "token": token, "expires": expires})
    }

    #[test]
    fn a_store_is_laid_over_what_is_there() {
        let ours = doc(json!({
            "version": 1, "mine": 1,
            "profiles": {"p:z": token("z", 5), "p:a": token("a", 5), "p:s": token("s", 5)},
            "order": {"q": ["q:ours"]},
            "usageStats": {"p:a": {"lastUsed": 9, "errorCount": 0}},
        }));
        let file = understand(&json!({
            "version": 1, "mine": 2, "theirs": [3],
            "profiles": {
                "p:new": {"type": "odd"}, "p:a": token("a2", 4), "p:z": token("z2", 6),
                "p:s": token("s", 5),
            },
            "order": {"p": ["p:a"], "Q": ["q:theirs"]}, "lastGood": {"p": "p:a"},
            "usageStats": {"p:a": {"lastUsed": 7, "x": 1}, "p:new": {"lastUsed": 3}},
        }));
        let joined = file.unwrap().join(&ours, NOW);
        assert_eq!(
            joined.doc,
            doc(json!({
                "version": 1, "mine": 1, "theirs": [3],
                "profiles": {
                    "p:z": token("z2", 6), "p:a": token("a", 5), "p:s": token("s", 5),
                    "p:new": {"type": "odd"},
                },
                "order": {"q": ["q:ours"], "p": ["p:a"]},
                "usageStats": {"p:a": {"lastUsed": 9, "errorCount": 0}, "p:new": {"lastUsed": 3}},
                "lastGood": {"p": "p:a"},
            }))
        );
        assert_eq!(joined.orders, ["p"]);
        assert_eq!(
            (&joined.added[..], &joined.replaced[..]),
            (&["p:new".to_owned()][..], &["p:z".to_owned()][..])
        );
        assert_eq!(
            (&joined.kept[..], &joined.same[..]),
            (&["p:a".to_owned()][..], &["p:s".to_owned()][..])
        );
        assert_eq!(joined.unreadable(), ["p:new"]);
    }

    #[test]
    fn older_stores_become_default_profiles_and_the_rest_is_named() {
        let file = understand(&json!({
            "openai": {"type": "api_key", "key": "k"},
            "google": {"access": "a", "refresh": "r", "expires": 3},
            "junk": {"cookie": "c"}, "n": 3,
        }))
        .unwrap();
        assert_eq!(file.kind(), FileKind::Legacy);
        assert_eq!(file.dropped(), [("junk".to_owned(), "holds no credential")]);
        let joined = file.join(&StoreDoc::default(), NOW);
        assert_eq!(joined.added, ["openai:default", "google:default"]);
        let error = understand(&json!({"junk": {"cookie": "sk-secret"}})).unwrap_err();
        assert!(matches!(error, ImportFault::Unknown));
    }

    #[test]
    fn a_login_of_claude_code_goes_by_the_rule_of_the_sync() {
        let expires = NOW.0 + 9;
        let login = json!({"claudeAiOauth": {
            "accessToken": "sk-new", "refreshToken": "rt", "expiresAt": expires,
        }});
        let file = understand(&login).unwrap();
        let joined = file.join(&StoreDoc::default(), NOW);
        assert_eq!(joined.added, ["anthropic:claude-cli"]);
        let entry = joined.doc.get(Section::Profiles, "anthropic:claude-cli");
        assert_eq!(
            entry,
            Some(&json!({
                "type": "token", "provider": "anthropic", "token": "sk-new", "expires": expires,
            }))
        );
        assert_eq!(file.join(&joined.doc, NOW).same, ["anthropic:claude-cli"]);
        let blank = json!({"claudeAiOauth": {"accessToken": "", "expiresAt": 0}});
        assert!(matches!(understand(&blank), Err(ImportFault::LoggedOut(_))));
    }
}
