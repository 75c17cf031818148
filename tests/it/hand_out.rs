//! Secrets handed out: `token`, `exec`, `session`. Which one, why not another, and that it is
//! recorded before anybody gets it.

#[cfg(unix)]
use std::os::unix::process::ExitStatusExt as _;

use serde_json::{Value, json};

use crate::support::damage::{TOKEN_MARK, alter_past_triggers, refuses, write_log_back};
use crate::support::home::{HOUR, Home, Run, STORE, TRUE, now_ms};

const CONFIG: &str = ".clawdbot/clawdbot.json";

fn token(token: &str, hours: i64) -> Value {
    json!({"type": "token", "provider": "anthropic", "token": token,
        "expires": now_ms() + hours * HOUR})
}

/// Three of Anthropic's in an order of their own, and one of OpenAI's.
fn home() -> Home {
    let home = Home::new();
    home.write(
        STORE,
        json!({"version": 1, "profiles": {
            "anthropic:one": token("sk-test-one", 100),
            "anthropic:two": token("sk-test-two", 200),
            "anthropic:gone": token("sk-test-gone", -5),
            "openai:default": {"type": "api_key", "provider": "openai",
            "key": " sk-test-openai \n"},
        }, "order": {"anthropic": ["anthropic:one", "anthropic:two", "anthropic:gone"]}})
        .to_string(),
    );
    home.run(&["models", "status"]).ok();
    home
}

fn count(home: &Home) -> usize {
    home.events().len()
}

#[track_caller]
fn handed(run: Run) -> String {
    let run = run.exits(0);
    assert!(!run.stderr.contains(TOKEN_MARK), "{run:?}");
    run.stdout.trim_end().to_owned()
}

#[test]
fn the_first_choice_is_handed_out_and_recorded_first() {
    let home = home();
    assert_eq!(
        handed(home.run(&["token", "--provider", "Anthropic"])),
        "sk-test-one"
    );
    let used = home.newest("credential.used").unwrap();
    assert_eq!(
        (
            &used["profile"],
            &used["provider"],
            &used["detail"]["command"]
        ),
        (
            &json!("anthropic:one"),
            &json!("anthropic"),
            &json!("token")
        )
    );
    let created = home
        .run(&[
            "history",
            "--kind",
            "profile.created",
            "--profile",
            "anthropic:one",
            "--json",
        ])
        .json();
    assert_eq!(
        used["token"]["after"],
        created["events"][0]["token"]["after"]
    );
    assert!(used["expires"]["after"].as_i64() > Some(now_ms()));
    // The provider of the default model goes without saying; a key is trimmed; JSON has the rest.
    assert_eq!(handed(home.run(&["token"])), "sk-test-one");
    assert_eq!(
        handed(home.run(&["token", "--provider", "openai"])),
        "sk-test-openai"
    );
    let answer: Value = serde_json::from_str(&handed(home.run(&[
        "token",
        "--profile",
        "anthropic:two",
        "--json",
    ])))
    .unwrap();
    assert_eq!(
        (
            &answer["profile"],
            &answer["provider"],
            &answer["type"],
            &answer["token"]
        ),
        (
            &json!("anthropic:two"),
            &json!("anthropic"),
            &json!("token"),
            &json!("sk-test-two")
        )
    );
    assert!(answer["expires"].as_i64() > Some(now_ms()));
    home.assert_sound();
}

#[test]
fn another_account_is_never_used_in_silence() {
    let home = home();
    home.run(&[
        "models",
        "auth",
        "mark",
        "anthropic:one",
        "--failed",
        "rate_limit",
    ])
    .ok();
    let run = home.run(&["token", "--provider", "anthropic"]);
    assert!(
        run.stderr
            .contains("anthropic:one is in cooldown, so anthropic:two is used"),
        "{}",
        run.stderr
    );
    assert_eq!(handed(run), "sk-test-two");
    let passed = home.newest("credential.passed_over").unwrap();
    assert_eq!(
        (
            &passed["profile"],
            &passed["outcome"],
            &passed["detail"]["why"]
        ),
        (
            &json!("anthropic:one"),
            &json!("skipped"),
            &json!("resting")
        )
    );
    // Strictly, nothing is: by the flag, or by the setting.
    let before = home.count_of("credential.used");
    let strict = home
        .run(&["token", "--provider", "anthropic", "--strict"])
        .exits(1);
    assert_eq!(strict.stdout, "");
    assert!(
        strict.stderr.contains(
            "the first choice for anthropic cannot be used: anthropic:one is in cooldown"
        ),
        "{}",
        strict.stderr
    );
    // How long is counted from now.
    assert!(
        strict.stderr.contains("until it is ready (cooldown 1m)"),
        "{strict:?}"
    );
    home.write(".clawdbot/clawkeep.toml", "clawkeep.fallback = \"none\"\n");
    assert_eq!(
        home.run(&["token", "--provider", "anthropic"])
            .exits(1)
            .stdout,
        ""
    );
    home.write(".clawdbot/clawkeep.toml", "clawkeep.fallback = \"any\"\n");
    assert_eq!(home.count_of("credential.used"), before);
    // One in cooldown is tried where nothing else is left, and the profile that was named is taken
    // at its word.
    home.run(&[
        "models",
        "auth",
        "mark",
        "anthropic:two",
        "--failed",
        "rate_limit",
    ])
    .ok();
    assert_eq!(
        handed(home.run(&["token", "--provider", "anthropic"])),
        "sk-test-one"
    );
    assert_eq!(
        handed(home.run(&["token", "--profile", "anthropic:two"])),
        "sk-test-two"
    );
}

#[test]
fn what_cannot_be_used_is_reported_with_the_way_to_refresh_it() {
    let home = home();
    let gone = home.run(&["token", "--profile", "anthropic:gone"]).exits(1);
    assert!(
        gone.stderr.contains("anthropic:gone has expired")
            && gone.stderr.contains("clawkeep add anthropic --token"),
        "{}",
        gone.stderr
    );
    assert_eq!((gone.stdout.as_str(), gone.stderr.lines().count()), ("", 2));
    let none = home
        .run(&["token", "--profile", "anthropic:nobody"])
        .exits(64);
    assert!(
        none.stderr.contains("there is no anthropic:nobody"),
        "{}",
        none.stderr
    );
    let none = home.run(&["token", "--provider", "groq"]).exits(1);
    assert!(
        none.stderr
            .contains("no credential of groq can be used: there is none"),
        "{}",
        none.stderr
    );
    // A demand for time: the one that lasts is used, and said; none does.
    let run = home.run(&["token", "--provider", "anthropic", "--min-valid", "150h"]);
    assert!(
        run.stderr
            .contains("anthropic:one expires too soon, so anthropic:two is used"),
        "{}",
        run.stderr
    );
    assert_eq!(handed(run), "sk-test-two");
    let run = home
        .run(&["token", "--provider", "anthropic", "--min-valid", "900h"])
        .exits(1);
    assert!(
        run.stderr.contains("anthropic:two expires too soon"),
        "{}",
        run.stderr
    );
    // Of a provider that is not known here a login is not refreshed, and that is said.
    home.write(
        STORE,
        json!({"version": 1, "profiles": {"zai:x": {"type": "oauth",
        "provider": "zai", "access": "sk-test-a", "refresh": "sk-test-r",
        "expires": now_ms() - 1}}})
        .to_string(),
    );
    let run = home.run(&["token", "--provider", "zai"]).exits(1);
    assert!(
        run.stderr.contains("no token endpoint of zai is known"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains(TOKEN_MARK));
    // The configuration may say that it is something else.
    home.write(
        CONFIG,
        "{auth: {profiles: {'zai:x': {provider: 'zai', mode: 'api_key'}}}}",
    );
    let run = home.run(&["token", "--profile", "zai:x"]).exits(1);
    assert!(
        run.stderr.contains("than the configuration says"),
        "{}",
        run.stderr
    );
    for (args, words) in [
        (
            &["token", "--provider", "a", "--profile", "b"][..],
            "cannot be used with",
        ),
        (&["token", "--min-valid", "soon"], "a span is a number"),
        (&["exec", "--provider", "openai"], "CMD"),
        (
            &["exec", "--provider", "nobody", "--", TRUE],
            "no variable that is known",
        ),
        (&["session", "pin", " ", "x"], "a session's name"),
    ] {
        refuses(&home, args, 64, &[words]);
    }
}

#[cfg(unix)]
#[test]
fn a_program_gets_the_secret_and_nobody_else_does() {
    let home = home();
    let shown = "echo \"$ANTHROPIC_OAUTH_TOKEN|$ANTHROPIC_API_KEY|$OPENAI_API_KEY\"; exit 7";
    let mut command = home.command(&[
        "exec",
        "--provider",
        "anthropic",
        "--provider",
        "openai",
        "--",
        "sh",
        "-c",
        shown,
    ]);
    command.env("ANTHROPIC_API_KEY", "sk-test-of-another-account");
    let run = Run::from(command.output().unwrap()).exits(7);
    assert_eq!(run.stdout, "sk-test-one||sk-test-openai\n");
    assert_eq!(run.stderr, "");
    let used = home
        .run(&["history", "--kind", "credential.used", "--json"])
        .json();
    let used = used["events"].as_array().unwrap();
    assert_eq!(
        used.iter()
            .map(|event| &event["detail"]["command"])
            .collect::<Vec<_>>(),
        ["exec", "exec"]
    );
    // The program that got it, and none of its arguments.
    for event in used {
        assert_eq!(event["detail"]["program"], "sh");
        assert!(!event.to_string().contains("echo"), "{event}");
    }
    let history = ["history", "--limit", "2"];
    let columns = home.run(&history).ok();
    assert_eq!(columns.matches("program sh").count(), 2, "{columns}");
    let uses = home.run(&["history", "uses"]).ok();
    assert!(uses.contains(" for sh\n"), "{uses}");
    let uses = home.run(&["history", "uses", "--json"]).json();
    assert_eq!(uses["uses"][0]["programs"], json!(["sh"]));
    home.run(&["token"]).ok();
    let uses = home.run(&["history", "uses"]).ok();
    assert!(uses.contains(" 1, "), "{uses}");
    assert_eq!(uses.matches(" 1 for sh\n").count(), 2, "{uses}");
    // The program takes this one's place: a signal is its own.
    let mut command = home.command(&["exec", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(command.output().unwrap().status.signal(), Some(15));
    // A key goes where keys go.
    let key = json!({"type": "api_key", "provider": "anthropic", "key": "sk-test-key"});
    home.write(
        STORE,
        json!({"version": 1, "profiles": {"anthropic:key": key}}).to_string(),
    );
    let shown = "echo \"$ANTHROPIC_OAUTH_TOKEN|$ANTHROPIC_API_KEY\"";
    let run = home.run(&[
        "exec",
        "--profile",
        "anthropic:key",
        "--",
        "sh",
        "-c",
        shown,
    ]);
    assert_eq!(handed(run), "|sk-test-key");
    // The one that is named is the one of its provider, and one whose provider has no variable is
    // not recorded as used.
    home.write(
        STORE,
        json!({"version": 1, "profiles": {"anthropic:one": token("sk-test-one", 9),
        "anthropic:two": token("sk-test-two", 9),
        "odd:x": {"type": "api_key", "provider": "odd", "key": "sk-test-odd"}},
        "order": {"anthropic": ["anthropic:one"]}})
        .to_string(),
    );
    let shown = "echo \"$ANTHROPIC_OAUTH_TOKEN\"";
    let run = home.run(&[
        "exec",
        "--profile",
        "anthropic:two",
        "--provider",
        "anthropic",
        "--",
        "sh",
        "-c",
        shown,
    ]);
    assert_eq!(handed(run), "sk-test-two");
    let before = home.count_of("credential.used");
    home.run(&["exec", "--profile", "odd:x", "--", TRUE])
        .exits(64);
    assert_eq!(home.count_of("credential.used"), before);
    // Nothing is handed out for a program that gets only a part of what it asked for.
    let before = home.count_of("credential.used");
    home.run(&[
        "exec",
        "--provider",
        "anthropic",
        "--provider",
        "groq",
        "--",
        TRUE,
    ])
    .exits(1);
    assert_eq!(home.count_of("credential.used"), before);
    // The dashes may be left out, and a program's own options are its own.
    assert_eq!(
        handed(home.run(&["exec", "sh", "-c", "echo $0", "--strict"])),
        "--strict"
    );
    home.run(&["exec", "--", "no-such-program"]).exits(127);
    home.run(&["exec", "--", "/"]).exits(126);
}

#[test]
fn a_session_keeps_to_its_profile() {
    let home = home();
    assert_eq!(home.run(&["session", "list"]).ok(), "");
    let said = home
        .run(&["session", "pin", "telegram:42", "anthropic:two"])
        .ok();
    assert_eq!(
        said,
        "Session telegram:42 uses anthropic:two for anthropic.\n"
    );
    let events = count(&home);
    home.run(&["session", "pin", "telegram:42", "anthropic:two"])
        .ok();
    assert_eq!(count(&home), events, "it was already");
    let in_session = [
        "token",
        "--provider",
        "anthropic",
        "--session",
        "telegram:42",
    ];
    assert_eq!(handed(home.run(&in_session)), "sk-test-two");
    let used = home.newest("credential.used").unwrap();
    assert_eq!(used["session"], "telegram:42");
    assert!(
        home.run(&["history", "--limit", "1"])
            .ok()
            .contains("session telegram:42")
    );
    assert_eq!(
        handed(home.run(&["token", "--provider", "anthropic", "--session", "other"])),
        "sk-test-one"
    );
    let tried = home
        .run(&[
            "models",
            "auth",
            "candidates",
            "--provider",
            "anthropic",
            "--session",
            "telegram:42",
        ])
        .ok();
    assert!(tried.starts_with("anthropic:two (next, pinned"), "{tried}");
    let pins = home.run(&["session", "list", "--json"]).json();
    assert_eq!(
        (&pins["pins"][0]["session"], &pins["pins"][0]["profile"]),
        (&json!("telegram:42"), &json!("anthropic:two"))
    );
    assert!(home.run(&["session", "list"]).ok().contains("telegram:42"));
    // The pinned one counts as the first choice: what is passed over then is said.
    home.run(&[
        "models",
        "auth",
        "mark",
        "anthropic:two",
        "--failed",
        "auth",
    ])
    .ok();
    home.run(&["session", "pin", "s", "anthropic:gone"]).ok();
    let run = home.run(&["token", "--provider", "anthropic", "--session", "s"]);
    assert!(
        run.stderr
            .contains("anthropic:gone has expired, so anthropic:one is used"),
        "{}",
        run.stderr
    );
    assert_eq!(
        home.run(&["session", "unpin", "telegram:42"]).ok(),
        "Session telegram:42 is not pinned any more for anthropic.\n"
    );
    assert_eq!(
        home.run(&["session", "unpin", "telegram:42"]).ok(),
        "Session telegram:42 is not pinned.\n"
    );
    let kinds = home.kinds();
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| kind.starts_with("session."))
            .count(),
        3
    );
    home.run(&["session", "pin", "s", "anthropic:nobody"])
        .exits(1);
    // A pin is no change of the store: the next command has nothing to write.
    let events = count(&home);
    home.run(&["models", "status"]).ok();
    assert_eq!(count(&home), events);
    home.assert_sound();
}

/// Without its event, or from a vault that cannot be believed, no secret comes out.
#[cfg(unix)] // a limit on the size of files
#[test]
fn no_event_no_secret() {
    let home = home();
    let (mut refused, mut done) = (0, 0);
    for blocks in (0..140).step_by(4) {
        for args in [
            "token --provider anthropic",
            "exec -- printenv ANTHROPIC_OAUTH_TOKEN",
        ] {
            let before = count(&home);
            write_log_back(&home); // it may have reached what one file may hold
            let run = home.run_on_small_disk(blocks, args);
            let is_handed = run.stdout.contains(TOKEN_MARK);
            assert_eq!(is_handed, run.status == 0, "{blocks}: {run:?}");
            assert_eq!(
                count(&home) - before,
                usize::from(is_handed),
                "{blocks}: {args}: {run:?}"
            );
            assert!(!run.stderr.contains(TOKEN_MARK), "{run:?}");
            if is_handed { done += 1 } else { refused += 1 }
        }
    }
    assert!(refused > 5 && done > 5, "{refused} refused, {done} done");
    home.assert_sound();
    alter_past_triggers(&home, |conn| {
        conn.execute("UPDATE profiles SET expires = expires + 1", [])
            .unwrap()
    });
    let run = home.run(&["token", "--provider", "anthropic"]).exits(65);
    assert_eq!(run.stdout, "");
}

/// Twenty at once, each with its event.
#[test]
fn many_at_once_each_have_their_event() {
    let home = home();
    let before = home.count_of("credential.used");
    let children: Vec<_> = (0..20)
        .map(|_| {
            let mut command = home.command(&["token", "--provider", "anthropic"]);
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in children {
        assert_eq!(
            handed(Run::from(child.wait_with_output().unwrap())),
            "sk-test-one"
        );
    }
    assert_eq!(home.count_of("credential.used"), before + 20);
    home.assert_sound();
}
