//! Whole vaults: what the program does with each.

use std::fs;

use serde_json::Value;

use super::{cases, dir, text};
use crate::support::damage::chmod;
use crate::support::home::{Home, Run, VAULT};

/// How many there are.
const CASES: usize = 33;

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
