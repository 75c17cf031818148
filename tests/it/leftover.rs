//! What lies under the store's temporary name after a kill: a draft of ours, or what another
//! program wrote into the file just before the two were exchanged. The first must go, the second
//! must not be lost.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::home::{AGENT, Home, STORE};

const TOKEN: &str = "sk-ant-oat01-leftover-000000";
const LEFTOVER: &str = ".clawdbot/agents/main/agent/auth-profiles.json.clawkeep-tmp";

fn key(name: &str) -> Value {
    json!({"type": "api_key", "provider": "anthropic", "key": format!("sk-key-{name}")})
}

/// A home whose vault and store are in step.
fn settled() -> Home {
    let home = Home::with_claude(TOKEN, 100);
    let store = json!({"version": 1, "profiles": {"anthropic:work": key("work")}});
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    home
}

fn with(store: &Value, change: impl FnOnce(&mut Value)) -> String {
    let mut store = store.clone();
    change(&mut store);
    format!("{store:#}\n")
}

fn names(home: &Home) -> Vec<String> {
    let dir = fs::read_dir(home.at(AGENT)).unwrap();
    let names = dir.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Killed between the exchange and its look at what came out: the new store is in place, and what
/// the other program wrote has the temporary name.
#[test]
fn what_another_program_wrote_into_the_exchanged_file_is_merged() {
    for args in [&["models", "status"][..], &["sync"], &["export"]] {
        let home = settled();
        let seen = home.json(STORE);
        let theirs = with(&seen, |store| {
            store["profiles"]["gateway:new"] = key("new");
            store["profiles"]["anthropic:work"]["key"] = json!("sk-key-rotated");
            store["later"] = json!({"field": 1});
            store["usageStats"] = json!({"anthropic:work": {"errorCount": 3}});
        });
        home.write(LEFTOVER, &theirs);
        // Which of the two wrote this does not matter here: nothing in it may be lost either.
        home.write(
            STORE,
            with(&seen, |store| store["profiles"]["ours:new"] = key("ours")),
        );
        home.run(args).ok();
        let store = home.json(STORE);
        assert_eq!(store["profiles"]["gateway:new"], key("new"), "{args:?}");
        assert_eq!(store["profiles"]["ours:new"], key("ours"), "{args:?}");
        assert_eq!(store["profiles"]["anthropic:work"]["key"], "sk-key-rotated");
        assert_eq!(store["later"], json!({"field": 1}));
        assert_eq!(store["usageStats"]["anthropic:work"]["errorCount"], 3);
        assert_eq!(names(&home), ["auth-profiles.json"], "{args:?}");
        assert_eq!(home.vaults_store(), store);
        home.assert_sound();
    }
}

/// To the letter what a kill after the exchange leaves: our change is committed and in the file,
/// and recorded is what was in the file before. An order is the file's where both changed it.
#[test]
fn where_both_changed_one_thing_the_file_wins_as_if_there_had_been_no_exchange() {
    let home = settled();
    let seen = home.json(STORE);
    // so that the change is committed and cannot be written
    fs::create_dir(home.at(LEFTOVER)).unwrap();
    let order = ["models", "auth", "order", "set", "--provider", "anthropic"];
    home.run(&[&order[..], &["anthropic:work"]].concat())
        .exits(1);
    home.run(&["export", "--reveal", "--to", "ours.json"])
        .exits(1);
    fs::remove_dir(home.at(LEFTOVER)).unwrap();
    let ours = home.read("ours.json");
    assert!(ours.contains("order"), "{ours}");
    home.write(STORE, ours);
    let both = json!({"anthropic": ["anthropic:claude-cli", "anthropic:work"]});
    home.write(LEFTOVER, with(&seen, |store| store["order"] = both.clone()));
    home.run(&["sync"]).ok();
    assert_eq!(home.json(STORE)["order"], both);
    let settled = home.kinds();
    home.run(&["sync"]).ok();
    assert_eq!(home.kinds(), settled, "nothing goes back and forth");
    home.assert_sound();
}

/// Killed before the exchange: the draft says what is committed. Nothing is merged, nothing
/// recorded, nothing stays.
#[test]
fn a_draft_changes_nothing_and_goes() {
    let home = settled();
    let whole = home.read(STORE);
    let drafts = [
        whole.clone(),
        whole[..whole.len() / 2].to_owned(),
        format!("{}{}", &whole[..40], " ".repeat(whole.len() - 40)),
        " ".repeat(4096),
        String::new(),
    ];
    for draft in drafts {
        let events = home.kinds();
        home.write(LEFTOVER, &draft);
        home.run(&["models", "status"]).ok();
        assert_eq!(home.read(STORE), whole, "{} bytes", draft.len());
        assert_eq!(
            names(&home),
            ["auth-profiles.json"],
            "{} bytes",
            draft.len()
        );
        assert_eq!(home.kinds(), events, "{} bytes", draft.len());
    }
}

/// The other program has the file open, has emptied it, and is about to write when it is exchanged.
#[test]
fn what_is_still_being_written_is_waited_for() {
    for begun in [0, 60] {
        let home = settled();
        let seen = home.json(STORE);
        let theirs = with(&seen, |store| {
            store["profiles"]["gateway:new"] = key("new");
        });
        home.write(
            STORE,
            with(&seen, |store| store["profiles"]["ours:new"] = key("ours")),
        );
        home.write(LEFTOVER, &theirs[..begun]);
        let mut child = home
            .command(&["sync"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // It has seen it when it holds the lock.
        while !home.at(&format!("{STORE}.lock")).exists() {
            assert!(child.try_wait().unwrap().is_none(), "it did not wait");
            std::thread::yield_now();
        }
        fs::write(home.at(LEFTOVER), &theirs).unwrap();
        assert!(child.wait().unwrap().success());
        let store = home.json(STORE);
        assert_eq!(store["profiles"]["gateway:new"], key("new"), "{begun}");
        assert_eq!(store["profiles"]["ours:new"], key("ours"), "{begun}");
        assert_eq!(names(&home), ["auth-profiles.json"], "{begun}");
        home.assert_sound();
    }
}

/// Its writer died in the middle: kept like any damaged store, and said.
#[test]
fn what_stays_torn_is_kept_and_reported() {
    let home = settled();
    let seen = home.json(STORE);
    let torn = "{\"profiles\": {\"gateway:new\": {\"type\": \"api_key\", \"key\": \"sk-key-torn";
    home.write(LEFTOVER, torn);
    home.write(
        STORE,
        with(&seen, |store| store["profiles"]["ours:new"] = key("ours")),
    );
    let run = home.run(&["models", "status"]).exits(0);
    assert!(run.stderr.contains("was damaged"), "{run:?}");
    assert!(!run.stderr.contains("sk-key"), "{run:?}");
    let kept = home.newest("store.corrupt").unwrap()["detail"]["kept_as"].clone();
    let kept = kept.as_str().unwrap();
    assert_eq!(names(&home), ["auth-profiles.json", kept]);
    assert_eq!(home.read(&format!("{AGENT}/{kept}")), torn);
    assert_eq!(home.json(STORE)["profiles"]["ours:new"], key("ours"));
    home.assert_sound();
}
