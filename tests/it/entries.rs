//! Entries of a store as people and other programs write them: secrets that are none, wrong names,
//! references, numbers beyond 64 bits, byte-order marks. What each command says, and that nothing
//! of them is lost.

use serde_json::{Value, json};

use crate::support::home::TRUE;
use crate::support::home::{CLAUDE, HOUR, Home, STORE, now_ms};

const CONFIG: &str = ".clawdbot/clawdbot.json";

fn with(profiles: &Value) -> Home {
    let home = Home::new();
    home.write(
        STORE,
        json!({"version": 1, "profiles": profiles}).to_string(),
    );
    home
}

fn doctor(home: &Home) -> String {
    home.run(&["doctor", "--non-interactive"]).stdout
}

fn secretref(home: &Home, id: &str) -> Value {
    let request = json!({"protocolVersion": 1, "ids": [id]}).to_string();
    let run = home.run_with_input(&["secretref"], &request).exits(0);
    serde_json::from_str(&run.stdout).unwrap()
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
fn a_stored_secret_that_cannot_be_sent_is_refused_everywhere() {
    for (key, said) in [
        ("sk-test-a\nsk-test-b", "has a line break inside"),
        ("sk-test-a sk-test-b", "has a blank inside"),
        ("sk-test-\u{200b}a", "has an invisible character inside"),
        ("${OPENAI_API_KEY}", "is a placeholder"),
        ("<your-key-here>", "is a placeholder"),
        ("\"sk-test-a\"", "has quotes around it"),
        ("OPENAI_API_KEY=sk-test-a", "begins with a variable's name"),
    ] {
        let home =
            with(&json!({"openai:a": {"type": "api_key", "provider": "openai", "key": key}}));
        let fix = "clawkeep add openai --id openai:a";
        let found_fix =
            "clawkeep models auth paste-api-key --provider openai --profile-id openai:a";
        for args in [
            &["token", "--provider", "openai"][..],
            &["token", "--profile", "openai:a"],
            &["exec", "--provider", "openai", "--", TRUE],
        ] {
            fails(
                &home,
                args,
                1,
                &[
                    "the secret of openai:a in ~/.clawdbot/agents/main/agent/auth-profiles.json",
                    said,
                    fix,
                ],
            );
        }
        let answer = secretref(&home, "openai:a");
        assert_eq!(answer["errors"]["openai:a"]["code"], "UNUSABLE", "{answer}");
        let found = doctor(&home);
        assert!(
            found.contains("error credential.malformed: the secret of openai:a")
                && found.contains(said)
                && found.contains(found_fix),
            "{found}"
        );
        let list = home.run(&["models", "auth", "list"]).ok();
        assert!(list.contains("malformed"), "{list}");
        // The store keeps it as it is.
        assert_eq!(home.json(STORE)["profiles"]["openai:a"]["key"], key);
    }
}

#[test]
fn a_secret_that_is_a_document_by_nature_passes() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEtest\n-----END PRIVATE KEY-----";
    let account = json!({"type": "service_account", "private_key": "x y"}).to_string();
    let home = with(&json!({
        "a:k": {"type": "api_key", "provider": "a", "key": pem},
        "b:k": {"type": "api_key", "provider": "b", "key": account},
    }));
    assert_eq!(home.run(&["token", "--provider", "a"]).ok().trim(), pem);
    assert_eq!(home.run(&["token", "--provider", "b"]).ok().trim(), account);
    assert!(!doctor(&home).contains("malformed"));
    // The same rule for what is pasted.
    let args = ["models", "auth", "paste-api-key", "--provider", "c"];
    home.run_with_input(&args, pem).ok();
    assert_eq!(home.run(&["token", "--provider", "c"]).ok().trim(), pem);
    let run = home.run_with_input(&args, "${C_API_KEY}").exits(64);
    assert!(run.stderr.contains("placeholder"), "{run:?}");
}

#[test]
fn another_credential_is_used_in_its_place_and_that_is_reported() {
    let home = with(&json!({
        "openai:a": {"type": "api_key", "provider": "openai", "key": "<key>"},
        "openai:b": {"type": "api_key", "provider": "openai", "key": "sk-test-b"},
    }));
    let run = home.run(&["token", "--provider", "openai"]).exits(0);
    assert_eq!(run.stdout.trim(), "sk-test-b");
    assert!(
        run.stderr.contains("is a placeholder") && run.stderr.contains("so openai:b is used"),
        "{run:?}"
    );
}

#[test]
fn wrong_names_are_reported_with_the_right_ones() {
    let home = with(&json!({
        "openai:a": {"type": "api_key", "provider": "openai", "api_key": "sk-test-openai"},
        "groq:a": {"type": "token", "provider": "groq", "accessToken": "sk-test-groq"},
        "xai:a": {"type": "apiKey", "provider": "xai", "key": "sk-test-xai"},
    }));
    let file = "~/.clawdbot/agents/main/agent/auth-profiles.json";
    for (profile, said) in [
        (
            "openai:a",
            "rename the field \"api_key\" of openai:a to \"key\"",
        ),
        (
            "groq:a",
            "rename the field \"accessToken\" of groq:a to \"token\"",
        ),
        (
            "xai:a",
            "rename the type \"apiKey\" of xai:a to \"api_key\"",
        ),
    ] {
        fails(&home, &["token", "--profile", profile], 1, &[said, file]);
    }
    let found = doctor(&home);
    for said in [
        "error credential.misnamed: openai:a has its secret in the field \"api_key\"; the field \
         is called \"key\"",
        "error credential.misnamed: groq:a has its secret in the field \"accessToken\"",
        "warning store.entry: xai:a has the type \"apiKey\"; the type is called \"api_key\"",
    ] {
        assert!(found.contains(said), "{said}: {found}");
    }
    assert!(!found.contains("sk-test-"), "{found}");
    assert_eq!(
        home.json(STORE)["profiles"]["openai:a"]["api_key"],
        "sk-test-openai"
    );
}

#[test]
fn references_are_shown_kept_and_not_replaced() {
    let reference = json!({"source": "env", "provider": "default", "id": "MY_KEY"});
    let home = with(&json!({
        "openai:a": {"type": "api_key", "provider": "openai", "keyRef": reference},
        "anthropic:a": {"type": "token", "provider": "anthropic", "tokenRef": reference},
        "groq:a": {"type": "api_key", "provider": "groq", "key": "!pass show groq"},
    }));
    let list = home.run(&["models", "auth", "list"]).ok();
    for said in [
        "keyRef env:MY_KEY",
        "tokenRef env:MY_KEY",
        "key command pass",
    ] {
        assert!(list.contains(said) && list.contains("reference"), "{list}");
    }
    let found = doctor(&home);
    assert_eq!(
        found.matches("note credential.reference").count(),
        3,
        "{found}"
    );
    assert!(!found.contains("holds no secret\n"), "{found}");
    for (profile, provider, paste) in [
        ("openai:a", "openai", "paste-api-key"),
        ("anthropic:a", "anthropic", "paste-token"),
        ("groq:a", "groq", "paste-api-key"),
    ] {
        fails(
            &home,
            &["token", "--profile", profile],
            1,
            &["is a reference", "clawkeep does not look up"],
        );
        let answer = secretref(&home, profile);
        assert_eq!(answer["errors"][profile]["code"], "UNUSABLE", "{answer}");
        let args = [
            "models",
            "auth",
            paste,
            "--provider",
            provider,
            "--profile-id",
            profile,
        ];
        let run = home
            .run_with_input(&args, "sk-test-new-0123456789")
            .exits(1);
        assert!(
            run.stderr.contains("not replaced by a secret")
                && run.stderr.contains(&format!("clawkeep rm {profile}"))
                && run.stderr.contains("--profile-id"),
            "{run:?}"
        );
    }
    // Nor is it by an import.
    home.write(
        "other.json",
        json!({"profiles": {"openai:a": {"type": "api_key", "provider": "openai",
            "key": "sk-test-k"}}})
        .to_string(),
    );
    home.run(&["import", "other.json"]).ok();
    assert_eq!(
        home.json(STORE)["profiles"]["openai:a"]["keyRef"],
        reference
    );
    assert!(home.files_with("sk-test-new").is_empty());
}

#[test]
fn numbers_that_no_machine_holds_survive_as_they_are() {
    let home = Home::new();
    let numbers = "\"account\":109876543210987654321,\"big\":1e+400,\"small\":-1e-400,\
        \"one\":1.0,\"exact\":0.1000,\
        \"k\":1e+5,\"i\":18446744073709551616";
    let key = "\"type\":\"api_key\",\"provider\":\"groq\",\"key\":\"sk-test-groq-0123456789\"";
    home.write(
        STORE,
        format!(
            "{{\"version\":1,\"profiles\":{{\"groq:a\":{{{key},{numbers}}}}},\
            \"usageStats\":{{\"groq:a\":{{\"lastUsed\":1e400}}}},\"x\":[{{\"y\":1e999}}]}}"
        ),
    );
    // An exponent is written with its sign, as JavaScript does; every other digit is as it was.
    assert_eq!(
        home.run(&["token", "--provider", "groq"]).ok().trim(),
        "sk-test-groq-0123456789"
    );
    home.run(&[
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "groq",
        "groq:a",
    ])
    .ok();
    home.run(&["models", "auth", "mark", "groq:a", "--used"])
        .ok();
    home.run(&["key", "rotate"]).ok();
    let compact: String = home.read(STORE).split_whitespace().collect();
    assert!(compact.contains(numbers), "{compact}");
    assert!(compact.contains("[{\"y\":1e+999}]"), "{compact}");
    assert!(!doctor(&home).contains("store."), "{}", doctor(&home));
    home.assert_sound();
    // A store that is deleted is written again with them.
    std::fs::remove_file(home.at(STORE)).unwrap();
    home.run(&["sync"]).ok();
    let compact: String = home.read(STORE).split_whitespace().collect();
    assert!(compact.contains(numbers), "{compact}");
}

#[test]
fn an_expiry_that_no_clock_knows_is_none() {
    let home = with(&json!({}));
    home.write(
        STORE,
        "{\"profiles\":{\"p:t\":{\"type\":\"token\",\"provider\":\"p\",\
         \"token\":\"sk-test-t\",\"expires\":1e400},\
         \"p:l\":{\"type\":\"oauth\",\"provider\":\"p\",\"access\":\"sk-test-l\",\
         \"refresh\":\"r\",\"expires\":109876543210987654321}}}",
    );
    home.run(&["models", "status"]).ok();
    assert_eq!(
        home.run(&["token", "--profile", "p:t"]).ok().trim(),
        "sk-test-t"
    );
    assert_eq!(
        home.run(&["token", "--profile", "p:l"]).ok().trim(),
        "sk-test-l"
    );
}

#[test]
fn a_byte_order_mark_is_skipped_in_every_file() {
    const BOM: &str = "\u{feff}";
    let home = Home::new();
    home.write(
        ".clawdbot/agents/main/agent/auth.json",
        format!(
            "{BOM}{}",
            json!({"zai": {"type": "api_key", "key": "sk-test-zai-0123"}})
        ),
    );
    home.write(
        CONFIG,
        format!("{BOM}{{ auth: {{ order: {{ zai: ['zai:default'] }} }} }}"),
    );
    home.write(
        ".clawdbot/clawkeep.toml",
        format!("{BOM}[clawkeep]\nfallback = \"none\"\n"),
    );
    home.write(
        CLAUDE,
        format!(
            "{BOM}{}",
            json!({"claudeAiOauth": {"accessToken": "sk-test-claude",
            "expiresAt": now_ms() + HOUR}})
        ),
    );
    home.write(
        ".codex/auth.json",
        format!(
            "{BOM}{}",
            json!({"tokens": {"access_token": "sk-test-codex", "refresh_token": "sk-test-r"}})
        ),
    );
    let token = |home: &Home, provider: &str| {
        let run = home.run(&["token", "--provider", provider]).exits(0);
        assert_eq!(run.stderr.matches("byte-order").count(), 0, "{run:?}");
        run.stdout.trim().to_owned()
    };
    assert_eq!(token(&home, "zai"), "sk-test-zai-0123");
    assert_eq!(token(&home, "anthropic"), "sk-test-claude");
    assert_eq!(token(&home, "openai-codex"), "sk-test-codex");
    let args = [
        "models",
        "auth",
        "paste-api-key",
        "--provider",
        "zai",
        "--profile-id",
        "zai:two",
    ];
    home.run_with_input(&args, "sk-test-two-0123").ok();
    assert!(
        home.read(CONFIG).contains("zai:two"),
        "{}",
        home.read(CONFIG)
    );
    let found = doctor(&home);
    assert!(
        !found.contains("config.") && !found.contains("source."),
        "{found}"
    );
    let store =
        json!({"profiles": {"a:b": {"type": "api_key", "provider": "a", "key": "sk-test-a"}}});
    home.write("store.json", format!("{BOM}{store}"));
    home.run(&["import", "store.json"]).ok();
    home.write(STORE, format!("{BOM}{}", home.read(STORE)));
    assert_eq!(token(&home, "a"), "sk-test-a");
}

#[cfg(unix)]
#[test]
fn every_paste_says_for_which_agent_it_stored() {
    let home = Home::new();
    home.write(
        CONFIG,
        "{ agents: { list: [{ id: 'front', default: true }, { id: 'ops' }] } }",
    );
    home.write(".clawdbot/agents/ops/agent/x", "");
    let paste = |more: &[&str]| {
        let args = [
            &["models", "auth", "paste-api-key", "--provider", "openai"][..],
            more,
        ]
        .concat();
        home.run_with_input(&args, "sk-test-0123456789").exits(0)
    };
    let run = paste(&[]);
    assert!(
        run.stderr.contains(
            "Stored for agent main (~/.clawdbot/agents/main/agent). The \
            configured default agent is front; to store it there: --agent front."
        ),
        "{run:?}"
    );
    let run = paste(&["--agent", "ops"]);
    assert!(
        run.stderr
            .contains("Stored for agent ops (~/.clawdbot/agents/ops/agent)."),
        "{run:?}"
    );
    // Under the gateway's name nothing is said that the gateway's program does not say.
    let link = home.at("clawdbot");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_clawkeep"), &link).unwrap();
    let mut command = home.command(&["models", "auth", "paste-api-key", "--provider", "xai"]);
    std::os::unix::process::CommandExt::arg0(&mut command, "clawdbot");
    let child = crate::support::home::start_with_input(command, "sk-test-0123456789");
    let run: crate::support::home::Run = child.wait_with_output().unwrap().into();
    let run = run.exits(0);
    assert!(!run.stderr.contains("Stored for"), "{run:?}");
}

#[cfg(unix)]
#[test]
fn a_provider_of_which_no_entry_can_be_used_fails_the_check() {
    for (entry, word, said) in [
        (
            json!({"type": "api_key", "key": "${X}"}),
            "malformed",
            "is a placeholder",
        ),
        (
            json!({"type": "api_key", "key": "!"}),
            "malformed",
            "is a placeholder",
        ),
        (
            json!({"type": "api_key", "key": "OPENAI_API_KEY"}),
            "malformed",
            "is the name of an environment variable",
        ),
        (
            json!({"type": "api_key", "key": 12345}),
            "malformed",
            "is not text",
        ),
        (
            json!({"type": "api_key", "key": ""}),
            "empty",
            "holds no secret",
        ),
        (
            json!({"type": "api_key", "apiKey": "sk-test"}),
            "misnamed",
            "rename the field",
        ),
        (
            json!({"type": "api_key", "keyRef": {"source": "env", "id": "X"}}),
            "reference",
            "is a reference",
        ),
        (
            json!({"type": "apikey", "key": "sk-test"}),
            "misnamed",
            "rename the type \"apikey\" of groq:a to \"api_key\"",
        ),
    ] {
        let mut entry = entry;
        entry["provider"] = json!("groq");
        let mut profiles = json!({"groq:a": entry});
        profiles["anthropic:a"] =
            json!({"type": "api_key", "provider": "anthropic", "key": "sk-test-a"});
        let home = with(&profiles);
        home.run(&["models", "status", "--check"]).exits(1);
        let list = home.run(&["models", "auth", "list"]).ok();
        let row = list.lines().find(|line| line.starts_with("groq:a"));
        assert!(row.unwrap().contains(word), "{word}: {list}");
        // The same words as doctor's, and its remedy as a command of every day.
        let run = home.run(&["token", "--provider", "groq"]).exits(1);
        assert!(run.stderr.contains(said), "{said}: {run:?}");
        let fix = match word {
            "malformed" | "empty" => "clawkeep add groq --id groq:a",
            "misnamed" => "auth-profiles.json",
            _ => "clawkeep add groq",
        };
        assert!(run.stderr.contains(fix), "{fix}: {run:?}");
        let candidates = ["models", "auth", "candidates", "--provider", "groq"];
        let shown = home.run(&candidates).ok();
        assert!(!shown.contains("next"), "{shown}");
        assert!(
            shown.is_empty() || shown.contains(&format!("unusable: {word}")),
            "{shown}"
        );
        // Under the gateway's name nothing changes.
        let link = home.at("clawdbot");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_clawkeep"), &link).unwrap();
        let mut command = home.command(&["models", "status", "--check"]);
        std::os::unix::process::CommandExt::arg0(&mut command, "clawdbot");
        let run: crate::support::home::Run = command.output().unwrap().into();
        run.exits(0);
        // With another credential that can be used, the provider is served.
        profiles["groq:b"] = json!({"type": "api_key", "provider": "groq", "key": "sk-test-b"});
        home.write(STORE, json!({"profiles": profiles}).to_string());
        home.run(&["models", "status", "--check"]).exits(0);
        assert!(home.run(&candidates).ok().contains("groq:b (next)"));
    }
}
