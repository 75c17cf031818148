//! Which agent a command works on, and where that agent's files are.

use std::path::{Path, PathBuf};

use super::disk;
use super::env::Env;
use super::error::ConfigError;
use super::paths::Layout;
use super::settings::Settings;
use crate::domain::AgentName;
use crate::platform::openclaw::{STATE_DIR_NAME, agents_with_database, database_dir};

/// An agent and the directory that holds its store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentRef {
    /// Its name in the vault: an agent id, or the directory where no agent id leads there. One
    /// directory has one name.
    pub name: AgentName,
    /// The agent's directory, absolute; it need not exist.
    pub dir: PathBuf,
}

impl AgentRef {
    /// Returns the path of the agent's JSON store.
    #[must_use]
    pub fn store_file(&self) -> PathBuf {
        self.dir.join("auth-profiles.json")
    }
}

/// The agent of `models status` and `models auth candidates`: `--agent`, else the directory that
/// `CLAWDBOT_AGENT_DIR` or `PI_CODING_AGENT_DIR` names, else the state directory's agent `main`,
/// whatever `agents.list` says. Source: `spec/compat.md`, Paths.
#[must_use]
pub fn status_agent(layout: &Layout, settings: &Settings, env: &Env, id: Option<&str>) -> AgentRef {
    if let Some(agent) = id.and_then(|id| openclaw_agent(layout, id)) {
        return agent;
    }
    if let Some(id) = id {
        return by_id(layout, settings, &AgentName::from_id(id));
    }
    let named = env
        .path("CLAWDBOT_AGENT_DIR")
        .or_else(|| env.path("PI_CODING_AGENT_DIR"));
    let dir = match named {
        Some(dir) => layout.user_path(dir),
        None => plain_dir(layout, &AgentName::default()),
    };
    by_dir(layout, settings, dir)
}

/// The agent of `models auth order`: `--agent`, else the configured default agent; the directory
/// variables have no say. Source: `spec/compat.md`, Paths.
#[must_use]
pub fn order_agent(layout: &Layout, settings: &Settings, id: Option<&str>) -> AgentRef {
    if let Some(agent) = id.and_then(|id| openclaw_agent(layout, id)) {
        return agent;
    }
    let name = id.map_or_else(|| settings.default_agent(), AgentName::from_id);
    by_id(layout, settings, &name)
}

/// The agent of OpenClaw that `id` names, as in `openclaw/main`; it need not exist. The reference
/// knows none.
fn openclaw_agent(layout: &Layout, id: &str) -> Option<AgentRef> {
    let id = id.trim().strip_prefix("openclaw/")?;
    if layout.is_stand_in() {
        return None;
    }
    let name = AgentName::of_openclaw(id);
    let state_dir = database_dir().unwrap_or_else(|| layout.home.join(STATE_DIR_NAME));
    let dir = state_dir.join("agents").join(name.openclaw_id()?);
    let dir = dir.join("agent");
    Some(AgentRef { name, dir })
}

/// Lists the agents of OpenClaw whose credentials are in SQLite, sorted. They are followed, and
/// nothing is written for them. A gateway of the reference knows none.
#[must_use]
pub fn openclaw_agents(layout: &Layout) -> Vec<AgentRef> {
    let dir = database_dir().filter(|_| !layout.is_stand_in());
    let found = dir.map(|dir| agents_with_database(&dir));
    let agents = found.into_iter().flatten();
    // An id that is written otherwise could be a second one of the same name.
    let agents = agents.filter(|(id, _)| AgentName::from_id(id).as_str() == id);
    let agents = agents.map(|(id, dir)| AgentRef {
        name: AgentName::of_openclaw(&id),
        dir,
    });
    let mut agents: Vec<AgentRef> = agents.collect();
    agents.sort();
    agents
}

/// The agents a sync works on, sorted by name, each directory once: every agent directory of the
/// state directory and of `agents.list` that exists, and agent `main` even where its directory does
/// not exist yet.
///
/// # Errors
/// When the state directory's `agents` cannot be listed.
pub fn existing_agents(layout: &Layout, settings: &Settings) -> Result<Vec<AgentRef>, ConfigError> {
    let mut agents = vec![by_id(layout, settings, &AgentName::default())];
    let listed = settings
        .agents
        .iter()
        .map(|agent| by_id(layout, settings, &agent.name))
        .filter(|agent| disk::is_dir(&agent.dir));
    agents.extend(listed);
    let mut found = disk::agent_dirs(&layout.state_dir)?;
    found.sort(); // of two names for one directory the same one must win every time
    agents.extend(found.into_iter().map(|dir| by_dir(layout, settings, dir)));

    let mut known = Vec::new();
    agents.retain(|agent| {
        let identity = disk::identity(&agent.dir);
        let is_new = !known.contains(&identity);
        known.push(identity);
        is_new
    });
    agents.sort();
    Ok(agents)
}

fn by_id(layout: &Layout, settings: &Settings, id: &AgentName) -> AgentRef {
    by_dir(layout, settings, dir_of(layout, settings, id))
}

/// Names the agent of a directory: `main`, then the listed agents, then any agent id that leads
/// there, else the path. The name depends on the directory alone, or two names would keep two
/// copies of one store. So where file names ignore case, `MAIN` is `main`.
fn by_dir(layout: &Layout, settings: &Settings, dir: PathBuf) -> AgentRef {
    let main = AgentName::default();
    let listed = settings.agents.iter().map(|agent| &agent.name);
    let is_same = |name: &AgentName, dir: &Path| is_same_dir(&dir_of(layout, settings, name), dir);
    let mut known = [&main].into_iter().chain(listed);
    if let Some(name) = known.find(|name| is_same(name, &dir)).cloned() {
        let dir = dir_of(layout, settings, &name);
        return AgentRef { name, dir };
    }
    let dir = with_case_of_disk(layout, dir);
    let unlisted = unlisted_name(layout, &dir).filter(|name| is_same(name, &dir));
    AgentRef {
        name: unlisted.unwrap_or_else(|| AgentName::from_dir(&dir)),
        dir,
    }
}

/// Whether file names ignore case, as on Windows and macOS they do by default.
const IGNORES_CASE: bool = cfg!(any(windows, target_os = "macos"));

fn is_same_dir(a: &Path, b: &Path) -> bool {
    a == b || IGNORES_CASE && a.as_os_str().eq_ignore_ascii_case(b.as_os_str())
}

/// The directory of an agent, `<state>/agents/<id>/agent`, with the id as the disk has it. Any
/// other is returned as it is.
fn with_case_of_disk(layout: &Layout, dir: PathBuf) -> PathBuf {
    let Some(id) = unlisted_name(layout, &dir).filter(|_| IGNORES_CASE) else {
        return dir;
    };
    let real = disk::identity(&dir);
    let on_disk = real
        .parent()
        .and_then(|parent| parent.file_name()?.to_str());
    match on_disk {
        Some(name) if name.eq_ignore_ascii_case(id.as_str()) => {
            plain_dir(layout, &AgentName::from_id(name))
        }
        _ => dir,
    }
}

/// The agent id in a path of the form `<state>/agents/<id>/agent`.
fn unlisted_name(layout: &Layout, dir: &Path) -> Option<AgentName> {
    let id = dir
        .strip_prefix(layout.state_dir.join("agents"))
        .ok()?
        .parent()?
        .to_str()?;
    (!id.is_empty()).then(|| AgentName::from_id(id))
}

fn dir_of(layout: &Layout, settings: &Settings, id: &AgentName) -> PathBuf {
    let configured = settings
        .agents
        .iter()
        .find(|agent| agent.name == *id)
        .and_then(|agent| agent.dir.as_deref());
    configured.map_or_else(
        || plain_dir(layout, id),
        |dir| layout.user_path(Path::new(dir)),
    )
}

fn plain_dir(layout: &Layout, id: &AgentName) -> PathBuf {
    layout
        .state_dir
        .join("agents")
        .join(id.as_str())
        .join("agent")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::paths::Overrides;

    const LISTED: &str =
        "{agents: {list: [{id: 'ops', agentDir: '~/ops'}, {id: 'Work Agent!', default: true}]}}";

    struct World {
        home: tempfile::TempDir,
        settings: Settings,
    }

    impl World {
        fn new(config: &str) -> Self {
            let settings = Settings::parse(config, Path::new("clawdbot.json")).unwrap();
            Self {
                home: tempfile::tempdir().unwrap(),
                settings,
            }
        }

        fn env(&self, pairs: &[(&str, &str)]) -> Env {
            let home = self.home.path().to_str().unwrap();
            Env::from_pairs(
                [("HOME", home)]
                    .iter()
                    .chain(pairs)
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
            )
        }

        fn layout(&self) -> Layout {
            let overrides = Overrides {
                is_stand_in: true,
                ..Overrides::default()
            };
            Layout::resolve(&self.env(&[]), &overrides, Path::new("/")).unwrap()
        }

        fn status(&self, pairs: &[(&str, &str)], id: Option<&str>) -> (String, String) {
            let env = self.env(pairs);
            self.shown(&status_agent(&self.layout(), &self.settings, &env, id))
        }

        fn order(&self, id: Option<&str>) -> (String, String) {
            self.shown(&order_agent(&self.layout(), &self.settings, id))
        }

        fn shown(&self, agent: &AgentRef) -> (String, String) {
            let layout = self.layout();
            let dir = agent.name.dir();
            let name = dir.unwrap_or_else(|| agent.name.as_str().into());
            (layout.shorten_home(&name), layout.shorten_home(&agent.dir))
        }

        fn existing(&self) -> Vec<(String, String)> {
            let agents = existing_agents(&self.layout(), &self.settings).unwrap();
            agents.iter().map(|agent| self.shown(agent)).collect()
        }
    }

    fn pair(name: &str, dir: &str) -> (String, String) {
        (name.to_owned(), dir.to_owned())
    }

    #[test]
    fn status_goes_to_main_whatever_the_list_says_and_order_to_the_default_agent() {
        let world = World::new(LISTED);
        let got = world.status(&[], None);
        assert_eq!(got, pair("main", "~/.clawdbot/agents/main/agent"));
        let got = world.order(None);
        let dir = "~/.clawdbot/agents/work-agent/agent";
        assert_eq!(got, pair("work-agent", dir));
        assert_eq!(world.status(&[], Some("ops")), pair("ops", "~/ops"));
        assert_eq!(world.order(Some("ops")), pair("ops", "~/ops"));
    }

    #[test]
    fn the_directory_variables_move_status_and_a_known_directory_keeps_its_name() {
        let world = World::new(LISTED);
        let got = world.status(&[("PI_CODING_AGENT_DIR", "~/x")], None);
        assert_eq!(got, pair("~/x", "~/x"));
        let both = [
            ("CLAWDBOT_AGENT_DIR", "~/ops/"),
            ("PI_CODING_AGENT_DIR", "~/x"),
        ];
        assert_eq!(world.status(&both, None), pair("ops", "~/ops"));
        let unlisted = [("CLAWDBOT_AGENT_DIR", "~/.clawdbot/agents/lab/agent")];
        let got = world.status(&unlisted, None);
        assert_eq!(got, pair("lab", "~/.clawdbot/agents/lab/agent"));
        let shadowed = [("CLAWDBOT_AGENT_DIR", "~/.clawdbot/agents/ops/agent")];
        let dir = "~/.clawdbot/agents/ops/agent";
        let got = world.status(&shadowed, None);
        assert_eq!(got, pair(dir, dir), "the id `ops` leads elsewhere");
        let got = world.status(&both, Some("lab"));
        assert_eq!(got, pair("lab", "~/.clawdbot/agents/lab/agent"));
    }

    #[test]
    fn sync_works_on_what_exists_and_on_main() {
        let world = World::new(LISTED);
        let got = world.existing();
        assert_eq!(got, [pair("main", "~/.clawdbot/agents/main/agent")]);
        for dir in [
            "ops",
            ".clawdbot/agents/lab/agent",
            ".clawdbot/agents/no-agent-dir",
            ".clawdbot/agents/work-agent/agent",
        ] {
            fs::create_dir_all(world.home.path().join(dir)).unwrap();
        }
        let agents = world.home.path().join(".clawdbot/agents");
        std::os::unix::fs::symlink(agents.join("lab"), agents.join("also-lab")).unwrap();
        let want = [
            pair("also-lab", "~/.clawdbot/agents/also-lab/agent"),
            pair("main", "~/.clawdbot/agents/main/agent"),
            pair("ops", "~/ops"),
            pair("work-agent", "~/.clawdbot/agents/work-agent/agent"),
        ];
        let got = world.existing();
        assert_eq!(got, want, "`lab` and `also-lab` are one directory");
    }

    #[test]
    fn an_agents_directory_that_cannot_be_listed_is_an_error_and_a_file_is_no_directory() {
        let world = World::new("{}");
        let agents = world.home.path().join(".clawdbot/agents");
        fs::create_dir_all(agents.parent().unwrap()).unwrap();
        fs::write(&agents, "").unwrap();
        assert_eq!(world.existing().len(), 1);
        fs::remove_file(&agents).unwrap();
        std::os::unix::fs::symlink("agents", &agents).unwrap(); // a loop
        let error = existing_agents(&world.layout(), &world.settings).unwrap_err();
        assert!(matches!(error, ConfigError::AgentDirs { path, .. } if path == agents));
    }
}
