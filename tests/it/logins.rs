//! What became of other programs' logins: each state, and what each command says of it.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::home::{CLAUDE, HOUR, Home, Run, STORE, now_ms};
use crate::support::watch::Watch;

const ID: &str = "anthropic:claude-cli";
const WORK: &str = ".claude-work";
const TOKEN: [&str; 3] = ["token", "--provider", "anthropic"];
const CHECK: [&str; 3] = ["models", "status", "--check"];
const DOCTOR: [&str; 2] = ["doctor", "--non-interactive"];
const KEEP: [&str; 4] = ["models", "auth", "keep", ID];
const ADOPT: [&str; 4] = ["models", "auth", "adopt", ID];

/// Runs a command with another `CLAUDE_CONFIG_DIR`.
fn in_dir(home: &Home, dir: &str, args: &[&str]) -> Run {
    let mut command = home.command(args);
    command.env("CLAUDE_CONFIG_DIR", home.at(dir));
    command.output().unwrap().into()
}

/// Writes a login of Claude Code's into a directory.
fn login_in(home: &Home, dir: &str, token: &str, hours: i64) {
    let login = json!({"claudeAiOauth": {
        "accessToken": token, "refreshToken": "never-read", "expiresAt": now_ms() + hours * HOUR,
    }});
    home.write(&format!("{dir}/.credentials.json"), login.to_string());
}

fn account_in(home: &Home, file: &str, uuid: &str) {
    let config = json!({"oauthAccount": {"accountUuid": uuid, "emailAddress": "a@example.com"}});
    home.write(file, config.to_string());
}

fn findings(home: &Home) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(&home.run(&["doctor", "--json"]).stdout).unwrap();
    let found = report["findings"].as_array().unwrap().iter();
    let text = |found: &Value, name: &str| found[name].as_str().unwrap_or_default().to_owned();
    found
        .map(|found| {
            let words = format!("{} {}", text(found, "message"), text(found, "fix"));
            (text(found, "id"), words)
        })
        .collect()
}

#[track_caller]
fn found(home: &Home, id: &str) -> String {
    let all = findings(home);
    let found = all.iter().find(|(known, _)| known == id);
    found.unwrap_or_else(|| panic!("{id}: {all:?}")).1.clone()
}

#[test]
fn a_logout_is_a_state_until_it_is_kept_or_over() {
    for stub in [
        None,
        Some(r#"{"claudeAiOauth": {"accessToken": "", "expiresAt": 0}}"#),
    ] {
        let home = Home::with_claude("sk-test-claude-1", 240);
        home.run(&["sync"]).ok();
        home.run(&CHECK).exits(0);
        match stub {
            None => fs::remove_file(home.at(CLAUDE)).unwrap(),
            Some(stub) => home.write(CLAUDE, stub),
        }
        let sync = home.run(&["sync"]);
        assert!(
            sync.stderr.contains("Claude Code is logged out"),
            "{sync:?}"
        );
        assert!(!sync.stdout.contains("up to date"), "{sync:?}");
        let status = home.run(&CHECK).exits(1);
        assert!(status.stdout.contains("(logged out)"), "{status:?}");
        let list = home.run(&["models", "auth", "list"]).ok();
        assert!(list.contains("ok, logged out"), "{list}");
        let token = home.run(&TOKEN);
        assert_eq!(token.stdout, "sk-test-claude-1\n");
        assert!(
            token.stderr.contains("Claude Code is logged out"),
            "{token:?}"
        );
        let words = found(&home, "source.logged-out");
        assert!(words.contains("clawkeep models auth keep"), "{words}");
        // Another directory is no logout, and says nothing of one.
        let elsewhere = in_dir(&home, WORK, &CHECK).exits(0);
        assert!(!elsewhere.stderr.contains("logged out"), "{elsewhere:?}");
        let skipped = home.count_of("sync.skipped");
        home.run(&["sync"]).ok();
        assert_eq!(
            home.count_of("sync.skipped"),
            skipped,
            "they do not take turns"
        );

        home.run(&KEEP).ok();
        assert!(home.run(&["sync"]).ok().contains("up to date"));
        assert_eq!(home.run(&CHECK).exits(0).stderr, "");
        // The decision is over with the next login.
        home.claude_login("sk-test-claude-2", 300);
        home.run(&["sync"]).ok();
        fs::remove_file(home.at(CLAUDE)).unwrap();
        home.run(&CHECK).exits(1);
        home.assert_sound();
    }
}

#[cfg(unix)]
#[test]
fn a_logout_fails_the_check_only_where_nothing_else_serves_the_provider() {
    let home = Home::with_claude("sk-test-claude-1", 240);
    home.run(&["sync"]).ok();
    fs::remove_file(home.at(CLAUDE)).unwrap();
    home.run(&CHECK).exits(1);
    let mut clawdbot = std::process::Command::new("bash");
    clawdbot
        .args(["-c", "exec -a clawdbot \"$0\" models status --check"])
        .arg(env!("CARGO_BIN_EXE_clawkeep"))
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin");
    let reference: Run = clawdbot.output().unwrap().into();
    assert_eq!(reference.status, 0, "{reference:?}");
    assert!(!reference.stdout.contains("logged out"), "{reference:?}");
    let paste = ["models", "auth", "paste-api-key", "--provider", "anthropic"];
    home.run_with_input(&paste, "sk-ant-api03-test-0123456789abcdef\n")
        .ok();
    home.run(&CHECK).exits(0);
}

#[test]
fn two_directories_do_not_take_turns() {
    for accounts in [None, Some(("u-1", "u-2"))] {
        let home = Home::with_claude("sk-test-personal", 8);
        login_in(&home, WORK, "sk-test-work", 9);
        if let Some((one, other)) = accounts {
            account_in(&home, ".claude.json", one);
            account_in(&home, &format!("{WORK}/.claude.json"), other);
        }
        assert_eq!(home.run(&TOKEN).ok(), "sk-test-personal\n");
        let work = in_dir(&home, WORK, &TOKEN);
        assert_eq!(work.stdout, "sk-test-personal\n");
        let words = match accounts {
            Some(_) => "is another account's than the stored",
            None => "whose it is cannot be known",
        };
        assert!(work.stderr.contains(words), "{work:?}");
        let events = home.events().len();
        for _ in 0..2 {
            home.run(&["sync"]).ok();
            in_dir(&home, WORK, &["sync"]).ok();
        }
        assert_eq!(home.events().len(), events);
        let words = found(&home, "source.other-account");
        assert!(
            words.contains("two profiles") && words.contains(WORK),
            "{words}"
        );
        home.run(&KEEP).ok();
        assert!(home.run(&["sync"]).ok().contains("up to date"));
        assert_eq!(in_dir(&home, WORK, &["sync"]).stderr, "");

        in_dir(&home, WORK, &ADOPT).ok();
        assert_eq!(in_dir(&home, WORK, &TOKEN).ok(), "sk-test-work\n");
        let history = home.run(&["history"]).ok();
        assert!(!history.contains("(refresh)"), "{history}");
        let event = home.newest("profile.updated").unwrap();
        assert_eq!(event["detail"]["by"], "chosen", "{event}");
        // Now the other one is the stranger.
        let personal = home.run(&TOKEN);
        assert_eq!(personal.stdout, "sk-test-work\n");
        assert!(personal.stderr.contains("was not imported"), "{personal:?}");
        home.assert_sound();
    }
}

#[test]
fn two_directories_of_one_account_are_one_login() {
    let home = Home::with_claude("sk-test-1", 8);
    login_in(&home, WORK, "sk-test-2", 9);
    account_in(&home, ".claude.json", "u-1");
    account_in(&home, &format!("{WORK}/.claude.json"), "u-1");
    home.run(&TOKEN).ok();
    let work = in_dir(&home, WORK, &TOKEN);
    assert_eq!(
        (work.stdout.as_str(), work.stderr.as_str()),
        ("sk-test-2\n", "")
    );
}

#[test]
fn another_account_in_the_same_directory_is_announced_once() {
    let home = Home::with_claude("sk-test-1", 8);
    account_in(&home, ".claude.json", "u-1");
    home.run(&["sync"]).ok();
    account_in(&home, ".claude.json", "u-2");
    home.claude_login("sk-test-2", 9);
    let sync = home.run(&["sync"]);
    assert!(
        sync.stderr.contains("is another account's login now"),
        "{sync:?}"
    );
    let event = home.newest("profile.updated").unwrap();
    assert_eq!(event["detail"]["by"], "other-account", "{event}");
    assert!(!home.run(&["history"]).ok().contains("(refresh)"));
    let first = home.run(&TOKEN);
    assert_eq!(first.stdout, "sk-test-2\n");
    assert!(
        first.stderr.contains("is another account's login now"),
        "{first:?}"
    );
    assert_eq!(home.run(&TOKEN).stderr, "", "it warns once");
    home.assert_sound();
}

/// Later versions of Claude Code name the account beside the tokens, and write the file twice.
#[test]
fn an_account_that_the_credentials_file_names_counts() {
    let home = Home::new();
    let login = |token: &str, account: Option<&str>, hours: i64| {
        let mut login = json!({"accessToken": token, "expiresAt": now_ms() + hours * HOUR});
        if let Some(account) = account {
            login["accountUuid"] = json!(account);
            login["organizationUuid"] = json!("organization");
        }
        home.write(CLAUDE, json!({"claudeAiOauth": login}).to_string());
    };
    login("sk-test-1", None, 8);
    home.run(&["sync"]).ok();
    login("sk-test-1", Some("one"), 8);
    let named = home.run(&["sync"]);
    assert!(!named.stderr.contains("another"), "{named:?}");
    login("sk-test-2", Some("one"), 9);
    let refreshed = home.run(&["sync"]);
    assert!(!refreshed.stderr.contains("another"), "{refreshed:?}");
    login("sk-test-3", Some("two"), 10);
    let changed = home.run(&["sync"]);
    let words = "is another account's login now";
    assert!(changed.stderr.contains(words), "{changed:?}");
    let event = home.newest("profile.updated").unwrap();
    assert_eq!(event["detail"]["by"], "other-account", "{event}");
    // A token is handed out with one warning; doctor reports it until it is kept, also after a
    // refresh.
    assert!(home.run(&TOKEN).stderr.contains(words));
    assert_eq!(home.run(&TOKEN).stderr, "");
    login("sk-test-4", Some("two"), 11);
    assert_eq!(home.run(&TOKEN).stdout, "sk-test-4\n");
    assert!(found(&home, "source.other-account").contains("two profiles"));
    home.run(&KEEP).ok();
    assert!(
        !findings(&home)
            .iter()
            .any(|(id, _)| id == "source.other-account")
    );
}

#[test]
fn an_account_that_is_noted_after_the_login_is_noticed() {
    let home = Home::with_claude("sk-test-1", 8);
    account_in(&home, ".claude.json", "u-1");
    home.run(&["sync"]).ok();
    home.claude_login("sk-test-2", 9);
    assert_eq!(
        home.run(&["sync"]).stderr,
        "",
        "a refresh, as far as is known"
    );
    account_in(&home, ".claude.json", "u-2");
    let sync = home.run(&["sync"]);
    assert!(
        sync.stderr.contains("is another account's login now"),
        "{sync:?}"
    );
    assert!(found(&home, "source.other-account").contains("two profiles"));
    home.run(&KEEP).ok();
    assert_eq!(home.run(&["sync"]).stderr, "");
    let event = home.newest("profile.updated").unwrap();
    assert_eq!(event["detail"]["by"], "other-account", "{event}");
    home.assert_sound();
}

#[test]
fn a_newer_login_that_expires_earlier_can_be_adopted_or_refused() {
    let home = Home::with_claude("sk-test-a-year", 365 * 24);
    home.run(&["sync"]).ok();
    home.claude_login("sk-test-new", 8);
    let token = home.run(&TOKEN);
    assert_eq!(token.stdout, "sk-test-a-year\n");
    assert!(token.stderr.contains("expires earlier"), "{token:?}");
    assert!(
        token.stderr.contains("clawkeep models auth adopt"),
        "{token:?}"
    );
    assert!(found(&home, "source.earlier").contains("models auth adopt"));
    home.run(&ADOPT).ok();
    let token = home.run(&TOKEN);
    assert_eq!(
        (token.stdout.as_str(), token.stderr.as_str()),
        ("sk-test-new\n", "")
    );

    // Removing the stored one does the same, and costs nothing.
    let home = Home::with_claude("sk-test-a-year", 365 * 24);
    home.run(&["sync"]).ok();
    home.claude_login("sk-test-new", 8);
    home.run(&["models", "auth", "remove", ID, "--yes"]).ok();
    assert_eq!(home.run(&TOKEN).ok(), "sk-test-new\n");
}

#[test]
fn the_day_of_the_next_login_is_shown() {
    let home = Home::new();
    let login = json!({"claudeAiOauth": {
        "accessToken": "sk-test-1", "refreshToken": "sk-test-never-read",
        "expiresAt": now_ms() + 100 * HOUR, "refreshTokenExpiresAt": now_ms() + 2 * HOUR,
    }});
    home.write(CLAUDE, login.to_string());
    home.run(&["sync"]).ok();
    let status = home.run(&CHECK).exits(2);
    assert!(
        status.stdout.contains("(login expires in 2h)"),
        "{status:?}"
    );
    let list = home.run(&["models", "auth", "list"]).ok();
    assert!(list.contains("login expires in 2h"), "{list}");
    assert!(found(&home, "source.login-expiring").contains("login expires in 2h"));
    let files = home.files_with("sk-test-never-read");
    assert_eq!(files, [CLAUDE], "the refresh token is not read");
}

#[cfg(unix)]
#[test]
fn what_is_no_readable_file_is_named_with_its_remedy() {
    let home = Home::new();
    fs::create_dir_all(home.at(CLAUDE)).unwrap();
    let sync = home.run(&["sync"]);
    assert!(sync.stderr.contains("is a directory"), "{sync:?}");
    let words = found(&home, "source.damaged");
    assert!(
        words.contains("rmdir") && !words.contains("chmod 600"),
        "{words}"
    );
    fs::remove_dir(home.at(CLAUDE)).unwrap();

    home.claude_login("sk-test-1", 8);
    let readable_by_all = fs::Permissions::from_mode(0o666);
    fs::set_permissions(home.at(CLAUDE), readable_by_all).unwrap();
    let words = found(&home, "source.damaged");
    assert!(words.contains("chmod"), "{words}");
}

#[test]
fn an_expiry_that_says_nothing_is_named() {
    for (expiry, words) in [
        ("0", "is 0"),
        ("null", "is missing"),
        ("-5", "is below 0"),
        ("\"1900000000000\"", "is not a number"),
        ("1900000000", "is in seconds"),
        ("9000000000000000", "is decades ahead"),
    ] {
        let home = Home::new();
        let login = format!(
            r#"{{"claudeAiOauth": {{"accessToken": "sk-test-1", "expiresAt": {expiry}}}}}"#
        );
        home.write(CLAUDE, login);
        let sync = home.run(&["sync"]);
        assert!(sync.stderr.contains(words), "{expiry}: {sync:?}");
        assert!(found(&home, "source.unusable").contains(words), "{expiry}");
    }
}

#[test]
fn an_expiry_in_a_store_that_says_nothing_is_named() {
    let home = Home::new();
    let token = |expires: Value| {
        json!({"type": "token", "provider": "p", "token": "t",
        "expires": expires})
    };
    let store = json!({"version": 1, "profiles": {
        "p:seconds": token(json!(1_900_000_000)), "p:text": token(json!("2020-01-01T00:00:00Z")),
        "p:far": token(json!(9_000_000_000_000_000_u64)),
        "p:good": token(json!(now_ms() + 900 * HOUR)),
        "github-copilot:a": {"type": "oauth", "provider": "github-copilot", "access": "a",
        "refresh": "a", "expires": 0},
    }});
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    let odd: Vec<String> = findings(&home)
        .into_iter()
        .filter(|(id, _)| id == "credential.expiry")
        .map(|(_, words)| words)
        .collect();
    assert_eq!(odd.len(), 3, "{odd:?}");
    for words in [
        "p:seconds is in seconds",
        "p:text is not a number",
        "p:far is decades ahead",
    ] {
        assert!(
            odd.iter().any(|found| found.contains(words)),
            "{words}: {odd:?}"
        );
    }
    let list = home.run(&["models", "auth", "list"]).ok();
    let line = list
        .lines()
        .find(|line| line.starts_with("p:text"))
        .unwrap();
    assert!(
        line.contains("unknown") && !line.contains("static"),
        "{line}"
    );
}

#[test]
fn a_codex_login_that_is_elsewhere_is_named() {
    let auth = ".codex/auth.json";
    let keyring = "cli_auth_credentials_store = \"keyring\"\n";
    let tokens = json!({"tokens": {"access_token": "a", "refresh_token": "", "account_id": "x"}});
    for (file, config, id, words) in [
        (
            Some(json!({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-test"})),
            "",
            "source.no-login",
            "API key",
        ),
        (Some(tokens), "", "source.unusable", "no refresh token"),
        (None, keyring, "source.no-login", "keyring"),
        // A file from before is not Codex's login any more.
        (
            Some(json!({"tokens": {"access_token": "a", "refresh_token": "r"}})),
            keyring,
            "source.no-login",
            "keyring",
        ),
    ] {
        let home = Home::new();
        if let Some(file) = file {
            home.write(auth, file.to_string());
        }
        home.write(".codex/config.toml", config);
        let sync = home.run(&["sync"]);
        assert!(sync.stderr.contains(words), "{sync:?}");
        assert!(found(&home, id).contains(words), "{words}");
        let list = home.run(&["models", "auth", "list"]);
        assert!(list.stdout.contains("No profiles."), "{list:?}");
        assert_eq!(home.run(&DOCTOR).status, 0, "nothing is broken");
    }
}

#[test]
fn a_codex_login_of_another_account_is_announced() {
    let home = Home::new();
    let login = |access: &str, account: &str| {
        let login = json!({"tokens": {"access_token": access, "refresh_token": access,
            "account_id": account}});
        home.write(".codex/auth.json", login.to_string());
    };
    login("one", "acc-1");
    home.run(&["sync"]).ok();
    // the expiry is made from the file's time
    std::thread::sleep(std::time::Duration::from_millis(5));
    login("two", "acc-1");
    assert_eq!(home.run(&["sync"]).stderr, "");
    std::thread::sleep(std::time::Duration::from_millis(5));
    login("three", "acc-2");
    let sync = home.run(&["sync"]);
    assert!(
        sync.stderr.contains("is another account's login now"),
        "{sync:?}"
    );
}

#[test]
fn watch_follows_a_logout_and_the_next_login() {
    let home = Home::with_claude("sk-test-claude-1", 240);
    let watch = Watch::start(&home, &[]);
    fs::remove_file(home.at(CLAUDE)).unwrap();
    watch.says("Claude Code is logged out");
    home.claude_login("sk-test-claude-2", 300);
    watch.says("Claude Code is logged in again");
    watch.until("the new token", || {
        home.exported_token(ID).as_deref() == Some("sk-test-claude-2")
    });
    watch.end();
    home.assert_sound();
}

#[cfg(unix)]
#[test]
fn a_logout_and_the_day_of_the_next_login_are_alerts() {
    let home = Home::new();
    let login = |days: i64| {
        let login = json!({"claudeAiOauth": {
            "accessToken": "sk-test-1", "expiresAt": now_ms() + 240 * HOUR,
            "refreshTokenExpiresAt": now_ms() + days * 24 * HOUR,
        }});
        home.write(CLAUDE, login.to_string());
    };
    home.write("tell", "#!/bin/sh\ncat >> \"$HOME/told\"\n");
    fs::set_permissions(home.at("tell"), fs::Permissions::from_mode(0o700)).unwrap();
    let target = format!("command:{}", home.at("tell").display());
    let once = || {
        home.run(&["watch", "--once", "--notify", &target]);
        fs::read_to_string(home.at("told")).unwrap_or_default()
    };
    login(5);
    let told = once();
    assert!(told.contains("login expires in 5 days"), "{told}");
    fs::remove_file(home.at(CLAUDE)).unwrap();
    let told = once();
    assert!(told.contains("logged-out"), "{told}");
    assert!(told.contains("claude auth login"), "{told}");
}

/// Whoever asks for silence has seen no warning.
#[cfg(unix)] // told by a shell script
#[test]
fn a_change_of_account_is_not_lost_in_a_quiet_command() {
    let home = Home::with_claude("sk-test-1", 240);
    account_in(&home, ".claude.json", "u-1");
    home.run(&["sync"]).ok();
    account_in(&home, ".claude.json", "u-2");
    home.claude_login("sk-test-2", 250);
    let quiet = |args: &[&str]| {
        let run = home.run(args);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{args:?}");
    };
    quiet(&["-q", "token", "--provider", "anthropic"]);
    quiet(&["-q", "exec", "--provider", "anthropic", "--", "true"]);
    let told = alerts(&home);
    assert!(told.contains("account-changed"), "{told}");
    let words = "is another account's login now";
    assert!(home.run(&TOKEN).stderr.contains(words));
    assert_eq!(home.run(&TOKEN).stderr, "", "it warns once");
    assert!(found(&home, "source.other-account").contains(words));
    let status = home.run(&["models", "status"]).ok();
    assert!(status.contains("(another account's login now)"), "{status}");
    home.run(&KEEP).ok();
    let status = home.run(&["models", "status"]).ok();
    assert!(!status.contains("another account"), "{status}");
}

/// What one pass of `watch` sends.
#[cfg(unix)]
fn alerts(home: &Home) -> String {
    home.write("tell", "#!/bin/sh\ncat >> \"$HOME/told\"\n");
    fs::set_permissions(home.at("tell"), fs::Permissions::from_mode(0o700)).unwrap();
    let target = format!("command:{}", home.at("tell").display());
    home.run(&["watch", "--once", "--notify", &target]);
    fs::read_to_string(home.at("told")).unwrap_or_default()
}

#[test]
fn a_login_after_a_logout_wins_also_where_it_expires_earlier() {
    let home = Home::with_claude("sk-test-old", 48);
    home.run(&["sync"]).ok();
    fs::remove_file(home.at(CLAUDE)).unwrap();
    home.run(&CHECK).exits(1);
    home.claude_login("sk-test-new", 8);
    let token = home.run(&TOKEN);
    let shown = (token.stdout.as_str(), token.stderr.as_str());
    assert_eq!(shown, ("sk-test-new\n", ""));
    let event = home.newest("sync.applied").unwrap();
    assert_eq!(event["detail"]["why"], "logged-in-again", "{event}");

    // The login of another account is announced as such.
    account_in(&home, ".claude.json", "u-1");
    home.run(&["sync"]).ok();
    fs::remove_file(home.at(CLAUDE)).unwrap();
    home.run(&["sync"]).ok();
    account_in(&home, ".claude.json", "u-2");
    home.claude_login("sk-test-other", 7);
    let token = home.run(&TOKEN);
    assert_eq!(token.stdout, "sk-test-other\n");
    let words = "is another account's login now";
    assert!(token.stderr.contains(words), "{token:?}");
    home.assert_sound();
}

fn login_until(home: &Home, token_ms: i64, login_ms: Option<i64>) {
    let mut login = json!({"accessToken": "sk-test-1", "expiresAt": now_ms() + token_ms});
    if let Some(ms) = login_ms {
        login["refreshTokenExpiresAt"] = json!(now_ms() + ms);
    }
    home.write(CLAUDE, json!({"claudeAiOauth": login}).to_string());
}

#[test]
fn a_token_that_claude_code_refreshes_is_no_finding_before_it_expires() {
    for (login, status) in [(Some(720 * HOUR), 0), (None, 2)] {
        let home = Home::new();
        login_until(&home, 8 * HOUR, login);
        home.run(&["sync"]).ok();
        home.run(&CHECK).exits(status);
        let all = findings(&home);
        let is_of_token = |id: &str| id.starts_with("credential.");
        assert!(!all.iter().any(|(id, _)| is_of_token(id)), "{all:?}");
    }
    // One that came in as a long-lived one is not refreshed.
    let home = Home::new();
    login_until(&home, 20 * HOUR, Some(2 * HOUR));
    home.run(&CHECK).exits(2);
    assert!(found(&home, "source.login-expiring").contains("login expires in 2h"));
}

#[cfg(unix)]
#[test]
fn an_expired_token_of_a_good_login_has_one_remedy() {
    let home = Home::new();
    login_until(&home, -HOUR, Some(720 * HOUR));
    home.run(&["sync"]).ok();
    let status = home.run(&CHECK).exits(1);
    assert!(status.stdout.contains("expired 1h ago"), "{status:?}");
    assert!(!status.stdout.contains("expires in 0m"), "{status:?}");
    let remedy = "Start `claude` once on this host";
    let words = found(&home, "credential.overdue");
    assert!(words.contains(remedy), "{words}");
    let token = home.run(&TOKEN);
    assert!(token.stderr.contains(remedy), "{token:?}");
    for (id, words) in findings(&home) {
        assert!(!words.contains("setup-token"), "{id}: {words}");
    }
    let mut clawdbot = std::process::Command::new("bash");
    clawdbot
        .args(["-c", "exec -a clawdbot \"$0\" models status"])
        .arg(env!("CARGO_BIN_EXE_clawkeep"))
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin");
    let reference: Run = clawdbot.output().unwrap().into();
    assert!(
        reference.stdout.contains("expired expires in 0m"),
        "{reference:?}"
    );
}

#[test]
fn both_accounts_are_candidates_after_what_doctor_says() {
    let home = Home::with_claude("sk-test-1", 240);
    login_in(&home, WORK, "sk-test-work", 250);
    account_in(&home, ".claude.json", "u-1");
    account_in(&home, &format!("{WORK}/.claude.json"), "u-2");
    home.run(&["sync"]).ok();
    in_dir(&home, WORK, &["sync"]).ok();
    let words = found(&home, "source.other-account");
    let order = "clawkeep models auth order set --provider anthropic anthropic:claude-cli \
                 anthropic:second";
    assert!(words.contains(order), "{words}");
    let paste = ["models", "auth", "paste-token", "--provider", "anthropic"];
    let paste = [&paste[..], &["--profile-id", "anthropic:second"]].concat();
    home.run_with_input(&paste, "sk-ant-oat01-test-0123456789\n")
        .ok();
    let order: Vec<&str> = order.split_whitespace().skip(1).collect();
    home.run(&order).ok();
    let list = ["models", "auth", "candidates", "--provider", "anthropic"];
    let candidates = home.run(&list).ok();
    for id in [ID, "anthropic:second"] {
        assert!(candidates.contains(id), "{candidates}");
    }
    assert_eq!(home.run(&TOKEN).stdout, "sk-test-1\n");
}

#[test]
#[cfg(not(target_os = "macos"))]
fn a_directory_that_was_removed_is_forgotten() {
    let home = Home::with_claude("sk-test-1", 240);
    login_in(&home, WORK, "sk-test-work", 250);
    home.run(&["sync"]).ok();
    in_dir(&home, WORK, &["sync"]).ok();
    assert!(found(&home, "source.other-account").contains(WORK));
    fs::remove_dir_all(home.at(WORK)).unwrap();
    assert!(home.run(&["sync"]).ok().contains("up to date"));
    let all = findings(&home);
    assert!(
        !all.iter().any(|(id, _)| id == "source.other-account"),
        "{all:?}"
    );
    // It is forgotten, not hidden.
    fs::create_dir(home.at(WORK)).unwrap();
    home.write(&format!("{WORK}/.credentials.json"), "{}");
    assert!(home.run(&["sync"]).ok().contains("up to date"));
}

#[test]
fn a_key_of_codex_is_imported_with_the_command_that_is_named() {
    let home = Home::new();
    let auth = ".codex/auth.json";
    home.write(
        auth,
        r#"{"auth_mode": "apikey", "OPENAI_API_KEY": "sk-test-key"}"#,
    );
    let sync = home.run(&["sync"]);
    let shown = match cfg!(windows) {
        true => format!("~/{auth}"),
        false => home.at(auth).display().to_string(),
    };
    let remedy = format!("clawkeep import {shown}");
    assert!(sync.stderr.contains(&remedy), "{sync:?}");
    // Another key of the provider: only doctor notes it.
    let paste = ["models", "auth", "paste-api-key", "--provider", "openai"];
    home.run_with_input(&paste, "sk-test-other-0123456789abcdef\n")
        .ok();
    assert_eq!(home.run(&["sync"]).stderr, "");
    let advice = home.with_tilde(found(&home, "source.no-login"));
    assert!(advice.contains(&remedy), "{advice}");
    home.run(&["import", home.at(auth).to_str().unwrap()]).ok();
    assert_eq!(home.run(&["sync"]).stderr, "");
    let all = findings(&home);
    assert!(
        !all.iter().any(|(id, _)| id == "source.no-login"),
        "{all:?}"
    );
}

#[test]
fn an_expiry_that_cannot_be_relied_on_is_unknown_and_replaces_nothing() {
    for expiry in ["1900000000", "1.5e99"] {
        let home = Home::with_claude("sk-test-good", 240);
        home.run(&["sync"]).ok();
        let login = |expiry: &str| {
            let login = r#"{"claudeAiOauth": {"accessToken": "sk-test-odd", "expiresAt": "#;
            format!("{login}{expiry}}}}}")
        };
        home.write(CLAUDE, login(expiry));
        let token = home.run(&TOKEN);
        assert_eq!(token.stdout, "sk-test-good\n", "{expiry}: {token:?}");
        assert!(token.stderr.contains("cannot be relied on"), "{token:?}");

        let home = Home::new();
        home.write(CLAUDE, login(expiry));
        let status = home.run(&CHECK);
        assert_ne!(status.status, 0, "{expiry}: {status:?}");
        let shown = "unknown expires unknown";
        assert!(status.stdout.contains(shown), "{expiry}: {status:?}");
        let list = home.run(&["models", "auth", "list"]).ok();
        let line = list.lines().find(|line| line.starts_with(ID)).unwrap();
        assert!(line.contains("unknown"), "{line}");
    }
}

#[test]
fn why_there_is_no_login_is_reported() {
    let home = Home::new();
    home.write(CLAUDE, "{}");
    assert!(!home.run(&["sync"]).stderr.contains("not logged in"));
    let words = "Claude Code is not logged in";
    assert!(home.run(&["-v", "sync"]).stderr.contains(words));
    assert!(found(&home, "source.no-login").contains("claude auth login"));
    let paste = ["models", "auth", "paste-api-key", "--provider", "anthropic"];
    home.run_with_input(&paste, "sk-ant-api03-test-0123456789abcdef\n")
        .ok();
    let all = findings(&home);
    assert!(
        !all.iter().any(|(id, _)| id == "source.no-login"),
        "{all:?}"
    );
}

#[test]
fn a_login_that_was_expired_when_it_was_written_has_a_readable_remedy() {
    let home = Home::new();
    login_until(&home, -3 * HOUR, None);
    let words = found(&home, "clock.login");
    assert!(
        words.contains("timedatectl. If it is right: start `claude` once"),
        "{words}"
    );
}
