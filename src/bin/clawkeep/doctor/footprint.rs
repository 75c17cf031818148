//! Finds plain copies of the vault's secrets: older stores, stores set aside, backups of editors,
//! files left by killed processes.
//!
//! The checks search by name in the few directories where such files are created, and report a file
//! only if it holds a secret or is a store. Nothing walks through a home directory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::editors;
use super::evidence::Evidence;
use super::finding::Finding;
use super::finding_id::FindingId;
use super::repair::Repair;
use crate::advice::shell_path;
use clawkeep::internal::config::{DRAFT, Layout, Settings};
use clawkeep::internal::domain::{REMOVE_COMMAND, Section, StoreDoc};
use clawkeep::internal::export::{StorePlace, parse};
use clawkeep::internal::oauth::RecoveryFile;
use clawkeep::internal::platform::openclaw::openclaw_dir_of;
use clawkeep::internal::platform::{Permissions, canonicalize, read_regular};
use clawkeep::internal::sources::legacy::{parse_auth, parse_oauth};
use clawkeep::internal::vault::Vault;

/// How many entries of a directory are examined.
const ENTRIES_MAX: usize = 10_000;
/// The largest copy that is read, in bytes. A store of 5,000 profiles has 2 MB.
const COPY_LIMIT: u64 = 16 << 20;
/// The shortest text taken for a secret, in bytes: shorter ones are found in files that hold none.
const SECRET_MIN: usize = 12;
/// What the names of this program's temporary files end in.
const TEMPORARY: &str = ".clawkeep-tmp";
/// A temporary file not written for so long is a dead process's. Writing one takes milliseconds.
const LEFT: Duration = Duration::from_secs(60);

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let layout = evidence.layout;
    let own_dirs = own_dirs(layout);
    let mut found = Vec::new();
    for path in dirs(evidence).iter().flat_map(|dir| files_in(dir)) {
        if is_leftover(&path, &own_dirs) {
            found.push(leftover(evidence, path));
        } else if name_of(&path).ends_with(TEMPORARY) && is_old(&path) {
            found.push(other_leftover(evidence, path));
        }
    }
    found.extend(unopened_answers(evidence));
    for path in copies(evidence) {
        found.extend(open_copy(layout, &path));
        let is_to_be_moved = path.parent() == Some(&layout.state_dir.join("agent"));
        if !is_older_store(evidence, &path) && !is_to_be_moved {
            found.push(copy(layout, path)); // those have findings of their own
        }
    }
    found
}

pub(super) fn copies(evidence: &Evidence<'_>) -> Vec<PathBuf> {
    let docs = evidence.agents.iter().map(|examined| &examined.doc);
    let secrets: HashSet<&[u8]> = docs.flat_map(secrets_of).collect();
    let own_dirs = own_dirs(evidence.layout);
    let stores: HashSet<PathBuf> = places(evidence)
        .flat_map(|place| [place.site().to_owned(), place.real().to_owned()])
        .collect();
    let is_store = |path: &PathBuf| stores.contains(&canonicalize(path).unwrap_or_default());
    let in_dirs = dirs(evidence);
    let named = in_dirs
        .iter()
        .flat_map(|dir| files_in(dir))
        .filter(|path| is_named_as_copy(path) || is_older_store(evidence, path))
        .filter(|path| !is_leftover(path, &own_dirs) && !name_of(path).ends_with(TEMPORARY));
    // A store of an agent that has another one now, or that is no agent any more.
    let known = evidence.vault.locked().map(Vault::known_stores);
    let former = known.into_iter().flatten().flatten().map(|(path, _)| path);
    let former = former.filter(|path| path.is_file() && !path.is_symlink());
    let mut found: Vec<PathBuf> = named
        .chain(former)
        .chain(editors::histories(evidence.layout))
        // What lies in OpenClaw's directory is OpenClaw's, its archives too.
        .filter(|path| openclaw_dir_of(path).is_none())
        .filter(|path| !is_store(path) && is_plain_copy(path, &secrets))
        .collect();
    let mut known = HashSet::new();
    found.retain(|path| known.insert(canonicalize(path).unwrap_or_else(|_| path.clone())));
    found
}

fn places(evidence: &Evidence<'_>) -> impl Iterator<Item = StorePlace> {
    let agents = evidence.agents.iter();
    agents.filter_map(|examined| StorePlace::of_agent(&examined.agent.dir).ok())
}

/// Where copies come to be: beside stores, in the state directory, where stores once lay, beside
/// `oauth.json`, beside keys and heads, and where editors keep theirs.
fn dirs(evidence: &Evidence<'_>) -> Vec<PathBuf> {
    let layout = evidence.layout;
    let mut dirs = vec![
        layout.state_dir.clone(),
        layout.state_dir.join("agent"), // of before there were several agents
        layout.oauth_dir.clone(),
    ];
    dirs.extend(own_dirs(layout));
    dirs.extend(
        evidence
            .agents
            .iter()
            .map(|examined| examined.agent.dir.clone()),
    );
    for place in places(evidence) {
        let above = [place.site(), place.real()].map(|path| path.parent().map(Path::to_owned));
        dirs.extend(above.into_iter().flatten());
    }
    dirs.extend(super::moved_agent::left_dirs(&layout.state_dir));
    dirs.extend(editors::dirs(layout));
    let mut known = HashSet::new();
    dirs.retain(|dir| known.insert(canonicalize(dir).unwrap_or_else(|_| dir.clone())));
    dirs
}

/// The directories in which only this program makes files: of keys, of heads, of other programs'
/// settings, of notes about alerts.
fn own_dirs(layout: &Layout) -> [PathBuf; 4] {
    [
        layout.key_file_dir(),
        layout.heads_dir(),
        layout.connected_dir(),
        layout.alert_notes_dir(),
    ]
}

/// The regular files of a directory, by name.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .take(ENTRIES_MAX)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Whether `stores` reports it: an agent's `auth.json`, or the `oauth.json` that all agents shared.
fn is_older_store(evidence: &Evidence<'_>, path: &Path) -> bool {
    let dir = path.parent().unwrap_or(path);
    let is_agents = || {
        evidence
            .agents
            .iter()
            .any(|examined| examined.agent.dir == dir)
    };
    match name_of(path).as_str() {
        "auth.json" => is_agents(),
        "oauth.json" => path == evidence.layout.oauth_file(),
        _ => false,
    }
}

/// `auth-profiles.json.bak`, `.auth-profiles.json.swp`, `#auth.json#`, `auth-profiles (copy).json`,
/// `auth-profiles.json` where no agent has its store, and what editors of GNOME leave when they are
/// killed.
fn is_named_as_copy(path: &Path) -> bool {
    let name = name_of(path);
    let is_gnomes = name.starts_with(".goutputstream-");
    name.contains("auth-profiles")
        || name.contains("auth.json")
        || name == "oauth.json"
        || is_gnomes
}

/// Whether a file was left by a process that was killed while it wrote, and holds nothing that is
/// not elsewhere: by its name, and by how long ago that was. A store's own temporary file is none:
/// what another program wrote can be in it.
pub(super) fn is_leftover(path: &Path, own_dirs: &[PathBuf]) -> bool {
    let name = name_of(path);
    let is_draft = name.ends_with(DRAFT);
    let is_in = |dir: &PathBuf| path.parent() == Some(dir);
    // tempfile's names
    let is_tempfiles = name.starts_with(".tmp") && name.len() == 10 && own_dirs.iter().any(is_in);
    (is_draft || is_tempfiles) && is_old(path)
}

/// Whether nothing is lost with a leftover: the configuration beside its draft can be read.
pub(super) fn is_replaceable(leftover: &Path) -> bool {
    let name = name_of(leftover);
    match name.strip_suffix(DRAFT) {
        Some(config) => {
            let config = leftover.with_file_name(config);
            config.is_file() && Settings::load(&config).is_ok()
        }
        None => true,
    }
}

/// A regular file that nobody has written for [`LEFT`].
fn is_old(path: &Path) -> bool {
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return false;
    };
    let age = meta
        .modified()
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok());
    meta.is_file() && age.is_some_and(|age| age > LEFT)
}

/// Finds sealed answers to refreshes that do not open. They are kept for a later investigation.
fn unopened_answers(evidence: &Evidence<'_>) -> Vec<Finding> {
    let layout = evidence.layout;
    let mut dir = layout.vault_file.clone().into_os_string();
    dir.push(".lease");
    let kept = RecoveryFile::kept_aside(Path::new(&dir)).into_iter();
    kept.map(|path| {
        let message = format!(
            "{} is the answer to an interrupted refresh, sealed, and does not open",
            layout.shorten_home(&path)
        );
        let word = shell_path(layout, &path);
        let fix = format!("Log in again where a login is over; then: {REMOVE_COMMAND} {word}");
        Finding::new(FindingId::FootprintLeftover, message)
            .path(path)
            .advice(fix)
    })
    .collect()
}

fn leftover(evidence: &Evidence<'_>, path: PathBuf) -> Finding {
    let layout = evidence.layout;
    let shown = layout.shorten_home(&path);
    let message = format!("{shown} was left by a command that was killed; it may hold secrets");
    let finding = Finding::new(FindingId::FootprintLeftover, message).path(&path);
    // A key without which nothing opens could be in it.
    let is_keys = path.parent() == Some(&layout.key_file_dir());
    if !is_replaceable(&path) || (is_keys && evidence.vault.unlocked().is_none()) {
        let shown = shell_path(layout, &path);
        return finding.advice(format!(
            "When you no longer need it: {REMOVE_COMMAND} {shown}"
        ));
    }
    finding.repair(Repair::RemoveLeftover {
        path,
        own_dirs: own_dirs(layout).to_vec(),
    })
}

/// A temporary file that is not ours to remove: a store's is merged by the next load that can, and
/// any other is a copy that the user asked for and did not get.
fn other_leftover(evidence: &Evidence<'_>, path: PathBuf) -> Finding {
    let layout = evidence.layout;
    let store = written_for(&path);
    let is_stores = places(evidence).any(|place| {
        [place.site(), place.real()]
            .map(Some)
            .contains(&store.as_deref())
    });
    let shown = layout.shorten_home(&path);
    let message = format!("{shown} was left by a command that was killed; it may hold secrets");
    let fix = if is_stores {
        "Import and remove it: clawkeep sync".to_owned()
    } else {
        format!("{REMOVE_COMMAND} {}", shell_path(layout, &path))
    };
    Finding::new(FindingId::FootprintLeftover, message)
        .path(path)
        .advice(fix)
}

/// The file that a temporary one was to replace, links resolved.
fn written_for(path: &Path) -> Option<PathBuf> {
    let name = name_of(path);
    let dir = canonicalize(path.parent()?).ok()?;
    Some(dir.join(name.strip_suffix(TEMPORARY)?))
}

fn copy(layout: &Layout, path: PathBuf) -> Finding {
    let message = format!("{} is a plain copy of a store", layout.shorten_home(&path));
    let word = shell_path(layout, &path);
    let fix = format!("When you no longer need it: {REMOVE_COMMAND} {word}");
    Finding::new(FindingId::FootprintCopy, message)
        .path(path)
        .advice(fix)
}

fn open_copy(layout: &Layout, path: &Path) -> Option<Finding> {
    let permissions = Permissions::of(path).filter(|found| found.is_readable_by_others())?;
    let message = format!(
        "{}, a plain copy of a store, can be read by other users (mode {:03o})",
        layout.shorten_home(path),
        permissions.mode & 0o777
    );
    let finding = Finding::new(FindingId::FootprintOpen, message).path(path);
    Some(if permissions.is_ours {
        finding.repair(Repair::Chmod {
            path: path.to_owned(),
            mode: permissions.closed(),
        })
    } else {
        finding.advice(format!("sudo chmod go-rwx {}", shell_path(layout, path)))
    })
}

fn secrets_of(doc: &StoreDoc) -> impl Iterator<Item = &[u8]> {
    const FIELDS: [&str; 4] = ["key", "token", "access", "refresh"];
    let secrets = doc.entries(Section::Profiles).flat_map(|(_, entry)| {
        FIELDS
            .into_iter()
            .filter_map(|field| entry.get(field)?.as_str())
    });
    secrets
        .map(|secret| secret.trim().as_bytes())
        .filter(|secret| secret.len() >= SECRET_MIN)
}

/// Whether a file is a store with something in it, of any age, what is left of one, or holds one of
/// the vault's secrets. One that cannot be read counts by its name.
pub(super) fn is_plain_copy(path: &Path, secrets: &HashSet<&[u8]>) -> bool {
    let Ok(Some(contents)) = read_regular(path, COPY_LIMIT) else {
        return true;
    };
    let bytes = contents.bytes.as_slice();
    if let Ok(doc) = parse(bytes) {
        return doc.entries(Section::Profiles).next().is_some();
    }
    let is_auth = parse_auth(bytes).is_ok_and(|entries| !entries.is_empty());
    let is_oauth = || {
        let entries = parse_oauth(bytes).unwrap_or_default();
        let mut entries = entries.iter().map(|(_, entry)| entry.expose_secret());
        entries.any(|entry| entry.get("access").is_some())
    };
    is_auth || is_oauth() || is_torn_store(bytes) || holds_secret(bytes, secrets)
}

/// No JSON, and yet the names of a store's fields: cut short, or the working copy of an editor.
fn is_torn_store(bytes: &[u8]) -> bool {
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    has(b"\"provider\"")
        && [&b"\"key\""[..], b"\"token\"", b"\"access\""]
            .into_iter()
            .any(has)
}

/// Whether the bytes contain a secret. Tokens have no quotes, blanks or control characters in them:
/// each run of other bytes is compared.
fn holds_secret(bytes: &[u8], secrets: &HashSet<&[u8]>) -> bool {
    let is_between = |byte: &u8| {
        byte.is_ascii_whitespace() || byte.is_ascii_control() || b"\"'`,;<>()".contains(byte)
    };
    bytes.split(is_between).any(|word| secrets.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_drafts_that_hold_nothing_else_are_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let own_dirs = ["clawkeep", "connected"].map(|name| dir.path().join(name));
        for dir in &own_dirs {
            std::fs::create_dir(dir).unwrap();
        }
        let old = SystemTime::now() - Duration::from_secs(3600);
        for (name, want) in [
            ("clawdbot.json.clawkeep-draft", true),
            ("clawkeep/.tmpA1b2C3", true),
            ("connected/.tmpA1b2C3", true),
            ("connected/claude", false),
            (".tmpA1b2C3", false),
            ("auth-profiles.json.clawkeep-tmp", false),
            ("shared.clawkeep-tmp", false),
            ("clawkeep/a.key", false),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            assert!(!is_leftover(&path, &own_dirs), "{name} is new");
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(old).unwrap();
            assert_eq!(is_leftover(&path, &own_dirs), want, "{name}");
        }
    }

    #[test]
    fn names_of_copies() {
        for name in [
            "auth-profiles.json.bak",
            "auth-profiles.json~",
            ".auth-profiles.json.swp",
            "#auth-profiles.json#",
            "auth-profiles.json.corrupt-20260109T003248Z",
            "auth-profiles (copy).json",
            "auth.json.orig",
            "oauth.json.1",
            "auth-profiles.json", // where no agent has its store
            ".goutputstream-A1B2C3",
        ] {
            assert!(is_named_as_copy(Path::new(name)), "{name}");
        }
        for name in ["auth-profile.json", "vault.db", "models.json"] {
            assert!(!is_named_as_copy(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn only_what_holds_something_is_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth-profiles.json.x");
        let doc =
            StoreDoc::from_json(json!({"profiles": {"a": {"token": "sk-secret-of-the-vault"}}}))
                .unwrap();
        let secrets: HashSet<&[u8]> = secrets_of(&doc).collect();
        for (text, want) in [
            (&b"{\"profiles\": {\"a\": {}}}"[..], true),
            (b"{\"profiles\": {}}", false),
            (
                b"{\"profiles\": {\"a\": {\"provider\": \"p\", \"token\": \"sk",
                true,
            ),
            (b"\x00\x00vim 9\x00  \"sk-secret-of-the-vault\",\x00", true),
            (b"sk-secret-of-the-vault-no-more", false),
            (
                b"{\"openai\": {\"type\": \"api_key\", \"key\": \"k\"}}",
                true,
            ),
            (
                b"{\"anthropic\": {\"access\": \"a\", \"refresh\": \"r\", \"expires\": 1}}",
                true,
            ),
            (b"{\"a\": {\"b\": 1}}", false),
            (b"notes on auth.json", false),
            (b"", false),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(
                is_plain_copy(&path, &secrets),
                want,
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }
}
