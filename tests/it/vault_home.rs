//! Where a new vault lies, where an existing one is found, and moving it.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::killed::{Ended, STEPS, kill_at};
use super::support::damage::set_modified;
use super::support::home::{Home, STORE, TRUE, VAULT};
use super::support::watch::Watch;

/// Where a new vault lies if no gateway is here.
const DATA: &str = ".local/share/clawkeep";
const DATA_VAULT: &str = ".local/share/clawkeep/vault.db";
const DATA_STORE: &str = ".local/share/clawkeep/agents/main/agent/auth-profiles.json";
const SETTINGS: &str = "[clawkeep]\nretention = \"400d\"\n";
const LOGIN: &str = "sk-ant-oat01-of-claude-code-0001";

/// Adds a key, whose text `token` then prints.
fn paste(home: &Home, provider: &str, secret: &str) {
    let args = ["models", "auth", "paste-api-key", "--provider", provider];
    home.run_with_input(&args, secret).ok();
}

fn token(home: &Home, provider: &str) -> String {
    let args = ["token", "-q", "--provider", provider];
    home.run(&args).ok().trim_end().to_owned()
}

#[cfg(unix)]
fn as_gateway(home: &Home, args: &[&str]) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = home.command(args);
    command.arg0("clawdbot");
    command
}

/// The findings of `doctor`, by id.
fn findings(home: &Home, args: &[&str]) -> Vec<Value> {
    let args: Vec<&str> = ["doctor", "--json"].iter().chain(args).copied().collect();
    let run = home.run(&args);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    report["findings"].as_array().unwrap().clone()
}

fn finding(home: &Home, id: &str) -> Option<Value> {
    let found = findings(home, &["--non-interactive"]);
    found.into_iter().find(|finding| finding["id"] == id)
}

/// A vault in `~/.clawdbot`, which only clawkeep uses, with a key, a login, settings and a store.
fn only_ours() -> Home {
    let home = Home::with_claude(LOGIN, 100);
    home.write(".clawdbot/clawkeep.toml", SETTINGS);
    paste(&home, "openai", "sk-the-key-of-openai-0001");
    assert!(home.at(VAULT).exists() && home.at(STORE).exists());
    home
}

#[test]
fn a_new_vault_lies_among_the_users_data_if_no_gateway_is_here() {
    let home = Home::without_gateway();
    home.claude_login(LOGIN, 100);
    let said = home.run(&["sync"]).exits(0).stderr;
    assert!(said.contains("~/.local/share/clawkeep/vault.db"), "{said}");
    assert!(
        said.contains("~/.local/share/clawkeep/clawkeep.toml"),
        "{said}"
    );
    assert!(!home.at(".clawdbot").exists());
    assert_eq!(token(&home, "anthropic"), LOGIN);
    // No gateway reads a plain copy there.
    assert!(home.at(DATA_VAULT).exists() && !home.at(DATA_STORE).exists());
    let refused = home.run(&["export"]).exits(1).stderr;
    assert!(refused.contains("no gateway reads it"), "{refused}");
    #[cfg(unix)]
    {
        symlink(home.at(".local/share/clawkeep"), home.at("link")).unwrap();
        home.run(&["sync", "--state-dir", home.at("link").to_str().unwrap()])
            .ok();
        assert!(!home.at(DATA_STORE).exists());
    }
    home.write(
        ".local/share/clawkeep/clawkeep.toml",
        "clawkeep.export = \"file\"",
    );
    home.run(&["export"]).ok();
    assert!(home.read(DATA_STORE).contains(LOGIN));

    let elsewhere = Home::without_gateway();
    let mut command = elsewhere.command(&["init", "--key", "keyfile"]);
    command.env("XDG_DATA_HOME", elsewhere.at("data"));
    assert!(command.status().unwrap().success());
    assert!(elsewhere.at("data/clawkeep/vault.db").exists());
}

#[test]
fn the_first_place_that_applies_is_taken() {
    // Each kind of data makes `~/.clawdbot` the place; an empty directory does not.
    for (data, is_place) in [
        (".clawdbot/clawdbot.json", true),
        (".clawdbot/clawkeep.toml", true),
        (".clawdbot/agents/main/agent/x", true),
        (".clawdbot/credentials/oauth.json", true),
        (".clawdbot/other", false),
        (".clawdbot/openclaw.json", false),
    ] {
        let home = Home::without_gateway();
        home.write(data, if data.ends_with("json") { "{}" } else { "" });
        home.run(&["init", "--key", "keyfile"]).ok();
        assert_eq!(home.at(VAULT).exists(), is_place, "{data}");
        assert_eq!(home.at(DATA_VAULT).exists(), !is_place, "{data}");
    }

    let home = Home::without_gateway();
    let run = |variable: Option<(&str, &str)>, args: &[&str]| {
        let mut command = home.command(args);
        command.envs(variable);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let init = ["init", "--key", "keyfile"];
    run(Some(("CLAWDIS_STATE_DIR", "~/dis")), &init);
    assert!(home.at("dis/vault.db").exists());
    run(Some(("CLAWDBOT_STATE_DIR", "~/bot")), &init);
    assert!(home.at("bot/vault.db").exists());
    let named = ["--state-dir", "named", "init", "--key", "keyfile"];
    run(Some(("CLAWDBOT_STATE_DIR", "~/bot")), &named);
    assert!(home.at("named/vault.db").exists());
    assert!(!home.at(".clawdbot").exists() && !home.at(DATA).exists());
}

#[cfg(unix)]
#[test]
fn under_the_gateways_name_a_new_vault_lies_as_the_gateways_files_do() {
    let home = Home::without_gateway();
    home.claude_login(LOGIN, 100);
    let status = as_gateway(&home, &["models", "status"]).output().unwrap();
    assert!(status.status.success(), "{status:?}");
    assert!(home.at(VAULT).exists() && home.at(STORE).exists());
    assert!(!home.at(DATA).exists());
}

#[cfg(unix)]
#[test]
fn under_neither_name_a_vault_is_made_in_openclaws_directory() {
    let home = Home::without_gateway();
    home.write(".openclaw/openclaw.json", "{}");
    symlink(".openclaw", home.at(".clawdbot")).unwrap();
    for mut command in [
        home.command(&["sync"]),
        as_gateway(&home, &["models", "status"]),
    ] {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(home.at(DATA_VAULT).exists(), "{output:?}");
        let names: Vec<_> = fs::read_dir(home.at(".openclaw")).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        fs::remove_dir_all(home.at(DATA)).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn an_existing_vault_is_used_under_both_names_and_a_gateways_files_where_they_are() {
    let home = Home::without_gateway();
    home.claude_login(LOGIN, 100);
    home.run(&["sync"]).ok();
    // A gateway of the reference comes later, with a key of its own.
    home.write(".clawdbot/clawdbot.json", "{}");
    home.write(
        STORE,
        json!({"version": 1, "profiles": {"xai:default":
            {"type": "api_key", "provider": "xai", "key": "xai-of-the-gateway-0001"}}})
        .to_string(),
    );
    assert_eq!(token(&home, "xai"), "xai-of-the-gateway-0001");
    assert_eq!(
        home.exported_token("anthropic:claude-cli").as_deref(),
        Some(LOGIN)
    );
    let status = as_gateway(&home, &["models", "status"]).output().unwrap();
    assert!(status.status.success(), "{status:?}");
    assert!(!home.at(VAULT).exists());
    // The name of the usual directory is no other place.
    let mut named = home.command(&["token", "--provider", "xai"]);
    named.env("CLAWDBOT_STATE_DIR", home.at(".clawdbot"));
    assert!(named.output().unwrap().status.success());
    assert!(!home.at(VAULT).exists());
    assert_eq!(home.count_of("vault.created"), 1);
}

#[cfg(unix)]
#[test]
fn a_vault_behind_openclaws_link_stays_in_use_and_is_moved_out_by_the_repair() {
    let home = only_ours();
    // What OpenClaw's upgrade leaves.
    fs::rename(home.at(".clawdbot"), home.at(".openclaw")).unwrap();
    symlink(".openclaw", home.at(".clawdbot")).unwrap();
    home.write(".openclaw/openclaw.json", "{}");
    assert_eq!(token(&home, "openai"), "sk-the-key-of-openai-0001");
    assert!(!home.at(DATA_VAULT).exists());
    let found = finding(&home, "vault.place").unwrap();
    assert_eq!(found["repairable"], true, "{found}");
    assert!(
        found["message"]
            .as_str()
            .unwrap()
            .contains("~/.openclaw/vault.db"),
        "{found}"
    );

    findings(&home, &["--repair"]);
    assert_moved(&home, "");
    assert!(!home.at(".openclaw/vault.db").exists());
    assert!(!home.at(".openclaw/clawkeep.toml").exists());
    assert!(home.at(".openclaw/openclaw.json").exists());
}

/// The vault and its settings are among the user's data, whole, and nowhere else.
#[track_caller]
fn assert_moved(home: &Home, at: &str) {
    assert!(home.at(DATA_VAULT).exists(), "{at}");
    assert_eq!(home.read(&format!("{DATA}/clawkeep.toml")), SETTINGS);
    for end in ["", "-wal", "-shm", ".lock", ".lease"] {
        assert!(!home.at(&format!("{VAULT}{end}")).exists(), "{at}: {end}");
    }
    assert_eq!(token(home, "openai"), "sk-the-key-of-openai-0001");
    assert_eq!(token(home, "anthropic"), LOGIN);
    home.run(&["audit", "verify"]).ok();
    assert_eq!(home.count_of("vault.created"), 1, "{at}");
    assert_eq!(finding(home, "vault.place"), None, "{at}");
}

#[test]
fn a_directory_that_only_clawkeep_uses_is_cleared_for_openclaw() {
    let home = only_ours();
    assert_eq!(finding(&home, "vault.place"), None, "no OpenClaw is here");
    fs::create_dir(home.at(".openclaw")).unwrap();
    let found = finding(&home, "vault.place").unwrap();
    assert!(
        found["message"]
            .as_str()
            .unwrap()
            .contains("refuses to start"),
        "{found}"
    );
    findings(&home, &["--repair"]);
    assert_moved(&home, "");
    assert!(!home.at(".clawdbot").exists());
    assert!(!home.at(DATA_STORE).exists(), "no gateway reads it there");
    let moved: Vec<_> = home
        .kinds()
        .into_iter()
        .filter(|kind| kind == "vault.moved")
        .collect();
    assert_eq!(moved.len(), 1);
}

#[test]
fn openclaw_is_found_by_its_program_too_and_a_gateways_directory_is_left_alone() {
    let home = only_ours();
    home.write("bin/openclaw", "#!/bin/sh\n");
    let found = |home: &Home| {
        let mut command = home.command(&["doctor", "--json", "--non-interactive"]);
        command.env("PATH", home.at("bin"));
        let stdout = command.output().unwrap().stdout;
        String::from_utf8(stdout).unwrap().contains("vault.place")
    };
    assert!(found(&home));
    for other in [
        ".clawdbot/clawdbot.json",
        ".clawdbot/agents/main/sessions/s.json",
    ] {
        home.write(other, r#"{"gateway": {}}"#);
        assert!(!found(&home), "{other} is a gateway's");
        fs::remove_file(home.at(other)).unwrap();
        let _ = fs::remove_dir(home.at(other).parent().unwrap());
    }
    assert!(found(&home));
}

#[test]
fn a_vault_is_moved_to_another_file_system() {
    let shared = Path::new("/dev/shm");
    if !shared.is_dir() {
        return super::support::skip::skip("shm", "there is no /dev/shm");
    }
    let memory = tempfile::tempdir_in(shared).unwrap();
    let home = only_ours();
    fs::create_dir(home.at(".openclaw")).unwrap();
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("XDG_DATA_HOME", memory.path());
        command.output().unwrap()
    };
    run(&["doctor", "--repair"]);
    assert!(memory.path().join("clawkeep/vault.db").exists());
    assert!(!home.at(".clawdbot").exists());
    let answer = run(&["token", "-q", "--provider", "openai"]);
    assert_eq!(answer.stdout, b"sk-the-key-of-openai-0001\n");
}

#[test]
fn watch_goes_on_where_the_vault_is_moved_to() {
    let home = only_ours();
    fs::create_dir(home.at(".openclaw")).unwrap();
    let watch = Watch::start(&home, &[]);
    findings(&home, &["--repair"]);
    let renewed = "sk-ant-oat01-of-claude-code-0002";
    home.claude_login(renewed, 200);
    watch.until("the login is in the vault", || {
        token(&home, "anthropic") == renewed
    });
    drop(watch);
    assert!(!home.at(".clawdbot").exists());
    assert_eq!(token(&home, "anthropic"), renewed);
    assert_eq!(home.count_of("vault.created"), 1);
}

#[cfg(unix)]
#[test]
fn watch_follows_the_vault_through_openclaws_upgrade() {
    let home = only_ours();
    let watch = Watch::start(&home, &[]);
    fs::rename(home.at(".clawdbot"), home.at(".openclaw")).unwrap();
    // Whatever runs between the two steps makes nothing under the old name.
    let status = home.run(&["models", "status"]);
    assert_eq!(status.status, 0, "{status:?}");
    let status = as_gateway(&home, &["models", "status"]).output().unwrap();
    assert!(status.status.success(), "{status:?}");
    assert!(!home.at(".clawdbot").is_symlink() && !home.at(".clawdbot").exists());
    symlink(home.at(".openclaw"), home.at(".clawdbot")).unwrap();
    let renewed = "sk-ant-oat01-of-claude-code-0002";
    home.claude_login(renewed, 200);
    watch.until("the login is in the vault", || {
        token(&home, "anthropic") == renewed
    });
    assert!(home.at(".openclaw/vault.db").exists() && !home.at(DATA_VAULT).exists());
    assert_eq!(home.count_of("vault.created"), 1);
    findings(&home, &["--repair"]);
    watch.says("the vault is now");
    let last = "sk-ant-oat01-of-claude-code-0003";
    home.claude_login(last, 300);
    watch.until("the login is in the vault", || {
        token(&home, "anthropic") == last
    });
    assert!(home.at(DATA_VAULT).exists() && !home.at(".openclaw/vault.db").exists());
}

/// Two vaults with the same login: one in the data directory, one in `~/.clawdbot`.
fn two_vaults() -> Home {
    let home = Home::without_gateway();
    home.claude_login(LOGIN, 100);
    paste(&home, "openai", "sk-the-key-of-openai-0001");
    fs::rename(home.at(DATA), home.at("first")).unwrap();
    home.write(".clawdbot/clawdbot.json", "{}");
    paste(&home, "xai", "xai-the-key-of-xai-0001");
    fs::rename(home.at("first"), home.at(DATA)).unwrap();
    home
}

#[test]
fn two_vaults_refresh_nothing_until_they_are_merged() {
    let home = two_vaults();
    for args in [
        &["token", "--provider", "anthropic"][..],
        &["exec", "--provider", "anthropic", "--", TRUE],
        &["refresh", "--due"],
        &["watch", "--once"],
    ] {
        let run = home.run(args).exits(65);
        assert!(run.stderr.contains("there are two vaults"), "{run:?}");
        assert!(run.stderr.contains("clawkeep doctor --repair"), "{run:?}");
    }
    let list = home.run(&["models", "auth", "list"]).exits(0);
    assert!(
        list.stderr.contains("Warning: there are two vaults"),
        "{list:?}"
    );
    let vault = home.at(DATA_VAULT);
    let named = [
        "--vault",
        vault.to_str().unwrap(),
        "token",
        "-q",
        "--provider",
        "openai",
    ];
    assert_eq!(home.run(&named).ok(), "sk-the-key-of-openai-0001\n");

    assert!(finding(&home, "vault.two").is_some());
    findings(&home, &["--repair"]);
    assert_eq!(finding(&home, "vault.two"), None);
    assert_eq!(token(&home, "openai"), "sk-the-key-of-openai-0001");
    assert_eq!(token(&home, "xai"), "xai-the-key-of-xai-0001");
    assert_eq!(token(&home, "anthropic"), LOGIN);
    assert!(!vault.exists());
    assert_eq!(home.count_of("vault.merged"), 1);
    // The other one is kept, with its record.
    let kept: Vec<_> = fs::read_dir(home.at(DATA))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    let is_merged = |path: &&std::path::PathBuf| path.to_string_lossy().contains(".merged-");
    let kept = kept.iter().find(is_merged).unwrap();
    home.run(&["--vault", kept.to_str().unwrap(), "audit", "verify"])
        .ok();
}

#[test]
fn a_copy_that_is_contained_in_the_vault_does_not_count() {
    let home = only_ours();
    home.run(&["models", "status"]).ok();
    fs::create_dir_all(home.at(DATA)).unwrap();
    let backup = ["backup", "create", DATA_VAULT];
    home.run(&backup).ok();
    paste(&home, "xai", "xai-the-key-of-xai-0001");
    assert_eq!(token(&home, "xai"), "xai-the-key-of-xai-0001");
    assert!(finding(&home, "vault.left").is_some());
    assert_eq!(finding(&home, "vault.two"), None);
    findings(&home, &["--repair"]);
    assert!(!home.at(DATA_VAULT).exists() && home.at(VAULT).exists());

    // One that went on by itself is another vault.
    home.run(&backup).ok();
    let copy = home.at(DATA_VAULT);
    // The kept head tells the copy from the vault; without it, it can be used.
    fs::remove_dir_all(home.at(".local/state")).unwrap();
    let args = ["models", "auth", "paste-api-key", "--provider", "groq"];
    let args: Vec<&str> = ["--vault", copy.to_str().unwrap()]
        .iter()
        .chain(&args)
        .copied()
        .collect();
    home.run_with_input(&args, "gsk-the-key-of-groq-0001").ok();
    assert!(finding(&home, "vault.two").is_some());
}

#[test]
fn what_is_no_vault_decides_nothing() {
    let home = Home::without_gateway();
    paste(&home, "openai", "sk-the-key-of-openai-0001");
    fs::create_dir_all(home.at(".clawdbot")).unwrap();
    for junk in ["", "junk", "SQLite format 3"] {
        for place in [".openclaw/vault.db", VAULT] {
            home.write(place, junk);
            assert_eq!(
                token(&home, "openai"),
                "sk-the-key-of-openai-0001",
                "{place}"
            );
            assert!(finding(&home, "vault.stray").is_some(), "{place}");
            findings(&home, &["--repair"]);
            assert_eq!(home.read(place), junk);
            assert_eq!(
                token(&home, "openai"),
                "sk-the-key-of-openai-0001",
                "{place}"
            );
            fs::remove_file(home.at(place)).unwrap();
        }
    }
    assert_eq!(home.count_of("vault.created"), 1);
}

#[test]
fn an_older_copy_that_is_put_back_does_not_count() {
    let home = only_ours();
    let before = fs::read(home.at(VAULT)).unwrap();
    fs::create_dir(home.at(".openclaw")).unwrap();
    findings(&home, &["--repair"]);
    assert_moved(&home, "");
    paste(&home, "xai", "xai-the-key-of-xai-0001");
    home.write(VAULT, &before);
    assert_eq!(token(&home, "xai"), "xai-the-key-of-xai-0001");
    assert!(finding(&home, "vault.left").is_some());
    findings(&home, &["--repair"]);
    assert!(!home.at(VAULT).exists());
    assert_eq!(token(&home, "xai"), "xai-the-key-of-xai-0001");
}

/// The mark of a file that was moved away is not sealed: it proves nothing by itself.
#[test]
fn a_newer_vault_that_is_marked_as_moved_is_not_removed() {
    let home = only_ours();
    fs::create_dir_all(home.at(DATA)).unwrap();
    home.run(&["backup", "create", DATA_VAULT]).ok();
    paste(&home, "xai", "xai-the-key-of-xai-0001");
    let conn = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    conn.execute_batch("PRAGMA application_id = 0x636c6b6d")
        .unwrap();
    drop(conn);
    home.run(&["doctor", "--repair"]);
    assert!(home.at(VAULT).exists());
    let older = home.run(&["token", "--provider", "openai"]).exits(65);
    assert!(older.stderr.contains("ends before"), "{older:?}");
    let conn = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    conn.execute_batch("PRAGMA application_id = 0x636c6b70")
        .unwrap();
    drop(conn);
    assert_eq!(token(&home, "xai"), "xai-the-key-of-xai-0001");
}

/// One home, one kill, and what must hold after it.
fn killed_at(call: &str, nth: u32) -> Ended {
    let at = format!("killed at {call} {nth}");
    let home = only_ours();
    fs::create_dir(home.at(".openclaw")).unwrap();
    let events = home.kinds().len();
    let ended = kill_at(call, nth, &home.command(&["doctor", "--repair"]));
    // Whatever is left of it, one vault counts, and nothing of it is lost.
    assert_eq!(token(&home, "openai"), "sk-the-key-of-openai-0001", "{at}");
    assert_eq!(token(&home, "anthropic"), LOGIN, "{at}");
    home.run(&["audit", "verify"]).ok();
    assert!(home.kinds().len() > events, "{at}");
    assert_eq!(home.count_of("vault.created"), 1, "{at}");
    // A lock that the killed process held is somebody's until it is stale.
    let lock = home.at(STORE).with_extension("json.lock");
    if lock.exists() {
        set_modified(&lock, SystemTime::now() - Duration::from_secs(3600));
    }
    home.run(&["doctor", "--repair"]);
    assert_moved(&home, &at);
    assert!(!home.at(".clawdbot").exists(), "{at}");
    assert_eq!(finding(&home, "vault.left"), None, "{at}");
    ended
}

#[test]
#[ignore = "needs strace, and takes minutes"]
fn killed_at_every_step_of_a_move() {
    let mut steps = Vec::new();
    for call in STEPS {
        let nth = (1..).find(|nth| killed_at(call, *nth) == Ended::Done);
        steps.push((call, nth.unwrap() - 1));
    }
    eprintln!("killed at each of {steps:?}");
}
