//! One row that is damaged costs one credential: what does not depend on it goes on, and what does
//! is refused.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::damage::alter;
use crate::support::home::{HOUR, Home, STORE, TRUE, now_ms};
use crate::support::provider::Provider;

const WORK: &str = "anthropic:work";

/// Keys of two providers, Claude Code's login, and a login that is due.
fn home() -> (Home, Provider) {
    let provider = Provider::start();
    let home = Home::with_claude("sk-test-claude-1", 100);
    home.write(".clawdbot/clawkeep.toml", provider.setting("test"));
    let key =
        |provider: &str, key: &str| json!({"type": "api_key", "provider": provider, "key": key});
    let login = json!({"type": "oauth", "provider": "test", "access": "sk-test-access-old",
        "refresh": provider.grant("a"), "expires": now_ms() - HOUR});
    let store = json!({
        "version": 1,
        "profiles": {
            WORK: key("anthropic", "sk-test-work-1"),
            "anthropic:home": key("anthropic", "sk-test-home"),
            "openai:default": key("openai", "sk-test-openai"),
            "test:a": login,
        },
        "usageStats": {"openai:default": {"lastUsed": now_ms() - HOUR, "errorCount": 0}},
    });
    home.write(STORE, store.to_string());
    home.run(&["models", "status"]).ok();
    paste(&home, "sk-test-work-2").ok();
    home.assert_sound();
    (home, provider)
}

fn paste(home: &Home, key: &str) -> crate::support::home::Run {
    let args = [
        "models",
        "auth",
        "paste-api-key",
        "--provider",
        "anthropic",
        "--profile-id",
        WORK,
    ];
    home.run_with_input(&args, &format!("{key}\n"))
}

/// A bit of a sealed cell is another one, as a bad sector leaves it.
fn flip(conn: &Connection, table: &str, profile: &str) {
    let of = "profile = (SELECT id FROM terms WHERE text = ?1)";
    let read = format!("SELECT sealed FROM {table} WHERE {of}");
    let mut blob: Vec<u8> = conn.query_row(&read, [profile], |row| row.get(0)).unwrap();
    blob[40] ^= 4;
    let write = format!("UPDATE {table} SET sealed = ?2 WHERE {of}");
    assert_eq!(
        conn.execute(&write, rusqlite::params![profile, blob])
            .unwrap(),
        1
    );
}

fn token(home: &Home, args: &[&str]) -> crate::support::home::Run {
    home.run(&[&["token"], args].concat())
}

#[test]
fn a_damaged_credential_costs_no_other() {
    let (home, provider) = home();
    let store = home.read(STORE);
    alter(&home, |conn| flip(conn, "profiles", WORK));
    // What was asked for, or would have been chosen, is refused.
    for args in [&["--profile", WORK][..], &["--provider", "anthropic"]] {
        let run = token(&home, args).exits(65);
        assert_eq!(run.stdout, "", "{args:?}");
        assert!(
            run.stderr.contains("profile anthropic:work of agent main"),
            "{run:?}"
        );
    }
    home.run(&["exec", "--provider", "anthropic", "--", TRUE])
        .exits(65);
    // Everything else is handed out.
    for (args, secret) in [
        (&["--profile", "anthropic:home"][..], "sk-test-home\n"),
        (&["--provider", "openai"], "sk-test-openai\n"),
        (&["--profile", "anthropic:claude-cli"], "sk-test-claude-1\n"),
    ] {
        assert_eq!(token(&home, args).ok(), secret, "{args:?}");
    }
    let mut exec = vec!["exec", "--provider", "openai", "--"];
    exec.extend(match cfg!(windows) {
        true => ["cmd", "/d", "/c", "echo %OPENAI_API_KEY%"].as_slice(),
        false => &["printenv", "OPENAI_API_KEY"],
    });
    assert_eq!(home.run(&exec).ok().trim_end(), "sk-test-openai");
    // Others are refreshed and synced.
    assert!(
        token(&home, &["--profile", "test:a"])
            .ok()
            .starts_with("sk-test-access-a-")
    );
    assert_eq!(provider.count(), 1);
    home.claude_login("sk-test-claude-2", 200);
    home.run(&["sync"]).exits(65);
    let synced = token(&home, &["--profile", "anthropic:claude-cli"]).ok();
    assert_eq!(synced, "sk-test-claude-2\n");
    // The store waits until all of it can be written.
    assert_eq!(home.read(STORE), store);
    let status = home.run(&["models", "status"]).exits(65);
    assert!(
        status
            .stdout
            .contains("Damaged in the vault\n- anthropic:work "),
        "{status:?}"
    );
    let status = home.run(&["models", "status", "--json"]).exits(65);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["auth"]["damaged"], json!([WORK]));
    let list = home.run(&["models", "auth", "list"]).exits(65);
    let row = list
        .stdout
        .lines()
        .find(|line| line.starts_with(WORK))
        .unwrap();
    assert!(row.contains("damaged"), "{row}");
    let doctor = home.run(&["doctor", "--non-interactive"]);
    assert!(doctor.stdout.contains("clawkeep restore"), "{doctor:?}");
    // A kept version takes its place, and the store says what the vault does.
    home.run(&["models", "auth", "restore", WORK]).ok();
    home.run(&["models", "status"]).ok();
    assert_eq!(token(&home, &["--profile", WORK]).ok(), "sk-test-work-1\n");
    assert_eq!(home.json(STORE)["profiles"][WORK]["key"], "sk-test-work-1");
    assert_eq!(
        home.json(STORE)["profiles"]["anthropic:claude-cli"]["token"],
        "sk-test-claude-2"
    );
    home.assert_sound();
}

/// A new key in the place of a damaged one needs no version.
#[test]
fn a_new_credential_takes_a_damaged_ones_place() {
    let (home, _provider) = home();
    alter(&home, |conn| flip(conn, "profiles", WORK));
    // What has nothing to do with it waits.
    home.run(&[
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "openai",
        "openai:default",
    ])
    .exits(65);
    paste(&home, "sk-test-work-3").ok();
    home.run(&["models", "status"]).ok();
    assert_eq!(
        token(&home, &["--provider", "anthropic"]).ok(),
        "sk-test-work-3\n"
    );
    assert_eq!(home.json(STORE)["profiles"][WORK]["key"], "sk-test-work-3");
    home.assert_sound();
}

/// Without its usage, whether a credential is in cooldown is not known: who names it gets it, and
/// nothing is chosen by it.
#[test]
fn a_damaged_usage_row_stops_neither_sync_nor_refresh() {
    let (home, provider) = home();
    alter(&home, |conn| flip(conn, "usage", "openai:default"));
    let run = token(&home, &["--provider", "openai"]).exits(65);
    assert!(
        run.stderr.contains("usage of profile openai:default"),
        "{run:?}"
    );
    assert_eq!(
        token(&home, &["--profile", "openai:default"]).ok(),
        "sk-test-openai\n"
    );
    assert_eq!(
        token(&home, &["--provider", "anthropic"]).ok(),
        "sk-test-work-2\n"
    );
    assert!(
        token(&home, &["--provider", "test"])
            .ok()
            .starts_with("sk-test-access-a-")
    );
    assert_eq!(provider.count(), 1);
    home.claude_login("sk-test-claude-2", 200);
    home.run(&["sync"]).exits(65);
    let synced = token(&home, &["--profile", "anthropic:claude-cli"]).ok();
    assert_eq!(synced, "sk-test-claude-2\n");
}

/// What is known of a store file is no credential: only the export waits.
#[test]
fn a_damaged_export_record_stops_no_refresh_and_no_change() {
    let (home, provider) = home();
    alter(&home, |conn| {
        let sql = "UPDATE exports SET revision = 99";
        assert_eq!(conn.execute(sql, []).unwrap(), 1);
    });
    let fresh = token(&home, &["--profile", "test:a"]).ok();
    assert!(fresh.starts_with("sk-test-access-a-"), "{fresh}");
    assert_eq!(provider.count(), 1);
    let order = [
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "anthropic",
        "anthropic:home",
    ];
    let run = home.run(&order).exits(65);
    assert!(run.stderr.contains("the export record of"), "{run:?}");
    assert_eq!(
        token(&home, &["--provider", "anthropic"]).ok(),
        "sk-test-home\n"
    );
}

/// A refresh that is recorded wrongly must not be sent: its login is left out, the others are not.
#[test]
fn a_damaged_refresh_state_costs_its_login() {
    let (home, provider) = home();
    token(&home, &["--profile", "test:a"]).ok();
    // The token that took the spent one's place, as if it were spent, too: it would lead to another
    // account's.
    alter(&home, |conn| {
        let forged = "INSERT INTO grants (print, state, fence, successor, since) \
            SELECT successor, 'spent', 1, x'00010102030405060708', 1 FROM grants WHERE successor \
            IS NOT NULL";
        assert_eq!(conn.execute(forged, []).unwrap(), 1);
    });
    assert_eq!(
        token(&home, &["--provider", "openai"]).ok(),
        "sk-test-openai\n"
    );
    for args in [
        &["refresh", "test:a"][..],
        &["token", "--profile", "test:a"],
    ] {
        let run = home.run(args).exits(65);
        assert!(
            run.stderr.contains("refresh state of profile test:a"),
            "{run:?}"
        );
        assert_eq!(run.stdout, "");
    }
    // Forgetting that one is spent is found, too: nothing could tell it from one that may be sent.
    alter(&home, |conn| {
        assert_eq!(conn.execute("DELETE FROM grants", []).unwrap(), 2)
    });
    let verified = home.run(&["audit", "verify"]).exits(65);
    assert!(
        verified.stderr.contains("the refresh state of"),
        "{verified:?}"
    );
    assert_eq!(provider.count(), 1);
    assert_eq!(provider.repeated(), 0);
}
