//! The store file at its edges: who may write it, in what order, what when it cannot be written,
//! and what must never be overwritten.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::home::{AGENT, Home, STORE, VAULT};

const TOKEN: &str = "sk-ant-oat01-exports-token-00001";
const CANDIDATES: [&str; 5] = ["models", "auth", "candidates", "--provider", "p"];

/// A home with three API keys of provider `p`, in that order.
fn home_with_keys() -> Home {
    let home = Home::with_claude(TOKEN, 100);
    let key = |n: &str| json!({"type": "api_key", "provider": "p", "key": format!("sk-key-{n}")});
    let store = json!({
        "version": 1,
        "profiles": {"p:a": key("a"), "p:b": key("b"), "p:c": key("c")},
        "usageStats": {"p:a": {"errorCount": 0}, "p:b": {"errorCount": 0}},
    });
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    home
}

fn keys(value: &Value) -> Vec<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn another_order_in_the_file_is_imported_and_stays() {
    let home = home_with_keys();
    assert_eq!(home.run(&CANDIDATES).ok(), "p:a (next)\np:b\np:c\n");
    let store = home.json(STORE);
    let mut turned = store.clone();
    for section in ["profiles", "usageStats"] {
        let entries = store[section].as_object().unwrap().clone();
        turned[section] = Value::Object(entries.into_iter().rev().collect());
    }
    home.write(STORE, turned.to_string());
    for _ in 0..2 {
        assert_eq!(home.run(&CANDIDATES).ok(), "p:c (next)\np:b\np:a\n");
    }
    fs::remove_file(home.at(STORE)).unwrap();
    home.run(&["sync"]).ok();
    let written = home.json(STORE);
    assert_eq!(keys(&written["profiles"]), keys(&turned["profiles"]));
    assert_eq!(keys(&written["usageStats"]), ["p:b", "p:a"]);
}

#[test]
fn a_directory_that_a_newer_gateway_gave_up_is_written_again() {
    let home = home_with_keys();
    home.write(&format!("{AGENT}/openclaw-agent.sqlite"), "");
    home.claude_login("sk-ant-oat01-exports-token-00002", 200);
    home.run(&["sync"]).ok();
    assert_eq!(
        home.exported_token("anthropic:claude-cli").as_deref(),
        Some(TOKEN),
        "withheld"
    );
    fs::remove_file(home.at(AGENT).join("openclaw-agent.sqlite")).unwrap();
    home.run(&["sync"]).ok();
    let now = home.exported_token("anthropic:claude-cli");
    assert_eq!(now.as_deref(), Some("sk-ant-oat01-exports-token-00002"));
}

#[test]
fn a_store_that_cannot_be_written_is_no_reason_not_to_answer() {
    let home = home_with_keys();
    let in_the_way = home.at(&format!("{STORE}.clawkeep-tmp"));
    fs::create_dir(&in_the_way).unwrap();
    home.claude_login("sk-ant-oat01-exports-token-00003", 200);
    let first = home.run(&["models", "status"]).exits(1);
    assert!(
        first
            .stdout
            .contains("anthropic:claude-cli ok expires in 8d"),
        "{first:?}"
    );
    assert!(first.stderr.contains("could not be written"), "{first:?}");
    let events = home.events().len();
    let again = home.run(&["models", "status"]).exits(1);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(
        home.events().len(),
        events,
        "a command that changed nothing writes nothing"
    );
    fs::remove_dir(&in_the_way).unwrap();
    home.run(&["models", "status"]).ok();
    let now = home.exported_token("anthropic:claude-cli");
    assert_eq!(now.as_deref(), Some("sk-ant-oat01-exports-token-00003"));
    home.assert_sound();
}

#[cfg(unix)]
#[test]
fn a_store_that_others_could_have_written_is_not_believed() {
    let home = home_with_keys();
    let before = home.events().len();
    for (what, mode, back) in [(AGENT, 0o777, 0o700), (STORE, 0o666, 0o600)] {
        let path = home.at(what);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let run = home.run(&["sync"]).exits(65);
        assert!(
            run.stderr.contains("chmod go-w") && run.stderr.contains(what),
            "{run:?}"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(back)).unwrap();
    }
    assert_eq!(home.events().len(), before);
    home.run(&["sync"]).ok();
}

#[test]
fn one_agents_trouble_is_not_the_others() {
    let home = Home::with_claude(TOKEN, 100);
    let broken = ".clawdbot/agents/aaa/agent/auth-profiles.json";
    home.write(broken, "{");
    let run = home.run(&["sync"]).exits(65);
    assert!(run.stderr.contains(broken), "{run:?}");
    assert_eq!(
        home.exported_token("anthropic:claude-cli").as_deref(),
        Some(TOKEN)
    );
    assert_eq!(home.read(broken), "{");
}

#[test]
fn an_agent_known_by_its_directory_is_synced_too() {
    let home = Home::with_claude(TOKEN, 100);
    let elsewhere = home.at("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let mut status = home.command(&["models", "status"]);
    assert!(
        status
            .env("CLAWDBOT_AGENT_DIR", &elsewhere)
            .status()
            .unwrap()
            .success()
    );
    home.claude_login("sk-ant-oat01-exports-token-00004", 200);
    home.run(&["sync"]).ok();
    let store = home.json("elsewhere/auth-profiles.json");
    assert_eq!(
        store["profiles"]["anthropic:claude-cli"]["token"],
        "sk-ant-oat01-exports-token-00004"
    );
}

#[cfg(unix)]
#[test]
fn a_copy_replaces_a_copy_and_nothing_else() {
    let home = home_with_keys();
    let vault = fs::read(home.at(VAULT)).unwrap();
    fs::create_dir(home.at("dir")).unwrap();
    std::os::unix::fs::symlink("copy.json", home.at("link")).unwrap();
    let key = home
        .files()
        .into_iter()
        .find(|file| file.ends_with(".key"))
        .unwrap();
    for to in [
        VAULT,
        ".clawdbot/vault.db-wal",
        ".claude/.credentials.json",
        &key,
        "dir",
        "link",
    ] {
        let run = home.run(&["export", "--reveal", "--to", to]).exits(64);
        assert!(run.stderr.contains("is no place for it"), "{to}: {run:?}");
    }
    assert_eq!(fs::read(home.at(VAULT)).unwrap(), vault);
    home.run(&["export", "--to", "copy.json"]).exits(64); // not without --reveal
    assert!(!home.at("copy.json").exists());
    for _ in 0..2 {
        home.run(&["export", "--reveal", "--to", "copy.json"]).ok();
        assert_eq!(home.json("copy.json"), home.json(STORE));
    }
    assert_eq!(
        home.at("copy.json")
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    home.write("notes.txt", "my own notes");
    let run = (home.run(&["export", "--reveal", "--to", "notes.txt"])).exits(64);
    assert!(run.stderr.contains("notes.txt is there already"), "{run:?}");
    assert_eq!(home.read("notes.txt"), "my own notes");
    let printed = home.run(&["export", "--reveal", "--to", "-"]).json();
    assert_eq!(printed, home.json(STORE));
    let revealed = home
        .events()
        .into_iter()
        .filter(|event| event["detail"]["reason"] == "reveal");
    assert_eq!(revealed.count(), 3, "each before its first byte went out");
}

/// What a killed process left of another vault's log must not be replayed into a new one.
#[test]
fn a_new_vault_takes_nothing_from_an_old_ones_log() {
    let home = home_with_keys();
    let reader = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    // keeps the log from being moved into the file
    let hold = "BEGIN; SELECT count(*) FROM events;";
    reader.execute_batch(hold).unwrap();
    home.run(&["models", "auth", "order", "set", "--provider", "p", "p:c"])
        .ok();
    let log = fs::read(home.at(&format!("{VAULT}-wal"))).unwrap();
    assert!(!log.is_empty());
    drop(reader);
    fs::remove_file(home.at(VAULT)).unwrap();
    home.write(&format!("{VAULT}-wal"), &log);
    home.run(&["sync"]).ok();
    home.assert_sound();
    let made = home
        .kinds()
        .into_iter()
        .filter(|kind| kind == "vault.created");
    assert_eq!(made.count(), 1);
    assert_eq!(
        fs::read(home.at(&format!("{VAULT}-wal.aside-1"))).unwrap(),
        log
    );
}

#[test]
fn a_damaged_store_is_reported_once() {
    let home = home_with_keys();
    home.write(STORE, "{\"profiles\": {");
    let run = home.run(&["models", "status"]).exits(0);
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    assert!(run.stderr.contains("was damaged"), "{run:?}");
    assert_eq!(
        home.newest("export.written").unwrap()["detail"]["reason"],
        "damaged"
    );
}

/// A damaged store was moved aside and could not be written anew; then another program starts one
/// of its own.
#[test]
fn a_store_begun_anew_after_damage_deletes_nothing() {
    let home = home_with_keys();
    home.write(STORE, "{\"profiles\": {");
    let in_the_way = home.at(&format!("{STORE}.clawkeep-tmp"));
    fs::create_dir(&in_the_way).unwrap();
    home.run(&["sync"]).exits(1);
    assert!(!home.at(STORE).exists());
    fs::remove_dir(&in_the_way).unwrap();
    let profile = r#"{"type": "api_key", "provider": "q", "key": "k"}"#;
    home.write(
        STORE,
        format!("{{\"version\": 1, \"profiles\": {{\"q:new\": {profile}}}}}"),
    );
    home.run(&["sync"]).ok();
    let mut ids = keys(&home.json(STORE)["profiles"]);
    ids.sort();
    assert_eq!(ids, ["anthropic:claude-cli", "p:a", "p:b", "p:c", "q:new"]);
}

#[test]
fn removals_are_reported() {
    let home = home_with_keys();
    let mut store = home.json(STORE);
    store["profiles"].as_object_mut().unwrap().remove("p:b");
    home.write(STORE, store.to_string());
    let answer = home.run(&["sync"]).ok();
    assert_eq!(
        answer,
        "main: 3 profiles, removed p:b, which the store no longer has\n"
    );
    let removed = home.newest("profile.removed").unwrap();
    assert_eq!(
        (&removed["profile"], &removed["origin"]),
        (&json!("p:b"), &json!("auth-profiles.json"))
    );
    assert!(removed["token"]["before"].is_string(), "{removed}");
}

#[test]
fn an_agent_that_is_nowhere_is_not_made() {
    let home = Home::with_claude(TOKEN, 100);
    for args in [
        &["models", "status", "--agent", "mian"][..],
        &[
            "models",
            "auth",
            "candidates",
            "--provider",
            "anthropic",
            "--agent",
            "mian",
        ],
        &["export", "--agent", "mian"],
    ] {
        let run = home.run(args).exits(0);
        assert!(!run.stdout.contains("claude-cli"), "{run:?}");
        assert!(!home.at(".clawdbot/agents/mian").exists(), "{args:?}");
    }
    let run = home.run(&["sync", "--agent", "mian"]).exits(64);
    assert!(run.stderr.contains("Did you mean main?"), "{run:?}");
    let run = home.run(&["models", "status", "--agent", "mian"]);
    assert!(run.stderr.contains("there is no agent mian"), "{run:?}");
}

#[test]
fn an_order_can_be_set_by_the_very_first_command() {
    let home = Home::with_claude(TOKEN, 100);
    home.run(&[
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "anthropic",
        "anthropic:claude-cli",
    ])
    .ok();
    assert_eq!(
        home.json(STORE)["order"],
        json!({"anthropic": ["anthropic:claude-cli"]})
    );
}

#[cfg(unix)]
#[test]
fn a_link_is_no_way_into_a_newer_gateways_directory() {
    let home = Home::with_claude(TOKEN, 100);
    home.write(&format!("{AGENT}/openclaw-agent.sqlite"), "");
    let ops = home.at(".clawdbot/agents/ops/agent");
    fs::create_dir_all(&ops).unwrap();
    std::os::unix::fs::symlink(
        "../../main/agent/auth-profiles.json",
        ops.join("auth-profiles.json"),
    )
    .unwrap();
    home.run(&["sync"]).ok();
    assert!(!home.at(STORE).exists());
}

#[test]
fn an_older_store_goes_only_once_it_was_imported() {
    let oauth = r#"{"google-gemini-cli": {"access": "a", "refresh": "r", "expires": 5}}"#;
    let own = format!("{AGENT}/auth.json");
    for (text, goes) in [
        (r#"{"groq": {"type": "api_key", "key": "gsk-1"}}"#, true),
        (r#"{"groq": {"type"#, false),
    ] {
        let home = Home::new();
        home.write(".clawdbot/credentials/oauth.json", oauth);
        home.write(&own, text);
        let run = home.run(&["sync"]).exits(0);
        assert_eq!(home.at(&own).exists(), !goes, "{run:?}");
        assert!(home.at(".clawdbot/credentials/oauth.json").exists());
        assert!(
            run.stderr.contains(if goes {
                "imported 2 profiles"
            } else {
                "imported 1 profile "
            }),
            "{run:?}"
        );
        assert_eq!(
            run.stderr.contains("auth.json is no longer needed"),
            goes,
            "{run:?}"
        );
    }
}

#[test]
fn a_vault_that_vanished_is_missed() {
    let home = home_with_keys();
    fs::remove_file(home.at(VAULT)).unwrap();
    let run = home.run(&["-q", "models", "status"]).exits(0);
    assert!(
        run.stderr
            .contains("there was a vault at ~/.clawdbot/vault.db before"),
        "{run:?}"
    );
}

#[test]
fn a_copy_into_a_directory_that_is_not_there_says_so() {
    let home = home_with_keys();
    let args = ["export", "--to", "nodir/copy.json", "--reveal"];
    let run = home.run(&args).exits(64);
    assert!(run.stderr.contains("there is no directory"), "{run:?}");
    assert!(!run.stderr.contains("clawkeep-tmp"), "{run:?}");
}

/// The store of an agent whose directory was changed in the configuration, and changed back: what
/// its file said when it was last looked at is still known, although the agent has changed since.
#[test]
fn what_a_store_said_is_known_after_its_agent_changed_elsewhere() {
    let home = Home::new();
    let at = |dir: &str| {
        let config = format!("{{agents: {{list: [{{id: 'ops', agentDir: '~/{dir}'}}]}}}}");
        home.write(".clawdbot/clawdbot.json", config);
    };
    let key =
        |n: &str| json!({"type": "api_key", "provider": "p", "key": format!("sk-test-key-{n}")});
    let store =
        json!({"version": 1, "profiles": {"p:a": key("a"), "p:b": key("b"), "p:c": key("c")}});
    home.write("one/auth-profiles.json", store.to_string());
    at("one");
    home.run(&["sync", "--agent", "ops"]).ok();
    at("two");
    let set = [
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "p",
        "--agent",
        "ops",
    ];
    home.run(&[&set[..], &["p:b", "p:a"]].concat()).ok();
    assert!(home.json("two/auth-profiles.json")["order"].is_object());
    // Meanwhile the gateway took one out of the first.
    let mut theirs = home.json("one/auth-profiles.json");
    theirs["profiles"].as_object_mut().unwrap().remove("p:c");
    home.write("one/auth-profiles.json", theirs.to_string());
    at("one");
    home.run(&["sync", "--agent", "ops"]).ok();
    let merged = home.json("one/auth-profiles.json");
    let ids: Vec<_> = merged["profiles"].as_object().unwrap().keys().collect();
    assert_eq!(
        ids,
        ["p:a", "p:b"],
        "a deletion is one, not something that never was there"
    );
    assert_eq!(merged["order"]["p"], json!(["p:b", "p:a"]));
    home.assert_sound();
}
