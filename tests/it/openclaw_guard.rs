//! Beside OpenClaw, the gateway's present name: nothing is written into its directories, by any
//! command.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use crate::refresh;
use crate::support::damage::{chmod, fingerprints};
use crate::support::home::{AGENT, Home, RUNTIME, Run, STORE};

const KEY: &str = "sk-test-openclaw-0123456789abcdef";
const PASTE: [&str; 7] = [
    "models",
    "auth",
    "paste-api-key",
    "--provider",
    "openai",
    "--profile-id",
    "openai:pasted",
];
const OPENCLAW_STORE: &str = ".openclaw/agents/main/agent/auth-profiles.json";

/// What shows each that a directory is OpenClaw's, and whether it is a database.
const MARKS: [(&str, bool); 4] = [
    ("openclaw.json", false),
    ("state/openclaw.sqlite", true),
    ("agents/ops/agent/openclaw-agent.sqlite", true),
    ("agents/main/agent/openclaw-agent.sqlite", true),
];

/// A home whose vault is beside the gateway's directories, as `--vault` or a move puts it there.
/// The gateway's directory is named: else one that OpenClaw has taken over is not asked at all.
struct World {
    home: Home,
}

impl World {
    fn new() -> Self {
        let home = Home::without_gateway();
        fs::create_dir(home.at("vault")).unwrap();
        chmod(&home.at("vault"), 0o700);
        Self { home }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command
            .env("CLAWKEEP_VAULT", self.home.at("vault/vault.db"))
            .env("CLAWDBOT_STATE_DIR", self.home.at(".clawdbot"));
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        self.command(args).output().unwrap().into()
    }

    fn paste(&self, key: &str) -> Run {
        let child = crate::support::home::start_with_input(self.command(&PASTE), key);
        child.wait_with_output().unwrap().into()
    }

    /// As OpenClaw's upgrade leaves it: the directory has its name, and a link has the old one.
    #[cfg(unix)]
    fn upgrade(&self) {
        fs::rename(self.home.at(".clawdbot"), self.home.at(".openclaw")).unwrap();
        symlink(self.home.at(".openclaw"), self.home.at(".clawdbot")).unwrap();
    }

    /// The findings of `doctor` with these ids.
    fn findings(&self, args: &[&str], id: &str) -> Vec<Value> {
        let run = self.run(&[&["doctor", "--json"], args].concat());
        let answer: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        let found = answer["findings"].as_array().unwrap().iter();
        found.filter(|found| found["id"] == id).cloned().collect()
    }

    fn has_profile(&self, id: &str) -> bool {
        let listed = self.run(&["models", "auth", "list", "--json"]).ok();
        listed.contains(id)
    }
}

fn store(profiles: &Value) -> String {
    json!({"version": 1, "profiles": profiles}).to_string()
}

fn api_key(key: &str) -> Value {
    json!({"type": "api_key", "provider": "openai", "key": key})
}

#[cfg(unix)] // links
#[test]
fn whatever_shows_that_a_tree_is_openclaws_no_command_writes_a_store_there() {
    for (mark, is_database) in MARKS {
        for is_linked in [true, false] {
            let world = World::new();
            let dir = [".clawdbot", ".openclaw"][usize::from(is_linked)];
            for agent in ["main", "ops"] {
                let agent = world.home.at(&format!("{dir}/agents/{agent}/agent"));
                fs::create_dir_all(&agent).unwrap();
                chmod(&agent, 0o700); // doctor closes what others can look into, also there
            }
            world.home.write(&format!("{dir}/{mark}"), "");
            chmod(&world.home.at(dir), 0o700);
            if is_linked {
                symlink(".openclaw", world.home.at(".clawdbot")).unwrap();
            }
            world
                .home
                .claude_login("sk-ant-oat01-openclaw-token-0001", 100);
            let before = fingerprints(&world.home.at(dir));
            let first = world.run(&["sync"]).exits(0);
            let said = "belongs to a newer gateway, OpenClaw,";
            assert_eq!(first.stderr.matches(said).count(), 1, "{mark}: {first:?}");
            assert_eq!(
                first
                    .stderr
                    .contains("which fails beside an auth-profiles.json"),
                is_database,
                "{first:?}"
            );
            assert!(!first.stderr.contains("plain text"), "{first:?}");
            world.paste(KEY).exits(0);
            world
                .run(&[
                    "models",
                    "auth",
                    "order",
                    "set",
                    "--provider",
                    "openai",
                    "openai:pasted",
                ])
                .ok();
            let again = world.run(&["sync"]).exits(0);
            assert_eq!(again.stderr, "", "said once: {mark}");
            assert!(
                world.has_profile("openai:pasted"),
                "the vault takes the change"
            );
            let refused = world.run(&["export"]).exits(1);
            assert!(refused.stderr.contains(said), "{refused:?}");
            for file in ["copy.json", "agents/ops/agent/auth-profiles.json"] {
                let to = format!("{}/{file}", world.home.at(dir).display());
                let run = world.run(&["export", "--to", &to, "--reveal"]);
                assert_ne!(run.status, 0, "{mark} {file}: {run:?}");
            }
            world.run(&["export", "--to", "copy.json", "--reveal"]).ok();
            assert!(world.home.read("copy.json").contains(KEY));
            world.run(&["doctor", "--repair"]);
            assert_eq!(fingerprints(&world.home.at(dir)), before, "{mark}");
        }
    }
}

/// Between OpenClaw's move of the directory and its first database, nothing but the name shows
/// whose it is.
#[cfg(unix)] // links
#[test]
fn the_name_alone_is_enough() {
    let world = World::new();
    fs::create_dir_all(world.home.at(".openclaw/agents/main/agent")).unwrap();
    symlink(world.home.at(".openclaw"), world.home.at(".clawdbot")).unwrap();
    let run = world.paste(KEY).exits(0);
    assert!(run.stderr.contains("belongs to a newer gateway"), "{run:?}");
    assert!(!world.home.at(STORE).exists());
    // Elsewhere it has the name that its variable gives it.
    let world = World::new();
    fs::create_dir_all(world.home.at(AGENT)).unwrap();
    let mut command = world.command(&["export"]);
    command.env("OPENCLAW_STATE_DIR", "~/.clawdbot");
    let run = Run::from(command.output().unwrap()).exits(1);
    assert!(run.stderr.contains("OpenClaw"), "{run:?}");
}

#[cfg(unix)] // a runtime directory
#[test]
fn in_memory_mode_no_link_is_put_there() {
    let world = World::new();
    fs::create_dir(world.home.at(RUNTIME)).unwrap();
    chmod(&world.home.at(RUNTIME), 0o700);
    world.home.write(
        ".clawdbot/clawkeep.toml",
        "[clawkeep]\nexport = \"runtime\"\n",
    );
    world.home.write(".clawdbot/openclaw.json", "{}");
    fs::create_dir_all(world.home.at(AGENT)).unwrap();
    world.paste(KEY).exits(0);
    world.run(&["sync"]).ok();
    assert!(fs::symlink_metadata(world.home.at(STORE)).is_err());
    assert!(world.has_profile("openai:pasted"));
}

#[cfg(unix)] // links
#[test]
fn the_live_store_of_a_json_era_openclaw_is_read_and_never_changed() {
    let world = World::new();
    let theirs = store(&json!({"openai:default": api_key(KEY)}));
    world.home.write(OPENCLAW_STORE, &theirs);
    world.home.write(".openclaw/openclaw.json", "{}");
    symlink(".openclaw", world.home.at(".clawdbot")).unwrap();
    let token = world.run(&["token", "--provider", "openai"]).exits(0);
    assert_eq!(token.stdout.trim(), KEY);
    world.paste("sk-test-another-0123456789abcdef").exits(0);
    let found = world.findings(&["--repair"], "store.withheld");
    assert_eq!(found.len(), 1, "{found:?}");
    let message = found[0]["message"].as_str().unwrap();
    assert!(message.contains("live store"), "{message}");
    assert!(
        world
            .findings(&["--repair"], "store.beside-openclaw")
            .is_empty()
    );
    assert_eq!(world.home.read(OPENCLAW_STORE), theirs);
}

#[test]
fn a_login_in_the_live_store_of_openclaw_is_left_to_it() {
    let (home, provider) = refresh::home();
    home.write(".openclaw/openclaw.json", "{}");
    home.write(OPENCLAW_STORE, home.read(STORE));
    let run = refresh::token(&home).exits(1);
    assert!(run.stderr.contains("a newer gateway has it"), "{run:?}");
    assert_eq!(provider.count(), 0);
    // With a database, the file is live no more, and this vault's login is its own.
    fs::remove_file(home.at(OPENCLAW_STORE)).unwrap();
    refresh::token(&home).exits(0);
    assert_eq!(provider.count(), 1);
}

#[cfg(unix)] // links
#[test]
fn a_copy_of_ours_beside_openclaws_database_is_removed_once_it_is_proved_to_be_one() {
    let world = World::new();
    fs::create_dir_all(world.home.at(AGENT)).unwrap();
    world.paste(KEY).exits(0);
    world.upgrade();
    assert!(world.home.at(OPENCLAW_STORE).exists());
    assert!(
        world
            .findings(&["--repair"], "store.beside-openclaw")
            .is_empty(),
        "without a database it may be OpenClaw's live store"
    );
    assert!(world.home.at(OPENCLAW_STORE).exists());
    world
        .home
        .write(".openclaw/state/openclaw.sqlite", "SQLite format 3\0");
    let found = world.findings(&["--non-interactive"], "store.beside-openclaw");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["repairable"], true, "{found:?}");
    let message = found[0]["message"].as_str().unwrap();
    assert!(message.contains("makes OpenClaw fail"), "{message}");
    assert!(
        world.home.at(OPENCLAW_STORE).exists(),
        "looking removes nothing"
    );
    let found = world.findings(&["--repair"], "store.beside-openclaw");
    assert_eq!(found[0]["repaired"], true, "{found:?}");
    assert!(!world.home.at(OPENCLAW_STORE).exists());
    assert!(world.findings(&[], "store.beside-openclaw").is_empty());
    world.run(&["sync"]).ok();
    assert!(!world.home.at(OPENCLAW_STORE).exists());
    let removed = world
        .run(&["history", "--json", "--kind", "export.written"])
        .json();
    let newest = &removed["events"][0];
    assert_eq!(newest["detail"]["reason"], "removed", "{newest}");
    let token = world.run(&["token", "--profile", "openai:pasted"]).ok();
    assert_eq!(token.trim(), KEY);
    world.run(&["audit", "verify"]).ok();
}

#[cfg(unix)] // links
#[test]
fn what_is_not_proved_to_be_a_copy_of_ours_stays() {
    type Harm = fn(&World);
    let cases: [(&str, Harm); 3] = [
        ("it is not as clawkeep wrote it", |world| {
            let mut doc = world.home.json(OPENCLAW_STORE);
            doc["profiles"]["openai:theirs"] = api_key("sk-test-theirs-0123456789abcdef");
            world.home.write(OPENCLAW_STORE, doc.to_string());
        }),
        // What another program wrote is known to the vault, which holds it by now: it still is not
        // ours.
        ("it is not as clawkeep wrote it", |world| {
            let mut doc = world.home.json(OPENCLAW_STORE);
            doc["profiles"]["openai:theirs"] = api_key("sk-test-theirs-0123456789abcdef");
            world.home.write(OPENCLAW_STORE, doc.to_string());
            world.run(&["sync"]).ok();
            assert!(world.has_profile("openai:theirs"));
        }),
        ("the vault does not hold openai:pasted", |world| {
            world
                .run(&["models", "auth", "remove", "openai:pasted", "--yes"])
                .exits(0);
        }),
    ];
    for (why, harm) in cases {
        let world = World::new();
        fs::create_dir_all(world.home.at(AGENT)).unwrap();
        world.paste(KEY).exits(0);
        world.upgrade();
        world
            .home
            .write(".openclaw/state/openclaw.sqlite", "SQLite format 3\0");
        harm(&world);
        let before = world.home.read(OPENCLAW_STORE);
        let found = world.findings(&["--repair"], "store.beside-openclaw");
        assert_eq!(found.len(), 1, "{why}: {found:?}");
        assert_eq!(found[0]["repairable"], false, "{found:?}");
        let message = found[0]["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
        assert_eq!(world.home.read(OPENCLAW_STORE), before);
    }
}

#[test]
fn openclaw_in_a_directory_of_its_own_is_named() {
    let world = World::new();
    world.home.write(
        OPENCLAW_STORE,
        store(&json!({"openai:default": api_key(KEY)})),
    );
    world.home.write(".openclaw/openclaw.json", "{}");
    let before = fingerprints(&world.home.at(".openclaw"));
    let token = world.run(&["token", "--provider", "openai"]).exits(1);
    let said = world.home.with_tilde(token.stderr);
    assert!(said.contains("~/.openclaw"), "{said}");
    let found = world.findings(&[], "store.openclaw");
    assert_eq!(found.len(), 1, "{found:?}");
    let fix = found[0]["fix"].as_str().unwrap();
    let import = fix.split("clawkeep ").last().unwrap();
    let path = import
        .trim_start_matches("import ")
        .replace('~', world.home.path().to_str().unwrap());
    world.run(&["import", &path]).exits(0);
    assert!(world.has_profile("openai:default"));
    assert_eq!(fingerprints(&world.home.at(".openclaw")), before);
}

#[test]
fn the_first_plain_copy_of_each_store_is_announced() {
    let said = "a copy of the credentials in plain text";
    let home = Home::with_claude("sk-ant-oat01-announced-token-0001", 100);
    let run = home.run(&["sync"]).exits(0);
    assert!(run.stderr.contains(said), "{run:?}");
    assert!(
        run.stderr.contains(STORE) && run.stderr.contains("clawkeep.toml"),
        "{run:?}"
    );
    home.claude_login("sk-ant-oat01-announced-token-0002", 200);
    for args in [&["sync"][..], &["export"], &["models", "status"]] {
        let run = home.run(args).exits(0);
        assert!(!run.stderr.contains(said), "{run:?}");
    }
    fs::remove_file(home.at(STORE)).unwrap();
    let run = home.run(&["sync"]).exits(0);
    assert!(!run.stderr.contains(said), "once a store: {run:?}");
    fs::create_dir_all(home.at(".clawdbot/agents/ops/agent")).unwrap();
    let run = home.run(&["sync"]).exits(0);
    assert!(
        run.stderr.contains("/agents/ops/agent/"),
        "another store: {run:?}"
    );
}

#[test]
fn where_the_copy_is_wanted_as_it_is_nothing_is_announced() {
    let said = "plain text";
    let quiet = Home::with_claude("sk-ant-oat01-announced-token-0001", 100);
    let run = quiet.run(&["-q", "sync"]).exits(0);
    assert_eq!(run.stderr, "");
    let off = Home::with_claude("sk-ant-oat01-announced-token-0001", 100);
    off.write(".clawdbot/clawkeep.toml", "[clawkeep]\nexport = \"off\"\n");
    let run = off.run(&["sync"]).exits(0);
    assert!(!run.stderr.contains(said), "{run:?}");
}

/// Under the gateway's name, this program says nothing that it would not.
#[cfg(unix)] // links
#[test]
fn under_the_gateways_name_nothing_is_announced() {
    let gateway = Home::with_claude("sk-ant-oat01-announced-token-0001", 100);
    fs::create_dir(gateway.at("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_clawkeep"), gateway.at("bin/clawdbot")).unwrap();
    let mut command = Command::new(gateway.at("bin/clawdbot"));
    command.args(["models", "status"]).env_clear();
    command
        .env("HOME", gateway.path())
        .current_dir(gateway.path());
    let run = Run::from(command.output().unwrap()).exits(0);
    assert!(
        gateway.at(STORE).exists() && !run.stderr.contains("plain text"),
        "{run:?}"
    );
}

/// What cannot be read may hold the login: sending its refresh token would log OpenClaw out.
#[test]
fn a_live_store_of_openclaw_that_cannot_be_read_refreshes_nothing() {
    type Harm = fn(&Home);
    let harms: &[(&str, Harm)] = &[
        ("it ends in the middle", |home| {
            let text = home.read(OPENCLAW_STORE);
            home.write(OPENCLAW_STORE, &text[..text.len() / 2]);
        }),
        ("it is empty", |home| home.write(OPENCLAW_STORE, "")),
        ("is not a regular file", |home| {
            fs::remove_file(home.at(OPENCLAW_STORE)).unwrap();
            fs::create_dir(home.at(OPENCLAW_STORE)).unwrap();
        }),
        #[cfg(unix)]
        ("auth-profiles.json", |home| {
            chmod(&home.at(OPENCLAW_STORE), 0o666);
        }),
    ];
    for (said, harm) in harms {
        let (home, provider) = refresh::home();
        home.write(".openclaw/openclaw.json", "{}");
        home.write(OPENCLAW_STORE, home.read(STORE));
        harm(&home);
        let run = refresh::token(&home).exits(1);
        for said in [
            "whether the newer gateway, OpenClaw, has it cannot be known",
            said,
        ] {
            assert!(run.stderr.contains(said), "{said}: {run:?}");
        }
        assert!(run.stderr.contains("Repair that store"), "{run:?}");
        assert_eq!(provider.count(), 0, "{said}");
        // Without it, the login is this vault's own.
        fs::remove_dir_all(home.at(".openclaw")).unwrap();
        refresh::token(&home).exits(0);
        assert_eq!(provider.count(), 1);
    }
}

/// An agent that is configured no more is known by the store that was written for it.
#[test]
fn a_login_of_an_agent_known_by_its_store_alone_is_left_to_openclaw_too() {
    let (home, provider) = refresh::home();
    home.write("other/agent/auth-profiles.json", home.read(STORE));
    chmod(&home.at("other"), 0o700);
    chmod(&home.at("other/agent"), 0o700);
    let config = ".clawdbot/clawdbot.json";
    let agents = json!([{"id": "main"}, {"id": "ops", "agentDir": home.at("other/agent")}]);
    home.write(config, json!({"agents": {"list": agents}}).to_string());
    home.run(&["models", "auth", "list", "--agent", "ops"]).ok();
    home.write(config, "{}");
    home.write("other/agent/openclaw-agent.sqlite", "");
    let run = refresh::token(&home).exits(1);
    assert!(run.stderr.contains("a newer gateway has it"), "{run:?}");
    assert_eq!(provider.count(), 0);
    fs::remove_file(home.at("other/agent/openclaw-agent.sqlite")).unwrap();
    refresh::token(&home).exits(0);
    assert_eq!(provider.count(), 1);
}
