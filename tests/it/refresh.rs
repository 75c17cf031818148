//! Logins refreshed: once, whoever wants to, and so that nothing is lost on the way.

use std::process::Child;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::home::{HOUR, Home, Run, STORE, now_ms};
use crate::support::provider::{Instead, Provider};

const SETTINGS: &str = ".clawdbot/clawkeep.toml";
const OPS: &str = ".clawdbot/agents/ops/agent/auth-profiles.json";
const ID: &str = "test:login";

fn login(access: &str, refresh: &str, hours: i64) -> Value {
    json!({"type": "oauth", "provider": "test", "access": access, "refresh": refresh,
        "expires": now_ms() + hours * HOUR, "email": "a@example.com", "custom": {"kept": true}})
}

/// A home with one login that has expired, and its provider.
fn home() -> (Home, Provider) {
    let (home, provider) = (Home::new(), Provider::start());
    home.write(SETTINGS, provider.setting("test"));
    let refresh = provider.grant("a");
    store(&home, STORE, &login("sk-test-access-old", &refresh, -1));
    home.run(&["models", "status"]).ok();
    (home, provider)
}

fn store(home: &Home, path: &str, entry: &Value) {
    home.write(
        path,
        json!({"version": 1, "profiles": {ID: entry}}).to_string(),
    );
}

fn exported(home: &Home, path: &str) -> Value {
    home.json(path)["profiles"][ID].clone()
}

fn start(home: &Home, args: &[&str]) -> Child {
    let mut command = home.command(args);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command.spawn().unwrap()
}

fn end(child: Child) -> Run {
    child.wait_with_output().unwrap().into()
}

fn token(home: &Home) -> Run {
    home.run(&["token", "--provider", "test"])
}

#[test]
fn an_expired_login_is_refreshed_when_it_is_used() {
    let (home, provider) = home();
    let before = exported(&home, STORE);
    let run = token(&home);
    assert_eq!(run.stderr, "");
    let access = run.ok();
    let after = exported(&home, STORE);
    assert_eq!(access.trim(), after["access"].as_str().unwrap());
    assert_ne!(after["refresh"], before["refresh"]);
    assert_eq!(
        (&after["email"], &after["custom"]),
        (&before["email"], &before["custom"])
    );
    let left = after["expires"].as_i64().unwrap() - now_ms();
    assert!((7 * HOUR..=8 * HOUR).contains(&left), "{left}");
    let requests = provider.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].fields["grant_type"], "refresh_token");
    assert_eq!(
        requests[0].fields["refresh_token"],
        before["refresh"].as_str().unwrap()
    );
    assert_eq!(requests[0].fields["client_id"], "test-client");
    assert_eq!(
        requests[0].content_type,
        "application/x-www-form-urlencoded"
    );
    assert!(requests[0].user_agent.starts_with("clawkeep/"));
    // The record tells it, without a token.
    let kinds = home.kinds();
    let told: Vec<&str> = kinds.iter().map(String::as_str).take(4).collect();
    assert_eq!(
        told,
        [
            "credential.used",
            "export.written",
            "refresh.succeeded",
            "refresh.started"
        ]
    );
    let succeeded = home.newest("refresh.succeeded").unwrap();
    assert_eq!(succeeded["detail"]["tries"], json!(1));
    assert_eq!(succeeded["detail"]["endpoint"], json!(provider.origin()));
    assert_eq!(
        home.newest("refresh.started").unwrap()["detail"]["grant"],
        succeeded["detail"]["grant"]
    );
    // Once it lasts, nothing is sent, and the old refresh token is nowhere any more.
    token(&home).ok();
    assert_eq!(provider.count(), 1);
    let old = before["refresh"].as_str().unwrap();
    assert_eq!(home.files_with(old), [] as [String; 0]);
    assert!(!home.files().iter().any(|file| file.contains("rescue")));
    home.assert_sound();
}

#[test]
fn twenty_at_once_send_one_request() {
    let (home, provider) = home();
    let rounds: usize = std::env::var("CLAWKEEP_ROUNDS").map_or(5, |n| n.parse().unwrap());
    for round in 1..=rounds {
        let children: Vec<Child> = (0..20)
            .map(|_| start(&home, &["token", "--provider", "test"]))
            .collect();
        let answers: Vec<String> = children.into_iter().map(|child| end(child).ok()).collect();
        let now = exported(&home, STORE);
        for answer in &answers {
            assert_eq!(answer.trim(), now["access"].as_str().unwrap());
        }
        assert_eq!(provider.count(), round);
        assert_eq!(home.count_of("refresh.succeeded"), round);
        // The next round finds it expired again.
        let mut entry = now;
        entry["expires"] = json!(now_ms() - 1000);
        store(&home, STORE, &entry);
    }
    assert!(!provider.is_revoked("a"));
    home.assert_sound();
}

#[test]
fn answers_that_bring_nothing_leave_the_login_as_it_is() {
    let (home, provider) = home();
    let before = exported(&home, STORE);
    let html = || {
        Instead::Answer(
            503,
            vec![("content-type", "text/html".to_owned())],
            "<html>".to_owned(),
        )
    };
    provider.next([html(), html(), html()]);
    let run = token(&home).exits(1);
    assert!(
        run.stderr
            .contains("could not be refreshed: HTTP 503 (3 tries)"),
        "{}",
        run.stderr
    );
    assert_eq!(exported(&home, STORE), before);
    assert_eq!(provider.count(), 3);
    provider.delay(Duration::ZERO);
    token(&home).ok();
    assert_eq!(provider.count(), 4);
    home.assert_sound();
}
