//! What is shown: no text from outside moves the cursor, turns a line around or hides in it,
//! whichever command shows it.

use std::fs;

use clawkeep::internal::domain::is_hidden;
use serde_json::{Value, json};

use crate::support::home::{HOUR, Home, Run, STORE, TRUE, now_ms};
#[cfg(unix)]
use crate::support::terminal::Terminal;

/// One of each kind that is not shown as it is: controls, line ends, DEL, C1, bidirectional,
/// zero-width and tag characters, selectors.
const HIDDEN: [char; 19] = [
    '\u{7}',
    '\u{8}',
    '\t',
    '\n',
    '\r',
    '\u{1b}',
    '\u{7f}',
    '\u{85}',
    '\u{9b}',
    '\u{ad}',
    '\u{61c}',
    '\u{200b}',
    '\u{200d}',
    '\u{202e}',
    '\u{2066}',
    '\u{2028}',
    '\u{fe0f}',
    '\u{feff}',
    '\u{e0041}',
];

fn id() -> String {
    let hidden: String = HIDDEN.iter().collect();
    format!("anthropic:a{hidden}z ü漢🔑")
}

/// The id as it is shown.
fn shown() -> String {
    let escaped = concat!(
        r"\u0007\u0008\u0009\u000a\u000d\u001b\u007f\u0085\u009b\u00ad",
        r"\u061c\u200b\u200d\u202e\u2066\u2028\ufe0f\ufeff\udb40\udc41"
    );
    format!("anthropic:a{escaped}z ü漢🔑")
}

/// A home in which that stands wherever a store may have text.
fn home() -> Home {
    let home = Home::new();
    // What no argument of a command can have, too.
    let odd: String = HIDDEN.iter().chain(&['\0']).collect();
    let token = |hours: i64| {
        json!({"type": "token", "provider": "anthropic", "token": "sk-test-0123456789",
            "expires": now_ms() + hours * HOUR, "email": format!("a{odd}@example.com"),
            "label": odd})
    };
    let login = json!({"type": "oauth", "provider": "test", "access": "sk-test-access",
        "refresh": "sk-test-refresh",
        "expires": now_ms() - HOUR, "clientId": odd, "email": format!("b{odd}@example.com")});
    home.write(
        STORE,
        json!({"version": 1, "profiles": {
            (id()): token(9),
            "anthropic:plain": token(-9),
            (format!("test:{odd}")): login,
            (format!("odd:{odd}")): {"type": odd, "provider": format!("p{odd}")},
        },
        "order": {"anthropic": [id(), "anthropic:plain", format!("anthropic:not{odd}there")],
        (format!("p{odd}")): [odd]},
        "lastGood": {"anthropic": id()},
        "usageStats": {(id()): {"lastUsed": 5, "disabledUntil": now_ms() + HOUR,
        "disabledReason": odd},
            "anthropic:plain": {"cooldownUntil": now_ms() + HOUR}}})
        .to_string(),
    );
    home.write(
        ".clawdbot/clawdbot.json",
        json!({"agents": {"defaults": {"model": {"primary": format!("anthropic/m{odd}")}}},
            "models": {"providers": {(format!("q{odd}")): {"apiKey": "sk-test-0123456789"}}},
            "auth": {"profiles": {(id()): {"provider": "anthropic", "mode": "token"}}}})
        .to_string(),
    );
    home
}

#[track_caller]
fn assert_plain(what: &str, text: &str, ends: &[char]) {
    let found = text.chars().find(|c| is_hidden(*c) && !ends.contains(c));
    assert_eq!(found, None, "{what}: {text:?}");
}

#[test]
fn no_command_shows_a_hidden_character() {
    let home = home();
    home.run(&["models", "status"]);
    home.write("elsewhere.json", home.read(STORE));
    let named = id();
    let commands: &[&[&str]] = &[
        &["models", "status"],
        &["models", "status", "--check"],
        &["models", "status", "--plain"],
        &["models", "status", "--json"],
        &["models", "auth", "list"],
        &["models", "auth", "list", "--json"],
        &["models", "auth", "candidates", "--provider", "anthropic"],
        &[
            "models",
            "auth",
            "candidates",
            "--provider",
            "anthropic",
            "--json",
        ],
        &[
            "models",
            "auth",
            "candidates",
            "--provider",
            "anthropic",
            "--prefer",
            &named,
        ],
        &["models", "auth", "order", "get", "--provider", "anthropic"],
        &[
            "models",
            "auth",
            "order",
            "get",
            "--provider",
            "anthropic",
            "--json",
        ],
        &[
            "models",
            "auth",
            "order",
            "set",
            "--provider",
            "anthropic",
            &named,
        ],
        &["models", "auth", "remove", &named, "--yes"],
        &["models", "auth", "restore", &named],
        &["models", "auth", "mark", &named, "--failed", "billing"],
        &["models", "auth", "trust", &named],
        &["history"],
        &["history", "--json"],
        &["history", "--jsonl"],
        &["history", "--csv"],
        &["history", "--profile", &named],
        &["history", "--chart"],
        &["history", "uses"],
        &["history", "uses", "--json"],
        &["history", "uses", "--csv"],
        &["history", "refreshes"],
        &["history", "refreshes", "--jsonl"],
        &["history", "at", "now"],
        &["history", "at", "now", "--json"],
        &["audit", "verify"],
        &["audit", "export", "--to", "-"],
        &["report", "--to", "-"],
        &["doctor"],
        &["doctor", "--json"],
        &["refresh"],
        &["refresh", "--json"],
        &["refresh", "--due"],
        &["refresh", &named],
        &["token", "--profile", &named, "--json"],
        &["token", "--provider", "anthropic", "--strict"],
        &["exec", "--profile", &named, "--", TRUE],
        &["session", "pin", "s\u{202e}1", &named],
        &["session", "unpin", "s\u{202e}1"],
        &["session", "list"],
        &["session", "list", "--json"],
        &["sync"],
        &["sync", "--json"],
        &["import", "elsewhere.json"],
        &["export", "--to", "-", "--reveal"],
        &["key", "status"],
        &["key", "status", "--json"],
        &["watch", "--once"],
        &["no\u{202e}such"],
        &["token", "--no\u{200b}such"],
        &["--state-dir", "no\u{202e}\u{1b}such", "models", "status"],
        &["--vault", "no\u{202e}/such", "history"],
    ];
    let mut showed = 0;
    for args in commands {
        let run = home.run(args);
        let what = args.join(" ");
        // CSV's lines end in two, and those of a program on Windows.
        let ends: &[char] = if args.contains(&"--csv") || cfg!(windows) && args[0] == "exec" {
            &['\n', '\r']
        } else {
            &['\n']
        };
        assert_plain(&what, &run.stdout, ends);
        assert_plain(&what, &run.stderr, &['\n']);
        let has = |text: &str| text.contains(r"\u202e\u2066");
        showed += usize::from(has(&run.stdout) || has(&run.stderr));
        if args.contains(&"--json") && run.status == 0 {
            serde_json::from_str::<Value>(&run.stdout).unwrap();
        }
    }
    assert!(showed > 25, "{showed} of {} commands", commands.len());
}

#[test]
fn an_id_is_shown_written_out_and_json_means_the_id() {
    let home = home();
    let status = home.run(&["models", "status"]);
    assert!(status.stdout.contains(&shown()), "{}", status.stdout);
    let run = home.run(&["models", "status", "--json"]);
    // The name of a field and a value.
    assert!(
        run.stdout
            .contains(r"\u202e\u2066\u2028\ufe0f\ufeff\udb40\udc41"),
        "{}",
        run.stdout
    );
    let list = home.run(&["models", "auth", "list", "--json"]);
    let answer: Value = serde_json::from_str(&list.stdout).unwrap();
    let ids: Vec<&str> = answer["profiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["profileId"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&id().as_str()), "{ids:?}");
    let csv = home.run(&["history", "--csv"]).ok();
    assert!(csv.contains(&format!(",{},", shown())), "{csv}");
    // Secrets are handed out as they are.
    let export = home.run(&["export", "--to", "-", "--reveal"]).ok();
    let export: Value = serde_json::from_str(&export).unwrap();
    assert_eq!(export["profiles"][id()]["token"], "sk-test-0123456789");
    // And the store itself is as another program wrote it.
    assert!(home.read(STORE).contains('\u{202e}'));
}

/// With colours the program's own escape sequences are the only ones.
#[cfg(unix)]
#[test]
fn on_a_terminal_only_our_own_colours_come_through() {
    let home = home();
    for args in [
        &["models", "status", "--color", "always"][..],
        &["doctor", "--color", "always"],
        &["token", "--no\u{1b}[31msuch", "--color", "always"],
    ] {
        let (_, shown) = Terminal::start(home.command(args)).end();
        let mut rest = shown.as_str();
        while let Some(at) = rest.find('\u{1b}') {
            rest = &rest[at..];
            let ours = ["\u{1b}[0m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m"];
            let code = ours.iter().find(|code| rest.starts_with(**code));
            rest = &rest[code.unwrap_or_else(|| panic!("{rest:?}")).len()..];
            assert!(!rest.starts_with("such"), "{shown:?}");
        }
        assert_plain(&args.join(" "), &shown.replace('\u{1b}', ""), &['\n', '\r']);
    }
}

/// What is offered to a shell is typed as it stands: such an id is not offered.
#[test]
fn a_shell_is_offered_no_hidden_character() {
    let home = home();
    home.run(&["sync"]);
    let mut command = home.command(&["--", "clawkeep", "token", "--profile", ""]);
    command.env("CLAWKEEP_COMPLETE", "fish");
    let offered: Run = command.output().unwrap().into();
    assert!(offered.stdout.contains("anthropic:plain"), "{offered:?}");
    assert_plain("completions", &offered.stdout, &['\n', '\t']);
    assert!(!offered.stdout.contains("anthropic:az"), "{offered:?}");
}

/// What a person is told elsewhere.
#[cfg(unix)]
#[test]
fn an_alert_has_no_hidden_character() {
    let home = home();
    let dir = home.path().display();
    home.write(
        "told",
        format!("#!/bin/sh\nenv -0 >> '{dir}/env'; cat >> '{dir}/stdin'\n"),
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(home.at("told"), mode).unwrap();
    home.write(
        ".clawdbot/clawkeep.toml",
        format!("[notify.command.x]\nrun = [\"{dir}/told\"]\n"),
    );
    home.run(&["watch", "--once"]);
    let env = home.read("env");
    let ours = env
        .split('\0')
        .filter(|pair| pair.starts_with("CLAWKEEP_ALERT_"));
    let ours: String = ours.map(|pair| format!("{pair}\n")).collect();
    assert!(ours.contains("CLAWKEEP_ALERT_PROFILES="), "{ours}");
    assert_plain("its environment", &ours, &['\n']);
    assert_plain("its stdin", &home.read("stdin"), &['\n']);
}
