//! `backup restore`: what is there afterwards, what of the vault that was replaced, and what is
//! said.

use std::fs;
use std::thread;

use rusqlite::Connection;
use serde_json::json;

use super::{
    BACKUP, ID, SECRET, beside_vault, create, home_with_key, key, restore_alone, set_key,
    vaults_key, verify,
};
use crate::support::damage::alter;
use crate::support::home::{Home, STORE, VAULT};

#[test]
fn what_was_removed_since_is_back_and_what_is_newer_stays() {
    let home = home_with_key("one");
    let entry =
        |key: &str| json!({"type": "api_key", "provider": "p", "key": format!("{SECRET}{key}")});
    let store = json!({"version": 1, "profiles": {ID: entry("one"), "p:b": entry("b")}});
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    create(&home, BACKUP);
    let in_it = home.events()[1]["seq"].clone(); // before `backup.created`
    home.run(&["models", "auth", "remove", "p:b", "--yes"]).ok();
    set_key(&home, "two");
    let abandoned = home.run(&["audit", "head"]).ok();
    let last = home.events()[0]["seq"].clone();
    let said = restore_alone(&home, BACKUP).ok();
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("Restored ~/.clawdbot/vault.db as of ")
            && lines[0].ends_with(&format!(", event {in_it}.")),
        "{said}"
    );
    assert!(
        lines[1].starts_with(&format!(
            "The vault that it replaced (up to event {last}) is kept as \
             ~/.clawdbot/vault.db.replaced-"
        )),
        "{said}"
    );
    assert_eq!(lines[2..], ["Newer there, and imported: p:a."]);
    assert_eq!(key(&home), "two");
    assert_eq!(home.json(STORE)["profiles"]["p:b"], entry("b"));
    // The record says from where it went another way.
    let event = home.newest("backup.restored").unwrap()["detail"].clone();
    let mac = event["abandonedMac"].as_str().unwrap();
    assert!(abandoned.contains(mac), "{abandoned} {event}");
    assert_eq!(
        (&event["abandonedSeq"], &event["takenOver"]),
        (&last, &json!(1))
    );
    home.assert_sound();
    // The one that was replaced is whole, and a backup like any other.
    let kept = beside_vault(&home, ".replaced-");
    assert_eq!(kept.len(), 1);
    let said = verify(&home, &kept[0]).ok();
    assert!(said.contains("whose record has diverged since"), "{said}");
    assert_eq!(home.files_with(SECRET), [STORE]);
    assert!(beside_vault(&home, ".new").is_empty() && beside_vault(&home, "tmp").is_empty());
}

/// Once a backup was put back, two lines count their generations on from the same number.
#[test]
fn putting_back_what_was_replaced_does_not_lose_what_came_after_it() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    set_key(&home, "two");
    set_key(&home, "three");
    restore_alone(&home, BACKUP).ok();
    assert_eq!(key(&home), "three");
    set_key(&home, "four");
    let kept = beside_vault(&home, ".replaced-");
    let said = restore_alone(&home, &kept[0]).ok();
    assert!(said.contains("imported: p:a"), "{said}");
    assert_eq!(key(&home), "four");
    home.assert_sound();
    // Twice the same: there is nothing left to do.
    let said = restore_alone(&home, BACKUP).ok();
    assert!(said.contains("imported"), "{said}");
    restore_alone(&home, BACKUP).ok();
    assert_eq!(key(&home), "four");
    home.assert_sound();
}

#[test]
fn what_only_the_store_has_is_merged() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    let entry =
        |key: &str| json!({"type": "api_key", "provider": "p", "key": format!("{SECRET}{key}")});
    let store = json!({"version": 1, "profiles": {ID: entry("one"), "p:new": entry("new")}});
    home.write(STORE, store.to_string()); // no command has seen it yet
    home.run(&["backup", "restore", BACKUP]).ok();
    assert_eq!(home.json(STORE)["profiles"], store["profiles"]);
    assert_eq!(home.vaults_store()["profiles"], store["profiles"]);
    home.assert_sound();
}

#[test]
fn where_there_is_no_vault_it_is_put_there() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    fs::remove_file(home.at(VAULT)).unwrap();
    fs::remove_file(home.at(STORE)).unwrap();
    let said = home.run(&["backup", "restore", BACKUP]).ok();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(key(&home), "one");
    assert!(beside_vault(&home, ".replaced-").is_empty());
    // Rows of the one that is gone must not open here: its key is not used any more.
    let event = home.newest("key.rotated").unwrap();
    assert_eq!(event["detail"]["epoch"], json!(2));
    home.assert_sound();
}

#[test]
fn a_damaged_vault_is_put_aside_with_its_log() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    set_key(&home, "two");
    let mut bytes = fs::read(home.at(VAULT)).unwrap();
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 4096].fill(0xa5);
    home.write(VAULT, &bytes);
    fs::remove_file(home.at(STORE)).unwrap();
    let run = home.run(&["backup", "restore", BACKUP]).exits(0);
    assert!(
        run.stderr.contains("no credential could be imported"),
        "{run:?}"
    );
    let kept = beside_vault(&home, ".replaced-");
    assert_eq!(fs::read(home.at(&kept[0])).unwrap(), bytes);
    assert_eq!(key(&home), "one");
    home.assert_sound();
}

#[test]
fn vaults_of_earlier_versions_are_put_back_and_replaced() {
    for (version, id, token) in [
        (1, "9f79304fbb3d90b827369a9f74c18153", "sk-test-claude-v1b"),
        (2, "92760f99812ac60d22a7bdd416e4db36", "sk-test-claude-v2"),
    ] {
        let home = Home::new();
        let fixture = format!(
            "{}/tests/fixtures/vault-v{version}",
            env!("CARGO_MANIFEST_DIR")
        );
        let key = format!(".config/clawkeep/{id}.key");
        home.write(&key, fs::read(format!("{fixture}/{id}.key")).unwrap());
        home.write("old.db", fs::read(format!("{fixture}/vault.db")).unwrap());
        home.write(".clawdbot/x", "");
        let said = verify(&home, "old.db").ok();
        assert!(said.contains("the record verifies"), "{said}");
        assert!(
            beside_vault(&home, "").is_empty(),
            "it was proved in a copy"
        );
        home.run(&["backup", "restore", "old.db"]).ok();
        assert_eq!(
            home.exported_token("anthropic:claude-cli").as_deref(),
            Some(token)
        );
        home.assert_sound();
        // And in the place of one that no newer version has opened yet.
        home.write(VAULT, fs::read(home.at("old.db")).unwrap());
        fs::remove_file(home.at(STORE)).unwrap();
        home.run(&["backup", "restore", "old.db"]).ok();
        assert_eq!(
            home.exported_token("anthropic:claude-cli").as_deref(),
            Some(token)
        );
        home.assert_sound();
    }
}

/// A key that was added since opens the vault afterwards, one that was removed does not come back,
/// and no row of the one that was replaced opens.
#[test]
fn the_keys_stay_those_of_the_vault_that_is_replaced() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    home.write("pass", "correct horse battery staple\n");
    home.run(&["key", "add", "passphrase", "--new-passphrase-file", "pass"])
        .ok();
    let slots = home.run(&["key", "status", "--json"]).json()["slots"].clone();
    home.run(&["key", "rotate"]).ok();
    restore_alone(&home, BACKUP).ok();
    let now = home.run(&["key", "status", "--json"]).json()["slots"].clone();
    assert_eq!(now, slots);
    assert_eq!(
        home.newest("key.rotated").unwrap()["detail"]["epoch"],
        json!(3)
    );
    assert_eq!(key(&home), "one");
    home.assert_sound();
}

/// The key that became known opens the backup; it must not open what is made of it where the newer
/// ones are to be had.
#[test]
fn a_backup_from_before_its_keys_became_known_gets_the_new_ones() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    let dir = fs::read_dir(home.at(".config/clawkeep")).unwrap();
    let keyfile = dir
        .map(|file| file.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "key"))
        .unwrap();
    let known = fs::read(&keyfile).unwrap();
    home.run(&["key", "rotate", "--compromised"]).ok();
    let new = fs::read(&keyfile).unwrap();
    assert_ne!(known, new);
    set_key(&home, "two");
    home.run(&["backup", "restore", BACKUP]).exits(77);
    fs::create_dir(home.at("credentials")).unwrap();
    home.write("credentials/clawkeep.key", &known);
    fs::remove_file(home.at(STORE)).unwrap();
    let mut command = home.command(&["backup", "restore", BACKUP]);
    let output = command
        .env("CREDENTIALS_DIRECTORY", home.at("credentials"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(key(&home), "two", "{output:?}");
    home.assert_sound();
    // Not with the old one.
    fs::write(&keyfile, &known).unwrap();
    home.run(&["--no-sync", "sync"]).exits(77);
    fs::write(&keyfile, &new).unwrap();
    // And the record goes on under a key that was not known.
    let rotated = home.newest("key.rotated").unwrap()["detail"].clone();
    assert_eq!(rotated["why"], json!("restored"));
    let conn = Connection::open(home.at(VAULT)).unwrap();
    let count = "SELECT count(*) FROM record_keys WHERE purpose = 'audit'";
    let keys: i64 = conn.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(keys, 2);
}

#[test]
fn rows_of_the_vault_that_was_replaced_do_not_open() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    set_key(&home, "two");
    restore_alone(&home, BACKUP).ok();
    // The same profile, row and generation as in the one that was replaced.
    let kept = home.at(&beside_vault(&home, ".replaced-")[0]);
    alter(&home, |conn| {
        conn.execute("ATTACH ?1 AS kept", [kept.to_str().unwrap()])
            .unwrap();
        let same = "SELECT count(*) FROM profiles p JOIN kept.profiles k USING (id, agent, \
            profile, generation)";
        let same: i64 = conn.query_row(same, [], |row| row.get(0)).unwrap();
        assert_eq!(same, 1);
        conn.execute_batch(
            "UPDATE profiles SET sealed = (SELECT sealed FROM kept.profiles k WHERE k.id = \
             profiles.id); DETACH kept",
        )
        .unwrap();
    });
    home.run(&["models", "status"]).exits(65);
    home.run(&["audit", "verify"]).exits(65);
}

/// Who puts an older file there by hand is found out by the head that is kept elsewhere, by every
/// command that opens the vault. Nothing else tells: the rows are in order.
#[test]
fn an_older_vault_put_there_by_hand_shows_by_the_kept_head_alone() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    home.assert_sound();
    set_key(&home, "two");
    fs::copy(home.at(BACKUP), home.at(VAULT)).unwrap();
    let run = home.run(&["audit", "verify"]).exits(65);
    assert!(
        run.stdout.contains("event") || run.stderr.contains("event"),
        "{run:?}"
    );
    for args in [
        &["models", "auth", "list"][..],
        &["token", "--profile", ID],
        &["session", "pin", "s", ID],
    ] {
        let run = home.run(args).exits(65);
        assert!(run.stderr.contains("an older copy was put back"), "{run:?}");
        assert_eq!(run.stdout, "");
    }
    home.run(&["audit", "verify"]).exits(65);
    // Put back as it should be, the record says what became of the head.
    fs::remove_file(home.at(STORE)).unwrap();
    home.run(&["backup", "restore", BACKUP]).ok();
    home.assert_sound();
}

/// It stops between the commit and the keeping of the new head.
#[test]
fn a_restore_cut_off_before_it_kept_the_head_leaves_a_record_that_verifies() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    set_key(&home, "two");
    let heads = home.at(".local/state/clawkeep/heads");
    let file = fs::read_dir(&heads)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let before = fs::read(&file).unwrap();
    restore_alone(&home, BACKUP).ok();
    let after = fs::read(&file).unwrap();
    assert_ne!(before, after);
    fs::write(&file, &before).unwrap();
    home.assert_sound();
    let run = home.run(&["session", "pin", "s", ID]).exits(0);
    assert_eq!(run.stderr, "");
    assert_ne!(
        fs::read(&file).unwrap(),
        before,
        "and the next command keeps one again"
    );
    // A head that was not abandoned shows as ever.
    fs::write(&file, &after).unwrap();
    home.assert_sound();
    let text = String::from_utf8(before).unwrap();
    let last = text.trim_end().chars().last().unwrap();
    let other = if last == '0' { '1' } else { '0' };
    fs::write(
        &file,
        format!("{}{other}\n", &text.trim_end()[..text.trim_end().len() - 1]),
    )
    .unwrap();
    home.run(&["audit", "verify"]).exits(65);
}

#[test]
fn others_write_meanwhile_and_nobody_fails() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    set_key(&home, "two");
    thread::scope(|scope| {
        for writer in 0..3 {
            let home = &home;
            scope.spawn(move || {
                for round in 0..6 {
                    let session = format!("s{writer}-{round}");
                    let run = home.run(&["session", "pin", &session, ID]);
                    assert!(matches!(run.status, 0 | 75), "{run:?}");
                    let run = home.run(&["token", "--profile", ID]);
                    assert!(matches!(run.status, 0 | 75), "{run:?}");
                    if run.status == 0 {
                        assert_eq!(run.stdout, format!("{SECRET}two\n"));
                    }
                }
            });
        }
        for _ in 0..3 {
            let run = home.run(&["backup", "restore", BACKUP]);
            assert!(matches!(run.status, 0 | 75), "{run:?}");
        }
    });
    home.run(&["sync"]).ok();
    home.assert_sound();
    assert_eq!(vaults_key(&home), format!("{SECRET}two"));
}

#[cfg(unix)] // a limit on the size of files
#[test]
fn a_full_disk_leaves_the_vault_as_it_was() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    set_key(&home, "two");
    let mut failed = 0;
    for limit in (8..).step_by(40) {
        let run = home.run_on_small_disk(limit, "backup restore b.db");
        assert!(beside_vault(&home, ".new").is_empty(), "{limit}");
        if run.status == 0 {
            break;
        }
        failed += 1;
        assert!(run.exits(1).stderr.lines().count() <= 4);
        home.assert_sound();
        assert_eq!(home.count_of("backup.restored"), 0, "{limit}");
        assert!(beside_vault(&home, "replaced").is_empty(), "{limit}");
    }
    assert!(failed > 3, "{failed}");
    home.assert_sound();
    assert_eq!(vaults_key(&home), format!("{SECRET}two"));
}

#[test]
fn what_a_killed_one_left_is_taken_away_by_the_next() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    let left = [".new", ".new-wal", ".replaced-tmp", ".replaced-tmp-journal"];
    for end in left {
        home.write(&format!("{VAULT}{end}"), "half");
    }
    home.write(&format!("{BACKUP}2.clawkeep-tmp"), "half");
    home.run(&["backup", "restore", BACKUP]).ok();
    for end in left {
        assert!(!home.at(&format!("{VAULT}{end}")).exists(), "{end}");
    }
    create(&home, &format!("{BACKUP}2"));
    assert!(
        !home
            .files()
            .iter()
            .any(|file| file.contains("clawkeep-tmp"))
    );
    home.assert_sound();
}
