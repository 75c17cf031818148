//! Somebody who can write the vault file, and has no key, changes any row of any table: each answer
//! is then what it was, or a reported error, and verifying finds it.
//!
//! Every column of every row is changed, exchanged with another row's, and put back from an older
//! copy; every row is removed and copied. A seeded sample runs here; all of it with
//! `CLAWKEEP_TAMPER=all` (minutes).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use clawkeep::internal::audit::{EventDraft, EventKind, Origin};
use clawkeep::internal::domain::Fingerprint;
use clawkeep::internal::platform::keychain::{SessionBus, SystemKeychain};
use clawkeep::internal::platform::{Actor, Clock};
use clawkeep::internal::vault::{Grant, GrantState, KeySources, Upgrade, Vault};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde_json::json;

use crate::support::damage::{Saved, alter_past_triggers};
use crate::support::home::{HOUR, Home, STORE, VAULT, now_ms};

/// How many changes are tried where not all are.
const SAMPLE: usize = 150;

/// What is asked after each change. None of the answers depends on the time.
const ASKED: &[&[&str]] = &[
    &["token", "--profile", "anthropic:work"],
    &["token", "--profile", "anthropic:home"],
    &["token", "--profile", "google:login"],
    &["token", "--provider", "anthropic"],
    &["token", "--provider", "anthropic", "--strict"],
    &["token", "--provider", "anthropic", "--session", "s1"],
    &["token", "--provider", "openai", "--agent", "other"],
    &["models", "auth", "order", "get", "--provider", "anthropic"],
    &["models", "auth", "restore", "anthropic:home", "--list"],
];

/// Two agents, accounts of one provider, pins, versions, usage, an order, and grants in every
/// state.
fn home() -> Home {
    let home = Home::new();
    let key = |provider: &str, key: &str| {
        json!({"type": "api_key", "provider": provider,
        "key": format!("sk-test-{key}")})
    };
    let store = json!({
        "version": 1,
        "profiles": {
            "anthropic:work": key("anthropic", "work"),
            "anthropic:home": key("anthropic", "home"),
            "google:login": {"type": "oauth", "provider": "google", "access": "sk-test-login",
                "refresh": "sk-test-refresh", "expires": now_ms() + 5_000 * HOUR},
            "openai:default": key("openai", "openai"),
        },
        "usageStats": {
            "anthropic:work": {"lastUsed": now_ms() - HOUR, "errorCount": 0},
            "openai:default": {"lastUsed": now_ms() - HOUR, "errorCount": 1},
        },
        "lastGood": {"openai": "openai:default"},
    });
    home.write(STORE, store.to_string());
    let other = json!({"version": 1, "profiles": {"openai:default": key("openai", "other")}});
    home.write(
        ".clawdbot/agents/other/agent/auth-profiles.json",
        other.to_string(),
    );
    home.run(&["models", "status"]).ok();
    home.run(&["models", "status", "--agent", "other"]).ok();
    for (session, id) in [("s1", "anthropic:home"), ("s2", "anthropic:work")] {
        home.run(&["session", "pin", session, id]).ok();
    }
    grants(&home);
    home
}

/// What happens later: another key, another order, another pin.
fn later(home: &Home) {
    let paste = [
        "models",
        "auth",
        "paste-api-key",
        "--provider",
        "anthropic",
        "--profile-id",
        "anthropic:home",
    ];
    home.run_with_input(&paste, "sk-test-home-2\n").ok();
    let order = ["models", "auth", "order", "set", "--provider", "anthropic"];
    home.run(&[&order[..], &["anthropic:home", "anthropic:work"]].concat())
        .ok();
    home.run(&["session", "pin", "s1", "anthropic:work"]).ok();
    home.run(&["models", "auth", "mark", "anthropic:work", "--used"])
        .ok();
}

/// A grant in every state, as refreshes leave them.
fn grants(home: &Home) {
    let keychain = SystemKeychain::new(Duration::ZERO, SessionBus::Absent);
    let sources = KeySources {
        named_keyfile: None,
        credential_keyfile: None,
        keyfile_dir: home.at(".config/clawkeep"),
        keychain: &keychain,
        secrets: None,
        upgrade: Upgrade::default(),
    };
    let mut vault = Vault::open(&home.at(VAULT))
        .unwrap()
        .unlock(&sources)
        .unwrap();
    let own = vault.fingerprint("sk-test-refresh");
    let actor = Actor::current("test");
    let mut tx = vault.begin(&actor, Clock::System).unwrap();
    let states = [
        GrantState::Free,
        GrantState::Uncertain,
        GrantState::Dead,
        GrantState::Spent,
        GrantState::Borrowed,
    ];
    for (digest, state) in (1_u8..).zip(states) {
        let print = Fingerprint {
            key_number: 1,
            digest: [digest; 8],
        };
        let successor = (state == GrantState::Spent).then_some(own);
        let grant = Grant {
            state,
            fence: 3,
            successor,
            ..Grant::default()
        };
        tx.set_grant(print, &grant).unwrap();
    }
    let free = Grant {
        fence: 1,
        ..Grant::default()
    };
    tx.set_grant(own, &free).unwrap();
    // Else nothing of the record would refer to who did this.
    let event = EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep);
    tx.append(None, event).unwrap();
    tx.commit().unwrap();
}

/// The tables, but for what the migrations' own crate notes and nothing goes by.
fn tables(conn: &Connection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' \
               AND name <> 'refinery_schema_history' ORDER BY name";
    let mut select = conn.prepare(sql).unwrap();
    let names = select.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

fn columns(conn: &Connection, table: &str) -> Vec<String> {
    let mut select = conn
        .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
        .unwrap();
    let names = select.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

fn rows(conn: &Connection, table: &str) -> Vec<Vec<Value>> {
    let mut select = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let count = select.column_count();
    let rows = select
        .query_map([], |row| (0..count).map(|at| row.get(at)).collect())
        .unwrap();
    rows.map(Result::unwrap).collect()
}

/// One change of one row.
#[derive(Clone, Debug)]
enum Change {
    /// A column gets another value.
    Set(usize),
    /// A column is exchanged with the next row's.
    Swap(usize),
    /// The row goes.
    Delete,
    /// A copy of the row comes, of which one column has another value.
    Copy(usize),
    /// The row of an older copy of the vault takes its place.
    PutBack,
}

/// A value that is another one, of the same type.
fn other(value: &Value, column: &str) -> Value {
    match (value, column) {
        (Value::Integer(number), _) => Value::Integer(number + 1),
        (Value::Text(text), "state") if text == "free" => Value::Text("spent".to_owned()),
        (Value::Text(_), "state") => Value::Text("free".to_owned()),
        (Value::Text(text), "section") if text == "order" => Value::Text("lastGood".to_owned()),
        (Value::Text(_), "section") => Value::Text("order".to_owned()),
        (Value::Text(text), "kind") if text == "keyfile" => Value::Text("recovery".to_owned()),
        (Value::Text(text), "type") if text == "oauth" => Value::Text("token".to_owned()),
        (Value::Text(_), "type") => Value::Text("oauth".to_owned()),
        (Value::Text(_), "owner") => Value::Text("codex-cli".to_owned()),
        (Value::Text(text), "purpose") if text == "audit" => Value::Text("fingerprint".to_owned()),
        (Value::Text(text), _) => Value::Text(format!("{text}x")),
        (Value::Blob(blob), _) => {
            let mut blob = blob.clone();
            if let Some(last) = blob.last_mut() {
                *last ^= 1;
            }
            Value::Blob(blob)
        }
        (Value::Null, "successor") => Value::Blob(vec![0, 1, 9, 9, 9, 9, 9, 9, 9, 9]),
        (Value::Null, "failed" | "parent" | "detail" | "kdf") => Value::Text("x".to_owned()),
        (Value::Null, "digest" | "snapshot" | "frame" | "token_before" | "token_after") => {
            Value::Blob(vec![7; 40])
        }
        (Value::Null | Value::Real(_), _) => Value::Integer(1),
    }
}

fn condition(columns: &[String]) -> String {
    let equal: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| format!("\"{column}\" IS ?{}", at + 1))
        .collect();
    equal.join(" AND ")
}

fn insert(conn: &Connection, table: &str, row: &[Value]) -> bool {
    let places: Vec<String> = (1..=row.len()).map(|at| format!("?{at}")).collect();
    let sql = format!("INSERT INTO {table} VALUES ({})", places.join(", "));
    conn.execute(&sql, params_from_iter(row)).is_ok()
}

fn replace(
    conn: &Connection,
    table: &str,
    columns: &[String],
    old: &[Value],
    new: &[Value],
) -> bool {
    let sql = format!("DELETE FROM {table} WHERE {}", condition(columns));
    conn.execute(&sql, params_from_iter(old)).unwrap() == 1 && insert(conn, table, new)
}

/// Makes the change; whether there is one that the schema takes.
fn make(
    conn: &Connection,
    table: &str,
    at: usize,
    change: &Change,
    older: &BTreeMap<String, Vec<Vec<Value>>>,
) -> bool {
    let before = in_order(conn, table);
    is_made(conn, table, at, change, older) && in_order(conn, table) != before
}

fn in_order(conn: &Connection, table: &str) -> Vec<String> {
    let rows = rows(conn, table);
    let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

fn is_made(
    conn: &Connection,
    table: &str,
    at: usize,
    change: &Change,
    older: &BTreeMap<String, Vec<Vec<Value>>>,
) -> bool {
    let (columns, rows) = (columns(conn, table), rows(conn, table));
    let Some(row) = rows.get(at) else {
        return false;
    };
    match change {
        Change::Set(column) => {
            let mut new = row.clone();
            new[*column] = other(&row[*column], &columns[*column]);
            replace(conn, table, &columns, row, &new)
        }
        Change::Swap(column) => {
            let Some(next) = rows
                .get(at + 1)
                .filter(|next| next[*column] != row[*column])
            else {
                return false;
            };
            let (mut one, mut two) = (row.clone(), next.clone());
            std::mem::swap(&mut one[*column], &mut two[*column]);
            let delete = format!("DELETE FROM {table} WHERE {}", condition(&columns));
            let gone = [row, next].map(|old| conn.execute(&delete, params_from_iter(old)).unwrap());
            gone == [1, 1] && insert(conn, table, &one) && insert(conn, table, &two)
        }
        Change::Delete => {
            let delete = format!("DELETE FROM {table} WHERE {}", condition(&columns));
            conn.execute(&delete, params_from_iter(row)).unwrap() == 1
        }
        Change::Copy(column) => {
            let mut new = row.clone();
            new[*column] = match &row[*column] {
                Value::Integer(number) => Value::Integer(number + 100),
                value => other(value, &columns[*column]),
            };
            insert(conn, table, &new)
        }
        Change::PutBack => {
            let Some(old) = older[table].get(at).filter(|old| *old != row) else {
                return false;
            };
            replace(conn, table, &columns, row, old)
        }
    }
}

fn all_changes(home: &Home) -> Vec<(String, usize, Change)> {
    alter_past_triggers(home, |conn| {
        let mut all = Vec::new();
        for table in tables(conn) {
            let width = columns(conn, &table).len();
            for at in 0..rows(conn, &table).len() {
                let mut add = |change| all.push((table.clone(), at, change));
                for column in 0..width {
                    add(Change::Set(column));
                    add(Change::Swap(column));
                    add(Change::Copy(column));
                }
                add(Change::Delete);
                add(Change::PutBack);
            }
        }
        all
    })
}

/// Numbers that only look random, the same for a seed. Source: splitmix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn whatever_is_changed_each_answer_is_what_it_was_or_an_error() {
    let home = home();
    let older = alter_past_triggers(&home, |conn| {
        let tables = tables(conn);
        let rows = tables
            .iter()
            .map(|table| (table.clone(), rows(conn, table)));
        rows.collect::<BTreeMap<_, _>>()
    });
    later(&home);
    let whole = Saved::of(&home);
    let mut heads = fs::read_dir(home.at(".local/state/clawkeep/heads")).unwrap();
    let head = heads.next().unwrap().unwrap().path();
    let kept = fs::read(&head).unwrap();
    let store = home.read(STORE);
    let answers: Vec<_> = ASKED
        .iter()
        .map(|asked| {
            let run = home.run(asked);
            (run.status, run.stdout)
        })
        .collect();
    assert!(
        answers.iter().filter(|(status, _)| *status == 0).count() >= 8,
        "{answers:?}"
    );
    let put_back = || {
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(home.at(&format!("{VAULT}{suffix}")));
        }
        whole.put_back(&home);
        fs::write(&head, &kept).unwrap();
    };
    put_back();
    let mut changes = all_changes(&home);
    put_back();
    let seed = std::env::var("CLAWKEEP_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let mut state: u64 = seed.unwrap_or_else(|| u64::try_from(now_ms()).unwrap());
    println!("seed {state}");
    if std::env::var_os("CLAWKEEP_TAMPER").is_none() {
        for at in (1..changes.len()).rev() {
            let other = usize::try_from(next(&mut state)).unwrap() % (at + 1);
            changes.swap(at, other);
        }
        changes.truncate(SAMPLE * 2);
    }
    let (mut made, mut wrong) = (0, Vec::new());
    for (table, at, change) in &changes {
        if !alter_past_triggers(&home, |conn| make(conn, table, *at, change, &older)) {
            put_back();
            continue;
        }
        made += 1;
        let tampered = Saved::of(&home);
        let column = match change {
            Change::Set(column) | Change::Swap(column) | Change::Copy(column) => {
                let conn = Connection::open(home.at(VAULT)).unwrap();
                columns(&conn, table)[*column].clone()
            }
            Change::Delete | Change::PutBack => String::new(),
        };
        let what = format!("{table} row {at} {change:?} {column}");
        for (asked, was) in ASKED.iter().zip(&answers) {
            let run = home.run(asked);
            let is_error = matches!(run.status, 65 | 77) && !run.stdout.contains("sk-test-");
            if !is_error && (run.status, &run.stdout) != (was.0, &was.1) {
                wrong.push(format!("{what}: {asked:?} {run:?}"));
            }
            tampered.put_back(&home);
            fs::write(&head, &kept).unwrap();
        }
        let verified = home.run(&["audit", "verify"]);
        if !matches!(verified.status, 65 | 77) && !is_harmless(table, change) {
            wrong.push(format!("{what}: verifying finds nothing: {verified:?}"));
        }
        assert_eq!(home.read(STORE), store, "{what}");
        put_back();
    }
    println!("{made} changes of {}", changes.len());
    assert!(made > changes.len() / 4, "{made} of {}", changes.len());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Rows that nothing refers to say nothing: a text, an actor, a subject or an action more.
fn is_harmless(table: &str, change: &Change) -> bool {
    let is_added = matches!(change, Change::Copy(_));
    is_added
        && matches!(
            table,
            "terms" | "actors" | "subjects" | "actions" | "series"
        )
}
