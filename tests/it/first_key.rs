//! The first key of a vault that is made while a passphrase is provided: that passphrase, and no
//! key file beside it.

use std::fs;

use crate::support::damage::chmod;
use crate::support::home::{Home, Run};

const PASSPHRASE: &str = "correct horse battery staple";
const VARIABLE: &str = "CLAWKEEP_PASSPHRASE_FILE";

/// A home without a gateway, whose vault lies on a volume of its own, as a container's does.
fn home() -> Home {
    let home = Home::without_gateway();
    home.write("pp", PASSPHRASE);
    fs::create_dir(home.at("vol")).unwrap();
    chmod(&home.at("vol"), 0o700);
    home
}

fn run(home: &Home, file: &str, args: &[&str]) -> Run {
    let mut command = home.command(args);
    command.env("CLAWKEEP_VAULT", "vol/vault.db");
    if !file.is_empty() {
        command.env(VARIABLE, file);
    }
    home.output_of(command)
}

/// The vault opens with the passphrase alone, as in the next container.
#[track_caller]
fn opens_with_passphrase_alone(home: &Home) {
    let keys = home.files();
    assert!(!keys.iter().any(|file| file.ends_with(".key")), "{keys:?}");
    fs::rename(home.at(".config"), home.at("gone")).unwrap_or_default();
    run(home, "pp", &["models", "auth", "list"]).ok();
    run(home, "", &["--passphrase-file", "pp", "sync"]).ok();
    let without = run(home, "", &["sync"]).exits(77);
    assert!(
        without.stderr.contains("--passphrase-file FILE"),
        "{without:?}"
    );
}

#[test]
fn the_passphrase_that_is_provided_opens_the_new_vault() {
    for args in [&["sync"][..], &["init"], &["init", "--key", "passphrase"]] {
        let home = home();
        let made = run(&home, "pp", args);
        assert!(
            made.stderr.contains("its key is the passphrase in ~/pp."),
            "{args:?}: {made:?}"
        );
        made.ok();
        opens_with_passphrase_alone(&home);
    }
    let home = home();
    run(&home, "", &["--passphrase-file", "pp", "sync"]).ok();
    opens_with_passphrase_alone(&home);
    // What is said explicitly counts.
    let home = self::home();
    let made = run(&home, "pp", &["init", "--key", "keyfile"]).ok();
    assert!(made.contains("Key: keyfile"), "{made}");
}

#[test]
fn a_passphrase_file_that_cannot_be_used_makes_no_vault() {
    let home = home();
    home.write("open", PASSPHRASE);
    chmod(&home.at("open"), 0o644);
    home.write("short", "short");
    home.write("empty", "");
    for (file, words) in [
        ("missing", "missing"),
        #[cfg(unix)]
        ("open", "can be read by other users"),
        ("short", "~/short holds no passphrase"),
        ("empty", "~/empty holds no passphrase"),
    ] {
        for args in [&["sync"][..], &["init"], &["init", "--key", "passphrase"]] {
            let before = home.files();
            let run = run(&home, file, args);
            assert_ne!(run.status, 0, "{file}: {run:?}");
            #[cfg(unix)]
            let words = words.replace('~', home.path().to_str().unwrap());
            #[cfg(windows)]
            let words = words.to_owned();
            assert!(run.stderr.contains(&words), "{file} {args:?}: {run:?}");
            assert!(run.stderr.contains(file), "{file} {args:?}: {run:?}");
            assert_eq!(home.files(), before, "{file} {args:?}: nothing is made");
        }
    }
}

#[test]
fn a_lost_key_file_is_reported_with_what_else_opens_the_vault() {
    let home = home();
    run(&home, "", &["init", "--key", "keyfile"]).ok();
    let add = ["key", "add", "passphrase", "--new-passphrase-file", "pp"];
    run(&home, "", &add).ok();
    fs::rename(home.at(".config"), home.at("gone")).unwrap();
    let lost = run(&home, "", &["sync"]).exits(77);
    assert!(lost.stderr.contains("no key file at"), "{lost:?}");
    assert!(
        lost.stderr
            .contains("It has another key slot, for a passphrase or recovery code."),
        "{lost:?}"
    );
    let home = self::home();
    run(&home, "", &["init", "--key", "keyfile"]).ok();
    fs::rename(home.at(".config"), home.at("gone")).unwrap();
    let lost = run(&home, "pp", &["sync"]).exits(77);
    assert!(
        lost.stderr
            .contains("No new key can open this vault, and it has no other key slot."),
        "{lost:?}"
    );
}
