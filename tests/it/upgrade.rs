//! Vaults that earlier versions of this program made: `tests/fixtures/vault-vN` each, with its key,
//! its head, and what `history` of that version said.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::damage::{alter, chmod, fingerprints};
use crate::support::home::{Home, VAULT, now_ms};
use crate::support::provider::Provider;

/// The newest version.
const NEWEST: i32 = 4;

/// A vault that an earlier version made.
struct Made {
    version: i32,
    id: &'static str,
    /// Events in its record.
    events: usize,
    /// Claude Code's token in it.
    token: &'static str,
}

const V1: Made = Made {
    version: 1,
    id: "9f79304fbb3d90b827369a9f74c18153",
    events: 22,
    token: "sk-test-claude-v1b",
};
const V2: Made = Made {
    version: 2,
    id: "92760f99812ac60d22a7bdd416e4db36",
    events: 13,
    token: "sk-test-claude-v2",
};

fn fixture(made: &Made, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/fixtures/vault-v{}", made.version))
        .join(name)
}

/// A home with a vault that an earlier version of the schema made.
fn home(made: &Made) -> Home {
    let home = Home::new();
    home.write(VAULT, fs::read(fixture(made, "vault.db")).unwrap());
    let key = format!("{}.key", made.id);
    home.write(
        &format!(".config/clawkeep/{key}"),
        fs::read(fixture(made, &key)).unwrap(),
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
    keeps_everything(&V1);
}

#[test]
fn a_vault_of_version_2_keeps_its_record_and_its_credentials() {
    let home = keeps_everything(&V2);
    // Its login, of which nothing was pinned, is refreshed.
    let provider = Provider::start();
    home.write(".clawdbot/clawkeep.toml", provider.setting("test"));
    provider.good("sk-test-refresh-v2", "a");
    home.run(&["token", "--provider", "test"]).ok();
    assert_eq!(provider.count(), 1);
    home.run(&["session", "list", "--json"]).ok();
    home.assert_sound();
}

fn keeps_everything(made: &Made) -> Home {
    let home = home(made);
    // The first command after the upgrade needs no key.
    let told: Value = home.run(&["history", "--json"]).json();
    let before: Value =
        serde_json::from_slice(&fs::read(fixture(made, "history.json")).unwrap()).unwrap();
    assert_eq!(
        told["events"], before["events"],
        "every event as it was, MAC and all"
    );
    assert_eq!(version(&home), NEWEST);
    let head = fixture(made, "head");
    let run = home.run(&["audit", "verify", "--head", head.to_str().unwrap()]);
    // That its rows were checked and listed is an event more.
    let events = format!("The record holds: {} events", made.events + 1);
    assert!(run.ok().contains(&events));
    // What is in it is exported, and the record goes on.
    home.run(&["--no-sync", "sync"]).ok();
    assert_eq!(
        home.exported_token("anthropic:claude-cli").as_deref(),
        Some(made.token)
    );
    assert_eq!(
        home.events()[0]["seq"]
            .as_u64()
            .map(|seq| seq > made.events as u64),
        Some(true)
    );
    home.assert_sound();
    home
}

#[test]
fn an_upgrade_that_is_cut_off_is_done_by_the_next_command() {
    let whole = home(&V1);
    whole.run(&["history"]).ok();
    // All of it is one transaction: what a kill leaves behind is the old file, or the new one.
    let home = home(&V1);
    let before = fingerprints(&home.at(".clawdbot"));
    let conn = Connection::open(home.at(VAULT)).unwrap();
    // in the way of the migration, for longer than it waits
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
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
    let home = home(&V1);
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

/// Rows of an earlier schema prove nothing: put back later, they must not be checked against the
/// record once more.
#[test]
fn pruning_keeps_the_upgrade_and_rows_put_back_from_before_it_are_refused() {
    let home = home(&V2);
    home.run(&["history"]).ok(); // needs no key: the tables are migrated, and nothing is listed yet
    let record_keys = |conn: &Connection| -> Vec<(String, i64, Vec<u8>)> {
        let mut select = conn
            .prepare("SELECT purpose, number, sealed FROM record_keys")
            .unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.unwrap().map(Result::unwrap).collect()
    };
    let unlisted = record_keys(&Connection::open(home.at(VAULT)).unwrap());
    home.run(&["models", "status"]).ok();
    std::thread::sleep(std::time::Duration::from_millis(5));
    let now = chrono::DateTime::from_timestamp_millis(now_ms()).unwrap();
    let prune = [
        "audit",
        "prune",
        "--yes",
        "--json",
        "--before",
        &now.to_rfc3339(),
    ];
    let pruned: Value = home.run(&prune).json();
    assert!(pruned["removed"].as_i64() > Some(0), "{pruned}");
    let events = home.events();
    let upgrades = events
        .iter()
        .filter(|event| event["kind"] == "vault.upgraded");
    let upgrades: Vec<&Value> = upgrades.collect();
    assert_eq!(upgrades.len(), 1);
    assert!(
        upgrades[0]["seq"].as_i64() <= pruned["last"].as_i64(),
        "it was among those to be pruned"
    );
    home.run(&["audit", "verify"]).ok();
    home.assert_sound();

    alter(&home, |conn| {
        conn.execute("DELETE FROM listings", []).unwrap();
        for (purpose, number, sealed) in &unlisted {
            let put = "UPDATE record_keys SET sealed = ?3 WHERE purpose = ?1 AND number = ?2";
            conn.execute(put, rusqlite::params![purpose, number, sealed])
                .unwrap();
        }
    });
    let run = home.run(&["models", "status"]).exits(65);
    let why = "its record says that it was brought to the present version before";
    assert!(run.stderr.contains(why), "{}", run.stderr);
}
