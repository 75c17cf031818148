//! What is no backup, or none of this vault, changes nothing.

use std::fs;
use std::process::Command;

use rusqlite::Connection;

use super::{BACKUP, SECRET, create, home_with_key, key, set_key, vaults_key, verify};
use crate::support::damage::refuses;
use crate::support::home::{Home, STORE, VAULT};
use crate::support::random::{Random, number, seed};

/// Both commands refuse it, say why, and change nothing. The lock's file may come to be.
#[track_caller]
fn both_refuse(home: &Home, backup: &str, status: i32, word: &str) {
    for args in [["backup", "verify", backup], ["backup", "restore", backup]] {
        let run = refuses(home, &args, status, &[word]);
        assert!(!run.stderr.contains("panicked"), "{run:?}");
    }
}

fn home() -> Home {
    let home = home_with_key("one");
    create(&home, BACKUP);
    set_key(&home, "two");
    home.run(&["backup", "restore", "none"]).exits(1); // the lock's file is there from now on
    home
}

#[cfg(unix)] // mkfifo
#[test]
fn what_is_no_file_is_not_waited_for() {
    let home = home();
    let made = Command::new("mkfifo")
        .arg(home.at("fifo"))
        .status()
        .unwrap();
    assert!(made.success());
    fs::create_dir(home.at("dir")).unwrap();
    for name in ["fifo", "dir"] {
        both_refuse(&home, name, 65, "is not a regular file");
    }
    both_refuse(&home, "nothing", 1, "nothing");
}

#[test]
fn what_is_no_vault_is_refused() {
    let home = home();
    home.write("text", "no vault".repeat(1000));
    both_refuse(&home, "text", 65, "is not a clawkeep vault");
    home.write("empty", "");
    let conn = Connection::open(home.at("other.db")).unwrap();
    conn.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(conn);
    both_refuse(&home, "other.db", 65, "is not a clawkeep vault");
    for args in [
        ["backup", "verify", "empty"],
        ["backup", "restore", "empty"],
    ] {
        refuses(&home, &args, 65, &["empty"]);
    }
}

#[test]
fn a_backup_cut_short_is_refused() {
    let home = home();
    let whole = fs::read(home.at(BACKUP)).unwrap();
    for cut in [
        100,
        4096,
        whole.len() / 2,
        whole.len() - 4096,
        whole.len() - 1,
    ] {
        home.write("cut.db", &whole[..cut]);
        for args in [
            ["backup", "verify", "cut.db"],
            ["backup", "restore", "cut.db"],
        ] {
            refuses(&home, &args, 65, &["cut.db"]);
        }
    }
    assert_eq!(key(&home), "two");
}

/// A byte that means nothing (in a page's unused part, a position that is without a seal) may
/// differ. Whatever is accepted says the same.
#[test]
fn no_flipped_byte_changes_what_is_put_back() {
    let home = home();
    let whole = fs::read(home.at(BACKUP)).unwrap();
    let mut random = Random::seeded(seed());
    let mut at: Vec<usize> = vec![0, 18, 19, 20, 24, 28, 40, 44, 47, 60, 68, 71, 96, 100, 103];
    let pages = whole.len() / 4096;
    let flips = usize::try_from(number("CLAWKEEP_FLIPS", 40)).unwrap();
    at.extend((0..flips).map(|n| {
        let page = (n % pages) * 4096;
        // Of each page the beginning, which has the pointers, or its end, which has the rows.
        let within = usize::try_from(random.below(1024)).unwrap();
        if n % 2 == 0 {
            page + within
        } else {
            page + 4095 - within
        }
    }));
    let mut refused = 0;
    for at in at {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.below(8);
        let other = Home::new();
        other.write("flipped.db", &bytes);
        for dir in fs::read_dir(home.at(".config/clawkeep")).unwrap() {
            let file = dir.unwrap();
            let name = format!(".config/clawkeep/{}", file.file_name().to_string_lossy());
            other.write(&name, fs::read(file.path()).unwrap());
        }
        let verified = verify(&other, "flipped.db");
        let restored = other.run(&["backup", "restore", "flipped.db"]);
        assert!(!restored.stderr.contains("panicked") && !verified.stderr.contains("panicked"));
        if restored.status == 0 {
            assert_eq!(verified.status, 0, "byte {at}: {verified:?}");
            assert_eq!(vaults_key(&other), format!("{SECRET}one"), "byte {at}");
            other.assert_sound();
        } else {
            refused += 1;
            assert!(
                matches!(restored.status, 65 | 77),
                "byte {at}: {restored:?}"
            );
            assert!(!other.at(VAULT).exists(), "byte {at}: {restored:?}");
        }
    }
    assert!(refused > 10, "only {refused} were noticed");
}

#[test]
fn planted_and_later_schemas_are_refused() {
    let home = home();
    for (sql, word) in [
        (
            "CREATE TRIGGER t BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END",
            "were changed",
        ),
        ("CREATE VIEW v AS SELECT 1", "were changed"),
        ("DROP TRIGGER events_no_delete", "were changed"),
        (
            "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES \
             (99, 'x', '', '')",
            "schema 99",
        ),
    ] {
        fs::copy(home.at(BACKUP), home.at("bad.db")).unwrap();
        let conn = Connection::open(home.at("bad.db")).unwrap();
        conn.execute_batch(sql).unwrap();
        drop(conn);
        both_refuse(&home, "bad.db", 65, word);
    }
}

#[test]
fn an_altered_record_is_refused() {
    let home = home();
    let conn = Connection::open(home.at(BACKUP)).unwrap();
    let trigger: String = conn
        .query_row(
            "SELECT sql FROM sqlite_schema WHERE name = 'events_no_update'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    conn.execute_batch(
        "DROP TRIGGER events_no_update; UPDATE events SET at = at + 1 WHERE seq = 2;",
    )
    .unwrap();
    conn.execute_batch(&trigger).unwrap();
    drop(conn);
    both_refuse(
        &home,
        BACKUP,
        65,
        "the audit record in the backup does not verify",
    );
}

#[test]
fn the_vault_itself_is_no_backup_of_it() {
    let home = home();
    home.run(&["backup", "restore", VAULT]).exits(1);
    fs::hard_link(home.at(VAULT), home.at("link.db")).unwrap();
    let run = home.run(&["backup", "restore", "link.db"]).exits(1);
    assert!(run.stderr.contains("is the vault itself"), "{run:?}");
    assert!(super::beside_vault(&home, "replaced").is_empty());
    home.assert_sound();
}

#[test]
fn a_vault_in_use_is_no_backup() {
    let (home, other) = (home(), home_with_key("other"));
    let reader = Connection::open(other.at(VAULT)).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = "SELECT count(*) FROM events";
    let _: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
    set_key(&other, "more");
    let path = other.at(VAULT).to_string_lossy().into_owned();
    both_refuse(&home, &path, 65, "has a log beside it");
}

#[test]
fn another_vaults_backup_takes_force() {
    let (home, other) = (home(), home_with_key("other"));
    create(&other, BACKUP);
    fs::copy(other.at(BACKUP), home.at("other.db")).unwrap();
    home.run(&["backup", "restore", "other.db"]).exits(77);
    for file in fs::read_dir(other.at(".config/clawkeep")).unwrap() {
        let file = file.unwrap();
        let name = format!(".config/clawkeep/{}", file.file_name().to_string_lossy());
        home.write(&name, fs::read(file.path()).unwrap());
    }
    let said = verify(&home, "other.db").ok();
    assert!(
        said.contains(", another one than the one in use here\n"),
        "{said}"
    );
    refuses(
        &home,
        &["backup", "restore", "other.db"],
        1,
        &["it is a backup of the vault", "--force"],
    );
    fs::remove_file(home.at(STORE)).unwrap();
    home.run(&["backup", "restore", "other.db", "--force"]).ok();
    assert_eq!(key(&home), "other");
    let event = home.newest("backup.restored").unwrap()["detail"].clone();
    assert!(event["abandonedVault"].is_string(), "{event}");
    home.assert_sound();
}

#[test]
fn a_file_that_is_no_vault_is_replaced_only_with_force() {
    let home = home();
    let conn = Connection::open(home.at("precious.db")).unwrap();
    conn.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(conn);
    let precious = fs::read(home.at("precious.db")).unwrap();
    let args = ["--vault", "precious.db", "backup", "restore", BACKUP];
    let run = home.run(&args).exits(65);
    assert!(
        run.stderr.contains("precious.db is not a clawkeep vault"),
        "{run:?}"
    );
    assert_eq!(fs::read(home.at("precious.db")).unwrap(), precious);
    // A vault whose beginning is gone is no vault either: told to, it is put back, and what was
    // there is kept.
    fs::remove_file(home.at(STORE)).unwrap();
    let mut bytes = fs::read(home.at(VAULT)).unwrap();
    bytes[..100].fill(0);
    home.write(VAULT, &bytes);
    home.run(&["backup", "restore", BACKUP]).exits(65);
    home.run(&["backup", "restore", BACKUP, "--force"]).ok();
    let kept = super::beside_vault(&home, ".replaced-");
    assert_eq!(fs::read(home.at(&kept[0])).unwrap(), bytes);
    assert_eq!(key(&home), "one");
    home.assert_sound();
}

#[cfg(unix)]
#[test]
fn what_stands_at_the_vaults_place_and_is_no_file_stays() {
    let home = home();
    fs::rename(home.at(VAULT), home.at("moved.db")).unwrap();
    fs::create_dir(home.at(VAULT)).unwrap();
    home.run(&["backup", "restore", BACKUP]).exits(65);
    fs::remove_dir(home.at(VAULT)).unwrap();
    std::os::unix::fs::symlink(home.at("moved.db"), home.at(VAULT)).unwrap();
    let before = fs::read(home.at("moved.db")).unwrap();
    let run = home.run(&["backup", "restore", BACKUP]).exits(65);
    assert!(run.stderr.contains("symbolic link"), "{run:?}");
    assert_eq!(fs::read(home.at("moved.db")).unwrap(), before);
}

#[test]
fn a_row_that_does_not_open_is_named_and_takes_force() {
    let home = home();
    let conn = Connection::open(home.at(BACKUP)).unwrap();
    conn.execute_batch("UPDATE profiles SET sealed = randomblob(length(sealed))")
        .unwrap();
    drop(conn);
    let row = "profile p:a of agent main";
    let run = verify(&home, BACKUP).exits(65);
    assert!(run.stderr.contains(row), "{run:?}");
    refuses(&home, &["backup", "restore", BACKUP], 65, &[row, "--force"]);
    // What the backup has lost, the vault that it replaces has.
    fs::remove_file(home.at(STORE)).unwrap();
    let run = home.run(&["backup", "restore", BACKUP, "--force"]).exits(0);
    assert!(
        run.stderr.contains("some rows of the backup do not open"),
        "{run:?}"
    );
    assert_eq!(key(&home), "two");
    home.assert_sound();
}

/// With nothing to take its place from, the row stays as it is, named, and the rest works.
#[test]
fn a_row_that_does_not_open_and_is_nowhere_else_is_not_in_the_way_of_the_rest() {
    let home = home();
    let conn = Connection::open(home.at(BACKUP)).unwrap();
    conn.execute_batch(
        "UPDATE profile_versions SET sealed = x'00'; UPDATE profiles SET sealed = x'00'",
    )
    .unwrap();
    drop(conn);
    home.run(&["models", "auth", "remove", super::ID, "--yes"])
        .ok();
    fs::remove_file(home.at(STORE)).unwrap();
    let run = home
        .run(&["backup", "restore", BACKUP, "--force"])
        .exits(65);
    assert!(run.stdout.contains("Restored"), "{run:?}");
    assert!(run.stderr.contains("profile p:a of agent main"), "{run:?}");
    home.run(&["history"]).ok();
}
