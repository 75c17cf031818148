//! Refresh tokens after a restore: what was spent since the backup is not sent again, whatever
//! became of the vault that knew.

use std::fs;

use clawkeep::internal::domain::Fingerprint;
use clawkeep::internal::vault::{Grant, GrantState};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{BACKUP, create};
use crate::refresh::{ID, end, exported, home, start};
use crate::support::damage::Saved;
use crate::support::home::{Home, STORE, VAULT};
use crate::support::provider::Provider;
use crate::support::vault::{set_grants, set_successors};

fn refresh(home: &Home) -> crate::support::home::Run {
    home.run(&["refresh", ID])
}

fn restore_alone(home: &Home) -> crate::support::home::Run {
    let _ = fs::remove_file(home.at(STORE));
    home.run(&["backup", "restore", BACKUP])
}

fn refresh_token(home: &Home) -> String {
    exported(home, STORE)["refresh"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn state(home: &Home) -> Value {
    let told = home.run(&["models", "auth", "list", "--json"]).json();
    told["profiles"][0]["grant"].clone()
}

fn never_twice(provider: &Provider) {
    assert_eq!(provider.repeated(), 0, "{:?}", provider.requests());
    assert!(!provider.is_revoked("a"));
}

#[test]
fn a_login_refreshed_since_stays_as_it_is() {
    let (home, provider) = home();
    create(&home, BACKUP);
    refresh(&home).ok();
    refresh(&home).ok();
    let newest = refresh_token(&home);
    let said = restore_alone(&home).ok();
    assert!(said.contains(&format!("imported: {ID}")), "{said}");
    assert_eq!(refresh_token(&home), newest);
    refresh(&home).ok();
    assert_eq!(provider.count(), 3);
    never_twice(&provider);
    // No version has a token that is spent.
    let list = home.run(&["models", "auth", "restore", ID, "--list"]).ok();
    assert_eq!(list, "No earlier version is kept.\n");
    home.assert_sound();
}

/// The profile was removed after its refresh: what is back has a token that is spent, and it is not
/// sent.
#[test]
fn a_login_that_is_back_with_a_spent_token_is_not_refreshed() {
    let (home, provider) = home();
    create(&home, BACKUP);
    refresh(&home).ok();
    home.run(&["models", "auth", "remove", ID, "--yes"]).ok();
    restore_alone(&home).ok();
    assert!(!exported(&home, STORE).is_null());
    assert_ne!(refresh(&home).status, 0);
    home.run(&["token", "--provider", "test"]);
    assert_eq!(provider.count(), 1);
    never_twice(&provider);
    home.assert_sound();
}

/// Its key is gone: its secrets are unavailable, but the states of its grants are in plain columns.
#[test]
fn a_locked_vault_still_tells_what_is_spent() {
    let (home, provider) = home();
    create(&home, BACKUP);
    let dir = fs::read_dir(home.at(".config/clawkeep")).unwrap();
    let keyfile = dir
        .map(|file| file.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "key"))
        .unwrap();
    let old = fs::read(&keyfile).unwrap();
    home.run(&["key", "rotate", "--compromised"]).ok();
    refresh(&home).ok();
    fs::write(&keyfile, old).unwrap();
    let run = restore_alone(&home).exits(0);
    assert!(
        run.stderr.contains("no credential could be imported"),
        "{run:?}"
    );
    assert_ne!(refresh(&home).status, 0);
    assert_eq!(provider.count(), 1);
    never_twice(&provider);
    home.assert_sound();
}

/// Nobody knows: it is said, tried once, and not tried again.
#[test]
fn without_the_vault_that_knew_a_token_is_tried_once() {
    let (home, provider) = home();
    create(&home, BACKUP);
    let (newest, access) = provider.exchanged_elsewhere(&refresh_token(&home));
    fs::remove_file(home.at(VAULT)).unwrap();
    let run = restore_alone(&home).exits(0);
    assert!(
        run.stderr.contains(
            "the refresh tokens of test:login may have been used up since the backup was made"
        ),
        "{run:?}"
    );
    assert_eq!(
        state(&home),
        json!("uncertain"),
        "{:?}",
        home.run(&["models", "auth", "list", "--json"])
    );
    assert_ne!(refresh(&home).status, 0);
    assert_eq!(provider.count(), 1);
    assert_ne!(refresh(&home).status, 0);
    home.run(&["token", "--provider", "test"]);
    assert_eq!(provider.count(), 1, "not again");
    assert!(!newest.is_empty() && !access.is_empty());
    home.assert_sound();
}

/// The stores have what the backup has not: a token that was refreshed since.
#[test]
fn the_store_brings_back_what_the_vault_is_gone_with() {
    let (home, provider) = home();
    create(&home, BACKUP);
    refresh(&home).ok();
    let newest = refresh_token(&home);
    fs::remove_file(home.at(VAULT)).unwrap();
    home.run(&["backup", "restore", BACKUP]).ok();
    assert_eq!(refresh_token(&home), newest);
    refresh(&home).ok();
    assert_eq!(provider.count(), 2);
    never_twice(&provider);
    home.assert_sound();
}

#[test]
fn a_refresh_under_way_is_waited_for() {
    let (home, provider) = home();
    create(&home, BACKUP);
    provider.hold();
    let token = start(&home, &["token", "--provider", "test"]);
    provider.wait_for(1);
    let restore = start(&home, &["backup", "restore", BACKUP]);
    // It has found the refresh once it has the vault open; whichever comes first, nothing is lost.
    provider.release();
    let (token, restore) = (end(token), end(restore));
    assert_eq!(restore.status, 0, "{restore:?}");
    let access = token.ok();
    assert_eq!(exported(&home, STORE)["access"], json!(access.trim()));
    refresh(&home).ok();
    assert_eq!(provider.count(), 2);
    never_twice(&provider);
    home.assert_sound();
}

/// In a backup that was made in the middle of one, nobody will end it.
#[test]
fn a_backup_made_while_a_login_was_refreshed_can_be_put_back() {
    let (home, provider) = home();
    provider.hold();
    let token = start(&home, &["token", "--provider", "test"]);
    provider.wait_for(1);
    create(&home, BACKUP);
    provider.release();
    end(token).ok();
    // One more, which no profile holds.
    let conn = Connection::open(home.at(BACKUP)).unwrap();
    let started: i64 = conn
        .query_row(
            "SELECT count(*) FROM grants WHERE state = 'started'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(started, 1);
    drop(conn);
    let other = Fingerprint {
        key_number: 1,
        digest: [1, 2, 3, 4, 5, 6, 7, 8],
    };
    let begun = Grant {
        state: GrantState::Started,
        fence: 1,
        ..Grant::default()
    };
    set_grants(&home, BACKUP, [(other, begun)]);
    let newest = refresh_token(&home);
    restore_alone(&home).ok();
    assert_eq!(refresh_token(&home), newest);
    refresh(&home).ok();
    never_twice(&provider);
    // And where there is no vault any more.
    fs::remove_file(home.at(VAULT)).unwrap();
    let run = restore_alone(&home).exits(0);
    assert!(run.stderr.contains("may have been used up"), "{run:?}");
    home.assert_sound();
}

/// A refresh was killed after its answer came; then the vault was lost. The file beside it has the
/// tokens still.
#[test]
fn what_a_killed_refresh_left_is_taken_in_after_the_vault_is_gone() {
    let (home, provider) = home();
    create(&home, BACKUP);
    provider.hold();
    let child = start(&home, &["token", "--provider", "test"]);
    provider.wait_for(1);
    let blocker = Connection::open(home.at(VAULT)).unwrap();
    // in the way of the commit for longer than it waits
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    provider.release();
    let mut child = child;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !home.files().iter().any(|file| {
        file.ends_with(".rescue")
            && fs::read(home.at(file)).is_ok_and(|bytes| bytes.starts_with(b"clawkeep rescue"))
    }) {
        assert!(std::time::Instant::now() < deadline, "no recovery file");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(blocker);
    fs::remove_file(home.at(VAULT)).unwrap();
    let _ = fs::remove_file(home.at(&format!("{VAULT}-wal")));
    let run = restore_alone(&home).exits(0);
    assert!(
        run.stderr.contains("not be") || run.stderr.contains(ID),
        "{run:?}"
    );
    refresh(&home).ok();
    assert_eq!(provider.count(), 2);
    never_twice(&provider);
    assert!(home.count_of("refresh.succeeded") >= 1);
    home.assert_sound();
}

/// A vault that was put back by hand knows nothing of what its logins have done since, and the kept
/// head says that there was more.
#[test]
fn a_vault_put_back_by_hand_does_not_vouch_for_its_logins() {
    let (home, provider) = home();
    let before = Saved::of(&home);
    refresh(&home).ok();
    before.put_back(&home);
    fs::copy(home.at(VAULT), home.at("older.db")).unwrap();
    fs::remove_file(home.at(STORE)).unwrap();
    let run = home.run(&["backup", "restore", "older.db"]).exits(0);
    assert!(run.stderr.contains("may have been used up"), "{run:?}");
    assert_eq!(provider.count(), 1);
    home.assert_sound();
}

#[test]
fn a_grant_that_the_backup_knows_to_be_borrowed_stays_so() {
    let (home, provider) = home();
    refresh(&home).ok();
    set_successors(&home, GrantState::Borrowed, 0);
    create(&home, BACKUP);
    set_successors(&home, GrantState::Uncertain, 0);
    restore_alone(&home).ok();
    assert_ne!(refresh(&home).status, 0);
    assert_eq!(provider.count(), 1);
    home.assert_sound();
}
