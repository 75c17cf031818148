//! Many agents on one machine: a login reaches all of them, each as if it had been loaded by
//! itself; what is out of the ordinary with one of them is that one's.

use std::fs;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::killed::{Killer, timed};
use crate::support::home::{Home, STORE};
use crate::support::random::number;

const PROFILE: &str = "anthropic:claude-cli";

/// Agents beside `main`; more than are loaded side by side.
const OTHERS: usize = 140;

fn name(at: usize) -> String {
    format!("agent{at:03}")
}

fn store_of(agent: &str) -> String {
    format!(".clawdbot/agents/{agent}/agent/auth-profiles.json")
}

/// A home with that many agents beside `main`, all of them synced.
fn home_with(others: usize) -> Home {
    let home = Home::with_claude("sk-ant-oat01-first", 8);
    for at in 0..others {
        let dir = home.at(&format!(".clawdbot/agents/{}/agent", name(at)));
        fs::create_dir_all(dir).unwrap();
    }
    home.run(&["init", "--key", "keyfile"]).ok();
    home.run(&["sync"]).ok();
    home
}

fn token_in(home: &Home, agent: &str) -> Value {
    home.json(&store_of(agent))["profiles"][PROFILE]["token"].clone()
}

fn modified(home: &Home, rel: &str) -> SystemTime {
    fs::metadata(home.at(rel)).unwrap().modified().unwrap()
}

/// A directory that others can write, and one that cannot be searched, are refused by themselves.
#[cfg(unix)]
#[test]
fn one_agents_unusable_directory_stops_no_other_agent() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let home = home_with(4);
    let dir = |at: usize| home.at(&format!(".clawdbot/agents/{}/agent", name(at)));
    fs::set_permissions(dir(1), fs::Permissions::from_mode(0o777)).unwrap();
    fs::remove_dir_all(dir(2)).unwrap();
    symlink("agent", dir(2)).unwrap(); // leads to itself
    home.claude_login("sk-ant-oat01-second", 16);
    let run = home.run(&["sync"]).exits(65);
    assert!(
        run.stderr
            .contains("agent001/agent can be written by other users"),
        "{run:?}"
    );
    assert!(!run.stderr.contains("OpenClaw"), "{run:?}");
    for agent in ["main", "agent000", "agent003"] {
        assert_eq!(token_in(&home, agent), "sk-ant-oat01-second", "{agent}");
    }
    assert_eq!(token_in(&home, "agent001"), "sk-ant-oat01-first");
    let doctor = home.run(&["doctor", "--repair"]);
    assert!(!doctor.stdout.contains("openclaw"), "{doctor:?}");
    assert!(home.at(&store_of("agent000")).exists());
}

/// Where file names ignore case: two names would keep two copies of one store.
#[cfg(windows)]
#[test]
fn an_agent_id_in_another_case_is_the_same_agent() {
    let home = home_with(1);
    for (typed, agent) in [("MAIN", "main"), ("Agent000", "agent000")] {
        let key = format!("sk-test-openai-of-{agent}");
        let mut paste = vec!["models", "auth", "paste-api-key", "--agent", typed];
        paste.extend(["--provider", "openai"]);
        home.run_with_input(&paste, &key).ok();
        let stored = home.json(&store_of(agent))["profiles"]["openai:manual"]["key"].clone();
        assert_eq!(stored, key.as_str());
        let added = home.newest("profile.created").unwrap();
        assert_eq!(added["agent"], agent, "{added}");
    }
    home.run(&["sync"]).ok();
    assert_eq!(home.run(&["sync"]).ok().lines().count(), 2);
}

#[test]
fn a_login_reaches_all_of_them_main_first_and_each_has_its_events() {
    let home = home_with(OTHERS);
    home.claude_login("sk-ant-oat01-second", 9);
    home.run(&["sync"]).ok();
    let main = modified(&home, STORE);
    for at in 0..OTHERS {
        assert_eq!(token_in(&home, &name(at)), "sk-ant-oat01-second");
        assert!(main <= modified(&home, &store_of(&name(at))), "{at}");
    }
    assert_eq!(token_in(&home, "main"), "sk-ant-oat01-second");
    for at in [0, OTHERS / 2, OTHERS - 1] {
        let agent = name(at);
        let events = home.run(&["history", "--agent", &agent, "--json"]).json();
        let kinds: Vec<&str> = (events["events"].as_array().unwrap().iter())
            .map(|event| event["kind"].as_str().unwrap())
            .collect();
        let of = |kind: &str| kinds.iter().filter(|found| **found == kind).count();
        assert_eq!(of("sync.applied"), 2, "{agent}: {kinds:?}");
        assert_eq!(of("export.written"), 2, "{agent}: {kinds:?}");
    }
    let count = home.events().len();
    home.run(&["sync"]).ok();
    assert_eq!(home.events().len(), count, "nothing is left to be done");
    home.assert_sound();
    let left = home
        .files()
        .into_iter()
        .filter(|file| file.ends_with("clawkeep-tmp") || file.ends_with("auth-profiles.json.lock"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn unusual_entries_are_treated_as_before() {
    let home = home_with(8);
    let key = |key: &str| json!({"type": "api_key", "provider": "openai", "key": key});
    // Another program adds a key to one store, takes another away, damages a third.
    let mut store = home.json(&store_of(&name(0)));
    store["profiles"]["openai:added"] = key("sk-added-by-a-gateway");
    home.write(&store_of(&name(0)), store.to_string());
    fs::remove_file(home.at(&store_of(&name(1)))).unwrap();
    home.write(&store_of(&name(2)), "{\"version\": 1, \"profi");
    // A write was cut off, after a gateway had written.
    let mut left = home.json(&store_of(&name(3)));
    left["profiles"]["openai:left"] = key("sk-left-by-a-gateway");
    home.write(
        &format!("{}.clawkeep-tmp", store_of(&name(3))),
        left.to_string(),
    );
    // Two agents have one store.
    fs::remove_file(home.at(&store_of(&name(4)))).unwrap();
    std::os::unix::fs::symlink(home.at(&store_of(&name(5))), home.at(&store_of(&name(4)))).unwrap();
    // A gateway has one.
    fs::create_dir(home.at(&format!("{}.lock", store_of(&name(6))))).unwrap();
    home.claude_login("sk-ant-oat01-second", 9);

    let run = home.run(&["watch", "--once"]);
    assert_ne!(run.status, 0, "one store is locked: {run:?}");
    assert!(run.stderr.contains(&name(6)), "{run:?}");
    for at in [0, 1, 2, 3, 4, 5, 7] {
        assert_eq!(
            token_in(&home, &name(at)),
            "sk-ant-oat01-second",
            "{at}: {run:?}"
        );
    }
    assert_eq!(token_in(&home, &name(6)), "sk-ant-oat01-first");
    let added = home.json(&store_of(&name(0)))["profiles"]["openai:added"]["key"].clone();
    assert_eq!(added, "sk-added-by-a-gateway");
    let kept = home.json(&store_of(&name(3)))["profiles"]["openai:left"]["key"].clone();
    assert_eq!(kept, "sk-left-by-a-gateway");
    let aside = home
        .files()
        .into_iter()
        .filter(|file| file.starts_with(&store_of(&name(2))) && file.contains(".corrupt-"));
    assert_eq!(aside.count(), 1, "the damaged store is kept aside");

    fs::remove_dir(home.at(&format!("{}.lock", store_of(&name(6))))).unwrap();
    home.run(&["watch", "--once"]).ok();
    assert_eq!(token_in(&home, &name(6)), "sk-ant-oat01-second");
    home.assert_sound();
}

#[cfg(unix)]
#[test]
fn agents_of_different_groups_may_share_a_store() {
    let home = home_with(OTHERS);
    // The last agent's lock is the first one's, whose file may be being written when the last one
    // is decided.
    let shared = store_of(&name(OTHERS - 1));
    fs::remove_file(home.at(&shared)).unwrap();
    std::os::unix::fs::symlink(home.at(&store_of(&name(0))), home.at(&shared)).unwrap();
    home.claude_login("sk-ant-oat01-second", 9);
    home.run(&["watch", "--once"]).ok();
    for at in 0..OTHERS {
        assert_eq!(token_in(&home, &name(at)), "sk-ant-oat01-second", "{at}");
    }
    let is_link = fs::symlink_metadata(home.at(&shared)).unwrap().is_symlink();
    assert!(is_link, "the user's link stays");
    let count = home.events().len();
    home.run(&["watch", "--once"]).ok();
    assert_eq!(home.events().len(), count, "nothing is left to be done");
    home.assert_sound();
}

#[test]
fn killed_at_any_moment_the_next_command_finishes() {
    let home = home_with(OTHERS);
    let mut run_times = Vec::new();
    for at in 0..3 {
        home.claude_login(&format!("sk-ant-oat01-timed-{at}"), 9 + at);
        run_times.push(timed(&mut home.command(&["sync"])));
    }
    let mut killer = Killer::new("many agents", run_times);
    let kills = i64::try_from(number("CLAWKEEP_KILLS", 60).div_ceil(10)).unwrap();
    for at in 0..kills {
        let token = format!("sk-ant-oat01-killed-{at}");
        home.claude_login(&token, 20 + at);
        killer.kill(home.command(&["sync"]));
        home.assert_sound();
        for agent in (0..OTHERS).map(name) {
            let store: Value = serde_json::from_str(&home.read(&store_of(&agent)))
                .unwrap_or_else(|error| panic!("{}: {agent}: {error}", killer.at()));
            assert!(store["profiles"][PROFILE]["token"].is_string());
        }
        home.run(&["sync"]).ok();
        for agent in (0..OTHERS).map(name) {
            assert_eq!(token_in(&home, &agent), token.as_str(), "{}", killer.at());
        }
    }
    home.assert_sound();
    killer.report();
}

#[cfg(unix)]
#[test]
fn the_files_that_one_process_may_have_open_are_enough() {
    let home = home_with(70);
    home.claude_login("sk-ant-oat01-second", 9);
    let clawkeep = env!("CARGO_BIN_EXE_clawkeep");
    let run = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" sync", clawkeep])
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    for at in 0..70 {
        assert_eq!(token_in(&home, &name(at)), "sk-ant-oat01-second");
    }
}
