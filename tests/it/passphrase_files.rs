//! Files that a passphrase or a key is read from: whose they must be, and of what kind, by whatever
//! way they are named.

use std::fs;
use std::process::Command;

use crate::keys::{PHRASE, PHRASE_FILE, hide_key_file, home, with_file, with_phrase};
use crate::support::damage::chmod;
use crate::support::home::Run;
use crate::support::skip::skip;
use crate::support::users::{ANA, can_be_others, own};

const STATUS: &[&str] = &["models", "status"];

/// Whoever names it: no command waits for the writer of a FIFO, and none takes a passphrase from
/// another user's.
#[test]
fn a_passphrase_file_is_a_regular_one() {
    let home = home();
    with_phrase(&home);
    hide_key_file(&home);
    let fifo = home.at("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink(&fifo, home.at("link")).unwrap();
    let refused_by_all = |what: &str| {
        for name in ["fifo", "link"] {
            let path = home.at(name);
            let with_option = with_file(&home, name, STATUS);
            let mut command = home.command(STATUS);
            command.env("CLAWKEEP_PASSPHRASE_FILE", &path);
            let by_variable = Run::from(command.output().unwrap());
            let mut command =
                home.command(&["key", "add", "passphrase", "--passphrase-file", PHRASE_FILE]);
            command.arg("--new-passphrase-file").arg(&path);
            command.current_dir(home.path());
            let of_new = Run::from(command.output().unwrap());
            for run in [with_option, by_variable, of_new] {
                assert!(
                    run.status != 0 && run.stderr.contains(what),
                    "{name}: {run:?}"
                );
            }
        }
    };
    chmod(&fifo, 0o600);
    refused_by_all("is not a regular file");
    chmod(&fifo, 0o644);
    refused_by_all("can be read by other users");
    if can_be_others("a_passphrase_file_is_a_regular_one") {
        own(&fifo, ANA);
        refused_by_all("belongs to user 1000");
        own(&fifo, 0);
        chmod(&fifo, 0o600);
        std::os::unix::fs::lchown(home.at("link"), Some(ANA), None).unwrap();
        let run = with_file(&home, "link", STATUS);
        assert!(run.stderr.contains("belongs to user 1000"), "{run:?}");
    }
}

/// The shell opened it, and the file is another user's or open to others all the same. A pipe, and
/// a file without a name, are what a script hands over.
#[test]
fn a_file_behind_a_descriptor_is_judged_as_one_that_is_named() {
    let home = home();
    with_phrase(&home);
    hide_key_file(&home);
    let path = home.at(PHRASE_FILE);
    let run = |line: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", line, env!("CARGO_BIN_EXE_clawkeep")])
            .arg(&path)
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin")
            .env("CLAWKEEP_KEYCHAIN", "off");
        Run::from(command.output().unwrap())
    };
    let by_descriptor = "exec 7<\"$1\"; exec \"$0\" --passphrase-fd 7 models status";
    let by_stdin = "exec \"$0\" --passphrase-file - models status < \"$1\"";
    let refused = |what: &str| {
        for line in [by_descriptor, by_stdin] {
            let run = run(line);
            assert!(
                run.status != 0 && run.stderr.contains(what),
                "{line}: {run:?}"
            );
        }
    };
    for line in [by_descriptor, by_stdin] {
        run(line).ok();
    }
    chmod(&path, 0o644);
    refused("can be read by other users");
    run("cat \"$1\" | \"$0\" --passphrase-file - models status").ok();
    run("exec 7<\"$1\"; rm \"$1\"; exec \"$0\" --passphrase-fd 7 models status").ok();
    if can_be_others("a_file_behind_a_descriptor_is_judged_as_one_that_is_named") {
        fs::write(&path, PHRASE).unwrap();
        own(&path, ANA);
        refused("belongs to user 1000");
    }
}

/// A directory of credentials is judged as any other: systemd closes it to others, and may let a
/// service's user in by an access list.
#[test]
fn a_credential_that_others_can_read_is_refused() {
    let home = home();
    with_phrase(&home);
    let key = hide_key_file(&home);
    home.write("phrase/clawkeep.passphrase", PHRASE);
    home.write("key/clawkeep.key", "");
    fs::copy(key, home.at("key/clawkeep.key")).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    for (dir, file) in [("phrase", "clawkeep.passphrase"), ("key", "clawkeep.key")] {
        let path = home.at(dir).join(file);
        let run = || {
            let mut command = home.command(STATUS);
            command.env("CREDENTIALS_DIRECTORY", home.at(dir));
            Run::from(command.output().unwrap())
        };
        for open in [0o644, 0o444, 0o440] {
            chmod(&path, open);
            let run = run().exits(77);
            assert!(run.stderr.contains("can be read by other users"), "{run:?}");
        }
        chmod(&path, 0o400);
        run().ok();
        let set = |entry: &str| {
            let set = Command::new("setfacl")
                .args(["-m", entry])
                .arg(&path)
                .output();
            set.is_ok_and(|set| set.status.success())
        };
        if !set(&format!("u:{uid}:r")) {
            skip("acl", "setfacl does not work here");
            continue;
        }
        run().ok();
        assert!(set("u:4321:r"));
        run().exits(77);
    }
}

#[test]
fn a_head_is_read_from_a_regular_file() {
    let home = home();
    let fifo = home.at("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let run = home.run(&["audit", "verify", "--head", fifo.to_str().unwrap()]);
    let run = run.exits(1);
    assert!(run.stderr.contains("is not a regular file"), "{run:?}");
    assert!(run.stderr.contains("clawkeep audit head"), "{run:?}");
}
