//! Somebody who can write the vault file, and has no key: whatever they change in its credentials
//! shows, and costs nothing else.

use rusqlite::types::Value;
use rusqlite::{Connection, params};
use serde_json::json;

use crate::support::damage::{Saved, alter, refuses};
use crate::support::home::{HOUR, Home, STORE, now_ms};

pub(crate) const CLAUDE_ID: &str = "anthropic:claude-cli";
pub(crate) const KEY_ID: &str = "openai:default";
const OAUTH_ID: &str = "google:work";

/// A vault with three profiles, a replaced version, usage, order, and an event of most kinds.
pub(crate) fn home() -> Home {
    let home = Home::with_claude("sk-test-claude-1", 100);
    let store = json!({
        "version": 1,
        "profiles": {
            KEY_ID: {"type": "api_key", "provider": "openai", "key": "sk-test-openai"},
            OAUTH_ID: {"type": "oauth", "provider": "google", "access": "sk-test-access",
                "refresh": "sk-test-refresh", "expires": now_ms() + 50 * HOUR,
                "email": "a@example.org"},
        },
        "usageStats": {KEY_ID: {"lastUsed": now_ms() - HOUR, "errorCount": 0}},
        "lastGood": {"openai": KEY_ID},
        "unknown": ["kept"],
    });
    home.write(STORE, store.to_string());
    home.run(&["models", "status"]).ok();
    home.claude_login("sk-test-claude-2", 200);
    home.run(&["sync"]).ok();
    home.run(&[
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "openai",
        KEY_ID,
    ])
    .ok();
    home.assert_sound();
    home
}

fn column(conn: &Connection, sql: &str, profile: &str) -> Value {
    conn.query_row(sql, [profile], |row| row.get(0)).unwrap()
}

fn sealed(conn: &Connection, profile: &str) -> Vec<u8> {
    match column(
        conn,
        "SELECT sealed FROM profiles WHERE profile = (SELECT id FROM terms WHERE text = ?1)",
        profile,
    ) {
        Value::Blob(blob) => blob,
        other => panic!("not sealed: {other:?}"),
    }
}

fn put_sealed(home: &Home, profile: &str, blob: &[u8]) {
    let set =
        "UPDATE profiles SET sealed = ?1 WHERE profile = (SELECT id FROM terms WHERE text = ?2)";
    let changed = alter(home, |conn| {
        conn.execute(set, params![blob, profile]).unwrap()
    });
    assert_eq!(changed, 1);
}

/// Every command that reads credentials names the row, and none writes a store without it.
#[track_caller]
fn assert_does_not_open(home: &Home, profile: &str) {
    let row = format!("profile {profile} of agent main");
    let status = refuses(
        home,
        &["models", "status"],
        65,
        &[&row, "modified outside clawkeep"],
    );
    for other in [CLAUDE_ID, KEY_ID, OAUTH_ID] {
        assert_eq!(
            status.stdout.contains(&format!("{other}=")),
            other != profile,
            "{other} in {}",
            status.stdout
        );
    }
    for args in [
        &["models", "status", "--json"][..],
        &["sync"],
        &["export"],
        &["export", "--to", "-", "--reveal"],
        &["models", "auth", "candidates", "--provider", "openai"],
    ] {
        let run = refuses(home, args, 65, &[&row]);
        assert!(!run.stdout.contains("sk-test-"), "{run:?}");
    }
    assert!(home.json(STORE)["profiles"].get(profile).is_some());
}

/// Only that it does not open, for many tries.
#[track_caller]
fn assert_refused(home: &Home, profile: &str, what: &str) {
    let run = home.run(&["models", "status", "--plain"]);
    assert_eq!(run.status, 65, "{what}: {run:?}");
    assert!(run.stderr.contains(profile), "{what}: {}", run.stderr);
}

#[test]
fn a_sealed_blob_in_another_row_does_not_open() {
    let home = home();
    let saved = Saved::of(&home);
    for (from, to) in [(KEY_ID, OAUTH_ID), (CLAUDE_ID, KEY_ID)] {
        let blob = alter(&home, |conn| sealed(conn, from));
        put_sealed(&home, to, &blob);
        assert_does_not_open(&home, to);
        saved.put_back(&home);
    }
    home.run(&["models", "status"]).ok();
}

#[test]
fn a_sealed_blob_of_another_vault_does_not_open() {
    let (home, other) = (home(), home());
    let blob = alter(&other, |conn| sealed(conn, KEY_ID));
    put_sealed(&home, KEY_ID, &blob);
    assert_does_not_open(&home, KEY_ID);
}

#[test]
fn a_sealed_blob_of_another_column_does_not_open() {
    let home = home();
    // A snapshot is sealed while the file does not say what the vault has: here it cannot be
    // written.
    let in_the_way = home.at(&format!("{STORE}.clawkeep-tmp"));
    std::fs::create_dir(&in_the_way).unwrap();
    home.claude_login("sk-test-claude-3", 300);
    home.run(&["sync"]).exits(1);
    std::fs::remove_dir(&in_the_way).unwrap();
    let saved = Saved::of(&home);
    for sql in [
        "SELECT sealed FROM profile_versions WHERE profile = (SELECT id FROM terms WHERE text = \
         ?1)",
        "SELECT frame FROM agents WHERE ?1 <> ''",
        "SELECT snapshot FROM exports WHERE ?1 <> ''",
        "SELECT sealed FROM usage WHERE ?1 <> ''",
        "SELECT slot_key FROM key_slots WHERE ?1 <> ''",
        "SELECT sealed FROM record_keys WHERE purpose = 'audit' AND ?1 <> ''",
    ] {
        let Value::Blob(blob) = alter(&home, |conn| column(conn, sql, CLAUDE_ID)) else {
            panic!("{sql}");
        };
        put_sealed(&home, CLAUDE_ID, &blob);
        assert_refused(&home, CLAUDE_ID, sql);
        saved.put_back(&home);
    }
}

#[test]
fn a_sealed_blob_with_a_bit_flipped_or_cut_does_not_open() {
    let home = home();
    let saved = Saved::of(&home);
    let whole = alter(&home, |conn| sealed(conn, KEY_ID));
    let last = whole.len() - 1;
    // All of version, epoch and nonce, all of the tag, and some of what is between.
    let places = (0..=last).filter(|at| *at < 17 || *at > last - 16 || at % 5 == 0);
    for at in places {
        let mut blob = whole.clone();
        blob[at] ^= 1 << (at % 8);
        put_sealed(&home, KEY_ID, &blob);
        assert_refused(&home, KEY_ID, &format!("a bit of byte {at} of {last}"));
    }
    for length in [0, 1, 16, 17, 32, 33, last] {
        put_sealed(&home, KEY_ID, &whole[..length]);
        assert_refused(&home, KEY_ID, &format!("cut to {length}"));
    }
    put_sealed(&home, KEY_ID, &[&whole[..], &[0]].concat());
    assert_does_not_open(&home, KEY_ID);
    saved.put_back(&home);
    home.run(&["models", "status"]).ok();
}

#[test]
fn other_sealed_parts_are_named_and_stop_the_export() {
    let home = home();
    let saved = Saved::of(&home);
    for (sql, named) in [
        (
            "UPDATE usage SET sealed = zeroblob(40)",
            "usage of profile openai:default",
        ),
        (
            "UPDATE agents SET frame = zeroblob(40)",
            "the frame of agent main",
        ),
        (
            "UPDATE exports SET snapshot = zeroblob(40)",
            "the export record of",
        ),
        (
            "UPDATE record_keys SET sealed = zeroblob(61) WHERE purpose = 'audit'",
            "the audit key",
        ),
        (
            "UPDATE record_keys SET sealed = zeroblob(61) WHERE purpose = 'fingerprint'",
            "the fingerprint key",
        ),
    ] {
        alter(&home, |conn| conn.execute_batch(sql).unwrap());
        refuses(&home, &["models", "status"], 65, &[named]);
        refuses(&home, &["sync"], 65, &[named]);
        saved.put_back(&home);
    }
}

#[test]
fn a_key_slot_or_identity_that_was_altered_has_no_key() {
    let home = home();
    let saved = Saved::of(&home);
    for sql in [
        "UPDATE key_slots SET wrapped = zeroblob(length(wrapped))",
        "UPDATE key_slots SET check_value = zeroblob(16)",
        "UPDATE key_slots SET kind = 'recovery'",
        "DELETE FROM key_slots",
        "UPDATE identity SET epoch = 2",
    ] {
        alter(&home, |conn| conn.execute_batch(sql).unwrap());
        refuses(
            &home,
            &["models", "status"],
            77,
            &["cannot get the vault key"],
        );
        saved.put_back(&home);
    }
}

/// The columns of a table, and the type each is declared with.
pub(crate) fn columns(conn: &Connection, table: &str) -> Vec<(String, String)> {
    conn.prepare(&format!("PRAGMA table_info({table})"))
        .unwrap()
        .query_map([], |row| Ok((row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

#[test]
fn a_seal_holds_the_plain_columns_beside_it() {
    let home = home();
    let saved = Saved::of(&home);
    let row = "profile = (SELECT id FROM terms WHERE text = 'google:work')";
    for (column, _) in alter(&home, |conn| columns(conn, "profiles")) {
        let values: &[&str] = match column.as_str() {
            "id" => &["99"],
            "agent" => continue, // no agent, no profile of it: the next test
            "profile" => &["(SELECT id FROM terms WHERE text = 'ok')"],
            "provider" => &["'openai'", "''", "'Google'"],
            "type" => &["'token'", "'api_key'", "'unreadable'"],
            "owner" => &["'claude-code'", "'codex-cli'"],
            "expires" => &["expires + 1", "0", "NULL"],
            "generation" => &["generation + 1", "99"],
            "sealed" => continue, // the tests above
            "expiry_noted" => &["2"],
            _ => &["77"],
        };
        for value in values {
            let sql = format!("UPDATE profiles SET {column} = {value} WHERE {row}");
            assert_eq!(alter(&home, |conn| conn.execute(&sql, []).unwrap()), 1);
            let named = if column == "profile" {
                "profile ok of"
            } else {
                OAUTH_ID
            };
            assert_refused(&home, named, &sql);
            saved.put_back(&home);
        }
    }
}

#[test]
fn a_profile_moved_to_another_agent_does_not_open() {
    let home = home();
    home.write(
        ".clawdbot/agents/ops/agent/auth-profiles.json",
        json!({"profiles": {"x:y": {"type": "api_key", "provider": "x", "key": "sk-test-x"}}})
            .to_string(),
    );
    home.run(&["sync"]).ok();
    let moved = "UPDATE profiles SET agent = (SELECT id FROM terms WHERE text = 'ops') \
                 WHERE profile = (SELECT id FROM terms WHERE text = 'google:work')";
    assert_eq!(alter(&home, |conn| conn.execute(moved, []).unwrap()), 1);
    refuses(
        &home,
        &["sync", "--agent", "ops"],
        65,
        &["profile google:work of agent ops"],
    );
}

/// A row as it stands, with all its columns.
fn whole_row(conn: &Connection, profile: &str) -> Vec<Value> {
    conn.query_row(
        "SELECT * FROM profiles WHERE profile = (SELECT id FROM terms WHERE text = ?1)",
        [profile],
        |row| {
            (0..row.as_ref().column_count())
                .map(|at| row.get(at))
                .collect()
        },
    )
    .unwrap()
}

fn put_back_row(home: &Home, row: &[Value]) {
    let marks: Vec<String> = (1..=row.len()).map(|at| format!("?{at}")).collect();
    let sql = format!(
        "INSERT OR REPLACE INTO profiles VALUES ({})",
        marks.join(", ")
    );
    alter(home, |conn| {
        conn.execute(&sql, rusqlite::params_from_iter(row)).unwrap()
    });
}

#[test]
fn an_old_row_put_back_whole_is_refused() {
    let home = home();
    let old = alter(&home, |conn| whole_row(conn, CLAUDE_ID));
    home.claude_login("sk-test-claude-3", 300);
    home.run(&["sync"]).ok();
    put_back_row(&home, &old);
    assert_does_not_open(&home, CLAUDE_ID);
}

#[test]
fn the_row_of_a_removed_profile_put_back_is_refused() {
    let home = home();
    let old = alter(&home, |conn| whole_row(conn, OAUTH_ID));
    let mut store = home.json(STORE);
    store["profiles"].as_object_mut().unwrap().remove(OAUTH_ID);
    home.write(STORE, store.to_string());
    let status = home.run(&["models", "status"]).ok();
    assert!(!status.contains(OAUTH_ID), "{status}");
    put_back_row(&home, &old);
    refuses(
        &home,
        &["models", "status"],
        65,
        &["profile google:work of agent main"],
    );
    refuses(&home, &["sync"], 65, &["profile google:work of agent main"]);
}

#[test]
fn a_row_that_was_deleted_is_missed() {
    let home = home();
    let deleted =
        "DELETE FROM profiles WHERE profile = (SELECT id FROM terms WHERE text = 'google:work')";
    assert_eq!(alter(&home, |conn| conn.execute(deleted, []).unwrap()), 1);
    assert_does_not_open(&home, OAUTH_ID);
    let whole = Saved::of(&home);
    alter(&home, |conn| {
        conn.execute_batch("DELETE FROM profiles; DELETE FROM agents; DELETE FROM usage;")
            .unwrap();
    });
    refuses(&home, &["sync"], 65, &["agent main"]);
    whole.put_back(&home);
    // Not even news of another profile makes a store without it.
    let store = home.read(STORE);
    home.claude_login("sk-test-claude-3", 300);
    let run = home.run(&["sync"]).exits(65);
    assert!(run.stderr.contains(OAUTH_ID), "{run:?}");
    assert_eq!(home.read(STORE), store);
}

/// A disk that lost a write has an old page beside new ones. What the store said at a later state
/// must not be written over with less.
#[test]
fn an_older_state_beneath_a_newer_store_is_refused() {
    let home = home();
    let get = "SELECT revision, frame FROM agents";
    let older: (i64, Vec<u8>) = alter(&home, |conn| {
        conn.query_row(get, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    });
    // An order is in the frame alone: no row of a profile differs.
    home.run(&["models", "auth", "order", "clear", "--provider", "openai"])
        .ok();
    let store = home.read(STORE);
    let set = "UPDATE agents SET revision = ?1, frame = ?2";
    alter(&home, |conn| {
        conn.execute(set, params![older.0, older.1]).unwrap()
    });
    let insert = "INSERT INTO provider_entries (agent, section, provider, position, value) \
        SELECT id, 'order', 'openai', 0, '[\"openai:default\"]' FROM agents";
    alter(&home, |conn| conn.execute(insert, []).unwrap());
    for args in [&["sync"][..], &["models", "status"], &["audit", "verify"]] {
        let run = home.run(args).exits(65);
        assert!(run.stderr.contains("the frame of agent main"), "{run:?}");
    }
    assert_eq!(home.read(STORE), store);
}

/// The base of the next merge is gone, the rows are not: they are shown, and nothing is written.
#[test]
fn a_snapshot_that_does_not_open_takes_no_row_with_it() {
    let home = home();
    let sql = "UPDATE exports SET snapshot = x'00'";
    assert_eq!(alter(&home, |conn| conn.execute(sql, []).unwrap()), 1);
    let run = home.run(&["models", "status"]).exits(65);
    assert!(run.stdout.contains(OAUTH_ID), "{run:?}");
    assert!(run.stderr.contains("the export record of"), "{run:?}");
}

/// The order is sealed with the agent; its plain rows are copies.
#[test]
fn a_forged_order_is_not_believed() {
    let home = home();
    let sql = "INSERT OR REPLACE INTO provider_entries (agent, section, provider, position, value) \
        SELECT id, 'order', 'openai', 0, '[\"openai:evil\"]' FROM agents";
    assert_eq!(alter(&home, |conn| conn.execute(sql, []).unwrap()), 1);
    let store = home.read(STORE);
    let get = ["models", "auth", "order", "get", "--provider", "openai"];
    let run = home.run(&get).exits(65);
    assert!(
        !run.stdout.contains("evil") && run.stderr.contains("the order of agent main"),
        "{run:?}"
    );
    home.run(&["sync"]).exits(65);
    assert_eq!(home.read(STORE), store);
}

/// A record that holds is not enough: what it speaks of must hold too.
#[test]
fn verifying_opens_every_row() {
    let home = home();
    let sql = "UPDATE profiles SET expires = 1 WHERE type = 'oauth'";
    assert_eq!(alter(&home, |conn| conn.execute(sql, []).unwrap()), 1);
    let run = home.run(&["audit", "verify"]).exits(65);
    assert!(run.stdout.contains("The record holds"), "{run:?}");
    assert!(run.stderr.contains(OAUTH_ID), "{run:?}");
}
