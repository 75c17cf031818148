//! A vault of schema 3, whose plain columns nothing proved: what somebody without a key put into
//! them is not sealed by the upgrade, and a vault that was upgraded once does not pass for one that
//! was not.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::damage::{Saved, alter, alter_past_triggers, chmod};
use crate::support::home::{Home, VAULT};

const KEY: &str = "326e70102f633b19eced8712e0d2a1dc.key";
/// Events in its record.
const EVENTS: usize = 35;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/vault-v3")
        .join(name)
}

/// A home in which there is the key, and no vault.
fn empty() -> Home {
    let home = Home::new();
    let key = fs::read(fixture(KEY)).unwrap();
    home.write(&format!(".config/clawkeep/{KEY}"), key);
    home.write(".clawdbot/x", "");
    chmod(&home.at(".config/clawkeep"), 0o700);
    chmod(&home.at(".clawdbot"), 0o700);
    home
}

/// A vault of schema 3, with what `forge` has done to it.
fn home(forge: impl FnOnce(&Connection)) -> Home {
    let home = empty();
    home.write(VAULT, fs::read(fixture("vault.db")).unwrap());
    alter_past_triggers(&home, forge);
    home
}

fn sql(statement: &'static str) -> impl FnOnce(&Connection) {
    move |conn| assert!(conn.execute(statement, []).unwrap() > 0, "{statement}")
}

fn column(home: &Home, sql: &str) -> Vec<String> {
    alter(home, |conn| {
        let mut select = conn.prepare(sql).unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    })
}

const GRANTS: &str = "SELECT hex(print) || ' ' || state || ' ' || coalesce(hex(successor), '-') \
    FROM grants ORDER BY print";
const PINS: &str = "SELECT s.session || ' ' || t.text FROM session_pins s JOIN terms t ON t.id = \
    s.profile ORDER BY 1";
const ORDER: &str = "SELECT a.text || ' ' || t.text FROM profiles p JOIN terms a ON a.id = \
    p.agent JOIN terms t ON t.id = p.profile ORDER BY a.text, p.position, p.id";

/// Upgrades, and gives what decides.
fn decides(home: &Home) -> [Vec<String>; 3] {
    home.run(&["--no-sync", "models", "auth", "list"]).ok();
    [GRANTS, PINS, ORDER].map(|sql| column(home, sql))
}

#[test]
fn what_nobody_forged_is_kept() {
    let home = home(|_| ());
    let before = [GRANTS, PINS, ORDER].map(|sql| column(&home, sql));
    assert_eq!((before[0].len(), before[1].len()), (2, 1));
    assert_eq!(decides(&home), before);
    let upgraded = home.newest("vault.upgraded").unwrap();
    assert_eq!(upgraded["seq"], EVENTS + 1);
    assert_eq!(upgraded["detail"], Value::Null, "{upgraded}");
    home.assert_sound();
}

#[test]
fn forged_rows_become_what_the_record_says() {
    let right = decides(&home(|_| ()));
    for forged in [
        "DELETE FROM grants",
        "DELETE FROM grants WHERE state = 'spent'",
        "UPDATE grants SET state = 'free', successor = NULL",
        "UPDATE grants SET fence = 0, state = 'uncertain' WHERE state = 'spent'",
        "UPDATE grants SET successor = (SELECT print FROM grants WHERE state = 'dead') WHERE \
         state = 'spent'",
        "DELETE FROM session_pins",
        "UPDATE session_pins SET profile = (SELECT id FROM terms WHERE text = 'openai:one')",
        "UPDATE session_pins SET session = 'other'",
        "UPDATE profiles SET position = 100 - position",
        "UPDATE profiles SET position = -id",
    ] {
        let home = home(sql(forged));
        assert_eq!(decides(&home), right, "{forged}");
        let upgraded = home.newest("vault.upgraded").unwrap();
        assert!(upgraded["detail"].is_object(), "{forged}: {upgraded}");
        home.assert_sound();
    }
}

/// A successor that the record does not know leads nowhere: nothing is redirected by it.
#[test]
fn a_forged_successor_leads_nowhere() {
    let forged = "UPDATE grants SET state = 'spent', successor = x'00010102030405060708' WHERE \
        state = 'dead'";
    let home = home(sql(forged));
    let [grants, ..] = decides(&home);
    assert!(
        grants.iter().any(|grant| grant.ends_with("spent ")),
        "{grants:?}"
    );
    home.assert_sound();
}

/// What does not open, or is not the newest, stays what it is: named, and not handed out.
#[test]
fn what_was_damaged_before_stays_so() {
    for (forged, named) in [
        (
            "UPDATE profiles SET expires = 7 WHERE type = 'oauth' AND owner = 'vault'",
            "profile test:a",
        ),
        (
            "DELETE FROM profiles WHERE profile = (SELECT id FROM terms WHERE text = 'openai:two')",
            "profile openai:two",
        ),
        (
            "UPDATE key_slots SET slot_key = randomblob(length(slot_key))",
            "key slot 1",
        ),
        (
            "UPDATE usage SET sealed = randomblob(length(sealed))",
            "usage of profile openai:one",
        ),
        (
            "DELETE FROM agents WHERE id = (SELECT id FROM terms WHERE text = 'other')",
            "the frame of agent other",
        ),
        (
            "UPDATE agents SET frame = zeroblob(80) WHERE id = (SELECT id FROM terms WHERE text = \
             'main')",
            "the frame of agent main",
        ),
        (
            "UPDATE exports SET revision = 1000",
            "the frame of agent main",
        ),
    ] {
        let home = home(sql(forged));
        let run = home.run(&["audit", "verify"]).exits(65);
        assert!(run.stderr.contains(named), "{forged}: {run:?}");
        let upgraded = home.newest("vault.upgraded").unwrap();
        assert_ne!(upgraded["detail"]["unproved"], Value::Null, "{forged}");
    }
}

/// A frame that does not open costs no credential that is asked for by name.
#[test]
fn a_damaged_frame_does_not_lock_the_vault() {
    let forged = "UPDATE agents SET frame = zeroblob(80) WHERE id = (SELECT id FROM terms WHERE \
        text = 'main')";
    let home = home(sql(forged));
    let token = ["--no-sync", "token", "--profile", "openai:two"];
    assert_eq!(home.run(&token).ok(), "sk-test-openai-two\n");
    let other = [
        "--no-sync",
        "token",
        "--provider",
        "openai",
        "--agent",
        "other",
    ];
    assert_eq!(home.run(&other).ok(), "sk-test-openai-other\n");
    home.run(&["--no-sync", "token", "--provider", "openai"])
        .exits(65);
}

/// With a record that was cut off, or altered, nothing is upgraded, and nothing is changed.
#[test]
fn a_record_that_does_not_hold_is_not_gone_on_with() {
    for forged in [
        "UPDATE events SET pid = pid + 1 WHERE seq = 9",
        "DELETE FROM events WHERE seq = 9",
    ] {
        let home = home(sql(forged));
        home.run(&["history"]).ok(); // the schema is brought up without a key
        let saved = Saved::of(&home);
        let run = home.run(&["token", "--profile", "openai:one"]).exits(65);
        assert!(run.stderr.contains("cannot be upgraded"), "{run:?}");
        assert!(
            saved.bytes() == fs::read(home.at(VAULT)).unwrap(),
            "{forged}"
        );
    }
    // Cut off at its end: the head that is kept elsewhere tells.
    let home = home(sql("DELETE FROM events WHERE seq = 35"));
    let head = fs::read(fixture("head")).unwrap();
    let id = KEY.trim_end_matches(".key");
    home.write(&format!(".local/state/clawkeep/heads/{id}"), head);
    let run = home.run(&["token", "--profile", "openai:one"]).exits(65);
    assert!(run.stderr.contains("cannot be upgraded"), "{run:?}");
}

/// The listings taken out, and with the keys of before the upgrade in their place, it is still
/// known that it was upgraded.
#[test]
fn an_upgraded_vault_does_not_pass_for_an_older_one() {
    let home = home(|_| ());
    let before = Home::new();
    before.write(VAULT, fs::read(home.at(VAULT)).unwrap());
    home.run(&["--no-sync", "models", "auth", "list"]).ok();
    let upgraded = Saved::of(&home);
    for (tables, words) in [
        (&[][..], "the audit key"),
        (&["record_keys"], "brought to the present version before"),
        (
            &["record_keys", "profiles", "grants", "agents"],
            "brought to the present version before",
        ),
    ] {
        upgraded.put_back(&home);
        alter_past_triggers(&home, |conn| {
            conn.execute_batch("DELETE FROM listings").unwrap();
        });
        alter(&home, |conn| {
            let attach = format!("ATTACH '{}' AS old", before.at(VAULT).display());
            conn.execute_batch(&attach).unwrap();
            for table in tables {
                conn.execute_batch(&format!(
                    "DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM old.{table}"
                ))
                .unwrap();
            }
        });
        let run = home.run(&["token", "--profile", "openai:one"]).exits(65);
        assert!(
            run.stderr.contains(words) && run.stdout.is_empty(),
            "{tables:?}: {run:?}"
        );
    }
    // The file of before, whole: the head that was kept since tells.
    fs::copy(before.at(VAULT), home.at(VAULT)).unwrap();
    let run = home.run(&["token", "--profile", "openai:one"]).exits(65);
    assert!(run.stderr.contains("cannot be upgraded"), "{run:?}");
}

/// A backup of before the upgrade is checked in the same way as it is put back.
#[test]
fn a_forged_backup_becomes_what_its_record_says() {
    let right = decides(&home(|_| ()));
    let forged = home(|conn| {
        conn.execute_batch(
            "DELETE FROM grants; UPDATE profiles SET position = 100 - position; DELETE FROM \
             session_pins",
        )
        .unwrap();
    });
    let home = empty();
    home.write("forged.db", fs::read(forged.at(VAULT)).unwrap());
    home.run(&["backup", "verify", "forged.db"]).ok();
    home.run(&["backup", "restore", "forged.db"]).ok();
    let now = [PINS, ORDER].map(|sql| column(&home, sql));
    assert_eq!(now, [right[1].clone(), right[2].clone()]);
    let grants = column(&home, GRANTS);
    for grant in &right[0] {
        assert!(grants.contains(grant), "{grant} in {grants:?}");
    }
    home.assert_sound();
}
