//! The commands that bring credentials in, show them, say what came of them, and take them out.

use std::fs;

use serde_json::{Value, json};

use crate::support::damage::refuses;
use crate::support::home::{HOUR, Home, Run, STORE, now_ms, start_with_input};

const CONFIG: &str = ".clawdbot/clawdbot.json";
const TOKEN: &str = "sk-test-pasted-token-0123456789";
const KEY: &str = "sk-test-pasted-key-0123456789";

fn paste_token(home: &Home, more: &[&str]) -> Run {
    let args = ["models", "auth", "paste-token", "--provider", "anthropic"];
    home.run_with_input(&[&args, more].concat(), &format!(" {TOKEN}\n"))
}

fn paste_key(home: &Home, provider: &str) -> Run {
    let args = ["models", "auth", "paste-api-key", "--provider", provider];
    home.run_with_input(&args, KEY)
}

#[test]
fn a_pasted_token_is_stored_recorded_exported_and_in_the_configuration() {
    let home = Home::new();
    let before = now_ms();
    let run = paste_token(&home, &["--expires-in", "1.5h"]).exits(0);
    assert_eq!(
        run.stdout,
        "Updated ~/.clawdbot/clawdbot.json\nAuth profile: anthropic:manual (anthropic/token)\n"
    );
    let entry = home.json(STORE)["profiles"]["anthropic:manual"].clone();
    let expires = entry["expires"].as_i64().unwrap();
    let lasts = expires - before;
    assert!(
        (HOUR * 3 / 2..HOUR * 3 / 2 + 60_000).contains(&lasts),
        "{lasts}"
    );
    assert_eq!(
        entry.to_string(),
        json!({"type": "token", "provider": "anthropic", "token": TOKEN, "expires": expires})
            .to_string()
    );
    assert_eq!(
        home.json(CONFIG),
        json!({"auth": {"profiles": {"anthropic:manual": {"provider": "anthropic",
            "mode": "token"}}}})
    );
    let created = home.newest("profile.created").unwrap();
    assert_eq!(created["detail"], json!({"by": "paste-token"}));
    assert_eq!(created["expires"]["after"], expires);
    // Nothing secret anywhere but in the store.
    assert_eq!(home.files_with(TOKEN), [STORE]);
    home.assert_sound();
}

#[test]
fn an_api_key_goes_under_the_id_that_is_named_and_first_in_an_order_that_is_there() {
    let home = Home::new();
    home.write(
        CONFIG,
        "// ours\n{ auth: { order: { openai: ['openai:a'], }, }, }\n",
    );
    let args = [
        "models",
        "auth",
        "paste-api-key",
        "--provider",
        " OpenAI ",
        "--profile-id",
        "openai:work",
    ];
    let run = home.run_with_input(&args, KEY).exits(0);
    assert!(
        run.stdout
            .ends_with("Auth profile: openai:work (openai/api_key)\n"),
        "{run:?}"
    );
    assert_eq!(
        home.json(STORE)["profiles"]["openai:work"],
        json!({"type": "api_key", "provider": "openai", "key": KEY})
    );
    let config = home.read(CONFIG);
    assert!(config.starts_with("// ours\n"), "{config}");
    let said: Value = json5::from_str(&config).unwrap();
    assert_eq!(
        said["auth"]["order"]["openai"],
        json!(["openai:work", "openai:a"])
    );
    // Once more: nothing to say in the configuration, and no other credential.
    let events = home.events().len();
    let again = home.run_with_input(&args, KEY).exits(0);
    assert_eq!(again.stdout, "Auth profile: openai:work (openai/api_key)\n");
    assert_eq!(home.events().len(), events);
    assert_eq!(home.read(CONFIG), config);
}

#[test]
fn what_is_no_secret_is_refused_and_not_repeated() {
    let home = Home::new();
    home.run(&["init"]).ok();
    let args = ["models", "auth", "paste-token", "--provider", "anthropic"];
    for (input, word) in [
        ("", "no secret was given"),
        (" \n\t\n", "no secret was given"),
        ("sk-test-a sk-test-b", "blank"),
        ("OPENAI_API_KEY=sk-test-a", "variable's name"),
        ("'sk-test-a'", "quotes"),
        ("sk-test-a\nsk-test-b\n", "line break"),
        ("sk-test-\u{7}", "invisible character"),
        (&"x".repeat(70_000), "65536 bytes"),
    ] {
        let run = home.run_with_input(&args, input).exits(64);
        assert!(run.stderr.contains(word), "{input:.20}: {}", run.stderr);
        assert!(!run.stderr.contains("sk-test-"), "{}", run.stderr);
    }
    for bad in [
        &["--expires-in", "1w"][..],
        &["--expires-in", "0"],
        &["--profile-id", " "],
        &["--profile-id", "sk-test-typed-in-the-wrong-place"],
        &["--profile-id", "a\nb"],
        &["--expires-in", "-5d"],
        &["--agent"],
        &["--token", "sk-test-on-the-command-line"],
    ] {
        let run = paste_token(&home, bad).exits(64);
        assert!(!run.stdout.contains("Auth profile"), "{run:?}");
    }
    let empty = ["models", "auth", "paste-token", "--provider", " "];
    home.run_with_input(&empty, TOKEN).exits(64);
    assert!(!home.at(STORE).exists());
    assert!(!home.at(CONFIG).exists());
}

#[test]
fn a_mirrored_login_is_not_pasted_into() {
    let home = Home::with_claude("sk-test-claude", 100);
    home.run(&["models", "status"]).ok();
    let run = paste_token(&home, &["--profile-id", "anthropic:claude-cli"]).exits(1);
    assert!(run.stderr.contains("claude setup-token"), "{}", run.stderr);
    assert_eq!(
        home.exported_token("anthropic:claude-cli").as_deref(),
        Some("sk-test-claude")
    );
}

#[test]
fn a_configuration_that_cannot_be_changed_keeps_no_credential_out() {
    let home = Home::new();
    home.write(CONFIG, "{ auth: 'mine' }");
    let run = paste_token(&home, &[]).exits(65);
    assert!(run.stderr.contains("auth.profiles"), "{}", run.stderr);
    assert!(!run.stderr.contains(TOKEN));
    assert_eq!(
        home.exported_token("anthropic:manual").as_deref(),
        Some(TOKEN)
    );
    assert_eq!(home.read(CONFIG), "{ auth: 'mine' }");
    assert!(
        run.stderr.contains("anthropic:manual is stored, but"),
        "{}",
        run.stderr
    );
    // One that cannot be read at all is known before a secret is taken.
    home.write(CONFIG, "{");
    paste_key(&home, "openai").exits(65);
    assert!(home.json(STORE)["profiles"].get("openai:manual").is_none());
}

#[test]
fn a_list_shows_everything_but_secrets() {
    let home = Home::new();
    let entry = json!({"type": "oauth", "provider": "Groq", "access": "sk-test-access-0123456789",
        "refresh": "sk-test-refresh",
        "expires": now_ms() + 3 * HOUR, "email": "ana@example.com"});
    let store = json!({"version": 1, "profiles": {"groq:ana": entry, "odd:one": {"type": "cookie",
        "provider": "groq"},
        "openai:k": {"type": "api_key", "provider": "openai", "key": "short"}},
        "usageStats": {"groq:ana": {"lastUsed": 1_700_000_000_000_i64,
        "cooldownUntil": now_ms() + HOUR}}});
    home.write(STORE, store.to_string());
    let text = home.run(&["models", "auth", "list"]).ok();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .skip(3)
        .map(|line| {
            line.split("  ")
                .filter(|c| !c.is_empty())
                .map(str::trim)
                .collect()
        })
        .collect();
    assert_eq!(rows[0][..4], ["PROFILE", "PROVIDER", "TYPE", "STATUS"]);
    assert_eq!(
        rows[1][..5],
        [
            "groq:ana",
            "Groq",
            "oauth",
            "expiring, cooldown 1h",
            "in 3h"
        ]
    );
    assert_eq!(
        rows[2][..4],
        ["odd:one", "groq", "unreadable", "unreadable"]
    );
    assert_eq!(
        rows[3][..5],
        ["openai:k", "openai", "api_key", "static", "-"]
    );
    assert!(rows[3].last() == Some(&"********"), "{text}");
    assert!(!text.contains("access-0123"), "{text}");
    let answer = home
        .run(&["models", "auth", "list", "--provider", "groq", "--json"])
        .json();
    let ids: Vec<_> = answer["profiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["profileId"].clone())
        .collect();
    assert_eq!(ids, [json!("groq:ana"), json!("odd:one")]);
    assert_eq!(answer["profiles"][0]["secret"], "sk-t...6789");
    assert_eq!(answer["profiles"][0]["lastUsed"], 1_700_000_000_000_i64);
    assert!(!answer.to_string().contains("refresh"), "{answer}");
    let none = home
        .run(&["models", "auth", "list", "--provider", "nobody"])
        .ok();
    assert!(none.ends_with("\nNo profiles.\n"), "{none}");
}

#[test]
fn a_removed_profile_is_gone_everywhere_and_the_record_says_so() {
    let home = Home::new();
    paste_key(&home, "openai").ok();
    paste_key(&home, "groq").ok();
    let set = [
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "openai",
        "openai:manual",
    ];
    home.run(&set).ok();
    home.run(&["models", "auth", "mark", "openai:manual", "--used"])
        .ok();
    assert_eq!(home.json(STORE)["lastGood"]["openai"], "openai:manual");
    // Nobody to ask.
    let run = home
        .run(&["models", "auth", "remove", "openai:manual"])
        .exits(64);
    assert!(run.stderr.contains("--yes"), "{}", run.stderr);
    let run = home
        .run(&["models", "auth", "remove", "openai:manual", "--yes"])
        .exits(0);
    assert_eq!(
        run.stdout,
        "Removed openai:manual (openai/api_key) from agent main.\nUpdated \
         ~/.clawdbot/clawdbot.json\n"
    );
    let store = home.json(STORE);
    assert!(!store.to_string().contains("openai"), "{store}");
    assert_eq!(store["profiles"]["groq:manual"]["key"], KEY);
    assert!(!home.read(CONFIG).contains("openai"));
    assert!(home.read(CONFIG).contains("groq:manual"));
    let removed = home.newest("profile.removed").unwrap();
    assert_eq!(removed["profile"], "openai:manual");
    assert!(removed["token"]["before"].is_string());
    assert!(home.newest("order.cleared").is_some());
    refuses(
        &home,
        &["models", "auth", "remove", "openai:manual", "--yes"],
        1,
        &["\"openai:manual\" not found", "clawkeep ls"],
    );
    home.assert_sound();
}

#[test]
fn a_profile_that_another_agent_has_stays_in_the_configuration() {
    let home = Home::new();
    paste_key(&home, "openai").ok();
    home.write(
        ".clawdbot/agents/ops/agent/auth-profiles.json",
        home.read(STORE),
    );
    home.run(&["sync"]).ok();
    let run = home
        .run(&["models", "auth", "remove", "openai:manual", "--yes"])
        .exits(0);
    assert!(!run.stdout.contains("Updated"), "{run:?}");
    assert!(home.read(CONFIG).contains("openai:manual"));
    let args = [
        "models",
        "auth",
        "remove",
        "openai:manual",
        "--yes",
        "--agent",
        "ops",
    ];
    assert!(home.run(&args).ok().contains("Updated"));
}

#[test]
fn a_login_that_would_come_back_is_not_removed() {
    let home = Home::with_claude("sk-test-claude", 100);
    home.run(&["models", "status"]).ok();
    let args = ["models", "auth", "remove", "anthropic:claude-cli", "--yes"];
    refuses(&home, &args, 1, &["Claude Code's login", "/logout"]);
    fs::remove_file(home.at(".claude/.credentials.json")).unwrap();
    home.run(&args).ok();
    assert!(home.json(STORE)["profiles"].as_object().unwrap().is_empty());
}

#[test]
fn what_came_of_a_credential_is_counted_as_the_gateway_counts_it() {
    let home = Home::new();
    paste_key(&home, "openai").ok();
    let mark = |what: &[&str]| {
        home.run(&[&["models", "auth", "mark", "openai:manual"], what].concat())
            .ok()
    };
    assert_eq!(
        mark(&["--failed", "rate_limit"]),
        "openai:manual: cooldown 1m\n"
    );
    assert_eq!(
        mark(&["--failed", "timeout"]),
        "openai:manual: cooldown 5m\n"
    );
    let usage = home.json(STORE)["usageStats"]["openai:manual"].clone();
    assert_eq!(usage["errorCount"], 2);
    assert_eq!(
        usage["failureCounts"],
        json!({"rate_limit": 1, "timeout": 1})
    );
    let failed = home.newest("credential.failed").unwrap();
    assert_eq!(failed["outcome"], "failed");
    assert_eq!(
        failed["detail"],
        json!({"reason": "timeout", "failures": 2})
    );
    let rest = home.newest("cooldown.set").unwrap();
    assert_eq!(rest["detail"]["until"], usage["cooldownUntil"]);
    let candidates = home
        .run(&["models", "auth", "candidates", "--provider", "openai"])
        .ok();
    assert_eq!(candidates, "openai:manual (next, cooldown 5m)\n");
    assert_eq!(mark(&["--clear"]), "openai:manual: ready\n");
    let events = home.events().len();
    assert_eq!(
        mark(&["--clear"]),
        "openai:manual: ready\n",
        "nothing left to lift"
    );
    assert_eq!(home.events().len(), events);
    home.write(CONFIG, "{auth: {cooldowns: {billingBackoffHours: 2}}}");
    assert_eq!(
        mark(&["--failed", "billing"]),
        "openai:manual: disabled:billing 2h\n"
    );
    assert_eq!(mark(&["--used"]), "openai:manual: ready\n");
    let store = home.json(STORE);
    assert_eq!(store["lastGood"], json!({"openai": "openai:manual"}));
    let used = store["usageStats"]["openai:manual"].clone();
    assert_eq!(used["errorCount"], 0);
    assert!(
        used["lastUsed"].is_i64() && used.get("disabledUntil").is_none(),
        "{used}"
    );
    assert_eq!(
        home.newest("credential.used").unwrap()["profile"],
        "openai:manual"
    );
    assert_eq!(
        home.newest("cooldown.cleared").unwrap()["detail"],
        json!({"by": "use"})
    );
    for bad in [&[][..], &["--used", "--clear"], &["--failed", "luck"]] {
        home.run(&[&["models", "auth", "mark", "openai:manual"], bad].concat())
            .exits(64);
    }
    home.assert_sound();
}

#[test]
fn cooldowns_that_the_gateway_sets_are_in_the_record() {
    let home = Home::new();
    paste_key(&home, "openai").ok();
    let set_usage = |usage: Value| {
        let mut store = home.json(STORE);
        store["usageStats"] = json!({"openai:manual": usage});
        home.write(STORE, store.to_string());
        home.run(&["models", "status"]).ok();
    };
    let until = now_ms() + HOUR;
    set_usage(json!({"lastUsed": now_ms(), "cooldownUntil": until, "errorCount": 3}));
    let set = home.newest("cooldown.set").unwrap();
    assert_eq!(set["origin"], "auth-profiles.json");
    assert_eq!(set["detail"], json!({"until": until, "failures": 3}));
    assert_eq!(
        home.newest("credential.used").unwrap()["origin"],
        "auth-profiles.json"
    );
    set_usage(json!({"lastUsed": now_ms(), "errorCount": 0}));
    assert_eq!(
        home.newest("cooldown.cleared").unwrap()["origin"],
        "auth-profiles.json"
    );
}

#[test]
fn history_says_where_a_store_has_changed_since() {
    let home = Home::new();
    paste_key(&home, "openai").ok();
    let quiet = home.run(&["history"]).exits(0);
    assert!(!quiet.stderr.contains("changed"), "{}", quiet.stderr);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(90);
    let file = fs::File::options()
        .write(true)
        .open(home.at(STORE))
        .unwrap();
    file.set_modified(later).unwrap();
    let told = home.run(&["history"]).exits(0);
    assert!(
        told.stderr.contains("another program changed"),
        "{}",
        told.stderr
    );
    assert!(told.stderr.contains("clawkeep sync"), "{}", told.stderr);
    // Looked at and found to be as it was, that is known, too.
    let earlier = std::time::SystemTime::now();
    home.run(&["sync"]).ok();
    file.set_modified(earlier).unwrap();
    home.run(&["history"]).exits(0);
    home.run(&["sync"]).ok();
    let quiet = home.run(&["history"]).exits(0);
    assert!(!quiet.stderr.contains("changed"), "{}", quiet.stderr);
}

#[test]
fn an_agent_that_is_nowhere_gets_no_credential() {
    let home = Home::new();
    home.write("s.json", json!({"profiles": {}}).to_string());
    let paste = paste_token(&home, &["--agent", "typo"]).exits(64);
    assert!(
        paste.stderr.contains("there is no agent typo"),
        "{}",
        paste.stderr
    );
    home.run(&["import", "s.json", "--agent", "typo"]).exits(64);
    assert!(!home.at(".clawdbot/agents/typo").exists());
    home.write(CONFIG, "{agents: {list: [{id: 'main'}, {id: 'typo'}]}}");
    paste_token(&home, &["--agent", "typo"]).ok();
    assert!(
        home.at(".clawdbot/agents/typo/agent/auth-profiles.json")
            .exists()
    );
}

#[test]
fn hostile_ids_stay_on_their_line_and_out_of_the_record() {
    let home = Home::new();
    let long = "x".repeat(70_000);
    let key = |n: &str| json!({"type": "api_key", "provider": "p", "key": format!("sk-test-{n}")});
    let store = json!({"profiles": {"p:n\nops: 3 profiles, up to date": key("1"),
        long.clone(): key("2"), " p:blank ": key("3"), "p:x": key("4")},
        "order": {"p": ["p:x", {"token": "sk-test-in-order"}, long]}});
    home.write("s.json", store.to_string());
    for args in [
        &["import", "s.json"][..],
        &["sync"],
        &["models", "auth", "list"],
        &["models", "auth", "candidates", "--provider", "p"],
        &["models", "auth", "order", "get", "--provider", "p"],
        &["history"],
    ] {
        let run = home.run(args).exits(0);
        assert!(!run.stdout.contains("\nops: 3"), "{args:?}: {}", run.stdout);
        assert!(
            run.stdout.lines().all(|line| line.len() < 2_000),
            "{args:?}"
        );
    }
    home.run(&["models", "auth", "mark", " p:blank ", "--used"])
        .ok();
    home.run(&["models", "auth", "remove", " p:blank ", "--yes"])
        .ok();
    home.run(&["models", "auth", "remove", "p:x", "--yes"]).ok();
    let record = home.run(&["history", "--json"]).ok();
    assert!(!record.contains("sk-test-"), "{record:.400}");
    home.assert_sound();
}

#[test]
fn a_profile_in_a_store_that_was_never_examined_stays_in_the_configuration() {
    let home = Home::new();
    paste_key(&home, "openai").ok();
    home.write(
        ".clawdbot/agents/ops/agent/auth-profiles.json",
        home.read(STORE),
    );
    let run = home
        .run(&["models", "auth", "remove", "openai:manual", "--yes"])
        .exits(0);
    assert!(!run.stdout.contains("Updated"), "{run:?}");
    assert!(home.read(CONFIG).contains("openai:manual"));
}

#[test]
fn a_replaced_credential_and_one_that_is_not_tried_are_reported() {
    let home = Home::new();
    paste_token(&home, &[]).ok();
    let args = ["models", "auth", "paste-api-key", "--provider", "anthropic"];
    let run = home.run_with_input(&args, KEY).exits(0);
    assert!(
        run.stderr.contains("it replaced the token"),
        "{}",
        run.stderr
    );
    home.write(
        "s.json",
        json!({"profiles": {"anthropic:other": {"type": "api_key",
        "provider": "anthropic", "key": "sk-test-o"}}})
        .to_string(),
    );
    let run = home.run(&["import", "s.json"]).exits(0);
    assert!(
        run.stderr.contains("clawkeep does not try anthropic:other"),
        "{}",
        run.stderr
    );
}

#[test]
fn twenty_at_once_are_all_stored_and_all_in_the_configuration() {
    let home = Home::new();
    home.run(&["init"]).ok();
    let start = |n: usize| {
        let id = format!("p:{n}");
        let args = [
            "models",
            "auth",
            "paste-api-key",
            "--provider",
            "p",
            "--profile-id",
            &id,
        ];
        start_with_input(home.command(&args), KEY)
    };
    let children: Vec<_> = (0..20).map(start).collect();
    for child in children {
        Run::from(child.wait_with_output().unwrap()).ok();
    }
    let config = home.json(CONFIG);
    let store = home.json(STORE);
    for n in 0..20 {
        let id = format!("p:{n}");
        assert_eq!(store["profiles"][&id]["key"], KEY, "{id}");
        assert_eq!(config["auth"]["profiles"][&id]["mode"], "api_key", "{id}");
    }
    let left: Vec<_> = home
        .files()
        .into_iter()
        .filter(|file| file.contains("draft"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn merges_are_reported_in_words() {
    let home = Home::new();
    paste_key(&home, "openai").ok();
    let mut store = home.json(STORE);
    store["profiles"]["groq:x"] =
        json!({"type": "api_key", "provider": "groq", "key": "sk-test-x"});
    store["lastGood"] = json!({"groq": "groq:x"});
    home.write(STORE, store.to_string());
    let text = {
        home.run(&["sync"]).ok();
        home.run(&["history", "--kind", "store.merged"]).ok()
    };
    assert!(
        text.contains("; file: profiles groq:x, lastGood groq"),
        "{text}"
    );
}

#[test]
fn files_are_imported_by_what_is_in_them() {
    let home = Home::new();
    home.write(
        "old/store.json",
        json!({"profiles": {"openai:a": {"type": "api_key", "provider": "openai",
            "key": "sk-test-a"}}, "x": 1})
        .to_string(),
    );
    home.write(
        "old/auth.json",
        json!({"groq": {"type": "token", "token": "sk-test-g"}, "junk": {"cookie": 1}}).to_string(),
    );
    let login = json!({"claudeAiOauth": {"accessToken": "sk-test-c",
        "refreshToken": "sk-test-refresh", "expiresAt": now_ms() + HOUR}});
    home.write("old/claude.json", login.to_string());
    let run = home
        .run(&[
            "import",
            "old/store.json",
            "old/auth.json",
            "old/claude.json",
        ])
        .exits(0);
    assert_eq!(
        run.stdout,
        "main: ~/old/store.json (auth-profiles.json): added openai:a\nmain: ~/old/auth.json \
         (auth.json): added groq:default\nmain: ~/old/claude.json (claude-code): added \
         anthropic:claude-cli\n"
    );
    assert!(
        run.stderr.contains("the entry junk holds no credential"),
        "{}",
        run.stderr
    );
    let store = home.json(STORE);
    assert_eq!(store["x"], 1);
    let ids: Vec<_> = store["profiles"].as_object().unwrap().keys().collect();
    assert_eq!(ids, ["openai:a", "groq:default", "anthropic:claude-cli"]);
    assert!(home.files_with("sk-test-refresh") == ["old/claude.json"]);
    let applied = home.newest("import.applied").unwrap();
    assert_eq!(applied["origin"], "import");
    assert_eq!(applied["detail"]["added"], json!(["anthropic:claude-cli"]));
    assert_eq!(
        home.newest("import.dropped").unwrap()["detail"]["entries"],
        json!(1)
    );
    // Once more: nothing to do, and nothing recorded.
    let events = home.events().len();
    let again = home.run(&["import", "old/store.json"]).ok();
    assert_eq!(
        again,
        "main: ~/old/store.json (auth-profiles.json): already there: openai:a\n"
    );
    assert_eq!(home.events().len(), events);
    home.assert_sound();
}

#[test]
fn what_lasts_longer_stays() {
    let home = Home::new();
    let store = |token: &str, hours: i64| {
        let expires = 2_000_000_000_000 + hours * HOUR;
        json!({"profiles": {"p:t": {"type": "token", "provider": "p", "token": token,
            "expires": expires}}})
        .to_string()
    };
    home.write("a.json", store("sk-test-long", 5));
    home.write("b.json", store("sk-test-short", 3));
    home.write("c.json", store("sk-test-longer", 9));
    home.run(&["import", "a.json"]).ok();
    let kept = home.run(&["import", "b.json"]).ok();
    assert!(
        kept.contains("kept p:t (the stored one expires later)"),
        "{kept}"
    );
    let replaced = home.run(&["import", "c.json"]).ok();
    assert!(replaced.contains("replaced p:t"), "{replaced}");
    assert_eq!(
        home.exported_token("p:t").as_deref(),
        Some("sk-test-longer")
    );
}

#[test]
fn a_file_that_cannot_be_imported_changes_nothing_also_beside_one_that_can() {
    let home = Home::new();
    home.run(&["init"]).ok();
    home.write(
        "good.json",
        json!({"profiles": {"a:b": {"type": "api_key", "provider": "a", "key": "k"}}}).to_string(),
    );
    home.write(
        "logged-out.json",
        json!({"claudeAiOauth": {"accessToken": "", "expiresAt": 0}}).to_string(),
    );
    home.write("cut.json", "{\"profiles\": {\"a\": \"sk-test-");
    home.write("list.json", "[]");
    home.write("no-store.json", "{\"profiles\": []}");
    home.write("other.json", "{\"name\": {\"x\": \"sk-test-\"}}");
    home.write("empty.json", "");
    for (file, status, word) in [
        ("missing.json", 1, "there is no file"),
        ("logged-out.json", 1, "holds no login"),
        ("cut.json", 65, "cut short at line 1"),
        ("list.json", 65, "no file that credentials come in"),
        ("no-store.json", 65, "no `profiles` object"),
        ("other.json", 65, "no file that credentials come in"),
        ("empty.json", 65, "it is empty"),
        (".", 65, "not a regular file"),
    ] {
        refuses(&home, &["import", "good.json", file], status, &[word]);
    }
    refuses(&home, &["import"], 64, &["FILE"]);
}
