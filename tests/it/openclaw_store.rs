//! The credentials of OpenClaw's agents are followed from its databases: they are in `status`,
//! `ls`, the record and `models status`, without a refresh token, and nothing below its directory
//! changes.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::home::{HOUR, Home, now_ms};
use crate::support::watch::Watch;

const ACCESS: &str = "sk-test-access-of-openclaw-0123456789";
const REFRESH: &str = "sk-test-refresh-of-openclaw-0123456789";

/// An OpenClaw with the agents `main` and `ops`, whose databases are open.
struct OpenClaw {
    home: Home,
    main: Connection,
    ops: Connection,
}

impl OpenClaw {
    fn new() -> Self {
        let home = Home::without_gateway();
        for dir in [".openclaw/state", ".openclaw/agents/ops/agent"] {
            fs::create_dir_all(home.at(dir)).unwrap();
        }
        let open = |path: &str, schema: &str| {
            let conn = Connection::open(home.at(path)).unwrap();
            conn.execute_batch(&format!("PRAGMA journal_mode = WAL; {schema}"))
                .unwrap();
            conn
        };
        let main = open(
            ".openclaw/state/openclaw.sqlite",
            "CREATE TABLE config_machine_state (state_key TEXT NOT NULL PRIMARY KEY, value_json \
             TEXT NOT NULL, updated_at_ms INTEGER NOT NULL) STRICT; CREATE TABLE \
             secret_store_entries (name TEXT, value TEXT, deleted_at_ms INTEGER)",
        );
        let ops = open(
            ".openclaw/agents/ops/agent/openclaw-agent.sqlite",
            "CREATE TABLE auth_profile_store (store_key TEXT NOT NULL PRIMARY KEY, store_json TEXT \
             NOT NULL, updated_at INTEGER NOT NULL) STRICT; CREATE TABLE auth_profile_state \
             (state_key TEXT NOT NULL PRIMARY KEY, state_json TEXT NOT NULL, updated_at INTEGER \
             NOT NULL) STRICT",
        );
        let this = Self { home, main, ops };
        this.set_main(&login(ACCESS, 5), &json!({}));
        let insert = "INSERT INTO auth_profile_store VALUES ('primary', ?1, 1)";
        let store = json!({"version": 1, "profiles": {"groq:manual":
            {"type": "api_key", "provider": "groq", "key": "gsk_test0123456789abcdef"}}});
        this.ops.execute(insert, [store.to_string()]).unwrap();
        this
    }

    fn set_main(&self, login: &Value, usage: &Value) {
        let profiles = json!({"openai:e@x.org": login, "anthropic:manual":
            {"type": "token", "provider": "anthropic", "token": "sk-ant-oat01-test0123456789"}});
        let store = json!({"version": 1, "profiles": profiles});
        let state = json!({"version": 1, "usageStats": usage,
            "order": {"openai": ["openai:e@x.org"]}});
        let put = "INSERT OR REPLACE INTO config_machine_state VALUES (?1, ?2, 1)";
        let texts = [("authProfiles.store", store), ("authProfiles.state", state)];
        for (key, text) in texts {
            self.main.execute(put, [key, &text.to_string()]).unwrap();
        }
    }

    /// What the vault has of an agent.
    fn rows(&self, agent: &str) -> BTreeMap<String, Value> {
        let answer = self.home.run(&["ls", "--json"]).json();
        let all = answer["logins"].as_array().unwrap().iter();
        let of = all.filter(|row| row["agents"] == json!([agent]));
        of.map(|row| (row["profileId"].as_str().unwrap().to_owned(), row.clone()))
            .collect()
    }

    /// The files below OpenClaw's directory, with what is in each.
    fn theirs(&self) -> BTreeMap<String, Vec<u8>> {
        let files = self.home.files().into_iter();
        let theirs = files.filter(|path| path.starts_with(".openclaw/"));
        theirs
            .map(|path| (path.clone(), fs::read(self.home.at(&path)).unwrap()))
            .collect()
    }
}

fn login(access: &str, hours: i64) -> Value {
    json!({"type": "oauth", "provider": "openai", "access": access, "refresh": REFRESH,
        "expires": now_ms() + hours * HOUR, "email": "e@x.org"})
}

#[test]
fn its_credentials_are_shown_and_recorded_and_its_directory_stays_as_it_is() {
    let claw = OpenClaw::new();
    let before = claw.theirs();
    let main = claw.rows("openclaw/main");
    let ids: Vec<&str> = main.keys().map(String::as_str).collect();
    assert_eq!(ids, ["anthropic:manual", "openai:e@x.org"]);
    assert_eq!(
        main["openai:e@x.org"]["type"], "token",
        "nobody here can refresh it"
    );
    assert!(main["openai:e@x.org"]["expiresAt"].is_i64());
    assert_eq!(
        claw.rows("openclaw/ops").keys().collect::<Vec<_>>(),
        ["groq:manual"]
    );
    let export = [
        "export",
        "--to",
        "-",
        "--reveal",
        "--agent",
        "openclaw/main",
    ];
    let kept = claw.home.run(&export).ok();
    assert!(kept.contains(ACCESS) && !kept.contains(REFRESH), "{kept}");
    let events = claw.home.events();
    let is_new =
        |event: &&Value| event["origin"] == "openclaw" && event["kind"] == "profile.created";
    let of_openclaw: Vec<&Value> = events.iter().filter(is_new).collect();
    assert_eq!(of_openclaw.len(), 3, "{events:#?}");
    let status = ["models", "status", "--agent", "openclaw/main", "--json"];
    let status = claw.home.run(&status).json();
    assert!(status.to_string().contains("openai:e@x.org"), "{status}");
    assert_eq!(claw.theirs(), before);
    let stores = claw.home.files_with("auth-profiles");
    assert!(
        stores
            .iter()
            .all(|path| !path.ends_with("auth-profiles.json")),
        "{stores:?}"
    );
}

#[test]
fn what_openclaw_changes_is_followed() {
    let claw = OpenClaw::new();
    claw.home.run(&["sync"]).ok();
    let known = claw.home.events().len();
    claw.home.run(&["sync"]).ok();
    assert_eq!(claw.home.events().len(), known, "nothing has changed");
    let used = now_ms() - 1000;
    claw.set_main(
        &login("sk-test-newer-0123456789", 9),
        &json!({"openai:e@x.org":
        {"lastUsed": used}}),
    );
    let row = &claw.rows("openclaw/main")["openai:e@x.org"];
    assert!(row["remainingMs"].as_i64().unwrap() > 8 * HOUR, "{row}");
    assert_eq!(row["lastUsed"], used);
    assert_eq!(claw.home.count_of("credential.used"), 1);
    claw.set_main(&login("sk-test-expired-0123456789", -1), &json!({}));
    let check = ["models", "status", "--agent", "openclaw/main", "--check"];
    claw.home.run(&check).exits(1);
    let people = claw.home.run(&["status"]).ok();
    assert!(
        people.contains("Start OpenClaw, which refreshes it"),
        "{people}"
    );
    claw.main
        .execute("DELETE FROM config_machine_state", [])
        .unwrap();
    assert_eq!(
        claw.rows("openclaw/main").len(),
        2,
        "a store that is gone removes nothing"
    );
}

#[test]
fn what_cannot_be_read_changes_nothing_and_is_named() {
    let claw = OpenClaw::new();
    claw.home.run(&["sync"]).ok();
    let put = "UPDATE config_machine_state SET value_json = ?1 WHERE state_key = \
        'authProfiles.store'";
    claw.main
        .execute(put, [r#"{"version": 7, "profiles": {}}"#])
        .unwrap();
    let run = claw.home.run(&["ls"]).exits(0);
    assert!(
        run.stderr.contains("another form, of another version"),
        "{run:?}"
    );
    assert_eq!(claw.rows("openclaw/main").len(), 2);
    // Its program is in the middle of a change.
    claw.main
        .execute_batch("BEGIN EXCLUSIVE; DELETE FROM config_machine_state")
        .unwrap();
    assert_eq!(claw.rows("openclaw/main").len(), 2);
    claw.main.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn its_agents_are_not_changed_here() {
    let claw = OpenClaw::new();
    let before = claw.theirs();
    claw.home.run(&["sync"]).ok();
    let order = [
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "openai",
        "--agent",
    ];
    let words = [&order[..], &["openclaw/main", "openai:e@x.org"]].concat();
    let run = claw.home.run(&words).exits(1);
    assert!(
        run.stderr.contains("openclaw/main is an agent of OpenClaw"),
        "{run:?}"
    );
    assert!(
        run.stderr.contains("openclaw models auth --help"),
        "{run:?}"
    );
    let unknown = claw.home.run(&["ls", "--agent", "openclaw/none"]).exits(64);
    assert!(
        unknown.stderr.contains("there is no agent openclaw/none"),
        "{unknown:?}"
    );
    assert_eq!(claw.theirs(), before);
}

#[test]
fn watch_follows_its_databases() {
    let claw = OpenClaw::new();
    let watch = Watch::start(&claw.home, &[]);
    claw.set_main(&login("sk-test-watched-0123456789", 9), &json!({}));
    let until = Instant::now() + Duration::from_secs(20);
    let export = [
        "--no-sync",
        "export",
        "--to",
        "-",
        "--reveal",
        "--agent",
        "openclaw/main",
    ];
    while !claw.home.run(&export).stdout.contains("sk-test-watched") {
        assert!(Instant::now() < until, "{}", watch.said());
        std::thread::sleep(Duration::from_millis(50));
    }
}
