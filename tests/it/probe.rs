//! `models status --probe`: what each credential's provider says of it, and what is recorded.

use serde_json::{Value, json};

use crate::support::damage::refuses;
use crate::support::home::Home;
use crate::support::hook::{Hook, Reply};

const KEY: &str = "sk-test-key-0123456789";

fn home(hook: &Hook) -> Home {
    let home = Home::new();
    home.write(
        ".clawdbot/clawkeep.toml",
        format!(
            "[providers.openai]\nprobe_url = \"{}\"\n[providers.anthropic]\nprobe_url = \"{}\"\n",
            hook.url("/v1/models"),
            hook.url("/a")
        ),
    );
    home.run(&["init", "--key", "keyfile"]).ok();
    for provider in ["openai", "anthropic", "elsewhere"] {
        let args = ["models", "auth", "paste-api-key", "--provider", provider];
        home.run_with_input(&args, &format!("{KEY}-{provider}"))
            .ok();
    }
    home
}

#[test]
fn each_credential_is_sent_once_and_recorded_as_a_probe() {
    let hook = Hook::start();
    let home = home(&hook);
    let before = home.count_of("credential.used");
    let answer = home.run(&["models", "status", "--probe", "--json"]).json();
    let results = answer["auth"]["probes"]["results"].as_array().unwrap();
    let of = |id: &str| {
        results
            .iter()
            .find(|row| row["profileId"] == json!(id))
            .unwrap()
    };
    assert_eq!(of("openai:manual")["status"], json!("ok"));
    assert_eq!(of("openai:manual")["httpStatus"], json!(200));
    assert_eq!(of("elsewhere:manual")["status"], json!("no_probe"));
    let mut sent = hook.take();
    sent.sort_by(|a, b| a.line.cmp(&b.line));
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].line, "GET /a HTTP/1.1");
    let key = format!("{KEY}-anthropic");
    assert_eq!(sent[0].header("x-api-key"), Some(key.as_str()));
    assert_eq!(sent[0].header("anthropic-version"), Some("2023-06-01"));
    let bearer = format!("Bearer {KEY}-openai");
    assert_eq!(sent[1].header("authorization"), Some(bearer.as_str()));
    assert_eq!(home.count_of("credential.used"), before);
    assert_eq!(home.count_of("credential.probed"), 2);
    let event = home.newest("credential.probed").unwrap();
    assert_eq!(event["outcome"], json!("ok"));
    home.assert_sound();
    // Without the option nothing is sent, and the answer is what it was.
    let plain = home.run(&["models", "status", "--json"]).json();
    assert_eq!(plain["auth"]["probes"], Value::Null);
    assert_eq!(hook.take(), []);
}

#[test]
fn what_a_provider_says_is_said_plainly() {
    let hook = Hook::start();
    let home = home(&hook);
    home.run(&["rm", "anthropic:manual", "--yes"]).ok();
    hook.next([Reply::Status(401, String::new())]);
    home.run(&["models", "status", "--probe", "--check"])
        .exits(1);
    for (status, header, words) in [
        (401, "", "openai:manual refused, HTTP 401"),
        (403, "", "openai:manual refused, HTTP 403"),
        (402, "", "openai:manual no credit left, HTTP 402"),
        (
            429,
            "retry-after: 30\r\n",
            "HTTP 429: rate limited for 30 s",
        ),
        (500, "", "openai:manual not known, HTTP 500"),
        (204, "", "openai:manual accepted"),
    ] {
        hook.next([Reply::Status(status, header.to_owned())]);
        let run = home.run(&["models", "status", "--probe"]).exits(0);
        assert!(run.stdout.contains(words), "{status}: {run:?}");
        assert!(!format!("{run:?}").contains(KEY), "{run:?}");
    }
    assert_eq!(home.count_of("credential.probed"), 7);
    refuses(
        &home,
        &["models", "status", "--probe", "--plain"],
        64,
        &["--plain"],
    );
}
