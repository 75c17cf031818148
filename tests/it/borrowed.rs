//! Logins that are imported from a file which another program keeps using: shown with their owner,
//! read again at every load, never refreshed here.

use serde_json::{Value, json};

use crate::refresh::SETTINGS;
use crate::support::home::{HOUR, Home, STORE, now_ms};
use crate::support::provider::Provider;
#[cfg(unix)]
use crate::support::terminal::Terminal;
use crate::support::watch::Watch;

const OPENCODE: &str = ".local/share/opencode/auth.json";
const ACCESS: &str = "sk-test-access-of-opencode-0123456789";
const REFRESH: &str = "sk-test-refresh-of-opencode";

fn login(access: &str, refresh: &str, hours: i64) -> Value {
    json!({"type": "oauth", "access": access, "refresh": refresh,
        "expires": now_ms() + hours * HOUR})
}

/// A home in which opencode has a login of the provider `test`, which can be refreshed here, and
/// other forms of credentials.
fn home() -> (Home, Provider) {
    let (home, provider) = (Home::new(), Provider::start());
    home.write(SETTINGS, provider.setting("test"));
    opencode(&home, &login(ACCESS, REFRESH, 3));
    (home, provider)
}

fn opencode(home: &Home, login: &Value) {
    let copilot = "gho_test0123456789abcdef0123456789";
    home.write(
        OPENCODE,
        json!({
            "test": login,
            "github-copilot": {"type": "oauth", "access": copilot, "refresh": copilot,
            "expires": 0},
            "openai": {"type": "api", "key": "sk-test-openai-0123456789abcdef"},
            "xai": {"type": "oauth", "access": "", "refresh": "", "expires": 0},
        })
        .to_string(),
    );
}

/// Runs a command that fails, and says why.
#[track_caller]
fn fails(home: &Home, args: &[&str], status: i32, words: &[&str]) {
    let run = home.run(args).exits(status);
    for word in words {
        assert!(run.stderr.contains(word), "{word}: {run:?}");
    }
    assert_eq!(run.stdout, "");
}

#[test]
fn opencodes_logins_are_borrowed_and_stay_its_own() {
    let (home, provider) = home();
    let run = home.run(&["import", OPENCODE]).exits(0);
    assert_eq!(
        run.stdout,
        "main: ~/.local/share/opencode/auth.json (auth.json): added test:default, \
         github-copilot:default, openai:default\n"
    );
    for said in [
        "borrowed from opencode, which refreshes it",
        "pass --own",
        "the entry xai has blank tokens: its program is logged out",
    ] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    // Its refresh token is nowhere but in its file: no gateway can use it up either.
    assert_eq!(home.files_with(REFRESH), [OPENCODE]);
    assert_eq!(
        home.json(STORE)["profiles"]["test:default"]["type"],
        "token"
    );
    let list = home.run(&["models", "auth", "list"]).ok();
    assert!(list.contains("expiring, borrowed from opencode"), "{list}");
    let list = home.run(&["models", "auth", "list", "--json"]).json();
    let first = &list["profiles"][0];
    assert_eq!(
        (&first["source"], &first["borrowedFrom"]),
        (&json!("opencode"), &json!(home.at(OPENCODE)))
    );
    let status = home.run(&["models", "status"]).ok();
    assert!(
        status.contains("test:default (borrowed from opencode)"),
        "{status}"
    );
    let doctor = home.run(&["doctor", "--non-interactive"]).ok();
    assert!(
        doctor.contains(
            "test:default is borrowed from opencode \
            (~/.local/share/opencode/auth.json), expires in 3h; clawkeep never refreshes it"
        ),
        "{doctor}"
    );
    let token = |provider| home.run(&["token", "--provider", provider]).ok();
    assert_eq!(token("test").trim(), ACCESS);
    assert_eq!(
        token("github-copilot").trim(),
        "gho_test0123456789abcdef0123456789"
    );
    assert_eq!(token("openai").trim(), "sk-test-openai-0123456789abcdef");
    // What is borrowed is not replaced by a paste, and not refreshed.
    fails(
        &home,
        &[
            "models",
            "auth",
            "paste-token",
            "--provider",
            "test",
            "--profile-id",
            "test:default",
        ],
        1,
        &["mirrors another program's login (opencode)", "--profile-id"],
    );
    fails(
        &home,
        &["refresh", "test:default"],
        1,
        &["test:default is opencode's, which refreshes it itself"],
    );
    assert_eq!(provider.count(), 0);
    home.assert_sound();
}

#[test]
fn a_newer_token_of_its_owner_arrives_with_the_next_load() {
    let (home, provider) = home();
    home.run(&["import", OPENCODE]).ok();
    opencode(
        &home,
        &login("sk-test-access-newer-0123", "sk-test-refresh-newer", 5),
    );
    let token = || home.run(&["token", "--provider", "test"]);
    assert_eq!(token().ok().trim(), "sk-test-access-newer-0123");
    assert_eq!(home.files_with("sk-test-refresh-newer"), [OPENCODE]);
    let applied = home.newest("sync.applied").unwrap();
    assert_eq!(
        (&applied["origin"], &applied["detail"]["why"]),
        (&json!("import"), &json!("borrowed"))
    );
    let events = home.events().len();
    home.run(&["sync"]).ok();
    assert_eq!(home.events().len(), events, "nothing is new");
    // Expired, and its owner has not refreshed it: not refreshed here, and said whose it is.
    opencode(&home, &login("sk-test-access-expired-01", REFRESH, -1));
    home.run(&["sync"]).ok();
    assert_eq!(
        token().ok().trim(),
        "sk-test-access-newer-0123",
        "still good"
    );
    assert_eq!(provider.count(), 0);
}

#[test]
fn an_expired_one_names_its_owner() {
    let (home, provider) = home();
    opencode(&home, &login(ACCESS, REFRESH, -1));
    home.run(&["import", OPENCODE]).ok();
    fails(
        &home,
        &["token", "--provider", "test"],
        1,
        &[
            "test:default has expired",
            "Start opencode, which refreshes it",
        ],
    );
    let doctor = home.run(&["doctor", "--non-interactive"]).ok();
    assert!(
        doctor.contains("credential.overdue: test:default is borrowed from opencode"),
        "{doctor}"
    );
    // Nor does a copy of it under another id redeem the token.
    let entry = json!({"type": "oauth", "provider": "test", "access": "sk-test-copy",
        "refresh": REFRESH, "expires": 5});
    let mut store = home.json(STORE);
    store["profiles"]["test:copy"] = entry;
    home.write(STORE, store.to_string());
    fails(
        &home,
        &["refresh", "test:copy"],
        1,
        &["test:copy is opencode's"],
    );
    assert_eq!(provider.count(), 0);
}

#[test]
fn what_becomes_of_the_owners_file_is_reported() {
    for (text, said) in [
        (None, "is not there any more"),
        (
            Some("{\"test\": {\"type\""),
            "cannot be used: it is cut short",
        ),
        (
            Some("{\"groq\": {\"type\": \"api\", \"key\": \"k\"}}"),
            "holds no login for it any more",
        ),
        (
            Some(
                "{\"test\": \
                 {\"type\": \"oauth\", \"access\": \"\", \"refresh\": \"\", \"expires\": 0}}",
            ),
            "holds no login",
        ),
        (Some("[]"), "no file that credentials come in"),
    ] {
        let (home, _provider) = home();
        home.run(&["import", OPENCODE]).ok();
        match text {
            Some(text) => home.write(OPENCODE, text),
            None => std::fs::remove_file(home.at(OPENCODE)).unwrap(),
        }
        let run = home.run(&["token", "--provider", "test"]).exits(0);
        assert_eq!(run.stdout.trim(), ACCESS);
        assert!(
            run.stderr
                .contains("Warning: test:default is borrowed from opencode")
                && run.stderr.contains(said),
            "{said}: {}",
            run.stderr
        );
        let doctor = home.run(&["doctor", "--non-interactive"]).ok();
        assert!(doctor.contains("source.damaged: test:default"), "{doctor}");
        // Removed, it does not come back, and nothing is said any more.
        home.run(&["models", "auth", "remove", "test:default", "--yes"])
            .ok();
        let run = home.run(&["sync"]);
        assert!(!run.stderr.contains("test:default"), "{run:?}");
    }
}

#[test]
fn another_account_does_not_arrive_by_itself() {
    let (home, _provider) = home();
    let of = |access: &str, account: &str| {
        let mut login = login(access, REFRESH, 3);
        login["accountId"] = json!(account);
        login
    };
    opencode(&home, &of(ACCESS, "a"));
    home.run(&["import", OPENCODE]).ok();
    opencode(&home, &of("sk-test-access-of-another", "b"));
    let run = home.run(&["token", "--provider", "test"]).exits(0);
    assert_eq!(run.stdout.trim(), ACCESS);
    assert!(run.stderr.contains("login of another account"), "{run:?}");
}

#[test]
fn ownership_is_asked_for_by_name() {
    let (home, provider) = home();
    let refresh = provider.grant("a");
    opencode(&home, &login(ACCESS, &refresh, -1));
    home.run(&["import", OPENCODE]).ok();
    let run = home.run(&["import", "--own", OPENCODE]).exits(0);
    for said in ["clawkeep refreshes it from now on", "logs out the program"] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    assert!(
        !home
            .run(&["models", "auth", "list"])
            .ok()
            .contains("borrowed")
    );
    let token = home.run(&["token", "--provider", "test"]).ok();
    assert_ne!(token.trim(), ACCESS);
    assert_eq!(provider.count(), 1);
    // And back.
    opencode(
        &home,
        &login("sk-test-access-later-0123", "sk-test-later", 900),
    );
    home.run(&["import", "--borrowed", OPENCODE]).ok();
    let list = home.run(&["models", "auth", "list", "--json"]).json();
    assert_eq!(list["profiles"][0]["source"], "opencode");
    home.assert_sound();
}

#[cfg(unix)]
#[test]
fn a_file_of_an_unknown_program_needs_the_programs_name() {
    let home = Home::new();
    home.run(&["init"]).ok();
    home.write(
        "auth.json",
        json!({"test": login(ACCESS, REFRESH, 3)}).to_string(),
    );
    fails(
        &home,
        &["import", "auth.json"],
        64,
        &["--own", "--borrowed", "~/auth.json"],
    );
    home.run(&["import", "auth.json", "--own", "--borrowed"])
        .exits(64);
    let mut terminal = Terminal::start(home.command(&["import", "auth.json"]));
    terminal.wait_for("1) Borrowed: another program keeps using this file");
    terminal.answer("Who refreshes them?", "2\r");
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert_eq!(
        home.json(STORE)["profiles"]["test:default"]["refresh"],
        REFRESH
    );
    home.run(&["import", "auth.json", "--borrowed"]).ok();
    let list = home.run(&["models", "auth", "list"]).ok();
    assert!(list.contains("borrowed from another program"), "{list}");
    // The gateway's own older stores are nobody else's.
    home.write(
        ".clawdbot/agents/ops/agent/auth.json",
        json!({"test": login("sk-test-of-ops", "sk-test-refresh-of-ops", 3)}).to_string(),
    );
    let run = home
        .run(&[
            "import",
            ".clawdbot/agents/ops/agent/auth.json",
            "--agent",
            "ops",
        ])
        .exits(0);
    assert!(!run.stderr.contains("borrowed"), "{run:?}");
}

#[test]
fn the_files_of_other_programs_are_known_by_path_and_form() {
    let home = Home::new();
    let expires = now_ms() + HOUR;
    home.write(
        ".gemini/oauth_creds.json",
        json!({"access_token": "sk-test-gemini", "refresh_token": "sk-test-refresh-g",
            "expiry_date": expires, "token_type": "Bearer"})
        .to_string(),
    );
    home.write(
        ".qwen/oauth_creds.json",
        json!({"access_token": "sk-test-qwen", "refresh_token": "sk-test-refresh-q",
            "expiry_date": expires, "resource_url": "portal.qwen.ai"})
        .to_string(),
    );
    home.write(
        ".pi/agent/auth.json",
        json!({"groq": {"type": "api_key", "key": "!pass show groq"},
            "anthropic": login("sk-test-pi", "sk-test-refresh-p", 1)})
        .to_string(),
    );
    home.write(
        "copy/auth.json",
        json!({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-test-codex-key-0123456789"})
            .to_string(),
    );
    home.run(&[
        "import",
        ".gemini/oauth_creds.json",
        ".qwen/oauth_creds.json",
        ".pi/agent/auth.json",
        "copy/auth.json",
    ])
    .ok();
    let list = home.run(&["models", "auth", "list", "--json"]).json();
    let all: Vec<String> = list["profiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let of = |field: &str| one[field].as_str().unwrap_or_default();
            format!(
                "{} {} {} {}",
                of("profileId"),
                of("type"),
                of("status"),
                of("source")
            )
        })
        .collect();
    assert_eq!(
        all,
        [
            "google-gemini-cli:default oauth expiring gemini-cli",
            "qwen-portal:default token expiring qwen-code",
            "groq:default api_key reference pi",
            "anthropic:default token expiring pi",
            "openai:codex-cli api_key static codex-cli",
        ]
    );
    for refresh in [
        "sk-test-refresh-g",
        "sk-test-refresh-q",
        "sk-test-refresh-p",
    ] {
        assert_eq!(home.files_with(refresh).len(), 1, "{refresh}");
    }
    let token = home.run(&["token", "--provider", "google-gemini-cli"]).ok();
    assert!(token.contains("sk-test-gemini"), "{token}");
    assert_eq!(
        home.run(&["token", "--provider", "openai"]).ok().trim(),
        "sk-test-codex-key-0123456789"
    );
    fails(
        &home,
        &["token", "--provider", "groq"],
        1,
        &["the secret of groq:default is a reference (key command pass)"],
    );
    let config = ".codex/config.toml";
    home.write(config, "cli_auth_credentials_store = \"keyring\"\n");
    fails(
        &home,
        &["import", ".codex/auth.json"],
        1,
        &["in the keyring"],
    );
    let chatgpt =
        json!({"auth_mode": "chatgpt", "tokens": {"access_token": "a", "refresh_token": ""}});
    home.write(".codex/auth.json", chatgpt.to_string());
    fails(
        &home,
        &["import", ".codex/auth.json"],
        1,
        &["its refresh token is empty"],
    );
    home.claude_login("sk-test-claude", 3);
    fails(
        &home,
        &["import", "--own", ".claude/.credentials.json"],
        1,
        &["cannot become clawkeep's", "models auth setup-token"],
    );
}

#[test]
fn a_backup_keeps_whose_a_login_is() {
    let (home, provider) = home();
    home.run(&["import", OPENCODE]).ok();
    home.run(&["backup", "create", "copy.db"]).ok();
    home.run(&["key", "rotate"]).ok();
    opencode(
        &home,
        &login("sk-test-access-newer-0123", "sk-test-refresh-newer", 5),
    );
    home.run(&["sync"]).ok();
    home.run(&["backup", "restore", "copy.db"]).ok();
    let list = home.run(&["models", "auth", "list", "--json"]).json();
    assert_eq!(list["profiles"][0]["source"], "opencode");
    assert_eq!(
        home.run(&["token", "--provider", "test"]).ok().trim(),
        "sk-test-access-newer-0123"
    );
    assert_eq!(provider.count(), 0);
    home.assert_sound();
}

#[test]
fn watch_follows_the_owners_file() {
    let (home, _provider) = home();
    home.run(&["import", OPENCODE]).ok();
    let watch = Watch::start(&home, &[]);
    opencode(
        &home,
        &login("sk-test-access-newer-0123", "sk-test-refresh-newer", 5),
    );
    watch.until("the newer token is exported", || {
        home.exported_token("test:default").as_deref() == Some("sk-test-access-newer-0123")
    });
    watch.end().ok();
}

#[test]
fn ownership_holds_for_a_login_whose_borrowed_profile_was_removed() {
    let (home, provider) = home();
    let refresh = provider.grant("a");
    opencode(&home, &login(ACCESS, &refresh, -1));
    home.run(&["import", OPENCODE]).ok();
    home.run(&["models", "auth", "remove", "test:default", "--yes"])
        .ok();
    let run = home.run(&["import", "--own", OPENCODE]).exits(0);
    assert!(
        run.stderr
            .contains("test:default: clawkeep refreshes it from now on"),
        "{run:?}"
    );
    let token = home.run(&["token", "--provider", "test"]).ok();
    assert_ne!(token.trim(), ACCESS);
    assert_eq!(provider.count(), 1);
    // A second time, the file's token is used up: nothing is taken, and nothing is said to be.
    let run = home.run(&["import", "--own", OPENCODE]).exits(0);
    assert!(!run.stderr.contains("from now on"), "{run:?}");
}

#[test]
fn what_cannot_be_used_does_not_replace_what_can() {
    const PI: &str = ".pi/agent/auth.json";
    let pi = |home: &Home, entry: &Value| home.write(PI, json!({"groq": entry}).to_string());
    let key = |key: &str| json!({"type": "api_key", "key": key});
    let good = "sk-test-groq-0123456789abcdef";
    for (bad, said) in [
        (key("!pass show groq"), "is a reference (key command pass)"),
        (
            key("GROQ_API_KEY"),
            "is the name of an environment variable",
        ),
        (key("${GROQ}"), "is a placeholder"),
        (key(""), "holds no secret"),
        (json!({"type": "api_key", "key": 12345}), "is not text"),
    ] {
        // Imported over a key of ours.
        let home = Home::new();
        home.run_with_input(
            &[
                "models",
                "auth",
                "paste-api-key",
                "--provider",
                "groq",
                "--profile-id",
                "groq:default",
            ],
            good,
        )
        .ok();
        pi(&home, &bad);
        let run = home.run(&["import", PI]).exits(0);
        assert!(
            run.stdout
                .contains("kept groq:default (what the file has cannot be used)"),
            "{run:?}"
        );
        assert!(
            run.stderr.contains(said) && run.stderr.contains("what is stored stays"),
            "{said}: {run:?}"
        );
        let token = home.run(&["token", "--provider", "groq"]).ok();
        assert_eq!(token.trim(), good);
        // Read again after a good one was borrowed.
        let home = Home::new();
        pi(&home, &key(good));
        home.run(&["import", PI]).ok();
        pi(&home, &bad);
        let run = home.run(&["token", "--provider", "groq"]).exits(0);
        assert_eq!(run.stdout.trim(), good);
        assert!(
            run.stderr.contains("borrowed from pi") && run.stderr.contains(said),
            "{said}: {run:?}"
        );
    }
}

#[test]
fn an_expiry_that_cannot_be_relied_on_does_not_replace_a_good_token() {
    let seconds = now_ms() / 1000 + 3600;
    for (expires, said) in [
        (json!(0), "its program is logged out"),
        (json!(seconds), "is in seconds"),
        (json!("2099-01-01T00:00:00Z"), "is not a number"),
        (json!(-1), "is below 0"),
    ] {
        let (home, _provider) = home();
        home.run(&["import", OPENCODE]).ok();
        let mut bad = login("sk-test-access-bad-0123", REFRESH, 3);
        bad["expires"] = expires.clone();
        opencode(&home, &bad);
        let run = home.run(&["token", "--provider", "test"]).exits(0);
        assert_eq!(run.stdout.trim(), ACCESS, "{expires}");
        assert!(run.stderr.contains(said), "{said}: {run:?}");
        // Nor does an import by name.
        home.run(&["import", OPENCODE]).ok();
        let token = home.run(&["token", "--provider", "test"]).ok();
        assert_eq!(token.trim(), ACCESS, "{expires}");
    }
}

#[test]
fn a_program_that_is_logged_out_is_reported_as_such() {
    let (home, _provider) = home();
    home.run(&["import", OPENCODE]).ok();
    home.write(OPENCODE, "{}");
    let run = home.run(&["sync"]).exits(0);
    for said in [
        "Warning: test:default is borrowed from opencode",
        "Warning: openai:default is borrowed from opencode",
        "its program is logged out",
        "Log in again with opencode",
        "clawkeep models auth remove openai:default",
    ] {
        assert!(run.stderr.contains(said), "{said}: {run:?}");
    }
    assert!(!run.stderr.contains("which refreshes it"), "{run:?}");
    fails(&home, &["import", OPENCODE], 65, &["logged out"]);
}

#[cfg(unix)]
#[test]
fn keys_are_not_said_to_be_refreshed_and_copies_are_named() {
    let (home, _provider) = home();
    let run = home.run(&["import", OPENCODE]).exits(0);
    let note = |wanted: &str| {
        let mut notes = run.stderr.lines();
        notes.find(|line| line.contains(wanted)).unwrap().to_owned()
    };
    assert!(note("test:default").contains("which refreshes it"));
    assert!(!note("openai:default").contains("refresh"), "{run:?}");
    let copy = Home::new();
    copy.write("copy.json", home.read(OPENCODE));
    let run = copy.run(&["import", "--borrowed", "copy.json"]).exits(0);
    assert!(
        run.stderr
            .contains("borrowed from ~/copy.json, a copy, which opencode does not keep up to date"),
        "{run:?}"
    );
    let list = copy.run(&["models", "auth", "list"]).ok();
    assert!(
        list.contains("/copy.json") && !list.contains("borrowed from opencode"),
        "{list}"
    );
    // By a link, it is the program's own file.
    let linked = Home::new();
    linked.write(OPENCODE, home.read(OPENCODE));
    std::os::unix::fs::symlink(linked.at(OPENCODE), linked.at("link.json")).unwrap();
    let run = linked.run(&["import", "link.json"]).exits(0);
    assert!(run.stderr.contains("borrowed from opencode"), "{run:?}");
}
