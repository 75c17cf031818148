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
fn what_was_typed_and_is_not_valid_is_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    home.run(&["config", "set", "retention", "400d"]).ok();
    let before = home.read(SETTINGS);
    let typed = "[clawkeep]\nretention = \"soon\"\n";
    let script = "printf '[clawkeep]\\nretention = \"soon\"\\n' >\"$1\"";
    for (n, more, status) in [(1, "", 65), (2, "; exit 1", 1)] {
        let run = edit(&home, &format!("{script}{more}")).exits(status);
        assert!(run.stderr.contains("the settings are unchanged"), "{run:?}");
        let name = format!("{SETTINGS}.rejected-{n}");
        assert!(run.stderr.contains(&format!("kept in ~/{name}")), "{run:?}");
        assert_eq!(home.read(&name), typed);
        let mode = home.at(&name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(home.read(SETTINGS), before);
    }
}

#[test]
fn a_wrong_value_is_repaired_with_set_and_unset() {
    let home = Home::new();
    for wrong in ["\"soon\"", "400d"] {
        let text = format!("[clawkeep]\nfallback = \"none\"\nretention = {wrong}\n");
        home.write(SETTINGS, &text);
        let list = home.run(&["config", "list"]).exits(65);
        for part in [
            "line 3",
            "clawkeep config edit",
            "clawkeep config unset KEY",
        ] {
            assert!(list.stderr.contains(part), "{list:?}");
        }
        let status = home.run(&["status"]).exits(65);
        assert!(status.stderr.contains("line 3"), "{status:?}");
        assert!(!status.stderr.contains("auth-profiles.json"), "{status:?}");
        home.run(&["config", "set", "retention", "later"]).exits(65);
        home.run(&["config", "set", "fallback", "any"]).exits(65);
        assert_eq!(home.read(SETTINGS), text);
        home.run(&["config", "set", "retention", "9d"]).ok();
        assert_eq!(home.run(&["config", "get", "retention"]).ok(), "9d\n");
        home.write(SETTINGS, &text);
        home.run(&["config", "unset", "retention"]).ok();
        assert_eq!(home.read(SETTINGS), "[clawkeep]\nfallback = \"none\"\n");
    }
}

#[cfg(unix)]
#[test]
fn a_killed_edit_changes_nothing_and_what_it_leaves_is_private() {
    use std::os::unix::fs::MetadataExt as _;
    let home = Home::new();
    home.run(&["config", "set", "retention", "400d"]).ok();
    let (before, files) = (home.read(SETTINGS), home.files());
    let run = edit(&home, "echo '[notify]' >\"$1\"; kill -9 $PPID; sleep 0");
    assert_ne!(run.status, 0, "{run:?}");
    assert_eq!(home.read(SETTINGS), before);
    let is_new = |file: &String| file != "editor" && !files.contains(file);
    let left: Vec<String> = home.files().into_iter().filter(is_new).collect();
    assert!(
        matches!(&left[..], [one] if one.ends_with("/clawkeep.toml")),
        "{left:?}"
    );
    let dir = home.at(&left[0]).parent().unwrap().metadata().unwrap();
    assert_eq!(dir.mode() & 0o777, 0o700);
    // The next one does not take it for the settings.
    home.run(&["config", "set", "fallback", "none"]).ok();
    assert!(!home.read(SETTINGS).contains("notify"));
}

#[cfg(target_os = "linux")]
#[test]
fn an_editor_does_not_get_the_descriptor_of_the_passphrase() {
    let home = Home::new();
    home.write("phrase", "correct horse battery staple");
    home.write(
        "editor",
        "for n in 5 6 7; do [ -e /proc/self/fd/$n ] && echo open $n >&2; done\nexit 0\n",
    );
    let run = |arguments: &str| {
        let script = format!("exec 5<phrase 6<&5 7</dev/null; \"$0\" {arguments}");
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_clawkeep")])
            .env_clear()
            .env("HOME", home.path())
            .env("EDITOR", "sh editor")
            .env("PATH", "/usr/bin:/bin")
            .current_dir(home.path());
        Run::from(command.output().unwrap()).exits(0).stderr
    };
    for option in ["--passphrase-fd 5", ""] {
        let open = run(&format!("config edit {option}"));
        assert!(!open.contains("open"), "{open}");
    }
    assert!(run("--version; sh editor").contains("open 7"));
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

#[test]
fn a_secret_is_neither_taken_as_an_argument_nor_shown() {
    let home = Home::new();
    const SECRET: &str = "sk-proj-0123456789abcdefghij";
    let in_address = format!("https://example.com/{SECRET}");
    let run = format!("[\"/bin/sh\", \"{SECRET}\"]");
    let (below, glued) = (format!("x/{SECRET}"), format!("my{SECRET}"));
    for args in [
        &["config", "set", "notify.ntfy.url", &in_address][..],
        &["config", "set", "notify.command.x.run", &run],
        &["config", "set", "heads", &in_address],
        &["token", &below],
        &["ls", &glued],
        &["env", "openai", "--as", &glued],
    ] {
        let run = home.run(args).exits(64);
        assert!(!run.stderr.contains(SECRET), "{run:?}");
        assert!(run.stderr.contains("history"), "{run:?}");
    }
    let address = "https://example.com/hook";
    let whole = format!("{{ url = \"{address}\" }}");
    for (key, value) in [
        ("notify.webhook.x.url", address),
        ("notify.webhook.x", &whole),
    ] {
        let run = home.run(&["config", "set", key, value]).exits(64);
        assert!(run.stderr.contains("notify.webhook.x.url_file"), "{run:?}");
        assert!(!run.stderr.contains(address), "{run:?}");
    }
    assert!(!home.at(SETTINGS).exists());
    let text = format!("[notify.webhook.x]\nurl = \"{address}\"\n");
    home.write(SETTINGS, text);
    for key in ["notify.webhook", "notify.webhook.x", "notify .webhook"] {
        for more in [&[][..], &["--json"]] {
            let run = home.run(&[&["config", "get", key], more].concat()).ok();
            assert!(run.contains("(set)") && !run.contains(address), "{run}");
        }
    }
}

#[test]
fn what_is_no_setting_is_not_got() {
    let home = Home::new();
    home.run(&["config", "get", "NOSUCH"]).exits(64);
    let run = home.run(&["config", "get", "NOSUCH", "--json"]).exits(64);
    assert!(run.stderr.contains("NOSUCH") && run.stdout.is_empty());
    let run = home.run(&["config", "get", "retention", "--json"]).exits(1);
    assert!(run.stdout.contains("\"value\": null"), "{run:?}");
    let run = home.run(&["config", "get", "retention"]).exits(1);
    assert!(run.stderr.contains("config list --all"), "{run:?}");
    home.run(&["config", "set", "fallback", "none"]).ok();
    let all = home.run(&["config", "list", "--all"]).ok();
    for line in [
        "clawkeep.fallback = none\n",
        "clawkeep.expiring_within = 24h (default)\n",
        "clawkeep.retention is not set: events are kept permanently\n",
    ] {
        assert!(all.contains(line), "{all}");
    }
    let all = home.run(&["config", "list", "--all", "--json"]).json();
    assert_eq!(all["settings"]["clawkeep.fallback"], "none");
    assert_eq!(all["defaults"]["clawkeep.fallback"], "any");
    assert_eq!(
        all["defaults"]["clawkeep.retention"],
        serde_json::Value::Null
    );
    home.run(&["config", "set", "providers.foo", "{client_id = \"c\"}"])
        .ok();
    home.run(&["config", "set", "providers.foo.scopes", "a b"])
        .ok();
    assert_eq!(
        home.run(&["config", "get", "providers.foo.client_id"]).ok(),
        "c\n"
    );
    let address = "https://me:word@example.com/t";
    let run = home.run(&["config", "set", "providers.foo.token_url", address]);
    let run = run.exits(64);
    assert!(run.stderr.contains("user name or password"), "{run:?}");
    assert!(!run.stderr.contains("word@"), "{run:?}");
}
