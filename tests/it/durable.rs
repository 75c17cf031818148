//! What is on disk between commands: a use waits in the log, every other change is in the file
//! itself, and commands that read leave every file as it is.

use std::collections::BTreeMap;
use std::fs;

use crate::keys::home;
use crate::support::home::{Home, STORE, VAULT};
use crate::support::watch::Watch;

/// How long the log may be, in bytes: its header, 64 frames, and those of one more use, which are
/// more where it is the first of its kind. Source: SQLite, WAL-mode File Format.
const LOG_MAX: u64 = 32 + (64 + 14) * (24 + 4096);
const LOG: &str = ".clawdbot/vault.db-wal";
pub(crate) const TOKEN: [&str; 3] = ["token", "--provider", "openai"];

/// A home whose agent has two keys.
pub(crate) fn with_keys() -> Home {
    let home = home();
    for key in ["sk-test-durable-one-000000", "sk-test-durable-two-000000"] {
        add(&home, key);
    }
    home
}

fn add(home: &Home, key: &str) {
    let id = format!("openai:{}", &key[16..19]);
    home.run_with_input(&["add", "openai", "--id", &id], key)
        .ok();
}

/// What a copy of the vault's file alone has, opened with the key file of this home.
fn ids_in_copy(home: &Home) -> String {
    let copy = Home::new();
    fs::copy(home.at(VAULT), copy.at(VAULT)).unwrap();
    let keys = ".config/clawkeep";
    fs::create_dir_all(copy.at(keys)).unwrap();
    for file in fs::read_dir(home.at(keys)).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.at(keys).join(file.file_name())).unwrap();
    }
    #[cfg(unix)]
    for dir in [".config", keys] {
        crate::support::damage::chmod(&copy.at(dir), 0o700);
    }
    copy.run(&["audit", "verify"]).ok();
    copy.run(&["models", "auth", "list", "--json"]).ok()
}

/// Every file below the home, with its bytes.
fn files(home: &Home) -> BTreeMap<String, Vec<u8>> {
    let files = home.files().into_iter();
    files
        .map(|file| (file.clone(), fs::read(home.at(&file)).unwrap()))
        .collect()
}

fn log_length(home: &Home) -> u64 {
    home.at(LOG).metadata().unwrap().len()
}

#[test]
fn a_use_is_written_into_the_log_alone_and_the_log_stays_short() {
    let home = with_keys();
    home.run(&TOKEN).ok();
    let file = fs::read(home.at(VAULT)).unwrap();
    home.run(&TOKEN).ok();
    assert!(log_length(&home) > 0, "the use waits in the log");
    assert_eq!(fs::read(home.at(VAULT)).unwrap(), file);
    for _ in 0..40 {
        home.run(&TOKEN).ok();
        assert!(log_length(&home) <= LOG_MAX, "{}", log_length(&home));
    }
    assert_ne!(fs::read(home.at(VAULT)).unwrap(), file, "written back");
    assert_eq!(home.count_of("credential.used"), 42);
    home.assert_sound();
}

#[test]
fn the_file_alone_has_every_change_but_uses() {
    let home = with_keys();
    let is_written_back = |home: &Home, what: &str| {
        assert_eq!(log_length(home), 0, "{what}");
        ids_in_copy(home)
    };
    for beside in [false, true] {
        let watch = beside.then(|| Watch::start(&home, &[]));
        home.run(&TOKEN).ok();
        add(&home, "sk-test-durable-six-000000");
        assert!(is_written_back(&home, "add").contains("openai:six"));
        home.run(&TOKEN).ok();
        home.run(&["rm", "openai:six", "--yes"]).ok();
        assert!(!is_written_back(&home, "rm").contains("openai:six"));
        home.run(&["use", "openai:two"]).ok();
        is_written_back(&home, "order");
        home.run(&TOKEN).ok();
        home.run(&["key", "rotate"]).ok();
        is_written_back(&home, "rotate");
        if let Some(watch) = watch {
            watch.end();
        }
    }
    home.assert_sound();
}

#[test]
fn what_is_removed_is_in_no_file() {
    let home = with_keys();
    let sealed = || -> Vec<u8> {
        let conn = rusqlite::Connection::open(home.at(VAULT)).unwrap();
        conn.query_row(
            "SELECT p.sealed FROM profiles p JOIN terms t ON t.id = p.profile WHERE t.text = ?1",
            ["openai:one"],
            |row| row.get(0),
        )
        .unwrap()
    };
    let cell = sealed();
    home.run(&TOKEN).ok();
    home.run(&["rm", "openai:one", "--yes"]).ok();
    // The version that a removal keeps is sealed anew: this one is gone.
    for (file, bytes) in files(&home) {
        let has = bytes.windows(cell.len()).any(|window| window == cell);
        assert!(!has, "{file}");
    }
}

#[test]
fn commands_that_read_leave_every_file_as_it_is() {
    let home = with_keys();
    home.run(&TOKEN).ok();
    let commands: [&[&str]; 6] = [
        &["models", "status"],
        &["status"],
        &["ls"],
        &["history"],
        &["doctor"],
        &["audit", "verify"],
    ];
    for args in commands {
        home.run(args).ok();
    }
    let before = files(&home);
    for args in commands {
        home.run(args).ok();
        let mut after = files(&home);
        // The index of the log: its locks, and its counters, are no content.
        let index = format!("{VAULT}-shm");
        let of_before = before.get(&index).map(Vec::len);
        assert_eq!(
            after.remove(&index).map(|index| index.len()),
            of_before,
            "{args:?}"
        );
        let mut before = before.clone();
        before.remove(&index);
        assert!(before == after, "{args:?} has changed a file");
    }
}

#[test]
fn a_head_that_a_power_cut_emptied_counts_as_missing() {
    let home = with_keys();
    let dir = home.at(".local/state/clawkeep/heads");
    let head = fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let older = fs::read(&head).unwrap();
    for empty in [Vec::new(), vec![0; 116]] {
        fs::write(&head, empty).unwrap();
        let verified = home.run(&["audit", "verify"]).exits(0);
        assert!(verified.stdout.contains("no head was kept"), "{verified:?}");
        assert!(
            verified.stderr.contains("nothing can prove"),
            "{verified:?}"
        );
        let token = home.run(&TOKEN).exits(0);
        assert!(token.stderr.contains("nothing can prove"), "{token:?}");
        let verified = home.run(&["audit", "verify"]).ok();
        assert!(verified.contains("is the one kept as head"), "{verified}");
    }
    fs::write(&head, older).unwrap();
    home.run(&TOKEN).ok();
    home.run(&["audit", "verify"]).ok();
    fs::write(&head, "clawkeep-he").unwrap();
    assert_ne!(
        home.run(&["audit", "verify"]).status,
        0,
        "half a head is none of ours"
    );
    home.run(&TOKEN).exits(65);
}

/// Another process reads when a change wants to empty the log: the next command does it.
#[test]
fn a_change_that_had_to_stay_in_the_log_is_written_back_by_the_next_command() {
    let home = with_keys();
    let reader = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let _: i64 = reader
        .query_row("SELECT count(*) FROM profiles", [], |row| row.get(0))
        .unwrap();
    home.run(&["use", "openai:two"]).ok();
    assert!(log_length(&home) > 0);
    reader.execute_batch("COMMIT").unwrap();
    home.run(&["history"]).ok();
    assert_eq!(log_length(&home), 0);
    drop(reader);
    assert!(home.at(STORE).exists());
    home.assert_sound();
}

/// The use that is recorded last does not hide the removal before it.
#[test]
fn a_removal_that_had_to_stay_in_the_log_is_written_back_after_a_use() {
    let home = with_keys();
    let reader = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let _: i64 = reader
        .query_row("SELECT count(*) FROM profiles", [], |row| row.get(0))
        .unwrap();
    home.run(&["rm", "openai:one", "--yes"]).ok();
    home.run(&TOKEN).ok();
    assert!(ids_in_copy(&home).contains("openai:one"));
    reader.execute_batch("COMMIT").unwrap();
    assert!(log_length(&home) > 0);
    home.run(&["history"]).ok();
    assert_eq!(log_length(&home), 0);
    drop(reader);
    assert!(!ids_in_copy(&home).contains("openai:one"));
    home.assert_sound();
}

/// A hundred processes at once: each use is recorded, and none fails.
#[test]
fn a_hundred_processes_at_once_record_a_hundred_uses() {
    let home = with_keys();
    let children: Vec<_> = (0..100)
        .map(|_| {
            let mut command = home.command(&TOKEN);
            command.stdout(std::process::Stdio::piped());
            command.stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in children {
        let run = crate::support::home::Run::from(child.wait_with_output().unwrap());
        assert!(run.ok().starts_with("sk-test-durable-"));
    }
    assert_eq!(home.count_of("credential.used"), 100);
    assert!(log_length(&home) <= LOG_MAX);
    home.assert_sound();
}
