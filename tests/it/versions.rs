//! `models auth restore`: earlier versions of a credential.

use std::fs;

use clawkeep::internal::domain::{AgentName, ProfileId, UnixMs};
use clawkeep::internal::platform::{Actor, Clock};
use clawkeep::internal::vault::GrantState;
use serde_json::{Value, json};

use crate::refresh::{self, OPS};
use crate::support::damage::alter;
use crate::support::home::{HOUR, Home, STORE, VAULT, now_ms};
use crate::support::vault::{set_successors, unlocked};

const ID: &str = "p:a";

/// Keeps keys that gave way to the one that is stored, at a time.
fn keep_as_version(home: &Home, keys: &[&str], at: i64) {
    let mut vault = unlocked(home, VAULT);
    let actor = Actor::current("test");
    let mut tx = vault
        .begin(&actor, Clock::Fixed(UnixMs::from_ms(at)))
        .unwrap();
    for key in keys {
        let entry =
            json!({"type": "api_key", "provider": "p", "key": format!("sk-test-version-{key}")});
        tx.keep_lost(&AgentName::default(), &ProfileId::new(ID), &entry)
            .unwrap();
    }
    tx.commit().unwrap();
}

fn set(home: &Home, path: &str, key: &str) {
    let entry =
        json!({"type": "api_key", "provider": "p", "key": format!("sk-test-version-{key}")});
    home.write(
        path,
        json!({"version": 1, "profiles": {ID: entry}}).to_string(),
    );
    home.run(&["models", "status"]).ok();
}

fn home(keys: &[&str]) -> Home {
    let home = Home::new();
    keys.iter().for_each(|key| set(&home, STORE, key));
    home
}

fn key(home: &Home, path: &str) -> Value {
    home.json(path)["profiles"][ID]["key"].clone()
}

fn restore(home: &Home, more: &[&str]) -> crate::support::home::Run {
    home.run(&[&["models", "auth", "restore", ID][..], more].concat())
}

/// The first column of what `--list` shows.
fn numbers(home: &Home) -> Vec<String> {
    let list = restore(home, &["--list"]).ok();
    let rows = list.lines().skip(1).filter(|line| !line.trim().is_empty());
    rows.filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

#[test]
fn the_newest_three_are_kept_and_one_of_them_is_put_back() {
    let home = home(&["one", "two", "three", "four", "five"]);
    assert_eq!(numbers(&home), ["4", "3", "2"]);
    let list = restore(&home, &["--list"]).ok();
    assert!(list.starts_with("Version"), "{list}");
    assert!(!list.contains("sk-test-version-"), "{list}");
    let said = restore(&home, &["--version", "3"]).ok();
    assert!(
        said.starts_with("Restored version 3 of p:a in agent main.\n"),
        "{said}"
    );
    assert_eq!(key(&home, STORE), "sk-test-version-three");
    let event = home.newest("profile.restored").unwrap();
    assert_eq!(
        (&event["profile"], &event["detail"]["by"]),
        (&json!(ID), &json!("restore"))
    );
    // What it replaced is a version now, and the oldest has gone.
    assert_eq!(numbers(&home), ["5", "4", "3"]);
    restore(&home, &[]).ok();
    assert_eq!(key(&home, STORE), "sk-test-version-five");
    home.assert_sound();
}

#[test]
fn what_is_not_kept_is_refused_with_what_is() {
    let home = home(&["one", "two"]);
    let run = restore(&home, &["--version", "7"]).exits(1);
    assert!(
        run.stderr.contains("no version 7 of p:a is kept"),
        "{run:?}"
    );
    assert!(run.stderr.contains("Kept are: 1"), "{run:?}");
    let run = home.run(&["models", "auth", "restore", "p:none"]).exits(64);
    assert!(run.stderr.contains("is named \"p:none\""), "{run:?}");
    restore(&home, &["--version", "1", "--list"]).exits(64);
    assert_eq!(key(&home, STORE), "sk-test-version-two");
    assert_eq!(home.count_of("profile.restored"), 0);
}

#[test]
fn a_removed_profile_is_put_back() {
    let home = home(&["one"]);
    home.run(&["models", "auth", "remove", ID, "--yes"]).ok();
    assert_eq!(key(&home, STORE), Value::Null);
    restore(&home, &[]).ok();
    assert_eq!(key(&home, STORE), "sk-test-version-one");
    assert_eq!(
        home.vaults_store()["profiles"][ID]["key"],
        "sk-test-version-one"
    );
    home.assert_sound();
}

#[test]
fn another_agent_has_versions_of_its_own() {
    let home = home(&["one"]);
    let agent = ["--agent", "ops"];
    for key in ["ops-one", "ops-two"] {
        let entry =
            json!({"type": "api_key", "provider": "p", "key": format!("sk-test-version-{key}")});
        home.write(
            OPS,
            json!({"version": 1, "profiles": {ID: entry}}).to_string(),
        );
        home.run(&["models", "auth", "list", "--agent", "ops"]).ok();
    }
    assert!(numbers(&home).is_empty());
    restore(&home, &agent).ok();
    assert_eq!(key(&home, OPS), "sk-test-version-ops-one");
    assert_eq!(key(&home, STORE), "sk-test-version-one");
    home.assert_sound();
}

#[test]
fn none_is_older_than_thirty_days() {
    let home = home(&["one"]);
    keep_as_version(&home, &["old"], now_ms() - 31 * 24 * HOUR);
    assert_eq!(
        restore(&home, &["--list"]).ok(),
        "No earlier version is kept.\n"
    );
    restore(&home, &[]).exits(1);
}

#[test]
fn one_that_does_not_open_is_reported_and_another_is_taken() {
    let home = home(&["one", "two", "three"]);
    alter(&home, |conn| {
        conn.execute_batch(
            "UPDATE profile_versions SET sealed = randomblob(length(sealed)) WHERE generation = 2",
        )
        .unwrap();
    });
    let list = restore(&home, &["--list"]).exits(65).stdout;
    assert!(list.contains("does not open"), "{list}");
    let run = restore(&home, &["--version", "2"]).exits(65);
    assert!(run.stderr.contains("version 2 of p:a"), "{run:?}");
    restore(&home, &[]).ok();
    assert_eq!(key(&home, STORE), "sk-test-version-one");
}

#[test]
fn a_spent_token_is_not_put_back() {
    let (home, provider) = refresh::home();
    home.run(&["refresh", refresh::ID]).ok();
    let list = home
        .run(&["models", "auth", "restore", refresh::ID, "--list"])
        .ok();
    assert_eq!(list, "No earlier version is kept.\n");
    // Nor one of which it is known only since.
    let entry = refresh::login("sk-test-access-x", &provider.grant("b"), 5);
    refresh::store(&home, STORE, &entry);
    home.run(&["sync"]).ok();
    set_successors(&home, GrantState::Spent, 1);
    let run = home.run(&["models", "auth", "restore", refresh::ID]);
    assert!(
        run.exits(1)
            .stderr
            .contains("is used up: a newer one replaced it")
    );
    assert_eq!(provider.repeated(), 0);
}

#[test]
fn a_mirrored_profile_is_put_back_until_the_next_command() {
    let home = Home::with_claude("sk-ant-oat01-version-one", 100);
    home.run(&["sync"]).ok();
    home.claude_login("sk-ant-oat01-version-two", 200);
    home.run(&["sync"]).ok();
    let run = home
        .run(&[
            "--no-sync",
            "models",
            "auth",
            "restore",
            "anthropic:claude-cli",
        ])
        .exits(0);
    assert!(
        run.stderr
            .contains("the next command imports what that program has"),
        "{run:?}"
    );
    let token = || home.exported_token("anthropic:claude-cli");
    assert_eq!(token().as_deref(), Some("sk-ant-oat01-version-one"));
    home.run(&["sync"]).ok();
    assert_eq!(token().as_deref(), Some("sk-ant-oat01-version-two"));
    home.assert_sound();
}

/// Another program's credential that gave way to a longer one is kept beside it, with the number of
/// the one that stayed.
#[test]
fn two_of_one_number_are_distinguished() {
    let home = home(&["one", "two"]);
    keep_as_version(&home, &["lost", "lost-too"], now_ms());
    assert_eq!(numbers(&home), ["2.2", "2.1", "1"]);
    let run = restore(&home, &["--version", "2"]).exits(1);
    assert!(run.stderr.contains("Kept are: 2.2, 2.1, 1"), "{run:?}");
    let said = restore(&home, &["--version", "2.1"]).ok();
    assert!(said.starts_with("Restored version 2.1 of p:a"), "{said}");
    assert_eq!(key(&home, STORE), "sk-test-version-lost");
    fs::remove_file(home.at(STORE)).unwrap();
    home.run(&["sync"]).ok();
    home.assert_sound();
}
