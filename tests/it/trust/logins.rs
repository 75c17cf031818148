//! Logins of other programs that somebody else can have put there.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::damage::chmod;
use crate::support::home::{AGENT, CLAUDE, Home, STORE};
use crate::support::users::{ANA, can_be_others, give, own};

const CODEX: &str = ".codex/auth.json";
const OAUTH: &str = ".clawdbot/credentials/oauth.json";

/// A home with logins of Claude Code and Codex in the vault, and later ones of a stranger's in
/// their files.
fn home() -> Home {
    let home = Home::with_claude("sk-test-own", 100);
    codex(&home, "own");
    home.run(&["sync"]).ok();
    home.claude_login("sk-test-strange", 2000);
    codex(&home, "strange");
    home
}

fn codex(home: &Home, whose: &str) {
    let login = json!({"tokens": {"access_token": format!("access-{whose}"),
        "refresh_token": format!("refresh-{whose}")}});
    home.write(CODEX, login.to_string());
}

/// What is wrong with a login, and what the message has to say.
type Harm = (fn(&Home, &str), &'static [&'static str]);

fn dir_of(path: &str) -> &str {
    path.rsplit_once('/').unwrap().0
}

#[test]
fn a_login_that_others_can_have_written_is_not_taken() {
    let harms: [Harm; 2] = [
        (
            |home, path| chmod(&home.at(path), 0o666),
            &["(mode 666, owner", "chmod go-w"],
        ),
        (
            |home, path| chmod(&home.at(dir_of(path)), 0o777),
            &["(mode 777, owner", "chmod go-w", "is not used"],
        ),
    ];
    let others: [Harm; 3] = [
        (
            |home, path| own(&home.at(path), ANA),
            &["belongs to user 1000", "chown 0"],
        ),
        (
            |home, path| {
                fs::create_dir(home.at("anas")).unwrap();
                fs::rename(home.at(path), home.at("anas/login.json")).unwrap();
                give(&home.at("anas"), ANA, ANA);
                symlink(home.at("anas/login.json"), home.at(path)).unwrap();
            },
            &["belongs to user 1000", "anas", "chown 0"],
        ),
        (
            |home, path| {
                // A link of root's to a file of root's, by way of a link that another user can
                // turn.
                fs::create_dir(home.at("anas")).unwrap();
                symlink(home.at(dir_of(path)).join("real"), home.at("anas/turn")).unwrap();
                fs::rename(home.at(path), home.at(dir_of(path)).join("real")).unwrap();
                give(&home.at("anas"), ANA, ANA);
                symlink(home.at("anas/turn"), home.at(path)).unwrap();
            },
            &["belongs to user 1000", "anas"],
        ),
    ];
    let mut harms = harms.to_vec();
    if can_be_others("a_login_that_others_can_have_written_is_not_taken: of others") {
        harms.extend(others);
    }
    for (harm, words) in harms {
        for (path, provider, own) in [
            (CLAUDE, "anthropic", "sk-test-own"),
            (CODEX, "openai-codex", "access-own"),
        ] {
            let home = home();
            harm(&home, path);
            let before = home.json(STORE);
            let run = home.run(&["token", "--provider", provider]);
            assert_eq!(run.stdout.trim(), own, "{path}: {run:?}");
            let run = home.run(&["sync"]);
            for words in words.iter().chain(&[path]) {
                assert!(run.stderr.contains(words), "{path} {words}: {}", run.stderr);
            }
            // Nothing of that program's is taken for gone.
            let id = if path == CLAUDE {
                "anthropic:claude-cli"
            } else {
                "openai-codex:codex-cli"
            };
            let after = home.json(STORE);
            assert_eq!(after["profiles"][id], before["profiles"][id], "{path}");
            let found = home.run(&["doctor", "--json"]).stdout;
            let found: serde_json::Value = serde_json::from_str(&found).unwrap();
            let found = found["findings"].as_array().unwrap();
            assert!(
                found.iter().any(|finding| {
                    let id = finding["id"].as_str().unwrap();
                    id.starts_with("permissions.") && finding.to_string().contains("ch")
                }),
                "{path}: {found:?}"
            );
        }
    }
}

#[test]
fn older_stores_that_others_can_have_written_are_not_imported() {
    let auth = format!("{AGENT}/auth.json");
    for path in [OAUTH, &auth] {
        let home = Home::new();
        let login = json!({"groq": {"type": "oauth", "access": "strange", "refresh": "strange-r",
            "expires": 4_000_000_000_000_i64}});
        home.write(path, login.to_string());
        chmod(&home.at(path), 0o666);
        let run = home.run(&["sync"]);
        assert!(
            run.stderr.contains("chmod go-w") && run.stderr.contains(path),
            "{path}: {}",
            run.stderr
        );
        assert_ne!(home.run(&["token", "--provider", "groq"]).status, 0);
        assert!(home.at(path).exists(), "it is left where it is");
        if can_be_others("older_stores_that_others_can_have_written_are_not_imported: of others") {
            chmod(&home.at(path), 0o644);
            own(&home.at(path), ANA);
            let run = home.run(&["sync"]);
            assert!(run.stderr.contains("chown 0"), "{path}: {}", run.stderr);
            own(&home.at(path), 0);
        }
        chmod(&home.at(path), 0o600);
        home.run(&["sync"]).ok();
        assert_eq!(
            home.run(&["token", "--provider", "groq"]).ok().trim(),
            "strange"
        );
    }
}

/// Keys in `.env` files: what is not used is said, and the rest is.
#[test]
fn an_env_file_that_others_can_write_sets_nothing() {
    let home = Home::new();
    home.write(
        ".clawdbot/.env",
        "OPENAI_API_KEY=sk-test-strange-0123456789\n",
    );
    chmod(&home.at(".clawdbot/.env"), 0o666);
    let run = home.run(&["models", "status", "--json"]).exits(0);
    assert!(
        run.stderr.contains(".clawdbot/.env") && run.stderr.contains("chmod go-w"),
        "{}",
        run.stderr
    );
    assert!(
        !run.stdout.contains("env: OPENAI_API_KEY"),
        "{}",
        run.stdout
    );
}
