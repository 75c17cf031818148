//! What is tried first, and what follows, after a credential was removed, restored, added, or
//! imported.

use serde_json::{Value, json};

use crate::support::damage::refuses;
use crate::support::home::Home;

const CONFIG: &str = ".clawdbot/clawdbot.json";

fn add(home: &Home, id: &str) -> String {
    let args = ["add", "openai", "--id", id];
    let run = home
        .run_with_input(&args, &format!("sk-test-{id}"))
        .exits(0);
    run.stderr
}

fn config(home: &Home) -> Value {
    serde_json::from_str(&home.read(CONFIG)).unwrap()
}

fn candidates(home: &Home) -> String {
    let args = ["models", "auth", "candidates", "--provider", "openai"];
    home.run(&args).ok()
}

#[test]
fn what_is_restored_is_named_in_the_gateways_configuration_again() {
    let home = Home::new();
    home.write(CONFIG, "{}");
    for id in ["openai:manual", "openai:b"] {
        add(&home, id);
    }
    let before = named_profiles(&home);
    home.run(&["rm", "openai:manual", "--yes"]).exits(0);
    assert!(!candidates(&home).contains("openai:manual"));
    let run = home.run(&["restore", "openai:manual"]).exits(0);
    let updated = "Updated ~/.clawdbot/clawdbot.json\n";
    assert!(run.stdout.contains(updated), "{run:?}");
    assert_eq!(named_profiles(&home), before);
    assert!(candidates(&home).contains("openai:manual"));

    // `use` names one that an order alone would lead to.
    let only_b = json!({"auth": {"profiles": {
        "openai:b": {"provider": "openai", "mode": "api_key"}}}});
    home.write(CONFIG, only_b.to_string());
    let run = home.run(&["use", "openai:manual"]).exits(0);
    assert!(run.stdout.contains(updated), "{run:?}");
    assert_eq!(named_profiles(&home), before);
    let run = home.run(&["use", "openai:manual"]).exits(0);
    assert!(!run.stdout.contains("Updated"), "{run:?}");

    // Naming one of several that are not named would keep the gateway from the others.
    home.write(CONFIG, "{}");
    home.run(&["rm", "openai:b", "--yes"]).exits(0);
    home.run(&["restore", "openai:b"]).exits(0);
    assert_eq!(config(&home), json!({}));
}

/// What the configuration says of profiles, whatever their places in the file.
fn named_profiles(home: &Home) -> Vec<(String, String)> {
    let config = config(home);
    let profiles = config["auth"]["profiles"].as_object().unwrap();
    let mut named: Vec<(String, String)> = profiles
        .iter()
        .map(|(id, entry)| (id.clone(), entry.to_string()))
        .collect();
    named.sort();
    named
}

fn order(home: &Home) -> Value {
    let args = [
        "models",
        "auth",
        "order",
        "get",
        "--provider",
        "openai",
        "--json",
    ];
    home.run(&args).json()["order"].clone()
}

#[test]
fn what_is_added_follows_at_the_end_of_an_order_that_use_set() {
    let home = Home::without_gateway();
    for id in ["openai:a", "openai:b"] {
        assert!(!add(&home, id).contains("order"));
    }
    home.run(&["use", "b"]).ok();
    let said = add(&home, "openai:c");
    let note = "Note: openai:c follows at the end of the order of openai: openai:b, openai:a, \
                openai:c. To use it first: clawkeep use openai:c\n";
    assert!(said.contains(note), "{said}");
    // Added again, and one more from a file: the order is still one that `use` set.
    assert!(!add(&home, "openai:c").contains("order"));
    let key = json!({"type": "api_key", "provider": "openai", "key": "sk-test-openai:d"});
    let file = json!({"version": 1, "profiles": {"openai:d": key}});
    home.write("s.json", file.to_string());
    let run = home.run(&["import", "--own", "s.json"]).exits(0);
    assert!(
        run.stderr.contains("openai:d follows at the end"),
        "{run:?}"
    );
    let all = json!(["openai:b", "openai:a", "openai:c", "openai:d"]);
    assert_eq!(order(&home), all);

    // An order that was set exactly stays.
    let set = [
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "openai",
        "openai:b",
    ];
    home.run(&set).ok();
    let said = add(&home, "openai:e");
    assert!(
        said.contains("Note: openai:e is not in the order of openai"),
        "{said}"
    );
    assert_eq!(order(&home), json!(["openai:b"]));
}

#[test]
fn a_login_that_goes_first_from_now_on_is_reported_once() {
    let home = Home::without_gateway();
    home.run_with_input(&["add", "anthropic"], "sk-ant-api03-test")
        .exits(0);
    let token = || home.run(&["token", "anthropic"]).exits(0);
    assert!(!token().stderr.contains("first"));
    home.claude_login("sk-ant-oat01-test", 6);
    let run = token();
    assert_eq!(run.stdout, "sk-ant-oat01-test\n");
    let note = "Note: anthropic:claude-cli, the login of Claude Code, was imported and is used \
                first of anthropic from now on, before anthropic:manual. To use that one first: \
                clawkeep use anthropic:manual\n";
    assert!(run.stderr.contains(note), "{run:?}");
    assert!(!token().stderr.contains("from now on"));
}

#[test]
fn a_login_that_is_refreshed_is_not_expiring() {
    let home = Home::with_claude("sk-ant-oat01-test", 6);
    let login = home.run(&["status"]).exits(0).stdout;
    assert!(login.contains("ok") && !login.contains("expir"), "{login}");
    let metrics = home.run(&["metrics"]).ok();
    let state = |state: &str| {
        let label = format!("state=\"{state}\"}} ");
        let line = metrics.lines().find(|line| line.contains(&label)).unwrap();
        line.rsplit(' ').next().unwrap() == "1"
    };
    assert!(state("ok") && !state("expiring"), "{metrics}");
}

#[test]
fn a_time_in_the_future_shows_the_state_now() {
    let home = Home::with_claude("sk-ant-oat01-test", 6);
    home.run(&["sync"]).ok();
    let run = home.run(&["history", "at", "2100-01-01"]).exits(0);
    assert!(run.stderr.contains("this is the state now"), "{run:?}");
    assert!(
        run.stdout.contains("valid") && !run.stdout.contains("expired"),
        "{run:?}"
    );
}

#[test]
fn names_that_are_not_there_are_wrong_usage() {
    let home = Home::new();
    add(&home, "openai:manual");
    refuses(
        &home,
        &["restore", "nosuch"],
        64,
        &["named \"nosuch\"", "openai:manual"],
    );
    refuses(
        &home,
        &["add", "openai", "--agent", "ops"],
        64,
        &["there is no agent ops"],
    );
    refuses(
        &home,
        &["run", "openai"],
        64,
        &["clawkeep run openai -- PROGRAM"],
    );
    let run = home.run(&["ls", "mistral"]).exits(0);
    assert_eq!(
        run.stdout,
        "No credential of mistral. Add one with: clawkeep add mistral\n"
    );
    refuses(
        &home,
        &["login", "nosuch"],
        1,
        &["authorize_url of that provider are not set"],
    );
}
