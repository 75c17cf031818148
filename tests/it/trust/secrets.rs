//! Secrets that a container mounts: as Docker and Podman do, and as Kubernetes does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use crate::support::damage::{chmod, key_file};
use crate::support::home::{Home, Run};
use crate::support::skip;
use crate::support::users::{ANA, Machine, can_be_others, give};

const PHRASE: &str = "correct horse battery staple\n";
/// What each way says of a secret that this user cannot close to others.
const WAYS: [&str; 3] = [
    "--passphrase-file -",
    "container's secret",
    "CREDENTIALS_DIRECTORY",
];

/// A home whose vault has a passphrase and a key file, both in `secrets`, which is to be mounted.
fn home() -> Home {
    let home = Home::without_gateway();
    home.write("phrase", PHRASE);
    let phrase = ["--passphrase-file", "phrase"];
    home.run(&[&["init", "--key", "passphrase"], &phrase[..]].concat())
        .ok();
    home.run(&[&["key", "add", "keyfile"], &phrase[..]].concat())
        .ok();
    fs::rename(key_file(&home), home.at("key")).unwrap();
    fs::create_dir(home.at("secrets")).unwrap();
    home
}

/// Puts both files behind `..data`, as Kubernetes' atomic writer does, on a file system of their
/// own.
fn kubernetes(mode: &str) -> String {
    format!(
        "mount -t tmpfs tmpfs secrets; mkdir secrets/..2026_11_29; cp phrase key \
         secrets/..2026_11_29; \
         chmod {mode} secrets/..2026_11_29/*; ln -s ..2026_11_29 secrets/..data; \
         ln -s ..data/phrase secrets/phrase; ln -s ..data/key secrets/key; mount -o \
         remount,bind,ro secrets"
    )
}

/// Mounts each file by itself, from a disk, as Docker does.
fn docker(mode: &str) -> String {
    format!(
        "mkdir kept; cp phrase key kept; chmod {mode} kept/*; \
         for name in phrase key; do : >secrets/$name; mount --bind kept/$name secrets/$name; \
         mount -o remount,bind,ro secrets/$name; done"
    )
}

/// Mounts a directory of a file system in memory that is for something else.
fn bound_from_memory() -> String {
    "mkdir kept; mount -t tmpfs tmpfs kept; mkdir kept/some; cp phrase key kept/some; \
     chmod 0444 kept/some/*; mount --bind kept/some secrets"
        .to_owned()
}

/// The three ways to name a secret.
const WAYS_TO_NAME: [(&str, &str, &[&str]); 3] = [
    ("CLAWKEEP_KEY_FILE", "secrets/key", &[]),
    ("CLAWKEEP_PASSPHRASE_FILE", "secrets/phrase", &[]),
    ("UNUSED", "", &["--passphrase-file", "secrets/phrase"]),
];

/// Runs a command as the root of a namespace in which a script has mounted something.
fn run_as_root(home: &Home, setup: &str, variable: (&str, PathBuf), args: &[&str]) -> Option<Run> {
    let mut command: Command = skip::unshare(&["--mount"])?;
    let script = format!("set -e\n{setup}\nexec \"$0\" \"$@\"");
    command
        .args(["sh", "-c", &script, env!("CARGO_BIN_EXE_clawkeep")])
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env(variable.0, variable.1)
        .current_dir(home.path());
    let run = command.output().unwrap().into();
    let _ = fs::remove_dir_all(home.at("kept"));
    Some(run)
}

#[test]
fn a_mounted_secret_opens_the_vault_even_if_others_may_read_it() {
    let home = home();
    for setup in [kubernetes("0444"), kubernetes("0400"), docker("0444")] {
        for (variable, file, words) in WAYS_TO_NAME {
            let run = |args: &[&str]| {
                let args = [args, words].concat();
                run_as_root(&home, &setup, (variable, home.at(file)), &args)
            };
            let Some(verified) = run(&["audit", "verify"]) else {
                return;
            };
            verified.ok();
            let status = run(&["key", "status"]).unwrap().ok();
            assert!(!status.contains("cannot"), "{status}");
            let found = run(&["doctor"]).unwrap().stdout;
            assert!(!found.contains("permissions."), "{variable}: {found}");
        }
    }
}

/// What cannot be told from a file that was left open by mistake.
#[test]
fn a_secret_on_an_ordinary_disk_or_that_others_can_write_is_refused() {
    let home = home();
    let on_disk = "cp phrase key secrets; chmod 0444 secrets/*".to_owned();
    let cases = [
        (on_disk, "can be read by other users"),
        (kubernetes("0446"), "can be written by other users"),
        (docker("0464"), "can be written by other users"),
        // File systems in memory that are not for secrets alone.
        (bound_from_memory(), "can be read by other users"),
        (
            "mount -t tmpfs tmpfs /dev/shm; mount --bind /dev/shm secrets; cp phrase key secrets; \
             chmod 0444 secrets/*"
                .to_owned(),
            "can be read by other users",
        ),
        (
            "cp -a . /tmp/copy.$$; mount -t tmpfs -o mode=0700 tmpfs .; cd \"$PWD\"; \
             cp -a /tmp/copy.$$/. .; rm -r /tmp/copy.$$; cp phrase key secrets; chmod 0444 \
             secrets/*"
                .to_owned(),
            "can be read by other users",
        ),
        (
            format!(
                "{}; mount -o remount,bind,rw secrets; chmod 0777 secrets",
                kubernetes("0444")
            ),
            "can be written by other users",
        ),
    ];
    let refused = |setup: &str, what: &str, (variable, file, words): (&str, &str, &[&str])| {
        let args = [&["audit", "verify"], words].concat();
        let Some(run) = run_as_root(&home, setup, (variable, home.at(file)), &args) else {
            return;
        };
        let run = run.exits(77);
        assert!(run.stderr.contains(what), "{setup}: {run:?}");
    };
    for (setup, what) in &cases {
        for way in WAYS_TO_NAME {
            refused(setup, what, way);
            // Only the first case leaves files behind, on the home's own disk.
            for name in ["phrase", "key"] {
                let _ = fs::remove_file(home.at("secrets").join(name));
            }
        }
    }
}

/// A link to a key file on a disk is refused, as before: a renewed key would take the link's place.
/// A mounted one is not ours to renew.
#[test]
fn a_mounted_key_is_not_replaced() {
    let home = home();
    let link = home.at("link");
    symlink(home.at("key"), &link).unwrap();
    let mut command = home.command(&["audit", "verify"]);
    command.env("CLAWKEEP_KEY_FILE", &link);
    let run = Run::from(command.output().unwrap()).exits(77);
    assert!(run.stderr.contains("link"), "{run:?}");
    home.write("new", "another horse battery staple\n");
    let args = [
        "key",
        "rotate",
        "--compromised",
        "--new-passphrase-file",
        "new",
    ];
    let key = ("CLAWKEEP_KEY_FILE", home.at("secrets/key"));
    let Some(run) = run_as_root(&home, &kubernetes("0444"), key, &args) else {
        return;
    };
    let run = run.exits(1);
    let said = "is the service manager's or the container's";
    assert!(run.stderr.contains(said), "{run:?}");
    assert!(home.at("key").is_file());
}

/// The message asks for nothing that this user cannot do.
#[test]
fn a_user_who_cannot_change_a_mode_is_not_asked_to() {
    if !can_be_others("a_user_who_cannot_change_a_mode_is_not_asked_to") {
        return;
    }
    let home = home();
    give(home.path(), ANA, ANA);
    let mounted =
        |setup: &str, groups: &'static str| Machine::default().mount(setup).user(ANA, ANA, groups);
    for (setup, groups) in [
        (kubernetes("0444"), ""),
        (docker("0444"), ""),
        (format!("{}; chown 0:2000 kept/*", docker("0440")), "2000"),
    ] {
        let setup = format!("chown 0:0 phrase key; {setup}; chown 0:0 kept/* 2>/dev/null || :");
        let setup = match groups {
            "" => setup,
            group => format!("{setup}; chown 0:{group} kept/*"),
        };
        for (variable, file, words) in WAYS_TO_NAME {
            let value = home.at(file).display().to_string();
            let machine = mounted(&setup, groups).set(variable, value);
            machine
                .run(&home, &[&["audit", "verify"], words].concat())
                .ok();
            let _ = fs::remove_dir_all(home.at("kept"));
        }
    }
    for file in ["phrase", "key"] {
        give(&home.at(file), 0, 0);
        chmod(&home.at(file), 0o644);
    }
    for (variable, file, words) in [
        ("CLAWKEEP_KEY_FILE", "key", &[][..]),
        ("CLAWKEEP_PASSPHRASE_FILE", "phrase", &[]),
        ("UNUSED", "", &["--passphrase-file", "phrase"]),
    ] {
        let machine = mounted("", "").set(variable, home.at(file).display().to_string());
        let run = machine
            .run(&home, &[&["audit", "verify"], words].concat())
            .exits(77);
        assert!(
            run.stderr
                .contains("can be read by other users (mode 644, owner 0)"),
            "{run:?}"
        );
        for way in WAYS {
            assert!(run.stderr.contains(way), "{way}: {run:?}");
        }
        assert!(!run.stderr.contains("chmod"), "{run:?}");
        let found = machine.run(&home, &[&["doctor"], words].concat()).stdout;
        assert!(
            !found.contains("chmod") && !found.contains("chown"),
            "{found}"
        );
    }
}
