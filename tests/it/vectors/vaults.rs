//! Whole vaults: what the program does with each.

use std::fs;
use std::time::Duration;

use clawkeep::internal::platform::keychain::{SessionBus, SystemKeychain};
use clawkeep::internal::vault::{KeySources, Vault, VaultError};
use serde_json::{Value, json};

use super::make_vaults::sources;
use super::{cases, dir, text};
use crate::support::damage::chmod;
use crate::support::home::{Home, Run, VAULT};

/// How many there are.
const CASES: usize = 53;
/// Of how many the library says which rows are not as clawkeep left them.
const COMPARED: usize = 41;

/// Where the key file lies in each home: nothing depends on the vault's id.
const KEY: &str = "key";
const HEAD: &str = "kept.head";

fn home(case: &Value) -> Home {
    let home = Home::new();
    let folder = dir().join("vaults");
    home.write(VAULT, fs::read(folder.join(text(case, "db"))).unwrap());
    chmod(&home.at(".clawdbot"), 0o700);
    let key = case["given"]["keyfiles"][0].as_str().unwrap();
    home.write(KEY, fs::read(folder.join(key)).unwrap());
    if let Some(head) = case["head"].as_str() {
        home.write(HEAD, head);
    }
    home
}

fn run(case: &Value, args: &[&str]) -> Run {
    let home = home(case);
    let mut command = home.command(args);
    command.env("CLAWKEEP_KEY_FILE", home.at(KEY));
    command.output().unwrap().into()
}

#[test]
fn whole_vaults() {
    let cases = cases("vaults");
    assert_eq!(cases.len(), CASES);
    for (name, case) in cases {
        assert_eq!(case["kind"], "vault", "{name}");
        let head: &[&str] = if case["head"].is_null() {
            &[]
        } else {
            &["--head", HEAD]
        };
        let verify = [&["audit", "verify"], head].concat();
        let token = ["--no-sync", "token", "--profile", text(&case, "profile")];
        let commands: [(&str, &[&str]); 3] = [
            ("status", &["models", "status"]),
            ("token", &token),
            ("verify", &verify),
        ];
        for (what, args) in commands {
            let run = run(&case, args);
            let want = &case["program"][what];
            let said = format!("{}{}", run.stdout, run.stderr);
            assert_eq!(
                i64::from(run.status),
                want["exit"],
                "{name}, {what}: {said}"
            );
            assert!(said.contains(text(want, "says")), "{name}, {what}: {said}");
            assert!(
                run.status == 0 || !said.contains("sk-test-"),
                "{name}, {what}: {said}"
            );
        }
    }
}

/// Which rows the library names is what the reader is to name.
#[test]
fn rows_that_are_not_as_they_were() {
    let keychain = SystemKeychain::new(Duration::ZERO, SessionBus::Absent);
    let mut compared = 0;
    for (name, case) in cases("vaults") {
        let unopened = &case["reader"]["unopened"];
        let home = home(&case);
        let Ok(vault) = Vault::open(&home.at(VAULT)) else {
            continue;
        };
        let sources = KeySources {
            named_keyfile: Some(home.at(KEY)),
            ..sources(&home.at(""), &keychain)
        };
        let Ok(vault) = vault.unlock(&sources) else {
            continue;
        };
        let rows = match vault.altered_rows() {
            Ok(rows) => rows.into_iter().map(|row| row.name).collect(),
            Err(VaultError::Damaged { what, .. }) => {
                let list = what.split(" is not ").next().unwrap();
                let list = list.split(" was ").next().unwrap();
                vec![list.replacen("its", "the", 1)]
            }
            Err(error) => panic!("{name}: {error}"),
        };
        assert_eq!(json!(rows), *unopened, "{name}");
        compared += 1;
    }
    assert_eq!(compared, COMPARED);
}
