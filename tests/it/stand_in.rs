//! Under the name `clawdbot`: the same commands, and what this program does not have goes on to the
//! gateway's own.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::damage::chmod;
use crate::support::home::{Home, Run};

/// A home in which `clawdbot` is this program, and another one follows on the PATH.
fn home() -> Home {
    let home = Home::with_claude("sk-test-claude", 100);
    for dir in ["first", "second"] {
        fs::create_dir(home.at(dir)).unwrap();
    }
    symlink(env!("CARGO_BIN_EXE_clawkeep"), home.at("first/clawdbot")).unwrap();
    home
}

fn run(home: &Home, args: &[&str]) -> Run {
    command(home, args).output().unwrap().into()
}

fn command(home: &Home, args: &[&str]) -> Command {
    let mut command = Command::new(home.at("first/clawdbot"));
    let path = format!(
        "{}:{}:/usr/bin:/bin",
        home.at("first").display(),
        home.at("second").display()
    );
    command
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", path)
        .current_dir(home.path());
    command
}

#[test]
fn what_it_has_it_does_and_the_rest_goes_on() {
    let home = home();
    home.write(
        "second/clawdbot",
        "#!/bin/sh\necho \"theirs: $*\"\nexit 7\n",
    );
    chmod(&home.at("second/clawdbot"), 0o700);
    let status = run(&home, &["models", "status", "--check"]).exits(0);
    assert!(
        status.stdout.contains("anthropic:claude-cli ok"),
        "{status:?}"
    );
    for args in [
        &["gateway", "start", "--port", "1"][..],
        &["models", "list"],
        &["models", "status", "--probe"],
        &["models"],
        &["--profile", "x", "status"],
        &["--version"],
    ] {
        let theirs = run(&home, args).exits(7);
        assert_eq!(theirs.stdout, format!("theirs: {}\n", args.join(" ")));
    }
    // A wrong value of an option of ours is ours to refuse.
    let ours = run(&home, &["models", "auth", "order", "get"]).exits(64);
    assert!(ours.stderr.contains("--provider"), "{ours:?}");
}

#[test]
fn doctor_runs_here_and_then_there() {
    let home = home();
    home.write(
        "second/clawdbot",
        "#!/bin/sh\necho \"theirs: $*\"; umask\nexit ${THEIR_STATUS:-0}\n",
    );
    chmod(&home.at("second/clawdbot"), 0o700);
    let run_with = |args: &[&str], status: &str| -> Run {
        let mut command = command(&home, args);
        command.env("THEIR_STATUS", status).output().unwrap().into()
    };
    let both = run_with(&["doctor", "--non-interactive"], "0").exits(0);
    let (ours, theirs) = both
        .stdout
        .split_once("The gateway's own doctor (")
        .unwrap();
    assert!(ours.contains("keys.single"), "{both:?}");
    assert!(ours.ends_with("\n\n"), "a line between: {both:?}");
    assert!(
        theirs.contains("second/clawdbot):\n\ntheirs: doctor --non-interactive\n"),
        "{both:?}"
    );
    assert!(
        !theirs.contains("0077"),
        "it has the mask that it would have had: {both:?}"
    );
    let both = run_with(&["doctor", "--yes", "--deep"], "3").exits(3);
    assert!(
        both.stdout.contains("theirs: doctor --yes --deep\n"),
        "{both:?}"
    );
    home.run(&["doctor", "--deep"]).exits(64);
    // An error here counts where theirs finds nothing.
    home.write(".clawdbot/clawdbot.json", "{ broken");
    let both = run_with(&["doctor", "--repair"], "0").exits(1);
    assert!(
        both.stdout.contains("theirs: doctor --repair\n"),
        "{both:?}"
    );
    fs::remove_file(home.at(".clawdbot/clawdbot.json")).unwrap();
    // One document for programs, and nothing under its own name.
    let json = run_with(&["doctor", "--json"], "3").exits(0);
    serde_json::from_str::<serde_json::Value>(&json.stdout).unwrap();
    let alone = home.run(&["doctor"]).exits(0);
    assert!(!alone.stdout.contains("own doctor"), "{alone:?}");
}

#[test]
fn help_says_where_other_commands_go() {
    let home = home();
    let said = "every other command and option goes to the gateway's own clawdbot";
    let help = run(&home, &["--help"]).exits(0);
    assert!(help.stdout.contains(said), "{help:?}");
    assert!(!home.run(&["--help"]).ok().contains(said));
}

#[test]
fn without_another_one_it_says_so_itself() {
    let home = home();
    // itself once more: no other
    symlink(env!("CARGO_BIN_EXE_clawkeep"), home.at("second/clawdbot")).unwrap();
    let refused = run(&home, &["gateway", "start"]).exits(64);
    assert!(
        refused.stderr.contains("no other clawdbot on the PATH"),
        "{refused:?}"
    );
}

/// Copies, not links: neither is the other's file.
#[test]
fn two_of_them_do_not_hand_a_command_to_each_other_endlessly() {
    let home = home();
    for dir in ["first", "second"] {
        let _ = fs::remove_file(home.at(&format!("{dir}/clawdbot")));
        fs::copy(
            env!("CARGO_BIN_EXE_clawkeep"),
            home.at(&format!("{dir}/clawdbot")),
        )
        .unwrap();
    }
    let refused = run(&home, &["gateway", "start"]).exits(64);
    assert!(refused.stderr.contains("no other clawdbot"), "{refused:?}");
}

#[test]
fn under_its_own_name_nothing_goes_on() {
    let home = home();
    home.write("second/clawdbot", "#!/bin/sh\nexit 7\n");
    chmod(&home.at("second/clawdbot"), 0o700);
    let mut command = home.command(&["gateway"]);
    command.env("PATH", home.at("second"));
    Run::from(command.output().unwrap()).exits(64);
}
