//! Vaults that earlier versions of this program made: `tests/fixtures/vault-vN` each, with its key, its head, and what `history`
//! of that version said.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::damage::{alter, chmod, fingerprints};
use crate::support::home::{Home, VAULT};

const V1: &str = "9f79304fbb3d90b827369a9f74c18153";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/vault-v1")
        .join(name)
}

/// A home with the vault that version 1 of the schema made.
fn home() -> Home {
    let home = Home::new();
    home.write(VAULT, fs::read(fixture("vault.db")).unwrap());
    let key = format!("{V1}.key");
    home.write(
        &format!(".config/clawkeep/{key}"),
        fs::read(fixture(&key)).unwrap(),
    );
    chmod(&home.at(".config/clawkeep"), 0o700);
    chmod(&home.at(".clawdbot"), 0o700);
    home
}

fn version(home: &Home) -> i32 {
    let conn = Connection::open(home.at(VAULT)).unwrap();
    let select = "SELECT max(version) FROM refinery_schema_history";
    conn.query_row(select, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_vault_of_version_1_keeps_its_record_and_its_credentials() {
    let home = home();
    // The first command after the upgrade needs no key.
    let told: Value = home.run(&["history", "--json"]).json();
    let before: Value =
        serde_json::from_slice(&fs::read(fixture("history.json")).unwrap()).unwrap();
    assert_eq!(told, before, "every event as it was, MAC and all");
    assert_eq!(version(&home), 2);
    let head = fixture("head");
    let run = home.run(&["audit", "verify", "--head", head.to_str().unwrap()]);
    assert!(run.ok().contains("The record holds: 22 events"));
    // What is in it is exported, and the record goes on.
    home.run(&["--no-sync", "sync"]).ok();
    assert_eq!(
        home.exported_token("anthropic:claude-cli").as_deref(),
        Some("sk-test-claude-v1b")
    );
    assert_eq!(
        home.events()[0]["seq"].as_i64().map(|seq| seq > 22),
        Some(true)
    );
    home.assert_sound();
}

#[test]
fn an_upgrade_that_is_cut_off_is_done_by_the_next_command() {
    let whole = home();
    whole.run(&["history"]).ok();
    // All of it is one transaction: what a kill leaves behind is the old file, or the new one.
    let home = home();
    let before = fingerprints(&home.at(".clawdbot"));
    let conn = Connection::open(home.at(VAULT)).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap(); // in the way of the migration, for longer than it waits
    let run = home.run(&["history"]).exits(75);
    assert!(run.stderr.contains("busy"), "{}", run.stderr);
    drop(conn);
    assert_eq!(version(&home), 1);
    assert_eq!(fingerprints(&home.at(".clawdbot")), before);
    home.run(&["history"]).ok();
    home.assert_sound();
}

#[test]
fn what_was_planted_in_an_earlier_schema_is_found_before_it_is_gone() {
    let home = home();
    let planted = "CREATE TRIGGER t BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END";
    alter(&home, |conn| conn.execute_batch(planted).unwrap());
    let run = home.run(&["history"]).exits(65);
    assert!(
        run.stderr
            .contains("tables, indexes or triggers were changed"),
        "{}",
        run.stderr
    );
    assert_eq!(version(&home), 1);
}
