//! One state of a credential, and one advice, in every command.

use std::cell::OnceCell;
use std::os::unix::fs::symlink;
use std::process::Command;

use clawkeep::internal::domain::{AgentName, Owner, Span, UnixMs};
use clawkeep::internal::health::{AsOf, RefreshedBy};
use clawkeep::internal::sync::StateReader;
use serde_json::{Value, json};

use crate::advice::{Commands, remedy_of};
use crate::support::bench::{Bench, START};

use crate::support::home::{HOUR, Home, STORE, now_ms};

const SETTINGS: &str = ".clawdbot/clawkeep.toml";

fn with(profiles: &Value) -> Home {
    let home = Home::new();
    let store = json!({"version": 1, "profiles": profiles});
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    home
}

/// The findings about a profile: id, and advice.
fn findings(home: &Home, profile: &str) -> Vec<(String, String)> {
    let doctor = home.run(&["doctor", "--json"]).stdout;
    let doctor: Value = serde_json::from_str(&doctor).unwrap();
    let findings = doctor["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings
        .filter(|finding| finding["profile"] == profile)
        .map(|finding| (text(&finding["id"]), text(&finding["fix"])))
        .collect()
}

/// The status words of `models auth list` and `models status`.
fn words(home: &Home, profile: &str) -> (String, String) {
    let word = |profiles: &Value| {
        let mut profiles = profiles.as_array().unwrap().iter();
        let found = profiles.find(|found| found["profileId"] == profile);
        found.unwrap()["status"].as_str().unwrap().to_owned()
    };
    let list = home.run(&["models", "auth", "list", "--json"]).json();
    let status = home.run(&["models", "status", "--json"]).json();
    let oauth = &status["auth"]["oauth"]["profiles"];
    (word(&list["profiles"]), word(oauth))
}

fn both(word: &str) -> (String, String) {
    (word.to_owned(), word.to_owned())
}

#[test]
fn github_copilots_login_without_an_expiry_is_good_everywhere() {
    let id = "github-copilot:a";
    let home = with(&json!({id: {"type": "oauth", "provider": "github-copilot",
        "access": "gho_a", "refresh": "gho_a", "expires": 0}}));
    assert_eq!(words(&home, id), both("static"));
    assert_eq!(findings(&home, id), []);
    assert_eq!(home.run(&["token", "--profile", id]).ok(), "gho_a\n");
    let page = home.run(&["report", "--to", "-"]).ok();
    assert!(page.contains("The credential can be used."));
}

#[test]
fn an_oauth_entry_without_tokens_is_empty() {
    let home = with(
        &json!({"p:a": {"type": "oauth", "provider": "p", "access": "",
        "refresh": "", "expires": 0}}),
    );
    assert_eq!(words(&home, "p:a").0, "empty");
    assert_eq!(findings(&home, "p:a")[0].0, "credential.empty");
}

#[test]
fn a_login_whose_client_is_unknown_is_the_gateways_to_refresh() {
    let login = |client: Value| {
        json!({"type": "oauth", "provider": "p", "access": "a", "refresh": "r",
            "expires": now_ms() - HOUR, "clientId": client})
    };
    let home = with(&json!({"p:known": login(json!("c")), "p:unknown": login(json!(null))}));
    home.write(
        SETTINGS,
        "[providers.p]\ntoken_url = \"https://127.0.0.1:1/token\"\n",
    );
    let (id, fix) = findings(&home, "p:known").remove(0);
    assert_eq!(
        (&*id, &*fix),
        ("credential.overdue", "clawkeep refresh p:known")
    );
    let (id, fix) = findings(&home, "p:unknown").remove(0);
    assert_eq!(id, "credential.overdue");
    assert!(fix.starts_with("The gateway refreshes it"), "{fix}");
}

#[test]
fn a_long_lived_claude_token_is_not_claudes_to_refresh() {
    const ID: &str = "anthropic:claude-cli";
    let agent = AgentName::default();
    for (lifetime, want) in [
        (
            Span::hours(8),
            Some(RefreshedBy::Program(Owner::ClaudeCode)),
        ),
        (Span::days(365), None),
    ] {
        let mut bench = Bench::new();
        let ends = START + lifetime.ms();
        bench.put(
            ID,
            &json!({"type": "token", "provider": "anthropic", "token": "t",
            "expires": ends}),
            START,
        );
        let doc = bench.vault.agent(&agent).unwrap().doc;
        let credential = doc.credential(ID).unwrap();
        let states = StateReader {
            vault: Some(&bench.vault),
            agent: &agent,
            doc: &doc,
            providers: None,
            logins: None,
            as_of: AsOf::at(UnixMs::from_ms(ends + HOUR)),
            kept: OnceCell::new(),
        };
        let state = states.read(ID, &credential).unwrap();
        assert_eq!((state.word(), state.refresher()), ("expired", want));
        let fix = remedy_of(&states, ID, Commands::Tree).unwrap();
        let command = if want.is_some() {
            "Start `claude`"
        } else {
            "`claude auth login`"
        };
        assert!(fix.contains(command), "{fix}");
    }
}

#[test]
fn what_is_expiring_is_a_setting_but_not_for_the_reference() {
    let token = |hours: i64| {
        json!({"type": "token", "provider": "anthropic", "token": "t",
            "expires": now_ms() + hours * HOUR})
    };
    let home = with(&json!({"anthropic:a": token(60)}));
    assert_eq!(words(&home, "anthropic:a"), both("ok"));
    home.write(SETTINGS, "clawkeep.expiring_within = \"3d\"\n");
    assert_eq!(words(&home, "anthropic:a"), both("expiring"));
    assert_eq!(findings(&home, "anthropic:a")[0].0, "credential.expiring");
    home.run(&["models", "status", "--check"]).exits(2);
    let page = home.run(&["report", "--to", "-"]).ok();
    assert!(page.contains("▲"), "{page}");

    symlink(env!("CARGO_BIN_EXE_clawkeep"), home.at("clawdbot")).unwrap();
    let named = home.command(&["models", "status", "--check", "--json"]);
    let mut reference = Command::new(home.at("clawdbot"));
    reference.args(named.get_args()).env_clear();
    reference.envs(
        named
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    reference.current_dir(home.path());
    let status = home.output_of(reference).exits(0);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    let oauth = &status["auth"]["oauth"];
    assert_eq!(oauth["warnAfterMs"], 24 * HOUR);
    assert_eq!(oauth["profiles"][0]["status"], "ok");

    home.write(SETTINGS, "\nclawkeep.expiring_within = \"soon\"\n");
    for args in [
        &["models", "status"][..],
        &["models", "auth", "list"],
        &["report", "--to", "-"],
    ] {
        let run = home.run(args);
        let what = "line 2: clawkeep.expiring_within is a span from a minute to a year";
        assert!(run.stderr.contains(what) && run.status != 0, "{run:?}");
    }
}
