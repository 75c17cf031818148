//! Logins refreshed: once, whoever wants to, and so that nothing is lost on the way.

use std::io::ErrorKind;
use std::process::Child;
use std::time::Duration;

use clawkeep::internal::domain::RefreshFault;
use serde_json::{Value, json};

use crate::support::home::{HOUR, Home, Run, STORE, now_ms};
use crate::support::provider::{Instead, Provider};
#[cfg(unix)]
use crate::support::terminal::Terminal;

pub(crate) const SETTINGS: &str = ".clawdbot/clawkeep.toml";
pub(crate) const OPS: &str = ".clawdbot/agents/ops/agent/auth-profiles.json";
pub(crate) const ID: &str = "test:login";

pub(crate) fn login(access: &str, refresh: &str, hours: i64) -> Value {
    json!({"type": "oauth", "provider": "test", "access": access, "refresh": refresh,
        "expires": now_ms() + hours * HOUR, "email": "a@example.com", "custom": {"kept": true}})
}

/// A home with one login that has expired, and its provider.
pub(crate) fn home() -> (Home, Provider) {
    let (home, provider) = (Home::new(), Provider::start());
    home.write(SETTINGS, provider.setting("test"));
    let refresh = provider.grant("a");
    store(&home, STORE, &login("sk-test-access-old", &refresh, -1));
    home.run(&["models", "status"]).ok();
    (home, provider)
}

pub(crate) fn store(home: &Home, path: &str, entry: &Value) {
    home.write(
        path,
        json!({"version": 1, "profiles": {ID: entry}}).to_string(),
    );
}

pub(crate) fn exported(home: &Home, path: &str) -> Value {
    home.json(path)["profiles"][ID].clone()
}

pub(crate) fn start(home: &Home, args: &[&str]) -> Child {
    let mut command = home.command(args);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command.spawn().unwrap()
}

pub(crate) fn end(child: Child) -> Run {
    child.wait_with_output().unwrap().into()
}

pub(crate) fn token(home: &Home) -> Run {
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

/// A second agent with the same login.
pub(crate) fn share(home: &Home) {
    let entry = exported(home, STORE);
    store(home, OPS, &entry);
    home.run(&["sync"]).ok();
}

pub(crate) fn expire(home: &Home, path: &str) {
    let mut entry = exported(home, path);
    entry["expires"] = json!(now_ms() - 1000);
    store(home, path, &entry);
}

#[test]
fn agents_that_share_a_login_share_its_refresh() {
    let (home, provider) = home();
    share(&home);
    for round in 1..=3 {
        let ops = ["token", "--provider", "test", "--agent", "ops"];
        let main = ["token", "--provider", "test"];
        let both = (0..10).flat_map(|_| [start(&home, &ops), start(&home, &main)]);
        let children: Vec<Child> = both.collect();
        let answers: Vec<String> = children.into_iter().map(|child| end(child).ok()).collect();
        assert_eq!(provider.count(), round);
        assert_eq!(home.count_of("refresh.succeeded"), round);
        assert_eq!(exported(&home, STORE), exported(&home, OPS));
        let now = exported(&home, STORE);
        assert!(
            answers
                .iter()
                .all(|answer| Some(answer.trim()) == now["access"].as_str())
        );
        expire(&home, STORE);
        expire(&home, OPS);
    }
    home.assert_sound();
}

#[test]
fn every_store_that_carries_the_login_is_locked_while_it_is_refreshed() {
    let (home, provider) = home();
    share(&home);
    provider.hold();
    let holder = start(&home, &["token", "--provider", "test"]);
    provider.wait_for(1);
    // As the reference locks them: a gateway redeems inside these.
    let locks = [STORE, OPS].map(|store| home.at(&format!("{store}.lock")));
    assert!(locks.iter().all(|lock| lock.is_dir()));
    // The recovery file is there, with room in it, before anything is sent.
    let files = home.files();
    let rescue = files.iter().find(|file| file.ends_with(".rescue")).unwrap();
    assert!(std::fs::metadata(home.at(rescue)).unwrap().len() >= 1 << 16);
    provider.release();
    end(holder).ok();
    assert!(locks.iter().all(|lock| !lock.exists()));
    // Held by a gateway, they are waited for: it may be refreshing that login just now.
    expire(&home, STORE);
    expire(&home, OPS);
    home.run(&["sync"]).ok();
    std::fs::create_dir(&locks[1]).unwrap();
    let waiting = start(&home, &["token", "--provider", "test"]);
    while home.count_of("refresh.started") == 1
        && !home.files().iter().any(|file| file.contains("grant-"))
    {
        std::thread::yield_now();
    }
    assert_eq!(provider.count(), 1);
    let mut entry = exported(&home, OPS);
    let (next, access) = provider.exchanged_elsewhere(entry["refresh"].as_str().unwrap());
    entry["refresh"] = json!(next);
    entry["access"] = json!(access);
    entry["expires"] = json!(now_ms() + HOUR);
    store(&home, OPS, &entry);
    std::fs::remove_dir(&locks[1]).unwrap();
    // What it has got is used. The agent that asked shares the login, so it is its own too.
    let run = end(waiting);
    assert_eq!(provider.count(), 1, "{run:?}");
    home.assert_sound();
}

#[test]
fn what_a_gateway_refreshed_for_one_agent_is_the_others_too() {
    let (home, provider) = home();
    share(&home);
    let elsewhere = |path: &str, change: fn(&mut Value)| {
        let mut entry = exported(&home, path);
        let (next, access) = provider.exchanged_elsewhere(entry["refresh"].as_str().unwrap());
        entry["refresh"] = json!(next);
        entry["access"] = json!(access);
        entry["expires"] = json!(now_ms() + HOUR);
        change(&mut entry);
        store(&home, path, &entry);
        access
    };
    let access = elsewhere(OPS, |_| {});
    home.run(&["sync", "--agent", "ops"]).ok();
    assert_eq!(token(&home).ok().trim(), access);
    assert_eq!(
        exported(&home, STORE)["refresh"],
        exported(&home, OPS)["refresh"]
    );
    let shared = home.newest("profile.updated").unwrap();
    assert_eq!(
        (
            &shared["agent"],
            &shared["detail"]["by"],
            &shared["detail"]["of"]
        ),
        (&json!("main"), &json!("shared"), &json!("ops"))
    );
    // Another account under the same id is another account.
    let before = exported(&home, STORE);
    elsewhere(OPS, |entry| entry["email"] = json!("b@example.com"));
    home.run(&["sync"]).ok();
    assert_eq!(exported(&home, STORE), before);
    assert_eq!(provider.count(), 0);
    home.assert_sound();
}

#[test]
fn a_waiter_uses_what_the_holder_got_and_may_be_killed() {
    let (home, provider) = home();
    provider.hold();
    let holder = start(&home, &["token", "--provider", "test"]);
    provider.wait_for(1);
    let mut killed = start(&home, &["token", "--provider", "test"]);
    let waiter = start(&home, &["token", "--provider", "test"]);
    // Something else is recorded while they wait: no reason to send anything.
    home.run(&["session", "pin", "s", ID, "--no-sync"]).ok();
    killed.kill().unwrap();
    killed.wait().unwrap();
    provider.release();
    let (holder, waiter) = (end(holder).ok(), end(waiter).ok());
    assert_eq!(holder, waiter);
    assert_eq!(provider.count(), 1);
    home.assert_sound();
}

#[test]
fn killed_while_it_waits_for_the_answer_the_next_one_says_so_and_tries_once() {
    let (home, provider) = home();
    let before = exported(&home, STORE);
    provider.hold();
    let mut holder = start(&home, &["token", "--provider", "test"]);
    provider.wait_for(1);
    let waiter = start(&home, &["token", "--provider", "test"]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    provider.release();
    // The token was spent by the first request: the provider revokes the login when it comes again.
    let run = end(waiter).exits(1);
    assert!(
        run.stderr
            .contains("was interrupted before an answer arrived"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("the login test:login is over"),
        "{}",
        run.stderr
    );
    assert_eq!(provider.count(), 2);
    assert_eq!(exported(&home, STORE), before, "what is stored stays");
    let kinds = home
        .run(&["history", "--kind", "refresh", "--reverse", "--json"])
        .json();
    let kinds: Vec<&str> = kinds["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "refresh.started",
            "refresh.interrupted",
            "refresh.started",
            "refresh.failed"
        ]
    );
    let failed = home.newest("refresh.failed").unwrap();
    assert_eq!(
        (
            &failed["detail"]["class"],
            &failed["detail"]["error"],
            &failed["detail"]["status"]
        ),
        (&json!("dead"), &json!("refresh_token_reused"), &json!(400))
    );
    // It is never sent again.
    let run = token(&home).exits(1);
    assert!(
        run.stderr.contains("the login test:login is over"),
        "{}",
        run.stderr
    );
    assert_eq!(provider.count(), 2);
    let doctor = home.run(&["doctor", "--json"]).exits(1);
    assert!(doctor.stdout.contains("credential.dead"));
    home.assert_sound();
}

#[test]
fn every_row_of_the_table() {
    let answer = |status, headers: &[(&'static str, &str)], body: &str| {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Instead::Answer(status, headers, body.to_owned())
    };
    let html = "<html>sk-test-echo</html>";
    let big = "x".repeat(11 << 20);
    let elsewhere = [("location", "http://127.0.0.1:1/token")];
    // What is answered, how often it is asked, what the record and stderr say, how the grant
    // stands.
    let cases: Vec<(Vec<Instead>, usize, &str, &str, &str)> = vec![
        (
            vec![answer(200, &[], "")],
            1,
            "uncertain",
            "HTTP 200",
            "uncertain",
        ),
        (
            vec![answer(200, &[], "{}")],
            1,
            "uncertain",
            "may be used up",
            "uncertain",
        ),
        (
            vec![answer(200, &[], html)],
            1,
            "uncertain",
            "HTTP 200",
            "uncertain",
        ),
        (
            vec![answer(200, &[], &big)],
            1,
            "uncertain",
            "HTTP 200",
            "uncertain",
        ),
        (
            vec![answer(502, &[], html)],
            1,
            "uncertain",
            "HTTP 502",
            "uncertain",
        ),
        (
            vec![answer(504, &[], "")],
            1,
            "uncertain",
            "HTTP 504",
            "uncertain",
        ),
        (
            vec![answer(307, &elsewhere, "")],
            1,
            "uncertain",
            "HTTP 307",
            "uncertain",
        ),
        (
            vec![Instead::Hangup],
            1,
            "uncertain",
            "could not be refreshed",
            "uncertain",
        ),
        (
            vec![Instead::HalfAnAnswer],
            1,
            "uncertain",
            "could not be refreshed",
            "uncertain",
        ),
        (
            vec![Instead::NoAnswer],
            1,
            "uncertain",
            "could not be refreshed",
            "uncertain",
        ),
        (
            vec![answer(401, &[], r#"{"error": "invalid_client"}"#)],
            1,
            "misconfigured",
            "does not accept this client",
            "free",
        ),
        (
            vec![answer(400, &[], r#"{"error": "invalid_grant"}"#)],
            1,
            "dead",
            "is over",
            "dead",
        ),
        (
            vec![answer(
                403,
                &[],
                r#"{"error": {"code": "refresh_token_expired", "message": "sk-test-echo"}}"#,
            )],
            1,
            "dead",
            "is over",
            "dead",
        ),
        (
            vec![answer(429, &[("retry-after", "3600")], "")],
            1,
            "limited",
            "asks clawkeep to wait until",
            "free",
        ),
        (
            (0..3).map(|_| answer(500, &[], html)).collect(),
            3,
            "transient",
            "HTTP 500 (3 tries)",
            "free",
        ),
        (
            (0..3).map(|_| answer(418, &[], "")).collect(),
            3,
            "transient",
            "HTTP 418 (3 tries)",
            "free",
        ),
    ];
    std::thread::scope(|scope| {
        for (instead, asked, class, words, state) in cases {
            scope.spawn(move || {
                let (home, provider) = home();
                let before = home.read(STORE);
                let what = format!("{instead:.80?}");
                provider.next(instead);
                let run = token(&home).exits(1);
                assert!(run.stderr.contains(words), "{what}: {}", run.stderr);
                assert!(!run.stderr.contains("sk-test"), "{what}: {}", run.stderr);
                assert_eq!(provider.count(), asked, "{what}");
                assert_eq!(home.read(STORE), before, "{what}: byte for byte");
                let failed = home.newest("refresh.failed").unwrap();
                assert_eq!(failed["detail"]["class"], json!(class), "{what}");
                let why = failed["detail"]["why"].as_str().unwrap().to_owned();
                let code = RefreshFault::from_name(failed["detail"]["cause"].as_str().unwrap());
                let is_answered = failed["detail"]["status"].is_u64();
                assert_eq!(is_answered, why.starts_with("HTTP "), "{what}: {failed}");
                assert!(
                    code.is_some_and(|code| code != RefreshFault::Other),
                    "{what}: {failed}"
                );
                // The same in every place: the history, its sums, and what doctor reports.
                let history = home.run(&["history", "--kind", "refresh.failed"]).ok();
                assert!(history.contains(&why), "{what}: {history}");
                let sums = home.run(&["history", "refreshes", "--json"]).json();
                assert_eq!(
                    sums["refreshes"][0]["lastFailureReason"],
                    json!(why),
                    "{what}"
                );
                let doctor = home.run(&["doctor"]);
                let said = format!("({why})");
                let flat = doctor
                    .stdout
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ");
                assert!(
                    flat.contains("its last refresh failed") && flat.contains(&said),
                    "{what}: {}",
                    doctor.stdout
                );
                assert!(!failed.to_string().contains("sk-test"), "{what}");
                assert_eq!(grant_state(&home), state, "{what}");
                home.assert_sound();
            });
        }
    });
}

/// How the newest grant stands in the vault.
pub(crate) fn grant_state(home: &Home) -> String {
    let conn = rusqlite::Connection::open(home.at(crate::support::home::VAULT)).unwrap();
    let select = "SELECT state FROM grants ORDER BY since DESC LIMIT 1";
    conn.query_row(select, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_provider_that_wants_to_be_left_alone_is() {
    let (home, provider) = home();
    let limited = |after: String| Instead::Answer(429, vec![("retry-after", after)], String::new());
    // A short while is waited for within the lease.
    provider.next([limited("1".to_owned())]);
    token(&home).ok();
    assert_eq!(provider.count(), 2);
    // A long one is not, and nothing is sent until it is over.
    expire(&home, STORE);
    let date = chrono::Utc::now() + chrono::TimeDelta::hours(2);
    provider.next([limited(date.to_rfc2822().replace("+0000", "GMT"))]);
    token(&home).exits(1);
    assert_eq!(provider.count(), 3);
    let run = token(&home).exits(1);
    assert!(
        run.stderr.contains("asks clawkeep to wait until"),
        "{}",
        run.stderr
    );
    assert_eq!(provider.count(), 3);
    let until = home.newest("refresh.failed").unwrap()["detail"]["until"]
        .as_i64()
        .unwrap();
    assert!((until - now_ms() - 2 * HOUR).abs() < HOUR / 10, "{until}");
}

#[test]
fn what_is_left_of_a_login_is_handed_out_where_it_cannot_be_refreshed() {
    let (home, provider) = home();
    let mut entry = exported(&home, STORE);
    entry["expires"] = json!(now_ms() + 45_000);
    store(&home, STORE, &entry);
    let no = || Instead::Answer(503, Vec::new(), String::new());
    provider.next([no(), no(), no()]);
    let run = token(&home);
    assert!(
        run.stderr.contains("clawkeep hands out the current token"),
        "{}",
        run.stderr
    );
    assert_eq!(run.ok().trim(), "sk-test-access-old");
    // Not where more was asked for.
    provider.next([no(), no(), no()]);
    home.run(&["token", "--provider", "test", "--min-valid", "5m"])
        .exits(1);
    let run = home.run(&["token", "--provider", "test", "--min-valid", "5m"]);
    assert_ne!(run.ok().trim(), "sk-test-access-old");
}

#[test]
fn another_candidate_is_used_where_a_login_is_over_and_that_is_reported() {
    let (home, provider) = home();
    let mut doc = home.json(STORE);
    doc["profiles"]["test:key"] =
        json!({"type": "api_key", "provider": "test", "key": "sk-test-the-key"});
    home.write(STORE, doc.to_string());
    provider.next([Instead::Answer(
        400,
        Vec::new(),
        json!({"error": "invalid_grant"}).to_string(),
    )]);
    let run = token(&home);
    assert!(
        run.stderr.contains(
            "the login test:login is over: its provider refuses to refresh it, so \
             test:key is used"
        ),
        "{}",
        run.stderr
    );
    assert_eq!(run.ok().trim(), "sk-test-the-key");
    let passed = home.newest("credential.passed_over").unwrap();
    assert_eq!(passed["detail"]["why"], json!("dead"));
    home.run(&["token", "--provider", "test", "--strict"])
        .exits(1);
}

#[test]
fn a_token_that_another_program_exchanged_first_is_used() {
    let (home, provider) = home();
    let old = exported(&home, STORE);
    let refresh = old["refresh"].as_str().unwrap();
    // It has exchanged the token, and not written it yet: the store has it when this one is
    // refused.
    let (next, access) = provider.exchanged_elsewhere(refresh);
    provider.hold();
    let run = start(&home, &["token", "--provider", "test"]);
    provider.wait_for(1);
    let mut new = old.clone();
    new["refresh"] = json!(next);
    new["access"] = json!(access);
    new["expires"] = json!(now_ms() + HOUR);
    store(&home, STORE, &new); // without the lock, as the reference does at times
    provider.release();
    let run = end(run);
    assert_eq!(run.ok().trim(), access);
    assert_eq!(provider.count(), 1);
    let failed = home.newest("refresh.failed").unwrap();
    assert_eq!(failed["detail"]["exchanged"], json!("elsewhere"));
    home.assert_sound();
}

#[test]
fn a_spent_token_that_is_written_back_is_not_merged() {
    let (home, provider) = home();
    let old = home.read(STORE);
    token(&home).ok();
    let new = exported(&home, STORE);
    // A gateway that had read the store before writes it back, with something of its own.
    let mut doc: Value = serde_json::from_str(&old).unwrap();
    doc["usageStats"] = json!({ID: {"lastUsed": now_ms()}});
    doc["profiles"]["openai:default"] =
        json!({"type": "api_key", "provider": "openai", "key": "sk-test-openai"});
    home.write(STORE, doc.to_string());
    home.run(&["models", "status"]).ok();
    assert_eq!(exported(&home, STORE), new);
    let merged = home.newest("store.merged").unwrap();
    assert_eq!(merged["detail"]["spent"], json!([ID]));
    assert_eq!(
        home.json(STORE)["profiles"]["openai:default"]["type"],
        "api_key"
    );
    assert!(home.json(STORE)["usageStats"][ID]["lastUsed"].is_number());
    // Nor is it sent from where it is not known to be stale: another profile, another agent.
    let mut entry = serde_json::from_str::<Value>(&old).unwrap()["profiles"][ID].clone();
    entry["expires"] = json!(now_ms() - 1000);
    store(&home, OPS, &entry);
    // What took its place is what that agent gets.
    let run = home.run(&["token", "--provider", "test", "--agent", "ops"]);
    assert_eq!(run.ok().trim(), new["access"].as_str().unwrap());
    assert_eq!(exported(&home, OPS)["refresh"], new["refresh"]);
    // Nor is it imported.
    home.write("backup.json", &old);
    let run = home.run(&["import", "backup.json"]);
    assert!(
        run.stderr.contains("test:login was not imported"),
        "{}",
        run.stderr
    );
    run.ok();
    assert_eq!(exported(&home, STORE), new);
    let dropped = home.newest("import.dropped").unwrap();
    assert_eq!(dropped["detail"]["spent"], json!([ID]));
    assert_eq!(provider.count(), 1);
    assert!(!provider.is_revoked("a"));
    home.assert_sound();
}

#[test]
fn a_newer_login_stays_and_the_late_result_is_kept() {
    let (home, provider) = home();
    provider.hold();
    let run = start(&home, &["token", "--provider", "test"]);
    provider.wait_for(1);
    let mut new = exported(&home, STORE);
    new["refresh"] = json!(provider.grant("b"));
    new["access"] = json!("sk-test-access-newer");
    new["expires"] = json!(now_ms() + HOUR);
    store(&home, STORE, &new);
    provider.release();
    assert_eq!(end(run).ok().trim(), "sk-test-access-newer");
    assert_eq!(
        exported(&home, STORE)["access"],
        json!("sk-test-access-newer")
    );
    assert_eq!(home.count_of("refresh.succeeded"), 0);
    let superseded = home.newest("refresh.superseded").unwrap();
    assert_eq!(
        (&superseded["profile"], &superseded["outcome"]),
        (&json!(ID), &json!("skipped"))
    );
    assert_eq!(provider.count(), 1);
    home.assert_sound();
}

#[test]
fn borrowed_logins_are_never_refreshed() {
    let (home, provider) = home();
    let refresh = provider.grant("codex");
    home.write(
        SETTINGS,
        format!(
            "{}{}",
            provider.setting("openai-codex"),
            provider.setting("anthropic")
        ),
    );
    let of = |provider: &str, refresh: &str| {
        json!({"type": "oauth", "provider": provider,
        "access": "sk-test-x", "refresh": refresh, "expires": now_ms() - 1000})
    };
    let doc = json!({"version": 1, "profiles": {
        "openai-codex:codex-cli": of("openai-codex", &refresh),
        "anthropic:claude-cli": of("anthropic", "sk-test-claude-refresh"),
        "openai-codex:copy": of("openai-codex", &refresh),
    }});
    home.write(STORE, doc.to_string());
    for (id, words) in [
        ("openai-codex:codex-cli", "codex login"),
        ("anthropic:claude-cli", "claude auth login"),
        ("openai-codex:copy", "codex login"),
    ] {
        let run = home.run(&["token", "--profile", id]).exits(1);
        assert!(run.stderr.contains(words), "{id}: {}", run.stderr);
        home.run(&["refresh", id]).exits(1);
    }
    home.run(&["refresh", "--due"]).exits(1);
    // Codex's own file says whose a login is, even where its profile is not stored.
    home.write(
        ".codex/auth.json",
        json!({"tokens": {"access_token": "sk-test-y", "refresh_token": refresh}}).to_string(),
    );
    let doc =
        json!({"version": 1, "profiles": {"openai-codex:copy": of("openai-codex", &refresh)}});
    home.write(STORE, doc.to_string());
    home.run(&["token", "--profile", "openai-codex:copy", "--no-sync"])
        .exits(1);
    assert_eq!(provider.count(), 0);
    home.assert_sound();
}

#[test]
fn tokens_go_where_they_came_from() {
    let (home, provider) = home();
    token(&home).ok();
    expire(&home, STORE);
    let other = Provider::start();
    home.write(SETTINGS, other.setting("test"));
    let run = token(&home).exits(1);
    assert!(run.stderr.contains(&provider.origin()), "{}", run.stderr);
    assert!(
        run.stderr.contains("clawkeep models auth trust test:login"),
        "{}",
        run.stderr
    );
    let run = home.run(&["models", "auth", "trust", ID]).exits(1);
    assert!(run.stderr.contains("on a terminal"), "{}", run.stderr);
    let doctor = home.run(&["doctor", "--json"]);
    assert!(
        doctor.stdout.contains("credential.endpoint"),
        "{}",
        doctor.stdout
    );
    assert_eq!((provider.count(), other.count()), (1, 0));
    // A client of another name, too.
    home.write(
        SETTINGS,
        provider.setting("test").replace("test-client", "else"),
    );
    let run = token(&home).exits(1);
    assert!(
        run.stderr.contains("issued to client test-client"),
        "{}",
        run.stderr
    );
    // Settings that others may write do not count.
    home.write(SETTINGS, provider.setting("test"));
    crate::support::damage::chmod(&home.at(SETTINGS), 0o622);
    if cfg!(unix) {
        let run = token(&home).exits(65);
        assert!(run.stderr.contains("chmod go-w"), "{}", run.stderr);
    }
    assert_eq!((provider.count(), other.count()), (1, 0));
    crate::support::damage::chmod(&home.at(SETTINGS), 0o600);
    token(&home).ok();
}

#[test]
fn how_long_new_tokens_last() {
    let (home, provider) = home();
    let day = 24 * HOUR;
    let body =
        |access: &str, expires_in: Value| json!({"access_token": access, "expires_in": expires_in});
    for (expires_in, want) in [
        (json!(7200), 2 * HOUR),
        (json!("7200"), 2 * HOUR),
        (Value::Null, HOUR),
        (json!(0), HOUR),
        (json!(-5), HOUR),
        (json!("soon"), HOUR),
        (json!(9_999_999_999_999_999_999_u64), 400 * day),
        (json!(1e30), 400 * day),
    ] {
        expire(&home, STORE);
        provider.lifetime(Some(expires_in.clone()));
        token(&home).ok();
        let left = exported(&home, STORE)["expires"].as_i64().unwrap() - now_ms();
        assert!((left - want).abs() < 60_000, "{expires_in}: {left}");
    }
    // Nothing named at all; no refresh token in the answer: the old one stays good.
    provider.lifetime(None);
    provider.keep_refresh_tokens();
    expire(&home, STORE);
    let before = exported(&home, STORE);
    token(&home).ok();
    let after = exported(&home, STORE);
    assert_eq!(after["refresh"], before["refresh"]);
    assert_ne!(after["access"], before["access"]);
    expire(&home, STORE);
    token(&home).ok();
    assert!(!provider.is_revoked("a"));
    // A token that says itself when it ends.
    let claims = format!("{{\"exp\": {}}}", now_ms() / 1000 + 5 * 3600);
    let jwt = format!(
        "e30.{}.x",
        data_encoding::BASE64URL_NOPAD.encode(claims.as_bytes())
    );
    provider.next([Instead::Body(body(&jwt, Value::Null))]);
    expire(&home, STORE);
    token(&home).ok();
    let left = exported(&home, STORE)["expires"].as_i64().unwrap() - now_ms();
    assert!((left - 5 * HOUR).abs() < 60_000, "{left}");
    home.assert_sound();
}

#[test]
fn anthropics_way() {
    let (home, provider) = home();
    home.write(
        SETTINGS,
        format!(
            "[providers.anthropic]\ntoken_url = \"{}\"\n",
            provider.url()
        ),
    );
    let mut entry = login("sk-test-old", &provider.grant("a"), -1);
    entry["provider"] = json!("anthropic");
    home.write(
        STORE,
        json!({"version": 1, "profiles": {"anthropic:me": entry}}).to_string(),
    );
    home.run(&["token", "--profile", "anthropic:me"]).ok();
    let request = &provider.requests()[0];
    assert_eq!(request.content_type, "application/json");
    assert_eq!(request.path, "/token");
    assert_eq!(
        request.fields["client_id"],
        "9d1c250a-e61b-44d9-88ed-5944d1962f5e"
    );
    assert_eq!(request.fields.len(), 3);
    // As the reference stores it: five minutes less.
    let ends = home.json(STORE)["profiles"]["anthropic:me"]["expires"]
        .as_i64()
        .unwrap();
    let left = ends - now_ms() - 8 * HOUR + 300_000;
    assert!(left.abs() < 60_000, "{left}");
}

#[test]
fn refresh_by_hand_and_by_cron() {
    let (home, provider) = home();
    share(&home);
    let mut doc = home.json(OPS);
    doc["profiles"]["test:other"] = login("sk-test-other", &provider.grant("other"), 2);
    doc["profiles"]["test:static"] =
        json!({"type": "api_key", "provider": "test", "key": "sk-test-key"});
    doc["profiles"]["zai:gateways"] = login("sk-test-zai", "sk-test-r", -1);
    doc["profiles"]["zai:gateways"]["provider"] = json!("zai");
    home.write(OPS, doc.to_string());
    // Every agent's that are due; the shared one is refreshed once.
    let run = home.run(&["refresh", "--due"]).exits(0);
    assert!(
        run.stdout
            .contains("Refreshed test:login; it expires in 8h."),
        "{run:?}"
    );
    assert_eq!(run.stderr, "", "what cannot be refreshed here is not due");
    assert_eq!(provider.count(), 1);
    assert_eq!(exported(&home, STORE), exported(&home, OPS));
    let run = home.run(&["refresh", "--due", "--within", "3h", "--agent", "main"]);
    assert!(run.stderr.contains("No login is due"), "{run:?}");
    assert_eq!(run.ok(), "");
    let run = home
        .run(&[
            "refresh", "--due", "--within", "3h", "--agent", "ops", "--json",
        ])
        .exits(0);
    let rows: Value = serde_json::from_str(&run.stdout).unwrap();
    let of = |id: &str| {
        let rows = rows["refreshed"].as_array().unwrap();
        rows.iter().find(|row| row["profile"] == id).cloned()
    };
    assert_eq!(of("test:other").unwrap()["result"], "refreshed");
    assert!(of("zai:gateways").is_none());
    let run = home
        .run(&["refresh", "zai:gateways", "--agent", "ops"])
        .exits(1);
    assert!(
        run.stderr.contains("no token endpoint of zai is known"),
        "{run:?}"
    );
    assert!(of(ID).is_none());
    // One that is named is refreshed though it lasts; what cannot be is said.
    let before = exported(&home, STORE);
    let run = home.run(&["refresh", ID]);
    assert_eq!(run.ok(), "Refreshed test:login; it expires in 8h.\n");
    assert_ne!(exported(&home, STORE)["access"], before["access"]);
    let run = home
        .run(&["refresh", "test:static", "--agent", "ops"])
        .exits(1);
    assert!(
        run.stderr.contains("test:static has no refresh token"),
        "{run:?}"
    );
    let run = home.run(&["refresh", "test:nobody"]).exits(1);
    assert!(run.stderr.contains("\"test:nobody\" not found"), "{run:?}");
    home.write(SETTINGS, "[providers.test]\ntokn = 1");
    let run = home.run(&["refresh", "--due"]).exits(65);
    assert!(run.stderr.contains("unknown field `tokn`"), "{run:?}");
    home.run(&["refresh"]).exits(64);
    home.run(&["refresh", ID, "--due"]).exits(64);
    home.run(&["refresh", ID, "--within", "1h"]).exits(64);
    home.assert_sound();
}

#[test]
fn many_who_force_a_refresh_share_it() {
    let (home, provider) = home();
    provider.hold();
    let first = start(&home, &["refresh", ID]);
    provider.wait_for(1);
    let others: Vec<Child> = (0..5).map(|_| start(&home, &["refresh", ID])).collect();
    provider.release();
    let all = [first].into_iter().chain(others);
    let told: Vec<String> = all.map(|child| end(child).ok()).collect();
    // Who looked while the first was at it uses what that one got; who came late asks once more,
    // and so on.
    let shared = |told: &&String| told.contains("has been refreshed already");
    assert_eq!(
        provider.count() + told.iter().filter(shared).count(),
        6,
        "{told:?}"
    );
    assert_eq!(home.count_of("refresh.succeeded"), provider.count());
    assert!(!provider.is_revoked("a"));
}

#[cfg(unix)]
#[test]
fn where_tokens_go_is_confirmed_on_a_terminal() {
    let (home, provider) = home();
    token(&home).ok();
    expire(&home, STORE);
    let other = Provider::start();
    home.write(SETTINGS, other.setting("test"));
    let refresh = exported(&home, STORE)["refresh"]
        .as_str()
        .unwrap()
        .to_owned();
    other.good(&refresh, "moved");
    let trust = |answer: &str| {
        let mut terminal = Terminal::start(home.command(&["models", "auth", "trust", ID]));
        terminal.answer("from now on?", answer);
        terminal.end()
    };
    let (_, shown) = trust("n\n");
    assert!(
        shown.contains(&provider.origin()) && shown.contains(&other.origin()),
        "{shown}"
    );
    token(&home).exits(1);
    assert_eq!(other.count(), 0);
    let (status, shown) = trust("y\n");
    assert_eq!(status, 0, "{shown}");
    let trusted = home.newest("endpoint.trusted").unwrap();
    assert_eq!(
        (&trusted["detail"]["from"], &trusted["detail"]["to"]),
        (&json!(provider.origin()), &json!(other.origin()))
    );
    token(&home).ok();
    assert_eq!(other.count(), 1);
    let run = home.run(&["models", "auth", "trust", ID]);
    assert!(run.ok().contains("already"));
    home.assert_sound();
}

#[test]
fn the_status_of_a_grant_is_reported() {
    let (home, provider) = home();
    provider.next([Instead::Answer(502, Vec::new(), String::new())]);
    token(&home).exits(1);
    let status = home.run(&["models", "status"]).ok();
    assert!(
        status.contains("(refresh token may be used up)"),
        "{status}"
    );
    let json = home.run(&["models", "status", "--json"]).json();
    assert_eq!(
        json["auth"]["oauth"]["profiles"][0]["grant"],
        json!("uncertain")
    );
    provider.next([Instead::Answer(
        400,
        Vec::new(),
        json!({"error": "invalid_grant"}).to_string(),
    )]);
    token(&home).exits(1);
    assert!(
        home.run(&["models", "status"])
            .ok()
            .contains("(login is over)")
    );
    assert!(
        home.run(&["models", "auth", "list"])
            .ok()
            .contains("expired, dead")
    );
    // A login anew, and all is as before.
    store(
        &home,
        STORE,
        &login("sk-test-access-anew", &provider.grant("b"), 5),
    );
    let json = home.run(&["models", "status", "--json"]).json();
    assert_eq!(json["auth"]["oauth"]["profiles"][0].get("grant"), None);
    token(&home).ok();
}

#[cfg(unix)]
#[test]
fn no_token_is_anywhere_but_where_it_belongs() {
    let (home, provider) = home();
    provider.hold();
    let refresh = exported(&home, STORE)["refresh"]
        .as_str()
        .unwrap()
        .to_owned();
    let child = start(&home, &["token", "--provider", "test", "-v"]);
    provider.wait_for(1);
    for file in ["cmdline", "environ"] {
        let bytes = match std::fs::read(format!("/proc/{}/{file}", child.id())) {
            // The program is not dumpable: only root can read its environment.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && file == "environ" => {
                assert!(!rustix::process::geteuid().is_root());
                continue;
            }
            read => read.unwrap(),
        };
        assert!(
            !String::from_utf8_lossy(&bytes).contains("sk-test"),
            "{file}"
        );
    }
    provider.release();
    let run = end(child);
    assert!(!run.stderr.contains("sk-test"), "{}", run.stderr);
    let access = run.ok();
    expire(&home, STORE);
    let echo = json!({"error": {"code": refresh, "message": access}}).to_string();
    provider.next((0..3).map(|_| Instead::Answer(400, Vec::new(), echo.clone())));
    let run = home.run(&["token", "--provider", "test", "-v"]).exits(1);
    assert!(!run.stderr.contains("sk-test"), "{}", run.stderr);
    assert_eq!(
        home.newest("refresh.failed").unwrap()["detail"]["error"],
        json!("other")
    );
    assert!(!home.run(&["history", "--json"]).ok().contains("sk-test"));
    for file in home.files_with("sk-test") {
        assert_eq!(file, STORE);
    }
}
