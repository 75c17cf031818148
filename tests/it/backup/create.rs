//! `backup create` and `backup verify`.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use super::{BACKUP, SECRET, create, home_with_key, set_key, verify};
use crate::support::damage::assert_private;
use crate::support::home::{Home, VAULT};

#[test]
fn a_backup_is_one_file_that_says_what_is_in_it() {
    let home = home_with_key("one");
    let last = home.events()[0].clone();
    let said = create(&home, BACKUP);
    let lines: Vec<&str> = said.lines().collect();
    let bytes = fs::metadata(home.at(BACKUP)).unwrap().len();
    let vault = home.newest("vault.created").unwrap()["detail"]["vault"].clone();
    assert_eq!(
        lines,
        [
            "Backup: b.db".to_owned(),
            format!("Vault: {}", vault.as_str().unwrap()),
            format!("Up to event: {}", last["seq"]),
            format!("Bytes: {bytes}"),
        ]
    );
    assert_private(&home.at(BACKUP));
    assert!(
        home.files()
            .iter()
            .all(|file| !file.contains("b.db") || file == BACKUP)
    );
    assert_eq!(
        home.files_with(&format!("{SECRET}one")).len(),
        1,
        "the store alone"
    );
    // It is recorded where it went, and with the head that is in it.
    let made = home.newest("backup.created").unwrap()["detail"].clone();
    assert_eq!(made["seq"], last["seq"]);
    assert_eq!(made["path"], json!(home.at(BACKUP)));
    let said = verify(&home, BACKUP).ok();
    assert!(said.contains("the record verifies"), "{said}");
    assert!(
        said.contains(", the one in use here, 1 event ago\n"),
        "{said}"
    );
    assert!(
        said.contains("Opened with: key slot 1 (keyfile)\n"),
        "{said}"
    );
    let told = home.run(&["backup", "verify", BACKUP, "--json"]).json();
    assert_eq!(told["ok"], json!(true));
    assert_eq!(
        (&told["isOfThisVault"], &told["last"]),
        (&json!(true), &last["seq"])
    );
    assert_eq!(told["unopened"], json!([]));
    home.assert_sound();
}

#[test]
fn nothing_is_written_over() {
    let home = home_with_key("one");
    home.write(BACKUP, "mine");
    let run = home.run(&["backup", "create", BACKUP]).exits(1);
    assert!(
        run.stderr.contains("there is something at b.db already"),
        "{run:?}"
    );
    assert_eq!(home.read(BACKUP), "mine");
    assert!(home.newest("backup.created").is_none());
}

/// Two that take turns on the temporary name would take each other's half for their own.
#[test]
fn of_two_at_once_to_one_file_one_is_made() {
    let home = home_with_key("one");
    for round in 0..4 {
        let name = format!("b{round}.db");
        let runs: Vec<_> = (0..4)
            .map(|_| {
                home.command(&["-q", "backup", "create", &name])
                    .spawn()
                    .unwrap()
            })
            .collect();
        let ended = runs.into_iter().map(|mut run| run.wait().unwrap().code());
        let mut ended: Vec<_> = ended.collect();
        ended.sort();
        assert_eq!(ended, [Some(0), Some(1), Some(1), Some(1)]);
        verify(&home, &name).ok();
    }
    assert_eq!(home.count_of("backup.created"), 4);
}

#[test]
fn every_backup_is_whole_while_four_others_write() {
    let home = home_with_key("one");
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..4 {
            let (home, is_done) = (&home, &is_done);
            scope.spawn(move || {
                let session = format!("s{writer}");
                while !is_done.load(Ordering::Relaxed) {
                    home.run(&["session", "pin", &session, super::ID]).ok();
                    home.run(&["session", "unpin", &session, "--provider", "p"])
                        .ok();
                }
            });
        }
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..5 {
                let name = format!("b{round}.db");
                create(&home, &name);
                verify(&home, &name).ok();
            }
        }));
        is_done.store(true, Ordering::Relaxed);
        made.unwrap();
    });
    assert!(
        home.count_of("session.pinned") > 4,
        "nobody wrote meanwhile"
    );
    home.assert_sound();
}

#[cfg(unix)] // a limit on the size of files
#[test]
fn a_full_disk_leaves_nothing_that_looks_like_a_backup() {
    let home = home_with_key("one");
    let blocks = fs::metadata(home.at(VAULT)).unwrap().len() / 512;
    for limit in [blocks / 4, blocks / 2, blocks - 1] {
        let run = home.run_on_small_disk(limit, "backup create b.db").exits(1);
        assert!(run.stderr.lines().count() <= 3, "{run:?}");
        assert!(
            home.files().iter().all(|file| !file.contains("b.db")),
            "{limit}"
        );
    }
    assert_eq!(home.count_of("backup.created"), 0);
    home.assert_sound();
    create(&home, BACKUP);
}

#[cfg(unix)] // /proc
#[test]
fn a_place_that_cannot_be_written_is_reported() {
    let home = home_with_key("one");
    for place in ["none/b.db", "/proc/b.db"] {
        let run = home.run(&["backup", "create", place]).exits(1);
        assert!(
            run.stderr.contains(place.trim_start_matches('/')),
            "{run:?}"
        );
    }
    home.assert_sound();
}

/// What is in a backup is proved by its keys: it does not matter who may write where it lies.
#[cfg(unix)]
#[test]
fn a_backup_may_lie_where_others_can_write() {
    let home = home_with_key("one");
    fs::create_dir(home.at("shared")).unwrap();
    let all = fs::Permissions::from_mode(0o777);
    fs::set_permissions(home.at("shared"), all).unwrap();
    create(&home, "shared/b.db");
    let all = fs::Permissions::from_mode(0o666);
    fs::set_permissions(home.at("shared/b.db"), all).unwrap();
    let before = home.files();
    verify(&home, "shared/b.db").ok();
    assert_eq!(home.files(), before, "nothing is written beside it");
    set_key(&home, "two");
    home.run(&["backup", "restore", "shared/b.db"]).ok();
}

#[cfg(unix)]
#[test]
fn a_backup_that_cannot_be_written_is_proved_and_put_back() {
    let home = home_with_key("one");
    fs::create_dir(home.at("ro")).unwrap();
    create(&home, "ro/b.db");
    fs::set_permissions(home.at("ro/b.db"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(home.at("ro"), fs::Permissions::from_mode(0o500)).unwrap();
    verify(&home, "ro/b.db").ok();
    home.run(&["backup", "restore", "ro/b.db"]).ok();
    fs::set_permissions(home.at("ro"), fs::Permissions::from_mode(0o700)).unwrap();
    home.assert_sound();
}

#[test]
fn what_is_typed_wrong_is_a_usage_error() {
    let home = Home::new();
    home.run(&["backup", "create"]).exits(64);
    home.run(&["backup", "restore", "x", "--what"]).exits(64);
    // Without a vault there is nothing to back up, and none is made.
    let run = home.run(&["backup", "create", BACKUP]);
    assert!(run.stderr.contains("there is no vault"), "{run:?}");
    assert!(!home.at(VAULT).exists());
}
