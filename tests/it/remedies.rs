//! What a remedy says when it is pasted as it is, by root: it moves and changes no file of the
//! system's.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::damage::chmod;
use crate::support::home::{Home, Run};
use crate::support::skip::{is_root_or_skip, skip};
use crate::support::users::{ANA, Machine, can_be_others, give};

/// The words of commands that move or change files.
const COMMANDS: [&str; 6] = ["mv ", "rm ", "chmod ", "chown ", "chattr ", "setfacl "];

/// Runs a command that fails: its message has `remedy`, and no command that changes a file.
#[track_caller]
fn fails(home: &Home, variables: &[(&str, &str)], args: &[&str], remedy: &str) {
    let mut command = home.command(args);
    let run = Run::from(command.envs(variables.iter().copied()).output().unwrap());
    assert_ne!(run.status, 0, "{args:?}: {run:?}");
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains(remedy), "{variables:?} {args:?}: {said}");
    for word in COMMANDS {
        assert!(!said.contains(word), "{variables:?} {args:?}: {said}");
    }
}

#[test]
fn no_remedy_moves_or_changes_a_file_of_the_system() {
    let home = Home::new();
    home.run(&["init", "--key", "keyfile"]).ok();
    let name = |option: &str| format!("Name another file, with {option}.");
    for (args, option) in [
        (
            &["--state-dir", "/etc/passwd", "models", "status"][..],
            "--state-dir",
        ),
        (&["--state-dir", "/dev/null", "sync"], "--state-dir"),
        (&["man", "--to", "/dev/null"], "--to"),
        (&["--vault", "/tmp", "key", "status"], "--vault"),
        (&["--vault=/etc", "key", "status"], "--vault"),
    ] {
        fails(&home, &[], args, &name(option));
    }
    fs::create_dir(home.at("own")).unwrap();
    let own = home.at("own").display().to_string();
    let variables = [("HOME", &*own), ("CLAWKEEP_VAULT", &own)];
    fails(&home, &variables, &["sync"], &name("CLAWKEEP_VAULT"));
    for vault in ["/dev/null", "/dev"] {
        fails(
            &home,
            &[("CLAWKEEP_VAULT", vault)],
            &["sync"],
            &name("CLAWKEEP_VAULT"),
        );
    }
    // What everybody can write is refused for that where the file is root's, as it is for
    // everybody.
    for command in [
        &["report"][..],
        &["audit", "export"],
        &["export", "--reveal"],
    ] {
        let args = [command, &["--to", "/dev/null"]].concat();
        fails(&home, &[], &args, &name("--to"));
    }
    let null = fs::metadata("/dev/null").unwrap();
    assert!(!null.is_file(), "/dev/null is a device");
    // A file of this user's may be moved, with the command that says.
    fs::create_dir(home.at("in-the-way")).unwrap();
    let run = home.run(&["--vault", "in-the-way", "key", "status"]);
    let path = home.at("in-the-way").display().to_string();
    let said = format!("mv {path} {path}.aside");
    assert!(run.stderr.contains(&said), "no {said}: {run:?}");
}

#[test]
fn the_doctor_changes_no_file_of_the_system() {
    if !is_root_or_skip("files in a directory that only root's system has") {
        return;
    }
    let home = Home::new();
    let system = tempfile::tempdir().unwrap();
    chmod(system.path(), 0o755);
    let passwd = system.path().join("passwd");
    fs::write(&passwd, "root:x:0:0").unwrap();
    chmod(&passwd, 0o644);
    let null = system.path().join("null");
    let made = Command::new("mknod")
        .args(["-m", "666", null.to_str().unwrap(), "c", "1", "3"])
        .status()
        .unwrap();
    if !made.success() {
        skip("mknod", "a container without CAP_MKNOD");
        return;
    }
    let mode = |path: &Path| std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap());
    let before = [mode(&passwd), mode(system.path()), mode(&null)];
    let (file, dir) = (passwd.to_str().unwrap(), system.path().to_str().unwrap());
    for (variable, value) in [
        ("CLAWKEEP_VAULT", file),
        ("CLAWDBOT_STATE_DIR", dir),
        ("CLAWKEEP_KEY_FILE", file),
        ("CLAWKEEP_PASSPHRASE_FILE", file),
        ("CLAWKEEP_KEY_FILE", null.to_str().unwrap()),
    ] {
        let mut command = home.command(&["doctor", "--repair", "--yes"]);
        let run = Run::from(command.env(variable, value).output().unwrap());
        let after = [mode(&passwd), mode(system.path()), mode(&null)];
        assert_eq!(after, before, "{variable}={value}: {run:?}");
        assert!(
            !run.stdout.contains("chmod "),
            "{variable}={value}: {run:?}"
        );
    }
}

/// Nor does it have a user take the system's directories over.
#[test]
fn the_doctor_advises_no_change_of_owner_outside_the_home_directory() {
    if !can_be_others("the_doctor_advises_no_change_of_owner_outside_the_home_directory") {
        return;
    }
    let home = Home::new();
    give(home.path(), ANA, ANA);
    let ana = Machine::default().user(ANA, ANA, "");
    for args in [
        &["--state-dir", "/etc", "doctor"][..],
        &["--vault", "/etc/passwd", "doctor"],
    ] {
        let run = ana.run(&home, args);
        for word in COMMANDS {
            assert!(!run.stdout.contains(word), "{args:?} {word}: {run:?}");
        }
    }
}

/// Only a home directory that is known can be the cause, and only of what lies in it.
#[test]
fn the_home_directory_is_named_where_it_is_the_cause() {
    if !can_be_others("the_home_directory_is_named_where_it_is_the_cause") {
        return;
    }
    let home = Home::without_gateway();
    chmod(home.path(), 0o755);
    let closed = home.at("closed");
    fs::create_dir(&closed).unwrap();
    chmod(&closed, 0o755);
    let closed = closed.to_str().unwrap();
    let ana = Machine::default().user(ANA, ANA, "");
    let state = ["--state-dir", closed, "sync"];
    let own = ana.clone().set("HOME", "/nonexistent");
    let no_home = ana.set("HOME", "");
    let key = own
        .clone()
        .set("CLAWKEEP_KEY_FILE", "/run/secrets-nope/key");
    for (machine, args) in [
        (&own, &state[..]),
        (&no_home, &state),
        (&key, &["--state-dir", closed, "init", "--key", "keyfile"]),
        (&no_home, &["--state-dir", "/nonexistent/state", "sync"]),
    ] {
        let run = machine.run(&home, args);
        assert_ne!(run.status, 0, "{args:?}: {run:?}");
        assert!(
            !run.stderr.contains("The home directory is"),
            "{args:?}: {run:?}"
        );
    }
}

/// Nor does a text of another program's file become part of a command.
#[test]
fn what_discover_advises_is_no_text_of_another_programs_file() {
    let home = Home::without_gateway();
    let provider = "x; touch ~/PWNED; #";
    let key = "sk-test-0123456789abcdefghij";
    let settings = |provider: &str| {
        serde_json::json!({"provider": {provider: {"options": {"apiKey": key}}}}).to_string()
    };
    for refused in [provider, "--yes", "$(id)", "a b", "a\nb"] {
        home.write(".config/opencode/opencode.json", settings(refused));
        let found = home.run(&["discover", "--json"]).json();
        assert_eq!(
            found["credentials"][0]["takeIn"],
            serde_json::Value::Null,
            "{refused}"
        );
        let text = home.run(&["discover"]).ok();
        assert!(!text.contains(&format!("clawkeep add {refused}")), "{text}");
    }
    home.write(".config/opencode/opencode.json", settings("my-hub_2"));
    let text = home.run(&["discover"]).ok();
    assert!(text.contains("clawkeep add my-hub_2"), "{text}");
}
