//! `clawkeep config`: what it refuses, and what it does not show.

use crate::support::home::{Home, Run};

const SETTINGS: &str = ".clawdbot/clawkeep.toml";

#[cfg(unix)]
fn edit(home: &Home, script: &str) -> Run {
    home.write("editor", format!("#!/bin/sh\n{script}\n"));
    let mut command = home.command(&["config", "edit"]);
    command
        .env("EDITOR", format!("sh {}", home.at("editor").display()))
        .env("PATH", std::env::var("PATH").unwrap());
    Run::from(command.output().unwrap())
}

#[cfg(unix)]
#[test]
fn an_editor_that_leaves_nothing_changes_nothing() {
    let home = Home::new();
    home.run(&["config", "set", "retention", "400d"]).ok();
    let before = home.read(SETTINGS);
    let files = home.files();
    for script in [": >\"$1\"", "rm \"$1\"", "echo >\"$1\""] {
        let run = edit(&home, script).exits(1);
        assert!(run.stderr.contains("stays as it was"), "{run:?}");
        assert_eq!(home.read(SETTINGS), before);
    }
    let run = edit(&home, "stat -c %a \"${1%/*}\" >&2; touch \"$1.swp\"").exits(0);
    assert!(run.stderr.contains("700\n"), "{run:?}");
    let run = edit(&home, "kill $PPID; touch \"$1.swp\"");
    assert!(run.status != 0, "{run:?}");
    let left = home.files().into_iter().filter(|file| file != "editor");
    assert_eq!(left.collect::<Vec<_>>(), files);
}

#[cfg(unix)]
#[test]
fn settings_that_others_may_have_changed_are_neither_shown_nor_edited() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    home.run(&["config", "set", "retention", "400d"]).ok();
    let writable = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(home.at(SETTINGS), writable).unwrap();
    for args in [
        &["config", "list"][..],
        &["config", "get", "retention"],
        &["config", "set", "retention", "1d"],
    ] {
        let run = home.run(args);
        assert!(run.status != 0 && run.stdout.is_empty(), "{run:?}");
        assert!(run.stderr.contains("clawkeep.toml"), "{run:?}");
    }
    let run = edit(&home, "echo edited >&2");
    assert!(run.status != 0 && !run.stderr.contains("edited"), "{run:?}");
}
