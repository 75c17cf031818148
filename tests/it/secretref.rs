//! `secretref`: OpenClaw's exec secret provider, by its protocol.

use serde_json::{Value, json};

use crate::support::damage::{TOKEN_MARK, alter_past_triggers};
use crate::support::home::{HOUR, Home, Run, STORE, now_ms};
#[cfg(unix)]
use crate::support::terminal::Terminal;

/// Keys and tokens of several kinds, and a login of each kind.
fn home() -> Home {
    let home = Home::with_claude("sk-test-claude", 8);
    let token = |token: &str, hours: i64| {
        json!({"type": "token", "provider": "anthropic",
        "token": token, "expires": now_ms() + hours * HOUR})
    };
    let key =
        |provider: &str, key: &str| json!({"type": "api_key", "provider": provider, "key": key});
    home.write(
        STORE,
        json!({"version": 1, "profiles": {
            "openai:default": key("openai", " sk-test-openai\n"),
            "openai:second": key("openai", "sk-test-second\"quoted\""),
            "anthropic:setup": token("sk-test-setup", 5000),
            "anthropic:gone": token("sk-test-gone", -5),
            "anthropic:soon": token("sk-test-soon", 3),
            "groq:login": {"type": "oauth", "provider": "groq", "access": "sk-test-access",
            "refresh": "sk-test-refresh", "expires": now_ms() + HOUR},
        }, "order": {"anthropic": ["anthropic:claude-cli", "anthropic:gone", "anthropic:setup"],
            "openai": ["openai:second", "openai:default"]}})
        .to_string(),
    );
    home.run(&["models", "status"]).ok();
    home
}

fn request(ids: &[&str]) -> String {
    json!({"protocolVersion": 1, "provider": "clawkeep", "ids": ids}).to_string()
}

#[track_caller]
fn asked(home: &Home, args: &[&str], ids: &[&str]) -> Value {
    let args: Vec<&str> = ["secretref"].iter().chain(args).copied().collect();
    let run = home.run_with_input(&args, &request(ids)).exits(0);
    assert!(!run.stderr.contains(TOKEN_MARK), "{run:?}");
    assert_eq!(run.stdout.lines().count(), 1);
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(answer["protocolVersion"], 1);
    answer
}

#[test]
fn keys_and_tokens_are_handed_out_and_recorded() {
    let home = home();
    let before = home.count_of("credential.used");
    let ids = [
        "openai:default",
        "anthropic:setup",
        "openai:second",
        "openai:default",
    ];
    let answer = asked(&home, &[], &ids);
    assert_eq!(
        answer["values"],
        json!({"openai:default": "sk-test-openai", "anthropic:setup": "sk-test-setup",
            "openai:second": "sk-test-second\"quoted\""})
    );
    assert_eq!(answer.get("errors"), None);
    assert_eq!(home.count_of("credential.used"), before + 3, "each once");
    let used = home.newest("credential.used").unwrap();
    assert_eq!(
        (&used["profile"], &used["detail"]["command"]),
        (&json!("openai:second"), &json!("secretref"))
    );
    home.assert_sound();
}

#[test]
fn what_changes_by_itself_or_is_not_there_is_an_error_of_its_id_alone() {
    let home = home();
    let ids = [
        "anthropic:claude-cli",
        "groq:login",
        "anthropic:gone",
        "openai:none",
        "openai:default",
        "groq",
    ];
    let answer = asked(&home, &[], &ids);
    assert_eq!(
        answer["values"],
        json!({"openai:default": "sk-test-openai"})
    );
    let codes: Vec<&str> = ids
        .iter()
        .filter_map(|id| answer["errors"][id]["code"].as_str())
        .collect();
    assert_eq!(
        codes,
        [
            "NOT_STATIC",
            "NOT_STATIC",
            "EXPIRED",
            "NOT_FOUND",
            "NOT_STATIC"
        ]
    );
    assert_eq!(
        home.newest("credential.used").unwrap()["profile"],
        "openai:default"
    );
    let lasting = asked(
        &home,
        &["--min-valid", "1d"],
        &["anthropic:soon", "anthropic:setup"],
    );
    assert_eq!(
        (
            &lasting["errors"]["anthropic:soon"]["code"],
            &lasting["values"]["anthropic:setup"]
        ),
        (&json!("ENDS_TOO_SOON"), &json!("sk-test-setup"))
    );
    let agent = asked(&home, &["--agent", "nobody"], &["openai:default"]);
    assert_eq!(agent["errors"]["openai:default"]["code"], "NOT_FOUND");
}

#[test]
fn a_provider_stands_for_its_next_key_or_token() {
    let home = home();
    let answer = asked(&home, &[], &["anthropic", "openai"]);
    assert_eq!(
        answer["values"],
        json!({"anthropic": "sk-test-setup", "openai": "sk-test-second\"quoted\""})
    );
    // The login before it is none that could be handed out; the token before it has ended, which is
    // recorded.
    let passed = home.newest("credential.passed_over").unwrap();
    assert_eq!(
        (&passed["profile"], &passed["detail"]["why"]),
        (&json!("anthropic:gone"), &json!("expired"))
    );
    home.write(".clawdbot/clawkeep.toml", "clawkeep.fallback = \"none\"\n");
    let strict = asked(&home, &[], &["anthropic", "openai"]);
    assert_eq!(strict["errors"]["anthropic"]["code"], "UNUSABLE");
    assert_eq!(strict["values"]["openai"], "sk-test-second\"quoted\"");
}

#[test]
fn a_request_that_makes_no_sense_gets_the_protocols_error() {
    let home = home();
    let before = home.events().len();
    let many: Vec<String> = (0..513).map(|at| format!("id{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases = [
        "",
        "{",
        "[]",
        "{\"protocolVersion\":1}",
        "{\"protocolVersion\":1,\"ids\":[1]}",
        "{\"protocolVersion\":1,\"ids\":[\" \"]}",
        &request(&many),
        &" ".repeat(1 << 21),
    ];
    for case in cases {
        let run = home.run_with_input(&["secretref"], case).exits(64);
        let answer: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(
            (&answer["values"], &answer["errors"]["*"]["code"]),
            (&json!({}), &json!("BAD_REQUEST"))
        );
    }
    let run = home.run_with_input(
        &["secretref"],
        "{\"protocolVersion\":2,\"ids\":[\"openai:default\"]}",
    );
    assert_eq!(
        run.json()["errors"]["openai:default"]["code"],
        "UNSUPPORTED_PROTOCOL"
    );
    assert_eq!(asked(&home, &[], &[])["values"], json!({}));
    assert_eq!(home.events().len(), before);
}

#[cfg(unix)] // a limit on the size of files
#[test]
fn nothing_is_handed_out_that_is_not_recorded_and_no_vault_is_made() {
    let home = home();
    home.write("request", request(&["openai:default"]));
    let (mut refused, mut done) = (0, 0);
    for blocks in [8, 64, 200, 400, 800] {
        let before = home.count_of("credential.used");
        let run = home.run_on_small_disk(blocks, "secretref <request");
        let is_handed = run.stdout.contains(TOKEN_MARK);
        assert_eq!(is_handed, run.status == 0, "{blocks}: {run:?}");
        assert_eq!(
            home.count_of("credential.used") - before,
            usize::from(is_handed)
        );
        if is_handed { done += 1 } else { refused += 1 }
    }
    assert!(refused > 0 && done > 0, "{refused} refused, {done} done");
    alter_past_triggers(&home, |conn| {
        conn.execute("UPDATE profiles SET expires = expires + 1", [])
            .unwrap()
    });
    // What is damaged is refused by itself; the key has no expiry, so it is whole.
    let ids = request(&["anthropic:claude-cli", "anthropic", "openai:default"]);
    let damaged = home.run_with_input(&["secretref"], &ids).json();
    assert_eq!(
        damaged["values"],
        json!({"openai:default": "sk-test-openai"})
    );
    for id in ["anthropic:claude-cli", "anthropic"] {
        assert_eq!(damaged["errors"][id]["code"], "DAMAGED", "{damaged}");
    }
    let empty = Home::new();
    let run: Run = empty
        .run_with_input(&["secretref"], &request(&["openai:default"]))
        .exits(1);
    assert!(
        run.stdout.is_empty() && run.stderr.contains("no vault"),
        "{run:?}"
    );
    assert_eq!(empty.files(), [""; 0]);
}

/// Who would have to answer is not there: a terminal is no request, and a vault without a key is
/// not waited for.
#[cfg(unix)]
#[test]
fn nobody_is_asked() {
    let home = home();
    let (status, shown) = Terminal::start(home.command(&["secretref"])).end();
    assert_eq!(status, 64, "{shown}");
    assert!(shown.contains("stdin, which is a terminal"), "{shown}");
    let key = home
        .files()
        .into_iter()
        .find(|file| file.ends_with(".key"))
        .unwrap();
    std::fs::remove_file(home.at(&key)).unwrap();
    let locked = home
        .run_with_input(&["secretref"], &request(&["openai:default"]))
        .exits(77);
    assert_eq!(locked.stdout, "");
}
