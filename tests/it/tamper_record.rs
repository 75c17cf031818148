//! Somebody who can write the vault file, and has no key: whatever they change in the record or the
//! schema shows.

use std::fs;

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use crate::support::damage::{
    Saved, alter, alter_past_triggers, fingerprints, make_irregular, refuses,
};
use crate::support::home::{AGENT, Home, VAULT};
use crate::tamper::{CLAUDE_ID, columns, home};

/// Sequence numbers of the record.
fn seqs(home: &Home) -> Vec<i64> {
    alter(home, |conn| {
        let mut select = conn.prepare("SELECT seq FROM events ORDER BY seq").unwrap();
        select
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    })
}

/// What to put into a column of the record instead of `now`.
fn other_values(conn: &Connection, name: &str, kind: &str, now: &Value) -> Vec<Value> {
    let target = match name {
        "subject" => Some("subjects"),
        "action" => Some("actions"),
        "session" => Some("terms"),
        _ => None,
    };
    let mut values = match (target, now) {
        (Some(table), now) => {
            let current = if let Value::Integer(id) = now {
                *id
            } else {
                -1
            };
            let other: i64 = conn
                .query_row(
                    &format!("SELECT max(id) FROM {table} WHERE id <> ?1"),
                    [current],
                    |row| row.get(0),
                )
                .unwrap();
            vec![Value::Integer(other)]
        }
        (None, Value::Integer(number)) if name == "seq" => vec![Value::Integer(number + 1000)],
        (None, Value::Integer(number)) => vec![Value::Integer(number + 1)],
        (None, Value::Blob(bytes)) => {
            let flip = |at: usize| {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1;
                Value::Blob(bytes)
            };
            vec![flip(0), flip(bytes.len() - 1)]
        }
        (None, Value::Text(text)) => vec![Value::Text(format!("{text} "))],
        (None, _) => vec![match kind {
            "INTEGER" => Value::Integer(0),
            "BLOB" => Value::Blob(Vec::new()),
            _ => Value::Text(String::new()),
        }],
    };
    let optional: bool = conn
        .query_row(
            "SELECT \"notnull\" = 0 AND pk = 0 FROM pragma_table_info('events') WHERE name = ?1",
            [name],
            |row| row.get(0),
        )
        .unwrap();
    if optional && *now != Value::Null {
        values.push(Value::Null);
    }
    values
}

#[track_caller]
fn assert_found(home: &Home, words: &str, what: &str) {
    let run = home.run(&["audit", "verify"]);
    assert_eq!(run.status, 65, "{what}: {run:?}");
    assert!(
        run.stderr.contains(words),
        "{what}: {words} in {}",
        run.stderr
    );
    assert!(run.stderr.lines().count() <= 3, "{}", run.stderr);
}

#[test]
fn every_column_of_every_event_is_in_its_mac() {
    let home = home();
    // Another actor, whom an event could be blamed on. Nothing says that it is one of ours.
    let mallory = "INSERT INTO actors (program, uid, host, parent) VALUES ('mallory', 0, 'h', '')";
    alter(&home, |conn| conn.execute_batch(mallory).unwrap());
    home.assert_sound();
    let saved = Saved::of(&home);
    let columns = alter(&home, |conn| columns(conn, "events"));
    assert_eq!(
        columns.len(),
        13,
        "a column more is a column more to protect: {columns:?}"
    );
    for seq in seqs(&home) {
        for (name, kind) in &columns {
            let values = alter(&home, |conn| {
                let select = format!("SELECT {name} FROM events WHERE seq = ?1");
                let now = conn.query_row(&select, [seq], |row| row.get(0)).unwrap();
                other_values(conn, name, kind, &now)
            });
            assert!(!values.is_empty(), "{name}");
            for value in values {
                let sql = format!("UPDATE events SET {name} = ?1 WHERE seq = ?2");
                let changed = alter_past_triggers(&home, |conn| {
                    conn.execute(&sql, params![value, seq]).unwrap()
                });
                assert_eq!(changed, 1);
                assert_found(
                    &home,
                    &format!("event {seq} is "),
                    &format!("{name} of {seq} to {value:?}"),
                );
                saved.put_back(&home);
            }
        }
    }
    home.assert_sound();
}

#[test]
fn events_dropped_inserted_swapped_or_cut_off_are_found() {
    let home = home();
    let saved = Saved::of(&home);
    let last = *seqs(&home).last().unwrap();
    assert!(last > 4, "a record to play with: {last}");
    let sql = |sql: &str| alter_past_triggers(&home, |conn| conn.execute_batch(sql).unwrap());
    for seq in 1..last {
        sql(&format!("DELETE FROM events WHERE seq = {seq}"));
        assert_found(&home, &format!("event {seq} is missing"), "dropped");
        saved.put_back(&home);
        sql(&format!(
            "DELETE FROM events WHERE seq = {seq}; UPDATE events SET seq = seq - 1 WHERE seq > \
             {seq}"
        ));
        assert_found(
            &home,
            &format!("event {seq} is not as it was recorded"),
            "dropped, and the gap closed",
        );
        saved.put_back(&home);
        sql(&format!("DELETE FROM events WHERE seq > {seq}"));
        assert_found(
            &home,
            &format!("events {} to {last} were cut off", seq + 1),
            "cut off",
        );
        saved.put_back(&home);
        sql(&format!(
            "UPDATE events SET seq = -1 WHERE seq = {seq}; UPDATE events SET seq = {seq} WHERE \
             seq = {seq} + 1; \
             UPDATE events SET seq = {seq} + 1 WHERE seq = -1"
        ));
        assert_found(
            &home,
            &format!("event {seq} is not as it was recorded"),
            "swapped",
        );
        saved.put_back(&home);
    }
    let columns: Vec<String> = alter(&home, |conn| columns(conn, "events"))
        .into_iter()
        .map(|(name, _)| {
            if name == "seq" {
                format!("{last} + 1")
            } else {
                name
            }
        })
        .collect();
    let copy = columns.join(", ");
    sql(&format!(
        "INSERT INTO events SELECT {copy} FROM events WHERE seq = {last}"
    ));
    assert_found(
        &home,
        &format!("event {} is not as it was recorded", last + 1),
        "a copy added",
    );
    saved.put_back(&home);
    for before in [-1, 0] {
        let copy = copy.replace(&format!("{last} + 1"), &before.to_string());
        sql(&format!(
            "INSERT INTO events SELECT {copy} FROM events WHERE seq = 1"
        ));
        assert_found(
            &home,
            &format!("event {before} is not as it was recorded"),
            "put in front",
        );
        saved.put_back(&home);
    }
    sql("DELETE FROM events");
    assert_found(
        &home,
        &format!("events 1 to {last} were cut off"),
        "emptied",
    );
    saved.put_back(&home);
    home.assert_sound();
}

#[test]
fn a_cut_off_end_stays_visible_when_commands_write_after_it() {
    let home = home();
    let last = *seqs(&home).last().unwrap();
    let cut = format!("DELETE FROM events WHERE seq = {last}");
    alter_past_triggers(&home, |conn| conn.execute_batch(&cut).unwrap());
    // No command goes on from there, so nothing covers it up.
    let args = [
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "anthropic",
        CLAUDE_ID,
    ];
    for args in [&args[..], &["token", "--provider", "anthropic"], &["sync"]] {
        let run = home.run(args).exits(65);
        let words = format!("ends before event {last}");
        assert!(run.stderr.contains(&words), "{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    assert_found(&home, "event", "cut off");
}

/// What keeps the head is evidence too: nothing is handed out beside one that is damaged, and no
/// command replaces it.
#[test]
fn a_damaged_kept_head_does_not_turn_the_check_off() {
    let home = home();
    let dir = home.at(".local/state/clawkeep/heads");
    let head = fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    let kept = fs::read_to_string(&head).unwrap();
    let mut words: Vec<&str> = kept.split_whitespace().collect();
    let id = "0".repeat(32);
    words[1] = &id;
    let last = *seqs(&home).last().unwrap();
    let cut = format!("DELETE FROM events WHERE seq = {last}");
    alter_past_triggers(&home, |conn| conn.execute_batch(&cut).unwrap());
    let token = ["token", "--provider", "anthropic"];
    let refused = |word: &str| {
        let exec = ["exec", "--provider", "anthropic", "--", "true"];
        for args in [&token[..], &exec, &["sync"]] {
            let run = home.run(args).exits(65);
            assert!(run.stderr.contains(word), "{args:?}: {}", run.stderr);
            assert!(run.stderr.contains("audit verify --head"), "{}", run.stderr);
            assert_eq!(run.stdout, "");
        }
    };
    for (text, word) in [
        ("hello", "is not a head"),
        (&kept[..kept.len() - 4], "is not a head"),
        (
            &words.join(" "),
            "is not the head of this vault, but of 0000",
        ),
    ] {
        fs::write(&head, text).unwrap();
        refused(word);
        assert_eq!(fs::read_to_string(&head).unwrap(), text);
    }
    fs::remove_file(&head).unwrap();
    make_irregular(&head);
    refused("is not a head");
    assert!(!fs::symlink_metadata(&head).unwrap().is_file());
}

#[test]
fn the_texts_and_actors_of_events_are_in_their_macs() {
    let home = home();
    let saved = Saved::of(&home);
    let count = |sql: &str| -> i64 {
        alter(&home, |conn| {
            conn.query_row(sql, [], |row| row.get(0)).unwrap()
        })
    };
    let used = "(SELECT kind FROM actions UNION SELECT outcome FROM actions UNION SELECT origin \
        FROM actions \
                UNION SELECT agent FROM subjects UNION SELECT profile FROM subjects UNION SELECT \
                provider FROM actions \
                UNION SELECT session FROM events)";
    let mut tried = 0;
    for id in 1..=count("SELECT max(id) FROM terms") {
        if count(&format!(
            "SELECT {id} IN (SELECT * FROM {used} WHERE kind IS NOT NULL)"
        )) == 0
        {
            continue; // no event says it
        }
        let sql = format!("UPDATE terms SET text = text || 'x' WHERE id = {id}");
        alter_past_triggers(&home, |conn| conn.execute_batch(&sql).unwrap());
        assert_found(&home, "event ", &sql);
        saved.put_back(&home);
        tried += 1;
    }
    assert!(tried >= 10, "{tried}");
    for (column, _) in alter(&home, |conn| columns(conn, "actors")) {
        let sql = match column.as_str() {
            "id" | "uid" => format!("UPDATE actors SET {column} = {column} + 1"),
            _ => format!("UPDATE actors SET {column} = {column} || 'x'"),
        };
        alter_past_triggers(&home, |conn| conn.execute_batch(&sql).unwrap());
        assert_found(&home, "event 1 is not", &sql);
        saved.put_back(&home);
    }
    home.assert_sound();
}

#[test]
fn the_record_refuses_changes_through_sql() {
    let home = home();
    let saved = Saved::of(&home);
    for sql in [
        "UPDATE events SET at = at + 1 WHERE seq = 2",
        "UPDATE events SET seq = 99 WHERE seq = 2",
        "DELETE FROM events WHERE seq = 2",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT * FROM events WHERE seq = 2",
        "REPLACE INTO events SELECT * FROM events WHERE seq = 2",
        "INSERT INTO events SELECT * FROM events WHERE seq = 2 ON CONFLICT (seq) DO UPDATE SET at \
         = 0",
        "UPDATE OR REPLACE events SET seq = 2 WHERE seq = 3",
        "UPDATE terms SET text = 'x' WHERE id = 1",
        "UPDATE actors SET program = 'x'",
        "UPDATE subjects SET profile = NULL",
        "UPDATE actions SET kind = outcome",
    ] {
        let error = alter(&home, |conn| conn.execute(sql, [])).unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
    assert_eq!(Saved::of(&home).bytes(), saved.bytes());
    home.assert_sound();
}

#[test]
fn a_schema_that_was_changed_is_refused_and_nothing_is_written() {
    let home = home();
    let saved = Saved::of(&home);
    for sql in [
        "CREATE TRIGGER t BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER t AFTER INSERT ON profiles BEGIN DELETE FROM profiles WHERE id = NEW.id; \
         END",
        "CREATE TRIGGER t AFTER INSERT ON refinery_schema_history BEGIN SELECT 1; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE extra (x)",
        "CREATE INDEX extra ON events (pid)",
        "ALTER TABLE profiles ADD COLUMN extra TEXT",
        "DROP INDEX events_series",
        "DROP INDEX actors_who",
        "DROP TRIGGER events_no_update",
        "DROP TRIGGER events_no_replace",
        "DROP TABLE grants",
        "DROP TABLE clock_steps",
        "DROP TRIGGER events_no_delete; CREATE TRIGGER events_no_delete BEFORE DELETE ON events \
         BEGIN SELECT 1; END",
    ] {
        alter(&home, |conn| conn.execute_batch(sql).unwrap());
        home.claude_login("sk-test-claude-4", 300);
        for args in [
            &["models", "status"][..],
            &["sync"],
            &["history"],
            &["audit", "verify"],
            &["audit", "head"],
        ] {
            let said = refuses(
                &home,
                args,
                65,
                &["vault.db", "tables, indexes or triggers were changed"],
            );
            assert_eq!(said.stdout, "", "{sql}");
        }
        saved.put_back(&home);
    }
    assert!(fingerprints(&home.at(AGENT)).len() == 1, "the store alone");
    assert!(home.at(VAULT).exists());
}
