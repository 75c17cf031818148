//! Backups: made while others write, proved, put back; and what is refused.

mod create;
mod killed;
mod lines;
mod refused;
mod restore;
mod spent;

use std::fs;

use serde_json::{Value, json};

use crate::support::home::{Home, Run, STORE, VAULT};

const BACKUP: &str = "b.db";
const ID: &str = "p:a";
/// What every secret of these tests begins with.
const SECRET: &str = "sk-test-backup-";

/// A home whose store has one API key.
fn home_with_key(key: &str) -> Home {
    let home = Home::new();
    set_key(&home, key);
    home
}

/// Another program puts a key into the store, and it is merged.
fn set_key(home: &Home, key: &str) {
    write_key(home, key);
    home.run(&["sync"]).ok();
}

fn write_key(home: &Home, key: &str) {
    let entry = json!({"type": "api_key", "provider": "p", "key": format!("{SECRET}{key}")});
    let store = json!({"version": 1, "profiles": {ID: entry}});
    home.write(STORE, store.to_string());
}

/// The key that the exported store has.
fn key(home: &Home) -> String {
    let store = home.json(STORE);
    let key = store["profiles"][ID]["key"].as_str().unwrap_or_default();
    key.trim_start_matches(SECRET).to_owned()
}

fn create(home: &Home, to: &str) -> String {
    home.run(&["backup", "create", to]).ok()
}

fn verify(home: &Home, of: &str) -> Run {
    home.run(&["backup", "verify", of])
}

/// Puts a backup back where the store has nothing to tell.
fn restore_alone(home: &Home, from: &str) -> Run {
    fs::remove_file(home.at(STORE)).unwrap();
    home.run(&["backup", "restore", from])
}

/// The files beside the vault that have that in their name.
fn beside_vault(home: &Home, part: &str) -> Vec<String> {
    let mut files = home.files();
    files.retain(|file| file.starts_with(VAULT) && file.contains(part));
    files
}

/// What is in the vault alone, the store being written anew from it.
fn vaults_key(home: &Home) -> Value {
    home.vaults_store()["profiles"][ID]["key"].clone()
}
