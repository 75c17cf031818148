//! What commands decided is not undone in silence: an old copy that another program writes back, a
//! store that it empties.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::home::{AGENT, CLAUDE, Home, Run, STORE, now_ms};

const SETTINGS: &str = ".clawdbot/clawkeep.toml";
const OPS: &str = ".clawdbot/agents/ops/agent";
const CLAUDE_TOKEN: &str = "sk-ant-oat01-undone-0000000000";

type Edit = fn(&mut Value);

fn key(provider: &str, name: &str) -> Value {
    json!({"type": "api_key", "provider": provider, "key": format!("sk-key-{provider}-{name}")})
}

/// A home whose vault and store have two keys of `groq`, one of `openai`, and an order.
fn settled() -> Home {
    let home = Home::new();
    let store = json!({
        "version": 1,
        "profiles": {
            "groq:a": key("groq", "a"), "groq:b": key("groq", "b"), "openai:c": key("openai", "c"),
        },
        "order": {"groq": ["groq:a", "groq:b"]},
        "usageStats": {"groq:a": {"lastUsed": 1_790_000_000_000_i64, "errorCount": 0}},
    });
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    home
}

/// Writes a store as a gateway does that had it in memory and has used a credential since.
fn flush(home: &Home, memory: &Value) {
    let mut memory = memory.clone();
    memory["usageStats"]["groq:a"]["lastUsed"] = json!(now_ms());
    home.write(STORE, format!("{memory:#}"));
}

fn set_order(home: &Home, ids: &[&str]) {
    let set = ["models", "auth", "order", "set", "--provider", "groq"];
    home.run(&[&set[..], ids].concat()).ok();
}

fn remove(home: &Home, id: &str) {
    home.run(&["models", "auth", "remove", id, "--yes"]).ok();
}

fn order(home: &Home) -> Value {
    home.json(STORE)["order"]["groq"].clone()
}

fn has(home: &Home, id: &str) -> bool {
    home.json(STORE)["profiles"].get(id).is_some()
}

#[track_caller]
fn says(run: &Run, parts: &[&str]) {
    assert_eq!(run.status, 0, "{run:?}");
    for part in parts {
        assert!(run.stderr.contains(part), "{part} in {run:?}");
    }
}

/// The findings of `doctor` under an id: message and fix.
fn findings(home: &Home, id: &str) -> Vec<(String, String)> {
    let run = home.run(&["doctor", "--non-interactive", "--json"]);
    let answer: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    let found = answer["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    found
        .filter(|finding| finding["id"] == id)
        .map(|finding| (text(&finding["message"]), text(&finding["fix"])))
        .collect()
}

#[test]
fn an_order_that_a_gateway_flushes_stays_as_it_was_set() {
    let home = settled();
    let memory = home.json(STORE);
    set_order(&home, &["groq:b", "groq:a"]);
    flush(&home, &memory);
    let used = home.json(STORE)["usageStats"].clone();
    let run = home.run(&["sync"]);
    says(
        &run,
        &[
            "old copy",
            "the order as it was set last, not the earlier one: groq",
            "written again",
        ],
    );
    assert_eq!(order(&home), json!(["groq:b", "groq:a"]));
    assert_eq!(
        home.json(STORE)["usageStats"],
        used,
        "what the gateway learnt is taken"
    );
    let first = home
        .run(&["models", "auth", "candidates", "--provider", "groq"])
        .ok();
    assert!(first.starts_with("groq:b"), "{first}");
    let event = home.newest("store.merged").unwrap();
    assert_eq!(
        (
            &event["outcome"],
            &event["detail"]["why"],
            &event["detail"]["orders"]
        ),
        (&json!("skipped"), &json!("old copy"), &json!(["groq"]))
    );
    assert_eq!(home.run(&["sync"]).stderr, "", "said once");
}

#[test]
fn a_removed_key_does_not_come_back_with_an_old_copy() {
    let home = settled();
    let memory = home.json(STORE);
    remove(&home, "openai:c");
    flush(&home, &memory);
    let run = home.run(&["token", "--provider", "openai"]).exits(1);
    assert!(run.stderr.contains("still removed: openai:c"), "{run:?}");
    assert!(
        !has(&home, "openai:c") && !run.stdout.contains("sk-key"),
        "{run:?}"
    );
    flush(&home, &memory);
    let found = findings(&home, "store.old-copy");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0.contains("openai:c"), "{found:?}");
    assert!(!has(&home, "openai:c"));
}

#[test]
fn a_replaced_key_and_a_new_one_stay() {
    let home = settled();
    let memory = home.json(STORE);
    let paste = [
        "models",
        "auth",
        "paste-api-key",
        "--provider",
        "groq",
        "--profile-id",
    ];
    home.run_with_input(&[&paste[..], &["groq:a"]].concat(), "sk-key-new-a")
        .ok();
    home.run_with_input(&[&paste[..], &["groq:d"]].concat(), "sk-key-new-d")
        .ok();
    flush(&home, &memory);
    let run = home.run(&["sync"]);
    says(
        &run,
        &["still there: groq:d", "as they were set last: groq:a"],
    );
    let store = home.json(STORE);
    assert_eq!(store["profiles"]["groq:a"]["key"], "sk-key-new-a");
    assert_eq!(store["profiles"]["groq:d"]["key"], "sk-key-new-d");
}

/// The old copy is from before several changes, of which only the last is a command's.
#[test]
fn a_copy_from_before_a_login_was_refreshed_is_old_too() {
    let home = settled();
    home.claude_login(CLAUDE_TOKEN, 5);
    home.run(&["sync"]).ok();
    let memory = home.json(STORE);
    home.claude_login("sk-ant-oat01-undone-1111111111", 9);
    home.run(&["sync"]).ok();
    home.write(STORE, {
        let mut store = home.json(STORE);
        store["profiles"]["groq:e"] = key("groq", "e");
        store.to_string()
    });
    home.run(&["sync"]).ok();
    remove(&home, "groq:b");
    flush(&home, &memory);
    says(
        &home.run(&["sync"]),
        &["still removed: groq:b", "still there: groq:e"],
    );
    assert!(home.read(STORE).contains("sk-ant-oat01-undone-1111111111"));
    assert!(!has(&home, "groq:b") && has(&home, "groq:e"));
}

#[test]
fn every_other_change_is_an_edit_and_wins() {
    let edits: [(&str, Edit); 5] = [
        ("the key is another one", |store| {
            store["profiles"]["openai:c"]["key"] = json!("sk-key-other");
        }),
        ("something was added", |store| {
            store["profiles"]["groq:d"] =
                json!({"type": "api_key", "provider": "groq", "key": "x"});
        }),
        ("the order is another one", |store| {
            store["order"] = json!({"groq": ["groq:b"]});
        }),
        ("something is gone", |store| {
            store["profiles"]
                .as_object_mut()
                .unwrap()
                .shift_remove("groq:b");
        }),
        ("the key was added again behind the others", |store| {
            let profiles = store["profiles"].as_object_mut().unwrap();
            let entry = profiles.shift_remove("groq:a").unwrap();
            profiles.insert("groq:a".to_owned(), entry);
        }),
    ];
    for (what, edit) in edits {
        let home = settled();
        let mut memory = home.json(STORE);
        remove(&home, "openai:c");
        edit(&mut memory);
        flush(&home, &memory);
        let run = home.run(&["sync"]);
        assert!(!run.stderr.contains("old copy"), "{what}: {run:?}");
        assert!(has(&home, "openai:c"), "{what}");
    }
}

/// What was made from what the file says now is an edit, although it says what it said before.
#[test]
fn an_order_changed_back_by_hand_wins() {
    let home = settled();
    let before = order(&home);
    set_order(&home, &["groq:b", "groq:a"]);
    let newest = home.json(STORE);
    flush(&home, &newest); // the gateway has read it, and used a key since
    home.run(&["sync"]).ok();
    let mut edited = home.json(STORE);
    edited["order"]["groq"] = before.clone();
    home.write(STORE, format!("{edited:#}"));
    let run = home.run(&["sync"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{run:?}");
    assert_eq!(order(&home), before);
}

#[test]
fn a_command_that_takes_its_change_back_is_not_undone_either() {
    let home = settled();
    let first = home.json(STORE);
    set_order(&home, &["groq:b", "groq:a"]);
    let second = home.json(STORE);
    set_order(&home, &["groq:a", "groq:b"]);
    flush(&home, &first);
    assert_eq!(home.run(&["sync"]).stderr, "");
    flush(&home, &second);
    says(&home.run(&["sync"]), &["old copy"]);
    assert_eq!(order(&home), json!(["groq:a", "groq:b"]));
}

/// No command changed anything: who wrote last is right, whatever was there before.
#[test]
fn another_programs_own_change_back_is_an_edit() {
    let home = settled();
    let first = home.json(STORE);
    let mut second = first.clone();
    second["order"]["groq"] = json!(["groq:b"]);
    flush(&home, &second);
    home.run(&["sync"]).ok();
    flush(&home, &first);
    let run = home.run(&["sync"]);
    assert!(!run.stderr.contains("old copy"), "{run:?}");
    assert_eq!(order(&home), json!(["groq:a", "groq:b"]));
}

#[test]
fn after_three_rounds_the_file_is_left_and_the_decision_stays() {
    let home = settled();
    let memory = home.json(STORE);
    remove(&home, "openai:c");
    for round in 1..=3 {
        flush(&home, &memory);
        let run = home.run(&["sync"]);
        assert_eq!(has(&home, "openai:c"), round == 3, "round {round}: {run:?}");
    }
    let left = home.read(STORE);
    for args in [&["sync"][..], &["models", "auth", "list"]] {
        says(&home.run(args), &["keeps writing back", "clawkeep export"]);
    }
    let run = home.run(&["token", "--provider", "openai"]).exits(1);
    assert_eq!(run.stdout, "");
    flush(&home, &memory);
    home.run(&["sync"]).ok();
    let found = findings(&home, "store.left");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.ends_with("clawkeep export"), "{found:?}");
    assert!(has(&home, "openai:c"), "a fourth round changes nothing");
    assert_ne!(home.read(STORE), left, "nor is it written over");
    // An edit on top of it counts, and what the vault decided stays decided.
    let mut edited = home.json(STORE);
    edited["profiles"]["groq:d"] = key("groq", "d");
    home.write(STORE, edited.to_string());
    home.run(&["sync"]).ok();
    assert!(has(&home, "groq:d") && !has(&home, "openai:c"));
    assert!(findings(&home, "store.left").is_empty());
}

#[test]
fn a_command_or_an_export_writes_over_a_file_that_is_left() {
    for args in [
        &["export"][..],
        &["models", "auth", "order", "clear", "--provider", "groq"],
    ] {
        let home = settled();
        let memory = home.json(STORE);
        remove(&home, "openai:c");
        for _ in 1..=3 {
            flush(&home, &memory);
            home.run(&["sync"]).ok();
        }
        assert!(has(&home, "openai:c"));
        home.run(args).ok();
        assert!(!has(&home, "openai:c"), "{args:?}");
        assert_eq!(home.run(&["sync"]).stderr, "", "{args:?}");
        flush(&home, &memory);
        says(&home.run(&["sync"]), &["keeps writing back"]);
    }
}

/// Two agents whose stores are one file: a command for one of them is no old copy to the other.
#[cfg(unix)]
#[test]
fn agents_that_share_a_store_do_not_undo_each_other() {
    let home = settled();
    fs::create_dir_all(home.at(OPS)).unwrap();
    symlink(home.at(STORE), home.at(OPS).join("auth-profiles.json")).unwrap();
    home.run(&["sync"]).ok();
    let before = order(&home);
    set_order(&home, &["groq:b", "groq:a"]);
    home.run(&["sync"]).ok();
    home.run(&[
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "groq",
        "--agent",
        "ops",
        "groq:a",
        "groq:b",
    ])
    .ok();
    for _ in 0..2 {
        let run = home.run(&["sync"]);
        assert!(!run.stderr.contains("old copy"), "{run:?}");
        assert_eq!(order(&home), before);
    }
}

#[test]
fn an_emptied_store_is_taken_and_its_credentials_are_offered() {
    let home = settled();
    home.write(STORE, json!({"version": 1, "profiles": {}}).to_string());
    let run = home.run(&["sync"]);
    says(
        &run,
        &["groq:a, groq:b, openai:c", "clawkeep restore groq:a"],
    );
    assert!(
        run.stdout.contains("removed groq:a, groq:b, openai:c"),
        "{run:?}"
    );
    let found = findings(&home, "store.vanished");
    let mut fixes: Vec<_> = found.iter().map(|(_, fix)| fix.as_str()).collect();
    fixes.sort_unstable();
    assert_eq!(
        fixes,
        ["groq:a", "groq:b", "openai:c"]
            .map(|id| format!("Put it back: clawkeep models auth restore {id}"))
    );
    for args in [["--provider", "openai"], ["--profile", "openai:c"]] {
        let run = home.run(&[&["token"][..], &args].concat()).exits(1);
        assert!(
            run.stderr
                .contains("Put it back: clawkeep models auth restore openai:c"),
            "{run:?}"
        );
    }
    home.run(&["models", "auth", "restore", "openai:c"]).ok();
    assert_eq!(
        home.run(&["token", "--provider", "openai"]).ok(),
        "sk-key-openai-c\n"
    );
    assert_eq!(findings(&home, "store.vanished").len(), 2);
    let run = home.run(&["token", "--provider", "mistral"]).exits(1);
    assert!(
        !run.stderr.contains("restore"),
        "nothing of it was there: {run:?}"
    );
}

#[test]
fn one_that_goes_alone_is_a_deletion_and_only_who_asks_for_it_hears_of_it() {
    let home = settled();
    let mut store = home.json(STORE);
    store["profiles"]
        .as_object_mut()
        .unwrap()
        .shift_remove("openai:c");
    home.write(STORE, store.to_string());
    assert_eq!(home.run(&["sync"]).stderr, "");
    assert!(findings(&home, "store.vanished").is_empty());
    let run = home.run(&["token", "--provider", "openai"]).exits(1);
    assert!(
        run.stderr.contains("models auth restore openai:c"),
        "{run:?}"
    );
    // What a command removed is not offered.
    remove(&home, "groq:a");
    remove(&home, "groq:b");
    let run = home.run(&["token", "--provider", "groq"]).exits(1);
    assert!(!run.stderr.contains("restore"), "{run:?}");
}

#[cfg(unix)]
#[test]
fn a_store_that_is_left_is_an_alert_until_it_is_up_to_date() {
    let home = settled();
    home.write(
        "tell",
        "#!/bin/sh\necho \"$CLAWKEEP_ALERT_TEXT\" >> \"$HOME/told\"\n",
    );
    fs::set_permissions(home.at("tell"), fs::Permissions::from_mode(0o700)).unwrap();
    let run = home.at("tell").display().to_string();
    home.write(
        SETTINGS,
        format!("[notify.command.file]\nrun = [\"{run}\"]\n"),
    );
    let told = || fs::read_to_string(home.at("told")).unwrap_or_default();
    let memory = home.json(STORE);
    remove(&home, "openai:c");
    for _ in 1..=2 {
        flush(&home, &memory);
        home.run(&["watch", "--once"]).ok();
    }
    assert_eq!(told(), "");
    flush(&home, &memory);
    for _ in 1..=2 {
        let run = home.run(&["watch", "--once"]).ok();
        assert!(!run.contains("sk-key"), "{run}");
    }
    let text = told();
    assert_eq!(text.matches("keeps writing back").count(), 1, "{text}");
    assert!(
        text.contains("clawkeep export") && !text.contains("sk-key"),
        "{text}"
    );
    home.run(&["export"]).ok();
    home.run(&["watch", "--once"]).ok();
    assert!(
        told().len() > text.len(),
        "that it is over is told too: {}",
        told()
    );
}

/// Under the gateway's name, the program says what the reference says, and keeps what was decided
/// all the same.
#[cfg(unix)]
#[test]
fn under_the_name_of_the_gateway_it_is_kept_and_not_reported() {
    let home = settled();
    let memory = home.json(STORE);
    set_order(&home, &["groq:b", "groq:a"]);
    flush(&home, &memory);
    let mut command = home.command(&["models", "status"]);
    let program = command.get_program().to_owned();
    symlink(program, home.at("clawdbot")).unwrap();
    let mut as_gateway = Command::new(home.at("clawdbot"));
    as_gateway
        .args(command.get_args())
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin")
        .current_dir(home.path());
    let run = Run::from(as_gateway.output().unwrap());
    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{run:?}");
    assert_eq!(order(&home), json!(["groq:b", "groq:a"]));
    let run = Run::from(command.output().unwrap());
    assert_eq!(run.status, 0, "{run:?}");
}

/// Nothing is known of a file that is not there, and yet a program has the old store in memory.
#[test]
fn where_no_store_is_exported_an_old_copy_brings_nothing_back() {
    let home = settled();
    let memory = home.json(STORE);
    home.write(SETTINGS, "clawkeep.export = \"off\"\n");
    home.run(&["sync"]).ok();
    assert!(!home.at(STORE).exists());
    remove(&home, "openai:c");
    flush(&home, &memory);
    home.run(&["sync"]).ok();
    home.run(&["token", "--provider", "openai"]).exits(1);
    assert!(!home.at(STORE).exists());
}

#[test]
fn a_deleted_store_is_written_again_with_the_decision() {
    let home = settled();
    remove(&home, "openai:c");
    fs::remove_file(home.at(STORE)).unwrap();
    home.run(&["sync"]).ok();
    assert!(!has(&home, "openai:c"));
    assert!(home.at(AGENT).is_dir() && !home.at(CLAUDE).exists());
}
