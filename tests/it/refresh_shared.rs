//! One login in many places: other profiles, other agents, other programs, older copies.

use std::process::Child;

use serde_json::{Value, json};

use crate::refresh::{
    ID, OPS, SETTINGS, end, expire, exported, home, login, share, start, store, token,
};
use crate::support::home::{HOUR, Home, STORE, now_ms};
use crate::support::provider::{Instead, Provider};

const TOKEN: [&str; 3] = ["token", "--provider", "test"];

/// As a gateway refreshes a login in one store.
fn by_gateway(home: &Home, provider: &Provider, path: &str, change: fn(&mut Value)) -> String {
    let mut entry = exported(home, path);
    let (next, access) = provider.exchanged_elsewhere(entry["refresh"].as_str().unwrap());
    entry["refresh"] = json!(next);
    entry["access"] = json!(access);
    entry["expires"] = json!(now_ms() + HOUR);
    change(&mut entry);
    let mut doc = home.json(path);
    doc["profiles"][ID] = entry;
    home.write(path, doc.to_string());
    access
}

#[test]
fn every_profile_that_holds_a_login_gets_what_a_gateway_got() {
    let (home, provider) = home();
    let mut doc = home.json(STORE);
    doc["profiles"]["test:second"] = doc["profiles"][ID].clone();
    home.write(STORE, doc.to_string());
    let mut entry = exported(&home, STORE);
    entry["email"] = Value::Null;
    home.write(
        OPS,
        json!({"version": 1, "profiles": {"test:other-name": entry}}).to_string(),
    );
    home.run(&["sync"]).ok();
    // It also learns something of the account on the way, as the reference does.
    let access = by_gateway(&home, &provider, STORE, |entry| {
        entry["accountId"] = json!("acc-1");
    });
    home.run(&["sync"]).ok();
    assert_eq!(
        home.json(STORE)["profiles"]["test:second"]["access"],
        json!(access)
    );
    let run = home.run(&["token", "--profile", "test:other-name", "--agent", "ops"]);
    assert_eq!(
        run.ok().trim(),
        exported(&home, STORE)["access"].as_str().unwrap()
    );
    assert_eq!(provider.count(), 0);
    home.assert_sound();
}

#[test]
fn a_copy_that_turns_up_later_gets_what_took_its_place() {
    let (home, provider) = home();
    let old = home.read(STORE);
    let first = token(&home).ok();
    // An agent that is made as a copy, with the token that is spent.
    home.write(OPS, &old);
    home.run(&["sync"]).ok();
    assert!(
        !home.read(OPS).contains("sk-test-refresh-a-1\""),
        "not exported again"
    );
    let run = home.run(&["token", "--provider", "test", "--agent", "ops"]);
    assert_eq!(run.ok(), first);
    // Where nobody has the successor, what is left of it stays without.
    home.run(&["models", "auth", "remove", ID, "--yes"]).ok();
    home.run(&["models", "auth", "remove", ID, "--yes", "--agent", "ops"])
        .ok();
    home.write(".clawdbot/agents/late/agent/auth-profiles.json", &old);
    home.run(&["sync"]).ok();
    let late = home.json(".clawdbot/agents/late/agent/auth-profiles.json");
    assert_eq!(late["profiles"][ID]["refresh"], json!(""));
    assert_eq!(provider.count(), 1);
    assert!(!provider.is_revoked("a"));
    home.assert_sound();
}

#[test]
fn an_agent_that_was_never_examined_is_locked_too_and_gets_the_result() {
    let (home, provider) = home();
    home.write(OPS, home.read(STORE));
    let access = token(&home).ok();
    assert_eq!(exported(&home, OPS)["access"], json!(access.trim()));
    let run = home.run(&["token", "--provider", "test", "--agent", "ops"]);
    assert_eq!(run.ok(), access);
    assert_eq!(provider.count(), 1);
}

#[test]
fn an_import_that_was_on_its_way_does_not_bring_a_spent_token_back() {
    let (home, provider) = home();
    let mut doc = home.json(STORE);
    doc["profiles"][ID]["expires"] = json!(now_ms() + 900 * HOUR);
    home.write("backup.json", doc.to_string());
    provider.hold();
    let refresh = start(&home, &TOKEN);
    provider.wait_for(1);
    let import = start(&home, &["import", "backup.json"]);
    provider.release();
    let access = end(refresh).ok();
    end(import).ok();
    assert_eq!(exported(&home, STORE)["access"], json!(access.trim()));
    assert!(provider.is_live(exported(&home, STORE)["refresh"].as_str().unwrap()));
    home.assert_sound();
}

#[test]
fn a_copy_does_not_evade_the_pin() {
    let (home, provider) = home();
    token(&home).ok();
    expire(&home, STORE);
    let other = Provider::start();
    home.write(SETTINGS, other.setting("test"));
    home.write(OPS, home.read(STORE));
    home.run(&["sync"]).ok();
    let run = home
        .run(&["token", "--provider", "test", "--agent", "ops"])
        .exits(1);
    assert!(run.stderr.contains(&provider.origin()), "{}", run.stderr);
    // Nor does another provider's name over the same token.
    let settings = format!("{}{}", provider.setting("test"), other.setting("else"));
    home.write(SETTINGS, settings);
    let mut doc = home.json(STORE);
    doc["profiles"][ID]["provider"] = json!("else");
    home.write(STORE, doc.to_string());
    home.run(&["token", "--profile", ID]).exits(1);
    assert_eq!(other.count(), 0);
}

#[test]
fn what_was_borrowed_once_stays_borrowed() {
    let (home, provider) = home();
    home.write(SETTINGS, provider.setting("openai-codex"));
    let refresh = provider.grant("codex");
    let codex = |access: &str, refresh: &str| {
        json!({"tokens": {"access_token": access, "refresh_token": refresh}}).to_string()
    };
    let mut entry = login("sk-test-x", &refresh, -1);
    entry["provider"] = json!("openai-codex");
    home.write(
        STORE,
        json!({"version": 1, "profiles": {"openai-codex:default": entry}}).to_string(),
    );
    // Damaged, it may be that one's.
    home.write(".codex/auth.json", &codex("sk-test-x", &refresh)[..20]);
    let run = home
        .run(&["token", "--profile", "openai-codex:default"])
        .exits(1);
    assert!(
        run.stderr
            .contains("whether it is Codex CLI's cannot be known"),
        "{}",
        run.stderr
    );
    home.write(".codex/auth.json", codex("sk-test-x", &refresh));
    home.run(&["models", "status"]).ok();
    // Codex goes on to another token: the copy does not become ours by that.
    home.write(
        ".codex/auth.json",
        codex("sk-test-y", "sk-test-refresh-next"),
    );
    home.run(&[
        "models",
        "auth",
        "remove",
        "openai-codex:codex-cli",
        "--yes",
    ]);
    let run = home
        .run(&["token", "--profile", "openai-codex:default", "--no-sync"])
        .exits(1);
    assert!(run.stderr.contains("codex login"), "{}", run.stderr);
    assert_eq!(provider.count(), 0);
}

#[test]
fn who_waited_for_a_refresh_that_failed_does_not_send_again() {
    let (home, provider) = home();
    provider.hold();
    provider.next([Instead::NoAnswer]);
    let first = start(&home, &TOKEN);
    provider.wait_for(1);
    let others: Vec<Child> = (0..8).map(|_| start(&home, &TOKEN)).collect();
    // Each has looked, and waits, once it is in the queue for the lease: what comes later may try
    // once by itself.
    provider.release();
    end(first).exits(1);
    let runs: Vec<_> = others.into_iter().map(end).collect();
    let waited = runs.iter().filter(|run| {
        run.stderr
            .contains("another process just failed to refresh")
    });
    let waited = waited.count();
    // The token was spent by the lost answer: whoever did not wait finds the login over, by one
    // request.
    assert!(
        provider.count() <= 2,
        "{} requests, {waited} waited",
        provider.count()
    );
    home.assert_sound();
}

#[test]
fn tokens_that_last_less_than_a_minute_are_not_asked_for_again_and_again() {
    let (home, provider) = home();
    provider.lifetime(Some(json!(50)));
    provider.hold();
    let first = start(&home, &TOKEN);
    provider.wait_for(1);
    let other = start(&home, &TOKEN);
    provider.release();
    let (first, other) = (end(first).ok(), end(other).ok());
    assert!(
        provider.count() == 1 || first != other,
        "who waited uses what it waited for"
    );
    home.assert_sound();
}

#[test]
fn a_newer_gateways_login_is_left_to_it() {
    let (home, provider) = home();
    home.write(".clawdbot/agents/main/agent/openclaw-agent.sqlite", "");
    let run = token(&home).exits(1);
    assert!(
        run.stderr.contains("a newer gateway has it"),
        "{}",
        run.stderr
    );
    assert_eq!(provider.count(), 0);
}

#[cfg(unix)] // modes
#[test]
fn what_stands_in_the_way_here_is_no_reason_to_hand_out_nothing() {
    let (home, provider) = home();
    share(&home);
    let mut doc = home.json(STORE);
    doc["profiles"]["test:key"] =
        json!({"type": "api_key", "provider": "test", "key": "sk-test-key"});
    home.write(STORE, doc.to_string());
    home.run(&["models", "status"]).ok();
    crate::support::damage::chmod(&home.at(OPS), 0o666);
    let run = token(&home);
    assert!(
        run.stderr.contains("could not be refreshed"),
        "{}",
        run.stderr
    );
    assert_eq!(run.ok().trim(), "sk-test-key");
    crate::support::damage::chmod(&home.at(OPS), 0o600);
    // Locks that others can take away hold off nobody: nothing is done then.
    crate::support::damage::chmod(&home.at(".clawdbot/vault.db.lease"), 0o777);
    let run = home.run(&["token", "--provider", "test", "-v"]).exits(65);
    assert!(
        run.stderr.contains("can be written by other users"),
        "{}",
        run.stderr
    );
    crate::support::damage::chmod(&home.at(".clawdbot/vault.db.lease"), 0o700);
    // A stranger's entry among the locks is nobody's business.
    let stranger = home.at(".clawdbot/vault.db.lease/grant-00010707070707070707");
    std::fs::create_dir_all(stranger).unwrap();
    assert!(token(&home).ok().contains("sk-test-access"));
    assert_eq!(provider.count(), 1);
    // Nor is one agent's broken store the other agents'.
    expire(&home, STORE);
    let late = ".clawdbot/agents/late/agent/auth-profiles.json";
    home.write(late, "{bro");
    let run = home.run(&["refresh", "--due"]).exits(65);
    assert!(run.stdout.contains("Refreshed test:login"), "{run:?}");
}

#[cfg(unix)]
#[test]
fn a_signal_waits_until_every_command_that_refreshes_has_kept_the_answer() {
    for args in [&["refresh", "--due"], &["watch", "--once"]] {
        let (home, provider) = home();
        provider.hold();
        let child = start(&home, args);
        provider.wait_for(1);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        provider.release();
        let status = child.wait_with_output().unwrap().status;
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(15), "{args:?}");
        assert_eq!(token(&home).ok().trim(), "sk-test-access-a-2", "{args:?}");
        assert_eq!(provider.count(), 1, "{args:?}");
        home.assert_sound();
    }
}

#[cfg(unix)]
#[test]
fn a_signal_waits_until_the_answer_is_kept() {
    let (home, provider) = home();
    provider.hold();
    let child = start(&home, &TOKEN);
    provider.wait_for(1);
    let kill = std::process::Command::new("kill")
        .arg(child.id().to_string())
        .status();
    assert!(kill.unwrap().success());
    provider.release();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&output.status),
        Some(15)
    );
    assert!(output.stdout.is_empty());
    // It was ended, and the login is there.
    let access = token(&home).ok();
    assert_eq!(
        (provider.count(), home.count_of("refresh.succeeded")),
        (1, 1)
    );
    assert_eq!(access.trim(), "sk-test-access-a-2");
    // A waiter is ended at once.
    expire(&home, STORE);
    provider.hold();
    let holder = start(&home, &TOKEN);
    provider.wait_for(2);
    let mut waiter = start(&home, &TOKEN);
    let kill = std::process::Command::new("kill")
        .arg(waiter.id().to_string())
        .status();
    assert!(kill.unwrap().success());
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&waiter.wait().unwrap()),
        Some(15)
    );
    provider.release();
    end(holder).ok();
    home.assert_sound();
}

#[test]
fn an_older_vault_that_is_put_back_takes_in_what_came_after_it() {
    let (home, provider) = home();
    let older = std::fs::read(home.at(crate::support::home::VAULT)).unwrap();
    provider.hold();
    let mut holder = start(&home, &TOKEN);
    provider.wait_for(1);
    let conn = rusqlite::Connection::open(home.at(crate::support::home::VAULT)).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    provider.release();
    loop {
        let files = home.files();
        let rescue = files.iter().find(|file| file.ends_with(".rescue")).unwrap();
        if std::fs::read(home.at(rescue))
            .unwrap()
            .starts_with(b"clawkeep rescue")
        {
            break;
        }
        std::thread::yield_now();
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    drop(conn);
    for file in ["vault.db-wal", "vault.db-shm"] {
        let _ = std::fs::remove_file(home.at(&format!(".clawdbot/{file}")));
    }
    home.write(crate::support::home::VAULT, older);
    // Where a head is kept, the older vault is refused.
    token(&home).exits(65);
    std::fs::remove_dir_all(home.at(".local/state/clawkeep/heads")).unwrap();
    let run = token(&home);
    assert_eq!(run.ok().trim(), "sk-test-access-a-2");
    assert_eq!(provider.count(), 1);
}

#[test]
fn names_that_nobody_knows_are_not_kept() {
    let (home, _) = home();
    let before = home.events().len();
    home.run(&["token", "--profile", "sk-pasted-by-mistake"])
        .exits(64);
    home.run(&["token", "--profile", " "]).exits(64);
    home.run(&["token", "--provider", "test", "--session", ""])
        .exits(64);
    assert_eq!(home.events().len(), before);
    store(&home, STORE, &exported(&home, STORE));
}
