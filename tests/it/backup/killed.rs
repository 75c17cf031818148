//! Backups and restores that are killed at any moment. See [`crate::killed`].

use std::fs;

use serde_json::json;

use super::{BACKUP, SECRET, beside_vault, create, home_with_key, set_key, verify};
use crate::killed::{Ended, Killer, STEPS, assert_whole, kill_at, timed};
use crate::support::home::{Home, STORE, VAULT};
use crate::support::random::number;

/// The profile that the backup alone has.
const GONE: &str = "p:gone";

fn add_gone(home: &Home) {
    let entry =
        |key: &str| json!({"type": "api_key", "provider": "p", "key": format!("{SECRET}{key}")});
    let profiles = json!({GONE: entry("gone"), super::ID: entry("one")});
    home.write(
        STORE,
        json!({"version": 1, "profiles": profiles}).to_string(),
    );
    home.run(&["sync"]).ok();
}

fn killed_restores(kills: u64) {
    let home = home_with_key("one");
    add_gone(&home);
    create(&home, BACKUP);
    let remove = |home: &Home| home.run(&["models", "auth", "remove", GONE, "--yes"]).ok();
    let run_times = (0..3).map(|round| {
        remove(&home);
        set_key(&home, &format!("measured{round}"));
        timed(&mut home.command(&["backup", "restore", BACKUP]))
    });
    let mut killer = Killer::new("restore", run_times.collect());
    let (mut old, mut new) = (0, 0);
    for round in 0..kills {
        remove(&home);
        let newest = format!("round{round}");
        set_key(&home, &newest);
        let before = home.count_of("backup.restored");
        let file = fs::read(home.at(VAULT)).unwrap();
        if round % 3 == 2 {
            // As where the vault was lost.
            fs::remove_file(home.at(VAULT)).unwrap();
        }
        killer.kill(home.command(&["backup", "restore", BACKUP]));
        let at = killer.at();
        assert_whole(&home, &at);
        if !home.at(VAULT).exists() {
            assert_eq!(round % 3, 2, "{at}: neither vault is there");
            home.write(VAULT, &file);
        }
        // Either the one or the other, whole: the profile that was removed is what tells them
        // apart.
        let vault = home.vaults_store();
        let is_new =
            home.count_of("backup.restored") != before || !vault["profiles"][GONE].is_null();
        assert_eq!(is_new, !vault["profiles"][GONE].is_null(), "{at}");
        *if is_new { &mut new } else { &mut old } += 1;
        let expected = if is_new && round % 3 == 2 {
            None
        } else {
            Some(format!("{SECRET}{newest}"))
        };
        let key = vault["profiles"][super::ID]["key"].as_str();
        match expected {
            Some(expected) => assert_eq!(key, Some(expected.as_str()), "{at}"),
            None => assert!(key.is_some(), "{at}"),
        }
        home.assert_sound();
        // The next one is not in its way.
        home.run(&["backup", "restore", BACKUP]).ok();
        assert!(beside_vault(&home, ".new").is_empty(), "{at}");
        assert!(beside_vault(&home, "replaced-tmp").is_empty(), "{at}");
        let vault = home.vaults_store();
        assert_eq!(
            vault["profiles"][GONE]["key"],
            format!("{SECRET}gone"),
            "{at}"
        );
        for kept in beside_vault(&home, ".replaced-") {
            verify(&home, &kept).ok();
            fs::remove_file(home.at(&kept)).unwrap();
        }
    }
    killer.report();
    assert!(old > 0 && (new > 0 || kills < 20), "{old} old, {new} new");
}

#[test]
fn a_killed_restore_leaves_the_one_vault_or_the_other() {
    killed_restores(number("CLAWKEEP_KILLS", 60) / 4);
}

#[test]
#[ignore = "takes minutes"]
fn three_hundred_killed_restores() {
    killed_restores(300);
}

#[test]
fn a_killed_backup_leaves_nothing_named_as_one_that_is_not() {
    let home = home_with_key("one");
    let run_times = (0..3)
        .map(|round| timed(&mut home.command(&["backup", "create", &format!("m{round}.db")])));
    let mut killer = Killer::new("backup", run_times.collect());
    for _ in 0..number("CLAWKEEP_KILLS", 60) / 5 {
        killer.kill(home.command(&["backup", "create", BACKUP]));
        let at = killer.at();
        assert_whole(&home, &at);
        if home.at(BACKUP).exists() {
            verify(&home, BACKUP).ok();
            fs::remove_file(home.at(BACKUP)).unwrap();
        }
        create(&home, BACKUP);
        verify(&home, BACKUP).ok();
        fs::remove_file(home.at(BACKUP)).unwrap();
        assert!(
            home.files()
                .iter()
                .all(|file| !file.contains("clawkeep-tmp")),
            "{at}"
        );
    }
    killer.report();
}

/// One home, one kill of a restore at its `nth` system call of that name, and what must hold after
/// it. `is_lost`: the vault is gone before.
fn killed_at(call: &str, nth: u32, is_lost: bool) -> Ended {
    let at = format!("lost: {is_lost}; killed at {call} {nth}");
    let home = home_with_key("one");
    add_gone(&home);
    create(&home, BACKUP);
    home.run(&["models", "auth", "remove", GONE, "--yes"]).ok();
    let file = fs::read(home.at(VAULT)).unwrap();
    if is_lost {
        fs::remove_file(home.at(VAULT)).unwrap();
    }
    let ended = kill_at(call, nth, &home.command(&["backup", "restore", BACKUP]));
    assert_whole(&home, &at);
    if !home.at(VAULT).exists() {
        assert!(is_lost, "{at}: neither vault is there");
        home.write(VAULT, &file);
    }
    let is_new = home.count_of("backup.restored") == 1;
    assert!(ended == Ended::Killed || is_new, "{at}");
    let vault = home.vaults_store();
    assert_eq!(vault["profiles"][GONE].is_null(), !is_new, "{at}");
    home.assert_sound();
    home.run(&["backup", "restore", BACKUP]).ok();
    assert!(beside_vault(&home, ".new").is_empty(), "{at}");
    assert!(beside_vault(&home, "replaced-tmp").is_empty(), "{at}");
    assert_eq!(super::vaults_key(&home), format!("{SECRET}one"), "{at}");
    home.assert_sound();
    ended
}

#[test]
#[ignore = "needs strace, and takes minutes"]
fn killed_at_every_step_of_a_restore() {
    for is_lost in [false, true] {
        let mut steps = Vec::new();
        for call in STEPS {
            let nth = (1..).find(|nth| killed_at(call, *nth, is_lost) == Ended::Done);
            steps.push((call, nth.unwrap() - 1));
        }
        eprintln!("lost: {is_lost}; killed at each of {steps:?}");
    }
}
