//! The main job in a fresh home: one command does all of it.

use crate::support::damage::assert_private;
use crate::support::home::{AGENT, CLAUDE, Home, STORE, VAULT};

const TOKEN: &str = "sk-ant-oat01-first-run-token-0001";

#[test]
fn one_command_makes_the_vault_syncs_seals_exports_and_reports() {
    let home = Home::with_claude(TOKEN, 100);
    let run = home.run(&["models", "status"]).exits(0);
    assert!(
        run.stdout
            .contains("- anthropic:claude-cli ok expires in 4d (claude-cli)"),
        "{}",
        run.stdout
    );
    assert_eq!(
        run.stderr.lines().count(),
        2,
        "where the key went, that a plain copy was written, and nothing else: {}",
        run.stderr
    );
    assert!(run.stderr.contains("in plain text"), "{}", run.stderr);
    assert!(run.stderr.contains("key file"), "{}", run.stderr);
    assert_eq!(
        home.exported_token("anthropic:claude-cli").as_deref(),
        Some(TOKEN)
    );
    let kinds: Vec<_> = home
        .events()
        .iter()
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["export.written", "sync.applied", "vault.created"]);
    home.assert_sound();
    let again = home.run(&["models", "status"]).exits(0);
    assert_eq!((again.stdout, again.stderr.as_str()), (run.stdout, ""));
}

#[test]
fn everything_is_private() {
    let home = Home::with_claude(TOKEN, 100);
    home.run(&["models", "status"]).ok();
    for file in home.files().iter().filter(|file| file.as_str() != CLAUDE) {
        assert_private(&home.at(file));
    }
    for dir in [
        ".clawdbot",
        AGENT,
        ".config/clawkeep",
        ".local/state/clawkeep/heads",
    ] {
        assert_private(&home.at(dir));
    }
}

#[test]
fn tokens_are_only_where_they_belong_and_the_refresh_token_nowhere() {
    let home = Home::with_claude(TOKEN, 100);
    home.run(&["models", "status"]).ok();
    home.claude_login("sk-ant-oat01-first-run-token-0002", 200);
    home.run(&["sync"]).ok();
    home.run(&["export"]).ok();
    for file in home.files() {
        let bytes = std::fs::read(home.at(&file)).unwrap();
        let has = |needle: &str| {
            bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
        };
        assert_eq!(
            has("sk-ant-oat01-first-run"),
            file == CLAUDE || file == STORE,
            "{file}"
        );
        assert_eq!(has("refresh-of-"), file == CLAUDE, "{file}");
    }
    assert!(home.files().iter().any(|file| file == VAULT));
}

#[test]
fn without_a_login_nothing_is_exported_and_check_says_so() {
    let home = Home::new();
    let run = home.run(&["models", "status", "--check"]).exits(1);
    assert!(
        run.stdout.contains("- anthropic Run `claude setup-token`"),
        "{}",
        run.stdout
    );
    assert!(!home.at(AGENT).exists());
}

#[test]
fn check_exits_by_the_worst_credential() {
    for (hours, status) in [(-1, 1), (3, 2), (100, 0)] {
        let home = Home::with_claude(TOKEN, hours);
        home.run(&["models", "status", "--check"]).exits(status);
        home.run(&["models", "status", "--check", "--json"])
            .exits(status);
        home.run(&["models", "status", "--check", "--plain"])
            .exits(status);
    }
}

/// What must be so of a store that two agents share by a link: one file, and both vaults' halves
/// agree with it.
#[cfg(unix)]
#[test]
fn a_store_shared_by_two_agents_settles() {
    let home = Home::with_claude(TOKEN, 100);
    home.run(&["sync"]).ok();
    let ops = home.at(".clawdbot/agents/ops/agent");
    std::fs::create_dir_all(&ops).unwrap();
    std::os::unix::fs::symlink(
        "../../main/agent/auth-profiles.json",
        ops.join("auth-profiles.json"),
    )
    .unwrap();
    home.run(&["sync"]).ok();
    let set = [
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "anthropic",
        "--agent",
        "ops",
        "anthropic:claude-cli",
    ];
    home.run(&set).ok();
    let get = home
        .run(&[
            "models",
            "auth",
            "order",
            "get",
            "--provider",
            "anthropic",
            "--json",
        ])
        .json();
    assert_eq!(get["order"], serde_json::json!(["anthropic:claude-cli"]));
    home.run(&["sync"]).ok();
    let before = home.events().len();
    home.run(&["sync"]).ok();
    home.run(&["models", "status"]).ok();
    assert_eq!(home.events().len(), before, "nothing goes back and forth");
    assert!(ops.join("auth-profiles.json").is_symlink());
}
