//! Which directories belong to OpenClaw, the gateway's present name.
//!
//! OpenClaw keeps its credentials in SQLite and fails beside an `auth-profiles.json`; versions
//! before that keep their live store in that file. So this program writes no store into OpenClaw's
//! directories. Whether a directory is OpenClaw's is decided here and nowhere else.
//!
//! Source of the names: OpenClaw 2026.9.5; `spec/compat.md`.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::file_error::FileError;
use super::paths::{is_present, resolve_existing};
use super::trust::Trust;

/// Name of OpenClaw's state directory below the home directory.
pub const STATE_DIR_NAME: &str = ".openclaw";
/// The variable that names OpenClaw's state directory. Here it only says where OpenClaw is.
pub const STATE_DIR_VARIABLE: &str = "OPENCLAW_STATE_DIR";
/// OpenClaw's configuration, in its state directory.
const CONFIG_NAME: &str = "openclaw.json";
/// The database of the agent `main`, relative to the state directory.
const STATE_DATABASE: [&str; 2] = ["state", "openclaw.sqlite"];
/// The agent whose credentials are in the state directory's own database.
const MAIN: &str = "main";
/// An agent's JSON store, in its directory.
const JSON_STORE: &str = "auth-profiles.json";
/// The database of any other agent, in that agent's directory.
const AGENT_DATABASE: &str = "openclaw-agent.sqlite";

/// What shows that a directory is OpenClaw's state directory, or an agent's directory of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A database: OpenClaw keeps its credentials in SQLite and reads no `auth-profiles.json`.
    Database(PathBuf),
    /// The configuration and no database: an OpenClaw whose live store is `auth-profiles.json`,
    /// or one that has not started yet.
    Configuration(PathBuf),
    /// A directory that this user cannot search, where the database of the agent `main` would be.
    Hidden(PathBuf),
    /// Only the directory's name shows it: `~/.openclaw`, or the value of `OPENCLAW_STATE_DIR`.
    Named,
}

impl Evidence {
    /// Whether OpenClaw's SQLite exists there.
    #[must_use]
    pub fn is_database(&self) -> bool {
        matches!(self, Self::Database(_))
    }
}

/// A directory tree of OpenClaw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenClawDir {
    /// The topmost directory that shows it, links not resolved.
    pub root: PathBuf,
    /// The strongest evidence found: a database counts before a configuration.
    pub evidence: Evidence,
}

impl OpenClawDir {
    /// Returns why no store is written there, as a clause about OpenClaw.
    #[must_use]
    pub fn why_not_written(&self) -> &'static str {
        match self.evidence {
            Evidence::Database(_) => "which fails beside an auth-profiles.json",
            Evidence::Configuration(_) | Evidence::Hidden(_) | Evidence::Named => {
                "whose own live store auth-profiles.json may be"
            }
        }
    }
}

/// Finds what shows that `dir` is OpenClaw's state directory, or the directory of one of its
/// agents. A link to such a directory counts as one.
#[must_use]
pub fn is_openclaw_dir(dir: &Path) -> Option<Evidence> {
    // Nothing lies in a directory that does not exist.
    if fs::metadata(dir).is_err_and(|error| error.kind() == NotFound) {
        return None;
    }
    evidence_in(dir, || in_agents(dir, AGENT_DATABASE).into_iter().next())
}

/// As [`is_openclaw_dir`], where `of_agents` finds a database of the agents below it.
fn evidence_in(dir: &Path, of_agents: impl FnOnce() -> Option<PathBuf>) -> Option<Evidence> {
    let of_main = dir.join(STATE_DATABASE[0]).join(STATE_DATABASE[1]);
    let of_main_found = fs::symlink_metadata(&of_main);
    if of_main_found.is_ok() {
        return Some(Evidence::Database(of_main));
    }
    let of_agent = Some(dir.join(AGENT_DATABASE)).filter(|path| exists(path));
    let config = || Some(dir.join(CONFIG_NAME)).filter(|path| exists(path));
    // What this user cannot check.
    let is_hidden =
        of_main_found.is_err_and(|error| !matches!(error.kind(), NotFound | NotADirectory));
    of_agent
        .or_else(of_agents)
        .map(Evidence::Database)
        .or_else(|| config().map(Evidence::Configuration))
        .or_else(|| is_hidden.then_some(Evidence::Hidden(of_main)))
}

/// Whether something exists at `path`. What this user cannot check does not count: nothing could
/// be written beside it, and one directory of another user's must not make all agents OpenClaw's.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The files of that name in the directories of the agents below a state directory, sorted.
fn in_agents(state_dir: &Path, name: &str) -> Vec<PathBuf> {
    let Ok(agents) = fs::read_dir(state_dir.join("agents")) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = agents
        .filter_map(|agent| Some(agent.ok()?.path().join("agent").join(name)))
        .filter(|path| exists(path))
        .collect();
    files.sort();
    files
}

/// Finds the state directory, among those named by [`add_named_dirs`], in which OpenClaw keeps its
/// credentials in SQLite.
#[must_use]
pub fn database_dir() -> Option<PathBuf> {
    let has_database = |dir: &PathBuf| {
        let evidence = is_openclaw_dir(dir);
        evidence.is_some_and(|evidence| evidence.is_database())
    };
    present_dirs().into_iter().find(has_database)
}

/// The database of a state directory that its agents share.
#[must_use]
pub fn shared_database(state_dir: &Path) -> PathBuf {
    state_dir.join(STATE_DATABASE[0]).join(STATE_DATABASE[1])
}

/// Whether a database, by its name, is the state directory's own, which its agents share.
#[must_use]
pub fn is_shared_database(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name == STATE_DATABASE[1])
}

/// Lists the directories of the agents that have a database below a state directory, sorted, each
/// with the agent's id. The database of `main` is the state directory's own.
#[must_use]
pub fn agents_with_database(state_dir: &Path) -> Vec<(String, PathBuf)> {
    let of_main = || state_dir.join("agents").join(MAIN).join("agent");
    let main = Some(state_dir.join(STATE_DATABASE[0]).join(STATE_DATABASE[1]))
        .filter(|path| exists(path))
        .map(|_| (MAIN.to_owned(), of_main()));
    let others = in_agents(state_dir, AGENT_DATABASE).into_iter();
    let others = others.filter_map(|database| {
        let dir = database.parent()?;
        let id = dir.parent()?.file_name()?.to_str()?;
        Some((id.to_owned(), dir.to_owned()))
    });
    let others = others.filter(|(id, _)| main.is_none() || id != MAIN);
    main.iter().cloned().chain(others).collect()
}

/// Lists the databases in which the credentials of an agent may be, the first that has them counts.
/// They need not exist.
#[must_use]
pub fn databases_of(agent_dir: &Path, id: &str) -> Vec<PathBuf> {
    let own = agent_dir.join(AGENT_DATABASE);
    let state_dir = agent_dir.ancestors().nth(3).filter(|_| id == MAIN);
    let shared = state_dir.map(|dir| dir.join(STATE_DATABASE[0]).join(STATE_DATABASE[1]));
    shared.into_iter().chain([own]).collect()
}

/// The directories that are OpenClaw's by their name, whether or not they exist.
static NAMED: RwLock<Vec<PathBuf>> = RwLock::new(Vec::new());

/// Names directories that are OpenClaw's, beside those that this process has named before: each one
/// only makes it more careful.
pub fn add_named_dirs(dirs: Vec<PathBuf>) {
    let mut named = NAMED.write().unwrap_or_else(PoisonError::into_inner);
    for dir in dirs {
        if !named.contains(&dir) {
            named.push(dir);
        }
    }
}

fn named_dirs() -> Vec<PathBuf> {
    NAMED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Whether a directory that is called as OpenClaw's is one. A link without any evidence behind it
/// is not: it may lead to the directory of another gateway.
#[must_use]
pub fn is_named_dir(dir: &Path) -> bool {
    is_openclaw_dir(dir).is_some() || (dir.is_dir() && !dir.is_symlink())
}

/// Lists the directories named by [`add_named_dirs`] that exist and are OpenClaw's.
#[must_use]
pub fn present_dirs() -> Vec<PathBuf> {
    let dirs = named_dirs().into_iter();
    dirs.filter(|dir| is_named_dir(dir)).collect()
}

/// Lists the live stores of an OpenClaw that keeps them in `auth-profiles.json`, in the directories
/// named by [`add_named_dirs`]. Where there is a database, those files are live no more.
///
/// # Errors
/// When a directory in which one may be cannot be read.
pub fn live_json_stores() -> Result<Vec<PathBuf>, FileError> {
    let mut stores = Vec::new();
    for dir in present_dirs() {
        if !is_openclaw_dir(&dir).is_some_and(|evidence| evidence.is_database()) {
            stores.extend(json_stores_or_error(&dir)?);
        }
    }
    Ok(stores)
}

/// As [`json_stores`], where a directory that cannot be read must not pass for an empty one.
fn json_stores_or_error(state_dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    let path = state_dir.join("agents");
    if !is_present(&path)? {
        return Ok(Vec::new());
    }
    let failed = |source| FileError::Io {
        action: "read",
        path: path.clone(),
        source,
    };
    let mut stores = Vec::new();
    for agent in fs::read_dir(&path).map_err(failed)? {
        let store = agent.map_err(failed)?.path().join("agent").join(JSON_STORE);
        if is_present(&store)? {
            stores.push(store);
        }
    }
    stores.sort();
    Ok(stores)
}

/// Lists the `auth-profiles.json` of the agents below a state directory, sorted.
#[must_use]
pub fn json_stores(state_dir: &Path) -> Vec<PathBuf> {
    in_agents(state_dir, JSON_STORE)
}

/// Finds the OpenClaw tree in which `path` is, which need not exist. Links on the way count twice:
/// as they are written and as they lead.
///
/// The home directory, what is above it, and directories that all users share (`/tmp`) are no such
/// tree: a file there shows nothing about what is below.
#[must_use]
pub fn openclaw_dir_of(path: &Path) -> Option<OpenClawDir> {
    Examined::default().openclaw_dir_of(path)
}

/// What was found of directories. Stores lie below common ones, and a state directory has as many
/// files as agents: a step over many stores examines each directory once.
#[derive(Debug, Default)]
pub struct Examined {
    dirs: Mutex<HashMap<PathBuf, ExaminedDir>>,
    /// The home directory and those named by [`add_named_dirs`], links resolved.
    known: OnceLock<(Option<PathBuf>, Vec<PathBuf>)>,
    /// State directories: when their agents' were examined, and the first database there.
    scans: Mutex<HashMap<PathBuf, (Instant, Option<PathBuf>)>>,
}

/// How long the result of a search for a database in the directories of all agents is reused: there
/// may be thousands. The directories in which a store is to be written are examined all the same.
const SCAN_HOLDS: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
struct ExaminedDir {
    is_shared: bool,
    evidence: Option<Evidence>,
}

impl Examined {
    /// Finds the OpenClaw directory of a path, as [`openclaw_dir_of`].
    #[must_use]
    pub fn openclaw_dir_of(&self, path: &Path) -> Option<OpenClawDir> {
        self.openclaw_dir_of_resolved(path, &resolve_existing(path))
    }

    /// As [`openclaw_dir_of`], where `real` is the path with its links resolved.
    #[must_use]
    pub(crate) fn openclaw_dir_of_resolved(&self, path: &Path, real: &Path) -> Option<OpenClawDir> {
        openclaw_dir_among((path, real), Trust::current().home(), &named_dirs(), self)
    }

    fn examine(&self, dir: &Path) -> ExaminedDir {
        // A thread that panicked left a map that is whole.
        let dirs = || self.dirs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = dirs().get(dir) {
            return known.clone();
        }
        let meta = fs::metadata(dir);
        let is_shared = is_shared(dir, meta.as_ref().ok());
        // Nothing lies in a directory that does not exist.
        let is_examined = !is_shared && !meta.is_err_and(|error| error.kind() == NotFound);
        let evidence = || evidence_in(dir, || self.scan(dir));
        let evidence = is_examined.then(evidence).flatten();
        let found = ExaminedDir {
            is_shared,
            evidence,
        };
        dirs().insert(dir.to_owned(), found.clone());
        found
    }

    fn scan(&self, state_dir: &Path) -> Option<PathBuf> {
        // Held meanwhile: another thread waits for the answer instead of searching, too.
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, found)) = scans.get(state_dir)
            && at.elapsed() < SCAN_HOLDS
        {
            return found.clone();
        }
        if !state_dir.join("agents").is_dir() {
            return None;
        }
        let at = Instant::now();
        let found = in_agents(state_dir, AGENT_DATABASE).into_iter().next();
        scans.insert(state_dir.to_owned(), (at, found.clone()));
        found
    }

    /// Examines everything anew, but for `SCAN_HOLDS` the directories of all agents.
    #[must_use]
    pub fn anew(&self) -> Self {
        let scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            scans: Mutex::new(scans.clone()),
            ..Self::default()
        }
    }
}

fn openclaw_dir_among(
    (path, real): (&Path, &Path),
    home: Option<&Path>,
    named: &[PathBuf],
    examined: &Examined,
) -> Option<OpenClawDir> {
    let (real_home, named) = examined.known.get_or_init(|| {
        let named = (named.iter().filter(|dir| is_named_dir(dir)))
            .flat_map(|dir| [dir.clone(), resolve_existing(dir)]);
        (home.map(resolve_existing), named.collect())
    });
    let is_above_home = |dir: &Path| {
        let homes = [home, real_home.as_deref()];
        homes
            .into_iter()
            .flatten()
            .any(|home| home.starts_with(dir))
    };
    let shown_by = |dir: &Path| {
        if dir.as_os_str().is_empty() || is_above_home(dir) {
            return None;
        }
        let found = examined.examine(dir);
        if found.is_shared {
            return None;
        }
        let evidence = found.evidence.or_else(|| {
            named
                .iter()
                .any(|named| named == dir)
                .then_some(Evidence::Named)
        })?;
        let root = dir.to_owned();
        Some(OpenClawDir { root, evidence })
    };
    // Of equally strong evidence the last is kept: the topmost directory, as it was written.
    let only_real = real.ancestors().filter(|dir| !path.starts_with(dir));
    let found = only_real.chain(path.ancestors());
    found
        .filter_map(shown_by)
        .max_by_key(|found| rank(&found.evidence))
}

fn rank(evidence: &Evidence) -> u8 {
    match evidence {
        Evidence::Named => 0,
        Evidence::Configuration(_) | Evidence::Hidden(_) => 1,
        Evidence::Database(_) => 2,
    }
}

/// Whether all users may make files in a directory, or it is the file system's root.
#[cfg(unix)]
fn is_shared(dir: &Path, meta: Option<&fs::Metadata>) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let sticky_and_open = 0o1002;
    dir.parent().is_none()
        || meta.is_some_and(|meta| meta.permissions().mode() & sticky_and_open == sticky_and_open)
}

#[cfg(not(unix))]
fn is_shared(dir: &Path, _: Option<&fs::Metadata>) -> bool {
    dir.parent().is_none()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn among(
        path: &Path,
        home: Option<&Path>,
        named: &[PathBuf],
        examined: &Examined,
    ) -> Option<OpenClawDir> {
        openclaw_dir_among((path, &resolve_existing(path)), home, named, examined)
    }

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn one_agents_directory_that_cannot_be_searched_makes_no_other_openclaws() {
        let dir = tempfile::tempdir().unwrap();
        let agent = dir.path().join("agents/broken/agent");
        fs::create_dir_all(agent.parent().unwrap()).unwrap();
        symlink("agent", &agent).unwrap(); // leads to itself
        assert!(fs::symlink_metadata(agent.join(AGENT_DATABASE)).is_err());
        let store = dir.path().join("agents/main/agent/auth-profiles.json");
        assert_eq!(among(&store, None, &[], &Examined::default()), None);
        assert_eq!(is_openclaw_dir(dir.path()), None);
        // Where the database of `main` cannot be checked, no store is written, and none removed.
        symlink("state", dir.path().join("state")).unwrap();
        let found = among(&store, None, &[], &Examined::default()).unwrap();
        assert!(matches!(found.evidence, Evidence::Hidden(_)), "{found:?}");
        assert!(!found.evidence.is_database());
    }

    #[test]
    fn each_marker_alone_shows_an_openclaw_directory() {
        let cases = [
            ("openclaw.json", false),
            ("state/openclaw.sqlite", true),
            ("agents/ops/agent/openclaw-agent.sqlite", true),
            ("openclaw-agent.sqlite", true),
        ];
        for (marker, is_database) in cases {
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(is_openclaw_dir(dir.path()), None);
            let marker = dir.path().join(marker);
            touch(&marker);
            let evidence = is_openclaw_dir(dir.path()).unwrap();
            assert_eq!(evidence.is_database(), is_database, "{evidence:?}");
            let path = match evidence {
                Evidence::Database(path) | Evidence::Configuration(path) => path,
                Evidence::Hidden(_) | Evidence::Named => unreachable!(),
            };
            assert_eq!(path, marker);
        }
    }

    #[test]
    fn similar_names_show_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "openclaw.json.bak",
            "clawdbot.json",
            "openclaw.sqlite",
            "state/other.sqlite",
            "agents/main/agent/auth-profiles.json",
            "agents/openclaw-agent.sqlite",
        ] {
            touch(&dir.path().join(name));
        }
        assert_eq!(is_openclaw_dir(dir.path()), None);
        assert_eq!(is_openclaw_dir(&dir.path().join("nowhere")), None);
    }

    #[test]
    fn a_database_counts_before_a_configuration() {
        let dir = tempfile::tempdir().unwrap();
        touch(&dir.path().join("openclaw.json"));
        let store = dir.path().join("agents/main/agent/auth-profiles.json");
        let found = among(&store, None, &[], &Examined::default()).unwrap();
        assert!(!found.evidence.is_database());
        assert_eq!(found.root, dir.path());
        touch(&dir.path().join("agents/ops/agent/openclaw-agent.sqlite"));
        let found = among(&store, None, &[], &Examined::default()).unwrap();
        assert!(found.evidence.is_database(), "{found:?}");
        assert_eq!(found.root, dir.path());
    }

    #[test]
    fn links_lead_into_the_tree_wherever_they_are() {
        let home = tempfile::tempdir().unwrap();
        let at = |rel: &str| home.path().join(rel);
        touch(&at(".openclaw/openclaw.json"));
        fs::create_dir_all(at(".openclaw/agents/main/agent")).unwrap();
        symlink(".openclaw", at(".clawdbot")).unwrap();
        fs::create_dir_all(at("other/agents/main")).unwrap();
        symlink(
            at(".openclaw/agents/main/agent"),
            at("other/agents/main/agent"),
        )
        .unwrap();
        let of = |rel: &str| among(&at(rel), Some(home.path()), &[], &Examined::default());
        let store = "agents/main/agent/auth-profiles.json";
        let got = of(&format!(".clawdbot/{store}")).unwrap().root;
        assert_eq!(got, at(".clawdbot"));
        let behind = of(&format!("other/{store}")).unwrap();
        assert_eq!(behind.root, fs::canonicalize(at(".openclaw")).unwrap());
        assert_eq!(of("other/agents/ops/agent/auth-profiles.json"), None);
    }

    #[test]
    fn a_file_in_the_home_directory_or_above_shows_nothing() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home/ana");
        touch(&home.join("openclaw.json"));
        touch(&root.path().join("home/state/openclaw.sqlite"));
        let store = home.join(".clawdbot/agents/main/agent/auth-profiles.json");
        assert_eq!(among(&store, Some(&home), &[], &Examined::default()), None);
    }

    #[test]
    fn a_named_directory_counts_by_its_name_alone_unless_it_is_a_link_elsewhere() {
        let home = tempfile::tempdir().unwrap();
        let at = |rel: &str| home.path().join(rel);
        let named = [at(".openclaw")];
        let of = |rel: &str| among(&at(rel), Some(home.path()), &named, &Examined::default());
        assert_eq!(of(".openclaw/auth-profiles.json"), None, "there is none");
        fs::create_dir(at(".clawdbot")).unwrap();
        symlink(".clawdbot", at(".openclaw")).unwrap();
        assert_eq!(of(".clawdbot/auth-profiles.json"), None);
        fs::remove_file(at(".openclaw")).unwrap();
        fs::create_dir(at(".openclaw")).unwrap();
        let found = of(".openclaw/auth-profiles.json").unwrap();
        assert_eq!(found.evidence, Evidence::Named);
        assert_eq!(of(".clawdbot/auth-profiles.json"), None);
    }
}
